//! Commands that print something for scripts, shells and people who have no colours.

use std::process::Command;

use anyhow::{Result, ensure};
use cofre_tests::cofre::{Installation, said};

fn installation() -> Result<Installation> {
    let cofre = Installation::new(
        "[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n[[directory]]\npath = \"@DIR@/nowhere\"\n",
    )?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    Ok(cofre)
}

#[test]
fn what_is_printed_for_shells_and_scripts_is_what_they_read() -> Result<()> {
    let cofre = installation()?;
    // None of these needs a configuration that works.
    cofre.configure("nonsense")?;
    let schema: serde_json::Value = serde_json::from_slice(&cofre.run(0, &["schema"])?.stdout)?;
    ensure!(schema["properties"]["destination"].is_object() && schema["additionalProperties"] == false, "{schema}");
    let bash = cofre.path("cofre.bash");
    std::fs::write(&bash, cofre.run(0, &["completions", "bash"])?.stdout)?;
    let script =
        "source \"$0\" && complete -p cofre && COMP_WORDS=(cofre rest) COMP_CWORD=1 && _cofre cofre rest cofre && echo \"${COMPREPLY[*]}\"";
    let completed = Command::new("bash").args(["-c", script]).arg(&bash).output()?;
    ensure!(completed.status.success() && said(&completed).contains("restore"), "{}", said(&completed));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        ensure!(!cofre.run(0, &["completions", shell])?.stdout.is_empty(), "{shell}");
    }
    let page = String::from_utf8(cofre.run(0, &["man"])?.stdout)?;
    ensure!(page.contains(".TH cofre 1") && page.contains("restore"), "{page}");
    std::fs::create_dir(cofre.path("man"))?;
    cofre.run(0, &["man", "--dir", &cofre.path("man").display().to_string()])?;
    ensure!(std::fs::read_to_string(cofre.path("man/cofre-restore.1"))?.contains("dry"));
    Ok(())
}

#[test]
fn what_happened_is_shown_and_kept() -> Result<()> {
    let cofre = installation()?;
    let status = cofre.json(0, &["status"])?;
    ensure!(status["active"] == false && status["pending"] == 0 && status["runs"] == serde_json::json!([]), "{status}");
    cofre.run(1, &["run"])?;
    cofre.run(
        0,
        &["restore", "latest", "--path", &cofre.path("files").display().to_string(), "--to", &cofre.path("out").display().to_string()],
    )?;
    let shown = said(&cofre.run(3, &["show"])?);
    ensure!(
        shown.contains("MISSING") && shown.contains(&cofre.path("nowhere").display().to_string()) && shown.contains("_cofre_"),
        "{shown}"
    );
    let listed = said(&cofre.run(0, &["list"])?);
    ensure!(listed.contains("PARTIAL") && listed.contains(&cofre.sets("disk")?[0]), "{listed}");
    let status = said(&cofre.run(0, &["status"])?);
    for line in ["run      ", "failed", "restore  ", "done", "active"] {
        ensure!(status.contains(line), "{status}");
    }
    Ok(())
}

/// As on a terminal: a program that thinks that it is on one may colour what it says.
#[test]
fn no_colour_is_used_where_none_is_wanted() -> Result<()> {
    let cofre = installation()?;
    let on_a_terminal = |no_color: &str| -> Result<String> {
        let command = cofre.command(&["run"]);
        let words: Vec<_> =
            [command.get_program()].into_iter().chain(command.get_args()).map(|word| format!("'{}'", word.to_string_lossy())).collect();
        let output = Command::new("script").args(["-q", "-e", "-c", &words.join(" "), "/dev/null"]).env("NO_COLOR", no_color).output()?;
        ensure!(output.status.code() == Some(1) && said(&output).contains("NOT IN THE BACKUP"), "{}", said(&output));
        Ok(said(&output))
    };
    let coloured = |text: &str| {
        text.split("\u{1b}[").skip(1).any(|rest| {
            let parameters = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ';');
            parameters.starts_with('m')
        })
    };
    ensure!(coloured(&on_a_terminal("")?), "nothing is coloured even where it may be: the test proves nothing");
    let plain = on_a_terminal("1")?;
    ensure!(!coloured(&plain), "{plain:?}");
    Ok(())
}
