//! What a plug-in may do while it describes itself, and what is no plug-in at all.

use serde_json::json;

use super::{engine, guest, hostile, plugin, settings};
use crate::plugin::{PluginError, PluginKind, WasmDestination};
use crate::ports::PluginLimits;

#[tokio::test]
async fn a_description_is_read_with_the_digest_of_the_file() {
    let local = super::local().await;
    assert_eq!((local.description().name.as_str(), local.description().kind), ("local", PluginKind::Destination));
    assert!(local.description().directory);
    let bytes = std::fs::read(plugin("local.wasm")).expect("read");
    assert_eq!(local.sha256(), hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes)));
}

#[tokio::test]
async fn describing_for_ever_ends() {
    let error = engine().await.load(&guest("describe-forever.wasm")).await.expect_err("it never answers");
    // On a machine with more to do than it can, the clock on the wall may be first.
    assert!(["(limit `cpu`)", "(limit `wall`)"].iter().any(|limit| error.to_string().contains(limit)), "{error}");
}

#[tokio::test]
async fn describing_reaches_nothing() {
    match engine().await.load(&guest("describe-side-effects.wasm")).await {
        Ok(component) => {
            let said = serde_json::to_string(component.description()).expect("JSON");
            assert!(!said.contains("=ok"), "{said}");
        }
        Err(error) => assert!(matches!(error, PluginError::Describe { .. }), "{error}"),
    }
}

#[tokio::test]
async fn a_table_bomb_is_no_plug_in() {
    let error = engine().await.load(&guest("table-bomb.wasm")).await.expect_err("too many elements");
    assert!(error.to_string().contains("limit `table_elements`"), "{error}");
}

#[tokio::test]
async fn compiled_code_and_other_files_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut compiled = std::fs::read(std::env::current_exe().expect("a test")).expect("read");
    compiled.truncate(1 << 20);
    let component = std::fs::read(guest("hostile.wasm")).expect("read");
    let files: [(&str, &[u8], &str); 5] = [
        ("compiled.cwasm", &compiled, "not a WebAssembly component"),
        ("module.wasm", b"\0asm\x01\0\0\0", "not a WebAssembly component"),
        ("empty.wasm", b"", "not a WebAssembly component"),
        ("nothing.wasm", b"\0asm\x0d\0\x01\0", "does not export"),
        ("cut.wasm", &component[..component.len() / 2], "not a plug-in"),
    ];
    for (name, bytes, says) in files {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        let error = engine().await.load(&path).await.expect_err("refused").to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
    let error = engine().await.load(directory.path()).await.expect_err("a directory").to_string();
    assert!(error.contains("it is not a file"), "{error}");
    let error = engine().await.load(&directory.path().join("absent")).await.expect_err("absent");
    assert!(matches!(error, PluginError::Read { .. }), "{error}");
}

/// A flipped bit anywhere must end in a message, never in a crash of the host.
#[tokio::test]
async fn a_damaged_component_does_no_harm() {
    let directory = tempfile::tempdir().expect("a directory");
    let component = std::fs::read(guest("hostile.wasm")).expect("read");
    let path = directory.path().join("damaged.wasm");
    for n in 0..8 {
        let mut damaged = component.clone();
        let at = 8 + n * (component.len() - 9) / 8;
        damaged[at] ^= 0x55;
        std::fs::write(&path, damaged).expect("written");
        if let Err(error) = engine().await.load(&path).await {
            assert!(matches!(error, PluginError::NotAPlugin { .. } | PluginError::Describe { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn a_notifier_is_no_destination() {
    let notifier = engine().await.load(&guest("notifier-echo.wasm")).await.expect("it describes itself");
    assert_eq!(notifier.description().kind, PluginKind::Notifier);
    let error = WasmDestination::new(notifier, settings(json!({}), PluginLimits::default())).err().expect("refused");
    assert!(error.to_string().contains("is no destination"), "{error}");
}

#[tokio::test]
async fn settings_that_do_not_fit_are_told_key_by_key() {
    let wrong = settings(json!({"mod": "ok", "size": -1}), PluginLimits::default());
    let error = WasmDestination::new(hostile().await, wrong).err().expect("refused").to_string();
    assert!(error.contains("setting `mod` is unknown; did you mean `mode`?"), "{error}");
    assert!(error.contains("setting `size` must be at least 0"), "{error}");
    assert!(error.contains("setting `mode` is missing"), "{error}");
    let mut secret = settings(json!({"mode": "ok"}), PluginLimits::default());
    secret.secrets.insert("password".to_owned(), "x".into());
    secret.grants.directory = Some("/tmp".into());
    let error = WasmDestination::new(hostile().await, secret).err().expect("refused").to_string();
    assert!(error.contains("secret `password` is not one that the plug-in asks for"), "{error}");
    assert!(error.contains("remove `grants.directory`"), "{error}");
}
