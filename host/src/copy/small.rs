//! Small objects beside the files of a set, such as the mark of a pin.

use tokio_util::sync::CancellationToken;

use super::clean_up::{NO_UPLOADS, call};
use super::set::{Lane, context};
use crate::ports::{BodySource, DestinationError, DestinationErrorKind};

/// Stores a small object, in one session.
///
/// # Errors
/// When the destination does not take it, or takes it for another size.
pub async fn put_small(lane: &Lane, key: &str, bytes: &[u8], cancel: &CancellationToken) -> Result<(), DestinationError> {
    let (context, size) = (context(lane, NO_UPLOADS, cancel), bytes.len() as u64);
    let mut upload = call(&context, key, context.destination.begin(key, Some(size))).await?;
    let body: BodySource = Box::pin(std::io::Cursor::new(bytes.to_vec()));
    call(&context, key, upload.write(body, size)).await?;
    let object = call(&context, key, upload.finish()).await?;
    if object.size == size {
        return Ok(());
    }
    let message = format!("`{key}` has {} bytes there where {size} were sent", object.size);
    Err(DestinationError::fatal(DestinationErrorKind::Integrity, message))
}

/// Removes a small object.
///
/// # Errors
/// When the destination does not let it go.
pub async fn remove_small(lane: &Lane, key: &str, cancel: &CancellationToken) -> Result<(), DestinationError> {
    let context = context(lane, NO_UPLOADS, cancel);
    call(&context, key, context.destination.delete(key)).await
}
