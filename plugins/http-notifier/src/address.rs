//! Addresses: those in the settings, and those that are secrets themselves because whoever knows one may post to it.

use std::fmt;

use cofre_sdk::{Error, Result, Secret};

use crate::answer::Hidden;

/// Checks an address in the settings, and gives it without `/` at its end.
///
/// # Errors
/// `invalid-config` with the setting's JSON pointer, where it is no address, or would carry secrets unencrypted to another machine.
pub fn endpoint(pointer: &str, text: &str, allow_plaintext: bool) -> Result<String> {
    let Some((secure, rest)) = scheme(text) else { return refuse_setting(pointer, "write it as `https://host[:port]`") };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return refuse_setting(pointer, "it names no host, or a user before it");
    }
    if !text.bytes().all(|letter| letter.is_ascii_graphic()) || text.contains(['?', '#']) {
        return refuse_setting(pointer, "it has a space, `?`, `#`, or a letter that must be written as `%XX`");
    }
    if !secure && !allow_plaintext && !is_this_machine(authority) {
        return refuse_setting(pointer, "http:// is not encrypted; write https://, or set `allow_plaintext`");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The setting at `pointer` cannot work.
///
/// # Errors
/// Always: `invalid-config` that says so.
pub fn refuse_setting<T>(pointer: &str, why: &str) -> Result<T> {
    Err(Error::invalid_config(format!("{pointer}: {why}")).with("pointer", pointer))
}

fn scheme(text: &str) -> Option<(bool, &str)> {
    text.strip_prefix("https://").map(|rest| (true, rest)).or_else(|| text.strip_prefix("http://").map(|rest| (false, rest)))
}

fn is_this_machine(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An address that nobody may see.
#[derive(Clone)]
pub struct SecretAddress(Secret);

impl SecretAddress {
    /// The secret `name`, which is an address below `server` (`https://host[:port]`).
    ///
    /// # Errors
    /// `invalid-config` that names the secret and the server, and nothing of what the secret is.
    pub fn open(name: &str, secret: &Secret, server: &str) -> Result<Self> {
        let text = secret.expose().trim();
        let wrong = |why: String| Err(Error::invalid_config(format!("the secret `{name}` {why}")));
        if !text.bytes().all(|letter| letter.is_ascii_graphic()) || text.contains('#') {
            return wrong("is no address: it has a space, a `#`, or a letter that must be written as `%XX`".to_owned());
        }
        match text.strip_prefix(server) {
            Some(path) if path.len() > 1 && path.starts_with('/') => Ok(Self(Secret::new(text))),
            _ => wrong(format!("is no address below {server}/")),
        }
    }

    /// The address itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The address with more at the end of its path, and a query that is added to its own; either may be empty.
    pub fn with(&self, path: &str, query: &str) -> String {
        let (address, own) = self.0.expose().split_once('?').unwrap_or((self.0.expose(), ""));
        let queries: Vec<&str> = [own, query].into_iter().filter(|query| !query.is_empty()).collect();
        let mark = if queries.is_empty() { "" } else { "?" };
        format!("{}{path}{mark}{}", address.trim_end_matches('/'), queries.join("&"))
    }

    /// All of it that makes it a secret, also where only a part is repeated.
    pub fn hidden(&self) -> Hidden {
        let text = self.0.expose();
        let path = text.splitn(4, '/').nth(3).unwrap_or_default();
        Hidden::new([&self.0]).and_parts_of(path)
    }
}

impl fmt::Debug for SecretAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_encrypted_address_leaves_this_machine() {
        for fine in ["https://h", "https://h:8443/a", "http://localhost:1", "http://127.0.0.1:80", "http://[::1]:80"] {
            assert_eq!(endpoint("/server", fine, false).expect(fine), fine);
        }
        assert_eq!(endpoint("/server", "http://h/", true).expect("allowed"), "http://h");
        for wrong in
            ["h", "http://h", "http://127.0.0.1.example", "https://", "https://u@h", "https://h/?a", "https://h/a b", "https://h/ç"]
        {
            let error = endpoint("/server", wrong, false).expect_err(wrong);
            assert_eq!(error.detail("pointer"), Some("/server"), "{wrong}");
        }
    }

    #[test]
    fn a_secret_address_is_of_its_service_and_shows_nothing_of_itself() {
        let open = |text: &str| SecretAddress::open("url", &Secret::new(text), "https://chat.example");
        for wrong in [
            "https://chat.example",
            "https://chat.example/",
            "https://chat.example.evil/a",
            "https://h/hunter2",
            "hunter2 ",
            "https://chat.example/hun ter2",
        ] {
            let error = open(wrong).expect_err(wrong).to_string();
            assert!(error.contains("`url`") && !error.contains("hunter2") && !error.contains("hun ter2"), "{error}");
        }
        let address = open("https://chat.example/api/webhooks/T012345678/hunter2-long?thread=7\n").expect("of the service");
        assert_eq!(format!("{address:?}"), "[REDACTED]");
        assert_eq!(address.with("", "wait=true"), "https://chat.example/api/webhooks/T012345678/hunter2-long?thread=7&wait=true");
        assert_eq!(address.with("/fail", ""), "https://chat.example/api/webhooks/T012345678/hunter2-long/fail?thread=7");
        assert_eq!(address.hidden().taken_out_of("no such webhooks: T012345678, hunter2-long"), "no such webhooks: [REDACTED], [REDACTED]");
    }
}
