//! What the copies promise, against a destination that breaks in every way we know.

mod fake;
mod one_file;
mod whole_set;

use std::sync::Arc;
use std::time::Duration;

use self::fake::{Fake, Journal};
use super::{Lane, RetryPolicy};
use crate::ports::Meter;

/// Retries without waiting.
fn policy() -> RetryPolicy {
    let short = Duration::from_micros(10);
    RetryPolicy {
        attempts: 4,
        first_pause: short,
        longest_pause: short,
        call: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        pace: None,
    }
}

/// Bytes in which every offset shows.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index * 7 % 251).expect("below 251")).collect()
}

fn lane(fake: &Arc<Fake>, journal: &Arc<Journal>, policy: RetryPolicy) -> Lane {
    Lane { destination: fake.clone(), journal: journal.clone(), policy, meter: Arc::new(Meter::default()) }
}
