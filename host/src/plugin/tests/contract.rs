//! What was built for an older contract goes on running: a guest from its own copy of the WIT, and the same guest under other versions.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Shared, body, engine, guest, settings};
use crate::plugin::{PluginError, WasmDestination};
use crate::ports::{Destination, DestinationErrorKind, Grants, PluginLimits};

const FROZEN: &str = "frozen-v1-0.wasm";

async fn destination(component: &Path, directory: &Path) -> Result<WasmDestination, PluginError> {
    let mut settings = settings(json!({"greeting": "oi"}), PluginLimits::default());
    settings.grants = Grants { directory: Some(directory.to_path_buf()), delete: true, ..Grants::default() };
    WasmDestination::new(engine().await.load(component).await?, settings)
}

/// Every verb once, and what it must say.
async fn lives(component: &Path) {
    let directory = tempfile::tempdir().expect("a directory");
    let destination = destination(component, directory.path()).await.expect("it loads");
    let limits = destination.probe().await.expect("it works");
    assert_eq!(
        (limits.part_size, limits.max_object_size, limits.parallel_uploads, limits.free_bytes),
        (Some(3), Some(1 << 20), 2, Some(7))
    );
    let mut upload = destination.begin("set/a", Some(5)).await.expect("begun");
    assert_eq!(upload.write(body("abc"), 3).await.expect("written"), 3);
    let token = upload.token().await.expect("a token");
    drop(upload);
    assert_eq!(destination.stat("set/a").await.expect_err("not finished").kind, DestinationErrorKind::NotFound);
    let mut upload = destination.resume("set/a", &token).await.expect("resumed");
    assert_eq!(upload.offset().await.expect("an offset"), 3);
    upload.write(body("de"), 2).await.expect("written");
    let object = upload.finish().await.expect("finished");
    assert_eq!((object.key.as_str(), object.size), ("set/a", 5));
    let read = Shared::default();
    assert_eq!(destination.read("set/a", 1, Some(3), read.sink()).await.expect("read"), 3);
    assert_eq!(read.content(), b"bcd");
    let page = destination.list("set/", None).await.expect("listed");
    assert_eq!((page.objects.len(), page.cursor), (1, None));
    destination.begin("set/b", None).await.expect("begun").abort().await.expect("aborted");
    assert_eq!(destination.protect("set/a", 1).await.expect_err("it cannot").kind, DestinationErrorKind::Unsupported);
    assert_eq!(destination.share("set/a", 60).await.expect("shared"), "https://old.example/set/a?for=60");
    destination.delete("set/a").await.expect("removed");
    assert_eq!(destination.resume("set/b", "set/b").await.err().expect("aborted").kind, DestinationErrorKind::SessionLost);
    assert!(destination.list("", None).await.expect("listed").objects.is_empty());
}

/// The frozen guest as if it had been built for another version: imports and exports say so, and nothing else differs.
fn built_for(version: &str, directory: &Path) -> PathBuf {
    let mut bytes = std::fs::read(guest(FROZEN)).expect("read");
    let (from, to) = (b"@1.0.0", format!("@{version}"));
    assert_eq!(from.len(), to.len(), "lengths stand before the names");
    let mut changed = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            changed += 1;
        }
    }
    assert!(changed > 0, "the guest names no version");
    let path = directory.join("other.wasm");
    std::fs::write(&path, bytes).expect("written");
    path
}

#[tokio::test]
async fn a_plug_in_from_its_own_copy_of_the_contract_runs() {
    let component = engine().await.load(&guest(FROZEN)).await.expect("it describes itself");
    assert_eq!(component.contract(), "1.0.0");
    let said = component.description();
    assert_eq!((said.network[0].target.as_str(), said.secrets[0].name.as_str(), said.directory), ("old.example:443", "token", true));
    lives(&guest(FROZEN)).await;
}

#[tokio::test]
async fn a_plug_in_of_another_patch_of_the_contract_runs_and_one_of_another_version_is_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let patched = built_for("1.0.7", directory.path());
    assert_eq!(engine().await.load(&patched).await.expect("it describes itself").contract(), "1.0.7");
    lives(&patched).await;
    for (version, mend) in [("0.1.0", ""), ("1.1.0", "; it needs a newer cofre"), ("2.0.0", "; it needs a newer cofre")] {
        let error = engine().await.load(&built_for(version, directory.path())).await.expect_err("another").to_string();
        assert!(error.contains(&format!("it is made for version {version} of the contract; this cofre knows 1.0.0{mend}")), "{error}");
    }
}
