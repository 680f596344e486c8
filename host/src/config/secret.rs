//! Fetches secrets: from a private file, the environment, a command, or systemd. What is fetched is never shown.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::raw::RawSecret;

/// How long a command that prints a secret may take.
const COMMAND_TIME: Duration = Duration::from_secs(30);
const SECRET_MAX: u64 = 64 << 10;

/// Bytes of a passphrase that `openssl enc -pass file:` reads; it ignores the rest (`APP_PASS_LEN` in its apps.c).
const PASSPHRASE_MAX: usize = 1_023;

/// Beginnings of secrets that have more than one line: keys in PEM, PuTTY's keys, JSON.
const BLOCKS: [&str; 3] = ["-----BEGIN ", "PuTTY-User-Key-File-", "{"];

/// Checks that a secret says where it is; it is fetched only by what needs it.
///
/// # Errors
/// In words for the administrator.
pub(super) fn check(secret: &RawSecret) -> Result<(), String> {
    let ways = [secret.file.is_some(), secret.env.is_some(), secret.command.is_some(), secret.systemd_credential.is_some()];
    if ways.iter().filter(|way| **way).count() == 1 {
        return Ok(());
    }
    Err("give exactly one of `file`, `env`, `command`, `systemd_credential`".to_owned())
}

/// Fetches a secret: its first line, without the line's end; a key or a JSON document is taken whole.
///
/// # Errors
/// In words for the administrator, with the mend; never with the secret.
pub(super) fn fetch(secret: &RawSecret) -> Result<Zeroizing<String>, String> {
    let text = text(secret, COMMAND_TIME)?;
    let wanted = if BLOCKS.iter().any(|block| text.starts_with(block)) { text.trim_end() } else { first_line(&text) };
    let wanted = wanted.strip_suffix('\r').unwrap_or(wanted);
    if wanted.is_empty() { Err("the secret is empty".to_owned()) } else { Ok(Zeroizing::new(wanted.to_owned())) }
}

/// Reads a secret from a private file, as [`fetch`] does.
///
/// # Errors
/// As [`fetch`].
pub fn secret_from(file: &Path) -> Result<Zeroizing<String>, String> {
    fetch(&RawSecret { file: Some(file.to_path_buf()), ..RawSecret::default() })
}

/// Fetches a passphrase, which must be for `openssl` what it is for us.
///
/// # Errors
/// As [`fetch`], and where `openssl` would read something else.
pub(super) fn fetch_passphrase(secret: &RawSecret) -> Result<Zeroizing<String>, String> {
    let text = text(secret, COMMAND_TIME)?;
    let line = first_line(&text);
    if line.is_empty() {
        return Err("the passphrase is empty".to_owned());
    }
    if line.ends_with('\r') {
        let message = "the passphrase ends with a carriage return, a Windows line end, which openssl would take for a part of it; \
                       write the file with Unix line ends";
        return Err(message.to_owned());
    }
    if line.len() > PASSPHRASE_MAX || line.contains('\0') {
        return Err(format!(
            "openssl cannot read this passphrase: it has more than {PASSPHRASE_MAX} bytes, or a zero byte; choose another"
        ));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// The first line, without its line feed.
fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default()
}

/// All that the secret's place holds.
fn text(secret: &RawSecret, patience: Duration) -> Result<Zeroizing<String>, String> {
    check(secret)?;
    if let Some(path) = &secret.file {
        from_file(path)
    } else if let Some(name) = &secret.env {
        std::env::var(name).map(Zeroizing::new).map_err(|_| format!("the environment variable `{name}` is not set, or is not UTF-8"))
    } else if let Some(command) = &secret.command {
        from_command(command, patience)
    } else {
        let directory =
            std::env::var_os("CREDENTIALS_DIRECTORY").ok_or("systemd gave no credentials: is LoadCredential= set in the unit?")?;
        let name = secret.systemd_credential.as_deref().unwrap_or_default();
        if name.contains('/') {
            return Err("the name of a systemd credential has no slash".to_owned());
        }
        read(&Path::new(&directory).join(name))
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read `{}`: {error}", path.display());
    // What is checked is what is read: the open file, not the name. A FIFO must not make us wait.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let status = file.metadata().map_err(unreadable)?;
    if !status.is_file() {
        return Err(format!("`{}` is not a file", path.display()));
    }
    if status.mode() & 0o077 != 0 {
        return Err(format!("`{}` can be read by other users; run: chmod 600 {}", path.display(), path.display()));
    }
    let us = rustix::process::geteuid().as_raw();
    if status.uid() != us && status.uid() != 0 {
        return Err(format!("`{}` belongs to another user; run: chown root {}", path.display(), path.display()));
    }
    first_bytes(file).map_err(unreadable)
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    std::fs::File::open(path).and_then(first_bytes).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

fn first_bytes(file: std::fs::File) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    file.take(SECRET_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn from_command(command: &[String], patience: Duration) -> Result<Zeroizing<String>, String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let failed = |what: String| format!("the command `{program}` {what}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let output = child.stdout.take().ok_or_else(|| failed("has no output".to_owned()))?;
    let reader = std::thread::spawn(move || {
        let mut text = Zeroizing::new(String::new());
        output.take(SECRET_MAX).read_to_string(&mut text).map(|_| text)
    });
    let deadline = Instant::now() + patience;
    let status = loop {
        match child.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("took longer than {} s", patience.as_secs_f32())));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    if !status.success() {
        return Err(failed(format!("failed ({status})")));
    }
    // Something that the command left running may hold its output open for ever.
    while !reader.is_finished() {
        if Instant::now() > deadline {
            return Err(failed("ended, but something it started keeps its output open".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let text = reader.join().map_err(|_| failed("could not be read".to_owned()))?;
    text.map_err(|error| failed(format!("printed something that cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_mend() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        std::fs::write(&path, "segredo\nrest\n").expect("written");
        let secret = RawSecret { file: Some(path.clone()), ..RawSecret::default() };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("changed");
        let error = fetch(&secret).expect_err("refused");
        assert!(error.contains("chmod 600") && !error.contains("segredo"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("changed");
        assert_eq!(fetch(&secret).expect("read").as_str(), "segredo");
    }

    #[test]
    fn a_command_is_run_without_a_shell() {
        let command = |words: &[&str]| RawSecret { command: Some(words.iter().map(ToString::to_string).collect()), ..RawSecret::default() };
        assert_eq!(fetch(&command(&["printf", "%s", "$HOME;x"])).expect("read").as_str(), "$HOME;x");
        assert!(fetch(&command(&["false"])).expect_err("fails").contains("failed"));
        assert!(fetch(&RawSecret::default()).is_err());
    }

    #[test]
    fn a_command_that_never_ends_is_ended() {
        let words = ["sleep", "3600"].map(str::to_owned).to_vec();
        let error = text(&RawSecret { command: Some(words), ..RawSecret::default() }, Duration::from_millis(100)).expect_err("too long");
        assert_eq!(error, "the command `sleep` took longer than 0.1 s");
        let words = ["sh", "-c", "setsid sleep 3 & echo x"].map(str::to_owned).to_vec();
        let error = text(&RawSecret { command: Some(words), ..RawSecret::default() }, Duration::from_millis(500)).expect_err("open");
        assert!(error.contains("keeps its output open"), "{error}");
    }

    #[test]
    fn a_key_is_a_secret_as_a_whole_and_anything_else_ends_with_its_line() {
        let printed =
            |text: &str| RawSecret { command: Some(vec!["printf".to_owned(), "%s".to_owned(), text.to_owned()]), ..RawSecret::default() };
        for whole in ["-----BEGIN OPENSSH PRIVATE KEY-----\nYQ==\n-----END OPENSSH PRIVATE KEY-----", "{\n\"private_key\": \"x\"\n}"] {
            assert_eq!(fetch(&printed(&format!("{whole}\n\n"))).expect("read").as_str(), whole);
        }
        assert_eq!(fetch(&printed("senha\n# of the account")).expect("read").as_str(), "senha");
    }

    #[test]
    fn a_passphrase_that_openssl_would_read_otherwise_is_refused() {
        let printed = |text: &str| RawSecret { command: Some(vec!["printf".to_owned(), text.to_owned()]), ..RawSecret::default() };
        assert_eq!(fetch_passphrase(&printed(r" frase com acentuação \n")).expect("read").as_str(), " frase com acentuação ");
        assert_eq!(fetch(&printed(r"segredo\r\n")).expect("read").as_str(), "segredo");
        let error = fetch_passphrase(&printed(r"segredo\r\n")).expect_err("refused");
        assert!(error.contains("Unix line ends") && !error.contains("segredo"), "{error}");
        assert!(fetch_passphrase(&printed(&"x".repeat(1_024))).expect_err("refused").contains("1023 bytes"));
        assert!(fetch_passphrase(&printed(r"a\0b\n")).is_err());
        assert!(fetch_passphrase(&printed(r"\nsegredo\n")).expect_err("refused").contains("empty"));
    }
}
