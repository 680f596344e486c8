//! What `cofre plugin new` writes: it builds, its tests pass, and in the sandbox it conforms.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{root, said, target};
use cofre_tests::packages;

/// Makes a project in a directory.
fn made(directory: &Path, arguments: &[&str]) -> Result<PathBuf> {
    let project = directory.join("projeto");
    let output = Command::new(target().join("release/cofre"))
        .args(["plugin", "new"])
        .args(arguments)
        .arg("--dir")
        .arg(&project)
        .arg("--sdk")
        .arg(root().join("sdk"))
        .output()
        .context("cannot start cofre")?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(project)
}

/// Runs a program in a project.
fn in_project(project: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).current_dir(project).output().with_context(|| format!("cannot start {program}"))?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", said(&output));
    Ok(said(&output))
}

/// Tests a project natively, without a warning, and builds its component.
fn tested_and_built(project: &Path) -> Result<PathBuf> {
    let native = root().join("target/plugins-native").display().to_string();
    let told = in_project(project, "cargo", &["test", "--target-dir", &native])?;
    ensure!(told.contains("2 passed") && !told.contains("warning:"), "{told}");
    let xtask = target().join("release/xtask").display().to_string();
    let told = in_project(&root(), &xtask, &["plugins", "--project", &project.display().to_string()])?;
    let built = told
        .lines()
        .find(|line| Path::new(line).extension().is_some_and(|extension| extension == "wasm"))
        .with_context(|| format!("no component was built: {told}"))?;
    Ok(PathBuf::from(built.trim()))
}

#[test]
fn a_new_destination_builds_passes_its_tests_and_conforms() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let project = made(directory.path(), &["meu-nas", "--kind", "destination"])?;
    let component = tested_and_built(&project)?;
    ensure!(std::fs::metadata(&component)?.len() < 3 << 20, "the component is too large");
    let shelf = directory.path().join("shelf");
    std::fs::create_dir(&shelf)?;
    let settings = project.join("test.toml");
    let text = std::fs::read_to_string(&settings)?.replace("/tmp/meu-nas", &shelf.display().to_string());
    std::fs::write(&settings, text)?;
    let cofre = target().join("release/cofre").display().to_string();
    let told = in_project(&project, &cofre, &["plugin", "test", &component.display().to_string(), "--settings", "test.toml", "--json"])?;
    ensure!(told.contains("refusal/folder-elsewhere"), "its refusal was not tried: {told}");
    Ok(())
}

#[test]
fn a_new_notifier_builds_and_passes_its_tests() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let project = made(directory.path(), &["meu-aviso", "--kind", "notifier"])?;
    let component = tested_and_built(&project)?;
    let cofre = target().join("release/cofre").display().to_string();
    let told = in_project(&project, &cofre, &["--json", "--config", "absent.toml", "plugin", "inspect", &component.display().to_string()])?;
    ensure!(told.contains("meu-aviso") && told.contains("{endpoint}"), "{told}");
    Ok(())
}

#[test]
fn a_name_that_is_none_and_a_folder_that_is_there_are_refused() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for (name, says) in [("Meu_NAS", "no name of a plug-in"), ("nas", "exists already")] {
        let output = Command::new(target().join("release/cofre"))
            .args(["plugin", "new", name, "--kind", "destination", "--dir"])
            .arg(directory.path())
            .output()?;
        ensure!(output.status.code() == Some(2) && said(&output).contains(says), "{}", said(&output));
    }
    ensure!(std::fs::read_dir(directory.path())?.next().is_none(), "something was written");
    Ok(())
}

#[test]
fn projects_in_python_are_whole() -> Result<()> {
    packages::ensure(&["python3"])?;
    for (kind, test) in [("destination", "tests/test_folder.py"), ("notifier", "tests/test_webhook.py")] {
        let directory = tempfile::tempdir()?;
        let project = made(directory.path(), &["meu-python", "--kind", kind, "--lang", "python"])?;
        for file in ["app.py", "build.sh", "requirements.txt", "wit/cofre.wit", "wit/deps/io.wit", ".gitignore", test] {
            ensure!(project.join(file).is_file(), "{kind}: {file} is missing");
        }
        let told = in_project(&project, "python3", &["-m", "unittest", "discover", "tests"])?;
        ensure!(told.contains("\nOK"), "{told}");
    }
    Ok(())
}
