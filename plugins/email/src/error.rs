//! What failures of the network and of TLS mean in the contract's terms; what the server itself refuses is in `reply`.

use std::io;

use cofre_sdk::{Error, ErrorKind};
use rustls::{AlertDescription, CertificateError};

/// What a connection that does not come about means.
pub(crate) fn not_reached(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Error::invalid_config("the host refused the connection; grant this notifier the network target"),
        _ => broken(error),
    }
}

/// What a broken connection means. Its early end is no wrong data: it never promised any.
pub(crate) fn broken(error: io::Error) -> Error {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return insecure(error);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::unavailable("the server closed the connection"),
        io::ErrorKind::InvalidInput => Error::invalid_config(error.to_string()),
        _ => {
            let known = Error::from(error);
            // Sockets of a component have failures without a name of their own; each is a network that may be better later.
            if matches!(known.kind(), ErrorKind::Other | ErrorKind::NotFound) { Error::unavailable(known.message()) } else { known }
        }
    }
}

/// What a failure of TLS means: a wrong certificate or name will be wrong again.
fn insecure(error: &rustls::Error) -> Error {
    let mend = match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its authority is not trusted; name the authority's certificate in `ca_file` if it is your own"
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "its certificate is for another name; correct /host"
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired; the server's administrator must renew it"
        }
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS here; check /tls and /port",
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_) => {
            "the server offers nothing newer than TLS 1.1 or no safe cipher"
        }
        _ => "check /tls and /port; name the authority's certificate in `ca_file` if it is your own",
    };
    Error::invalid_config(format!("TLS failed: {error} ({mend})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_ends_is_no_wrong_data() {
        let error = broken(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
    }

    #[test]
    fn a_connection_that_is_not_granted_says_what_to_do() {
        let error = not_reached(io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(!error.is_retryable() && error.message().contains("grant"), "{error}");
    }
}
