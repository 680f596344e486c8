//! How a signed request reaches the service: through the SDK in a component, through a fake of the service in tests.

use std::io::Read;

use cofre_sdk::Result;
use cofre_sdk::http::{Method, Request};

/// A request that is ready to go.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: &'a [u8],
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Box<dyn Read>,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Sends requests, once each.
pub(crate) trait Transport {
    fn send(&self, call: Call<'_>) -> Result<Answer>;
}

/// The network, as far as it was granted.
#[derive(Debug)]
pub(crate) struct Network;

impl Transport for Network {
    fn send(&self, call: Call<'_>) -> Result<Answer> {
        let request =
            call.headers.into_iter().fold(Request::new(call.method, call.url), |request, (name, value)| request.header(name, value));
        let response = if call.body.is_empty() { request.send()? } else { request.send_bytes(call.body)? };
        Ok(Answer { status: response.status(), headers: response.headers().to_vec(), body: Box::new(response) })
    }
}
