//! Object Lock ("Locking objects with Object Lock" in the S3 documentation): headers that keep a new object for a time, and the retention
//! of one that is stored. A lock is of one version of an object, and only a bucket that was made for it has locks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::date_time::{DateTime, Format};
use cofre_sdk::http::Method;
use cofre_sdk::{Context as _, Error, ErrorKind, Result};

use crate::client::{Ask, Client, unix_ms};
use crate::error;
use crate::settings::{LockMode, Settings};
use crate::transport::Answer;
use crate::upload::send_digested;
use crate::xml::{self, Retention};

/// How long the probe object is locked: long enough to prove the permission, too short to pile up.
const PROBE: Duration = Duration::from_mins(1);
/// Code of a bucket that was made without locks.
const NO_LOCKS: &str = "ObjectLockConfigurationNotFoundError";
/// Code of whatever cannot be done, locking in a bucket without locks among it.
const BAD: &str = "InvalidRequest";
const DAY: Duration = Duration::from_hours(24);

/// Headers for a new object.
pub(crate) fn headers(settings: &Settings, now: SystemTime) -> Result<Vec<(&'static str, String)>> {
    let mut headers = match settings.object_lock {
        Some(lock) => kept(lock.mode, now + DAY * lock.days)?,
        None => Vec::new(),
    };
    if settings.legal_hold {
        headers.push(("x-amz-object-lock-legal-hold", "ON".to_owned()));
    }
    Ok(headers)
}

/// Headers for the probe object: they prove that objects can be locked, and hold nothing for good.
pub(crate) fn probe_headers(settings: &Settings, now: SystemTime) -> Result<Vec<(&'static str, String)>> {
    settings.object_lock.map_or_else(|| Ok(Vec::new()), |lock| kept(lock.mode, now + PROBE))
}

fn kept(mode: LockMode, until: SystemTime) -> Result<Vec<(&'static str, String)>> {
    let seconds = until.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(vec![("x-amz-object-lock-mode", mode.as_str().to_owned()), ("x-amz-object-lock-retain-until-date", date(seconds)?)])
}

/// What keeps an object from being removed, as the service's answer says to an account that may know.
pub(crate) fn kept_by(answer: &Answer, now: SystemTime) -> Option<String> {
    if answer.header("x-amz-object-lock-legal-hold") == Some("ON") {
        return Some("by a legal hold".to_owned());
    }
    let until = answer.header("x-amz-object-lock-retain-until-date")?;
    let now_ms = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    // A time that cannot be read is one that has not come.
    let has_passed = unix_ms(until, Format::DateTime).is_some_and(|until| u128::from(until) <= now_ms);
    (!has_passed).then(|| format!("until {}", error::clean(until)))
}

/// Keeps a stored object at least until then. What keeps it for longer already, and a legal hold, stay as they are.
pub(crate) fn extend(client: &Client, full_key: &str, until_unix_ms: u64) -> Result<()> {
    let now = retention(client, full_key)?;
    let held_until = now.as_ref().and_then(|now| unix_ms(&now.retain_until_date, Format::DateTime)).unwrap_or(0);
    if held_until >= until_unix_ms {
        return Ok(());
    }
    // A governed object stays governed: nobody asked for what only time can undo. A mode that is stronger stays as well.
    let configured = client.settings.object_lock.map_or(LockMode::Governance, |lock| lock.mode);
    let mode = now.map_or_else(|| configured.as_str().to_owned(), |now| now.mode);
    let document = xml::retention(&mode, &date(until_unix_ms.div_ceil(1_000))?);
    let query = [("retention", "")];
    let ask = Ask { query: &query, body: document.as_bytes(), ..Ask::new(Method::Put, full_key) };
    send_digested(client, ask).map(drop).map_err(|error| no_locks(explained(client, error)))
}

fn retention(client: &Client, full_key: &str) -> Result<Option<Retention>> {
    let query = [("retention", "")];
    match client.send_for_body(Ask { query: &query, ..Ask::new(Method::Get, full_key) }) {
        Ok(body) => xml::read(&body, "retention").map(Some),
        // Both are 404; an object without a lock is no missing one. Some services say the same of it as of a bucket without locks: what
        // sets the lock then tells them apart.
        Err(error) if matches!(error.detail("code"), Some("NoSuchObjectLockConfiguration" | NO_LOCKS)) => {
            client.head(full_key).map(|_| None)
        }
        Err(error) => Err(no_locks(explained(client, error))),
    }
    .context("cannot ask how long the object is kept")
}

/// The failure to store a new object under the settings' lock.
pub(crate) fn of_new_object(client: &Client, error: Error) -> Error {
    let is_locked = client.settings.object_lock.is_some() || client.settings.legal_hold;
    if is_locked { explained(client, error) } else { error }
}

/// `InvalidRequest` may be all that a service says of a lock in a bucket without locks: whether the bucket has them is asked of the bucket.
fn explained(client: &Client, error: Error) -> Error {
    if error.kind() == ErrorKind::InvalidConfig || error.detail("code") != Some(BAD) {
        return error;
    }
    match client.send(Ask { query: &[("object-lock", "")], ..Ask::new(Method::Get, "") }) {
        Err(answer) if answer.detail("code") == Some(NO_LOCKS) => answer,
        // An account may use a bucket and not look at its configuration.
        _ => error,
    }
}

/// A bucket without locks is no mistake in the settings of somebody who only asked for protection.
fn no_locks(error: Error) -> Error {
    let code = error.detail("code").unwrap_or_default();
    if error.kind() == ErrorKind::InvalidConfig && matches!(code, BAD | NO_LOCKS) {
        return Error::unsupported(format!("the bucket was made without Object Lock: {}", error.message()));
    }
    error
}

fn date(unix_seconds: u64) -> Result<String> {
    let beyond = || Error::invalid_config("the time until which the object is to be kept is beyond what the service can write");
    let seconds = i64::try_from(unix_seconds).map_err(|_| beyond())?;
    DateTime::from_secs(seconds).fmt(Format::DateTime).map_err(|_| beyond())
}

#[cfg(test)]
mod tests {
    use cofre_sdk::{Body, Destination as _, ErrorKind, Upload as _};

    use crate::fake::store;

    const LOCKED: &str = r#", "object_lock": {"mode": "compliance", "days": 30}, "legal_hold": true"#;

    fn body(length: usize) -> Body {
        Body::from_reader(std::io::Cursor::new(vec![b'x'; length]), length as u64)
    }

    #[test]
    fn each_new_object_is_locked_and_the_probe_only_for_a_moment() {
        let (store, bucket) = store(LOCKED);
        store.probe().expect("it works");
        let probe = bucket.borrow().locks[".cofre-probe"].clone();
        assert!(!probe.hold && probe.mode == "COMPLIANCE", "{probe:?}");
        let mut small = store.begin("small", Some(3)).expect("begun");
        small.write(&mut body(3)).expect("held");
        small.finish().expect("finished");
        let mut large = store.begin("large", None).expect("begun");
        for length in [5 << 20, 1] {
            large.write(&mut body(length)).expect("written");
        }
        large.finish().expect("finished");
        let locks = bucket.borrow().locks.clone();
        for key in ["small", "large"] {
            let lock = &locks[key];
            assert!(lock.hold && lock.mode == "COMPLIANCE" && lock.until > probe.until, "{key}: {lock:?}");
            assert!(lock.until.len() == 20 && lock.until.ends_with('Z'), "{key}: {lock:?}");
        }
    }

    #[test]
    fn protection_is_extended_and_never_shortened() {
        let (store, bucket) = store("");
        bucket.borrow_mut().objects.insert("a".to_owned(), vec![]);
        store.protect("a", 1_800_000_000_001).expect("protected");
        let lock = |bucket: &std::cell::RefCell<crate::fake::Bucket>| {
            let lock = bucket.borrow().locks["a"].clone();
            (lock.mode, lock.until)
        };
        // Not a millisecond less than was asked for.
        assert_eq!(lock(&bucket), ("GOVERNANCE".to_owned(), "2027-01-15T08:00:01Z".to_owned()));
        store.protect("a", 1_700_000_000_000).expect("it is protected for longer");
        assert_eq!(lock(&bucket).1, "2027-01-15T08:00:01Z");
        bucket.borrow_mut().locks.get_mut("a").expect("locked").mode = "COMPLIANCE".to_owned();
        store.protect("a", 1_900_000_000_000).expect("extended");
        assert_eq!(lock(&bucket), ("COMPLIANCE".to_owned(), "2030-03-17T17:46:40Z".to_owned()));
    }

    #[test]
    fn what_cannot_be_protected_says_why() {
        let (store, bucket) = store("");
        assert_eq!(store.protect("a", 1).expect_err("no such object").kind(), ErrorKind::NotFound);
        let missing = "<Error><Code>InvalidRequest</Code><Message>Bucket is missing Object Lock Configuration</Message></Error>";
        bucket.borrow_mut().faults.push(("GET a?retention", 400, vec![], missing));
        assert_eq!(store.protect("a", 1).expect_err("no locks").kind(), ErrorKind::Unsupported);
        bucket.borrow_mut().faults.push(("PUT a", 400, vec![], missing));
        let error = store.begin("a", Some(0)).expect("begun").finish().expect_err("no locks");
        assert!(error.kind() == ErrorKind::InvalidConfig && error.message().contains("/object_lock"), "{error}");
        assert_eq!(store.protect("a", u64::MAX).expect_err("beyond").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_service_that_only_says_no_is_asked_whether_the_bucket_has_locks() {
        let (store, bucket) = store(r#", "legal_hold": true"#);
        let terse = "<Error><Code>InvalidRequest</Code><Message>Invalid Request</Message></Error>";
        let without = "<Error><Code>ObjectLockConfigurationNotFoundError</Code><Message>none</Message></Error>";
        bucket.borrow_mut().objects.insert("a".to_owned(), vec![]);
        for refused in ["GET a?retention", "PUT a?retention"] {
            bucket.borrow_mut().faults.extend([(refused, 400, vec![], terse), ("GET ?object-lock", 404, vec![], without)]);
            assert_eq!(store.protect("a", 1_800_000_000_000).expect_err("no locks").kind(), ErrorKind::Unsupported, "{refused}");
        }
        bucket.borrow_mut().faults.extend([("PUT b", 400, vec![], terse), ("GET ?object-lock", 404, vec![], without)]);
        let error = store.begin("b", Some(0)).expect("begun").finish().expect_err("no locks");
        assert!(error.kind() == ErrorKind::InvalidConfig && error.message().contains("/legal_hold"), "{error}");
        let secret = "<Error><Code>AccessDenied</Code></Error>";
        bucket.borrow_mut().faults.extend([("PUT b", 400, vec![], terse), ("GET ?object-lock", 403, vec![], secret)]);
        let error = store.begin("b", Some(0)).expect("begun").finish().expect_err("something is wrong");
        assert!(error.kind() == ErrorKind::Other && !error.message().contains("/legal_hold"), "{error}");
        // An object without a lock, in the words that others have for a bucket without locks.
        bucket.borrow_mut().faults.push(("GET a?retention", 404, vec![], without));
        store.protect("a", 1_800_000_000_000).expect("protected");
    }

    #[test]
    fn a_time_beyond_the_services_calendar_is_refused() {
        let (store, bucket) = store("");
        bucket.borrow_mut().objects.insert("a".to_owned(), vec![]);
        assert_eq!(store.protect("a", u64::MAX).expect_err("beyond").kind(), ErrorKind::InvalidConfig);
    }
}
