//! How a request reaches the server: through the SDK in a component, through a fake of a server in tests.

use std::io::Read;

use cofre_sdk::Result;
use cofre_sdk::http::{Request, Response, Sending};

/// Sends requests, once each.
pub(crate) trait Transport {
    /// A request with its whole body, if it has one.
    fn send(&self, request: Request, body: Option<(&mut dyn Read, u64)>) -> Result<Response>;
    /// A request whose body follows piece by piece; in all `length` bytes, where that is known.
    fn open(&self, request: Request, length: Option<u64>) -> Result<Box<dyn Pieces>>;
}

/// A request on its way.
pub(crate) trait Pieces {
    /// Sends the next `length` bytes; `false` where the server takes no more, and its answer says why.
    fn send(&mut self, body: &mut dyn Read, length: u64) -> Result<bool>;
    /// Ends the request and waits for the answer.
    fn finish(self: Box<Self>) -> Result<Response>;
}

/// The network, as far as it was granted.
#[derive(Debug)]
pub(crate) struct Network;

impl Transport for Network {
    fn send(&self, request: Request, body: Option<(&mut dyn Read, u64)>) -> Result<Response> {
        match body {
            Some((body, length)) => request.send_stream(body, length),
            None => request.send(),
        }
    }

    fn open(&self, request: Request, length: Option<u64>) -> Result<Box<dyn Pieces>> {
        Ok(Box::new(request.open(length)?))
    }
}

impl Pieces for Sending {
    fn send(&mut self, body: &mut dyn Read, length: u64) -> Result<bool> {
        Self::send(self, body, length)
    }

    fn finish(self: Box<Self>) -> Result<Response> {
        Self::finish(*self)
    }
}
