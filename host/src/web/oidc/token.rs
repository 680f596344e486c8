//! What an ID token must say (OpenID Connect Core 1.0, 2 and 3.1.3.7). Its signature is not looked at: see the module above.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

/// Seconds that two clocks may differ.
const LEEWAY: i64 = 60;
/// Longest token, in bytes.
const TOKEN_MAX: usize = 64 << 10;

/// What is said about somebody, in an ID token or by the userinfo endpoint.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Claims {
    pub sub: String,
    pub preferred_username: Option<String>,
    pub email: Option<String>,
    pub email_verified: Option<bool>,
}

/// What is said about the token itself.
#[derive(Debug, Deserialize)]
struct Token {
    iss: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    nonce: Option<String>,
    #[serde(flatten)]
    claims: Claims,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// What it must say.
pub(super) struct Expected<'a> {
    /// Who issued it.
    pub issuer: &'a str,
    /// Whom it is for.
    pub client: &'a str,
    /// To which login it belongs.
    pub nonce: &'a str,
}

/// The claims of a token that came from the token endpoint.
///
/// # Errors
/// In words, when it is not for us, not of this login, or too old.
pub(super) fn checked(token: &str, expected: &Expected<'_>, now: Timestamp) -> Result<Claims, String> {
    let unreadable = |why: &dyn std::fmt::Display| format!("its ID token cannot be read: {why}");
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None, true) = (parts.next(), parts.next(), parts.next(), parts.next(), token.len() <= TOKEN_MAX)
    else {
        return Err(unreadable(&"it has not three parts, or is too long"));
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|error| unreadable(&error))?;
    let token: Token = serde_json::from_slice(&payload).map_err(|error| unreadable(&error))?;
    if token.iss != expected.issuer {
        return Err(format!("its ID token is of another issuer, `{}`", token.iss));
    }
    let (ours, several) = match &token.aud {
        Audience::One(one) => (one == expected.client, false),
        Audience::Several(all) => (all.iter().any(|one| one == expected.client), all.len() > 1),
    };
    let to_others = match &token.azp {
        Some(azp) => azp != expected.client,
        None => several,
    };
    if !ours || to_others {
        return Err("its ID token is for somebody else than web.oidc.client_id".to_owned());
    }
    if !super::secret::same(token.nonce.unwrap_or_default().as_bytes(), expected.nonce.as_bytes()) {
        return Err("its ID token is of another login".to_owned());
    }
    // A moment as JSON writes it, which may have a fraction.
    if token.exp + (LEEWAY as f64) < now.as_second() as f64 {
        return Err("its ID token has expired; are both clocks right?".to_owned());
    }
    if token.claims.sub.is_empty() {
        return Err("its ID token is about nobody".to_owned());
    }
    Ok(token.claims)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn token(change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": "https://a", "aud": "cofre", "exp": NOW + 300, "nonce": "n", "sub": "1", "preferred_username": "maria",
        });
        change(&mut claims);
        format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn check(token: &str) -> Result<Claims, String> {
        let expected = Expected { issuer: "https://a", client: "cofre", nonce: "n" };
        checked(token, &expected, Timestamp::from_second(NOW).expect("a moment"))
    }

    #[test]
    fn what_is_for_us_and_of_this_login_says_who_it_is() {
        let claims = check(&token(|_| {})).expect("good");
        assert_eq!((claims.sub.as_str(), claims.preferred_username.as_deref()), ("1", Some("maria")));
        assert!(check(&token(|claims| claims["aud"] = json!(["cofre"]))).is_ok());
        assert!(
            check(&token(|claims| {
                claims["aud"] = json!(["cofre", "other"]);
                claims["azp"] = json!("cofre");
            }))
            .is_ok()
        );
        assert!(check(&token(|claims| claims["exp"] = json!(NOW - 30))).is_ok(), "clocks differ");
    }

    #[test]
    fn everything_else_is_refused_and_why() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 9] = [
            (|claims| claims["iss"] = json!("https://b"), "another issuer"),
            (|claims| claims["aud"] = json!("other"), "somebody else"),
            (|claims| claims["aud"] = json!(["cofre", "other"]), "somebody else"),
            (|claims| claims["azp"] = json!("other"), "somebody else"),
            (|claims| claims["nonce"] = json!("m"), "another login"),
            (|claims| claims["nonce"] = Value::Null, "another login"),
            (|claims| claims["exp"] = json!(NOW - 61), "expired"),
            (|claims| claims["sub"] = json!(""), "nobody"),
            (|claims| claims["exp"] = json!("x"), "cannot be read"),
        ];
        for (change, why) in cases {
            let error = check(&token(change)).expect_err("wrong");
            assert!(error.contains(why), "{error}");
        }
        for text in ["", "a.b", "a.b.c.d", "e30.?.", "e30.e30."] {
            assert!(check(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = check(&text);
            let _ = check(&format!("e30.{}.", URL_SAFE_NO_PAD.encode(text)));
        }
    }
}
