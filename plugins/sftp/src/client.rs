//! A connection to the server: reached, its key compared, logged in, with the file subsystem open; and the runtime that drives it.
//!
//! The contract's calls are synchronous and a component has one thread: the runtime runs while a call waits for the server, and only then.

use std::net::ToSocketAddrs as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cofre_sdk::{Context as _, Error, ErrorKind, Result};
use russh::client::{self, DisconnectReason, Handle};
use russh::keys::{Algorithm, PublicKey, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Preferred, SshId, cipher};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::error;
use crate::host_key::{self, HostKeys};
use crate::key;
use crate::login::{Login, Secrets};
use crate::settings::Settings;
use crate::sftp::Client;
use crate::wire::Wire;

/// How long one address may take to answer, then its greeting with the exchange of keys, then the proof of who we are: servers make a wrong
/// password wait for seconds, and ask other servers about it.
const CONNECT: Duration = Duration::from_secs(20);
const GREETING: Duration = Duration::from_secs(30);
const PROOF: Duration = Duration::from_mins(1);

/// What the server may send before it must wait for us (RFC 4254, 5.2); OpenSSH's client allows 2 MiB, which 100 ms of distance make 20 MB/s.
const WINDOW: u32 = 4 << 20;

/// Data in one packet that the server may send.
const PACKET: u32 = 32 << 10;

/// Best first. A component has no AES instructions, and ChaCha20 needs none: see the README for what was measured.
const CIPHERS: [cipher::Name; 5] =
    [cipher::CHACHA20_POLY1305, cipher::AES_256_GCM, cipher::AES_256_CTR, cipher::AES_192_CTR, cipher::AES_128_CTR];

/// A server and the right to use it.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    host_keys: HostKeys,
    login: Login,
}

/// An open connection.
pub(crate) struct Session {
    client: Client,
    _ssh: Handle<Watcher>,
    runtime: Runtime,
}

impl Session {
    /// Does something with the files of the server.
    pub(crate) fn run<T>(&mut self, work: impl AsyncFnOnce(&mut Client) -> Result<T>) -> Result<T> {
        self.runtime.block_on(work(&mut self.client))
    }
}

impl Server {
    /// Checks the settings and opens the private key.
    pub(crate) fn new(settings: Settings, secrets: Secrets) -> Result<Self> {
        let host_keys = settings.check()?;
        let login = Login::new(&settings.user, secrets)?;
        Ok(Self { settings, host_keys, login })
    }

    /// Path of a key at the server, or of the folder itself for the empty key. Relative paths begin in the account's home.
    pub(crate) fn path(&self, key: &str) -> String {
        key::join(&self.settings.directory, key)
    }

    /// The same, where a request needs a name for the home too.
    pub(crate) fn folder(&self, key: &str) -> String {
        let path = self.path(key);
        if path.is_empty() { ".".to_owned() } else { path }
    }

    /// Logs in.
    pub(crate) fn connect(&self) -> Result<Session> {
        let Settings { host, port, user, .. } = &self.settings;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let logged_in = runtime.block_on(self.log_in()).with_context(|| format!("cannot log in at {host}:{port} as {user}"));
        let (ssh, client) = logged_in?;
        Ok(Session { client, _ssh: ssh, runtime })
    }

    async fn log_in(&self) -> Result<(Handle<Watcher>, Client)> {
        let end = End::default();
        let mut ssh = self.greet(&end).await?;
        match timeout(PROOF, self.login.prove(&mut ssh)).await {
            // A connection that was lost reads as a refusal, too.
            Ok(Ok(proof)) => proof.accepted().map_err(|refused| end.take().unwrap_or(refused))?,
            Ok(Err(error)) => return Err(end.take().unwrap_or_else(|| error::from_ssh(error))),
            Err(_) => return Err(late("the server did not say whether it accepts this account", PROOF)),
        }
        let opened = timeout(GREETING, async { Client::open(ssh.channel_open_session().await.map_err(error::from_ssh)?, end).await }).await;
        let client = opened.map_err(|_| late("the server did not open its file subsystem", GREETING))??;
        Ok((ssh, client))
    }

    /// Agrees on keys with a server that has proven to be the right one.
    async fn greet(&self, end: &End) -> Result<Handle<Watcher>> {
        let mut strangers: Vec<PublicKey> = Vec::new();
        loop {
            let wrong: Vec<Algorithm> = strangers.iter().map(PublicKey::algorithm).collect();
            let algorithms = self.host_keys.algorithms(&wrong);
            if let Some(stranger) = strangers.first().filter(|_| algorithms.is_empty() || self.host_keys.is_empty()) {
                return Err(self.unknown(stranger));
            }
            let preferred = Preferred { key: algorithms, cipher: CIPHERS.as_slice().into(), ..Preferred::DEFAULT };
            let watcher = Watcher { host_keys: self.host_keys.clone(), end: end.clone() };
            let wire = Wire::new(self.reach().await?);
            match timeout(GREETING, client::connect_stream(config(preferred), wire, watcher)).await {
                Ok(Ok(ssh)) => return Ok(ssh),
                Ok(Err(Trouble::Stranger(key))) => strangers.push(*key),
                Ok(Err(Trouble::Ssh(russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, theirs, .. }))) => {
                    let no_such_kind =
                        || Error::access_denied(format!("the server has no key of the kind in /host_key, only {}", theirs.join(", ")));
                    return Err(strangers.first().map_or_else(no_such_kind, |stranger| self.unknown(stranger)));
                }
                Ok(Err(Trouble::Ssh(error))) => return Err(error::from_ssh(error)),
                Err(_) => return Err(late("the server accepted the connection and did not finish its greeting", GREETING)),
            }
        }
    }

    fn unknown(&self, key: &PublicKey) -> Error {
        let (fingerprint, line) = (host_key::fingerprint(key), host_key::line(key));
        let error = if self.host_keys.is_empty() {
            Error::invalid_config(format!(
                "/host_key is not set, and the server's key is {fingerprint}. If that is what `ssh-keygen -lf` prints of its \
                 /etc/ssh/ssh_host_*_key.pub, put this into the settings: {line}"
            ))
        } else {
            Error::access_denied(format!(
                "the server's key is {fingerprint}, which is none of /host_key: either it was set up anew, or another stands in its place. \
                 If it is right, put this into the settings: {line}"
            ))
        };
        error.with("pointer", "/host_key")
    }

    /// The first address of the server that answers.
    async fn reach(&self) -> Result<TcpStream> {
        let Settings { host, port, .. } = &self.settings;
        let addresses = (host.as_str(), *port).to_socket_addrs().map_err(error::unreachable_server).context("cannot look up its name")?;
        let mut failure = Error::unavailable("the name has no address");
        for address in addresses {
            failure = match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => error::unreachable_server(error),
                Err(_) => late("the server does not answer", CONNECT),
            };
        }
        Err(failure)
    }
}

fn config(preferred: Preferred) -> Arc<client::Config> {
    let client_id = SshId::Standard(concat!("SSH-2.0-cofre_", env!("CARGO_PKG_VERSION")).into());
    Arc::new(client::Config { client_id, preferred, window_size: WINDOW, maximum_packet_size: PACKET, ..client::Config::default() })
}

fn late(what: &str, limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("{what} within {} s", limit.as_secs()))
}

/// Why the connection ended, for whoever finds that it has.
#[derive(Debug, Clone, Default)]
pub(crate) struct End(Arc<Mutex<Option<Error>>>);

impl End {
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Compares the server's key, and keeps why the connection ended.
struct Watcher {
    host_keys: HostKeys,
    end: End,
}

/// What ends a connection before it is of use.
#[derive(Debug)]
enum Trouble {
    /// The server has a key that is not known.
    Stranger(Box<PublicKey>),
    Ssh(russh::Error),
}

impl From<russh::Error> for Trouble {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl client::Handler for Watcher {
    type Error = Trouble;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Trouble> {
        let key = shown.public_key();
        if self.host_keys.contains(&key) { Ok(true) } else { Err(Trouble::Stranger(Box::new(key))) }
    }

    /// OpenSSH shows its keys after the login, and then holds its next answer until it knows that they arrived. Something sent at once says so
    /// 40 ms earlier than the network would by itself.
    async fn openssh_ext_host_keys_announced(&mut self, _: Vec<PublicKey>, session: &mut client::Session) -> Result<(), Trouble> {
        Ok(session.send_keepalive(true)?)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Trouble>) -> Result<(), Trouble> {
        self.end.set(match reason {
            DisconnectReason::ReceivedDisconnect(said) => {
                let words: String = said.message.chars().filter(|c| !c.is_control()).take(200).collect();
                // OpenSSH's way to say that it was shown enough; it comes as a breach of the protocol.
                let kind = if words.contains("authentication failures") { ErrorKind::AccessDenied } else { ErrorKind::Unavailable };
                Error::new(kind, format!("the server ended the connection: {words}"))
            }
            // The server has no way left to log in: a refusal, which whoever wanted to log in is told of.
            DisconnectReason::Error(Trouble::Ssh(russh::Error::NoAuthMethod)) => return Ok(()),
            DisconnectReason::Error(Trouble::Ssh(error)) => error::from_ssh(error),
            DisconnectReason::Error(Trouble::Stranger(_)) => Error::access_denied("the server changed its key"),
        });
        Ok(())
    }
}
