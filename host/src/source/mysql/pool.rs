//! The connections of a snapshot: each serves one reader at a time, and each comes back after whatever happened to its reader.
//! One that no longer sees the snapshot is not used again; nothing can take its place.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::connection::Session;
use super::error::MysqlError;

/// Made when the snapshot is taken. Going back to it releases the metadata locks of the tables that were read, so that nobody's
/// `ALTER TABLE` waits for the end of the run; that it is still there proves that the transaction is still the same.
const SAVEPOINT: &str = "cofre";

/// Connections that all see one moment.
pub(super) struct Pool {
    free: Mutex<Vec<Session>>,
    permits: Arc<Semaphore>,
    lost: AtomicUsize,
    size: usize,
    cancel: CancellationToken,
}

/// A connection that one reader has.
pub(super) struct Reader {
    session: Session,
    permit: OwnedSemaphorePermit,
}

impl Deref for Reader {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

impl Pool {
    /// Takes connections in whose transactions the snapshot has just begun.
    pub(super) async fn new(mut sessions: Vec<Session>, cancel: CancellationToken) -> Result<Self, MysqlError> {
        for session in &mut sessions {
            session.run(&format!("SAVEPOINT {SAVEPOINT}"), || "mark the begin of the snapshot".to_owned()).await?;
        }
        let size = sessions.len();
        Ok(Self { free: Mutex::new(sessions), permits: Arc::new(Semaphore::new(size)), lost: AtomicUsize::new(0), size, cancel })
    }

    /// How many readers can be at work.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Waits for a free connection; what it does then ends when `cancel` says so.
    pub(super) async fn take(&self, cancel: &CancellationToken) -> Result<Reader, MysqlError> {
        let permit = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(MysqlError::Cancelled),
            permit = Arc::clone(&self.permits).acquire_owned() => permit.map_err(|_| MysqlError::Lost)?,
        };
        let mut session = self.free().pop().ok_or(MysqlError::Lost)?;
        session.obey(cancel);
        Ok(Reader { session, permit })
    }

    /// Takes a connection back, whatever its reader came to.
    pub(super) async fn give(&self, reader: Reader) {
        let Reader { mut session, permit } = reader;
        session.obey(&self.cancel);
        let back = format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}");
        if session.is_sound() && session.run(&back, || "go back to the begin of the snapshot".to_owned()).await.is_ok() {
            self.free().push(session);
            return;
        }
        session.close().await;
        permit.forget();
        if self.lost.fetch_add(1, Ordering::SeqCst) + 1 == self.size {
            self.permits.close();
        }
    }

    /// Ends them all; each releases its snapshot.
    pub(super) async fn close(&self) {
        let sessions = std::mem::take(&mut *self.free());
        futures_util::future::join_all(sessions.into_iter().map(Session::close)).await;
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
