//! The contract's verbs.

use cofre_sdk::{Attachment, Context as _, Error, Message, NetworkNeed, Notifier, Result, SecretNeed};

use crate::address;
use crate::client::Server;
use crate::login::Account;
use crate::mail::{Head, Mail};
use crate::settings::{People, Settings};
use crate::wire::Waits;

/// Tells people by e-mail.
#[derive(Debug)]
pub struct Email {
    server: Server,
    people: People,
}

impl Notifier for Email {
    type Settings = Settings;
    const NAME: &'static str = "email";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Tells people by e-mail, over SMTP with STARTTLS or implicit TLS.";

    fn network() -> Vec<NetworkNeed> {
        vec![
            NetworkNeed::new("{host}:{port}", "the mail server, where `port` is set"),
            NetworkNeed::new("{host}:587", "the mail server, where `port` is not set"),
            NetworkNeed::new("{host}:465", "the mail server with implicit TLS, where `port` is not set"),
        ]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![SecretNeed::optional(
            "password",
            "password of the account, or its access token with `auth = \"xoauth2\"`; not needed without `user`",
        )]
    }

    fn open(settings: Settings) -> Result<Self> {
        let people = settings.check()?;
        let password = cofre_sdk::optional_secret("password");
        let account = match (&settings.user, password) {
            (Some(user), Some(password)) => Some(Account { user: user.clone(), password, auth: settings.auth }),
            (Some(_), None) => {
                let why = "there is an account and no secret `password`; give this notifier one, or leave out /user for a server that wants no login";
                return Err(Error::invalid_config(why).with("pointer", "/user"));
            }
            (None, Some(_)) => {
                return Err(Error::invalid_config("there is a secret `password` and no /user; name the account").with("pointer", "/user"));
            }
            (None, None) => None,
        };
        Ok(Self { server: Server { settings, account, waits: Waits::USUAL }, people })
    }

    fn probe(&self) -> Result<()> {
        let mut session = self.server.connect()?;
        session.nothing().with_context(|| format!("{} cannot be used", self.server.target()))?;
        session.quit();
        Ok(())
    }

    fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()> {
        let head = self.head(message)?;
        let mail = Mail::new(&head, message, attachments)?;
        let mut session = self.server.connect()?;
        let delivered = session.deliver(&head.envelope(), mail);
        let refused = delivered.with_context(|| format!("cannot send the message over {}", self.server.target()))?;
        session.quit();
        for one in refused {
            // An error would have it sent again to those who have it.
            cofre_sdk::log!(Warn, "the message was delivered, but not to {}: {}", one.recipient, one.reply);
        }
        Ok(())
    }
}

impl Email {
    /// Whom this message names, or else the settings.
    fn head(&self, message: &Message) -> Result<Head> {
        let People { from, reply_to, to, cc, bcc } = self.people.clone();
        if message.recipients.is_empty() {
            if to.is_empty() && cc.is_empty() && bcc.is_empty() {
                let why = "/to: there is nobody to tell; name recipients, as `to = [\"ana@example.com\"]`";
                return Err(Error::invalid_config(why).with("pointer", "/to"));
            }
            return Ok(Head { from, reply_to, to, cc, bcc });
        }
        let named: Result<Vec<_>> = message.recipients.iter().map(|text| address::parse(text).map_err(Error::invalid_config)).collect();
        Ok(Head { from, reply_to, to: named?, cc: Vec::new(), bcc: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cofre_sdk::{Body, ErrorKind, Level};
    use mail_parser::{MessageParser, MimeHeaders as _};
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, PASSWORD, Script, message};

    fn file(name: &str, content_id: Option<&str>, bytes: Vec<u8>, length: u64) -> Attachment {
        Attachment {
            name: name.to_owned(),
            media_type: "application/octet-stream".to_owned(),
            content_id: content_id.map(str::to_owned),
            body: Body::from_reader(std::io::Cursor::new(bytes), length),
        }
    }

    fn server(answers: &[(&'static str, &'static str)]) -> Fake {
        Fake::start(Script { answers: answers.to_vec(), ..Script::default() })
    }

    fn tell(server: &Fake, more: &serde_json::Value) -> Result<()> {
        server.with(more, |email| email.notify(&message(), Vec::new()))
    }

    #[test]
    fn a_message_arrives_whole_and_nothing_of_it_is_said_before_tls() {
        let server = server(&[]);
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).expect("a byte")).collect();
        let files = || vec![file("relatório.svg", Some("plot"), b"<svg/>".to_vec(), 6), file("set.tar", None, bytes.clone(), 200_000)];
        server
            .with(&json!({"cc": ["Eva <eva@example.com>"], "bcc": ["rui@example.com"]}), |email| email.notify(&message(), files()))
            .expect("sent");
        let seen = server.seen();
        let plain: Vec<&String> = seen.lines.iter().filter(|line| !line.starts_with('+')).collect();
        assert_eq!(plain, ["EHLO [127.0.0.1]", "STARTTLS"]);
        let named: Vec<&String> = seen.lines.iter().filter(|line| line.contains("RCPT")).collect();
        assert_eq!(named, ["+RCPT TO:<ana@example.com>", "+RCPT TO:<eva@example.com>", "+RCPT TO:<rui@example.com>"]);
        assert!(seen.lines.contains(&format!("+MAIL FROM:<backup@example.com> SIZE={}", seen.mails[0].len())), "{:?}", seen.lines);

        let mail = MessageParser::default().parse(&seen.mails[0]).expect("a message");
        assert_eq!(mail.subject(), Some("Falha no backup: ação necessária"));
        assert_eq!(mail.body_text(0).as_deref(), Some("O backup não terminou.\r\n.\r\nFim\r\n"));
        assert_eq!(mail.body_html(0).as_deref(), Some("<p>O backup <b>não</b> terminou.</p>"));
        assert!(!String::from_utf8_lossy(&seen.mails[0]).contains("rui@"), "the others see a hidden recipient");
        let found: Vec<_> = mail.attachments().map(|part| (part.attachment_name(), part.content_id(), part.contents().to_vec())).collect();
        assert_eq!(found, [(Some("relatório.svg"), Some("plot"), b"<svg/>".to_vec()), (Some("set.tar"), None, bytes)]);
    }

    #[test]
    fn a_message_may_choose_whom_it_reaches() {
        let server = server(&[]);
        let chosen = Message { recipients: vec!["Eva <eva@example.com>".to_owned()], ..message() };
        server.with(&json!({"bcc": ["rui@example.com"]}), |email| email.notify(&chosen, Vec::new())).expect("sent");
        let lines = server.seen().lines;
        let named: Vec<&String> = lines.iter().filter(|line| line.contains("RCPT")).collect();
        assert_eq!(named, ["+RCPT TO:<eva@example.com>"]);
        let injected = Message { recipients: vec!["eva@example.com>\r\nDATA".to_owned()], ..message() };
        let error = server.with(&json!({}), |email| email.notify(&injected, Vec::new())).expect_err("two lines");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        let error = tell(&server, &json!({"to": []})).expect_err("nobody to tell");
        assert_eq!(error.detail("pointer"), Some("/to"));
    }

    #[test]
    fn a_probe_logs_in_and_sends_nothing() {
        let server = server(&[]);
        server.with(&json!({}), Email::probe).expect("it works");
        let seen = server.seen();
        let verbs: Vec<&str> = seen.lines.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(verbs, ["EHLO", "STARTTLS", "+EHLO", "+AUTH", "+NOOP", "+QUIT"]);
        assert!(seen.mails.is_empty());
    }

    #[test]
    fn every_login_works_with_a_password_of_any_letters() {
        for (auth, offers) in [
            ("auto", "AUTH PLAIN LOGIN"),
            ("auto", "AUTH LOGIN"),
            ("plain", "AUTH PLAIN"),
            ("login", "AUTH PLAIN LOGIN"),
            ("xoauth2", "AUTH XOAUTH2"),
        ] {
            let server = Fake::start(Script { offers: vec![offers], ..Script::default() });
            server.with(&json!({"auth": auth}), Email::probe).expect(auth);
            assert!(server.seen().lines.iter().any(|line| line.starts_with("+AUTH")), "{auth} at {offers} did not log in");
        }
        let server = Fake::start(Script { offers: vec!["AUTH GSSAPI LOGIN"], ..Script::default() });
        let error = server.with(&json!({"auth": "xoauth2"}), Email::probe).expect_err("no such login");
        assert!(error.kind() == ErrorKind::InvalidConfig && error.message().contains("login"), "{error}");
    }

    #[test]
    fn a_wrong_password_is_denied_with_what_to_do_and_is_not_told() {
        for auth in ["plain", "login", "xoauth2"] {
            let server = server(&[]);
            let host = server.host().secret("password", "errada");
            let error = host.run(|| Email::open(server.settings(&json!({"auth": auth})))?.probe()).expect_err(auth);
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::AccessDenied, false), "{auth}: {error}");
            assert!(error.message().contains("check /user"), "{error}");
        }
        let server = server(&[("AUTH", "535 5.7.8 pä ss:w0rd is wrong")]);
        let error = server.with(&json!({}), Email::probe).expect_err("refused");
        assert!(!error.to_string().contains(PASSWORD), "{error}");
        let busy = self::server(&[("AUTH", "454 4.7.0 Temporary authentication failure")]);
        let error = busy.with(&json!({}), Email::probe).expect_err("later");
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error}");
    }

    #[test]
    fn a_connection_that_cannot_be_secured_is_not_used() {
        let without = Fake::start(Script { knows_tls: false, ..Script::default() });
        let error = tell(&without, &json!({})).expect_err("no TLS");
        assert!(error.kind() == ErrorKind::InvalidConfig && error.message().contains("/tls"), "{error}");
        assert_eq!(without.seen().lines, ["EHLO [127.0.0.1]"]);

        let slipping = Fake::start(Script { slips: "250 2.0.0 injected\r\n", ..Script::default() });
        let error = tell(&slipping, &json!({})).expect_err("words before TLS");
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");

        let server = server(&[]);
        let stranger = Fake::start(Script::default());
        let error = stranger.host().run(|| Email::open(server.settings(&json!({})))?.probe()).expect_err("another authority");
        assert!(error.kind() == ErrorKind::InvalidConfig && error.message().contains("ca_file"), "{error}");
        let error = server.with(&json!({"host": "127.0.0.1"}), Email::probe).expect_err("another name");
        assert!(error.kind() == ErrorKind::InvalidConfig && error.message().contains("/host"), "{error}");
        let error = server.with(&json!({"tls": "implicit"}), Email::probe).expect_err("no TLS on this port");
        assert!(error.kind() == ErrorKind::InvalidConfig && error.message().contains("/tls"), "{error}");
        assert!(server.seen().mails.is_empty() && !server.seen().lines.iter().any(|line| line.contains("AUTH")));
    }

    #[test]
    fn implicit_tls_and_permitted_plaintext_deliver() {
        let implicit = Fake::start(Script { implicit: true, ..Script::default() });
        tell(&implicit, &json!({"tls": "implicit"})).expect("sent");
        assert!(implicit.seen().lines.iter().all(|line| line.starts_with('+')));
        let plain = Fake::start(Script { knows_tls: false, ..Script::default() });
        tell(&plain, &json!({"tls": "none", "allow_plaintext": true})).expect("sent");
        assert_eq!((implicit.seen().mails.len(), plain.seen().mails.len()), (1, 1));
    }

    #[test]
    fn a_refused_recipient_is_named_and_the_others_are_told() {
        let server = server(&[("RCPT TO:<eva", "550 5.1.1 no such user")]);
        let host = server.host();
        host.run(|| Email::open(server.settings(&json!({"to": ["ana@example.com", "eva@example.com"]})))?.notify(&message(), Vec::new()))
            .expect("sent");
        assert_eq!(server.seen().mails.len(), 1);
        let logged = host.logged();
        assert!(
            logged.iter().any(|(level, text)| *level == Level::Warn && text.contains("eva@example.com: no such user (550 5.1.1)")),
            "{logged:?}"
        );

        let error = tell(&server, &json!({"to": ["eva@example.com"]})).expect_err("nobody is left");
        assert!(!error.is_retryable() && error.message().contains("eva@example.com: no such user"), "{error}");
    }

    #[test]
    fn a_recipient_who_may_be_taken_later_holds_the_message_back() {
        let server = server(&[("RCPT TO:<eva", "451 4.7.1 greylisted")]);
        let error = tell(&server, &json!({"cc": ["eva@example.com"]})).expect_err("later");
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
        assert!(server.seen().mails.is_empty() && !server.seen().lines.iter().any(|line| line.contains("DATA")));
    }

    #[test]
    fn a_message_over_the_servers_limit_is_not_begun() {
        let server = server(&[]);
        let large = || vec![file("set.tar", None, vec![7; 800_000], 800_000)];
        let error = server.with(&json!({}), |email| email.notify(&message(), large())).expect_err("too large");
        assert_eq!((error.kind(), error.is_retryable(), error.detail("limit_bytes")), (ErrorKind::OutOfSpace, false, Some("1000000")));
        assert!(!server.seen().lines.iter().any(|line| line.contains("MAIL")));
    }

    #[test]
    fn a_refusal_of_the_whole_message_is_no_delivery() {
        for (answer, kind, retryable) in [
            ("554 5.7.1 spam", ErrorKind::AccessDenied, false),
            ("552 5.3.4 too big", ErrorKind::OutOfSpace, false),
            ("451 4.3.0 try again", ErrorKind::Unavailable, true),
            ("354 go on", ErrorKind::Other, false),
        ] {
            let error = tell(&server(&[("verdict", answer)]), &json!({})).expect_err(answer);
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{error}");
        }
    }

    #[test]
    fn a_file_that_ends_early_delivers_nothing() {
        let server = server(&[]);
        let cut = || vec![file("set.tar", None, vec![7; 100_000], 100_001)];
        let error = server.with(&json!({}), |email| email.notify(&message(), cut())).expect_err("cut");
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
        assert!(server.seen().lines.iter().any(|line| line.contains("DATA")) && server.seen().mails.is_empty());
    }

    #[test]
    fn letters_beyond_ascii_are_asked_of_the_server_only_where_an_address_has_them() {
        let server = server(&[]);
        tell(&server, &json!({"to": ["ana@cópias.example"]})).expect("sent");
        assert!(!server.seen().lines.iter().any(|line| line.contains("SMTPUTF8")));
        tell(&server, &json!({"to": ["josé@example.com"]})).expect("sent");
        assert!(server.seen().lines.iter().any(|line| line.ends_with(" SMTPUTF8")));
        let old = Fake::start(Script { offers: vec!["AUTH PLAIN"], ..Script::default() });
        let error = tell(&old, &json!({"to": ["josé@example.com"]})).expect_err("an old server");
        assert!(error.kind() == ErrorKind::Unsupported && error.message().contains("josé@example.com"), "{error}");
    }

    #[test]
    fn every_wait_ends() {
        let soon = Duration::from_millis(50);
        for silent in ["greeting", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "verdict"] {
            let server = server(&[(silent, "")]);
            let result = server.with(&json!({}), |email| {
                let waits = Waits { answer: soon, verdict: soon, ..Waits::USUAL };
                let account =
                    email.server.account.as_ref().map(|it| Account { user: it.user.clone(), password: it.password.clone(), auth: it.auth });
                let impatient = Server { settings: email.server.settings.clone(), account, waits };
                Email { server: impatient, people: email.people.clone() }.notify(&message(), Vec::new())
            });
            let error = result.expect_err(silent);
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true), "{silent}: {error}");
        }
    }

    #[test]
    fn a_login_and_its_secret_belong_together() {
        let settings = |json: &str| cofre_sdk::settings::parse::<Settings>(json).expect("settings");
        let with_user = settings(r#"{"host": "h", "from": "a@example.com", "user": "a"}"#);
        assert_eq!(Email::open(with_user).expect_err("no secret").detail("pointer"), Some("/user"));
        let without = || settings(r#"{"host": "h", "from": "a@example.com"}"#);
        Email::open(without()).expect("no login");
        let host = cofre_sdk::testing::FakeHost::new().secret("password", "x");
        assert_eq!(host.run(|| Email::open(without())).expect_err("no user").detail("pointer"), Some("/user"));
    }
}
