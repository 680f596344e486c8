//! One message on its way: lettre words all but the files, of which it puts a mark into their place; the files are read, encoded and sent
//! piece by piece when the message is written.

use std::io::{self, Read as _, Write};
use std::time::{Duration, SystemTime};

use cofre_sdk::{Attachment, Body, Context as _, Error, Message, Result, Severity};
use email_encoding::body::base64;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body as Encoded, Mailbox, MessageBuilder, MultiPart, SinglePart};
use sha2::{Digest as _, Sha256};

use crate::error::broken;

/// Stands for a file. No UTF-8 has this byte, and lettre writes nothing else.
const MARK: u8 = 0xff;

/// Bytes of one line of Base64, before and after (RFC 2045, section 6.8).
const LINE: u64 = 57;

/// Bytes of a file that are in memory at once: whole lines.
const PIECE: usize = 57 << 10;

/// The last second that a date can say.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// Characters of a subject that are sent; mail programs show fewer.
const SUBJECT: usize = 500;

/// Whom it comes from and whom it goes to, as headers name them.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) from: Mailbox,
    pub(crate) reply_to: Option<Mailbox>,
    pub(crate) to: Vec<Mailbox>,
    pub(crate) cc: Vec<Mailbox>,
    pub(crate) bcc: Vec<Mailbox>,
}

/// The same as the server must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) sender: String,
    /// Each once.
    pub(crate) recipients: Vec<String>,
    /// One that not every server takes.
    pub(crate) beyond_ascii: Option<String>,
}

impl Head {
    pub(crate) fn envelope(&self) -> Envelope {
        let mut recipients: Vec<String> = Vec::new();
        for mailbox in self.to.iter().chain(&self.cc).chain(&self.bcc) {
            let address = mailbox.email.to_string();
            if !recipients.contains(&address) {
                recipients.push(address);
            }
        }
        let sender = self.from.email.to_string();
        let answers = self.reply_to.iter().map(|mailbox| mailbox.email.to_string());
        let beyond_ascii = recipients.iter().cloned().chain([sender.clone()]).chain(answers).find(|address| !address.is_ascii());
        Envelope { sender, recipients, beyond_ascii }
    }
}

/// A message, worded; its files are still where they were.
pub(crate) struct Mail {
    /// What stands before, between and after the files: one more than files.
    texts: Vec<Vec<u8>>,
    files: Vec<Body>,
}

impl Mail {
    /// Words a message.
    ///
    /// # Errors
    /// Where a file says where it is shown in words that no header can have.
    pub(crate) fn new(head: &Head, message: &Message, attachments: Vec<Attachment>) -> Result<Self> {
        // What HTML shows is of no use without it.
        let shows = message.html.is_some();
        let (shown, attached): (Vec<_>, Vec<_>) =
            attachments.into_iter().filter(|file| shows || file.content_id.is_none()).partition(|file| file.content_id.is_some());
        let mut files = Vec::new();
        let shown = parts(shown, &mut files)?;
        let attached = parts(attached, &mut files)?;
        let text = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(cleaned(&message.text));
        let whole = match &message.html {
            None if attached.is_empty() => Whole::Single(text),
            None => Whole::Multi(with(MultiPart::mixed().singlepart(text), attached)),
            Some(html) => {
                let html = SinglePart::builder().header(ContentType::TEXT_HTML).body(cleaned(html));
                let both = MultiPart::alternative().singlepart(text);
                let both = if shown.is_empty() {
                    both.singlepart(html)
                } else {
                    both.multipart(with(MultiPart::related().singlepart(html), shown))
                };
                Whole::Multi(if attached.is_empty() { both } else { with(MultiPart::mixed().multipart(both), attached) })
            }
        };
        let headers = headers(head, message);
        let worded = match whole {
            Whole::Single(part) => headers.singlepart(part),
            Whole::Multi(parts) => headers.multipart(parts),
        };
        let worded = worded.map_err(|error| Error::other(format!("cannot word the message: {error}")))?.formatted();
        Ok(Self { texts: worded.split(|byte| *byte == MARK).map(<[u8]>::to_vec).collect(), files })
    }

    /// Its length in bytes, as servers count it (RFC 1870).
    pub(crate) fn size(&self) -> u64 {
        let texts: u64 = self.texts.iter().map(|text| text.len() as u64).sum();
        texts + self.files.iter().map(|file| encoded_length(file.remaining())).sum::<u64>()
    }

    /// Sends it, with the line that ends it.
    ///
    /// # Errors
    /// `integrity` where a file ends early. The message has no end then, and the server forgets it.
    pub(crate) fn write_to(self, out: &mut impl Write) -> Result<()> {
        let mut out = Transparent { out, begins_line: true };
        let mut files = self.files.into_iter();
        for text in self.texts {
            out.write_all(&text).map_err(broken)?;
            if let Some(file) = files.next() {
                encode(file, &mut out)?;
            }
        }
        let end: &[u8] = if out.begins_line { b".\r\n" } else { b"\r\n.\r\n" };
        out.out.write_all(end).and_then(|()| out.out.flush()).map_err(broken)
    }
}

enum Whole {
    Single(SinglePart),
    Multi(MultiPart),
}

fn with(parts: MultiPart, more: Vec<SinglePart>) -> MultiPart {
    more.into_iter().fold(parts, MultiPart::singlepart)
}

/// The part of each file, with the mark as its body.
fn parts(attachments: Vec<Attachment>, files: &mut Vec<Body>) -> Result<Vec<SinglePart>> {
    let mut parts = Vec::new();
    for file in attachments {
        let name: String = file.name.chars().map(|c| if c.is_control() || matches!(c, '/' | '\\') { '_' } else { c }).collect();
        let media_type = ContentType::parse(if is_leaf(&file.media_type) { &file.media_type } else { "" });
        let media_type = media_type
            .or_else(|_| ContentType::parse("application/octet-stream"))
            .map_err(|error| Error::other(format!("cannot name the kind of `{name}`: {error}")))?;
        let part = match file.content_id {
            None => lettre::message::Attachment::new(name),
            Some(id) if !id.is_empty() && id.chars().all(|c| c.is_ascii_graphic() && !"<>()\\\",;:".contains(c)) => {
                lettre::message::Attachment::new_inline_with_name(id, name)
            }
            Some(_) => return Err(Error::unsupported(format!("the content id of `{name}` has characters that no header can have"))),
        };
        parts.push(part.body(Encoded::dangerous_pre_encoded(vec![MARK], ContentTransferEncoding::Base64), media_type));
        files.push(file.body);
    }
    Ok(parts)
}

/// Whether a part of this kind may be Base64: those that hold other parts may not (RFC 2045, section 6.4).
fn is_leaf(media_type: &str) -> bool {
    media_type.is_ascii() && !["multipart", "message"].iter().any(|kind| media_type.to_ascii_lowercase().starts_with(kind))
}

fn headers(head: &Head, message: &Message) -> MessageBuilder {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(message.at_unix_ms).min(LAST_SECOND);
    let mut builder = lettre::Message::builder().from(head.from.clone());
    if let Some(mailbox) = &head.reply_to {
        builder = builder.reply_to(mailbox.clone());
    }
    builder = head.to.iter().cloned().fold(builder, MessageBuilder::to);
    builder = head.cc.iter().cloned().fold(builder, MessageBuilder::cc);
    builder = head.bcc.iter().cloned().fold(builder, MessageBuilder::bcc);
    builder = builder
        .subject(one_line(&message.subject))
        .date(at)
        .message_id(Some(message_id(head, message)))
        // RFC 3834: nobody's holiday is answered to a program.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("Content-Language", &one_line(&message.language)))
        .raw_header(header("X-Cofre-Event", &one_line(&message.event)));
    if message.severity == Severity::Critical {
        builder = builder.raw_header(header("Importance", "high"));
    }
    builder
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The same for each attempt at one message, so that a mail program shows a repeated one once.
fn message_id(head: &Head, message: &Message) -> String {
    let digest = Sha256::digest(message.id.as_bytes());
    let name = digest.iter().take(16).fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
    format!("<{name}@{}>", head.from.email.domain())
}

/// Text that came from outside in a header: it stays in its line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).take(SUBJECT).collect()
}

/// Text of a body without what mail cannot carry.
fn cleaned(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).collect()
}

/// Bytes that so many have in lines of Base64.
fn encoded_length(bytes: u64) -> u64 {
    bytes.div_ceil(3) * 4 + bytes.div_ceil(LINE).saturating_sub(1) * 2
}

fn encode(mut file: Body, out: &mut impl Write) -> Result<()> {
    let (mut piece, mut lines) = (Vec::with_capacity(PIECE), String::with_capacity(PIECE / 57 * 78));
    let mut is_first = true;
    while file.remaining() > 0 {
        piece.clear();
        (&mut file).take(PIECE as u64).read_to_end(&mut piece).context("cannot read a file of the message")?;
        lines.clear();
        if !is_first {
            lines.push_str("\r\n");
        }
        base64::encode(&piece, &mut lines).map_err(|error| Error::other(error.to_string()))?;
        out.write_all(lines.as_bytes()).map_err(broken)?;
        is_first = false;
    }
    Ok(())
}

/// Doubles the dot that begins a line, for a single one alone ends the message (RFC 5321, section 4.5.2).
struct Transparent<'a, W> {
    out: &'a mut W,
    begins_line: bool,
}

impl<W: Write> Write for Transparent<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.begins_line && line.starts_with(b".") {
                self.out.write_all(b".")?;
            }
            self.out.write_all(line)?;
            self.begins_line = line.ends_with(b"\n");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{Cursor, Read};
    use std::rc::Rc;

    use cofre_sdk::ErrorKind;
    use mail_parser::{MessageParser, MimeHeaders as _};

    use super::*;
    use crate::address;
    use crate::fake::message;

    fn head() -> Head {
        let mailbox = |text| address::parse(text).expect(text);
        Head {
            from: mailbox("Cópias <backup@example.com>"),
            reply_to: None,
            to: vec![mailbox("ana@example.com"), mailbox("\"Sá, Eva\" <eva@example.com>")],
            cc: vec![mailbox("ana@example.com")],
            bcc: Vec::new(),
        }
    }

    fn attachment(content_id: Option<&str>, bytes: Vec<u8>) -> Attachment {
        let length = bytes.len() as u64;
        let body = Body::from_reader(Cursor::new(bytes), length);
        Attachment { name: "f.bin".to_owned(), media_type: "application/x-tar".to_owned(), content_id: content_id.map(str::to_owned), body }
    }

    /// As it crosses the network.
    fn sent(mail: Mail) -> Vec<u8> {
        let mut out = Vec::new();
        mail.write_to(&mut out).expect("written");
        out
    }

    /// As the server keeps it.
    fn received(mail: Mail) -> Vec<u8> {
        let sent = sent(mail);
        let whole = sent.strip_suffix(b".\r\n").expect("an end");
        let lines = whole.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_prefix(b".").unwrap_or(line));
        lines.collect::<Vec<_>>().concat()
    }

    #[test]
    fn files_of_every_length_come_back_and_the_size_is_right() {
        for length in [0, 1, 2, 3, 56, 57, 58, 113, 114, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 1] {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n * 7 % 256).expect("a byte")).collect();
            let mail = Mail::new(&head(), &message(), vec![attachment(None, bytes.clone())]).expect("worded");
            let size = mail.size();
            let whole = received(mail);
            assert_eq!(whole.len() as u64, size, "{length}");
            assert!(whole.split(|byte| *byte == b'\n').all(|line| line.len() <= 999), "a line is too long");
            let parsed = MessageParser::default().parse(&whole).expect("a message");
            assert_eq!(parsed.attachment(0).expect("a file").contents(), bytes, "{length}");
        }
    }

    #[test]
    fn a_file_is_never_held_whole() {
        struct Source(Rc<Cell<usize>>);
        impl Read for Source {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.set(self.0.get() + buffer.len());
                buffer.fill(b'x');
                Ok(buffer.len())
            }
        }
        struct Out(Rc<Cell<usize>>, usize);
        impl Write for Out {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += bytes.len();
                assert!(self.0.get() < self.1 * 3 / 4 + (3 << 20), "more is held than is sent");
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let read = Rc::new(Cell::new(0));
        let mut file = attachment(None, Vec::new());
        file.body = Body::from_reader(Source(Rc::clone(&read)), 32 << 20);
        let without_dots = Message { text: "x".to_owned(), ..message() };
        let mail = Mail::new(&head(), &without_dots, vec![file]).expect("worded");
        let (size, mut out) = (mail.size(), Out(Rc::clone(&read), 0));
        mail.write_to(&mut out).expect("written");
        assert_eq!(out.1 as u64, size + 3);
    }

    #[test]
    fn parts_lie_where_mail_programs_look_for_them() {
        let shape = |html: bool, files: Vec<Attachment>| {
            let message = Message { html: message().html.filter(|_| html), ..message() };
            let sent = String::from_utf8(sent(Mail::new(&head(), &message, files).expect("worded"))).expect("text");
            let kinds = sent.lines().filter_map(|line| line.strip_prefix("Content-Type: "));
            kinds.filter_map(|kind| kind.split(';').next().map(str::to_owned)).collect::<Vec<_>>().join(" ")
        };
        let (shown, attached) = (|| attachment(Some("plot"), vec![1]), || attachment(None, vec![2]));
        assert_eq!(shape(false, Vec::new()), "text/plain");
        assert_eq!(shape(false, vec![shown(), attached()]), "multipart/mixed text/plain application/x-tar");
        assert_eq!(shape(true, Vec::new()), "multipart/alternative text/plain text/html");
        assert_eq!(shape(true, vec![shown()]), "multipart/alternative text/plain multipart/related text/html application/x-tar");
        assert_eq!(
            shape(true, vec![attached(), shown()]),
            "multipart/mixed multipart/alternative text/plain multipart/related text/html application/x-tar application/x-tar"
        );
    }

    #[test]
    fn headers_say_what_it_is_and_the_same_for_each_attempt() {
        let worded = |message: &Message| String::from_utf8(sent(Mail::new(&head(), message, Vec::new()).expect("worded"))).expect("text");
        let id = |text: &str| text.lines().find_map(|line| line.strip_prefix("Message-ID: ").map(str::to_owned)).expect("an id");
        let text = worded(&message());
        for line in [
            "Auto-Submitted: auto-generated",
            "Content-Language: pt-BR",
            "Importance: high",
            "X-Cofre-Event: run.failed",
            "MIME-Version: 1.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
        let parsed = MessageParser::default().parse(&text).expect("a message");
        assert_eq!(parsed.date().expect("a date").to_timestamp(), 1_796_000_000);
        assert_eq!(parsed.to().and_then(|to| to.last()).and_then(|to| to.name()), Some("Sá, Eva"));
        assert_eq!(id(&text), id(&worded(&message())));
        assert_ne!(id(&text), id(&worded(&Message { id: "run-4712/failed".to_owned(), ..message() })));
        assert!(!worded(&Message { severity: Severity::Info, ..message() }).contains("Importance"));
    }

    #[test]
    fn words_from_outside_stay_in_their_place() {
        let evil = "x\r\nBcc: eva@example.com\r\n\r\n.\r\nQUIT\r\n";
        let message = Message {
            subject: evil.to_owned(),
            event: evil.to_owned(),
            language: evil.to_owned(),
            text: format!("\0{evil}.leading"),
            html: Some(evil.to_owned()),
            ..message()
        };
        let mut file = attachment(None, vec![1]);
        (file.name, file.media_type) = (format!("../{evil}"), evil.to_owned());
        let sent = sent(Mail::new(&head(), &message, vec![file]).expect("worded"));
        let text = String::from_utf8(sent).expect("text");
        assert!(text.lines().all(|line| line != "." || text.ends_with(".\r\n")) && text.matches("\r\n.\r\n").count() == 1, "{text}");
        let kept = text.replace("\r\n..", "\r\n.");
        let parsed = MessageParser::default().parse(&kept).expect("a message");
        assert!(parsed.bcc().is_none());
        assert!(parsed.subject().is_some_and(|subject| subject.contains("Bcc: eva")), "{text}");
        assert!(parsed.body_text(0).is_some_and(|body| body.contains("\r\n.\r\nQUIT\r\n.leading") && !body.contains('\0')), "{text}");
        let name = parsed.attachment(0).and_then(|part| part.attachment_name()).map(str::to_owned);
        assert!(name.is_some_and(|name| name.starts_with(".._x") && !name.contains(['\r', '\n', '/'])), "{text}");
        let error = Mail::new(&head(), &message, vec![attachment(Some("a>\r\nBcc: eva@example.com"), vec![1])]).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_file_that_claims_to_hold_others_is_sent_as_bytes() {
        for (media_type, sent_as) in [
            ("image/png", "image/png"),
            ("Multipart/mixed; boundary=x", "application/octet-stream"),
            ("no type", "application/octet-stream"),
        ] {
            let mut file = attachment(None, vec![1]);
            media_type.clone_into(&mut file.media_type);
            let sent = sent(Mail::new(&head(), &Message { at_unix_ms: u64::MAX, ..message() }, vec![file]).expect("worded"));
            assert!(String::from_utf8(sent).expect("text").contains(&format!("\r\nContent-Type: {sent_as}\r\n")), "{media_type}");
        }
    }

    #[test]
    fn each_recipient_is_named_to_the_server_once() {
        let envelope = head().envelope();
        assert_eq!(envelope.recipients, ["ana@example.com", "eva@example.com"]);
        assert_eq!((envelope.sender.as_str(), envelope.beyond_ascii), ("backup@example.com", None));
    }
}
