//! A conversation with the server (RFC 5321): connected, secured and logged in, then one message. Every line that goes out passes
//! through one place, which lets no line break into it.

use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use cofre_sdk::{Context as _, Error, ErrorKind, Result};
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS, EhloResponse};

use crate::error::{broken, not_reached};
use crate::login::Account;
use crate::mail::{Envelope, Mail};
use crate::reply::Reply;
use crate::settings::{Settings, Tls};
use crate::tls;
use crate::wire::{Socket, Waits, Wire};

/// Bytes of the message that leave at once.
const BLOCK: usize = 64 << 10;

/// Where it is and who comes.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) account: Option<Account>,
    pub(crate) waits: Waits,
}

/// A server that knows who we are.
#[derive(Debug)]
pub(crate) struct Session {
    wire: BufReader<Wire>,
    waits: Waits,
    offers: EhloResponse<String>,
}

/// A recipient that the server does not take, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) recipient: String,
    pub(crate) reply: Reply,
}

impl Server {
    /// Name and port, for messages.
    pub(crate) fn target(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port())
    }

    /// Connects, secures and logs in.
    ///
    /// # Errors
    /// `invalid-config` where TLS or the settings are wrong, `access-denied` where the account is.
    pub(crate) fn connect(&self) -> Result<Session> {
        let mut session = self.greet().with_context(|| format!("cannot connect to {}", self.target()))?;
        if let Some(account) = &self.account {
            account.log_in(&mut session).with_context(|| format!("cannot log in at {} as {}", self.target(), account.user))?;
        }
        Ok(session)
    }

    fn greet(&self) -> Result<Session> {
        let (tls, host) = (self.settings.tls, self.settings.host.as_str());
        let mut wire = Wire::Plain(Socket::connect(&self.addresses()?, self.waits).map_err(not_reached)?);
        let own = wire.local_ip();
        if tls == Tls::Implicit {
            wire = wire.secure(tls::connection(host)?, self.waits.answer).map_err(broken)?;
        }
        let mut session = Session { wire: BufReader::new(wire), waits: self.waits, offers: EhloResponse::default() };
        let greeting = session.reply(self.waits.answer).map_err(|error| silent(error, tls))?;
        if !greeting.is_done() {
            return Err(greeting.into_error(ErrorKind::AccessDenied));
        }
        session.introduce(own)?;
        if tls == Tls::Starttls {
            session = session.start_tls(host)?;
            // What was offered before may have been said by anybody on the way.
            session.introduce(own)?;
        }
        Ok(session)
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let found = (self.settings.host.as_str(), self.settings.port()).to_socket_addrs().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => not_reached(error),
            _ => Error::unavailable(format!("its name cannot be looked up: {error}")),
        })?;
        Ok(found.collect())
    }
}

/// A server of implicit TLS waits for us while we wait for it.
fn silent(error: Error, tls: Tls) -> Error {
    if error.kind() == ErrorKind::Timeout && tls != Tls::Implicit {
        let mend = "if this is a port of implicit TLS, as 465, set /tls to `implicit`";
        return Error::new(ErrorKind::Timeout, format!("it accepted the connection and did not greet ({mend})"));
    }
    error
}

impl Session {
    /// Delivers a message; returns the recipients that the server does not take, after it took the message for the others.
    ///
    /// # Errors
    /// Nothing was delivered: no recipient was taken, one of them may be taken later, or the message was refused.
    pub(crate) fn deliver(&mut self, envelope: &Envelope, mail: Mail) -> Result<Vec<Refused>> {
        let size = mail.size();
        self.begin(envelope, size)?;
        let refused = self.name_recipients(&envelope.recipients)?;
        let consent = self.command("DATA")?;
        if !consent.wants_more() {
            return Err(consent.into_error(ErrorKind::Other)).context("the server does not take the message");
        }
        mail.write_to(&mut BufWriter::with_capacity(BLOCK, self.wire.get_mut()))?;
        let verdict = self.reply(self.waits.verdict).context("the server did not say whether it took the message")?;
        if verdict.is_done() {
            return Ok(refused);
        }
        Err(verdict.into_error(ErrorKind::Other)).with_context(|| format!("the server does not take the message of {size} bytes"))
    }

    /// Asks whether the server is there, and nothing else.
    ///
    /// # Errors
    /// Where it is not.
    pub(crate) fn nothing(&mut self) -> Result<()> {
        self.expect("NOOP", "the server takes no commands")
    }

    /// Takes leave. What was accepted stays accepted, however this ends.
    pub(crate) fn quit(mut self) {
        if self.send("QUIT").is_ok() {
            let _ = self.reply(self.waits.farewell);
        }
    }

    /// Mechanisms of login that the server offers, as bits of smtp-proto.
    pub(crate) fn mechanisms(&self) -> u64 {
        self.offers.auth()
    }

    /// Sends a command and returns the reply to it, whatever it is.
    ///
    /// # Errors
    /// Where there is none. `line` may be secret and is in no error.
    pub(crate) fn command(&mut self, line: &str) -> Result<Reply> {
        self.send(line)?;
        self.reply(self.waits.answer)
    }

    fn expect(&mut self, line: &str, refused: &str) -> Result<()> {
        let reply = self.command(line)?;
        if reply.is_done() { Ok(()) } else { Err(reply.into_error(ErrorKind::Other)).context(refused) }
    }

    /// Says who we are, as far as anybody can tell: a component does not know the machine's name, and an address is as good (section 4.1.3).
    fn introduce(&mut self, own: Option<IpAddr>) -> Result<()> {
        let name = match own {
            Some(IpAddr::V4(address)) => format!("[{address}]"),
            Some(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
            None => "[127.0.0.1]".to_owned(),
        };
        self.send(&format!("EHLO {name}"))?;
        let (reply, raw) = self.raw_reply(self.waits.answer)?;
        if !reply.is_done() {
            return Err(reply.into_error(ErrorKind::Unsupported));
        }
        self.offers = EhloResponse::parse(&mut raw.iter()).map_err(|_| strange())?;
        Ok(())
    }

    fn start_tls(mut self, host: &str) -> Result<Self> {
        let mend = "only on a network that you trust, set /tls to `none` with `allow_plaintext = true`";
        if !self.offers.has_capability(EXT_START_TLS) {
            return Err(Error::invalid_config(format!("the server offers no STARTTLS on this port; correct /port and /tls ({mend})")));
        }
        let reply = self.command("STARTTLS")?;
        if !reply.is_done() {
            return Err(reply.into_error(ErrorKind::Unavailable)).context("the server does not begin TLS");
        }
        // Whatever is here already did not come through TLS, and would be taken for what does.
        if !self.wire.buffer().is_empty() {
            return Err(Error::access_denied("somebody on the way to the server put words before its TLS"));
        }
        let wire = self.wire.into_inner().secure(tls::connection(host)?, self.waits.answer).map_err(broken)?;
        Ok(Self { wire: BufReader::new(wire), waits: self.waits, offers: EhloResponse::default() })
    }

    /// `MAIL`, with what the server must know before it takes anything (RFC 1870, RFC 6531).
    fn begin(&mut self, envelope: &Envelope, size: u64) -> Result<()> {
        let limit = self.offers.size as u64;
        if self.offers.has_capability(EXT_SIZE) && limit != 0 && size > limit {
            return Err(Error::out_of_space(format!("the message has {size} bytes and the server takes at most {limit}"))
                .with("limit_bytes", limit)
                .with("message_bytes", size));
        }
        let said = if self.offers.has_capability(EXT_SIZE) { format!(" SIZE={size}") } else { String::new() };
        let mut line = format!("MAIL FROM:<{}>{said}", envelope.sender);
        if let Some(address) = &envelope.beyond_ascii {
            if !self.offers.has_capability(EXT_SMTP_UTF8) {
                return Err(Error::unsupported(format!(
                    "the server takes no address with letters beyond ASCII, as {address} has (SMTPUTF8)"
                )));
            }
            line += " SMTPUTF8";
        }
        self.expect(&line, "the server does not take the sender")
    }

    fn name_recipients(&mut self, recipients: &[String]) -> Result<Vec<Refused>> {
        let mut refused = Vec::new();
        for recipient in recipients {
            let reply = self.command(&format!("RCPT TO:<{recipient}>"))?;
            if reply.is_passing() {
                return Err(reply.into_error(ErrorKind::Unavailable)).with_context(|| format!("the server does not take {recipient} now"));
            }
            if !reply.is_done() {
                refused.push(Refused { recipient: recipient.clone(), reply });
            }
        }
        if refused.len() < recipients.len() {
            return Ok(refused);
        }
        let named: Vec<String> = refused.iter().map(|one| format!("{}: {}", one.recipient, one.reply)).collect();
        let kind = refused.into_iter().next().map_or(ErrorKind::Other, |one| one.reply.into_error(ErrorKind::InvalidConfig).kind());
        Err(Error::new(kind, format!("the server takes none of the recipients: {}", named.join("; "))))
    }

    fn send(&mut self, line: &str) -> Result<()> {
        if line.contains(['\r', '\n', '\0']) {
            return Err(Error::invalid_config("a setting or an address has a line break in it"));
        }
        let wire = self.wire.get_mut();
        wire.write_all(format!("{line}\r\n").as_bytes()).and_then(|()| wire.flush()).map_err(broken)
    }

    fn reply(&mut self, within: Duration) -> Result<Reply> {
        self.raw_reply(within).map(|(reply, _)| reply)
    }

    /// One reply, understood and as it came; smtp-proto bounds its length.
    fn raw_reply(&mut self, within: Duration) -> Result<(Reply, Vec<u8>)> {
        self.wire.get_mut().wait_for(within);
        let (mut receiver, mut raw) = (ResponseReceiver::default(), Vec::new());
        loop {
            let bytes = self.wire.fill_buf().map_err(broken)?;
            if bytes.is_empty() {
                return Err(Error::unavailable("the server closed the connection"));
            }
            let mut rest = bytes.iter();
            let parsed = receiver.parse(&mut rest);
            let used = bytes.len() - rest.len();
            raw.extend_from_slice(&bytes[..used]);
            self.wire.consume(used);
            match parsed {
                Ok(response) => return Ok((Reply::new(&response), raw)),
                Err(smtp_proto::Error::NeedsMoreData { .. }) => {}
                Err(_) => return Err(strange()),
            }
        }
    }
}

fn strange() -> Error {
    Error::unavailable("the server's answer is none of this protocol (is this a mail server, and /tls right?)")
}
