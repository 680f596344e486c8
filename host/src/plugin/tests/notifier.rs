//! The notifying half: every field of a message and of its files arrives, and nothing counts as delivered that was not.

use serde_json::json;

use super::{body, engine, guest, settings};
use crate::plugin::WasmNotifier;
use crate::ports::{Attachment, DestinationError, DestinationErrorKind, Message, Notifier, PluginLimits, Severity};

async fn echo() -> WasmNotifier {
    let component = engine().await.load(&guest("notifier-echo.wasm")).await.expect("it describes itself");
    WasmNotifier::new(component, settings(json!({"refuse": ["run.failed"]}), PluginLimits::default())).expect("good settings")
}

fn file(name: &str, content_id: Option<&str>, content: &[u8], size: u64) -> Attachment {
    Attachment {
        name: name.to_owned(),
        media_type: "image/png".to_owned(),
        content_id: content_id.map(str::to_owned),
        size,
        body: body(content),
    }
}

async fn notify(event: &str, files: Vec<Attachment>) -> Result<(), DestinationError> {
    let message = Message {
        id: "7".to_owned(),
        event: event.to_owned(),
        severity: Severity::Critical,
        at_unix_ms: 1_800_000_000_000,
        recipients: vec!["ana@example.com".to_owned()],
        language: "pt-BR".to_owned(),
        subject: "Falhou".to_owned(),
        text: "O backup falhou".to_owned(),
        html: Some("<img src=\"cid:plot\">".to_owned()),
        facts: r#"{"set":1}"#.to_owned(),
    };
    echo().await.notify(message, files).await
}

#[tokio::test]
async fn a_message_arrives_with_all_its_fields_and_files() {
    echo().await.probe().await.expect("works");
    let large = vec![b'x'; 300_000];
    let files = vec![file("plot.png", Some("plot"), &large, 300_000), file("empty", None, b"", 0), file("set", None, &large, 300_000)];
    notify("run.done", files).await.expect("delivered");
    let message = notify("run.failed", vec![file("plot.png", Some("plot"), b"abc", 3)]).await.expect_err("refused").message;
    let all =
        r#"7 run.failed Critical 1800000000000 to ["ana@example.com"] in pt-BR: Falhou, O backup falhou, <img src="cid:plot">, {"set":1}"#;
    assert!(message.contains(all) && message.contains("plot.png image/png plot 3"), "{message}");
}

#[tokio::test]
async fn a_file_that_ends_early_is_no_delivery() {
    assert!(notify("run.done", vec![file("plot.png", None, b"abc", 4)]).await.is_err());
}

#[tokio::test]
async fn what_is_no_notifier_is_refused() {
    let local = super::local().await;
    let Err(error) = WasmNotifier::new(local, settings(json!({}), PluginLimits::default())) else { panic!("a destination") };
    assert!(error.to_string().contains("plug-in `local` is no notifier"), "{error}");
}

#[tokio::test]
async fn its_own_error_says_whether_to_try_again() {
    let error = notify("run.failed", Vec::new()).await.expect_err("refused");
    assert_eq!((error.kind, error.retryable), (DestinationErrorKind::Unavailable, true));
}
