//! Whom this machine trusts where the host itself speaks TLS: the platform's roots, and those in one more file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with further roots is of no use.
    #[error("cannot read `{}`: {source}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rustls::pki_types::pem::Error,
    },
    /// The library refuses.
    #[error("cannot set up TLS: {0}")]
    SetUp(#[from] rustls::Error),
}

/// A client that trusts the platform's roots and those in `ca_file`.
///
/// # Errors
/// When `ca_file` cannot be read.
pub fn client(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, TlsError> {
    let mut certificates = rustls_native_certs::load_native_certs().certs;
    if let Some(path) = ca_file {
        let extra: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        certificates.extend(extra.map_err(|source| TlsError::Roots { path: path.to_path_buf(), source })?);
    }
    Ok(trusting(certificates)?)
}

/// A client that trusts these roots; one that cannot be read is left out.
///
/// # Errors
/// When the library refuses.
pub fn trusting(certificates: Vec<CertificateDer<'static>>) -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
