//! A plug-in file: read once, so that the bytes that are hashed are the bytes whose signature is checked, that are compiled, and that are
//! copied into the plug-in directory.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::component::PluginError;

/// Largest plug-in file.
const FILE_MAX: u64 = 64 << 20;
/// Largest signature file; minisign's have about 300 bytes.
const SIGNATURE_MAX: u64 = 8 << 10;
const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
/// Everybody may read a plug-in; it is no secret.
const MODE: u32 = 0o644;

/// A component file and the signature beside it.
pub struct PluginFile {
    path: PathBuf,
    bytes: Vec<u8>,
    sha256: String,
    signature: Option<String>,
}

impl PluginFile {
    /// Reads a file that may be a component; compiled code and core modules are none.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or is something else.
    pub fn read(path: &Path) -> Result<Self, PluginError> {
        let path = std::path::absolute(path).map_err(|source| PluginError::Read { path: path.to_path_buf(), source })?;
        let not_a_plugin = |reason: &str| PluginError::NotAPlugin { path: path.clone(), reason: reason.to_owned() };
        let bytes = bytes_of(&path)?;
        // Compiled code (`.cwasm`) would be executed as it is, outside any sandbox: only source components are taken.
        if !bytes.starts_with(PREAMBLE) {
            return Err(not_a_plugin("it is not a WebAssembly component"));
        }
        let beside = signature_path(&path);
        let signature = signature_of(&beside).map_err(|source| PluginError::Read { path: beside, source })?;
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Ok(Self { path, bytes, sha256, signature })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256, hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Text of the signature file, where there is one.
    pub(super) fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }

    /// Writes the component and its signature to `place`; each is there whole or as it was before, also after a crash.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn install(&self, place: &Path) -> Result<(), PluginError> {
        let failed = |source| PluginError::Write { path: place.to_path_buf(), source };
        let directory = place.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(directory).map_err(failed)?;
        let beside = signature_path(place);
        match &self.signature {
            Some(text) => write_whole(&beside, text.as_bytes()),
            None => remove_if_there(&beside),
        }
        .and_then(|()| write_whole(place, &self.bytes))
        .map_err(failed)
    }
}

/// Removes an installed component and its signature; nothing to remove is success.
///
/// # Errors
/// When it cannot be removed.
pub fn uninstall(place: &Path) -> Result<(), PluginError> {
    let removed = remove_if_there(place).and_then(|()| remove_if_there(&signature_path(place)));
    removed.map_err(|source| PluginError::Write { path: place.to_path_buf(), source })
}

/// minisign's own convention.
pub(super) fn signature_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".minisig");
    PathBuf::from(name)
}

/// The whole file, if it is one and not too long. It is opened once, so that nothing can be put in its place in between.
fn bytes_of(path: &Path) -> Result<Vec<u8>, PluginError> {
    let failed = |source| PluginError::Read { path: path.to_path_buf(), source };
    let not_a_plugin = |reason: String| PluginError::NotAPlugin { path: path.to_path_buf(), reason };
    // Opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(not_a_plugin("it is not a file".to_owned()));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(not_a_plugin(format!("it has more than the {} MiB that cofre loads", FILE_MAX >> 20)));
    }
    Ok(bytes)
}

/// What is no text is read as an empty one, which is a signature of nothing.
fn signature_of(path: &Path) -> io::Result<Option<String>> {
    let status = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        status => status?,
    };
    if !status.is_file() {
        return Ok(Some(String::new()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(SIGNATURE_MAX).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8(bytes).unwrap_or_default()))
}

/// By a rename, with everything on disk before and after it.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(MODE)).tempfile_in(directory)?;
    file.write_all(bytes)?;
    // The umask may have taken bits away.
    file.as_file().set_permissions(std::fs::Permissions::from_mode(MODE))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(directory)?.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
