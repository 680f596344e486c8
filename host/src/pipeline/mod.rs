//! Streaming stages between a tar and the spool: compression on all cores, AES-256-CBC, digests (D1).
//!
//! [`Encoder`] and [`Decoder`] are each other's reverse; both are bounded in memory, end every thread they start, and
//! know no I/O of cofre's own. The format is `docs/formats/artifact.md`.

mod cipher;
mod decoder;
mod digest;
mod encoder;
mod gzip;
pub mod tar;
#[cfg(test)]
mod tests;
mod zstd;

pub use cipher::{CipherKey, Kdf, Passphrase};
pub use decoder::Decoder;
pub use digest::{Digester, Digests};
pub use encoder::{Encoder, EncoderSettings, Totals};

/// How an artifact is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Standard gzip, 1 (fast) to 12 (small).
    Gzip {
        /// Level.
        level: u8,
    },
    /// Standard zstd, 1 to 19.
    Zstd {
        /// Level.
        level: i32,
    },
}

impl Compression {
    /// What stands between `.tar.` and `.enc` in a file name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gzip { .. } => "gz",
            Self::Zstd { .. } => "zst",
        }
    }

    /// Name in the manifest.
    pub fn algorithm(self) -> &'static str {
        match self {
            Self::Gzip { .. } => "gzip",
            Self::Zstd { .. } => "zstd",
        }
    }

    /// Level in the manifest.
    pub fn level(self) -> i32 {
        match self {
            Self::Gzip { level } => i32::from(level),
            Self::Zstd { level } => level,
        }
    }
}

/// Why an artifact cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Reading or writing below the pipeline failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The key could not be made.
    #[error("cannot make the artifact's key: {0}")]
    Key(std::io::Error),
    /// The file does not start as `openssl enc` writes.
    #[error("the file is no artifact: it does not start with `Salted__`")]
    NotAnArtifact,
    /// The first decrypted bytes are no compressed data.
    #[error("the passphrase is another one than the artifact was made with, or the artifact's first bytes are damaged")]
    WrongPassphrase,
    /// The end is missing.
    #[error("the artifact is truncated: {0}")]
    Truncated(&'static str),
    /// The compressed data is damaged.
    #[error("the compressed data is damaged: {0}")]
    Damaged(String),
    /// A thread of the pipeline died.
    #[error("a compression thread ended unexpectedly")]
    ThreadDied,
    /// The encoder was dropped before its end.
    #[error("the artifact was abandoned before its end")]
    Abandoned,
}

impl From<PipelineError> for std::io::Error {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Io(error) => error,
            PipelineError::Truncated(_) => Self::new(std::io::ErrorKind::UnexpectedEof, error),
            other => Self::new(std::io::ErrorKind::InvalidData, other),
        }
    }
}
