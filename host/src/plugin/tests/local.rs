//! `local.wasm` through the whole runtime.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Shared, body, local, settings};
use crate::plugin::WasmDestination;
use crate::ports::{Destination, DestinationErrorKind, Grants, PluginLimits};

async fn in_directory(directory: &Path, limits: PluginLimits) -> WasmDestination {
    let mut settings = settings(json!({"path": "backups"}), limits);
    settings.grants = Grants { network: Vec::new(), directory: Some(directory.to_path_buf()), delete: true };
    WasmDestination::new(local().await, settings).expect("good settings")
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i % 251).expect("small")).collect()
}

#[tokio::test]
async fn an_object_lives_from_its_first_byte_to_its_removal() {
    let directory = tempfile::tempdir().expect("a directory");
    let destination = in_directory(directory.path(), PluginLimits::default()).await;
    assert_eq!(destination.probe().await.expect("it works").part_size, None);
    let content = pattern(3_000_000);
    let mut upload = destination.begin("set/sql/a.enc", Some(3_000_000)).await.expect("begun");
    assert_eq!(upload.write(body(&content[..1_000_000]), 1_000_000).await.expect("written"), 1_000_000);
    let token = upload.token().await.expect("a token");
    upload.write(body(&content[1_000_000..1_500_000]), 2_000_000).await.expect_err("the body ended early");
    drop(upload);
    assert_eq!(destination.stat("set/sql/a.enc").await.expect_err("not finished").kind, DestinationErrorKind::NotFound);

    let mut upload = destination.resume("set/sql/a.enc", &token).await.expect("resumed");
    let offset = upload.offset().await.expect("an offset");
    let from = usize::try_from(offset).expect("small");
    assert!((1_000_000..=1_500_000).contains(&from), "{from}");
    upload.write(body(&content[from..]), 3_000_000 - offset).await.expect("the rest");
    assert_eq!(upload.finish().await.expect("finished").size, 3_000_000);

    let file = directory.path().join("backups/set/sql/a.enc");
    assert!(std::fs::read(&file).expect("read") == content, "what is stored is not what was sent");
    let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o113, 0, "{mode:o}: nobody may run it, and nobody else may change it");
    let part = Shared::default();
    assert_eq!(destination.read("set/sql/a.enc", 2_000_000, Some(5), part.sink()).await.expect("read"), 5);
    assert_eq!(part.content(), content[2_000_000..2_000_005]);
    let all = Shared::default();
    destination.read("set/sql/a.enc", 0, None, all.sink()).await.expect("read");
    assert!(all.content() == content, "what was read is not what is stored");

    let page = destination.list("set/", None).await.expect("listed");
    assert_eq!(page.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["set/sql/a.enc"]);
    destination.delete("set/sql/a.enc").await.expect("removed");
    destination.delete("set/sql/a.enc").await.expect("removing nothing is success");
    assert!(destination.list("", None).await.expect("listed").objects.is_empty());
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let destination = in_directory(directory.path(), PluginLimits::default()).await;
    let mut upload = destination.begin("a", None).await.expect("begun");
    upload.write(body([7; 1000]), 1000).await.expect("written");
    let token = upload.token().await.expect("a token");
    upload.abort().await.expect("aborted");
    let resumed = destination.resume("a", &token).await.err().expect("the session is gone");
    assert_eq!(resumed.kind, DestinationErrorKind::SessionLost, "{resumed}");
}

#[tokio::test]
async fn a_link_does_not_lead_out_of_the_directory() {
    let (directory, outside) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    std::fs::write(outside.path().join("private"), "mine").expect("written");
    std::fs::create_dir(directory.path().join("backups")).expect("made");
    for (name, to) in [("file", outside.path().join("private")), ("folder", outside.path().to_path_buf())] {
        std::os::unix::fs::symlink(to, directory.path().join("backups").join(name)).expect("linked");
    }
    let destination = in_directory(directory.path(), PluginLimits::default()).await;
    for key in ["file", "folder/private", "../../etc/passwd", "/etc/passwd"] {
        let seen = Shared::default();
        destination.read(key, 0, None, seen.sink()).await.expect_err("outside");
        assert!(seen.content().is_empty(), "{key}");
    }
    if let Ok(mut upload) = destination.begin("folder/new", None).await {
        let _ = upload.write(body([7; 10]), 10).await;
        let _ = upload.finish().await;
    }
    assert!(!outside.path().join("new").exists());
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_told() {
    let destination = in_directory(Path::new("/nonexistent/drive"), PluginLimits::default()).await;
    let error = destination.probe().await.expect_err("not mounted");
    assert_eq!(error.kind, DestinationErrorKind::Unavailable);
    assert!(error.message.contains("cannot open the granted directory `/nonexistent/drive`"), "{error}");
}

fn stored_bytes(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let sizes = entries.filter_map(Result::ok).map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => stored_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// The first bytes arrive before the last are made: a byte-for-byte comparison would pass a runtime that buffers, too.
#[tokio::test]
async fn an_upload_streams() {
    let directory = tempfile::tempdir().expect("a directory");
    let destination = in_directory(directory.path(), PluginLimits::default()).await;
    let mut upload = destination.begin("a", None).await.expect("begun");
    let (mut source, end) = tokio::io::duplex(64 << 10);
    let (first, last) = (pattern(4 << 20), pattern(1 << 20));
    let feed = async {
        source.write_all(&first).await.expect("taken");
        let arrived = async {
            while stored_bytes(directory.path()) < 2 << 20 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), arrived).await.expect("the first bytes are stored before the last are made");
        source.write_all(&last).await.expect("taken");
    };
    let (written, ()) = tokio::join!(upload.write(Box::pin(end), 5 << 20), feed);
    assert_eq!(written.expect("written"), 5 << 20);
}

#[tokio::test]
async fn a_read_streams_and_waits_for_its_reader() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("backups")).expect("made");
    std::fs::write(directory.path().join("backups/a"), pattern(32 << 20)).expect("written");
    let destination = in_directory(directory.path(), PluginLimits::default()).await;
    let (sink, mut reader) = tokio::io::duplex(64 << 10);
    let read = destination.read("a", 0, None, Box::pin(sink));
    tokio::pin!(read);
    let mut start = [0; 1000];
    tokio::select! {
        _ = &mut read => panic!("32 MiB went through a reader that took none"),
        got = reader.read_exact(&mut start) => drop(got.expect("the first bytes")),
    }
    assert_eq!(start[..], pattern(1000));
    let rest = async { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.expect("read") };
    let (read, rest) = tokio::join!(read, rest);
    assert_eq!((read.expect("read"), rest), (32 << 20, (32 << 20) - 1000));
}

#[tokio::test]
async fn a_body_larger_than_the_memory_goes_through() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = PluginLimits { memory: 4 << 20, ..PluginLimits::default() };
    let destination = in_directory(directory.path(), limits).await;
    let length = 64 << 20;
    let mut upload = destination.begin("a", None).await.expect("begun");
    let zeroes = Box::pin(tokio::io::repeat(0).take(length));
    assert_eq!(upload.write(zeroes, length).await.expect("written"), length);
    assert_eq!(upload.finish().await.expect("finished").size, length);
}
