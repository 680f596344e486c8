//! The notifying half of the contract, before anything here notifies: a component takes a message with its files, and every field of both
//! arrives. What is released cannot be mended afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime_wasi_io::streams::DynInputStream;

use self::wit::exports::cofre::plugin::notifier::{Attachment, Message, Severity};
use self::wit::{Notifies, NotifiesPre};
use super::{body, engine, guest};
use crate::plugin::body::BodyInput;
use crate::plugin::call;
use crate::plugin::state::{Provision, State};
use crate::plugin::throttle::{Pace, Waited};

mod wit {
    wasmtime::component::bindgen!({
        path: "../wit/v1.0",
        inline: "
            package cofre:test-notifying;
            world notifies { export cofre:plugin/notifier@1.0.0; }
        ",
        world: "cofre:test-notifying/notifies",
        exports: { default: async },
        with: {
            "wasi:io/poll": wasmtime_wasi_io::bindings::wasi::io::poll,
            "wasi:io/streams": wasmtime_wasi_io::bindings::wasi::io::streams,
            "wasi:io/error": wasmtime_wasi_io::bindings::wasi::io::error,
        },
    });
}

/// Name, content identifier, what is there, and how long it is said to be.
type File = (&'static str, Option<&'static str>, &'static [u8], u64);

/// Delivers a message with files through a component; what it says, and how many bytes it took.
async fn notify(event: &str, files: &[File]) -> (Result<(), wit::cofre::plugin::types::Error>, u64) {
    let component = engine().await.load(&guest("notifier-echo.wasm")).await.expect("it describes itself");
    let provision = Provision { settings: r#"{"refuse": ["run.failed"]}"#.to_owned(), ..Provision::default() };
    let mut store = State::store(&component.engine, &Arc::new(provision)).expect("a store");
    let taken = Arc::new(AtomicU64::new(0));
    let mut attachments = Vec::new();
    for (name, content_id, content, size) in files {
        let input: DynInputStream = Box::new(BodyInput::new((body(*content), *size), Arc::clone(&taken), Pace::default()));
        attachments.push(Attachment {
            name: (*name).to_owned(),
            media_type: "image/png".to_owned(),
            content_id: content_id.map(str::to_owned),
            size: *size,
            body: store.data_mut().table.push(input).expect("room"),
        });
    }
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
    let ready = NotifiesPre::new(component.ready.clone()).expect("a notifier");
    let called = call::run(store, (Duration::from_secs(30), Waited::default()), move |store| {
        Box::pin(async move {
            let plugin: Notifies = ready.instantiate_async(&mut *store).await?;
            plugin.cofre_plugin_notifier().call_notify(store, &message, &attachments).await
        })
    });
    let (_, said) = called.await.expect("no trap");
    (said, taken.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_message_arrives_with_all_its_fields_and_files() {
    let large = vec![b'x'; 300_000].leak();
    let (said, taken) = notify("run.done", &[("plot.png", Some("plot"), large, 300_000), ("empty", None, b"", 0)]).await;
    said.expect("delivered");
    assert_eq!(taken, 300_000);
    let (said, _) = notify("run.failed", &[("plot.png", Some("plot"), b"abc", 3)]).await;
    let message = said.expect_err("refused").message;
    let all =
        r#"7 run.failed Critical 1800000000000 to ["ana@example.com"] in pt-BR: Falhou, O backup falhou, <img src="cid:plot">, {"set":1}"#;
    assert!(message.contains(all) && message.contains("plot.png image/png plot 3"), "{message}");
}

#[tokio::test]
async fn a_file_that_ends_early_is_no_delivery() {
    let (said, _) = notify("run.done", &[("plot.png", None, b"abc", 4)]).await;
    assert!(said.is_err());
}
