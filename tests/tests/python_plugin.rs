//! The contract without Rust: the example in Python is built by componentize-py, keeps every promise of the suite, and carries whole sets.
//! The templates of `cofre plugin new --lang python` are built, too.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, root, said, target};
use cofre_tests::conformance::run_with;
use cofre_tests::{compare, local, packages, sample};
use rustix::fs::{FlockOperation, flock};

/// What the component is made of.
const SOURCES: [&str; 6] = ["app.py", "destination.py", "folder.py", "world.wit", "build.sh", "requirements.txt"];

/// The plug-in's sources.
fn example() -> PathBuf {
    root().join("plugins/examples/python-folder")
}

/// An interpreter with the componentize-py that the example is pinned to.
fn interpreter() -> Result<PathBuf> {
    let pinned = std::fs::read_to_string(example().join("requirements.txt"))?;
    let pinned = pinned.trim();
    ensure!(pinned.starts_with("componentize-py==") && pinned.lines().count() == 1, "requirements.txt pins something else: {pinned}");
    packages::python(&pinned.replace("==", "-"), &[pinned])
}

/// Runs the `build.sh` of a project.
fn build(project: &Path, output: &Path) -> Result<()> {
    let python = interpreter()?;
    let output = Command::new("sh")
        .arg(project.join("build.sh"))
        .arg(output)
        .env("PYTHON", python)
        .env("WIT", root().join("wit/v1.0"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .context("cannot run build.sh")?;
    ensure!(output.status.success(), "{} is not built: {}", project.display(), said(&output));
    Ok(())
}

/// The example's component as its sources are now. It is built once: a test that comes second waits for the first.
fn component() -> Result<PathBuf> {
    let mut identity = DefaultHasher::new();
    for source in SOURCES.map(|name| example().join(name)).iter().chain([&root().join("wit/v1.0/cofre.wit")]) {
        std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?.hash(&mut identity);
    }
    let place = target().join("test-python");
    std::fs::create_dir_all(&place)?;
    let held = File::open(&place)?;
    flock(&held, FlockOperation::LockExclusive)?;
    let component = place.join(format!("python-folder-{:016x}.wasm", identity.finish()));
    if !component.exists() {
        let fresh = tempfile::tempdir_in(&place)?;
        let built = fresh.path().join("built.wasm");
        build(&example(), &built)?;
        std::fs::rename(built, &component)?;
    }
    Ok(component)
}

/// Runs the unit tests of a project, which need nothing but Python.
fn unit_tests(project: &Path) -> Result<()> {
    packages::ensure(&["python3"])?;
    let output = Command::new("python3")
        .args(["-m", "unittest", "discover", "tests"])
        .current_dir(project)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .context("cannot run python3")?;
    let said = said(&output);
    ensure!(output.status.success() && said.contains("\nOK") && !said.contains("Ran 0 tests"), "{}: {said}", project.display());
    Ok(())
}

/// Writes the project `name` from a template of `sdk/templates`, as `cofre plugin new` does.
fn written(template: &str, name: &str, to: &Path) -> Result<()> {
    copy(&root().join("sdk/templates").join(template), to, &|text: &str| text.replace("{{name}}", name))
}

fn copy(from: &Path, to: &Path, change: &dyn Fn(&str) -> String) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_name() == "__pycache__" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &place, change)?;
        } else {
            std::fs::write(place, change(&std::fs::read_to_string(entry.path())?))?;
        }
    }
    Ok(())
}

#[test]
fn the_example_in_python_keeps_the_contract() -> Result<()> {
    unit_tests(&example())?;
    let component = component()?;
    // The settings, and what must be refused, are those of `local`: it keeps objects in the same way.
    for mut trial in local::trials()? {
        trial.destination = "python-folder";
        let verdict = run_with(&component, &trial, &[])?;
        eprintln!("python-folder: {} cases in {:.1} s, skipped: {:?}", verdict.cases, verdict.seconds, verdict.skipped);
        ensure!(verdict.failed.is_empty(), "{}", verdict.failures());
        ensure!(verdict.skipped.iter().all(|(case, _)| case == "pacing"), "{:?}", verdict.skipped);
    }
    Ok(())
}

#[test]
fn a_set_goes_through_python_and_comes_back() -> Result<()> {
    let component = component()?;
    let cofre = Installation::new("")?;
    for folder in ["files", "plugins", "disk"] {
        std::fs::create_dir(cofre.path(folder))?;
    }
    // A plug-in directory of its own: the one of all tests is not to be changed.
    let head = cofre.configuration()?.split("[plugins]").next().unwrap_or_default().to_owned();
    cofre.configure(&format!(
        "{head}[plugins]\ndirectory = \"@DIR@/plugins\"\n[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n\
         [[destination]]\nname = \"disk\"\nplugin = \"python-folder\"\ngrants = {{ directory = \"@DIR@/disk\", delete = true }}\n\
         retry = {{ attempts = 1, first_pause = \"1ms\" }}\n"
    ))?;
    sample::mixed(&cofre.path("files"), 40_000_000, 3)?;

    cofre.run(0, &["plugin", "add", "--yes", &renamed(&component, &cofre)?])?;
    cofre.run(0, &["run"])?;
    ensure!(cofre.sets("disk")?.len() == 1, "there is not one set: {:?}", cofre.sets("disk")?);
    cofre.run(0, &["verify", "--deep"])?;
    let (files, out) = (cofre.path("files"), cofre.path("out"));
    cofre.run(0, &["restore", "latest", "--to", &out.display().to_string()])?;
    compare::trees(&files, &out.join(files.strip_prefix("/")?))?;

    // What is damaged on the disk is found through it.
    damage(&cofre.path("disk"))?;
    cofre.run(4, &["verify", "--deep"])?;
    Ok(())
}

/// The component under the name that it gives itself, under which it is then found.
fn renamed(component: &Path, cofre: &Installation) -> Result<String> {
    let file = cofre.path("python-folder.wasm");
    std::fs::copy(component, &file)?;
    Ok(file.display().to_string())
}

/// Changes one byte in the middle of the largest file.
fn damage(folder: &Path) -> Result<()> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { files.push((entry.metadata()?.len(), entry.path())) }
        }
    }
    let (_, largest) = files.into_iter().max().context("nothing was stored")?;
    let mut bytes = std::fs::read(&largest)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(std::fs::write(largest, bytes)?)
}

#[test]
fn the_template_of_a_destination_is_the_example() -> Result<()> {
    let folder = tempfile::tempdir()?;
    written("python-destination", "python-folder", folder.path())?;
    for file in ["app.py", "destination.py", "folder.py", "world.wit", "requirements.txt", "tests/test_folder.py"] {
        let (ours, theirs) = (std::fs::read_to_string(example().join(file))?, std::fs::read_to_string(folder.path().join(file))?);
        ensure!(ours == theirs, "{file} of the template is not that of plugins/examples/python-folder");
    }
    unit_tests(folder.path())
}

#[test]
fn the_template_of_a_notifier_builds_and_describes_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    written("python-notifier", "my-plugin", &project)?;
    unit_tests(&project)?;
    let built = folder.path().join("my-plugin.wasm");
    build(&project, &built)?;
    let cofre = Installation::new("")?;
    let shown = cofre.json(0, &["plugin", "inspect", &built.display().to_string()])?;
    let said = &shown["description"];
    ensure!(said["name"] == "my-plugin", "{shown}");
    ensure!(said["kind"] == "notifier" && said["network"][0]["target"] == "{url}", "{shown}");
    Ok(())
}
