//! Who the server must be. A key that is not one of these ends the connection before anything is told to it, the user's name included.

use std::borrow::Cow;

use russh::keys::ssh_key::Fingerprint;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

/// Names of the kinds of keys that a line can hold.
const KINDS: [&str; 5] = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

/// What we ask of a server by itself, best first. Signatures with SHA-1 are not asked for: OpenSSH has the others since 7.2 (2016).
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// The keys that a server may have; without any, no server is the right one.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostKeys(Vec<Pin>);

#[derive(Debug, Clone)]
enum Pin {
    Key(PublicKey),
    Fingerprint(Fingerprint),
}

impl HostKeys {
    /// Reads keys, one a line: a fingerprint, or a key as a `.pub` file, `known_hosts` or `ssh-keyscan` has it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pins = lines.map(pin).collect::<Result<Vec<_>, _>>()?;
        if pins.is_empty() {
            Err("there is no key; write `ssh-ed25519 AAAA…` or `SHA256:…`, or leave the setting out".to_owned())
        } else {
            Ok(Self(pins))
        }
    }

    /// Whether none was set.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `key` is one of them.
    pub(crate) fn contains(&self, key: &PublicKey) -> bool {
        self.0.iter().any(|pin| match pin {
            Pin::Key(known) => known.key_data() == key.key_data(),
            Pin::Fingerprint(known) => key.fingerprint(HashAlg::Sha256) == *known,
        })
    }

    /// What to ask the server to prove itself with, best first. A fingerprint does not tell of what kind its key is: any kind may be it, but
    /// those in `wrong`, of which the server has shown another key.
    pub(crate) fn algorithms(&self, wrong: &[Algorithm]) -> Cow<'static, [Algorithm]> {
        let any = self.0.is_empty() || self.0.iter().any(|pin| matches!(pin, Pin::Fingerprint(_)));
        let pinned = |asked: &Algorithm| self.0.iter().any(|pin| matches!(pin, Pin::Key(key) if same_kind(&key.algorithm(), asked)));
        let asked = ALGORITHMS.into_iter().filter(|asked| (any || pinned(asked)) && !wrong.iter().any(|wrong| same_kind(wrong, asked)));
        asked.collect()
    }
}

/// The line for the settings by which a server with this key is accepted.
pub(crate) fn line(key: &PublicKey) -> String {
    let mut bare = key.clone();
    bare.set_comment("");
    let text = bare.to_openssh().unwrap_or_else(|_| fingerprint(key));
    format!("host_key = \"{}\"", text.trim())
}

/// As `ssh-keygen -l` prints it.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// One kind is served by one key: an RSA key signs with either digest.
fn same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    one == other || matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

fn pin(line: &str) -> Result<Pin, String> {
    let wrong = |why: &str| format!("`{}`: {why}", line.escape_debug());
    if line.starts_with("SHA256:") {
        let known =
            line.trim_end_matches('=').parse().map_err(|_| wrong("this is no fingerprint; it has 43 characters after `SHA256:`"))?;
        return Ok(Pin::Fingerprint(known));
    }
    if line.starts_with('@') {
        return Err(wrong("certificate authorities and revoked keys cannot be set here; write the server's own key"));
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    // `known_hosts` and `ssh-keyscan` have the server's name in front.
    let kind = words.iter().take(2).position(|word| KINDS.contains(word));
    match kind.and_then(|at| words.get(at..at + 2)) {
        Some(key) => PublicKey::from_openssh(&key.join(" ")).map(Pin::Key).map_err(|_| wrong("this is no key, or not all of one")),
        None => Err(wrong("write a key as `ssh-ed25519 AAAA…` or a fingerprint as `SHA256:…`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILagOJFgwaMNhBWQINinKOXmqS4Gh5NgxgriXwdOoINJ";

    fn key(line: &str) -> PublicKey {
        PublicKey::from_openssh(line).expect("a key")
    }

    #[test]
    fn a_server_is_known_by_its_key_or_fingerprint_in_every_way_to_write_them() {
        let fingerprint = fingerprint(&key(ED25519));
        for text in [
            ED25519.to_owned(),
            format!("{ED25519} root@server"),
            format!("backup.example.com,192.0.2.1 {ED25519}"),
            format!("[backup.example.com]:2222 {ED25519} comment"),
            format!("# old and new\n{OTHER}\n\n{ED25519}\n"),
            fingerprint.clone(),
            format!("{fingerprint}="),
        ] {
            let keys = HostKeys::parse(&text).expect(&text);
            assert!(keys.contains(&key(ED25519)), "{text}");
            assert_eq!(keys.contains(&key(OTHER)), text.contains(OTHER), "{text}");
        }
        assert!(!HostKeys::default().contains(&key(ED25519)));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "# nothing",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "SHA256:abc",
            "MD5:1:2",
            "a b c d",
            "ssh-dss AAAA",
            "@cert-authority * ssh-ed25519 AAAA",
        ] {
            assert!(HostKeys::parse(text).is_err(), "{text}");
        }
        assert!(HostKeys::parse(&format!("{ED25519}\nnonsense")).is_err());
    }

    #[test]
    fn the_line_to_add_is_one_that_is_read() {
        let mut key = key(ED25519);
        key.set_comment("root@server");
        assert_eq!(line(&key), format!("host_key = \"{ED25519}\""));
    }

    #[test]
    fn a_server_is_asked_for_the_kinds_of_keys_that_are_known() {
        assert_eq!(*HostKeys::parse(ED25519).expect("a key").algorithms(&[]), [Algorithm::Ed25519]);
        let by_fingerprint = HostKeys::parse(&fingerprint(&key(ED25519))).expect("a fingerprint");
        assert_eq!(by_fingerprint.algorithms(&[]).len(), 6);
        let rest = by_fingerprint.algorithms(&[Algorithm::Ed25519, Algorithm::Rsa { hash: None }]);
        assert!(rest.len() == 3 && rest.iter().all(|one| matches!(one, Algorithm::Ecdsa { .. })), "{rest:?}");
    }
}
