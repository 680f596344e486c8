//! Alerts, from the job to whoever is to know: one a problem, to whom the rules name, whatever is down meanwhile.

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, PASSPHRASE, said};
use cofre_tests::hook::Hook;
use cofre_tests::smtp::{PASSWORD, Smtp};
use serde_json::Value;

fn installation(more: &str) -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    let text = cofre.configuration()?.replace("locale = \"en\"", "locale = \"en\"\ntime_zone = \"UTC\"");
    cofre.configure(&format!("{text}{}{more}", cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    Ok(cofre)
}

/// `NOTIFIER EVENT` of everything that was posted since the last time.
fn told(hook: &Hook) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    hook.take().iter().map(|posted| format!("{} {}", text(&posted["path"]), text(&posted["event"]))).collect()
}

/// Takes the destination away, or brings it back.
fn unplug(cofre: &Installation, away: bool) -> Result<()> {
    let (from, to) = if away { ("disk", "away") } else { ("away", "disk") };
    Ok(std::fs::rename(cofre.path(from), cofre.path(to))?)
}

#[test]
fn a_problem_is_told_once_and_its_end_to_whoever_was_told() -> Result<()> {
    let hook = Hook::start()?;
    let all = hook.notifier("all", "");
    let pings = hook.notifier("pings", "events = [\"run.*\"]");
    let critical = hook.notifier("critical", "min_severity = \"critical\"");
    let other = hook.notifier("other", "events = [\"verify.*\", \"prune.*\"]");
    let cofre = installation(&format!("{all}{pings}{critical}{other}"))?;
    cofre.run(0, &["run"])?;
    let mut heard = told(&hook);
    heard.sort();
    ensure!(heard == ["all run.done", "pings run.done", "pings run.started"], "{heard:?}");
    unplug(&cofre, true)?;
    cofre.run(1, &["run"])?;
    let mut heard = told(&hook);
    heard.sort();
    ensure!(heard == ["all run.failed", "critical run.failed", "pings run.failed", "pings run.started"], "{heard:?}");
    // The same again is no news.
    cofre.run(1, &["run"])?;
    let heard = told(&hook);
    ensure!(heard == ["pings run.started"], "{heard:?}");
    let problems = cofre.json(3, &["notify", "problems"])?;
    ensure!(problems[0]["problem"] == "run", "{problems}");
    unplug(&cofre, false)?;
    cofre.run(0, &["run"])?;
    let heard = hook.take();
    let of = |name: &str| heard.iter().find(|posted| posted["path"] == name && posted["event"] != "run.started");
    let done = of("all").context("nothing for all")?;
    ensure!(done["event"] == "run.done" && done["facts"]["recovered_since"].is_string(), "{done}");
    let over = of("critical").context("nothing for who hears only of what is critical")?;
    ensure!(over["event"] == "problem.recovered" && over["facts"]["of"] == "run.failed", "{over}");
    ensure!(of("other").is_none(), "{heard:?}");
    cofre.run(0, &["notify", "problems"])?;
    Ok(())
}

#[test]
fn an_alert_waits_for_a_service_that_is_down() -> Result<()> {
    let hook = Hook::start()?;
    let cofre = installation(&hook.notifier("all", ""))?;
    hook.answer(503);
    cofre.run_at("2026-03-15 02:00:00", 0, &["run"])?;
    ensure!(told(&hook).is_empty(), "what was refused was kept");
    let letters = cofre.json(0, &["notify", "list"])?;
    ensure!(letters[0]["state"] == "waiting" && letters[0]["attempts"] == 1 && letters[0]["event"] == "run.done", "{letters}");
    // Not before its time, and not after it was delivered.
    hook.answer(200);
    let daemon = |moment: &str| cofre.command_at(moment, &["daemon", "--once"])?.output().map_err(anyhow::Error::from);
    daemon("2026-03-15 02:00:30")?;
    ensure!(told(&hook).is_empty(), "it came too early");
    daemon("2026-03-15 02:02:00")?;
    let heard = hook.take();
    ensure!(heard.len() == 1 && heard[0]["event"] == "run.done", "{heard:?}");
    daemon("2026-03-15 02:30:00")?;
    ensure!(told(&hook).is_empty(), "it came twice");
    // Given up after a week, and said so.
    hook.answer(500);
    cofre.run_at("2026-03-15 03:00:00", 0, &["run"])?;
    let output = daemon("2026-03-23 03:00:00")?;
    ensure!(String::from_utf8_lossy(&output.stderr).contains("given up"), "{output:?}");
    let letters = cofre.json(0, &["notify", "list"])?;
    ensure!(letters.as_array().is_some_and(|letters| letters.iter().any(|letter| letter["state"] == "given-up")), "{letters}");
    Ok(())
}

#[test]
fn what_lasts_is_told_again_and_to_who_is_called_last() -> Result<()> {
    let hook = Hook::start()?;
    let first = hook.notifier("first", "events = [\"run.done\", \"run.failed\"]");
    let second = hook.notifier("second", "events = [\"run.done\", \"run.failed\"]\nafter = \"4h\"");
    let night = hook.notifier("night", "events = [\"run.done\", \"run.failed\"]\nquiet = [\"22:00-07:00\"]");
    let jobs = "[[job]]\nname = \"b\"\naction = \"run\"\nschedule = \"0 2 * * *\"\n";
    let cofre = installation(&format!("{first}{second}{night}{jobs}"))?;
    let daemon = |moment: &str| -> Result<Vec<String>> {
        cofre.command_at(moment, &["daemon", "--once"])?.output()?;
        let mut heard = told(&hook);
        heard.sort();
        Ok(heard)
    };
    ensure!(daemon("2026-03-15 01:00:00")?.is_empty(), "nothing has happened");
    let heard = daemon("2026-03-15 02:00:00")?;
    ensure!(heard == ["first run.done", "second run.done"], "the quiet hours: {heard:?}");
    ensure!(daemon("2026-03-15 07:00:00")? == ["night run.done"], "after the quiet hours");
    unplug(&cofre, true)?;
    let heard = daemon("2026-03-16 02:00:00")?;
    ensure!(heard == ["first run.failed", "night run.failed"], "what is critical comes at night: {heard:?}");
    ensure!(daemon("2026-03-16 05:30:00")?.is_empty(), "nothing has changed");
    ensure!(daemon("2026-03-16 06:30:00")? == ["second run.failed"], "it has lasted four hours");
    let heard = daemon("2026-03-17 02:30:00")?;
    ensure!(heard == ["first problem.persists", "night problem.persists"], "a day has passed: {heard:?}");
    unplug(&cofre, false)?;
    let heard = daemon("2026-03-18 02:00:00")?;
    ensure!(heard.iter().any(|one| one == "second run.done") && heard.iter().any(|one| one == "first run.done"), "{heard:?}");
    Ok(())
}

#[test]
fn a_mail_carries_what_the_mission_shows_and_waits_for_a_server_that_is_down() -> Result<()> {
    let mut smtp = Smtp::start()?;
    let cofre = installation(&format!("[[notifier]]\nname = \"admins\"\n{}", smtp.notifier(", to = [\"ti@example.com\"]")))?;
    cofre.configure(&cofre.configuration()?.replace("locale = \"en\"", "locale = \"pt-BR\""))?;
    let run = |code: i32, arguments: &[&str]| -> Result<()> {
        let output = cofre.command(arguments).env("COFRE_T_PASSWORD", PASSWORD).output()?;
        let said = said(&output);
        ensure!(output.status.code() == Some(code), "{arguments:?}: {said}");
        ensure!(!said.contains(PASSWORD), "a secret was printed: {said}");
        Ok(())
    };
    run(0, &["run"])?;
    smtp.kill();
    unplug(&cofre, true)?;
    run(1, &["run"])?;
    ensure!(smtp.mails()?.len() == 1, "a mail came through a server that is down");
    smtp.revive()?;
    // Later than the first pause, by a clock that is set on.
    let later = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_mins(5))?.strftime("%Y-%m-%d %H:%M:%S").to_string();
    cofre.command_at(&later, &["daemon", "--once"])?.env("COFRE_T_PASSWORD", PASSWORD).output()?;
    let mails = smtp.mails()?;
    let [done, failed] = mails.as_slice() else { anyhow::bail!("{} mails", mails.len()) };
    ensure!(done.tls && done.recipients == ["ti@example.com"] && done.defects.is_empty(), "{done:?}");
    let (text, html) = (done.text.as_deref().unwrap_or_default(), done.html.as_deref().unwrap_or_default());
    for wanted in ["BACKUP", "Data início", "Data fim", "Duração", "Tamanho total", "Tamanho comprimido", "disk"] {
        ensure!(text.contains(wanted), "`{wanted}` is not in: {text}");
        ensure!(html.contains(wanted), "`{wanted}` is not in: {html}");
    }
    let text = failed.text.as_deref().unwrap_or_default();
    ensure!(
        failed.header("X-Cofre-Event") == Some("run.failed")
            && text.contains("disk")
            && text.contains("Ação necessária")
            && text.contains("Criar o diretório"),
        "{text}"
    );
    ensure!(!format!("{mails:?}").contains(PASSPHRASE), "a secret was sent");
    Ok(())
}

#[test]
fn a_notifier_is_tried_out_and_looked_after_as_any_plug_in() -> Result<()> {
    let hook = Hook::start()?;
    let cofre = installation(&hook.notifier("all", "min_severity = \"critical\""))?;
    cofre.run(0, &["notify", "test"])?;
    let heard = told(&hook);
    ensure!(heard == ["all test"], "{heard:?}");
    cofre.run(0, &["plugin", "doctor", "all"])?;
    hook.answer(404);
    let said = cofre.run(1, &["notify", "test", "all"])?;
    ensure!(String::from_utf8_lossy(&said.stdout).contains("waiting"), "{said:?}");
    let said = cofre.command(&["notify", "test", "nobody"]).output()?;
    ensure!(String::from_utf8_lossy(&said.stderr).contains("no notifier `nobody`"), "{said:?}");
    // What is not granted is not reached, and a misspelt event is no rule.
    let good = cofre.configuration()?;
    cofre.configure(&good.replace(&format!("127.0.0.1:{}\"]", hook.port()), "127.0.0.1:1\"]"))?;
    hook.answer(200);
    cofre.run(1, &["notify", "test"])?;
    ensure!(told(&hook).is_empty(), "it reached what was not granted");
    cofre.configure(&good.replace("min_severity = \"critical\"", "events = [\"run.fail\"]"))?;
    let said = cofre.command(&["check"]).output()?;
    ensure!(String::from_utf8_lossy(&said.stderr).contains("there is no such event"), "{said:?}");
    Ok(())
}
