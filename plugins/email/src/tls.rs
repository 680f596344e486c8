//! TLS to the mail server, under the host's roots of trust.

use std::sync::Arc;

use cofre_sdk::{Error, Result};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ALL_VERSIONS, CipherSuite, ClientConfig, ClientConnection, RootCertStore};

/// The client's side of a connection to `host`, before its first byte.
///
/// # Errors
/// `invalid-config` where there is nothing to trust, or the host's name can be on no certificate.
pub(crate) fn connection(host: &str) -> Result<ClientConnection> {
    let unusable = |error: rustls::Error| Error::unsupported(format!("TLS cannot be set up: {error}"));
    let configuration = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(ALL_VERSIONS)
        .map_err(unusable)?
        .with_root_certificates(roots(cofre_sdk::trust_roots())?)
        .with_no_client_auth();
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| Error::invalid_config(format!("/host: {error}")).with("pointer", "/host"))?;
    ClientConnection::new(Arc::new(configuration), name).map_err(unusable)
}

fn roots(certificates: Vec<Vec<u8>>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(certificates.into_iter().map(CertificateDer::from));
    if usable == 0 {
        return Err(Error::invalid_config(
            "this machine has no root certificates; install the package `ca-certificates`, or name your own authority in `ca_file`",
        ));
    }
    Ok(store)
}

/// A component has no instructions for AES, and without them it is many times slower than ChaCha20: that is asked for first.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| !is_chacha(suite.suite()));
    provider
}

fn is_chacha(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_cipher_is_asked_for_first_and_the_others_are_still_there() {
        let suites = provider().cipher_suites;
        assert!(is_chacha(suites[0].suite()));
        assert_eq!(suites.len(), ring::default_provider().cipher_suites.len());
    }

    #[test]
    fn nothing_to_trust_is_said_before_anything_is_sent() {
        let error = roots(Vec::new()).expect_err("no roots");
        assert!(error.message().contains("ca_file"), "{error}");
    }
}
