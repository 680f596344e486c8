//! What compiles components for `wasm32-wasip2` on this machine: rustup's target where it is installed, else Debian's own
//! compiler, whose standard library is built from its source, with a C library and a linker kept under `target/wasm-toolchain`.
//! Preparing is idempotent: each step looks first whether its result is there, and says what it adds and why.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The target of every component.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Vector instructions, which every runtime of components has and SHA-256 gains from; and tokio's networking, which it calls unstable here.
const FEATURES: &str = "-Ctarget-feature=+simd128 --cfg=tokio_unstable";

/// The same vector instructions for crates with C inside: the ciphers of TLS gain from them.
const C_FEATURES: &str = "-msimd128";

/// Debian packages of the second way: the compiler with its source, the linker, and a C compiler for crates with C inside.
const PACKAGES: [&str; 6] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19", "clang-19", "llvm-19"];

/// Oldest compiler that is of use, 1.x: the `rust-version` of the workspace.
const COMPILER: u32 = 95;

/// The C library that the standard library links with; bookworm's and its backports' are too old.
const LIBC_PACKAGE: &str = "wasi-libc";
const LIBC_SUITE: &str = "trixie";

/// What std 1.96 links with and that C library lacks. A component has one thread, so each says so.
/// Declared without `pthread.h`, whose macros of these names refuse to compile; every parameter is a pointer.
const PTHREAD_STUBS: &str = "\
#include <errno.h>
int pthread_create(void *thread, const void *attributes, void *(*start)(void *), void *argument) { return ENOTSUP; }
int pthread_join(void *thread, void **result) { return ENOTSUP; }
int pthread_detach(void *thread) { return ENOTSUP; }
";

/// A cargo that builds components, with what it needs to do so.
#[derive(Debug)]
pub(crate) struct Toolchain {
    cargo: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

impl Toolchain {
    /// Finds rustup's target, or else prepares Debian's compiler; `tools` is the folder for what the latter adds.
    pub(crate) fn find_or_prepare(tools: &Path) -> Result<Self> {
        if rustup_has_target() {
            let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
            let environment = vec![("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", FEATURES.into()), ("CFLAGS_wasm32_wasip2", C_FEATURES.into())];
            return Ok(Self { cargo, arguments: Vec::new(), environment });
        }
        fs::create_dir_all(tools).with_context(|| format!("cannot create {}", tools.display()))?;
        install_packages()?;
        let sysroot = libc(tools)?;
        let stubs = pthread_stubs(tools, &sysroot)?;
        let linker = component_linker(tools)?;
        Ok(Self::debian(&sysroot, &stubs, linker))
    }

    /// A cargo command with this toolchain's environment; the caller adds `build` and what to build.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        // Flags meant for the host's compiler would silently replace the target's own.
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTUP_TOOLCHAIN", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"]
        {
            command.env_remove(name);
        }
        command.arg(subcommand).args(["--target", TARGET]).args(&self.arguments).envs(self.environment.iter().map(|(k, v)| (k, v)));
        command
    }

    fn debian(sysroot: &Path, stubs: &Path, linker: PathBuf) -> Self {
        let libraries = sysroot.join("usr/lib").join(TARGET);
        let headers = sysroot.join("usr/include").join(TARGET);
        let mut flags = OsString::from(format!("{FEATURES} -Lnative="));
        for (text, path) in [
            ("", libraries.as_path()),
            (" -Clink-self-contained=no -Clink-arg=--wasm-ld-path=", Path::new("/usr/bin/wasm-ld-19")),
            (" -Clink-arg=", stubs),
        ] {
            flags.push(text);
            flags.push(path);
        }
        let mut c_flags = OsString::from(format!("{C_FEATURES} -isystem "));
        c_flags.push(headers);
        Self {
            cargo: PathBuf::from("/usr/bin/cargo"),
            arguments: vec!["-Zbuild-std=std,panic_abort".into()],
            environment: vec![
                ("RUSTC", "/usr/bin/rustc".into()),
                ("RUSTC_BOOTSTRAP", "1".into()),
                ("CARGO_TARGET_WASM32_WASIP2_LINKER", linker.into_os_string()),
                ("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", flags),
                ("CC_wasm32_wasip2", "clang-19".into()),
                ("AR_wasm32_wasip2", "llvm-ar-19".into()),
                ("CFLAGS_wasm32_wasip2", c_flags),
            ],
        }
    }
}

fn rustup_has_target() -> bool {
    let listed = Command::new("rustup").args(["target", "list", "--installed"]).stderr(Stdio::null()).output();
    listed.is_ok_and(|o| o.status.success() && String::from_utf8_lossy(&o.stdout).lines().any(|line| line.trim() == TARGET))
}

fn install_packages() -> Result<()> {
    let missing: Vec<&str> = PACKAGES.into_iter().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() && compiler_is_new_enough() {
        return Ok(());
    }
    let wanted = PACKAGES.join(" ");
    let by_hand = format!("`rustup target add {TARGET}`, or as root `apt-get update && apt-get install --no-install-recommends {wanted}`");
    ensure!(Path::new("/usr/bin/apt-get").exists(), "components need a compiler for {TARGET} and this is no Debian system; run {by_hand}");
    ensure!(is_root(), "components need a compiler for {TARGET}, and installing one takes root; run {by_hand}");
    println!("plug-ins: installing {wanted}: rustup has no {TARGET} here, so components are built with Debian's compiler");
    // Always with fresh lists: old ones have an old compiler, and installing that would succeed.
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "-y", "--no-install-recommends"]).args(PACKAGES))?;
    if let Some(package) = PACKAGES.iter().find(|package| !is_installed(package)) {
        bail!("apt-get said it installed {package}, and dpkg does not have it");
    }
    ensure!(
        compiler_is_new_enough(),
        "Debian's compiler is older than Rust 1.{COMPILER}, which cofre needs; run `rustup target add {TARGET}`"
    );
    Ok(())
}

fn compiler_is_new_enough() -> bool {
    let printed = Command::new("/usr/bin/rustc").arg("--version").stderr(Stdio::null()).output();
    let minor = |text: &str| text.strip_prefix("rustc 1.")?.split('.').next()?.parse::<u32>().ok();
    printed.is_ok_and(|output| minor(&String::from_utf8_lossy(&output.stdout)).is_some_and(|minor| minor >= COMPILER))
}

fn is_installed(package: &str) -> bool {
    let asked = Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]).stderr(Stdio::null()).output();
    asked.is_ok_and(|o| o.status.success() && String::from_utf8_lossy(&o.stdout).trim() == "install ok installed")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| String::from_utf8_lossy(&o.stdout).trim() == "0")
}

/// The folder into which the C library is unpacked.
fn libc(tools: &Path) -> Result<PathBuf> {
    let sysroot = tools.join("wasi-libc");
    let proof = sysroot.join("usr/lib").join(TARGET).join("libc.a");
    if proof.exists() {
        return Ok(sysroot);
    }
    println!("plug-ins: fetching {LIBC_PACKAGE} of Debian {LIBC_SUITE} into {}: the components' C library", sysroot.display());
    let apt = tools.join("apt");
    for folder in ["sources", "lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(folder)).with_context(|| format!("cannot create {}", apt.join(folder).display()))?;
    }
    let (name, text) = libc_source()?;
    fs::write(apt.join("sources").join(name), text).with_context(|| format!("cannot write into {}", apt.display()))?;
    let isolated = || {
        let mut command = apt_get();
        command.current_dir(&apt).arg("-oDir::Etc::SourceList=/dev/null");
        for (option, folder) in [("Etc::SourceParts", "sources"), ("State::Lists", "lists"), ("Cache", "cache")] {
            let mut value = OsString::from(format!("-oDir::{option}="));
            value.push(apt.join(folder));
            command.arg(value);
        }
        // Lists fetched by root are otherwise written by a user who may not enter a private folder.
        command.arg("-oAPT::Sandbox::User=root");
        command
    };
    run(isolated().arg("update"))?;
    run(isolated().args(["download", LIBC_PACKAGE]))?;
    let package = the_only_package(&apt)?;
    // Unpacked beside and renamed, so that an interrupted run leaves no half of a library.
    let fresh = tools.join("wasi-libc.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("cannot remove {}", fresh.display()))?;
    }
    run(Command::new("dpkg").arg("-x").arg(&package).arg(&fresh))?;
    if sysroot.exists() {
        fs::remove_dir_all(&sysroot).with_context(|| format!("cannot remove {}", sysroot.display()))?;
    }
    fs::rename(&fresh, &sysroot).with_context(|| format!("cannot rename {} to {}", fresh.display(), sysroot.display()))?;
    ensure!(proof.exists(), "{} holds no {}: the package has another layout than expected", package.display(), proof.display());
    Ok(sysroot)
}

/// The system's own Debian source with the suite replaced: the same mirror, the same keys, and no host name of ours.
fn libc_source() -> Result<(&'static str, String)> {
    let stanzas = Path::new("/etc/apt/sources.list.d/debian.sources");
    if let Ok(text) = fs::read_to_string(stanzas) {
        let first: Vec<&str> = text.lines().skip_while(|line| line.trim().is_empty()).take_while(|line| !line.trim().is_empty()).collect();
        let changed =
            first.iter().map(|line| if line.starts_with("Suites:") { format!("Suites: {LIBC_SUITE}") } else { (*line).to_owned() });
        return Ok(("libc.sources", changed.collect::<Vec<_>>().join("\n") + "\n"));
    }
    let lines = fs::read_to_string("/etc/apt/sources.list")
        .context("cannot read Debian's package sources, neither debian.sources nor sources.list")?;
    let line = lines.lines().find_map(one_line_source).context("/etc/apt/sources.list names no Debian source")?;
    Ok(("libc.list", line))
}

/// `deb [options] URI suite component…` with the suite replaced; `None` for any other line, or for security and update suites.
fn one_line_source(line: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']').map(|(options, rest)| (format!("[{options}] "), rest))?,
        None => (String::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    (!suite.contains('-')).then(|| format!("deb {options}{uri} {LIBC_SUITE} main\n"))
}

fn the_only_package(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut packages: Vec<PathBuf> =
        entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.extension().is_some_and(|e| e == "deb")).collect();
    packages.sort();
    packages.pop().with_context(|| format!("apt-get downloaded no package into {}", folder.display()))
}

fn pthread_stubs(tools: &Path, sysroot: &Path) -> Result<PathBuf> {
    let (source, object) = (tools.join("pthread-stubs.c"), tools.join("pthread-stubs.o"));
    if object.exists() && fs::read_to_string(&source).is_ok_and(|text| text == PTHREAD_STUBS) {
        return Ok(object);
    }
    fs::write(&source, PTHREAD_STUBS).with_context(|| format!("cannot write {}", source.display()))?;
    let headers = sysroot.join("usr/include").join(TARGET);
    let mut clang = Command::new("clang-19");
    clang.arg(format!("--target={TARGET}")).arg("-isystem").arg(headers).args(["-O2", "-c", "-o"]).arg(&object).arg(&source);
    run(&mut clang)?;
    Ok(object)
}

fn component_linker(tools: &Path) -> Result<PathBuf> {
    let linker = tools.join("bin/wasm-component-ld");
    if linker.exists() {
        return Ok(linker);
    }
    println!("plug-ins: installing wasm-component-ld under {}: it links components (about two minutes, once)", tools.display());
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["install", "--quiet", "--locked", "wasm-component-ld", "--root"])
        .arg(tools)
        .env_remove("CARGO_TARGET_DIR"))?;
    ensure!(linker.exists(), "cargo said it installed wasm-component-ld, and {} is not there", linker.display());
    Ok(linker)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
    command
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_style_source_keeps_its_mirror_and_changes_its_suite() {
        let line = "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib";
        assert_eq!(one_line_source(line).as_deref(), Some("deb [signed-by=/k.gpg] http://mirror.example/debian trixie main\n"));
        assert_eq!(one_line_source("deb http://mirror.example/debian bookworm-updates main"), None);
        assert_eq!(one_line_source("# deb http://mirror.example/debian bookworm main"), None);
    }
}
