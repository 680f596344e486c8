//! How a request reaches the service: through the SDK in a component, through a fake of the service in tests.

use cofre_sdk::Result;
use cofre_sdk::http::{Request, Response};

/// Sends requests, once each.
pub(crate) trait Transport {
    fn send(&self, request: Request, body: &[u8]) -> Result<Response>;
}

/// The network, as far as it was granted.
#[derive(Debug)]
pub(crate) struct Network;

impl Transport for Network {
    fn send(&self, request: Request, body: &[u8]) -> Result<Response> {
        if body.is_empty() { request.send() } else { request.send_bytes(body) }
    }
}
