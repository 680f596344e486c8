//! The notifier itself: one request a message.

use std::time::{SystemTime, UNIX_EPOCH};

use cofre_plugin_http_notifier::{Answer, Hidden, exchange, no_files, no_recipients};
use cofre_sdk::http::{Method, Request};
use cofre_sdk::{Attachment, Context as _, Error, Message, NetworkNeed, Notifier, Result, Secret, SecretNeed, optional_secret};

use crate::settings::Settings;
use crate::{payload, signature, template};

/// Posts messages to an address.
#[derive(Debug)]
pub struct Webhook {
    settings: Settings,
    path: Option<Secret>,
    token: Option<Secret>,
    signing_key: Option<Secret>,
}

impl Webhook {
    /// A request with what every request has, for `body`.
    fn request(&self, method: Method, body: &[u8]) -> Request {
        let path = self.path.as_ref().map_or("", |path| path.expose().trim());
        let address =
            if path.is_empty() { self.settings.url.clone() } else { format!("{}{path}", self.settings.url.trim_end_matches('/')) };
        let mut request = Request::new(method, address).header("user-agent", concat!("cofre-webhook/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose().trim()));
        }
        if let Some(key) = &self.signing_key {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            request = request.header(signature::HEADER, signature::sign(key, now, body));
        }
        request
    }

    fn body(&self, message: &Message) -> Result<String> {
        let message = payload::of(message);
        match &self.settings.template {
            Some(template) => template::fill(template, &message, self.settings.is_json()),
            None => Ok(message.to_string()),
        }
    }

    fn hidden(&self) -> Hidden {
        let secrets = [&self.path, &self.token, &self.signing_key].into_iter().flatten();
        Hidden::new(secrets).and_parts_of(self.path.as_ref().map_or("", Secret::expose))
    }

    fn refusal(answer: &Answer) -> Error {
        let mend = match answer.status {
            401 | 403 => Some("check the secrets `token` and `signing_key`, and what the receiver asks for"),
            404 | 410 => Some("nothing takes messages there; check `url`, and the secret `path` where there is one"),
            405 => Some("the receiver takes another `method`"),
            _ => None,
        };
        answer.refused(&answer.text, mend)
    }
}

impl Notifier for Webhook {
    type Settings = Settings;

    const NAME: &'static str = "webhook";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Posts messages as JSON, signed if wanted, to an address of your own.";

    fn network() -> Vec<NetworkNeed> {
        vec![NetworkNeed::new("{url}", "messages are sent there")]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![
            SecretNeed::optional("signing_key", "key of the signature in X-Cofre-Signature, which the receiver has too"),
            SecretNeed::optional("token", "bearer token of the receiver"),
            SecretNeed::optional("path", "the rest of the address, from `/` on, where it is a secret or has a query"),
        ]
    }

    fn open(settings: Settings) -> Result<Self> {
        settings.check()?;
        let path = optional_secret("path");
        let is_path = |path: &Secret| {
            let text = path.expose().trim();
            text.starts_with(['/', '?']) && text.bytes().all(|letter| letter.is_ascii_graphic() && letter != b'#')
        };
        if path.as_ref().is_some_and(|path| !is_path(path)) {
            return Err(Error::invalid_config("the secret `path` begins with neither `/` nor `?`, or has a letter that no address has"));
        }
        Ok(Self { settings, path, token: optional_secret("token"), signing_key: optional_secret("signing_key") })
    }

    /// `OPTIONS` is a safe method (RFC 9110, 9.2.1), whatever the receiver makes of it: it proves the way there, and the template is tried.
    fn probe(&self) -> Result<()> {
        self.body(&payload::sample())?;
        let answer = exchange(self.request(Method::Options, b""), b"", &self.hidden()).context("cannot reach the receiver")?;
        let refused = answer.status >= 500 && answer.status != 501 || answer.status == 429 || answer.status == 401 && self.token.is_some();
        if refused { Err(Self::refusal(&answer)).context("the receiver does not work") } else { Ok(()) }
    }

    fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()> {
        no_recipients(message, "a webhook tells whoever reads it")?;
        no_files(&attachments, "a webhook")?;
        let body = self.body(message)?;
        let request = self.request(self.settings.method.into(), body.as_bytes()).header("content-type", &self.settings.content_type);
        let answer = exchange(request, body.as_bytes(), &self.hidden()).context("cannot send the message")?;
        if answer.is_success() { Ok(()) } else { Err(Self::refusal(&answer)).context("the receiver did not take the message") }
    }
}

#[cfg(test)]
mod tests {
    use cofre_plugin_http_notifier::testing::{Given, Service, file, message};
    use cofre_sdk::{ErrorKind, Severity};

    use super::*;

    const GIVEN: Given<'_> = Given {
        settings: r#"{"url": "https://hook.example/in/", "headers": {"X-Site": "matriz"}}"#,
        secrets: &[("path", "/v1/hunter2-path?k=hunter2-query\n"), ("token", "hunter2-token"), ("signing_key", "hunter2-key")],
    };

    fn notified(service: &Service, given: Given<'_>) -> Result<()> {
        service.call(given, |hook: &Webhook| hook.notify(&message("run.failed", Severity::Critical), Vec::new()))
    }

    #[test]
    fn a_message_arrives_whole_and_signed() {
        let service = Service::new().answers(202, "");
        notified(&service, GIVEN).expect("it is taken");
        let [asked] = &service.asked()[..] else { panic!("one request") };
        assert_eq!((asked.method, asked.url.as_str()), ("POST", "https://hook.example/in/v1/hunter2-path?k=hunter2-query"));
        assert_eq!(asked.header("authorization"), Some("Bearer hunter2-token"));
        assert_eq!(asked.header("content-type"), Some("application/json"));
        assert_eq!(asked.header("X-Site"), Some("matriz"));
        let said = asked.json();
        assert_eq!((&said["id"], &said["event"]), (&"01J9-principal".into(), &"run.failed".into()));
        assert_eq!(
            (&said["severity"], &said["at"], &said["language"]),
            (&"critical".into(), &"2026-09-21T14:13:20Z".into(), &"pt-BR".into())
        );
        assert_eq!((&said["subject"], &said["facts"]["bytes"]), (&"Cópia «principal» falhou 🛟".into(), &12.into()));
        assert_eq!(said["text"], message("run.failed", Severity::Critical).text);
        let header = asked.header(signature::HEADER).expect("it is signed");
        let time = header.strip_prefix("t=").and_then(|rest| rest.split(',').next()).and_then(|time| time.parse().ok()).expect("a time");
        assert_eq!(header, signature::sign(&Secret::new("hunter2-key"), time, &asked.body));
    }

    #[test]
    fn without_secrets_nothing_is_signed_and_a_template_makes_the_body() {
        let service = Service::new().answers(200, "ok");
        let settings = r#"{"url": "https://h", "method": "PUT", "template": "{{ event }}: {{ subject }}", "content_type": "text/plain"}"#;
        notified(&service, Given { settings, secrets: &[] }).expect("it is taken");
        let [asked] = &service.asked()[..] else { panic!("one request") };
        assert_eq!((asked.method, asked.text().as_str()), ("PUT", "run.failed: Cópia «principal» falhou 🛟"));
        assert_eq!(asked.header("content-type"), Some("text/plain"));
        assert_eq!((asked.header("authorization"), asked.header(signature::HEADER)), (None, None));
    }

    #[test]
    fn a_refusal_has_its_kind_and_no_secret() {
        for (status, kind, retryable) in [
            (302, ErrorKind::InvalidConfig, false),
            (400, ErrorKind::Other, false),
            (401, ErrorKind::AccessDenied, false),
            (403, ErrorKind::AccessDenied, false),
            (404, ErrorKind::InvalidConfig, false),
            (429, ErrorKind::RateLimited, true),
            (503, ErrorKind::Unavailable, true),
        ] {
            let service = Service::new().answers_with(
                status,
                &[("retry-after", "9")],
                "no hunter2-path, no Bearer hunter2-token, no hunter2-key, no hunter2-query",
            );
            let error = notified(&service, GIVEN).expect_err("refused");
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{error}");
            assert_eq!(error.wait().map(|wait| wait.as_secs()), Some(9));
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn people_and_files_are_refused_before_anything_is_sent() {
        let refused = |change: fn(&mut Message), files: Vec<Attachment>| {
            let mut told = message("run.failed", Severity::Critical);
            change(&mut told);
            let answer = Service::new().call(GIVEN, |hook: &Webhook| hook.notify(&told, files));
            answer.expect_err("refused").kind()
        };
        assert_eq!(refused(|told| told.recipients.push("ana".to_owned()), Vec::new()), ErrorKind::Unsupported);
        assert_eq!(refused(|_| (), vec![file("a.tar", b"abc", None)]), ErrorKind::Unsupported);
        let service = Service::new().answers(200, "");
        let shown = vec![file("plot.png", b"abc", Some("plot"))];
        service.call(GIVEN, |hook: &Webhook| hook.notify(&message("report.month", Severity::Info), shown)).expect("only HTML shows it");
    }

    #[test]
    fn a_probe_posts_nothing() {
        let service = Service::new().answers(405, "").answers(503, "").answers(401, "");
        service.call(GIVEN, Webhook::probe).expect("a receiver that knows only POST works");
        assert_eq!(service.call(GIVEN, Webhook::probe).expect_err("it is down").kind(), ErrorKind::Unavailable);
        assert_eq!(service.call(GIVEN, Webhook::probe).expect_err("the token is wrong").kind(), ErrorKind::AccessDenied);
        assert!(service.asked().iter().all(|asked| asked.method == "OPTIONS" && asked.body.is_empty()));
        let wrong = Given { settings: r#"{"url": "https://h", "template": "{"}"#, secrets: &[] };
        assert_eq!(Service::new().call(wrong, Webhook::probe).expect_err("no JSON").detail("pointer"), Some("/template"));
    }

    #[test]
    fn a_secret_path_that_leads_elsewhere_is_refused() {
        for path in [".evil.example/a", "a", "/a b", "/a#b"] {
            let given = Given { settings: r#"{"url": "https://hook.example"}"#, secrets: &[("path", path)] };
            let error = notified(&Service::new(), given).expect_err(path);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        }
    }
}
