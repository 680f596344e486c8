//! Bodies of requests: read whole, up to a size and within a time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};

use super::problem::{Kind, Problem};

/// Bytes of a body.
pub(super) const BODY_MAX: usize = 1 << 20;
/// How long it may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The whole body.
///
/// # Errors
/// When it is too large, comes too slowly, or breaks off.
pub(super) async fn read(body: Body) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(PATIENCE, Limited::new(body, BODY_MAX).collect()).await;
    let late = || Problem::new(Kind::Malformed, format!("the body did not come within {} s", PATIENCE.as_secs()));
    match read.map_err(|_| late())? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::new(Kind::TooLarge, format!("a body has at most {BODY_MAX} bytes")))
        }
        Err(error) => Err(Problem::new(Kind::Malformed, format!("the body broke off: {error}"))),
    }
}
