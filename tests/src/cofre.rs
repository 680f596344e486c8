//! The program under test: its binary, its plug-ins, and a configuration in a directory of its own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::packages;

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where builds go.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where downloaded servers are kept.
pub fn tools() -> PathBuf {
    root().join("target/servers")
}

/// Where the components are.
pub fn plugins() -> PathBuf {
    root().join("target/plugins")
}

/// How long a room of plug-ins is kept that no later test was given.
const ROOM_AGE: Duration = Duration::from_hours(24);

/// A plug-in directory with the components as they are now, the guests of the tests beside them, and all of them approved in its
/// `plugins.lock`. Hard links: a component that is built anew meanwhile changes nothing for a test that runs.
fn approved_plugins(binary: &Path) -> Result<PathBuf> {
    let mut files = Vec::new();
    for folder in [plugins(), root().join("target/guests")] {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut identity = DefaultHasher::new();
    for path in files.iter().map(PathBuf::as_path).chain([binary]) {
        let status = std::fs::metadata(path)?;
        (path, status.len(), status.modified()?).hash(&mut identity);
    }
    let rooms = target().join("test-plugins");
    let room = rooms.join(format!("{:016x}", identity.finish()));
    if room.exists() {
        return Ok(room);
    }
    std::fs::create_dir_all(&rooms)?;
    // One test compiles them all, and the others wait for it.
    let held = std::fs::File::open(&rooms)?;
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive)?;
    if room.exists() {
        return Ok(room);
    }
    forget_old_rooms(&rooms)?;
    let fresh = tempfile::Builder::new().prefix("new-").tempdir_in(&rooms)?;
    for file in &files {
        let name = file.file_name().context("a component without a name")?;
        std::fs::hard_link(file, fresh.path().join(name)).or_else(|_| std::fs::copy(file, fresh.path().join(name)).map(drop))?;
    }
    let config = fresh.path().join("cofre.toml");
    std::fs::write(
        &config,
        format!(
            "passphrase = {{}}\nplugins = {{ directory = \"{0}\" }}\nstorage = {{ state_dir = \"{0}/state\", cache_dir = \"{1}\" }}\n",
            fresh.path().display(),
            cache()?.display()
        ),
    )?;
    // Guests that refuse to describe themselves are not approved, which is told and no failure here.
    let output = Command::new(binary).arg("--config").arg(&config).args(["plugin", "add", "--yes"]).arg(fresh.path()).output()?;
    ensure!(fresh.path().join("plugins.lock").exists(), "the plug-ins could not be approved: {}", said(&output));
    std::fs::rename(fresh.keep(), &room).context("cannot keep the approved plug-ins")?;
    Ok(room)
}

fn forget_old_rooms(rooms: &Path) -> Result<()> {
    for entry in std::fs::read_dir(rooms)? {
        let entry = entry?;
        if entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > ROOM_AGE) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// Compiled plug-ins, shared by all installations of a test run: compiling takes longer than most tests.
fn cache() -> Result<PathBuf> {
    let cache = target().join("test-cache");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&cache)?;
    Ok(cache)
}

/// All that a command line printed.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The library that fakes the clock, looked for once.
fn faketime() -> Result<&'static Path> {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    if let Some(library) = LIBRARY.get() {
        return Ok(library);
    }
    packages::ensure(&["libfaketime"])?;
    let library = packages::file_of("libfaketime", "libfaketimeMT.so.1")?;
    Ok(LIBRARY.get_or_init(|| library))
}

/// Runs a command to its end, which must have this code.
fn ended(command: &mut Command, code: i32, arguments: &[&str]) -> Result<Output> {
    let output = command.output().context("cannot start cofre")?;
    let said = said(&output);
    ensure!(output.status.code() == Some(code), "cofre {arguments:?} ended with {:?} instead of {code}: {said}", output.status);
    ensure!(!said.contains(PASSPHRASE), "the passphrase was printed: {said}");
    Ok(output)
}

/// One installation of cofre: configuration, passphrase, state, and room for destinations.
pub struct Installation {
    directory: TempDir,
    binary: PathBuf,
}

/// Every right that a token can have.
const SCOPES: [&str; 10] = [
    "status:read",
    "run:create",
    "tenant:deliver",
    "restore:read",
    "restore:write",
    "config:read",
    "config:write",
    "plugin:write",
    "audit:read",
    "access:write",
];

/// The passphrase of every installation.
pub const PASSPHRASE: &str = "frase-secreta-plantada-9f3c";

impl Installation {
    /// An installation whose configuration is a common head and `rest`; `@DIR@` stands for its directory.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn new(rest: &str) -> Result<Self> {
        let binary = target().join("release/cofre");
        ensure!(binary.exists(), "{} is missing: run `cargo build --release -p cofre` first", binary.display());
        ensure!(plugins().join("local.wasm").exists(), "the components are missing: run `cargo xtask plugins` first");
        let directory = tempfile::Builder::new().prefix("cofre-test").tempdir()?;
        let installation = Self { directory, binary };
        let passphrase = installation.path("passphrase");
        std::fs::write(&passphrase, format!("{PASSPHRASE}\n"))?;
        std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600))?;
        let room = approved_plugins(&installation.binary)?;
        let head = format!(
            "locale = \"en\"\n[passphrase]\nfile = \"{}\"\n[storage]\nstate_dir = \"{}\"\ncache_dir = \"{}\"\nspool_reserve = \"10MiB\"\n[plugins]\ndirectory = \"{}\"\nlock = \"{}\"\n",
            passphrase.display(),
            installation.path("state").display(),
            cache()?.display(),
            room.display(),
            room.join("plugins.lock").display()
        );
        installation.configure(&format!("{head}{rest}"))?;
        Ok(installation)
    }

    /// Makes a token that may do everything, as `cofre token create` tells of it: `text`, and `token` without its secret.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn whole_token(&self) -> Result<serde_json::Value> {
        let scopes: Vec<&str> = SCOPES.iter().flat_map(|scope| ["--scope", *scope]).collect();
        self.json(0, &[&["token", "create", "--name", "everything"], scopes.as_slice()].concat())
    }

    /// Gives it plug-ins of its own, which others do not lose when they are removed here: some approved, and some that wait.
    ///
    /// # Errors
    /// When they cannot be copied or approved.
    pub fn own_plugins(&self, approved: &[&str], waiting: &[&str]) -> Result<()> {
        let place = self.path("plugins");
        std::fs::create_dir(&place)?;
        let file = |name: &str| place.join(format!("{name}.wasm"));
        for name in approved.iter().chain(waiting) {
            std::fs::copy(plugins().join(format!("{name}.wasm")), file(name))?;
        }
        let text = self.configuration()?;
        let ours = |line: &str| match line.split(" = ").next() {
            Some("directory") => format!("directory = \"{}\"", place.display()),
            Some("lock") => format!("lock = \"{}\"", self.path("plugins.lock").display()),
            _ => line.to_owned(),
        };
        let (head, rest) = text.split_once("[plugins]\n").context("no plug-ins")?;
        let (own, rest) = rest.split_once("\n[").map_or((rest, String::new()), |(own, rest)| (own, format!("[{rest}")));
        self.configure(&format!("{head}[plugins]\n{}\n{rest}", own.lines().map(ours).collect::<Vec<_>>().join("\n")))?;
        for name in approved {
            self.run(0, &["plugin", "add", "--yes", file(name).to_str().context("a path")?])?;
        }
        Ok(())
    }

    /// Replaces the configuration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, text: &str) -> Result<()> {
        let here = self.directory.path().display().to_string();
        Ok(std::fs::write(self.path("cofre.toml"), text.replace("@DIR@", &here))?)
    }

    /// The configuration.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn configuration(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.path("cofre.toml"))?)
    }

    /// A path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a directory for a destination and returns its configuration.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn local(&self, name: &str) -> Result<String> {
        std::fs::create_dir_all(self.path(name))?;
        Ok(format!(
            "[[destination]]\nname = \"{name}\"\nplugin = \"local\"\ngrants = {{ directory = \"@DIR@/{name}\", delete = true }}\nretry = {{ first_pause = \"20ms\", attempts = 3 }}\n"
        ))
    }

    /// A command line, not yet run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.path("cofre.toml")).args(arguments).env_remove("COFRE_LOG");
        command
    }

    /// The same at another time, in UTC: `2026-03-15 02:00:00`. The clock goes on from there.
    ///
    /// # Errors
    /// When libfaketime cannot be installed.
    pub fn command_at(&self, moment: &str, arguments: &[&str]) -> Result<Command> {
        let library = faketime()?;
        let mut command = self.command(arguments);
        // Time-outs are measured by the other clock, which stays what it is.
        command.env("LD_PRELOAD", library).env("FAKETIME", format!("@{moment}")).env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
        Ok(command)
    }

    /// Runs a command line at another time and checks its exit code.
    ///
    /// # Errors
    /// When it ends with another code.
    pub fn run_at(&self, moment: &str, code: i32, arguments: &[&str]) -> Result<Output> {
        ended(&mut self.command_at(moment, arguments)?, code, arguments)
    }

    /// Runs a command line and checks its exit code.
    ///
    /// # Errors
    /// When it ends with another code.
    pub fn run(&self, code: i32, arguments: &[&str]) -> Result<Output> {
        ended(&mut self.command(arguments), code, arguments)
    }

    /// The same, for the JSON answer.
    ///
    /// # Errors
    /// When it ends with another code, or answers no JSON.
    pub fn json(&self, code: i32, arguments: &[&str]) -> Result<serde_json::Value> {
        let output = self.run(code, &[&["--json"], arguments].concat())?;
        Ok(serde_json::from_slice::<serde_json::Value>(&output.stdout)?["result"].clone())
    }

    /// Names of sets at a local destination, sorted.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn sets(&self, destination: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(destination))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("backup_") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}
