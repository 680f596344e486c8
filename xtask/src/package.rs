//! `cargo xtask package`: the Debian package. A tree is laid out as it will be installed, and `dpkg-deb` packs it.
//!
//! Not with cargo-deb: compiling it takes longer than everything here, and what is left to it once components, manual pages and completions
//! are made is a list of files. `dpkg-deb` is on every Debian. Two builds of the same files give the same bytes: `dpkg-deb` sorts them, gives
//! them all to root and, from `SOURCE_DATE_EPOCH`, the same time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cofre_tests::packages;

use crate::process::{cargo, timed};

/// What builds and names packages.
const TOOLS: [&str; 3] = ["dpkg-dev", "binutils", "gzip"];

const PROGRAM: &str = "usr/bin/cofre";
const PLUGINS: &str = "usr/lib/cofre/plugins";
const DOCUMENTS: &str = "usr/share/doc/cofre";
const MANUAL: &str = "usr/share/man/man1";

/// Where a shell looks for the completions of a program.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/cofre"),
    ("fish", "usr/share/fish/vendor_completions.d/cofre.fish"),
    ("zsh", "usr/share/zsh/vendor-completions/_cofre"),
];

/// Commented configurations: the sources of `cofre init`'s.
const EXAMPLES: [(&str, &str); 2] =
    [("host/src/text/cofre.en.toml", "examples/cofre.toml"), ("host/src/text/cofre.pt-BR.toml", "examples/cofre.pt-BR.toml")];

const DESCRIPTION: &str = "\
Description: backups that open without the program that made them
 cofre backs up MySQL and MariaDB databases and directories into sets that
 openssl, tar and mariadb open by themselves, encrypts and seals them, copies
 them to several destinations through sandboxed plug-ins, verifies them there
 and restores all or one table or file of them.
 .
 This package has the program, its plug-ins and a service, which does nothing
 until `cofre init` has been run and the service has been enabled.
";

/// How to make the package.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the package goes [default: `debian` in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Profile of the program in it
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Use the build that is there
    #[arg(long)]
    no_build: bool,
}

impl Options {
    /// The package of what was built for the tests, in the usual place.
    pub(crate) fn of_the_tests() -> Self {
        Self { out: None, profile: "release".to_owned(), no_build: true }
    }
}

/// Makes the package of the repository at `root`; returns its file.
///
/// # Errors
/// When something of it cannot be built or written.
pub(crate) fn make(root: &Path, options: &Options) -> Result<PathBuf> {
    packages::ensure(&TOOLS)?;
    let out = options.out.clone().unwrap_or_else(|| cofre_tests::cofre::target().join("debian"));
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    if !options.no_build {
        build(root, &options.profile)?;
    }
    let (components, program) = (components(root)?, program(&options.profile));
    ensure!(program.exists(), "{} is not built", program.display());
    let staged = tempfile::Builder::new().prefix("package-").tempdir_in(&out)?;
    let epoch = epoch(root)?;
    let tree = Tree { root, staged: staged.path().join("root"), epoch: &epoch };
    tree.lay_out(&program, &components)?;
    let architecture = text_of(Command::new("dpkg").arg("--print-architecture"))?;
    tree.describe(staged.path(), &architecture)?;
    let file = out.join(format!("cofre_{}_{architecture}.deb", env!("CARGO_PKG_VERSION")));
    let mut pack = Command::new("dpkg-deb");
    // With several threads the bytes would depend on the machine.
    pack.args(["--build", "--root-owner-group", "--threads-max=1"]).arg(&tree.staged).arg(&file).env("SOURCE_DATE_EPOCH", &epoch);
    ran(&mut pack)?;
    Ok(file)
}

fn build(root: &Path, profile: &str) -> Result<()> {
    println!("building the components");
    crate::plugins::build(root, &crate::plugins::Options::default())?;
    println!("building cofre, profile {profile}");
    // All of the workspace chooses the features: otherwise much would be compiled again.
    timed(cargo(root).args(["build", "--workspace", "--bins", "--profile", profile])).map(drop)
}

/// The plug-ins that ship.
fn components(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join("target/plugins");
    let listed = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files = listed.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut shipped: Vec<PathBuf> = files.into_iter().filter(|file| file.extension().is_some_and(|it| it == "wasm")).collect();
    shipped.sort();
    ensure!(!shipped.is_empty(), "there is no plug-in to ship");
    Ok(shipped)
}

/// Where the program is.
fn program(profile: &str) -> PathBuf {
    let folder = if profile == "dev" { "debug" } else { profile };
    cofre_tests::cofre::target().join(folder).join("cofre")
}

/// Seconds since 1970 of what is packed: `SOURCE_DATE_EPOCH`, else the last commit.
fn epoch(root: &Path) -> Result<String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) => Ok(epoch),
        Err(_) => text_of(Command::new("git").current_dir(root).args(["log", "-1", "--format=%ct"]))
            .context("these sources are no git repository: set SOURCE_DATE_EPOCH"),
    }
}

/// What will be `/` on the machine where it is installed.
struct Tree<'a> {
    root: &'a Path,
    staged: PathBuf,
    epoch: &'a str,
}

impl Tree<'_> {
    fn lay_out(&self, program: &Path, components: &[PathBuf]) -> Result<()> {
        self.copy(program, PROGRAM, 0o755)?;
        ran(Command::new("strip").arg(self.staged.join(PROGRAM)))?;
        for component in components {
            let name = component.file_name().context("a component has a name")?.to_string_lossy();
            self.copy(component, &format!("{PLUGINS}/{name}"), 0o644)?;
        }
        self.copy(&self.root.join("packaging/cofre.service"), "usr/lib/systemd/system/cofre.service", 0o644)?;
        for (shell, place) in COMPLETIONS {
            self.write(place, &output_of(Command::new(program).args(["completions", shell]))?)?;
        }
        let manual = self.staged.join(MANUAL);
        fs::create_dir_all(&manual)?;
        ran(Command::new(program).args(["man", "--dir"]).arg(&manual))?;
        self.documents()?;
        for folder in [manual, self.staged.join(DOCUMENTS)] {
            compress(&folder)?;
        }
        settle(&self.staged)
    }

    fn documents(&self) -> Result<()> {
        for (source, name) in EXAMPLES {
            let text = fs::read_to_string(self.root.join(source)).with_context(|| format!("cannot read {source}"))?;
            self.write(&format!("{DOCUMENTS}/{name}"), text.replace("@PASSPHRASE@", "/etc/cofre/passphrase").as_bytes())?;
        }
        self.copy(&self.root.join("packaging/debian/copyright"), &format!("{DOCUMENTS}/copyright"), 0o644)?;
        for folder in ["", "formats/"] {
            for document in files(&self.root.join("docs").join(folder))? {
                let name = document.file_name().context("a document has a name")?.to_string_lossy();
                self.copy(&document, &format!("{DOCUMENTS}/{folder}{name}"), 0o644)?;
            }
        }
        let date = text_of(Command::new("date").args(["--utc", "--rfc-email", "--date", &format!("@{}", self.epoch)]))?;
        let version = env!("CARGO_PKG_VERSION");
        let entry = format!("cofre ({version}) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- {MAINTAINER}  {date}\n");
        self.write(&format!("{DOCUMENTS}/changelog"), entry.as_bytes())?;
        self.copy(&self.root.join("CHANGELOG.md"), &format!("{DOCUMENTS}/CHANGELOG.md"), 0o644)
    }

    /// The folder `DEBIAN`: what the package is and needs, its scripts, and the digests of its files.
    fn describe(&self, scratch: &Path, architecture: &str) -> Result<()> {
        let sums = digests(&self.staged)?;
        let kilobytes = kilobytes(&self.staged)?;
        let (needs, version) = (libraries(&self.staged.join(PROGRAM), scratch)?, env!("CARGO_PKG_VERSION"));
        let control = format!(
            "Package: cofre\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {MAINTAINER}\nInstalled-Size: {kilobytes}\n\
             Depends: {needs}, adduser\nRecommends: ca-certificates\nSuggests: mariadb-client, openssl\nSection: admin\n\
             Priority: optional\nHomepage: {}\n{DESCRIPTION}",
            env!("CARGO_PKG_REPOSITORY")
        );
        self.write("DEBIAN/control", control.as_bytes())?;
        self.write("DEBIAN/md5sums", &sums)?;
        for script in ["postinst", "prerm", "postrm"] {
            self.copy(&self.root.join("packaging/debian").join(script), &format!("DEBIAN/{script}"), 0o755)?;
        }
        settle(&self.staged)
    }

    fn copy(&self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.write(to, &bytes)?;
        Ok(fs::set_permissions(self.staged.join(to), fs::Permissions::from_mode(mode))?)
    }

    fn write(&self, to: &str, bytes: &[u8]) -> Result<()> {
        let place = self.staged.join(to);
        fs::create_dir_all(place.parent().context("a file lies somewhere")?)?;
        fs::write(&place, bytes).with_context(|| format!("cannot write {}", place.display()))
    }
}

/// Who answers for the package.
const MAINTAINER: &str = "The authors of cofre <cofre-backup@users.noreply.github.com>";

/// Modes as they are installed, whatever the umask here.
fn settle(folder: &Path) -> Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in entries(folder)? {
        if entry.is_dir() {
            settle(&entry)?;
        } else {
            let runs = fs::metadata(&entry)?.permissions().mode() & 0o100 != 0;
            fs::set_permissions(&entry, fs::Permissions::from_mode(if runs { 0o755 } else { 0o644 }))?;
        }
    }
    Ok(())
}

/// Packs manual pages and the two changelogs, as Debian wants them, without a name or time inside.
fn compress(folder: &Path) -> Result<()> {
    let whole = folder.ends_with(MANUAL);
    for file in files(folder)? {
        if whole || file.file_name().is_some_and(|name| name.to_string_lossy().to_lowercase().starts_with("changelog")) {
            ran(Command::new("gzip").args(["-9", "--no-name"]).arg(&file))?;
        }
    }
    Ok(())
}

/// MD5 of every file, as `dpkg --verify` reads them.
fn digests(staged: &Path) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    collect(staged, &mut all)?;
    let names = all.iter().filter_map(|file| file.strip_prefix(staged).ok());
    output_of(Command::new("md5sum").current_dir(staged).args(names))
}

fn kilobytes(staged: &Path) -> Result<u64> {
    let mut all = Vec::new();
    collect(staged, &mut all)?;
    let sizes = all.iter().map(|file| Ok(fs::metadata(file)?.len().div_ceil(1024)));
    sizes.sum::<Result<u64>>()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in entries(folder)? {
        if entry.is_dir() { collect(&entry, found)? } else { found.push(entry) }
    }
    Ok(())
}

/// The packages of the shared libraries that the program links with.
fn libraries(program: &Path, scratch: &Path) -> Result<String> {
    // It insists on a source package around it.
    let source = scratch.join("source");
    fs::create_dir_all(source.join("debian"))?;
    fs::write(source.join("debian/control"), "Source: cofre\n\nPackage: cofre\nArchitecture: any\n")?;
    let printed = text_of(Command::new("dpkg-shlibdeps").current_dir(&source).arg("-O").arg(program).stderr(Stdio::null()))?;
    let needs = printed.strip_prefix("shlibs:Depends=").context("dpkg-shlibdeps names no packages")?;
    Ok(needs.trim().to_owned())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|entry| entry.is_file()).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut entries = read.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

fn ran(command: &mut Command) -> Result<()> {
    output_of(command).map(drop)
}

fn text_of(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8(output_of(command)?)?.trim().to_owned())
}

fn output_of(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
