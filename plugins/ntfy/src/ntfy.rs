//! The notifier itself, and what the service's refusals mean. A topic may be as good as a password, so it is in no error.

use cofre_plugin_http_notifier::{Answer, Hidden, exchange, no_files, post_json};
use cofre_sdk::http::Request;
use cofre_sdk::{Attachment, Context as _, Error, ErrorKind, Message, NetworkNeed, Notifier, Result, Secret, SecretNeed, optional_secret};
use serde::Deserialize;

use crate::payload;
use crate::settings::{Settings, is_topic};

/// Publishes to topics.
#[derive(Debug)]
pub struct Ntfy {
    quiet_info: bool,
    server: String,
    topic: Secret,
    token: Option<Secret>,
    hidden: Hidden,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Failure {
    code: u64,
    error: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    id: String,
    healthy: Option<bool>,
}

impl Ntfy {
    fn authorised(&self, request: Request) -> Request {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {}", token.expose())),
            None => request,
        }
    }

    fn publish(&self, topic: &str, message: &Message) -> Result<()> {
        let request = self.authorised(Request::post(format!("{}/", self.server)));
        let answer =
            post_json(request, &payload::of(topic, message, self.quiet_info), &self.hidden).context("cannot publish the message")?;
        let said: Said = answer.json().unwrap_or_default();
        match answer.is_success() {
            true if !said.id.is_empty() => Ok(()),
            true => Err(foreign(&answer)),
            false => Err(refused(&answer)).context("the service did not take the message"),
        }
    }
}

/// Something else answers there, such as the page of a network that wants a login.
fn foreign(answer: &Answer) -> Error {
    answer.refused_as(ErrorKind::Other, "what it said is no answer of ntfy", Some("check `server`"))
}

fn refused(answer: &Answer) -> Error {
    let failure: Failure = answer.json().unwrap_or_default();
    match (answer.status, failure.code) {
        (401, _) => answer.refused(&failure.error, Some("check the secret `token`")),
        (403, _) => answer.refused(&failure.error, Some("the secret `token` must be one of a user who may publish to the topic")),
        // Invalid and disallowed topics.
        (400, 40_009 | 40_010) => answer.refused_as(ErrorKind::InvalidConfig, &failure.error, Some("use another topic")),
        _ => answer.refused(&failure.error, None),
    }
}

impl Notifier for Ntfy {
    type Settings = Settings;

    const NAME: &'static str = "ntfy";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Publishes to a topic of ntfy, at ntfy.sh or a server of your own.";

    fn network() -> Vec<NetworkNeed> {
        vec![
            NetworkNeed::new("ntfy.sh:443", "ntfy.sh, where `server` is not set"),
            NetworkNeed::new("{server}", "the service, where `server` is set"),
        ]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![
            SecretNeed::optional("topic", "topic to publish to, where its name is what keeps others from reading it"),
            SecretNeed::optional("token", "access token, tk_…, where the topic is protected"),
        ]
    }

    fn open(settings: Settings) -> Result<Self> {
        settings.check()?;
        let trimmed = |secret: Secret| Secret::new(secret.expose().trim());
        let (secret, token) = (optional_secret("topic").map(trimmed), optional_secret("token").map(trimmed));
        let topic = match (settings.topic.as_deref(), secret) {
            (Some(topic), None) => Secret::new(topic),
            (None, Some(topic)) if is_topic(topic.expose()) => topic,
            (None, Some(_)) => return Err(Error::invalid_config("the secret `topic` is no topic: 1 to 64 letters, digits, `-` and `_`")),
            _ => return Err(Error::invalid_config("give the topic once: as the setting `topic`, or as the secret `topic`")),
        };
        let hidden = Hidden::new([Some(&topic), token.as_ref()].into_iter().flatten());
        Ok(Self { quiet_info: settings.quiet_info, server: settings.server()?, topic, token, hidden })
    }

    /// Asks for the token's account, or without a token whether the server is well. Whether the token may publish shows only a message.
    fn probe(&self) -> Result<()> {
        let path = if self.token.is_some() { "/v1/account" } else { "/v1/health" };
        let request = self.authorised(Request::get(format!("{}{path}", self.server)));
        let answer = exchange(request, b"", &self.hidden).context("cannot reach the service")?;
        let said: Said = answer.json().unwrap_or_default();
        match (answer.is_success(), said.healthy) {
            (true, Some(false)) => Err(Error::unavailable("the service says that it is not well")),
            (true, None) if self.token.is_none() => Err(foreign(&answer)),
            (true, _) => Ok(()),
            (false, _) => Err(refused(&answer)).context("the service does not work"),
        }
    }

    fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()> {
        no_files(&attachments, "ntfy")?;
        if message.recipients.is_empty() {
            return self.publish(self.topic.expose(), message);
        }
        if message.recipients.iter().any(|topic| !is_topic(topic)) {
            return Err(Error::unsupported("a recipient is no topic of ntfy: 1 to 64 letters, digits, `-` and `_`"));
        }
        // A topic that cannot be told keeps no other from being told.
        let told: Vec<Result<()>> = message.recipients.iter().map(|topic| self.publish(topic, message)).collect();
        told.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use cofre_plugin_http_notifier::testing::{Given, Service, file, message};
    use cofre_sdk::Severity;
    use serde_json::json;

    use super::*;

    const SENT: &str = r#"{"id": "sPs71M8A2T", "time": 1790000000, "event": "message", "topic": "backups"}"#;
    const SECRET: Given<'_> =
        Given { settings: r#"{"quiet_info": true}"#, secrets: &[("topic", "hunter2-topic\n"), ("token", "tk_hunter2")] };
    const PLAIN: Given<'_> = Given { settings: r#"{"topic": "backups", "server": "https://push.example/"}"#, secrets: &[] };

    fn notified(service: &Service, given: Given<'_>, severity: Severity) -> Result<()> {
        service.call(given, |it: &Ntfy| it.notify(&message("run.failed", severity), Vec::new()))
    }

    #[test]
    fn a_message_is_published_as_json() {
        let service = Service::new().answers(200, SENT).answers(200, SENT);
        notified(&service, SECRET, Severity::Critical).expect("it is taken");
        notified(&service, PLAIN, Severity::Warning).expect("it is taken");
        let asked = service.asked();
        assert_eq!((asked[0].method, asked[0].url.as_str(), asked[1].url.as_str()), ("POST", "https://ntfy.sh/", "https://push.example/"));
        assert_eq!((asked[0].header("authorization"), asked[1].header("authorization")), (Some("Bearer tk_hunter2"), None));
        let said = asked[0].json();
        assert_eq!((&said["topic"], &said["title"]), (&json!("hunter2-topic"), &json!("Cópia «principal» falhou 🛟")));
        assert_eq!(said["message"], "Erro: <disco & fita>\nAção: libere espaço em /srv");
        assert_eq!((&said["priority"], &said["tags"]), (&json!(5), &json!(["rotating_light", "run.failed"])));
        assert_eq!((&asked[1].json()["topic"], &asked[1].json()["priority"]), (&json!("backups"), &json!(4)));
    }

    #[test]
    fn what_is_only_for_the_record_makes_a_sound_unless_it_is_not_to() {
        let service = Service::new().answers(200, SENT).answers(200, SENT);
        notified(&service, PLAIN, Severity::Info).expect("it is taken");
        notified(&service, SECRET, Severity::Info).expect("it is taken");
        assert_eq!([3, 2].map(|priority| json!(priority)), [0, 1].map(|at: usize| service.asked()[at].json()["priority"].clone()));
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_by_its_bytes() {
        let service = Service::new().answers(200, SENT);
        let mut long = message("run.failed", Severity::Info);
        (long.subject, long.text) = ("ç".repeat(2_000), "ç🛟".repeat(5_000));
        service.call(PLAIN, |it: &Ntfy| it.notify(&long, Vec::new())).expect("it is taken");
        let said = service.asked()[0].json();
        let (title, text) = (said["title"].as_str().expect("a title"), said["message"].as_str().expect("a text"));
        assert!(title.len() <= 500 && (4_085..=4_096).contains(&text.len()) && text.ends_with('…'), "{} {}", title.len(), text.len());
    }

    #[test]
    fn recipients_are_topics_and_all_of_them_are_tried() {
        let service = Service::new().answers(403, r#"{"code":40301,"http":403,"error":"forbidden"}"#).answers(200, SENT);
        let mut told = message("run.failed", Severity::Info);
        told.recipients = vec!["ana".to_owned(), "rui".to_owned()];
        let error = service.call(PLAIN, |it: &Ntfy| it.notify(&told, Vec::new())).expect_err("one was not told");
        assert_eq!(error.kind(), ErrorKind::AccessDenied);
        assert_eq!(service.asked().iter().map(|asked| asked.json()["topic"].clone()).collect::<Vec<_>>(), [json!("ana"), json!("rui")]);
        told.recipients.push("ana@example.com".to_owned());
        let error = Service::new().call(PLAIN, |it: &Ntfy| it.notify(&told, Vec::new())).expect_err("no topic");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let with_file = Service::new().call(PLAIN, |it: &Ntfy| it.notify(&message("a", Severity::Info), vec![file("a", b"abc", None)]));
        assert_eq!(with_file.expect_err("a file").kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_refusal_has_its_kind_its_wait_and_no_secret() {
        for (status, said, kind) in [
            (401, r#"{"code":40101,"http":401,"error":"unauthorized"}"#, ErrorKind::AccessDenied),
            (403, r#"{"code":40301,"http":403,"error":"forbidden: hunter2-topic"}"#, ErrorKind::AccessDenied),
            (400, r#"{"code":40009,"http":400,"error":"invalid request: topic invalid"}"#, ErrorKind::InvalidConfig),
            (404, r#"{"code":40401,"http":404,"error":"page not found"}"#, ErrorKind::InvalidConfig),
            (413, r#"{"code":41301,"http":413,"error":"attachment too large"}"#, ErrorKind::Unsupported),
            (429, r#"{"code":42901,"http":429,"error":"limit reached: too many requests"}"#, ErrorKind::RateLimited),
            (500, r#"{"code":50001,"http":500,"error":"internal server error, tk_hunter2"}"#, ErrorKind::Unavailable),
            (502, "<html>hunter2-topic</html>", ErrorKind::Unavailable),
            (200, "<html>a portal for hunter2-topic</html>", ErrorKind::Other),
        ] {
            let error =
                notified(&Service::new().answers_with(status, &[("retry-after", "9")], said), SECRET, Severity::Info).expect_err(said);
            assert_eq!((error.kind(), error.wait().map(|wait| wait.as_secs())), (kind, Some(9)), "{error}");
            assert_eq!(error.is_retryable(), matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_probe_publishes_nothing() {
        let service = Service::new().answers(200, r#"{"username": "ana"}"#).answers(401, "{}");
        service.call(SECRET, Ntfy::probe).expect("it works");
        assert_eq!(service.call(SECRET, Ntfy::probe).expect_err("a wrong token").kind(), ErrorKind::AccessDenied);
        assert!(service.asked().iter().all(|asked| (asked.method, asked.url.as_str()) == ("GET", "https://ntfy.sh/v1/account")));
        let service = Service::new().answers(200, r#"{"healthy": true}"#).answers(200, r#"{"healthy": false}"#).answers(200, "<html>");
        service.call(PLAIN, Ntfy::probe).expect("it works");
        assert_eq!(service.call(PLAIN, Ntfy::probe).expect_err("not well").kind(), ErrorKind::Unavailable);
        assert_eq!(service.call(PLAIN, Ntfy::probe).expect_err("not ntfy").kind(), ErrorKind::Other);
        assert_eq!(service.asked()[0].url, "https://push.example/v1/health");
    }

    #[test]
    fn a_topic_is_given_once() {
        for (settings, secrets) in [
            ("{}", &[][..]),
            (r#"{"topic": "a"}"#, &[("topic", "b")]),
            (r#"{"topic": "a/b"}"#, &[]),
            ("{}", &[("topic", "hunter2 topic")]),
            (r#"{"topic": "a", "server": "http://push.example"}"#, &[]),
        ] {
            let error = notified(&Service::new(), Given { settings, secrets }, Severity::Info).expect_err(settings);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
