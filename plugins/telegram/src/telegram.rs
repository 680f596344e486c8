//! The notifier itself. Files go first and all in one request, so that nothing is told where one of them cannot be read to its end; to
//! further chats they go by the identifier that the service gave them.

use cofre_plugin_http_notifier::{Form, files_beside_the_text};
use cofre_sdk::{Attachment, Context as _, Error, Message, NetworkNeed, Notifier, Result, SecretNeed, secret};
use serde_json::{Value, json};

use crate::bot::Bot;
use crate::payload;
use crate::settings::{Settings, is_chat};

/// Bytes of the files of one message: what Telegram's own servers take of a bot. A server of one's own takes more.
const LARGEST_FILES: u64 = 50_000_000;

/// The same at a server of one's own ("Using a Local Bot API Server").
const LARGEST_FILES_OF_OWN_SERVER: u64 = 2_000_000_000;

/// Files of one message ("sendMediaGroup").
const MOST_FILES: usize = 10;

/// Tells chats.
#[derive(Debug)]
pub struct Telegram {
    settings: Settings,
    bot: Bot,
}

impl Telegram {
    /// Sends files to a chat and returns the service's identifiers of them.
    fn upload(&self, files: Vec<Attachment>, (chat, message): (&str, &Message)) -> Result<Vec<String>> {
        let mut form = Form::new();
        if let Value::Object(fields) = payload::addressed(chat, &self.settings, message.severity) {
            for (name, value) in fields {
                form = form.field(&name, TEXT, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
        if files.len() > 1 {
            let names: Vec<String> = (0..files.len()).map(|at| format!("attach://file{at}")).collect();
            form = form.field("media", TEXT, &documents(&names).to_string());
        }
        let (method, first) = if files.len() > 1 { ("sendMediaGroup", "file0") } else { ("sendDocument", "document") };
        for (at, file) in files.into_iter().enumerate() {
            let name = if at == 0 { first.to_owned() } else { format!("file{at}") };
            form = form.file(&name, file);
        }
        let sent = self.bot.upload(method, form)?;
        let messages = if let Value::Array(messages) = sent { messages } else { vec![sent] };
        let id = |message: &Value| {
            ["document", "audio", "video", "animation"].iter().find_map(|kind| message[kind]["file_id"].as_str().map(str::to_owned))
        };
        Ok(messages.iter().filter_map(id).collect())
    }

    /// Sends files that the service has already.
    fn forward(&self, ids: &[String], (chat, message): (&str, &Message)) -> Result<()> {
        let mut request = payload::addressed(chat, &self.settings, message.severity);
        let method = match ids {
            [id] => {
                request["document"] = json!(id);
                "sendDocument"
            }
            ids => {
                request["media"] = documents(ids);
                "sendMediaGroup"
            }
        };
        self.bot.call(method, &request).map(drop)
    }

    fn refuse_what_is_too_much(&self, files: &[Attachment]) -> Result<()> {
        let largest = if self.settings.server.is_some() { LARGEST_FILES_OF_OWN_SERVER } else { LARGEST_FILES };
        let size: u64 = files.iter().map(|file| file.body.remaining()).sum();
        if files.len() > MOST_FILES {
            return Err(Error::unsupported(format!("Telegram takes {MOST_FILES} files a message, and there are {}", files.len())));
        }
        if size > largest {
            return Err(Error::unsupported(format!("Telegram takes files of {largest} bytes in all, and these have {size}")));
        }
        Ok(())
    }

    /// Tells one chat; `files` are those that nobody sent yet, `ids` those that the service has.
    fn tell(&self, to: (&str, &Message), files: &mut Vec<Attachment>, ids: &mut Vec<String>) -> Result<()> {
        if !files.is_empty() {
            let count = files.len();
            *ids = self.upload(std::mem::take(files), to)?;
            if ids.len() != count {
                return Err(Error::other("the service does not say where it keeps the files"));
            }
        } else if !ids.is_empty() {
            self.forward(ids, to)?;
        }
        self.bot.call("sendMessage", &payload::text(to.0, &self.settings, to.1)).map(drop)
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn documents(media: &[String]) -> Value {
    media.iter().map(|media| json!({ "type": "document", "media": media })).collect()
}

impl Notifier for Telegram {
    type Settings = Settings;

    const NAME: &'static str = "telegram";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Tells people, groups and channels of Telegram through a bot.";

    fn network() -> Vec<NetworkNeed> {
        vec![
            NetworkNeed::new("api.telegram.org:443", "Telegram, where `server` is not set"),
            NetworkNeed::new("{server}", "the service, where `server` is set"),
        ]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![SecretNeed::required("token", "token of the bot, as @BotFather gives it")]
    }

    fn open(settings: Settings) -> Result<Self> {
        settings.check()?;
        let bot = Bot::new(settings.server(), &secret("token")?)?;
        Ok(Self { settings, bot })
    }

    /// Asks who the bot is, and for each chat whether it knows it; nobody sees that.
    fn probe(&self) -> Result<()> {
        self.bot.is_a_bot().context("cannot use the bot")?;
        for chat in &self.settings.chats {
            self.bot.call("getChat", &json!({ "chat_id": chat })).with_context(|| format!("cannot use the chat {chat}"))?;
        }
        Ok(())
    }

    fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()> {
        let chats = if message.recipients.is_empty() { &self.settings.chats } else { &message.recipients };
        if let Some(wrong) = chats.iter().find(|chat| !is_chat(chat)) {
            return Err(Error::unsupported(format!("`{}` is no chat of Telegram", wrong.escape_debug())));
        }
        let mut files = files_beside_the_text(attachments);
        self.refuse_what_is_too_much(&files)?;
        let (with_files, mut ids) = (!files.is_empty(), Vec::new());
        let (mut failure, mut told) = (None, 0_usize);
        for chat in chats {
            // A chat that cannot be told keeps nobody else from being told.
            match self.tell((chat, message), &mut files, &mut ids).with_context(|| format!("cannot tell the chat {chat}")) {
                Ok(()) => told += 1,
                Err(error) => failure = failure.or(Some(error)),
            }
            // Files are read once: where they did not arrive, they are gone.
            if with_files && ids.is_empty() {
                break;
            }
        }
        match failure {
            Some(error) if chats.len() > 1 => Err(error.with("told", format!("{told} of {} chats", chats.len()))),
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use cofre_plugin_http_notifier::testing::{Given, Service, file, message};
    use cofre_sdk::{Body, ErrorKind, Severity};

    use super::*;

    const TOKEN: &str = "123456:hunter2-ABC_d";
    const ONE: Given<'_> = Given { settings: r#"{"chats": ["-100123"]}"#, secrets: &[("token", TOKEN)] };
    const TWO: Given<'_> =
        Given { settings: r#"{"chats": ["-100123", "@backups"], "topic": 7, "quiet_info": true}"#, secrets: &[("token", TOKEN)] };
    const SENT: &str = r#"{"ok": true, "result": {"message_id": 1}}"#;

    fn notified(service: &Service, given: Given<'_>, files: Vec<Attachment>) -> Result<()> {
        service.call(given, |it: &Telegram| it.notify(&message("run.failed", Severity::Critical), files))
    }

    #[test]
    fn a_message_is_plain_text_with_a_bold_subject() {
        let service = Service::new().answers(200, SENT);
        notified(&service, ONE, Vec::new()).expect("it is taken");
        let [asked] = &service.asked()[..] else { panic!("one request") };
        assert_eq!((asked.method, asked.url.as_str()), ("POST", "https://api.telegram.org/bot123456:hunter2-ABC_d/sendMessage"));
        let said = asked.json();
        assert_eq!(said["chat_id"], "-100123");
        assert_eq!(said["text"], "🚨 Cópia «principal» falhou 🛟\n\nErro: <disco & fita>\nAção: libere espaço em /srv");
        let bold: Vec<u16> = "🚨 Cópia «principal» falhou 🛟".encode_utf16().collect();
        assert_eq!(said["entities"], json!([{"type": "bold", "offset": 0, "length": bold.len()}]));
        assert_eq!(
            (&said["parse_mode"], &said["message_thread_id"], &said["disable_notification"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_where_the_service_counts() {
        let service = Service::new().answers(200, SENT);
        let mut long = message("run.failed", Severity::Critical);
        (long.subject, long.text) = ("é🛟".repeat(1_000), "ç🛟".repeat(5_000));
        service.call(ONE, |it: &Telegram| it.notify(&long, Vec::new())).expect("it is taken");
        let said = service.asked()[0].json();
        let text = said["text"].as_str().expect("a text");
        assert!((4_090..=4_096).contains(&text.encode_utf16().count()) && text.ends_with('…'));
        assert!(said["entities"][0]["length"].as_u64().expect("a length") <= 512);
    }

    #[test]
    fn recipients_take_the_place_of_the_chats_and_others_are_refused() {
        let service = Service::new().answers(200, SENT);
        let mut told = message("run.done", Severity::Info);
        told.recipients = vec!["@ana".to_owned()];
        service.call(TWO, |it: &Telegram| it.notify(&told, Vec::new())).expect("it is taken");
        let said = service.asked()[0].json();
        assert_eq!(
            (&said["chat_id"], &said["message_thread_id"], &said["disable_notification"]),
            (&json!("@ana"), &json!(7), &json!(true))
        );
        told.recipients = vec!["ana@example.com".to_owned()];
        let error = Service::new().call(TWO, |it: &Telegram| it.notify(&told, Vec::new())).expect_err("no chat");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_file_is_uploaded_once_and_then_known_by_its_name() {
        let document = r#"{"ok": true, "result": {"message_id": 1, "document": {"file_id": "F1"}}}"#;
        let service = Service::new().answers(200, document).answers(200, SENT).answers(200, document).answers(200, SENT);
        notified(&service, TWO, vec![file("cópia.tar.enc", b"abc", None), file("plot.png", b"x", Some("plot"))]).expect("it is taken");
        let asked = service.asked();
        let methods: Vec<&str> = asked.iter().filter_map(|asked| asked.url.rsplit('/').next()).collect();
        assert_eq!(methods, ["sendDocument", "sendMessage", "sendDocument", "sendMessage"]);
        let form = asked[0].text();
        assert!(form.contains("name=\"document\"; filename=\"cópia.tar.enc\"") && form.contains("\r\n\r\nabc\r\n"), "{form}");
        assert!(form.contains("name=\"chat_id\"") && form.contains("\r\n\r\n-100123\r\n") && !form.contains("plot"), "{form}");
        assert_eq!((&asked[2].json()["document"], &asked[2].json()["chat_id"]), (&json!("F1"), &json!("@backups")));
    }

    #[test]
    fn several_files_are_one_request() {
        let group = r#"{"ok": true, "result": [{"document": {"file_id": "F1"}}, {"document": {"file_id": "F2"}}]}"#;
        let service = Service::new().answers(200, group).answers(200, SENT).answers(200, group).answers(200, SENT);
        notified(&service, TWO, vec![file("a", b"abc", None), file("b", b"de", None)]).expect("it is taken");
        let asked = service.asked();
        assert!(asked[0].url.ends_with("/sendMediaGroup"));
        let form = asked[0].text();
        assert!(form.contains(r#"[{"media":"attach://file0","type":"document"},{"media":"attach://file1","type":"document"}]"#), "{form}");
        assert!(form.contains("name=\"file0\"; filename=\"a\"") && form.contains("name=\"file1\"; filename=\"b\""), "{form}");
        assert_eq!(asked[2].json()["media"], json!([{"type": "document", "media": "F1"}, {"type": "document", "media": "F2"}]));
    }

    #[test]
    fn a_file_that_ends_early_or_is_too_large_tells_nobody() {
        let mut short = file("a", b"", None);
        short.body = Body::from_reader(&b"abc"[..], 4);
        assert_eq!(notified(&Service::new(), TWO, vec![short]).expect_err("a byte is missing").kind(), ErrorKind::Integrity);
        let mut large = file("a", b"", None);
        large.body = Body::from_reader(std::io::repeat(0), LARGEST_FILES + 1);
        assert_eq!(notified(&Service::new(), ONE, vec![large]).expect_err("too large").kind(), ErrorKind::Unsupported);
        let many = (0..=MOST_FILES).map(|_| file("a", b"", None)).collect();
        assert_eq!(notified(&Service::new(), ONE, many).expect_err("too many").kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_refusal_has_its_kind_its_wait_and_no_token() {
        for (status, said, kind, wait) in [
            (401, r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#, ErrorKind::AccessDenied, None),
            (404, r#"{"ok":false,"error_code":404,"description":"Not Found"}"#, ErrorKind::AccessDenied, None),
            (404, "<h1>no /bot123456:hunter2-ABC_d/sendMessage</h1>", ErrorKind::AccessDenied, None),
            (
                403,
                r#"{"ok":false,"error_code":403,"description":"Forbidden: bot was kicked from the group chat"}"#,
                ErrorKind::AccessDenied,
                None,
            ),
            (400, r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#, ErrorKind::InvalidConfig, None),
            (
                400,
                r#"{"ok":false,"description":"group chat was upgraded","parameters":{"migrate_to_chat_id":-1009}}"#,
                ErrorKind::InvalidConfig,
                None,
            ),
            (400, r#"{"ok":false,"description":"Bad Request: message is empty, says hunter2-ABC_d"}"#, ErrorKind::Other, None),
            (
                429,
                r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}"#,
                ErrorKind::RateLimited,
                Some(35),
            ),
            (502, "<html>bad gateway</html>", ErrorKind::Unavailable, None),
            (200, "<html>a portal</html>", ErrorKind::Other, None),
        ] {
            let error = notified(&Service::new().answers(status, said), ONE, Vec::new()).expect_err(said);
            assert_eq!((error.kind(), error.wait().map(|wait| wait.as_secs())), (kind, wait), "{error}");
            assert_eq!(error.is_retryable(), matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn one_chat_that_is_wrong_keeps_nobody_else_from_being_told() {
        let service = Service::new().answers(400, r#"{"ok":false,"description":"Bad Request: chat not found"}"#).answers(200, SENT);
        let error = notified(&service, TWO, Vec::new()).expect_err("one was not told");
        assert!(error.to_string().contains("-100123") && error.to_string().ends_with("told: 1 of 2 chats"), "{error}");
        assert_eq!(service.asked().len(), 2);
        let service = Service::new().answers(502, "");
        let error = notified(&service, TWO, vec![file("a", b"abc", None)]).expect_err("the file did not arrive");
        assert!(error.is_retryable() && error.to_string().ends_with("told: 0 of 2 chats"), "{error}");
    }

    #[test]
    fn a_probe_sends_no_message() {
        let service = Service::new().answers(200, SENT).answers(200, SENT).answers(200, SENT);
        service.call(TWO, Telegram::probe).expect("it works");
        let methods: Vec<String> = service.asked().iter().filter_map(|asked| asked.url.rsplit('/').next().map(str::to_owned)).collect();
        assert_eq!(methods, ["getMe", "getChat", "getChat"]);
    }

    #[test]
    fn what_is_no_token_is_refused_unseen() {
        for token in ["hunter2", "123456:", "123456:hunter2/../x", "abc:hunter2"] {
            let error = notified(&Service::new(), Given { secrets: &[("token", token)], ..ONE }, Vec::new()).expect_err(token);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
