//! The program under test: its binary, its plug-ins, and a configuration in a directory of its own.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

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

/// All that a command line printed.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// One installation of cofre: configuration, passphrase, state, and room for destinations.
pub struct Installation {
    directory: TempDir,
    binary: PathBuf,
}

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
        // Compiled plug-ins are shared by all installations of a test run: compiling takes longer than most tests.
        let cache = target().join("test-cache");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&cache)?;
        let head = format!(
            "locale = \"en\"\n[passphrase]\nfile = \"{}\"\n[storage]\nstate_dir = \"{}\"\ncache_dir = \"{}\"\nspool_reserve = \"10MiB\"\n[plugins]\ndirectory = \"{}\"\n",
            passphrase.display(),
            installation.path("state").display(),
            cache.display(),
            plugins().display()
        );
        installation.configure(&format!("{head}{rest}"))?;
        Ok(installation)
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
            "[[destination]]\nname = \"{name}\"\nplugin = \"local\"\ngrants = {{ directory = \"@DIR@/{name}\" }}\nretry = {{ first_pause = \"20ms\", attempts = 3 }}\n"
        ))
    }

    /// A command line, not yet run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.path("cofre.toml")).args(arguments).env_remove("COFRE_LOG");
        command
    }

    /// Runs a command line and checks its exit code.
    ///
    /// # Errors
    /// When it ends with another code.
    pub fn run(&self, code: i32, arguments: &[&str]) -> Result<Output> {
        let output = self.command(arguments).output().context("cannot start cofre")?;
        let said = said(&output);
        ensure!(output.status.code() == Some(code), "cofre {arguments:?} ended with {:?} instead of {code}: {said}", output.status);
        ensure!(!said.contains(PASSPHRASE), "the passphrase was printed: {said}");
        Ok(output)
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
