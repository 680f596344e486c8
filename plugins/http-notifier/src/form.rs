//! A form with files (RFC 7578), sent as it is read: no file is held in memory.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Cursor, Read};

use cofre_sdk::http::{Request, Response};
use cofre_sdk::{Attachment, Body, Result};

/// A form that is being put together.
pub struct Form {
    boundary: String,
    pieces: VecDeque<Piece>,
}

enum Piece {
    Text(Cursor<Vec<u8>>),
    File(Body),
}

impl Default for Form {
    fn default() -> Self {
        Self::new()
    }
}

impl Form {
    /// An empty form.
    pub fn new() -> Self {
        // Nobody can write a file that ends the part which it is in, as nobody knows the line that does.
        let random = || RandomState::new().hash_one(());
        Self { boundary: format!("cofre-{:016x}{:016x}", random(), random()), pieces: VecDeque::new() }
    }

    /// A field with a text.
    #[must_use]
    pub fn field(self, name: &str, media_type: &str, text: &str) -> Self {
        let head = format!("Content-Disposition: form-data; name=\"{}\"\r\nContent-Type: {media_type}", quoted(name));
        self.part(&head).text(text).text("\r\n")
    }

    /// A field with a file, by the file's own name.
    #[must_use]
    pub fn file(self, name: &str, file: Attachment) -> Self {
        let (name, file_name) = (quoted(name), quoted(&file.name));
        let media_type: String = file.media_type.chars().filter(|letter| !letter.is_control()).collect();
        let head = format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\nContent-Type: {media_type}");
        let mut form = self.part(&head);
        form.pieces.push_back(Piece::File(file.body));
        form.text("\r\n")
    }

    /// Sends it; a file that ends early ends the request, so that the service takes nothing of it.
    ///
    /// # Errors
    /// `integrity` for such a file, and those of any request.
    pub fn send(self, request: Request) -> Result<Response> {
        let request = request.header("content-type", format!("multipart/form-data; boundary={}", self.boundary));
        let end = format!("--{}--\r\n", self.boundary);
        let mut whole = self.text(&end);
        let length = whole.pieces.iter().map(Piece::length).sum();
        request.send_stream(&mut whole, length)
    }

    fn part(self, head: &str) -> Self {
        let line = format!("--{}\r\n{head}\r\n\r\n", self.boundary);
        self.text(&line)
    }

    fn text(mut self, text: &str) -> Self {
        self.pieces.push_back(Piece::Text(Cursor::new(text.as_bytes().to_vec())));
        self
    }
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.get_ref().len() as u64,
            Self::File(body) => body.remaining(),
        }
    }
}

impl Read for Form {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.pieces.front_mut() {
            let count = match piece {
                Piece::Text(text) => text.read(out)?,
                Piece::File(body) => body.read(out)?,
            };
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            self.pieces.pop_front();
        }
        Ok(0)
    }
}

/// What may stand between quotation marks, as browsers write it (HTML, "multipart form data").
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use cofre_sdk::ErrorKind;
    use cofre_sdk::testing::FakeHost;

    use super::*;

    fn file(name: &str, bytes: &'static [u8], size: u64) -> Attachment {
        let media_type = "application/octet-stream".to_owned();
        Attachment { name: name.to_owned(), media_type, content_id: None, body: Body::from_reader(bytes, size) }
    }

    #[test]
    fn a_form_is_written_as_services_read_it() {
        let host = FakeHost::new().network(|request, body| {
            let (_, kind) = request.headers().iter().find(|(name, _)| name == "content-type").expect("a form says what it is");
            let line = format!("--{}", kind.strip_prefix("multipart/form-data; boundary=").expect("and how it is divided"));
            let expected = format!(
                "{line}\r\nContent-Disposition: form-data; name=\"chat\"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n7\r\n\
                 {line}\r\nContent-Disposition: form-data; name=\"f\"; filename=\"có%22pia%0D.tar\"\r\nContent-Type: application/octet-stream\r\n\r\nabc\r\n\
                 {line}--\r\n"
            );
            assert_eq!(String::from_utf8_lossy(body), expected);
            Ok(Response::from_reader(200, Vec::new(), io::empty()))
        });
        let form = Form::new().field("chat", "text/plain; charset=utf-8", "7").file("f", file("có\"pia\r.tar", b"abc", 3));
        host.run(|| form.send(Request::post("https://h/"))).expect("it is sent");
    }

    #[test]
    fn a_file_that_ends_early_is_not_delivered() {
        let host = FakeHost::new().network(|_, _| unreachable!("nothing whole arrives"));
        let form = Form::new().file("f", file("a", b"abc", 4));
        let error = host.run(|| form.send(Request::post("https://h/"))).expect_err("a byte is missing");
        assert_eq!(error.kind(), ErrorKind::Integrity);
    }
}
