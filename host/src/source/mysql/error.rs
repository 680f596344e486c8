//! What can go wrong between us and a server: what was being done, to what, why it failed, and the mend where there is one.

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
    #[error("cannot {action}: {cause}{}", mend(.cause))]
    Query {
        /// What was being done, to what.
        action: String,
        /// Why not.
        cause: mysql_async::Error,
    },
    /// The server took a statement and fell silent.
    #[error("cannot {action}: the server said nothing for {seconds} s; idle_timeout is how long it may")]
    Silent {
        /// What was being done, to what.
        action: String,
        /// How long.
        seconds: u64,
    },
    /// The target of a restore is not empty.
    #[error(
        "schema `{0}` exists already and is not empty; restore into another name with --into, or repeat with --force to replace it once the restored one has proven whole"
    )]
    NotEmpty(String),
    /// Nothing on the server is what the configuration asks for.
    #[error(
        "no schema of `{source_name}` that the account can see matches include_schemas = {include:?} without exclude_schemas = {exclude:?}; the server shows: {seen}"
    )]
    NoSchema {
        /// Name of the source in the configuration.
        source_name: String,
        /// Patterns that were asked for.
        include: Vec<String>,
        /// Patterns that were left out.
        exclude: Vec<String>,
        /// What the account can see.
        seen: String,
    },
    /// What is to be dumped cannot be read as it must be.
    #[error("cannot be read: {0}")]
    Read(String),
    /// The dump is not one of ours, or what it holds cannot be put in its place.
    #[error("the dump cannot be loaded: {0}")]
    Dump(String),
    /// No connection is left that sees the server as it was at the snapshot.
    #[error("every connection that held the snapshot is gone: the server ended them or went away")]
    Lost,
    /// The reader of the dump went away.
    #[error("the dump was abandoned")]
    Abandoned,
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl MysqlError {
    /// The server's number of the error, where it was the server that refused.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Query { cause: mysql_async::Error::Server(error), .. } => Some(error.code),
            _ => None,
        }
    }

    /// Whether the account lacks a privilege for what was tried.
    pub(super) fn is_denied(&self) -> bool {
        // To a schema, at all, to a table, to a column, for want of a privilege by name, to a routine.
        matches!(self.code(), Some(1044 | 1045 | 1142 | 1143 | 1227 | 1370))
    }

    /// Whether what was asked for is not there (any more): a schema, table, routine, trigger, event or sequence.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.code(), Some(1049 | 1051 | 1146 | 1305 | 1360 | 1539 | 4091))
    }

    /// Whether a table was made, altered or truncated after the snapshot, so that the snapshot cannot show it.
    pub(super) fn is_newer_than_the_snapshot(&self) -> bool {
        self.code() == Some(1412)
    }
}

/// What helps against an error of the server that is no message of its own kind.
fn mend(cause: &mysql_async::Error) -> &'static str {
    let mysql_async::Error::Server(error) = cause else { return "" };
    match error.code {
        1205 => {
            "; another session holds a lock on it (an ALTER TABLE that is running, LOCK TABLES, a transaction that is still open): lock_timeout is how long cofre waits"
        }
        // What a dump does where a value could not be built up.
        1242 => "; a value is larger than the server's max_allowed_packet: raise it there",
        1412 => "; it was altered or truncated after the snapshot was taken: the next backup has it",
        126 | 127 | 144 | 145 | 1034 | 1035 | 1194 | 1195 | 1459 => {
            "; CHECK TABLE says more, and REPAIR TABLE mends it where its engine can"
        }
        _ => "",
    }
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
