//! Connections to a server: transport, session state, and errors that say what was being done.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts};
use secrecy::ExposeSecret;

use crate::ports::{MysqlEndpoint, MysqlSettings, TlsMode};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(20);

/// Why a database cannot be read or loaded.
#[derive(Debug, thiserror::Error)]
pub enum MysqlError {
    /// The server does not let us in, or is not there.
    #[error("cannot connect to database `{source_name}` at {place}: {cause}")]
    Connect {
        /// Name of the source in the configuration.
        source_name: String,
        /// Host and port, or socket.
        place: String,
        /// Why not.
        cause: String,
    },
    /// A statement failed.
    #[error("cannot {action}: {cause}")]
    Query {
        /// What was being done, to what.
        action: String,
        /// Why not.
        cause: mysql_async::Error,
    },
    /// The target of a restore is not empty.
    #[error(
        "schema `{0}` exists already and is not empty; restore into another name with --into, or repeat with --force to replace it once the restored one has proven whole"
    )]
    NotEmpty(String),
    /// The dump is not one of ours.
    #[error("the dump cannot be loaded: {0}")]
    Dump(String),
    /// The reader of the dump went away.
    #[error("the dump was abandoned")]
    Abandoned,
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// Gives an error its action.
pub(super) trait Doing<T> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T, MysqlError>;
}

impl<T> Doing<T> for Result<T, mysql_async::Error> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T, MysqlError> {
        self.map_err(|cause| MysqlError::Query { action: action(), cause })
    }
}

/// Quotes an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Opens a connection with the session state that dumps and loads need; `schema` becomes its default.
pub(super) async fn connect(settings: &MysqlSettings, schema: Option<&str>) -> Result<Conn, MysqlError> {
    let mut options = OptsBuilder::default().user(Some(&settings.user)).prefer_socket(false).stmt_cache_size(0).tcp_nodelay(true);
    options = options.pass(settings.password.as_ref().map(|password| password.expose_secret().to_owned()));
    let place = match &settings.endpoint {
        MysqlEndpoint::Tcp { host, port } => {
            options = options.ip_or_hostname(host).tcp_port(*port);
            format!("{host}:{port}")
        }
        MysqlEndpoint::Socket(path) => {
            options = options.socket(Some(path.to_string_lossy()));
            path.display().to_string()
        }
    };
    let failed = |cause: String| MysqlError::Connect { source_name: settings.name.clone(), place: place.clone(), cause };
    if settings.tls.mode == TlsMode::Required {
        let mut tls = SslOpts::default();
        if let Some(path) = &settings.tls.ca_file {
            tls = tls.with_root_certs(vec![path.clone().into()]).with_disable_built_in_roots(true);
        }
        options = options.ssl_opts(Some(tls));
    }
    let connected = tokio::time::timeout(CONNECT, Conn::new(options)).await;
    let mut connection =
        connected.map_err(|_| failed(format!("no answer within {} s", CONNECT.as_secs())))?.map_err(|error| failed(error.to_string()))?;
    let session = "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', sql_quote_show_create = 1, \
                   net_write_timeout = 3600, net_read_timeout = 3600, wait_timeout = 28800, foreign_key_checks = 0, unique_checks = 0";
    connection.query_drop(session).await.map_err(|error| failed(error.to_string()))?;
    // Each server knows one of the two.
    let _ = connection.query_drop("SET SESSION max_statement_time = 0").await;
    let _ = connection.query_drop("SET SESSION max_execution_time = 0").await;
    if let Some(schema) = schema {
        connection.query_drop(format!("USE {}", quoted(schema))).await.doing(|| format!("use schema `{schema}`"))?;
    }
    Ok(connection)
}

/// Ends connections at once, in the middle of whatever they do, without reading what they still have to say.
pub(super) async fn kill(settings: &MysqlSettings, ids: &[u32]) {
    if let Ok(mut control) = connect(settings, None).await {
        for id in ids {
            let _ = control.query_drop(format!("KILL CONNECTION {id}")).await;
        }
        let _ = control.disconnect().await;
    }
}
