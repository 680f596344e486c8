//! The certificate under which it is reached: from files, or made at the first start and kept, where it listens beyond this machine.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::config::WebSettings;
use crate::owner::{private_directory, private_file};

/// Largest file that is read for one.
const PEM_MAX: u64 = 1 << 20;
/// How long a certificate that is made here holds, in days: as long as browsers take any.
const DAYS: i64 = 397;
/// It is made anew so many days before its end.
const RENEWED_BEFORE: i64 = 30;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is of no use.
    #[error("cannot read `{}`: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// None can be made, or kept.
    #[error("cannot make a certificate in `{}`: {problem}; name one in web.tls_certificate and web.tls_key", path.display())]
    Make {
        /// Where.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The two do not fit.
    #[error("the certificate `{}` and its key are of no use: {source}", path.display())]
    Fit {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// A certificate, and how to serve under it.
pub(super) struct Identity {
    /// For the listener.
    pub config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as browsers show it.
    pub fingerprint: String,
    /// Whether it was made here, so that a browser does not know it.
    pub own: bool,
}

impl Identity {
    /// The configured one, or the one that is made and kept in the state directory.
    ///
    /// # Errors
    /// When there is none and none can be made.
    pub(super) fn of(settings: &WebSettings, state: &Path) -> Result<Self, CertificateError> {
        match &settings.tls {
            Some((certificate, key)) => Self::read(certificate, key, false),
            None => Self::own(settings, &state.join("web")),
        }
    }

    fn own(settings: &WebSettings, directory: &Path) -> Result<Self, CertificateError> {
        let (certificate, key, until) = (directory.join("certificate.pem"), directory.join("key.pem"), directory.join("until"));
        if !holds(&until) || !certificate.is_file() || !key.is_file() {
            let failed = |problem: String| CertificateError::Make { path: directory.to_path_buf(), problem };
            private_directory(directory).map_err(|error| failed(error.to_string()))?;
            let (made, its_key, end) = make(settings).map_err(|error| failed(error.to_string()))?;
            // The end goes last: what a crash leaves is made anew.
            for (path, text) in [(&key, its_key), (&certificate, made), (&until, end.to_string())] {
                keep(path, &text).map_err(|error| failed(error.to_string()))?;
            }
        }
        Self::read(&certificate, &key, true)
    }

    fn read(certificate: &Path, key: &Path, own: bool) -> Result<Self, CertificateError> {
        let file = |path: &Path, problem: String| CertificateError::File { path: path.to_path_buf(), problem };
        let read = |path: &Path| -> Result<Vec<u8>, CertificateError> {
            let size = path.metadata().map_err(|error| file(path, error.to_string()))?.len();
            if size > PEM_MAX {
                return Err(file(path, format!("it has {size} bytes, more than any certificate")));
            }
            std::fs::read(path).map_err(|error| file(path, error.to_string()))
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(certificate)?).collect();
        let chain = chain.map_err(|error| file(certificate, error.to_string()))?;
        let Some(first) = chain.first() else {
            return Err(file(certificate, "it holds no certificate in PEM".to_owned()));
        };
        let fingerprint = fingerprint(first);
        let bytes = zeroize::Zeroizing::new(read(key)?);
        let secret = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| file(key, error.to_string()))?;
        let fit = |source| CertificateError::Fit { path: certificate.to_path_buf(), source };
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(fit)?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(fit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), fingerprint, own })
    }
}

/// Whether the certificate that is kept is good for a while.
fn holds(until: &Path) -> bool {
    let end = std::fs::read_to_string(until).ok().and_then(|text| text.trim().parse::<Timestamp>().ok());
    let margin = SignedDuration::from_hours(24 * RENEWED_BEFORE);
    end.and_then(|end| end.checked_sub(margin).ok()).is_some_and(|renewal| Timestamp::now() < renewal)
}

/// A certificate that signs itself, for every name that this is reached under; its key; and its end.
fn make(settings: &WebSettings) -> Result<(String, String, Timestamp), rcgen::Error> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(settings.public.as_ref().map(|public| public.host.clone()));
    names.extend(settings.listen.iter().map(std::net::SocketAddr::ip).filter(|ip| !ip.is_unspecified()).map(|ip: IpAddr| ip.to_string()));
    if host.is_ascii() && !host.is_empty() {
        names.push(host.to_ascii_lowercase());
    }
    names.sort();
    names.dedup();
    let now = Timestamp::now();
    let end = now.checked_add(SignedDuration::from_hours(24 * DAYS)).unwrap_or(now);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, format!("cofre on {host}"));
    let day = |at: Timestamp| {
        let (year, month, day) = date(at);
        date_time_ymd(year, month, day)
    };
    // From yesterday on: clocks differ.
    (params.not_before, params.not_after) = (day(now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(now)), day(end));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let until = end.checked_sub(SignedDuration::from_hours(24)).unwrap_or(end);
    Ok((certificate.pem(), key.serialize_pem(), until))
}

/// Year, month and day in UTC.
fn date(at: Timestamp) -> (i32, u8, u8) {
    let date = at.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
    (i32::from(date.year()), u8::try_from(date.month()).unwrap_or(1), u8::try_from(date.day()).unwrap_or(1))
}

fn keep(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private_file(path)?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// As browsers show it: pairs of digits with colons.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digits: Vec<String> = Sha256::digest(certificate.as_ref()).iter().map(|byte| format!("{byte:02X}")).collect();
    digits.join(":")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_certificate_is_made_once_kept_private_and_made_anew_before_it_ends() {
        let state = tempfile::tempdir().expect("a directory");
        let settings = WebSettings::default();
        let first = Identity::of(&settings, state.path()).expect("made");
        assert!(first.own && first.fingerprint.len() == 32 * 3 - 1);
        for name in ["certificate.pem", "key.pem", "until"] {
            assert_eq!(state.path().join("web").join(name).metadata().expect("there").mode() & 0o077, 0, "{name}");
        }
        assert_eq!(Identity::of(&settings, state.path()).expect("read").fingerprint, first.fingerprint);
        std::fs::write(state.path().join("web/until"), Timestamp::now().to_string()).expect("written");
        assert_ne!(Identity::of(&settings, state.path()).expect("made anew").fingerprint, first.fingerprint);
    }

    #[test]
    fn files_that_are_of_no_use_are_named() {
        let state = tempfile::tempdir().expect("a directory");
        let path = state.path().join("a.pem");
        std::fs::write(&path, "x").expect("written");
        let settings = WebSettings { tls: Some((path.clone(), path)), ..WebSettings::default() };
        let error = Identity::of(&settings, state.path()).err().expect("refused").to_string();
        assert!(error.contains("a.pem") && error.contains("no certificate"), "{error}");
    }
}
