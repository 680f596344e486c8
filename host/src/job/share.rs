//! A file that somebody may download for a while: uploaded under a name that nobody guesses, and removed once its address has ended.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::context::{Context, JobError};
use crate::catalog::SharedFile;
use crate::config::DestinationConfig;
use crate::copy::{CopyContext, CopyJob, Expected, RetryPolicy, UploadJournal, copy_file};
use crate::pipeline::Totals;
use crate::ports::{Destination, DestinationError, DestinationErrorKind, Meter};
use crate::spool::Follower;

/// Longest address that a letter shows whole.
const ADDRESS_MAX: usize = 1_900;

/// What is shared.
pub(super) struct Order<'a> {
    /// Its key at the destination.
    pub key: &'a str,
    /// Its bytes.
    pub file: Follower,
    /// Their digests.
    pub totals: &'a Totals,
    /// How long its address is good for.
    pub lifetime: Duration,
}

/// A file that was shared.
pub(super) struct Shared {
    /// Whoever holds it can download the file.
    pub address: String,
    /// Until then.
    pub expires: Timestamp,
}

/// Remembers a file that is about to be uploaded, so that it goes whatever happens.
///
/// # Errors
/// When the catalogue cannot be written.
pub(super) fn remember(context: &Context, at: &DestinationConfig, key: &str, lifetime: Duration) -> Result<(), JobError> {
    let file = SharedFile { destination: at.settings.name.clone(), key: key.to_owned(), expires: after(lifetime) };
    Ok(context.catalog.remember_shared(&file)?)
}

/// Uploads a file and has an address made for it.
///
/// # Errors
/// When the destination does not take it, or gives no addresses.
pub(super) async fn share(
    context: &Context,
    at: &DestinationConfig,
    order: Order<'_>,
    cancel: &CancellationToken,
) -> Result<Shared, JobError> {
    let destination = context.destination(at).await?;
    upload(destination.as_ref(), at.retry, &order, cancel).await?;
    let object = tried(at, cancel, || destination.stat(order.key)).await?;
    if object.size != order.totals.cipher.size {
        let error =
            format!("destination `{}` has {} bytes of the file instead of {}", at.settings.name, object.size, order.totals.cipher.size);
        return Err(JobError::Failed(error));
    }
    let seconds = u32::try_from(order.lifetime.as_secs()).unwrap_or(u32::MAX);
    // An address that ends later than the file would be one to nothing.
    remember(context, at, order.key, order.lifetime)?;
    let expires = after(order.lifetime);
    let address = match tried(at, cancel, || destination.share(order.key, seconds)).await {
        Err(JobError::Destination { name, source }) if source.kind == DestinationErrorKind::Unsupported => {
            return Err(JobError::Failed(format!(
                "destination `{name}` gives no addresses to download from ({source}): name another in tenant_delivery.destination or \
                 with --via, or raise tenant_delivery.max_attachment"
            )));
        }
        made => made?,
    };
    if address.len() > ADDRESS_MAX || address.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(JobError::Failed(format!("destination `{}` gives an address that no mail can carry", at.settings.name)));
    }
    Ok(Shared { address, expires })
}

async fn upload(destination: &dyn Destination, policy: RetryPolicy, order: &Order<'_>, cancel: &CancellationToken) -> Result<(), JobError> {
    let failed = |source| JobError::Destination { name: destination.name().to_owned(), source };
    let limits = destination.probe().await.map_err(failed)?;
    let digests = &order.totals.cipher;
    let expected = Expected { size: digests.size, sha256: hex::encode(digests.sha256), md5: hex::encode(digests.md5) };
    let (_sender, expected) = watch::channel(Some(expected));
    let meter = Meter::default();
    let context = CopyContext { destination, limits, policy, journal: &NoJournal, meter: &meter, cancel };
    let job = CopyJob { key: order.key.to_owned(), file: order.file.clone(), expected, look_first: false };
    match copy_file(&context, job).await {
        Ok(_) => Ok(()),
        Err(_) if cancel.is_cancelled() => Err(JobError::Cancelled),
        Err(error) => Err(JobError::Failed(format!("destination `{}`: {error}", destination.name()))),
    }
}

/// One call, as often as the destination's retries allow.
async fn tried<T, F>(at: &DestinationConfig, cancel: &CancellationToken, call: impl Fn() -> F) -> Result<T, JobError>
where
    F: Future<Output = Result<T, DestinationError>>,
{
    let mut failures = 0;
    loop {
        let error = match tokio::time::timeout(at.retry.small_call(), call()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(_) => DestinationError::transient(DestinationErrorKind::Timeout, "it did not answer in time"),
        };
        failures += 1;
        if !error.retryable || failures >= at.retry.attempts {
            return Err(JobError::Destination { name: at.settings.name.clone(), source: error });
        }
        tokio::select! {
            () = cancel.cancelled() => return Err(JobError::Cancelled),
            () = tokio::time::sleep(at.retry.pause(failures, &error)) => {}
        }
    }
}

/// Removes a file that nobody was told of. Where that fails, it is due from now on.
pub(super) async fn discard(context: &Context, at: &DestinationConfig, key: &str) {
    if let Err(error) = remember(context, at, key, Duration::ZERO) {
        tracing::warn!(%error, "a file that nobody was told of could not be marked for removal");
    }
    remove_expired(context).await;
}

/// Removes the files whose addresses have ended. One that cannot be removed now is tried again the next time.
pub(super) async fn remove_expired(context: &Context) {
    let due = match context.catalog.expired_shared(Timestamp::now()) {
        Ok(due) => due,
        Err(error) => return tracing::warn!(%error, "expired deliveries could not be looked for"),
    };
    for file in due {
        match remove(context, &file).await {
            Ok(()) => tracing::info!(destination = file.destination, "an expired delivery was removed"),
            Err(error) => tracing::warn!(destination = file.destination, key = file.key, %error, "an expired delivery stays"),
        }
        if context.cancel.is_cancelled() {
            return;
        }
    }
}

async fn remove(context: &Context, file: &SharedFile) -> Result<(), JobError> {
    let at = context.chosen(Some(&file.destination))?[0];
    let destination: Arc<dyn Destination> = context.destination(at).await?;
    if !destination.may_delete() {
        return Err(JobError::Failed("grants.delete is not set there: remove it by hand".to_owned()));
    }
    tried(at, &context.cancel, || destination.delete(&file.key)).await?;
    Ok(context.catalog.forget_shared(&file.destination, &file.key)?)
}

/// An upload that is interrupted is discarded.
struct NoJournal;

impl UploadJournal for NoJournal {
    fn token(&self, _: &str) -> Option<String> {
        None
    }

    fn remember(&self, _: &str, _: &str) {}

    fn forget(&self, _: &str) {}
}

fn after(lifetime: Duration) -> Timestamp {
    let now = Timestamp::now();
    SignedDuration::try_from(lifetime).ok().and_then(|lifetime| now.checked_add(lifetime).ok()).unwrap_or(now)
}
