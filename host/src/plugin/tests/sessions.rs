//! Upload sessions, reads and listings of a plug-in that lies.

use std::time::Duration;

use super::{Shared, body, doing, limited};
use crate::ports::{Destination, DestinationErrorKind, PluginLimits};

async fn write_fails(mode: &str) -> String {
    let destination = doing(mode, "write").await;
    let mut upload = destination.begin("key", None).await.expect("begun");
    let error = upload.write(body([7; 1000]), 1000).await.expect_err("the lie is seen");
    assert_eq!(error.kind, DestinationErrorKind::Plugin, "{error}");
    let after = upload.offset().await.expect_err("the session is over");
    assert!(after.message.contains("session is over"), "{after}");
    error.message
}

#[tokio::test]
async fn a_lie_about_an_offset_ends_the_session() {
    for (mode, said) in [
        ("lie-offset-forward", "took 1000 and says that it is at offset 1001"),
        ("lie-offset-back", "took 1000 and says that it is at offset 0"),
        ("finish-without-reading", "took 0 and says that it is at offset 1000"),
        ("read-half", "took 500 and says that it is at offset 1000"),
        ("trap", "`write` failed: it crashed"),
    ] {
        let message = write_fails(mode).await;
        assert!(message.contains(said), "{mode}: {message}");
    }
}

#[tokio::test]
async fn nothing_comes_after_the_end_of_a_body() {
    let destination = doing("read-past-the-end", "write").await;
    let mut upload = destination.begin("key", None).await.expect("begun");
    // The source has more than the write may take.
    assert_eq!(upload.write(body([7; 5000]), 1000).await.expect("taken"), 1000);
}

#[tokio::test]
async fn a_body_that_ends_early_is_never_success() {
    let destination = doing("ok", "write").await;
    let mut upload = destination.begin("key", None).await.expect("begun");
    upload.write(body([7; 10]), 1000).await.expect_err("990 bytes are missing");
    assert_eq!(upload.offset().await.expect("the guest told the truth"), 0);
    assert_eq!(upload.write(body([7; 1000]), 1000).await.expect("the session goes on"), 1000);
}

#[tokio::test]
async fn a_cancelled_write_ends_its_session_and_a_token_opens_another() {
    let destination = doing("ok", "write").await;
    let mut upload = destination.begin("key", None).await.expect("begun");
    upload.write(body([7; 10]), 10).await.expect("written");
    let token = upload.token().await.expect("a token");
    let (never_ends, _writer) = tokio::io::duplex(64);
    let cancelled = tokio::time::timeout(Duration::from_millis(50), upload.write(Box::pin(never_ends), 1000)).await;
    assert!(cancelled.is_err());
    let after = upload.offset().await.expect_err("the store is gone");
    assert!(after.message.contains("cancelled"), "{after}");
    let mut again = destination.resume("key", &token).await.expect("resumed in a new store");
    assert_eq!(again.offset().await.expect("known from the token"), 10);
    assert_eq!(again.finish().await.expect("finished").size, 10);
}

#[tokio::test]
async fn an_offset_that_nothing_was_sent_for_is_not_believed() {
    let destination = doing("ok", "probe").await;
    let mut upload = destination.resume("key", &u64::MAX.to_string()).await.expect("resumed");
    let error = upload.write(body([7; 10]), 10).await.expect_err("no object is that long");
    assert_eq!(error.kind, DestinationErrorKind::Plugin, "{error}");
}

#[tokio::test]
async fn a_token_has_an_end() {
    let big = doing("big-token", "write").await;
    let error = big.begin("key", None).await.expect("begun").token().await.expect_err("one byte too long");
    assert!(error.message.contains("65537 bytes"), "{error}");
    let huge = doing("huge-token", "write").await;
    let error = huge.begin("key", None).await.expect("begun").token().await.expect_err("far too long");
    assert!(error.message.contains("more than 8 MiB"), "{error}");
}

#[tokio::test]
async fn what_is_finished_is_what_was_begun() {
    let destination = doing("lie-finish-key", "finish").await;
    let mut upload = destination.begin("key", None).await.expect("begun");
    upload.write(body([7; 10]), 10).await.expect("written");
    let error = upload.finish().await.expect_err("another key");
    assert!(error.message.contains("was asked for `key` and reports `another/key`"), "{error}");
}

#[tokio::test]
async fn a_read_is_counted() {
    for (mode, kind, said) in [
        ("read-short", DestinationErrorKind::Integrity, "was to give 1000 bytes, says 1000 and gave 999"),
        ("read-short-honest", DestinationErrorKind::Integrity, "was to give 1000 bytes, says 999 and gave 999"),
        ("read-nothing", DestinationErrorKind::Integrity, "says 1000 and gave 0"),
        ("read-too-much", DestinationErrorKind::Plugin, "it gave more than the 1000 bytes that it was asked for"),
        ("read-flood", DestinationErrorKind::Plugin, "it gave more than the 1000 bytes that it was asked for"),
    ] {
        let destination = doing(mode, "read").await;
        let shared = Shared::default();
        let error = destination.read("key", 5, Some(1000), shared.sink()).await.expect_err("the lie is seen");
        assert_eq!(error.kind, kind, "{mode}: {error}");
        assert!(error.message.contains(said), "{mode}: {error}");
        assert!(shared.content().len() <= 1000, "{mode}: the sink got more than was asked for");
    }
    let shared = Shared::default();
    assert_eq!(doing("ok", "read").await.read("key", 5, Some(300), shared.sink()).await.expect("honest"), 300);
    let expected: Vec<u8> = (5..305_u64).map(|i| u8::try_from(i % 251).expect("small")).collect();
    assert_eq!(shared.content(), expected);
}

#[tokio::test]
async fn a_sink_that_takes_no_more_is_not_the_plug_ins_fault() {
    let (sink, reader) = tokio::io::duplex(64);
    drop(reader);
    let error = doing("ok", "read").await.read("key", 0, None, Box::pin(sink)).await.expect_err("nobody reads");
    assert!(error.message.starts_with("cannot take what was read of `key`"), "{error}");
}

#[tokio::test]
async fn a_listing_is_checked() {
    for (mode, said) in
        [("huge-list", "more than 8 MiB"), ("huge-cursor", "more than 8 MiB"), ("list-outside", "`../../etc/passwd`, which cannot be")]
    {
        let error = doing(mode, "list").await.list("set/", None).await.expect_err("refused");
        assert!(error.message.contains(said), "{mode}: {error}");
    }
    let circle = doing("endless-list", "list").await;
    let first = circle.list("set/", None).await.expect("the first page");
    let error = circle.list("set/", first.cursor.as_deref()).await.expect_err("the same page again");
    assert!(error.message.contains("circles"), "{error}");
}

#[tokio::test]
async fn an_error_is_one_line_without_control_characters_or_secrets() {
    let error = doing("control-characters", "probe").await.probe().await.expect_err("it fails");
    assert_eq!(error.message, "one line level=ERROR forged  [2Jline  end");
    let mut settings = super::settings(serde_json::json!({"mode": "leak-secret"}), PluginLimits::default());
    settings.secrets.insert("token".to_owned(), "hunter2-and-more".into());
    let leaking = super::WasmDestination::new(super::hostile().await, settings).expect("good settings");
    assert_eq!(super::report(&leaking).await.message, "report: the secret is [REDACTED]");
}

#[tokio::test]
async fn an_honest_error_comes_through_and_a_wait_of_years_does_not() {
    let settings = serde_json::json!({"mode": "error", "kind": "rate-limited", "retryable": true, "retry_after_ms": u64::MAX});
    let settings = super::settings(settings, PluginLimits::default());
    let destination = super::WasmDestination::new(super::hostile().await, settings).expect("good settings");
    let error = destination.probe().await.expect_err("it fails");
    assert_eq!((error.kind, error.retryable), (DestinationErrorKind::RateLimited, true));
    assert_eq!(error.retry_after, Some(Duration::from_secs(3_600)));
    assert_eq!(error.context, [("status".to_owned(), "503".to_owned())]);
}

#[tokio::test]
async fn a_part_of_nothing_is_refused() {
    let error = limited("zero-part-size", "probe", PluginLimits::default()).await.probe().await.expect_err("refused");
    assert!(error.message.contains("parts of no bytes"), "{error}");
}
