//! The SFTP plug-in against OpenSSH: by password and by every kind of key, with servers that are not the right one, and with a network that
//! cuts, stalls and changes bytes.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::compare;
use cofre_tests::proxy::{Fault, FaultProxy, Way};
use cofre_tests::sample::{self, Random};
use cofre_tests::sshd::{KEY_PASSPHRASE, PASSWORD, Sshd};

const BY_PASSWORD: &str = "password = { env = \"T_PASSWORD\" }";

/// A server, and an installation whose files go to it.
struct Scene {
    server: Sshd,
    cofre: Installation,
    head: String,
}

impl Scene {
    fn new(server: Sshd) -> Result<Self> {
        let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
        std::fs::create_dir(cofre.path("files"))?;
        let head = cofre.configuration()?;
        Ok(Self { server, cofre, head })
    }

    /// Takes the destination that these lines make.
    fn configure(&self, lines: &str) -> Result<()> {
        let retry = "retry = { attempts = 3, first_pause = \"50ms\", longest_pause = \"200ms\" }";
        self.cofre.configure(&format!("{}[[destination]]\nname = \"servidor\"\nplugin = \"sftp\"\n{retry}\n{lines}", self.head))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cofre.command(arguments);
        command.env("T_PASSWORD", PASSWORD).env("T_PASSPHRASE", KEY_PASSPHRASE).env("T_WRONG", "errada");
        command
    }

    fn run(command: &mut Command) -> Result<(Option<i32>, String)> {
        let output = command.output()?;
        let said = said(&output);
        for secret in [PASSWORD, KEY_PASSPHRASE, "BEGIN OPENSSH"] {
            ensure!(!said.contains(secret), "a secret was printed: {said}");
        }
        Ok((output.status.code(), said))
    }

    fn must(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let (found, said) = Self::run(&mut self.command(arguments))?;
        ensure!(found == Some(code), "{arguments:?}: {found:?} {said}");
        Ok(said)
    }
}

#[test]
fn a_set_goes_over_ssh_and_comes_back() -> Result<()> {
    // Keys are agreed upon anew many times on the way, as they are once in every GB.
    let scene = Scene::new(Sshd::start_with("RekeyLimit 4M")?)?;
    sample::mixed(&scene.cofre.path("files"), 60_000_000, 3)?;
    let port = scene.server.address().port();
    let lines = scene.server.destination(port, "backup/of this", BY_PASSWORD)?;
    scene.configure(&lines)?;
    scene.must(0, &["run"])?;
    scene.must(0, &["verify", "--deep"])?;
    scene.must(0, &["restore", "latest", "--to", &scene.cofre.path("out").display().to_string()])?;
    let inside = scene.cofre.path("out").join(scene.cofre.path("files").strip_prefix("/")?);
    compare::trees(&scene.cofre.path("files"), &inside)?;
    let left: Vec<_> = std::fs::read_dir(scene.server.home("backup/of this/.cofre-partial"))?.collect();
    ensure!(left.is_empty(), "partial files were left behind: {left:?}");
    // The catalogue is a cache. So many strange objects lie before the set that it is on the listing's second page.
    let strange = scene.server.home("backup/of this/backup_0000");
    std::fs::create_dir(&strange)?;
    (0..1_050).try_for_each(|number| std::fs::write(strange.join(format!("{number:05}")), ""))?;
    std::fs::remove_dir_all(scene.cofre.path("state"))?;
    scene.must(0, &["catalog", "rebuild", "--from", "servidor"])?;
    ensure!(scene.must(0, &["list"])?.contains("backup_2"), "the set is not found again");
    Ok(())
}

#[test]
fn a_server_that_is_not_known_gets_no_password_and_its_line_is_shown() -> Result<()> {
    let scene = Scene::new(Sshd::start()?)?;
    let port = scene.server.address().port();
    let known = format!("host_key = \"{}\"", scene.server.host_key("ed25519")?);
    let lines = scene.server.destination(port, "", BY_PASSWORD)?;
    scene.configure(&lines.replace(&format!(", {known}"), ""))?;
    let said = scene.must(1, &["check"])?;
    ensure!(said.contains(&known), "the line to add is not shown: {said}");
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    for wrong in [other, "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        scene.configure(&lines.replace(&known, &format!("host_key = \"{wrong}\"")))?;
        let said = scene.must(1, &["check"])?;
        ensure!(said.contains("another stands in its place") && said.contains(&known), "{wrong}: {said}");
    }
    ensure!(!scene.server.log().contains("password"), "the account was named to a server that is not known: {}", scene.server.log());
    // Any of its keys is enough, in any way to write it.
    for right in [scene.server.fingerprint("ed25519")?, scene.server.fingerprint("rsa")?, scene.server.host_key("ecdsa")?] {
        scene.configure(&lines.replace(&known, &format!("host_key = \"{right}\"")))?;
        scene.must(0, &["check"]).with_context(|| right)?;
    }
    Ok(())
}

#[test]
fn every_kind_of_key_opens_the_account_and_a_wrong_one_does_not() -> Result<()> {
    let scene = Scene::new(Sshd::start_with("PasswordAuthentication no")?)?;
    let port = scene.server.address().port();
    let with_key = |key: &str, secrets: &str| -> Result<(Option<i32>, String)> {
        scene.configure(&scene.server.destination(port, "", &format!("private_key = {{ env = \"T_KEY\" }}{secrets}"))?)?;
        Scene::run(scene.command(&["check"]).env("T_KEY", key))
    };
    let passphrase = ", key_passphrase = { env = \"T_PASSPHRASE\" }";
    for (kind, format) in
        [("ed25519", ""), ("rsa", ""), ("ecdsa", ""), ("rsa", "PEM"), ("ecdsa", "PEM"), ("rsa", "PKCS8"), ("ecdsa", "PKCS8")]
    {
        let (code, said) = with_key(&scene.server.new_key(kind, "", format)?, "")?;
        ensure!(code == Some(0), "{kind} {format}: {said}");
    }
    for (kind, format) in [("ed25519", ""), ("rsa", ""), ("rsa", "PEM"), ("ecdsa", "PKCS8")] {
        let key = scene.server.new_key(kind, KEY_PASSPHRASE, format)?;
        let (code, said) = with_key(&key, passphrase)?;
        ensure!(code == Some(0), "encrypted {kind} {format}: {said}");
        for (secrets, hint) in [("", "key_passphrase"), (", key_passphrase = { env = \"T_WRONG\" }", "key_passphrase")] {
            let (code, said) = with_key(&key, secrets)?;
            ensure!(code == Some(1) && said.contains(hint), "encrypted {kind} {format} with `{secrets}`: {code:?} {said}");
        }
    }
    // A key of another account; and a password where the server takes keys alone.
    let stranger = Scene::new(Sshd::start()?)?.server.new_key("ed25519", "", "")?;
    let (code, said) = with_key(&stranger, "")?;
    ensure!(code == Some(1) && said.contains("it refused the private key"), "{code:?} {said}");
    scene.configure(&scene.server.destination(port, "", BY_PASSWORD)?)?;
    let said = scene.must(1, &["check"])?;
    ensure!(said.contains("publickey"), "{said}");
    Ok(())
}

#[test]
fn a_password_is_given_in_answer_to_questions_and_beside_a_key() -> Result<()> {
    let questions = "PasswordAuthentication no\nKbdInteractiveAuthentication yes\nUsePAM yes";
    for lines in [questions, "AuthenticationMethods publickey,password"] {
        let scene = Scene::new(Sshd::start_with(lines)?)?;
        let port = scene.server.address().port();
        let key = scene.server.new_key("ed25519", "", "")?;
        for (password, code) in [("T_PASSWORD", 0), ("T_WRONG", 1)] {
            let secrets = match lines {
                "AuthenticationMethods publickey,password" => {
                    format!("private_key = {{ env = \"T_KEY\" }}, password = {{ env = \"{password}\" }}")
                }
                _ => format!("password = {{ env = \"{password}\" }}"),
            };
            scene.configure(&scene.server.destination(port, "", &secrets)?)?;
            let (found, said) = Scene::run(scene.command(&["check"]).env("T_KEY", &key))?;
            ensure!(found == Some(code), "{lines}, {password}: {found:?} {said}; {}", scene.server.log());
            ensure!(code == 0 || said.contains("it refused the password"), "{lines}: {said}");
        }
    }
    Ok(())
}

#[test]
fn what_the_server_refuses_is_said_as_what_it_is() -> Result<()> {
    let mut server = Sshd::start()?;
    server.read_only_folder("readonly")?;
    let small = server.small_folder("small")?;
    let scene = Scene::new(server)?;
    std::fs::write(scene.cofre.path("files/noise"), Random::new(7).bytes(4_000_000))?;
    let port = scene.server.address().port();
    let mut cases = vec![
        ("", "password = { env = \"T_WRONG\" }", "it refused the password"),
        ("readonly", BY_PASSWORD, "permits this account no such thing"),
        ("/proc/nowhere", BY_PASSWORD, "no such file or folder"),
    ];
    if small {
        cases.push(("small", BY_PASSWORD, "the file system at the server is full"));
    }
    for (directory, secrets, says) in cases {
        scene.configure(&scene.server.destination(port, directory, secrets)?)?;
        let said = scene.must(1, &["run"])?;
        ensure!(said.contains(says), "{directory}: {said}");
    }
    Ok(())
}

/// A server behind a network with faults, and bytes that nobody can compress on their way to it.
fn behind_faults(bytes: usize) -> Result<(Scene, FaultProxy)> {
    let scene = Scene::new(Sshd::start()?)?;
    let proxy = FaultProxy::start(scene.server.address())?;
    std::fs::write(scene.cofre.path("files/noise"), Random::new(7).bytes(bytes))?;
    let lines = scene.server.destination(proxy.port(), "backup", BY_PASSWORD)?;
    scene.configure(&format!("{lines}limits = {{ wall = \"4s\", memory = \"64MiB\" }}\n"))?;
    Ok((scene, proxy))
}

#[test]
fn a_copy_through_a_broken_network_ends_whole_or_fails_and_is_resumed() -> Result<()> {
    let (scene, proxy) = behind_faults(18_000_000)?;
    let faults = [
        (Fault::Cut { way: Way::Up, after: 3_000_000, once: true }, Some(0)),
        (Fault::Cut { way: Way::Up, after: 7_000_001, once: true }, Some(0)),
        (Fault::Cut { way: Way::Down, after: 2_500, once: true }, Some(0)),
        // Every connection is cut, and each brings the copy further.
        (Fault::Cut { way: Way::Up, after: 5_000_000, once: false }, Some(0)),
        (Fault::Cut { way: Way::Up, after: 2_000, once: false }, Some(1)),
        (Fault::Corrupt { way: Way::Up, at: 2_000_000 }, Some(0)),
        (Fault::Stall { way: Way::Up, after: 2_000 }, Some(1)),
        (Fault::Throttle(9_000_000), Some(0)),
        (Fault::Refuse, Some(1)),
    ];
    for (fault, wanted) in faults {
        proxy.set(&[fault]);
        let (code, said) = Scene::run(&mut scene.command(&["run"]))?;
        proxy.heal();
        ensure!(code == wanted, "{fault:?}: {code:?} {said}");
        if code == Some(1) {
            scene.must(0, &["resume"]).with_context(|| format!("{fault:?}: {said}"))?;
        }
        scene.must(0, &["verify", "--deep"]).with_context(|| format!("{fault:?}"))?;
    }
    ensure!(proxy.cuts() >= 6, "nothing was cut");
    scene.must(0, &["verify", "all"])?;
    let left: Vec<_> = std::fs::read_dir(scene.server.home("backup/.cofre-partial"))?.collect();
    ensure!(left.is_empty(), "partial files were left behind: {left:?}");
    Ok(())
}

#[test]
fn a_killed_copy_goes_on_where_it_was() -> Result<()> {
    let size = 40_000_000;
    let (scene, proxy) = behind_faults(size)?;
    proxy.set(&[Fault::Throttle(8_000_000)]);
    let mut child = scene.command(&["run", "--quiet"]).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while proxy.bytes_up() < 22_000_000 {
        ensure!(Instant::now() < deadline && child.try_wait()?.is_none(), "the run ended before half of it went up");
        std::thread::yield_now();
    }
    child.kill()?;
    child.wait()?;
    proxy.heal();
    let before = proxy.bytes_up();
    scene.must(0, &["resume"])?;
    let again = proxy.bytes_up() - before;
    // What was on its way when it was killed, and what surrounds the bytes.
    let most = size as u64 - 22_000_000 + 6_000_000;
    ensure!(again < most, "{again} bytes were sent where {most} are enough");
    scene.must(0, &["verify", "--deep"]).map(drop)
}
