//! One connection: transport, session state, and every wait on it bounded in three ways: by a cancellation, by the server's
//! silence, and by a deadline (trap 10).
//!
//! A statement that is given up is ended at the server (`KILL QUERY`) and its answer is read to the end, so that the connection
//! keeps what it holds, above all a snapshot. One that does not come to rest is never used again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder, ResultSetStream, Row, SslOpts, TextProtocol};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{Doing, MysqlError};
use crate::ports::{MysqlEndpoint, MysqlSettings, TlsMode};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(20);
/// `ER_ACCESS_DENIED_ERROR`.
const ACCESS_DENIED: u16 = 1_045;
/// How long a statement that was ended may take to come to rest.
const GRACE: Duration = Duration::from_secs(3);
/// How long one answer may take in all, however steadily it comes.
const ANSWER: Duration = Duration::from_hours(48);
/// After how long without traffic the system asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long the server waits for us, in seconds: directories are read, and a full spool is waited for, while a snapshot is held.
const SERVER_WAITS: u32 = 604_800;

/// Quotes an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// One connection, at rest between calls.
#[derive(Debug)]
pub(super) struct Session {
    connection: Conn,
    watch: Watch,
    sound: bool,
}

/// What ends a wait.
#[derive(Debug)]
struct Watch {
    settings: Arc<MysqlSettings>,
    id: u32,
    cancel: CancellationToken,
}

impl Session {
    /// Opens a connection with the session state that dumps and loads need; `schema` becomes its default.
    pub(super) async fn open(settings: &Arc<MysqlSettings>, schema: Option<&str>, cancel: &CancellationToken) -> Result<Self, MysqlError> {
        let connected = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(MysqlError::Cancelled),
            connected = connect(settings) => connected?,
        };
        let watch = Watch { settings: Arc::clone(settings), id: connected.id(), cancel: cancel.clone() };
        let mut session = Self { connection: connected, watch, sound: true };
        let lock_wait = settings.lock_timeout.as_secs().max(1);
        let state = format!(
            "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', sql_quote_show_create = 1, \
             net_write_timeout = {SERVER_WAITS}, net_read_timeout = {SERVER_WAITS}, wait_timeout = {SERVER_WAITS}, \
             lock_wait_timeout = {lock_wait}, foreign_key_checks = 0, unique_checks = 0"
        );
        session.run(&state, || format!("set up the session at `{}`", settings.name)).await?;
        // Each server knows some of these. Without join buffers the pieces of a large value come in their order.
        for state in [
            "SET SESSION max_statement_time = 0, join_cache_level = 0",
            "SET SESSION idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0",
            "SET SESSION max_execution_time = 0",
            "SET SESSION optimizer_switch = 'block_nested_loop=off'",
        ] {
            match session.run(state, || format!("set up the session at `{}`", settings.name)).await {
                Err(error) if error.code().is_none() => return Err(error),
                _ => {}
            }
        }
        if let Some(schema) = schema {
            session.run(&format!("USE {}", quoted(schema)), || format!("use schema `{schema}`")).await?;
        }
        Ok(session)
    }

    /// Its number at the server.
    pub(super) fn id(&self) -> u32 {
        self.watch.id
    }

    /// The server's settings.
    pub(super) fn settings(&self) -> &Arc<MysqlSettings> {
        &self.watch.settings
    }

    /// Whether it may be used again.
    pub(super) fn is_sound(&self) -> bool {
        self.sound && !self.connection.is_disconnected()
    }

    /// From now on, waits end when `cancel` says so.
    pub(super) fn obey(&mut self, cancel: &CancellationToken) {
        self.watch.cancel = cancel.clone();
    }

    /// Runs a statement that has no answer.
    pub(super) async fn run(&mut self, sql: &str, action: impl FnOnce() -> String) -> Result<(), MysqlError> {
        self.watch.wait(&mut self.sound, action, self.connection.query_drop(sql)).await
    }

    /// All rows of an answer that is known to be short.
    pub(super) async fn all<T: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
        action: impl FnOnce() -> String,
    ) -> Result<Vec<T>, MysqlError> {
        self.watch.wait(&mut self.sound, action, self.connection.query(sql)).await
    }

    /// The first row.
    pub(super) async fn first<T: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
        action: impl FnOnce() -> String,
    ) -> Result<Option<T>, MysqlError> {
        self.watch.wait(&mut self.sound, action, self.connection.query_first(sql)).await
    }

    /// Rows one after the other; `idle` is how long the server may look for the next one. What is not read to its end must be
    /// [abandoned](Rows::abandon).
    pub(super) async fn rows(&mut self, sql: &str, action: String, idle: Duration) -> Result<Rows<'_>, MysqlError> {
        let asked = self.connection.query_stream::<Row, _>(sql.to_owned());
        let stream = self.watch.wait_for(&mut self.sound, idle, || action.clone(), asked).await?;
        Ok(Rows { stream, watch: &self.watch, sound: &mut self.sound, idle, deadline: Instant::now() + ANSWER, ended: false, action })
    }

    /// Ends it in good order.
    pub(super) async fn close(self) {
        if self.is_sound() {
            let _ = tokio::time::timeout(GRACE, self.connection.disconnect()).await;
        } else {
            kill(&self.watch.settings, "CONNECTION", &[self.watch.id]).await;
        }
    }
}

impl Watch {
    /// Waits for the answer to a statement that is being sent.
    async fn wait<T>(
        &self,
        sound: &mut bool,
        action: impl FnOnce() -> String,
        answer: impl Future<Output = Result<T, mysql_async::Error>>,
    ) -> Result<T, MysqlError> {
        self.wait_for(sound, self.settings.idle_timeout, action, answer).await
    }

    async fn wait_for<T>(
        &self,
        sound: &mut bool,
        idle: Duration,
        action: impl FnOnce() -> String,
        answer: impl Future<Output = Result<T, mysql_async::Error>>,
    ) -> Result<T, MysqlError> {
        if self.cancel.is_cancelled() {
            return Err(MysqlError::Cancelled);
        }
        tokio::pin!(answer);
        let why = tokio::select! {
            biased;
            answered = &mut answer => return answered.doing(action),
            () = self.cancel.cancelled() => MysqlError::Cancelled,
            () = tokio::time::sleep(idle) => MysqlError::Silent { action: action(), seconds: idle.as_secs() },
        };
        *sound = self.ends(async { drop(answer.await) }).await;
        Err(why)
    }

    /// Ends the running statement at the server; `rest` is the wait for the end of its answer. Whether it came.
    async fn ends(&self, rest: impl Future<Output = ()>) -> bool {
        kill(&self.settings, "QUERY", &[self.id]).await;
        tokio::time::timeout(GRACE, rest).await.is_ok()
    }
}

/// The rows of an answer.
pub(super) struct Rows<'a> {
    stream: ResultSetStream<'a, 'a, 'static, Row, TextProtocol>,
    watch: &'a Watch,
    sound: &'a mut bool,
    idle: Duration,
    deadline: Instant,
    ended: bool,
    action: String,
}

impl Rows<'_> {
    /// The next row.
    pub(super) async fn next(&mut self) -> Result<Option<Row>, MysqlError> {
        // Most rows are there already: a wait that can end in other ways costs more than reading one.
        let next = match self.stream.next().now_or_never() {
            Some(next) => next,
            None => self.wait().await?,
        };
        match next {
            Some(Ok(row)) => Ok(Some(row)),
            Some(Err(cause)) => {
                self.ended = true;
                Err(MysqlError::Query { action: self.action.clone(), cause })
            }
            None => {
                self.ended = true;
                Ok(None)
            }
        }
    }

    async fn wait(&mut self) -> Result<Option<Result<Row, mysql_async::Error>>, MysqlError> {
        let idle = self.idle;
        let until = self.deadline.min(Instant::now() + idle);
        let why = tokio::select! {
            biased;
            next = self.stream.next() => return Ok(next),
            () = self.watch.cancel.cancelled() => MysqlError::Cancelled,
            () = tokio::time::sleep_until(until) => MysqlError::Silent { action: self.action.clone(), seconds: idle.as_secs() },
        };
        self.end().await;
        Err(why)
    }

    async fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            let rest = async { while self.stream.next().await.is_some() {} };
            *self.sound = self.watch.ends(rest).await;
        }
    }

    /// Gives up the rest, so that the connection can be used for something else.
    pub(super) async fn abandon(mut self) {
        self.end().await;
    }
}

fn place(settings: &MysqlSettings) -> String {
    match &settings.endpoint {
        MysqlEndpoint::Tcp { host, port } => format!("{host}:{port}"),
        MysqlEndpoint::Socket(path) => path.display().to_string(),
    }
}

fn options(settings: &MysqlSettings) -> Opts {
    let mut options = OptsBuilder::default().user(Some(&settings.user)).prefer_socket(false).stmt_cache_size(0).tcp_nodelay(true);
    options = options.pass(settings.password.as_ref().map(|password| password.expose_secret().to_owned())).tcp_keepalive(Some(KEEPALIVE));
    options = match &settings.endpoint {
        MysqlEndpoint::Tcp { host, port } => options.ip_or_hostname(host).tcp_port(*port),
        MysqlEndpoint::Socket(path) => options.socket(Some(path.to_string_lossy())),
    };
    if settings.tls.mode == TlsMode::Required {
        let mut tls = SslOpts::default();
        if let Some(path) = &settings.tls.ca_file {
            tls = tls.with_root_certs(vec![path.clone().into()]).with_disable_built_in_roots(true);
        }
        options = options.ssl_opts(Some(tls));
    }
    options.into()
}

async fn connect(settings: &MysqlSettings) -> Result<Conn, MysqlError> {
    let failed = |cause: String| MysqlError::Connect { source_name: settings.name.clone(), place: place(settings), cause };
    let connected = tokio::time::timeout(CONNECT, opened(settings)).await;
    connected.map_err(|_| failed(format!("no answer within {} s", CONNECT.as_secs())))?.map_err(|error| failed(error.to_string()))
}

/// Opens a connection; a refusal is asked for once more. The driver cuts a zero off the end of the server's random bytes, so that one of 256
/// logins by ed25519 is refused although the password is right (mysql_common 0.37, `AuthSwitchRequest::plugin_data`).
async fn opened(settings: &MysqlSettings) -> Result<Conn, mysql_async::Error> {
    match Conn::new(options(settings)).await {
        Err(mysql_async::Error::Server(refusal)) if refusal.code == ACCESS_DENIED => Conn::new(options(settings)).await,
        connected => connected,
    }
}

/// Ends the statements (`QUERY`) or the sessions (`CONNECTION`) of connections, in the middle of whatever they do.
pub(super) async fn kill(settings: &MysqlSettings, what: &str, ids: &[u32]) {
    let ended = async {
        if let Ok(mut control) = opened(settings).await {
            for id in ids {
                // One that ended meanwhile is what was asked for.
                let _ = control.query_drop(format!("KILL {what} {id}")).await;
            }
            let _ = control.disconnect().await;
        }
    };
    let _ = tokio::time::timeout(GRACE, ended).await;
}
