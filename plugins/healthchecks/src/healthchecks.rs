//! The notifier itself, and what the service says ("Pinging API"): a check that it does not know is still answered with 200, so that its
//! words count and not only its status.

use cofre_plugin_http_notifier::{Answer, Hidden, SecretAddress, cut, exchange, no_files, no_recipients};
use cofre_sdk::http::Request;
use cofre_sdk::{Attachment, Context as _, Error, ErrorKind, Message, NetworkNeed, Notifier, Result, Secret, SecretNeed, secret};

use crate::settings::{Ping, Settings};

/// Bytes of a ping's text that the service keeps.
const LONGEST_TEXT: usize = 100_000;

/// Pings a check.
#[derive(Debug)]
pub struct Healthchecks {
    warnings: Ping,
    check: SecretAddress,
    hidden: Hidden,
}

impl Healthchecks {
    /// The end of the address that stands for an event.
    fn signal(&self, event: &str) -> &'static str {
        let ping = match event {
            "run.started" => return "/start",
            "run.done" => Ping::Success,
            "run.warnings" => self.warnings,
            "run.failed" => Ping::Fail,
            _ => Ping::Log,
        };
        match ping {
            Ping::Success => "",
            Ping::Fail => "/fail",
            Ping::Log => "/log",
        }
    }

    fn ping(&self, signal: &str, text: &str) -> Result<()> {
        let request = Request::post(self.check.with(signal, "")).header("content-type", "text/plain; charset=utf-8");
        let text = cut(text, LONGEST_TEXT, char::len_utf8);
        let answer = exchange(request, text.as_bytes(), &self.hidden).context("cannot ping the check")?;
        match (answer.is_success(), answer.text.trim()) {
            // The second where an address with `?create=1` made the check.
            (true, "OK" | "Created") => Ok(()),
            _ => Err(refused(&answer)).context("the service did not take the ping"),
        }
    }
}

fn refused(answer: &Answer) -> Error {
    let words = answer.text.trim();
    let unknown = Some("check the secret `ping_url`; the check's page shows its address");
    match (answer.status, words) {
        (200..=299, "OK (not found)") | (400 | 404 | 410, _) => answer.refused_as(ErrorKind::InvalidConfig, words, unknown),
        (200..=299, "OK (rate limited)") => answer.refused_as(ErrorKind::RateLimited, words, Some("a check takes five pings a minute")),
        (200..=299, _) => answer.refused_as(ErrorKind::Other, "what it said is no answer of Healthchecks", Some("check `server`")),
        (409, _) => answer.refused_as(ErrorKind::InvalidConfig, words, Some("several checks have this slug; use the check's UUID")),
        _ => answer.refused(words, None),
    }
}

impl Notifier for Healthchecks {
    type Settings = Settings;

    const NAME: &'static str = "healthchecks";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Pings a check of Healthchecks at the start, the end and the failure of each run.";

    fn network() -> Vec<NetworkNeed> {
        vec![
            NetworkNeed::new("hc-ping.com:443", "healthchecks.io, where `server` is not set"),
            NetworkNeed::new("{server}", "the service, where `server` is set"),
        ]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![SecretNeed::required("ping_url", "address of the check, or what follows the server in it: its UUID, or ping key and slug")]
    }

    fn open(settings: Settings) -> Result<Self> {
        let (server, given) = (settings.server()?, secret("ping_url")?);
        let text = given.expose().trim();
        let whole = if text.contains("://") { given } else { Secret::new(format!("{server}/{text}")) };
        let check = SecretAddress::open("ping_url", &whole, &server)?;
        Ok(Self { warnings: settings.warnings, hidden: check.hidden(), check })
    }

    /// Writes a line into the check's log, which changes nothing of its state and tells nobody; there is no other way to ask for it.
    fn probe(&self) -> Result<()> {
        self.ping("/log", "cofre: probe")
    }

    fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()> {
        no_recipients(message, "Healthchecks tells whom the check names")?;
        no_files(&attachments, "Healthchecks")?;
        self.ping(self.signal(&message.event), &format!("{}\n\n{}", message.subject, message.text))
    }
}

#[cfg(test)]
mod tests {
    use cofre_plugin_http_notifier::testing::{Given, Service, file, message};
    use cofre_sdk::Severity;

    use super::*;

    const UUID: &str = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278";
    const GIVEN: Given<'_> = Given { settings: "{}", secrets: &[("ping_url", UUID)] };

    fn told(service: &Service, given: Given<'_>, event: &str) -> Result<()> {
        service.call(given, |it: &Healthchecks| it.notify(&message(event, Severity::Info), Vec::new()))
    }

    #[test]
    fn each_event_has_its_signal() {
        for (event, warnings, end) in [
            ("run.started", "fail", "/start"),
            ("run.done", "fail", ""),
            ("run.warnings", "success", ""),
            ("run.warnings", "fail", "/fail"),
            ("run.warnings", "log", "/log"),
            ("run.failed", "success", "/fail"),
            ("verify.failed", "success", "/log"),
            ("report.month", "success", "/log"),
        ] {
            let service = Service::new().answers(200, "OK");
            let settings = format!(r#"{{"warnings": "{warnings}"}}"#);
            told(&service, Given { settings: &settings, ..GIVEN }, event).expect("it is taken");
            let [asked] = &service.asked()[..] else { panic!("one request") };
            assert_eq!((asked.method, asked.url.clone()), ("POST", format!("https://hc-ping.com/{UUID}{end}")), "{event}");
            assert_eq!(asked.text(), "Cópia «principal» falhou 🛟\n\nErro: <disco & fita>\nAção: libere espaço em /srv");
        }
    }

    #[test]
    fn an_address_is_whole_or_the_rest_of_one() {
        for (settings, url, asked) in [
            ("{}", "https://hc-ping.com/hunter2-key/noite?create=1\n", "https://hc-ping.com/hunter2-key/noite/fail?create=1"),
            ("{}", "hunter2-key/noite", "https://hc-ping.com/hunter2-key/noite/fail"),
            (r#"{"server": "https://hc.example/ping/"}"#, "hunter2-uuid", "https://hc.example/ping/hunter2-uuid/fail"),
            (
                r#"{"server": "https://hc.example/ping"}"#,
                "https://hc.example/ping/hunter2-uuid/",
                "https://hc.example/ping/hunter2-uuid/fail",
            ),
        ] {
            let service = Service::new().answers(200, "OK");
            told(&service, Given { settings, secrets: &[("ping_url", url)] }, "run.failed").expect("it is taken");
            assert_eq!(service.asked()[0].url, asked);
        }
        for url in ["https://evil.example/hunter2", "hunter2 x", ""] {
            let error = told(&Service::new(), Given { secrets: &[("ping_url", url)], ..GIVEN }, "run.done").expect_err(url);
            assert!(error.kind() == ErrorKind::InvalidConfig && !error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_by_its_bytes() {
        let service = Service::new().answers(200, "OK");
        let mut long = message("run.failed", Severity::Critical);
        long.text = "ç🛟".repeat(50_000);
        service.call(GIVEN, |it: &Healthchecks| it.notify(&long, Vec::new())).expect("it is taken");
        let body = service.asked()[0].body.len();
        assert!((99_990..=100_000).contains(&body), "{body}");
    }

    #[test]
    fn a_ping_that_was_not_counted_is_no_success() {
        for (status, said, kind) in [
            (200, "OK (not found)", ErrorKind::InvalidConfig),
            (200, "OK (rate limited)", ErrorKind::RateLimited),
            (200, "<html>a portal for 5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278</html>", ErrorKind::Other),
            (400, "invalid url format", ErrorKind::InvalidConfig),
            (401, "", ErrorKind::AccessDenied),
            (403, "", ErrorKind::AccessDenied),
            (404, "not found: 5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278", ErrorKind::InvalidConfig),
            (409, "ambiguous slug", ErrorKind::InvalidConfig),
            (413, "", ErrorKind::Unsupported),
            (429, "rate limit exceeded", ErrorKind::RateLimited),
            (503, "no 5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278", ErrorKind::Unavailable),
        ] {
            let service = Service::new().answers_with(status, &[("retry-after", "60")], said);
            let error = told(&service, GIVEN, "run.done").expect_err(said);
            assert_eq!((error.kind(), error.wait().map(|wait| wait.as_secs())), (kind, Some(60)), "{error}");
            assert_eq!(error.is_retryable(), matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable), "{error}");
            assert!(!format!("{error} {error:?}").contains(UUID), "{error:?}");
        }
    }

    #[test]
    fn a_probe_changes_nothing_of_the_check() {
        let service = Service::new().answers(200, "OK").answers(200, "OK (not found)");
        service.call(GIVEN, Healthchecks::probe).expect("it works");
        assert_eq!(service.call(GIVEN, Healthchecks::probe).expect_err("no such check").kind(), ErrorKind::InvalidConfig);
        assert!(service.asked().iter().all(|asked| asked.url.ends_with("/log")));
    }

    #[test]
    fn people_and_files_are_refused_before_anything_is_sent() {
        let mut named = message("run.failed", Severity::Critical);
        let with_file = Service::new().call(GIVEN, |it: &Healthchecks| it.notify(&named, vec![file("a", b"abc", None)]));
        assert_eq!(with_file.expect_err("a file").kind(), ErrorKind::Unsupported);
        named.recipients.push("ana@example.com".to_owned());
        let recipient = Service::new().call(GIVEN, |it: &Healthchecks| it.notify(&named, Vec::new()));
        assert_eq!(recipient.expect_err("a name").kind(), ErrorKind::Unsupported);
    }
}
