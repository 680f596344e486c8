//! Google Drive: the fake before Google's own client, and the plug-in before the fake.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::compare;
use cofre_tests::drive::{GoogleDrive, SHARED_DRIVE};
use cofre_tests::fakes::{Login, Scene, browse};
use cofre_tests::proxy::{Fault, Way};
use cofre_tests::sample;
use serde_json::json;

const PART: u64 = 1 << 20;

fn named(destination: &str) -> String {
    format!("[[destination]]\nname = \"nuvem\"\nplugin = \"gdrive\"\n{destination}")
}

#[test]
fn googles_own_client_is_served_as_it_expects() -> Result<()> {
    let drive = GoogleDrive::start()?;
    let said = drive.fake().judge("drive_judge.py", &[&drive.fake().directory().display().to_string()])?;
    ensure!(said.lines().count() == 4, "{said}");
    Ok(())
}

#[test]
fn a_set_goes_to_drive_as_folders_and_comes_back() -> Result<()> {
    let drive = GoogleDrive::start()?;
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/files\"\n")?;
    let head = cofre.configuration()?;
    std::fs::create_dir(cofre.path("files"))?;
    sample::mixed(&cofre.path("files"), 20_000_000, 3)?;
    let run = |code: i32, arguments: &[&str]| -> Result<String> {
        let output = cofre.command(arguments).envs(drive.environment()?).output()?;
        ensure!(output.status.code() == Some(code), "{arguments:?}: {}; the fake's log: {}", said(&output), drive.fake().log());
        Ok(said(&output))
    };
    let port = drive.fake().port();
    let user = drive.destination(port, ", part_size = 4194304");
    // With the scope that a device gets, only what cofre made can be seen.
    let narrow = user.replace("COFRE_T_REFRESH", "COFRE_T_FILE");
    let places = [("user", user), ("narrow", narrow), ("shared", drive.shared(port, ""))];
    for (name, destination) in &places {
        cofre.configure(&format!("{head}{}", named(destination)))?;
        run(0, &["run"])?;
        run(0, &["verify", "--deep"])?;
        let out = cofre.path(name);
        run(0, &["restore", "latest", "--to", &out.display().to_string()])?;
        compare::trees(&cofre.path("files"), &out.join(cofre.path("files").strip_prefix("/")?))?;
        // What an administrator sees in a browser: one folder a set, and no second one of its name.
        let state = drive.fake().order(&json!({}))?;
        let paths: Vec<&str> = state["paths"].as_array().into_iter().flatten().filter_map(|path| path.as_str()).collect();
        let sets: Vec<&&str> =
            paths.iter().filter(|path| path.starts_with("Cópias/srv 1/backup_") && path.matches('/').count() == 2).collect();
        ensure!(sets.len() == places.iter().position(|(place, _)| place == name).unwrap_or(0) + 1, "{paths:?}");
        ensure!(state["sessions"] == 0, "a session was left open");
        std::fs::remove_dir_all(cofre.path("state"))?;
        run(0, &["catalog", "rebuild", "--from", "nuvem"])?;
        ensure!(run(0, &["list"])?.contains("backup_"));
        std::fs::remove_dir_all(cofre.path("state"))?;
    }
    // The service account owns no space, and is told what to do about it.
    let own = drive.shared(port, "").replace(&format!(", drive_id = \"{SHARED_DRIVE}\""), "");
    cofre.configure(&format!("{head}{}", named(&own)))?;
    let said = run(1, &["run"])?;
    ensure!(said.contains("storage quota has been exceeded") && said.contains("use a shared drive"), "{said}");
    Ok(())
}

#[test]
fn a_copy_through_a_broken_network_ends_whole_or_fails_and_is_resumed() -> Result<()> {
    let drive = GoogleDrive::start()?;
    let more = format!(", part_size = {PART}");
    let scene = Scene::new(5_000_000, drive.fake().address(), drive.environment()?, |port| named(&drive.destination(port, &more)))?;
    let network = [
        Fault::Cut { way: Way::Up, after: 2_500_000, once: true },
        Fault::Cut { way: Way::Down, after: 3_000, once: true },
        Fault::Cut { way: Way::Up, after: 1_500_000, once: false },
        Fault::Corrupt { way: Way::Up, at: 1_000_000 },
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
    // What the service itself may say, to the probe and, where its one piece is skipped, to the pieces of an upload.
    for fault in [
        json!({"match": "PUT /upload", "skip": 1, "status": 503, "reason": "backendError"}),
        json!({"match": "PUT /upload", "skip": 1, "status": 403, "reason": "userRateLimitExceeded"}),
        json!({"match": "PUT /upload", "skip": 1, "status": 429, "retry_after": 1}),
        json!({"match": "PUT /upload", "skip": 1, "status": 500, "after": true, "times": 2}),
        json!({"match": "PUT /upload", "skip": 1, "status": 0, "hang_up": true, "after": true}),
        json!({"match": "PUT /upload", "skip": 1, "status": 401, "reason": "authError"}),
        json!({"match": "PUT /upload", "status": 410, "reason": "gone"}),
        json!({"match": "PUT /upload", "skip": 3, "status": 410, "reason": "gone"}),
        json!({"match": "/drive/v3/files", "status": 503, "reason": "backendError", "times": 2}),
        json!({"match": "POST /token", "status": 503}),
    ] {
        let failed = scene.through(&fault.to_string(), || drive.fake().order(&json!({ "fail": fault })).map(drop))?;
        ensure!(failed.is_none(), "the copy did not get over {fault}: {failed:?}");
    }
    ensure!(drive.fake().order(&json!({}))?["faults"] == 0, "a fault was not met");
    scene.must(&["verify", "all"])?;
    Ok(())
}

#[test]
fn a_killed_copy_goes_on_where_drive_is() -> Result<()> {
    let (drive, size) = (GoogleDrive::start()?, 24_000_000_usize);
    let more = format!(", part_size = {PART}");
    let scene = Scene::new(size, drive.fake().address(), drive.environment()?, |port| named(&drive.destination(port, &more)))?;
    scene.proxy.set(&[Fault::Throttle(8_000_000)]);
    scene.killed_at(14_000_000)?;
    ensure!(drive.fake().order(&json!({}))?["sessions"] == 1, "no session is open");
    scene.proxy.heal();
    let before = scene.proxy.bytes_up();
    scene.must(&["resume"])?;
    let again = scene.proxy.bytes_up() - before;
    ensure!(again < size as u64 - 14_000_000 + 2 * PART, "{again} bytes were sent again");
    scene.must(&["verify", "--deep"])?;
    ensure!(drive.fake().order(&json!({}))?["sessions"] == 0, "a session was left open");
    Ok(())
}

#[test]
fn a_user_logs_in_by_a_code_on_another_device_and_by_one_that_is_pasted() -> Result<()> {
    let drive = GoogleDrive::start()?;
    let cofre = Installation::new("")?;
    std::fs::write(cofre.path("secret"), "CSEC\n")?;
    std::fs::write(cofre.path("wrong"), "errado\n")?;
    let (token, secret) = (cofre.path("token").display().to_string(), cofre.path("secret").display().to_string());
    let arguments = ["gdrive", "--client-id", "CID", "--client-secret-file", &secret, "--to", &token];
    // A code on another device.
    let mut login = Login::start(&cofre, drive.fake(), &arguments)?;
    ensure!(login.shown()?.starts_with("https://www.google.com/device"));
    let code = login.shown()?;
    // It asks while nobody has agreed, and is not in a hurry.
    while drive.fake().requests("POST /token")? == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    drive.fake().order(&json!({ "approve": code }))?;
    let (code, said) = login.answer("")?;
    ensure!(code == Some(0), "{said}");
    let first = std::fs::read_to_string(&token)?;
    ensure!(first.starts_with("1//") && !said.contains(first.trim()), "the token was printed: {said}");
    ensure!(std::fs::metadata(&token)?.permissions().mode() & 0o777 == 0o600);
    // What is there is not replaced by mistake.
    let (code, said) = Login::start(&cofre, drive.fake(), &arguments)?.answer("")?;
    ensure!(code == Some(2) && said.contains("--force"), "{code:?} {said}");
    // An address that is pasted, and the whole drive.
    let flow = ["--flow", "code", "--scope", "drive", "--force"];
    let mut login = Login::start(&cofre, drive.fake(), &[&arguments[..], &flow].concat())?;
    let (led, _) = browse(drive.fake(), &login.shown()?)?;
    ensure!(led.starts_with("http://127.0.0.1:1/?"), "{led}");
    let (code, said) = login.answer(&led)?;
    ensure!(code == Some(0) && std::fs::read_to_string(&token)? != first, "{said}");
    // A code that is none, a secret that is wrong, a scope that no device gets.
    let mut login = Login::start(&cofre, drive.fake(), &[&arguments[..], &flow].concat())?;
    login.shown()?;
    let (code, said) = login.answer("4/0nonsense")?;
    ensure!(code == Some(1) && said.contains("invalid_grant"), "{code:?} {said}");
    let wrong = cofre.path("wrong").display().to_string();
    let with_wrong: Vec<&str> = arguments.iter().map(|word| if *word == secret { wrong.as_str() } else { *word }).collect();
    let mut login = Login::start(&cofre, drive.fake(), &[&with_wrong[..], &flow].concat())?;
    let (led, _) = browse(drive.fake(), &login.shown()?)?;
    let (code, said) = login.answer(&led)?;
    ensure!(code == Some(1) && said.contains("invalid_client"), "{code:?} {said}");
    let (code, said) = Login::start(&cofre, drive.fake(), &[&arguments[..], &["--scope", "drive", "--force"]].concat())?.answer("")?;
    ensure!(code == Some(1) && said.contains("--flow code"), "{code:?} {said}");
    // And the token works.
    let port = drive.fake().port();
    let destination =
        drive.destination(port, "").replace("refresh_token = { env = \"COFRE_T_REFRESH\" }", "refresh_token = { file = \"@DIR@/token\" }");
    std::fs::create_dir(cofre.path("files"))?;
    cofre.configure(&format!("{}[[directory]]\npath = \"@DIR@/files\"\n{}", cofre.configuration()?, named(&destination)))?;
    let output = cofre.command(&["check"]).envs(drive.environment()?).output()?;
    ensure!(
        cofre_tests::cofre::said(&output).contains("nuvem") && output.status.code() == Some(0),
        "{}",
        cofre_tests::cofre::said(&output)
    );
    Ok(())
}
