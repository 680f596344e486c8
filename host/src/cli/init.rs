//! `cofre init`: a commented configuration, a strong passphrase, and the sheet to keep away from the server.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::job::JobError;

/// Letters and digits that nobody confuses when copying by hand.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789-";
/// 5 bits a character: 52 characters are 260 bits.
const LENGTH: usize = 52;

/// Writes both files; returns their paths.
pub(super) fn init(config: &Path, template: impl FnOnce(&Path) -> String, force: bool) -> Result<(PathBuf, PathBuf), JobError> {
    let failed = |what: &Path, error: std::io::Error| JobError::Request(format!("cannot write `{}`: {error}", what.display()));
    let directory = config.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    if config.exists() && !force {
        return Err(JobError::Request(format!("`{}` exists already; edit it, or repeat with --force to replace it", config.display())));
    }
    let directory = directory.canonicalize().map_err(|error| failed(directory, error))?;
    let passphrase = directory.join("passphrase");
    if !passphrase.exists() {
        let text = random_passphrase()?;
        write_private(&passphrase, text.as_bytes(), false).map_err(|error| failed(&passphrase, error))?;
    }
    let partial = config.with_extension("toml.tmp");
    std::fs::write(&partial, template(&passphrase)).map_err(|error| failed(&partial, error))?;
    std::fs::rename(&partial, config).map_err(|error| failed(config, error))?;
    Ok((config.to_path_buf(), passphrase))
}

/// Whole or not at all, and over another only where that is meant: a cut secret would be taken for the real one ever after.
pub(super) fn write_private(path: &Path, bytes: &[u8], replace: bool) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o600)).tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    if replace { file.persist(path) } else { file.persist_noclobber(path) }.map_err(|error| error.error)?;
    std::fs::File::open(directory)?.sync_all()
}

fn random_passphrase() -> Result<Zeroizing<String>, JobError> {
    let mut bytes = Zeroizing::new([0_u8; LENGTH]);
    getrandom::fill(&mut *bytes).map_err(|error| JobError::Request(format!("the system gives no randomness: {error}")))?;
    let letters = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    // A leading dash would look like an option when it is pasted into a command.
    let mut text: String = letters.collect();
    if text.starts_with('-') {
        text.replace_range(..1, "x");
    }
    text.push('\n');
    Ok(Zeroizing::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::text::{Locale, configuration_template};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_init_writes_is_private_and_holds() {
        for locale in [Locale::PtBr, Locale::En] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("etc/cofre.toml");
            let (config, passphrase) = init(&path, |passphrase| configuration_template(passphrase, locale), false).expect("written");
            assert_eq!(std::fs::metadata(&passphrase).expect("there").mode() & 0o777, 0o600);
            let text = std::fs::read_to_string(&passphrase).expect("read");
            assert_eq!(text.trim_end().len(), LENGTH);
            Config::load(&config).expect("it holds as it is written");
            assert!(init(&path, |_| String::new(), false).is_err());
            init(&path, |passphrase| configuration_template(passphrase, locale), true).expect("replaced");
            assert_eq!(std::fs::read_to_string(&passphrase).expect("read"), text, "a passphrase is never replaced");
        }
    }
}
