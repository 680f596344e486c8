//! What is approved is used, and nothing else.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{engine, plugin};
use crate::plugin::{Approvals, Change, NetworkNeed, Pin, PluginError, PluginFile, PluginLock, PluginState, Signature};
use crate::ports::PluginSettings;

struct Room {
    directory: tempfile::TempDir,
    settings: PluginSettings,
}

impl Room {
    /// A directory with `local.wasm` and nothing approved.
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = PluginSettings {
            directory: directory.path().to_path_buf(),
            lock: directory.path().join("plugins.lock"),
            trusted_keys: Vec::new(),
            require_signed: false,
        };
        std::fs::copy(plugin("local.wasm"), directory.path().join("local.wasm")).expect("copied");
        Self { directory, settings }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("local.wasm")
    }

    async fn load(&self) -> Result<String, PluginError> {
        let loaded = engine().await.load_approved(&self.file(), &self.settings).await?;
        Ok(loaded.description().name.clone())
    }

    async fn pin(&self) -> Pin {
        Pin::new(&engine().await.load(&self.file()).await.expect("a plug-in").profile(), &self.file(), &Signature::None)
    }

    fn approve(&self, pin: Pin) {
        PluginLock::change(&self.settings.lock, |lock| lock.approve(pin)).expect("written");
    }

    fn state(&self) -> PluginState {
        Approvals::read(&self.settings).expect("read").examine(&self.file()).state
    }

    /// The same component with an empty custom section behind it, which changes nothing but its digest.
    fn change(&self) {
        let mut bytes = std::fs::read(self.file()).expect("read");
        bytes.extend_from_slice(&[0, 2, 1, b'x']);
        std::fs::write(self.file(), bytes).expect("written");
    }
}

#[tokio::test]
async fn a_file_is_used_only_as_it_was_approved() {
    let room = Room::new();
    assert_eq!(room.state(), PluginState::Pending);
    let error = room.load().await.expect_err("nobody approved it").to_string();
    assert!(error.contains(&format!("cofre plugin add {}", room.file().display())), "{error}");
    room.approve(room.pin().await);
    assert_eq!((room.state(), room.load().await.expect("approved")), (PluginState::Approved, "local".to_owned()));
    room.change();
    assert_eq!(room.state(), PluginState::Changed);
    let error = room.load().await.expect_err("it changed").to_string();
    assert!(error.contains("cofre plugin update local"), "{error}");
    room.approve(room.pin().await);
    room.load().await.expect("approved again");
    assert_eq!(PluginLock::read(&room.settings.lock).expect("read").pins().len(), 1, "one approval a place");
    std::fs::remove_file(room.file()).expect("removed");
    assert_eq!(room.state(), PluginState::Missing);
}

#[tokio::test]
async fn a_pending_file_is_not_even_compiled() {
    let room = Room::new();
    let bytes = std::fs::read(room.file()).expect("read");
    std::fs::write(room.file(), &bytes[..bytes.len() / 2]).expect("written");
    assert!(matches!(room.load().await, Err(PluginError::Pending { .. })));
}

#[tokio::test]
async fn the_same_bytes_are_approved_wherever_they_lie() {
    let room = Room::new();
    room.approve(room.pin().await);
    let elsewhere = room.directory.path().join("elsewhere.wasm");
    std::fs::copy(room.file(), &elsewhere).expect("copied");
    engine().await.load_approved(&elsewhere, &room.settings).await.expect("the same bytes");
}

#[tokio::test]
async fn a_plug_in_that_asks_for_something_else_than_when_it_was_approved_is_refused() {
    let room = Room::new();
    let mut pin = room.pin().await;
    pin.network.push(NetworkNeed { target: "a.example:443".to_owned(), reason: "then".to_owned() });
    room.approve(pin.clone());
    let error = room.load().await.expect_err("it asks for less").to_string();
    assert!(error.contains("faulty or hostile"), "{error}");
    pin.network.clear();
    pin.directory = false;
    room.approve(pin);
    assert!(matches!(room.load().await, Err(PluginError::Fickle { .. })), "it asks for more");
}

#[tokio::test]
async fn the_difference_of_two_approvals_is_told() {
    let before = Room::new().pin().await;
    let need = |target: &str| NetworkNeed { target: target.to_owned(), reason: "because".to_owned() };
    let mut after = Pin { version: "9.0.0".to_owned(), directory: false, key: Some("B".to_owned()), ..before.clone() };
    after.network = vec![need("evil.example:443")];
    let changes = before.changes(&after);
    assert_eq!(
        changes,
        [
            Change::Text { what: "version", from: before.version.clone(), to: "9.0.0".to_owned() },
            Change::Directory { added: false },
            Change::Network { added: true, need: need("evil.example:443") },
            Change::Key { from: None, to: Some("B".to_owned()) },
        ]
    );
    assert!(!changes.iter().any(Change::is_another_signer), "a first signature takes nothing away");
    for key in [Some("C".to_owned()), None] {
        assert!(after.changes(&Pin { key, ..after.clone() }).iter().any(Change::is_another_signer));
    }
}

#[tokio::test]
async fn approvals_that_others_could_have_written_are_not_believed() {
    let room = Room::new();
    room.approve(room.pin().await);
    let lock = &room.settings.lock;
    let written = std::fs::read_to_string(lock).expect("read");
    std::fs::set_permissions(lock, std::fs::Permissions::from_mode(0o664)).expect("changed");
    assert!(room.load().await.expect_err("open to a group").to_string().contains("chmod go-w"));
    std::fs::set_permissions(lock, std::fs::Permissions::from_mode(0o644)).expect("changed");
    for (text, says) in [
        ("format = 2\n".to_owned(), "its format is 2"),
        (written.replace("sha256", "sha265"), "unknown field"),
        (written[..written.len() / 2].to_owned(), "cannot use the approvals"),
    ] {
        std::fs::write(lock, text).expect("written");
        let error = room.load().await.expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn what_is_installed_is_what_was_read_with_its_signature() {
    let room = Room::new();
    let place = room.directory.path().join("home/local.wasm");
    let signature = |of: &Path| of.with_extension("wasm.minisig");
    std::fs::write(signature(&room.file()), "a signature").expect("written");
    let file = PluginFile::read(&room.file()).expect("read");
    room.change();
    file.install(&place).expect("installed");
    assert_eq!(PluginFile::read(&place).expect("read").sha256(), file.sha256(), "not what lies there by now");
    assert_eq!(std::fs::read_to_string(signature(&place)).expect("read"), "a signature");
    std::fs::remove_file(signature(&room.file())).expect("removed");
    PluginFile::read(&room.file()).expect("read").install(&place).expect("installed");
    assert!(!signature(&place).exists(), "the old signature stayed beside new bytes");
    crate::plugin::uninstall(&place).expect("removed");
    crate::plugin::uninstall(&place).expect("removing nothing is success");
    assert!(!place.exists());
}
