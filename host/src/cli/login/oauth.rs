//! The two ways to agree without a browser on this machine: a code typed on another device (RFC 8628), and a code pasted back, bound to
//! this program by PKCE (RFC 7636). What is kept is the refresh token; the access token that comes with it is dropped.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::LoginError;
use super::https::{Answer, Https, field, form};
use crate::cli::args::CloudService;

/// Where a browser is sent with the code. Nothing listens there: the address itself, with the code in it, is what is pasted.
const NOBODY: &str = "http://127.0.0.1:1";
/// Times that a device asks again at the least.
const INTERVAL: u64 = 5;

/// A client of a service, and where the service is.
pub(super) struct Client {
    pub(super) service: CloudService,
    pub(super) id: String,
    pub(super) secret: Option<Zeroizing<String>>,
    pub(super) scope: String,
    /// Another service with the same interfaces.
    pub(super) endpoint: Option<String>,
}

/// What the user types on another device.
pub(super) struct DeviceCode {
    secret: Zeroizing<String>,
    pub(super) user_code: String,
    pub(super) address: String,
    pub(super) valid: Duration,
    interval: Duration,
}

/// What the user is shown, and what proves afterwards that it was us who asked.
pub(super) struct Request {
    pub(super) address: String,
    verifier: Zeroizing<String>,
    state: String,
}

impl Client {
    fn address(&self, google: &str, dropbox: &str) -> String {
        let public = if self.service == CloudService::Gdrive { google } else { dropbox };
        let path = public.splitn(4, '/').nth(3).unwrap_or_default();
        self.endpoint.as_ref().map_or_else(|| public.to_owned(), |endpoint| format!("{}/{path}", endpoint.trim_end_matches('/')))
    }

    fn token_address(&self) -> String {
        self.address("https://oauth2.googleapis.com/token", "https://api.dropboxapi.com/oauth2/token")
    }

    /// Asks for a code to be typed.
    pub(super) async fn device(&self, https: &Https) -> Result<DeviceCode, LoginError> {
        let address = self.address("https://oauth2.googleapis.com/device/code", "");
        let answer = https.post(&address, &[("client_id", &self.id), ("scope", &self.scope)]).await?;
        let text = |name: &str| answer.json.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str, default| answer.json.get(name).and_then(Value::as_u64).unwrap_or(default);
        match (answer.status, text("device_code"), text("user_code"), text("verification_url").or(text("verification_uri"))) {
            (200, Some(device_code), Some(user_code), Some(address)) => Ok(DeviceCode {
                secret: Zeroizing::new(device_code),
                user_code,
                address,
                valid: Duration::from_secs(number("expires_in", 1_800)),
                interval: Duration::from_secs(number("interval", INTERVAL).max(1)),
            }),
            _ => Err(refused(&answer)),
        }
    }

    /// Asks until the user has agreed, at the pace that the service sets.
    pub(super) async fn wait_for(&self, https: &Https, code: &DeviceCode) -> Result<Zeroizing<String>, LoginError> {
        let (begun, mut interval) = (Instant::now(), code.interval);
        let secret = self.secret.as_deref().map_or("", String::as_str);
        let fields = [
            ("client_id", self.id.as_str()),
            ("client_secret", secret),
            ("device_code", &code.secret),
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ];
        while begun.elapsed() < code.valid {
            tokio::time::sleep(interval).await;
            let answer = https.post(&self.token_address(), &fields).await?;
            match answer.json.get("error").and_then(Value::as_str) {
                Some("authorization_pending") => {}
                Some("slow_down") => interval += Duration::from_secs(INTERVAL),
                _ => return refresh_token(answer),
            }
        }
        Err(LoginError::new("nobody typed the code in time; begin again".to_owned()))
    }

    /// The address at which the user agrees.
    pub(super) fn request(&self) -> Result<Request, LoginError> {
        let (verifier, state) = (random()?, random()?.to_string());
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut fields = vec![
            ("client_id", self.id.as_str()),
            ("response_type", "code"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        match self.service {
            CloudService::Gdrive => fields.extend([
                ("redirect_uri", NOBODY),
                ("scope", &self.scope),
                ("state", &state),
                ("access_type", "offline"),
                // Without it, an account that agreed once before gives no second refresh token.
                ("prompt", "consent"),
            ]),
            CloudService::Dropbox => fields.push(("token_access_type", "offline")),
        }
        let base = self.address("https://accounts.google.com/o/oauth2/v2/auth", "https://www.dropbox.com/oauth2/authorize");
        Ok(Request { address: format!("{base}?{}", form(&fields)), verifier, state })
    }

    /// Exchanges what was pasted: a code, or the address with the code in it.
    pub(super) async fn exchange(&self, https: &Https, request: &Request, pasted: &str) -> Result<Zeroizing<String>, LoginError> {
        let code = code_in(pasted, &request.state)?;
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("client_id", self.id.as_str()),
            ("code_verifier", request.verifier.as_str()),
        ];
        fields.extend(self.secret.as_deref().map(|secret| ("client_secret", secret.as_str())));
        fields.extend((self.service == CloudService::Gdrive).then_some(("redirect_uri", NOBODY)));
        refresh_token(https.post(&self.token_address(), &fields).await?)
    }
}

/// 256 bits, as text that is good for a verifier.
fn random() -> Result<Zeroizing<String>, LoginError> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *bytes).map_err(|error| LoginError::new(format!("the system gives no randomness: {error}")))?;
    Ok(Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes)))
}

/// The code in what was pasted; an address must be the answer to this request and not to another one.
fn code_in(pasted: &str, state: &str) -> Result<Zeroizing<String>, LoginError> {
    let pasted = pasted.trim();
    let Some((_, query)) = pasted.split_once('?') else {
        let plain = !pasted.is_empty() && pasted.bytes().all(|b| b.is_ascii_graphic());
        return if plain { Ok(Zeroizing::new(pasted.to_owned())) } else { Err(LoginError::new("what was pasted is no code".to_owned())) };
    };
    let query = query.split('#').next().unwrap_or_default();
    if let Some(error) = field(query, "error") {
        return Err(LoginError::new(format!("the account did not agree: {}", clean(&error))));
    }
    if field(query, "state").is_some_and(|found| found != state) {
        return Err(LoginError::new("what was pasted answers another request; use the address that was printed last".to_owned()));
    }
    field(query, "code").map(Zeroizing::new).ok_or_else(|| LoginError::new("there is no code in the address that was pasted".to_owned()))
}

/// The refresh token in an answer.
fn refresh_token(answer: Answer) -> Result<Zeroizing<String>, LoginError> {
    if answer.status != 200 {
        return Err(refused(&answer));
    }
    match answer.json.get("refresh_token").and_then(Value::as_str).filter(|token| !token.is_empty()) {
        Some(token) if token.bytes().all(|b| b.is_ascii_graphic()) => Ok(Zeroizing::new(token.to_owned())),
        _ => {
            Err(LoginError::new("the service gave no refresh token: remove the app's access in the account, then log in again".to_owned()))
        }
    }
}

/// Why the service refused (RFC 6749 section 5.2).
fn refused(answer: &Answer) -> LoginError {
    let text = |name: &str| answer.json.get(name).and_then(Value::as_str).map(clean).unwrap_or_default();
    let words = [text("error"), text("error_description")].join(" ");
    LoginError::new(format!("the service refused (status {}): {}", answer.status, words.trim()))
}

fn clean(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(service: CloudService) -> Client {
        Client { service, id: "id".to_owned(), secret: None, scope: "drive".to_owned(), endpoint: None }
    }

    #[test]
    fn a_pasted_code_is_found_in_its_address_and_one_of_another_request_is_not_taken() {
        let code = |pasted: &str| code_in(pasted, "s1").map(|code| code.to_string());
        assert_eq!(code(" 4/0Ab-c \n").expect("a code"), "4/0Ab-c");
        assert_eq!(code("http://127.0.0.1:1/?state=s1&code=4%2F0Ab&scope=x#y").expect("a code"), "4/0Ab");
        for (pasted, why) in [
            ("", "no code"),
            ("two words", "no code"),
            ("http://127.0.0.1:1/?state=s2&code=4", "another request"),
            ("http://127.0.0.1:1/?error=access_denied&state=s1", "access_denied"),
            ("http://127.0.0.1:1/?state=s1", "no code"),
        ] {
            let error = code(pasted).expect_err(pasted).to_string();
            assert!(error.contains(why), "{pasted}: {error}");
        }
    }

    #[test]
    fn an_address_to_agree_at_has_the_challenge_and_not_the_verifier() {
        let request = client(CloudService::Dropbox).request().expect("randomness");
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(request.verifier.as_bytes()));
        assert!(request.address.starts_with("https://www.dropbox.com/oauth2/authorize?"), "{}", request.address);
        assert!(request.address.contains(&challenge) && !request.address.contains(request.verifier.as_str()));
        assert!(request.verifier.len() == 43 && request.address.contains("token_access_type=offline"));
        let google = client(CloudService::Gdrive).request().expect("randomness").address;
        assert!(google.contains("redirect_uri=http%3A%2F%2F127.0.0.1%3A1&") && google.contains("access_type=offline"), "{google}");
    }

    #[test]
    fn an_answer_without_a_refresh_token_is_no_success() {
        let answer = |status: u16, json: &str| Answer { status, json: serde_json::from_str(json).expect("JSON") };
        assert_eq!(refresh_token(answer(200, r#"{"refresh_token": "1//x"}"#)).expect("a token").as_str(), "1//x");
        assert!(refresh_token(answer(200, r#"{"access_token": "a"}"#)).is_err());
        assert!(refresh_token(answer(200, r#"{"refresh_token": "a\nb"}"#)).is_err());
        let error =
            refresh_token(answer(400, r#"{"error": "invalid_grant", "error_description": "Bad"}"#)).expect_err("refused").to_string();
        assert!(error.contains("invalid_grant Bad"), "{error}");
    }
}
