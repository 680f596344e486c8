//! How a request reaches the service: through the SDK in a component, through a fake of the service in tests.

use std::io::Read;

use cofre_sdk::Result;
use cofre_sdk::http::{Request, Response};

/// The body of a request.
pub(crate) enum Payload<'a> {
    /// None.
    Nothing,
    /// Bytes that are in memory, and can be sent again.
    Bytes(&'a [u8]),
    /// Exactly so many bytes of a stream, which can be sent once.
    Stream(&'a mut dyn Read, u64),
}

impl Payload<'_> {
    /// The same once more, where that is possible.
    pub(crate) fn again(&self) -> Option<Payload<'_>> {
        match self {
            Self::Nothing => Some(Payload::Nothing),
            Self::Bytes(bytes) => Some(Payload::Bytes(bytes)),
            Self::Stream(..) => None,
        }
    }
}

/// Sends requests, once each.
pub(crate) trait Transport {
    fn send(&self, request: Request, payload: Payload<'_>) -> Result<Response>;
}

/// The network, as far as it was granted.
#[derive(Debug)]
pub(crate) struct Network;

impl Transport for Network {
    fn send(&self, request: Request, payload: Payload<'_>) -> Result<Response> {
        match payload {
            Payload::Nothing => request.send(),
            Payload::Bytes(bytes) => request.send_bytes(bytes),
            Payload::Stream(body, length) => request.send_stream(body, length),
        }
    }
}
