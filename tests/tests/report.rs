//! The report of a month, of runs under a faked clock: what it counts, in which words, and what it says of a month in which nothing ran.

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::Installation;
use serde_json::Value;

/// Two good nights with one between them on which there was nothing to read.
fn installation() -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    let text = cofre.configuration()?.replace("locale = \"en\"", "locale = \"en\"\ntime_zone = \"UTC\"");
    cofre.configure(&format!("{text}{}", cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota\n".repeat(10_000))?;
    cofre.run_at("2026-03-01 02:00:00", 0, &["run"])?;
    std::fs::rename(cofre.path("files"), cofre.path("away"))?;
    cofre.run_at("2026-03-02 02:00:00", 1, &["run"])?;
    std::fs::rename(cofre.path("away"), cofre.path("files"))?;
    cofre.run_at("2026-03-03 02:00:00", 0, &["run"])?;
    Ok(cofre)
}

fn figures(cofre: &Installation, month: &str) -> Result<Value> {
    let output = cofre.run_at("2026-04-01 06:00:00", 0, &["--json", "report", "--month", month])?;
    let mut document: Value = serde_json::from_slice(&output.stdout)?;
    Ok(document["result"].take())
}

#[test]
fn the_report_counts_what_ran_and_only_successes_are_in_its_means() -> Result<()> {
    let cofre = installation()?;
    let found = figures(&cofre, "2026-03")?;
    let count = |name: &str| found[name].as_u64().with_context(|| format!("no {name}: {found}"));
    ensure!((count("executions")?, count("successes")?, count("failed")?, count("failures_total")?) == (3, 2, 1, 1), "{found}");
    ensure!(count("mean_plain")? >= 90_000 && found["saving"].as_f64().is_some_and(|saving| saving > 0.5), "{found}");
    let disk = &found["destinations"][0];
    ensure!(disk["name"] == "disk" && disk["complete"] == 2 && disk["executions"] == 3, "{disk}");
    ensure!(disk["free"].as_u64().is_some_and(|free| free > 0) && disk["forecast"]["state"] == "too-little", "{disk}");
    // What retention removes is still history.
    cofre.run_at("2026-06-01 02:00:00", 0, &["run"])?;
    cofre.run_at("2026-06-02 02:00:00", 0, &["run"])?;
    cofre.run_at("2026-06-03 04:00:00", 0, &["prune"])?;
    ensure!(cofre.sets("disk")?.len() < 4, "retention removed nothing");
    ensure!(figures(&cofre, "2026-03")?["mean_plain"] == found["mean_plain"], "history went with its sets");
    Ok(())
}

#[test]
fn the_report_is_told_in_the_missions_words_and_as_one_page() -> Result<()> {
    let cofre = installation()?;
    let output = cofre.run_at("2026-04-01 06:00:00", 0, &["--locale", "pt-BR", "report", "--month", "2026-03"])?;
    let text = String::from_utf8(output.stdout)?;
    for line in ["📊 RELATÓRIO DE BACKUP - MARÇO 2026", "Execuções: 2/3 (67% sucesso)", "disk: 2/3", "Alertas: 1 falha crítica"] {
        ensure!(text.contains(line), "no `{line}` in {text}");
    }
    let page = cofre.path("report.html");
    cofre.run_at(
        "2026-04-01 06:00:00",
        0,
        &["report", "--month", "2026-03", "--format", "html", "--output", &page.display().to_string()],
    )?;
    let page = std::fs::read_to_string(page)?;
    ensure!(page.contains("data:image/svg+xml;base64,") && !page.contains("http://") && !page.contains("https://"), "{page}");
    Ok(())
}

#[test]
fn a_month_in_which_nothing_ran_is_told_loudly_and_no_month_is_refused() -> Result<()> {
    let cofre = installation()?;
    let output = cofre.run_at("2026-04-01 06:00:00", 0, &["report", "--month", "2026-02"])?;
    ensure!(String::from_utf8_lossy(&output.stdout).contains("NO BACKUP WAS MADE IN THIS MONTH"), "{output:?}");
    cofre.run_at("2026-04-01 06:00:00", 2, &["report", "--month", "2026-13"]).map(drop)
}
