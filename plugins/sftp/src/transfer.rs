//! Bytes of a file, with many requests on their way at once, so that a distant server is not waited for after each of them.
//!
//! Requests for one file are carried out in the order in which they were sent (draft-ietf-secsh-filexfer-02, section 6.4, and OpenSSH's
//! server, which does one after another), so the wish to have the file on disk goes out right behind its last byte. Answers may come in any order.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::io::{Read as _, Write as _};

use cofre_sdk::{Body, Error, Result, Sink};
use russh_sftp::protocol::{Packet, Read, StatusCode, Write};
use tokio::sync::{Notify, Semaphore};

use crate::sftp::{Client, Incoming, Outgoing, done, number_of, unexpected};

/// Bytes that are on their way at most: more than a server lets us send ahead (2 MiB in OpenSSH), little next to a component's memory.
const ON_THEIR_WAY: usize = 4 << 20;

/// Largest number of requests on their way; OpenSSH's own client has 64.
const REQUESTS: usize = 128;

/// Smallest piece that is worth a request, should a server give less and less.
const SMALLEST: u32 = 4 << 10;

/// Writes the whole body at `offset` of an open file and, where the server can, waits for its disk; returns the offset behind it.
pub(crate) async fn write(client: &mut Client, handle: &str, offset: u64, body: &mut Body) -> Result<u64> {
    let chunk = usize::try_from(client.chunks().await?.write).unwrap_or(usize::MAX);
    let end = offset.saturating_add(body.remaining());
    let sync = client.sync(handle);
    let flight = Flight::new(chunk);
    let outgoing = &client.outgoing;
    let feed = async {
        let mut at = offset;
        while at < end {
            flight.wait_for_room().await?;
            let mut data = vec![0; chunk.min(usize::try_from(end - at).unwrap_or(chunk))];
            body.read_exact(&mut data).map_err(|why| Error::integrity(format!("cannot take what is to be written: {why}")))?;
            let length = data.len() as u64;
            let id = flight.begin(outgoing, ());
            outgoing.send(Write { id, handle: handle.to_owned(), offset: at, data }).await?;
            at += length;
            // The next bytes of the body may be long in coming, and this thread waits for them: let these go out before.
            tokio::task::yield_now().await;
        }
        if let Some(sync) = sync {
            let id = flight.begin(outgoing, ());
            outgoing.send(sync.request(id)?).await?;
        }
        flight.all_sent();
        Ok::<(), Error>(())
    };
    let land = async {
        while let Some((answer, ())) = flight.next_answer(&mut client.incoming).await? {
            done(&answer)?;
            flight.make_room();
        }
        Ok(())
    };
    tokio::try_join!(feed, land)?;
    Ok(end)
}

/// Reads the bytes from `at` to `end` of an open file into `sink`.
pub(crate) async fn read(client: &mut Client, handle: &str, (mut at, end): (u64, u64), sink: &mut Sink) -> Result<()> {
    let mut chunk = if end - at > u64::from(SMALLEST) { client.chunks().await?.read } else { SMALLEST };
    while at < end {
        let (reached, given) = read_until_short(client, handle, (at, end, chunk), sink).await?;
        if reached == at {
            return Err(Error::integrity(format!("the file ended {} bytes early", end - at)));
        }
        // A server that gives less than it was asked for gives no more to the next request either.
        chunk = given.max(SMALLEST).min(chunk);
        at = reached;
    }
    Ok(())
}

/// The same, up to the first piece that is shorter than it was asked to be: what follows was asked for in vain. Returns the offset behind
/// that piece, and its length.
async fn read_until_short(client: &mut Client, handle: &str, (start, end, chunk): (u64, u64, u32), sink: &mut Sink) -> Result<(u64, u32)> {
    let flight = Flight::new(usize::try_from(chunk).unwrap_or(usize::MAX));
    let outgoing = &client.outgoing;
    let feed = async {
        let mut at = start;
        while at < end {
            flight.wait_for_room().await?;
            let len = u32::try_from(end - at).unwrap_or(u32::MAX).min(chunk);
            let id = flight.begin(outgoing, (at, len));
            outgoing.send(Read { id, handle: handle.to_owned(), offset: at, len }).await?;
            at += u64::from(len);
        }
        flight.all_sent();
        pending().await
    };
    let land = async {
        let (mut at, mut early) = (start, BTreeMap::new());
        while let Some((answer, (offset, asked))) = flight.next_answer(&mut client.incoming).await? {
            early.insert(offset, (answer, asked));
            while let Some((answer, asked)) = early.remove(&at) {
                let data = data(answer)?;
                let given = u32::try_from(data.len()).ok().filter(|given| *given <= asked);
                let given = given.ok_or_else(|| Error::integrity("the server gave more bytes than it was asked for"))?;
                sink.write_all(&data)?;
                at += u64::from(given);
                if given < asked {
                    return Ok((at, given));
                }
                flight.make_room();
            }
        }
        Ok((at, chunk))
    };
    tokio::select! {
        failed = feed => failed,
        landed = land => landed,
    }
}

/// The bytes of an answer; none at the file's end.
fn data(answer: Packet) -> Result<Vec<u8>> {
    match answer {
        Packet::Data(data) => Ok(data.data),
        Packet::Status(status) if status.status_code == StatusCode::Eof => Ok(Vec::new()),
        other => Err(unexpected(&other)),
    }
}

/// Requests on their way, and what each was for.
struct Flight<T> {
    room: Semaphore,
    waiting: RefCell<Waiting<T>>,
    changed: Notify,
}

struct Waiting<T> {
    requests: HashMap<u32, T>,
    all_sent: bool,
}

impl<T> Flight<T> {
    /// Room for requests that move `chunk` bytes each.
    fn new(chunk: usize) -> Self {
        let requests = (ON_THEIR_WAY / chunk.max(1)).clamp(2, REQUESTS);
        let waiting = Waiting { requests: HashMap::new(), all_sent: false };
        Self { room: Semaphore::new(requests), waiting: RefCell::new(waiting), changed: Notify::new() }
    }

    /// Waits for room for one more, and takes it.
    async fn wait_for_room(&self) -> Result<()> {
        self.room.acquire().await.map_err(|_| Error::other("there is no room for requests"))?.forget();
        Ok(())
    }

    /// The room of a request whose bytes are no longer held.
    fn make_room(&self) {
        self.room.add_permits(1);
    }

    /// The number for a request that goes out next.
    fn begin(&self, outgoing: &Outgoing, purpose: T) -> u32 {
        let id = outgoing.number();
        self.waiting.borrow_mut().requests.insert(id, purpose);
        self.changed.notify_one();
        id
    }

    /// No more requests follow.
    fn all_sent(&self) {
        self.waiting.borrow_mut().all_sent = true;
        self.changed.notify_one();
    }

    /// The next answer to one of these requests; `None` when there are no more to come.
    async fn next_answer(&self, incoming: &mut Incoming) -> Result<Option<(Packet, T)>> {
        loop {
            // While nothing was asked, a silent server is not a slow one.
            while self.waiting.borrow().requests.is_empty() {
                if self.waiting.borrow().all_sent {
                    return Ok(None);
                }
                self.changed.notified().await;
            }
            let answer = incoming.next().await?;
            let purpose = number_of(&answer).and_then(|id| self.waiting.borrow_mut().requests.remove(&id));
            if let Some(purpose) = purpose {
                return Ok(Some((answer, purpose)));
            }
        }
    }
}
