//! Dropbox: the fake before Dropbox's own client, and the plug-in before the fake.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::compare;
use cofre_tests::dropbox::Dropbox;
use cofre_tests::fakes::{Login, Scene, browse};
use cofre_tests::proxy::{Fault, Way};
use cofre_tests::sample;
use serde_json::json;

const PART: u64 = 4 << 20;

fn named(destination: &str) -> String {
    format!("[[destination]]\nname = \"nuvem\"\nplugin = \"dropbox\"\n{destination}")
}

#[test]
fn dropboxs_own_client_is_served_as_it_expects() -> Result<()> {
    let dropbox = Dropbox::start()?;
    let said = dropbox.fake().judge("dropbox_judge.py", &[])?;
    ensure!(said.lines().count() == 4, "{said}");
    Ok(())
}

#[test]
fn a_set_goes_to_dropbox_and_comes_back() -> Result<()> {
    let dropbox = Dropbox::start()?;
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/files\"\n")?;
    let head = cofre.configuration()?;
    std::fs::create_dir(cofre.path("files"))?;
    sample::mixed(&cofre.path("files"), 20_000_000, 3)?;
    let run = |code: i32, arguments: &[&str]| -> Result<String> {
        let output = cofre.command(arguments).envs(dropbox.environment()).output()?;
        ensure!(output.status.code() == Some(code), "{arguments:?}: {}; the fake's log: {}", said(&output), dropbox.fake().log());
        Ok(said(&output))
    };
    let (port, part) = (dropbox.fake().port(), ", part_size = 4194304");
    let places = [("1001", dropbox.destination(port, part)), ("2002", dropbox.team(port, part)), ("5005", dropbox.app_folder(port, part))];
    for (space, destination) in places {
        cofre.configure(&format!("{head}{}", named(&destination)))?;
        run(0, &["run"])?;
        run(0, &["verify", "--deep"])?;
        let out = cofre.path(space);
        run(0, &["restore", "latest", "--to", &out.display().to_string()])?;
        compare::trees(&cofre.path("files"), &out.join(cofre.path("files").strip_prefix("/")?))?;
        let state = dropbox.fake().order(&json!({}))?;
        let paths = state["paths"][space].as_array().context("no such space")?;
        ensure!(paths.iter().any(|path| path.as_str().is_some_and(|path| path.starts_with("/Cópias/srv 1/backup_"))), "{paths:?}");
        ensure!(state["sessions"] == 0, "a session was left open");
        std::fs::remove_dir_all(cofre.path("state"))?;
        run(0, &["catalog", "rebuild", "--from", "nuvem"])?;
        ensure!(run(0, &["list"])?.contains("backup_"));
        std::fs::remove_dir_all(cofre.path("state"))?;
    }
    Ok(())
}

#[test]
fn a_copy_through_a_broken_network_ends_whole_or_fails_and_is_resumed() -> Result<()> {
    let dropbox = Dropbox::start()?;
    let more = format!(", part_size = {PART}");
    let scene = Scene::new(15_000_000, dropbox.fake().address(), dropbox.environment(), |port| named(&dropbox.destination(port, &more)))?;
    let network = [
        Fault::Cut { way: Way::Up, after: 6_500_000, once: true },
        Fault::Cut { way: Way::Down, after: 3_000, once: true },
        Fault::Cut { way: Way::Up, after: 3_000_000, once: false },
        Fault::Corrupt { way: Way::Up, at: 5_000_000 },
        Fault::Stall { way: Way::Up, after: 1_000_000 },
        Fault::Refuse,
    ];
    for fault in network {
        let failed = scene.through(&format!("{fault:?}"), || {
            scene.proxy.set(&[fault]);
            Ok(())
        })?;
        let passes = matches!(fault, Fault::Cut { once: true, .. });
        ensure!(failed.is_none() || !passes, "one cut made the copy fail: {fault:?}: {failed:?}");
    }
    // What the service itself may say, each once; `after`: the piece arrived, and the answer did not.
    for fault in [
        json!({"match": "append_v2", "status": 503}),
        json!({"match": "append_v2", "status": 429, "retry_after": 1}),
        json!({"match": "append_v2", "status": 500, "after": true}),
        json!({"match": "append_v2", "status": 0, "hang_up": true, "after": true}),
        json!({"match": "upload_session/start", "status": 500, "after": true}),
        json!({"match": "upload_session/finish", "status": 500, "after": true}),
        json!({"match": "append_v2", "status": 401, "reason": "expired_access_token"}),
        json!({"match": "upload_session/finish", "status": 401, "reason": "expired_access_token"}),
        json!({"match": "append_v2", "status": 409, "reason": "not_found"}),
        json!({"match": "oauth2/token", "status": 503}),
    ] {
        let failed = scene.through(&fault.to_string(), || dropbox.fake().order(&json!({ "fail": fault })).map(drop))?;
        ensure!(failed.is_none(), "the copy did not get over {fault}: {failed:?}");
    }
    ensure!(dropbox.fake().order(&json!({}))?["faults"] == 0, "a fault was not met");
    scene.must(&["verify", "all"])?;
    Ok(())
}

#[test]
fn a_killed_copy_goes_on_where_dropbox_is() -> Result<()> {
    let (dropbox, size) = (Dropbox::start()?, 40_000_000_usize);
    let more = format!(", part_size = {PART}");
    let scene = Scene::new(size, dropbox.fake().address(), dropbox.environment(), |port| named(&dropbox.destination(port, &more)))?;
    scene.proxy.set(&[Fault::Throttle(8_000_000)]);
    scene.killed_at(22_000_000)?;
    ensure!(dropbox.fake().order(&json!({}))?["sessions"] == 1, "no session is open");
    scene.proxy.heal();
    let before = scene.proxy.bytes_up();
    scene.must(&["resume"])?;
    let again = scene.proxy.bytes_up() - before;
    ensure!(again < size as u64 - 22_000_000 + 2 * PART, "{again} bytes were sent again");
    scene.must(&["verify", "--deep"])?;
    ensure!(dropbox.fake().order(&json!({}))?["sessions"] == 0, "a session was left open");
    Ok(())
}

#[test]
fn a_user_logs_in_with_the_code_that_the_page_shows_and_without_a_secret() -> Result<()> {
    let dropbox = Dropbox::start()?;
    let cofre = Installation::new("")?;
    let token = cofre.path("token").display().to_string();
    let arguments = ["dropbox", "--client-id", "APP", "--to", &token];
    let mut login = Login::start(&cofre, dropbox.fake(), &arguments)?;
    let (_, page) = browse(dropbox.fake(), &login.shown()?)?;
    let shown = page.split("<code>").nth(1).and_then(|rest| rest.split("</code>").next()).context("the page shows no code")?.to_owned();
    let (code, said) = login.answer(&shown)?;
    ensure!(code == Some(0), "{said}");
    let stored = std::fs::read_to_string(&token)?;
    ensure!(stored.trim().len() == 64 && !said.contains(stored.trim()), "the token was printed: {said}");
    ensure!(std::fs::metadata(&token)?.permissions().mode() & 0o777 == 0o600);
    // The same code again is worth nothing: it is bound to the request that it was made for.
    let mut login = Login::start(&cofre, dropbox.fake(), &[&arguments[..], &["--force"]].concat())?;
    login.shown()?;
    let (code, said) = login.answer(&shown)?;
    ensure!(code == Some(1) && said.contains("invalid_grant"), "{code:?} {said}");
    ensure!(std::fs::read_to_string(&token)? == stored, "a failed login replaced the token");
    // And the token works, without a secret.
    let destination = dropbox.app_folder(dropbox.fake().port(), "");
    let destination = destination
        .replace("refresh_token = { env = \"COFRE_T_FOLDER\" }", "refresh_token = { file = \"@DIR@/token\" }")
        .replace("COFRE_T_FOLDER_APP", "COFRE_T_CLIENT");
    std::fs::create_dir(cofre.path("files"))?;
    cofre.configure(&format!("{}[[directory]]\npath = \"@DIR@/files\"\n{}", cofre.configuration()?, named(&destination)))?;
    let output = cofre.command(&["check"]).envs(dropbox.environment()).output()?;
    ensure!(output.status.code() == Some(0), "{}", cofre_tests::cofre::said(&output));
    Ok(())
}
