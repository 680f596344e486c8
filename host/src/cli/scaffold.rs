//! `cofre plugin new`: a project that builds, tests itself and conforms, to be filled with somebody's service.

use std::path::{Path, PathBuf};

use super::Exit;
use super::args::{Language, PluginNewArgs, Role};
use super::render::Renderer;
use crate::job::JobError;
use crate::text::{Locale, plugin_made};

/// Longest name; it becomes a file's.
const NAME_MAX: usize = 40;

/// A file of a project: where it goes, and its text with places for names.
type File = (&'static str, &'static str);

macro_rules! template {
    ($folder:literal: $($place:literal = $file:literal),* $(,)?) => {
        &[$(($place, include_str!(concat!("../../../sdk/templates/", $folder, "/", $file)))),*]
    };
}

const RUST_DESTINATION: &[File] = template!("rust-destination":
    "Cargo.toml" = "Cargo.toml.txt",
    "src/lib.rs" = "src/lib.rs",
    "README.md" = "README.md",
    "test.toml" = "test.toml.txt",
    ".gitignore" = "gitignore.txt",
    ".github/workflows/ci.yml" = "ci.yml",
);

const RUST_NOTIFIER: &[File] = template!("rust-notifier":
    "Cargo.toml" = "Cargo.toml.txt",
    "src/lib.rs" = "src/lib.rs",
    "README.md" = "README.md",
    ".gitignore" = "gitignore.txt",
    ".github/workflows/ci.yml" = "ci.yml",
);

const PYTHON_DESTINATION: &[File] = template!("python-destination":
    "app.py" = "app.py",
    "destination.py" = "destination.py",
    "folder.py" = "folder.py",
    "tests/test_folder.py" = "tests/test_folder.py",
    "world.wit" = "world.wit",
    "build.sh" = "build.sh",
    "requirements.txt" = "requirements.txt",
    "README.md" = "README.md",
    "test.toml" = "test.toml.txt",
    ".gitignore" = "gitignore.txt",
    ".github/workflows/ci.yml" = "ci.yml",
);

const PYTHON_NOTIFIER: &[File] = template!("python-notifier":
    "app.py" = "app.py",
    "webhook.py" = "webhook.py",
    "tests/test_webhook.py" = "tests/test_webhook.py",
    "build.sh" = "build.sh",
    "requirements.txt" = "requirements.txt",
    "README.md" = "README.md",
    ".gitignore" = "gitignore.txt",
    ".github/workflows/ci.yml" = "ci.yml",
);

/// The contract, for what makes its bindings from it.
const CONTRACT: &[File] = &[
    ("wit/cofre.wit", include_str!("../../../wit/v1.0/cofre.wit")),
    ("wit/deps/cli.wit", include_str!("../../../wit/v1.0/deps/cli.wit")),
    ("wit/deps/clocks.wit", include_str!("../../../wit/v1.0/deps/clocks.wit")),
    ("wit/deps/filesystem.wit", include_str!("../../../wit/v1.0/deps/filesystem.wit")),
    ("wit/deps/http.wit", include_str!("../../../wit/v1.0/deps/http.wit")),
    ("wit/deps/io.wit", include_str!("../../../wit/v1.0/deps/io.wit")),
    ("wit/deps/random.wit", include_str!("../../../wit/v1.0/deps/random.wit")),
    ("wit/deps/sockets.wit", include_str!("../../../wit/v1.0/deps/sockets.wit")),
];

/// Writes a project.
///
/// # Errors
/// When the name is none for a plug-in, or the folder is there already.
pub(super) fn new(arguments: &PluginNewArgs, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    let name = &arguments.name;
    check_name(name)?;
    let folder = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    if folder.exists() {
        return Err(JobError::Request(format!("`{}` exists already; choose another place with --dir", folder.display())));
    }
    let (own, contract): (_, &[File]) = match (arguments.lang, arguments.kind) {
        (Language::Rust, Role::Destination) => (RUST_DESTINATION, &[]),
        (Language::Rust, Role::Notifier) => (RUST_NOTIFIER, &[]),
        (Language::Python, Role::Destination) => (PYTHON_DESTINATION, CONTRACT),
        (Language::Python, Role::Notifier) => (PYTHON_NOTIFIER, CONTRACT),
    };
    let files: Vec<&File> = own.iter().chain(contract).collect();
    let sdk = dependency(arguments.sdk.as_deref())?;
    // Whole or not at all: what is there afterwards is a project.
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| JobError::Request(format!("cannot write the project `{}`: {error}", folder.display()));
    let fresh = tempfile::Builder::new().prefix(".cofre-new-").tempdir_in(parent).map_err(failed)?;
    for (place, text) in &files {
        let text = text.replace("{{name}}", name).replace("{{file}}", &name.replace('-', "_")).replace("{{sdk}}", &sdk);
        let path = fresh.path().join(place);
        path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text)).map_err(failed)?;
    }
    std::fs::set_permissions(fresh.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(failed)?;
    std::fs::rename(fresh.path(), &folder).map_err(failed)?;
    let written: Vec<&str> = files.iter().map(|(place, _)| *place).collect();
    renderer.result("plugin", &serde_json::json!({ "folder": folder, "files": written }), || plugin_made(&folder, &written, locale));
    Ok(Exit::Done)
}

/// `[a-z][a-z0-9-]*`, as the contract has it.
fn check_name(name: &str) -> Result<(), JobError> {
    let fits = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
        && !name.ends_with('-')
        && name.len() <= NAME_MAX;
    let wrong = || {
        JobError::Request(format!(
            "`{}` is no name of a plug-in: lower-case letters, digits and `-`, a letter first, at most {NAME_MAX}",
            name.escape_debug()
        ))
    };
    fits.then_some(()).ok_or_else(wrong)
}

/// Where the project gets the SDK from: a folder, or the release of this cofre.
fn dependency(sdk: Option<&Path>) -> Result<String, JobError> {
    let Some(sdk) = sdk else {
        return Ok(format!("git = \"{}\", tag = \"v{}\"", env!("CARGO_PKG_REPOSITORY"), env!("CARGO_PKG_VERSION")));
    };
    let missing = |why: String| JobError::Request(format!("--sdk `{}`: {why}", sdk.display()));
    let sdk = sdk.canonicalize().map_err(|error| missing(error.to_string()))?;
    if !sdk.join("Cargo.toml").is_file() {
        return Err(missing("no Cargo.toml lies there; it is the folder `sdk` of cofre's sources".to_owned()));
    }
    Ok(format!("path = {}", toml::Value::String(sdk.display().to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_the_contract_allows() {
        for name in ["a", "my-nas2", "s3"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "2x", "-a", "a-", "Ab", "a_b", "a/b", "..", "ação", &"a".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn every_file_is_whole_once_its_places_are_filled() {
        let all = [RUST_DESTINATION, RUST_NOTIFIER, PYTHON_DESTINATION, PYTHON_NOTIFIER];
        for (place, text) in all.into_iter().flatten() {
            let filled = text.replace("{{name}}", "x").replace("{{file}}", "x").replace("{{sdk}}", "path = \"x\"");
            let fills_nothing = filled.replace("${{", "").contains("{{") && !place.ends_with("py");
            assert!(!fills_nothing, "{place} has a place that nothing fills");
            if Path::new(place).extension().is_some_and(|extension| extension == "toml") {
                let parsed: Result<toml::Table, _> = filled.parse();
                assert!(parsed.is_ok(), "{place}: {parsed:?}");
            }
        }
    }
}
