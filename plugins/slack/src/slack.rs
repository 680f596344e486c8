//! The notifier itself, and what the service's refusals mean ("Handling errors"): a word as plain text.

use cofre_plugin_http_notifier::{Answer, Hidden, SecretAddress, no_files, no_recipients, post_json};
use cofre_sdk::http::Request;
use cofre_sdk::{Attachment, Context as _, Error, ErrorKind, Message, NetworkNeed, Notifier, Result, SecretNeed, secret};
use serde_json::{Value, json};

use crate::payload;
use crate::settings::Settings;

/// Tells the channel of a webhook.
#[derive(Debug)]
pub struct Slack {
    webhook: SecretAddress,
    hidden: Hidden,
}

impl Slack {
    fn post(&self, body: &Value) -> Result<Answer> {
        post_json(Request::post(self.webhook.expose()), body, &self.hidden)
    }
}

fn refused(answer: &Answer) -> Error {
    let words = answer.text.trim();
    let (kind, mend) = match words {
        "action_prohibited" | "posting_to_general_channel_denied" => {
            (ErrorKind::AccessDenied, "an administrator of the workspace does not let this webhook post there")
        }
        "channel_is_archived" => (ErrorKind::InvalidConfig, "the webhook's channel is archived; make a webhook for another one"),
        "invalid_token" => (ErrorKind::AccessDenied, "the webhook's address is wrong; check the secret `url`"),
        "no_service" | "no_service_id" | "no_active_hooks" | "no_team" | "team_disabled" | "channel_not_found" | "user_not_found" => {
            (ErrorKind::InvalidConfig, "the webhook or its channel is gone; make a new one and give its address as the secret `url`")
        }
        _ if matches!(answer.status, 404 | 410) => (ErrorKind::InvalidConfig, "there is no such webhook; check the secret `url`"),
        _ => return answer.refused(words, None),
    };
    answer.refused_as(kind, words, Some(mend))
}

impl Notifier for Slack {
    type Settings = Settings;

    const NAME: &'static str = "slack";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Tells a channel of Slack, or of a service with the same interface, through an incoming webhook.";

    fn network() -> Vec<NetworkNeed> {
        vec![
            NetworkNeed::new("hooks.slack.com:443", "Slack, where `server` is not set"),
            NetworkNeed::new("{server}", "the service, where `server` is set"),
        ]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![SecretNeed::required("url", "whole address of the incoming webhook, https://hooks.slack.com/services/…")]
    }

    fn open(settings: Settings) -> Result<Self> {
        let webhook = SecretAddress::open("url", &secret("url")?, &settings.server()?)?;
        Ok(Self { hidden: webhook.hidden(), webhook })
    }

    /// Posts a message without anything in it, which a webhook that works refuses for just that.
    fn probe(&self) -> Result<()> {
        let answer = self.post(&json!({})).context("cannot reach the webhook")?;
        let known = refused(&answer).kind() == ErrorKind::InvalidConfig;
        if answer.is_success() || answer.status == 400 && !known { Ok(()) } else { Err(refused(&answer)).context("cannot use the webhook") }
    }

    fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()> {
        no_recipients(message, "Slack tells the channel of its webhook")?;
        no_files(&attachments, "a webhook of Slack")?;
        let answer = self.post(&payload::of(message)).context("cannot post the message")?;
        if answer.is_success() { Ok(()) } else { Err(refused(&answer)).context("the webhook did not take the message") }
    }
}

#[cfg(test)]
mod tests {
    use cofre_plugin_http_notifier::testing::{Given, Service, file, message};
    use cofre_sdk::Severity;

    use super::*;

    const GIVEN: Given<'_> =
        Given { settings: "{}", secrets: &[("url", "https://hooks.slack.com/services/T00000000/B00000000/hunter2-secret\n")] };

    fn notified(service: &Service) -> Result<()> {
        service.call(GIVEN, |it: &Slack| it.notify(&message("run.failed", Severity::Critical), Vec::new()))
    }

    #[test]
    fn a_message_has_its_colour_and_no_mark_up_of_its_own() {
        let service = Service::new().answers(200, "ok");
        notified(&service).expect("it is taken");
        let [asked] = &service.asked()[..] else { panic!("one request") };
        assert_eq!((asked.method, asked.url.as_str()), ("POST", "https://hooks.slack.com/services/T00000000/B00000000/hunter2-secret"));
        let said = asked.json();
        assert_eq!(said["text"], "*Cópia «principal» falhou 🛟*");
        assert_eq!(said["attachments"][0]["text"], "Erro: &lt;disco &amp; fita&gt;\nAção: libere espaço em /srv");
        assert_eq!((&said["attachments"][0]["color"], &said["attachments"][0]["ts"]), (&json!("#c62828"), &json!(1_790_000_000)));
        assert_eq!((&said["attachments"][0]["mrkdwn_in"], &said["unfurl_links"]), (&json!([]), &json!(false)));
    }

    #[test]
    fn a_text_that_is_too_long_is_cut() {
        let service = Service::new().answers(200, "ok");
        let mut long = message("run.failed", Severity::Warning);
        (long.subject, long.text) = ("*<!channel>* ".repeat(200), "&".repeat(100_000));
        service.call(GIVEN, |it: &Slack| it.notify(&long, Vec::new())).expect("it is taken");
        let said = service.asked()[0].json();
        let text = said["attachments"][0]["text"].as_str().expect("a text");
        assert!((7_990..=8_000).contains(&text.len()) && text.ends_with("&amp;…"), "{}", text.len());
        let shown = said["text"].as_str().expect("a text");
        assert!(shown.len() < 1_500 && !shown.contains("<!channel>") && shown.matches('*').count() == 2, "{shown}");
    }

    #[test]
    fn a_refusal_has_its_kind_and_no_secret() {
        for (status, said, kind) in [
            (403, "action_prohibited", ErrorKind::AccessDenied),
            (403, "invalid_token", ErrorKind::AccessDenied),
            (404, "no_service", ErrorKind::InvalidConfig),
            (404, "<p>/services/T00000000/B00000000/hunter2-secret</p>", ErrorKind::InvalidConfig),
            (410, "channel_is_archived", ErrorKind::InvalidConfig),
            (400, "invalid_payload: hunter2-secret", ErrorKind::Other),
            (401, "", ErrorKind::AccessDenied),
            (429, "rate_limited", ErrorKind::RateLimited),
            (500, "rollup_error", ErrorKind::Unavailable),
        ] {
            let error = notified(&Service::new().answers_with(status, &[("retry-after", "30")], said)).expect_err(said);
            assert_eq!((error.kind(), error.wait().map(|wait| wait.as_secs())), (kind, Some(30)), "{error}");
            assert_eq!(error.is_retryable(), matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_probe_posts_nothing_that_is_shown() {
        let service = Service::new().answers(400, "no_text").answers(404, "no_service").answers(400, "no_active_hooks").answers(503, "");
        service.call(GIVEN, Slack::probe).expect("the webhook is there");
        assert_eq!(service.call(GIVEN, Slack::probe).expect_err("it is gone").kind(), ErrorKind::InvalidConfig);
        assert_eq!(service.call(GIVEN, Slack::probe).expect_err("it is off").kind(), ErrorKind::InvalidConfig);
        assert_eq!(service.call(GIVEN, Slack::probe).expect_err("it is down").kind(), ErrorKind::Unavailable);
        assert!(service.asked().iter().all(|asked| asked.text() == "{}"));
    }

    #[test]
    fn another_server_is_told_only_where_it_is_set() {
        let secrets = &[("url", "https://chat.example/hooks/hunter2-secret")];
        let own = Given { settings: r#"{"server": "https://chat.example"}"#, secrets };
        let service = Service::new().answers(200, "ok");
        service.call(own, |it: &Slack| it.notify(&message("run.done", Severity::Info), Vec::new())).expect("it is taken");
        assert_eq!(service.asked()[0].url, "https://chat.example/hooks/hunter2-secret");
        let error = Service::new().call(Given { settings: "{}", secrets }, Slack::probe).expect_err("not Slack's");
        assert!(error.kind() == ErrorKind::InvalidConfig && !error.to_string().contains("hunter2"), "{error}");
        let plain = Given { settings: r#"{"server": "http://chat.example"}"#, secrets };
        assert_eq!(Service::new().call(plain, Slack::probe).expect_err("unencrypted").detail("pointer"), Some("/server"));
    }

    #[test]
    fn people_and_files_are_refused_before_anything_is_sent() {
        let mut told = message("run.failed", Severity::Critical);
        let with_file = Service::new().call(GIVEN, |it: &Slack| it.notify(&told, vec![file("a", b"abc", None)]));
        assert_eq!(with_file.expect_err("a file").kind(), ErrorKind::Unsupported);
        told.recipients.push("#general".to_owned());
        let named = Service::new().call(GIVEN, |it: &Slack| it.notify(&told, Vec::new()));
        assert_eq!(named.expect_err("a name").kind(), ErrorKind::Unsupported);
    }
}
