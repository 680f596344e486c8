//! The notifier itself, and what the service's refusals mean ("Opcodes and Status Codes").

use std::time::Duration;

use cofre_plugin_http_notifier::{Answer, Form, Hidden, SecretAddress, exchange, files_beside_the_text, no_recipients, post_json};
use cofre_sdk::http::Request;
use cofre_sdk::{Attachment, Context as _, Error, Message, NetworkNeed, Notifier, Result, SecretNeed, secret};
use serde::Deserialize;

use crate::payload;
use crate::settings::Settings;

/// Bytes of all files of a message, where the server is not boosted ("Uploading Files").
const LARGEST_FILES: u64 = 10 << 20;

/// Files of a message.
const MOST_FILES: usize = 10;

/// Longest wait that is believed.
const LONGEST_WAIT: f64 = 86_400.0;

/// Tells the channel of a webhook.
#[derive(Debug)]
pub struct Discord {
    settings: Settings,
    webhook: SecretAddress,
    hidden: Hidden,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Failure {
    message: String,
    code: u64,
    /// Seconds.
    retry_after: Option<f64>,
}

impl Discord {
    /// A message's own address: without `wait` the service answers before it knows whether it takes the message.
    fn request(&self) -> Request {
        Request::post(self.webhook.with("", "wait=true"))
    }
}

fn refused(answer: &Answer) -> Error {
    let failure: Failure = answer.json().unwrap_or_default();
    let mend = match (answer.status, failure.code) {
        (401 | 404, _) => Some("the webhook was removed or its address is wrong; make a new one and give its address as the secret `url`"),
        (_, 40_005) => Some("the files are larger than this server takes"),
        _ => None,
    };
    let error = answer.refused(&failure.message, mend);
    // The body is the more exact one.
    match failure.retry_after.filter(|wait| (0.0..=LONGEST_WAIT).contains(wait)) {
        Some(wait) => error.retry_after(Some(Duration::from_secs_f64(wait))),
        None => error,
    }
}

fn refuse_what_is_too_much(files: &[Attachment]) -> Result<()> {
    let size: u64 = files.iter().map(|file| file.body.remaining()).sum();
    if files.len() > MOST_FILES || size > LARGEST_FILES {
        let limit = format!("Discord takes {MOST_FILES} files a message, of {LARGEST_FILES} bytes in all");
        return Err(Error::unsupported(format!("{limit}, and there are {} of {size} bytes", files.len())));
    }
    Ok(())
}

impl Notifier for Discord {
    type Settings = Settings;

    const NAME: &'static str = "discord";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Tells a channel of Discord through a webhook.";

    fn network() -> Vec<NetworkNeed> {
        vec![
            NetworkNeed::new("discord.com:443", "Discord, where `server` is not set"),
            NetworkNeed::new("{server}", "the service, where `server` is set"),
        ]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![SecretNeed::required("url", "whole address of the webhook, https://discord.com/api/webhooks/…")]
    }

    fn open(settings: Settings) -> Result<Self> {
        settings.check()?;
        let webhook = SecretAddress::open("url", &secret("url")?, &settings.server()?)?;
        Ok(Self { settings, hidden: webhook.hidden(), webhook })
    }

    /// Asks for the webhook itself; nobody sees that.
    fn probe(&self) -> Result<()> {
        let answer = exchange(Request::get(self.webhook.expose()), b"", &self.hidden).context("cannot reach the webhook")?;
        if answer.is_success() { Ok(()) } else { Err(refused(&answer)).context("cannot use the webhook") }
    }

    fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()> {
        no_recipients(message, "Discord tells the channel of its webhook")?;
        let files = files_beside_the_text(attachments);
        refuse_what_is_too_much(&files)?;
        let body = payload::of(message, self.settings.username.as_deref());
        let answer = if files.is_empty() {
            post_json(self.request(), &body, &self.hidden)
        } else {
            let mut form = Form::new().field("payload_json", "application/json", &body.to_string());
            for (at, file) in files.into_iter().enumerate() {
                form = form.file(&format!("files[{at}]"), file);
            }
            form.send(self.request()).and_then(|response| Answer::read(response, &self.hidden))
        };
        let answer = answer.context("cannot post the message")?;
        if answer.is_success() { Ok(()) } else { Err(refused(&answer)).context("the webhook did not take the message") }
    }
}

#[cfg(test)]
mod tests {
    use cofre_plugin_http_notifier::testing::{Given, Service, file, message};
    use cofre_sdk::{Body, ErrorKind, Severity};
    use serde_json::json;

    use super::*;

    const URL: &str = "https://discord.com/api/webhooks/123456789012345678/hunter2-token?thread_id=7";
    const GIVEN: Given<'_> = Given { settings: r#"{"username": "cofre"}"#, secrets: &[("url", URL)] };

    fn notified(service: &Service, files: Vec<Attachment>) -> Result<()> {
        service.call(GIVEN, |it: &Discord| it.notify(&message("run.failed", Severity::Critical), files))
    }

    #[test]
    fn a_message_is_an_embed_that_calls_nobody() {
        let service = Service::new().answers(200, "{}");
        notified(&service, Vec::new()).expect("it is taken");
        let [asked] = &service.asked()[..] else { panic!("one request") };
        assert_eq!((asked.method, asked.url.as_str()), ("POST", &*format!("{URL}&wait=true")));
        let said = asked.json();
        assert_eq!((&said["username"], &said["allowed_mentions"]), (&json!("cofre"), &json!({"parse": []})));
        let embed = &said["embeds"][0];
        assert_eq!((&embed["title"], &embed["color"]), (&json!("Cópia «principal» falhou 🛟"), &json!(0x00C6_2828)));
        assert_eq!(embed["description"], "Erro: \\<disco & fita\\>\nAção: libere espaço em /srv");
        assert_eq!((&embed["timestamp"], &embed["footer"]["text"]), (&json!("2026-09-21T14:13:20Z"), &json!("cofre · run.failed")));
    }

    #[test]
    fn what_is_too_long_is_cut_to_every_limit() {
        let service = Service::new().answers(200, "{}");
        let mut long = message(&"x".repeat(3_000), Severity::Info);
        (long.subject, long.text) = ("é🛟".repeat(500), "@everyone 🛟".repeat(2_000));
        service.call(GIVEN, |it: &Discord| it.notify(&long, Vec::new())).expect("it is taken");
        let said = service.asked()[0].json();
        let length = |text: &serde_json::Value| text.as_str().expect("a text").encode_utf16().count();
        let embed = &said["embeds"][0];
        let (title, text, footer) = (length(&embed["title"]), length(&embed["description"]), length(&embed["footer"]["text"]));
        assert!(title <= 256 && text <= 4_096 && footer <= 2_048 && title + text + footer <= 6_000, "{title} {text} {footer}");
        assert!(title > 250 && text > 4_080, "{title} {text}");
    }

    #[test]
    fn files_go_in_one_form_with_the_message() {
        let service = Service::new().answers(200, "{}");
        let files = vec![file("cópia.tar.enc", b"abc", None), file("plot.png", b"x", Some("plot")), file("b", b"de", None)];
        notified(&service, files).expect("it is taken");
        let [asked] = &service.asked()[..] else { panic!("one request") };
        let form = asked.text();
        assert!(asked.header("content-type").is_some_and(|kind| kind.starts_with("multipart/form-data; boundary=")));
        assert!(form.contains("name=\"payload_json\"\r\nContent-Type: application/json\r\n\r\n{"), "{form}");
        assert!(
            form.contains("name=\"files[0]\"; filename=\"cópia.tar.enc\"") && form.contains("name=\"files[1]\"; filename=\"b\""),
            "{form}"
        );
        assert!(!form.contains("plot"), "{form}");
    }

    #[test]
    fn files_that_are_too_many_too_large_or_too_short_tell_nobody() {
        let mut large = file("a", b"", None);
        large.body = Body::from_reader(std::io::repeat(0), LARGEST_FILES + 1);
        assert_eq!(notified(&Service::new(), vec![large]).expect_err("too large").kind(), ErrorKind::Unsupported);
        let many = (0..=MOST_FILES).map(|_| file("a", b"", None)).collect();
        assert_eq!(notified(&Service::new(), many).expect_err("too many").kind(), ErrorKind::Unsupported);
        let mut short = file("a", b"", None);
        short.body = Body::from_reader(&b"abc"[..], 4);
        assert_eq!(notified(&Service::new(), vec![short]).expect_err("a byte is missing").kind(), ErrorKind::Integrity);
    }

    #[test]
    fn a_refusal_has_its_kind_its_wait_and_no_secret() {
        for (status, said, kind, wait) in [
            (401, r#"{"message": "Invalid Webhook Token", "code": 50027}"#, ErrorKind::AccessDenied, Some(9_000)),
            (404, r#"{"message": "Unknown Webhook hunter2-token", "code": 10015}"#, ErrorKind::InvalidConfig, Some(9_000)),
            (400, r#"{"message": "Cannot send an empty message", "code": 50006}"#, ErrorKind::Other, Some(9_000)),
            (413, r#"{"message": "Request entity too large", "code": 40005}"#, ErrorKind::Unsupported, Some(9_000)),
            (
                429,
                r#"{"message": "You are being rate limited.", "retry_after": 1.25, "global": false}"#,
                ErrorKind::RateLimited,
                Some(1_250),
            ),
            (429, r#"{"message": "You are being rate limited.", "retry_after": -1e300}"#, ErrorKind::RateLimited, Some(9_000)),
            (429, "error code: 1015", ErrorKind::RateLimited, Some(9_000)),
            (502, "<html>hunter2-token 123456789012345678</html>", ErrorKind::Unavailable, Some(9_000)),
        ] {
            let error = notified(&Service::new().answers_with(status, &[("retry-after", "9")], said), Vec::new()).expect_err(said);
            assert_eq!((error.kind(), error.wait().map(|wait| wait.as_millis())), (kind, wait), "{error}");
            assert_eq!(error.is_retryable(), matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_probe_only_looks_at_the_webhook() {
        let service = Service::new().answers(200, "{}").answers(404, r#"{"message": "Unknown Webhook", "code": 10015}"#);
        service.call(GIVEN, Discord::probe).expect("it works");
        assert_eq!(service.call(GIVEN, Discord::probe).expect_err("it is gone").kind(), ErrorKind::InvalidConfig);
        assert!(service.asked().iter().all(|asked| asked.method == "GET" && asked.body.is_empty()));
    }

    #[test]
    fn what_cannot_work_is_refused_unseen() {
        let mut told = message("run.failed", Severity::Critical);
        told.recipients.push("@ana".to_owned());
        let named = Service::new().call(GIVEN, |it: &Discord| it.notify(&told, Vec::new()));
        assert_eq!(named.expect_err("a name").kind(), ErrorKind::Unsupported);
        let elsewhere = Given { secrets: &[("url", "https://evil.example/hunter2")], ..GIVEN };
        let error = Service::new().call(elsewhere, Discord::probe).expect_err("not Discord's");
        assert!(error.kind() == ErrorKind::InvalidConfig && !error.to_string().contains("hunter2"), "{error}");
        let name = Given { settings: r#"{"username": "Discord"}"#, ..GIVEN };
        assert_eq!(Service::new().call(name, Discord::probe).expect_err("the service refuses it").detail("pointer"), Some("/username"));
    }
}
