//! The WebDAV plug-in against servers of four makes: whole sets, networks that break, and a host that is killed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::conformance::{self, Trial};
use cofre_tests::proxy::{Fault, FaultProxy, Way};
use cofre_tests::sample::{self, Random};
use cofre_tests::webdav::{Make, PASSWORD, USER, WebDav};
use cofre_tests::{compare, packages};

const PART: u64 = 5 << 20;

/// A server, a proxy before it, and an installation of cofre with files to back up.
struct Scene {
    server: WebDav,
    proxy: FaultProxy,
    cofre: Installation,
}

impl Scene {
    fn new(make: Make, more: &str) -> Result<Self> {
        let server = WebDav::start(make)?;
        let proxy = FaultProxy::start(server.address())?;
        let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
        std::fs::create_dir(cofre.path("files"))?;
        let destination = server.destination(proxy.port(), &format!(", part_size = {PART}{more}"));
        cofre.configure(&format!(
            "{}[[destination]]\nname = \"nuvem\"\nplugin = \"webdav\"\n{destination}\
             retry = {{ attempts = 3, first_pause = \"50ms\", longest_pause = \"200ms\" }}\nlimits = {{ wall = \"6s\" }}\n",
            cofre.configuration()?
        ))?;
        Ok(Self { server, proxy, cofre })
    }

    /// The same, with `bytes` that nobody can compress.
    fn with_noise(make: Make, more: &str, bytes: usize) -> Result<Self> {
        let scene = Self::new(make, more)?;
        std::fs::write(scene.cofre.path("files/noise"), Random::new(7).bytes(bytes))?;
        Ok(scene)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cofre.command(arguments);
        command.env("COFRE_T_PASSWORD", PASSWORD);
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.command(arguments).output()?;
        let said = said(&output);
        ensure!(!said.contains(PASSWORD), "the password was printed: {said}");
        Ok((output.status.code(), said))
    }

    fn must(&self, arguments: &[&str]) -> Result<String> {
        let (code, said) = self.run(arguments)?;
        ensure!(code == Some(0), "{arguments:?}: {code:?} {said}; the server: {}", self.server.log());
        Ok(said)
    }

    /// Unfinished files at the server.
    fn unfinished(&self) -> Vec<(String, u64)> {
        let found = std::fs::read_dir(self.server.objects().join(".cofre-tmp")).into_iter().flatten().flatten();
        found.map(|entry| (entry.file_name().display().to_string(), entry.metadata().map_or(0, |data| data.len()))).collect()
    }

    /// Runs, or resumes what failed, until all is whole; whether the first run already did it.
    fn survives(&self, fault: Fault) -> Result<bool> {
        self.proxy.set(&[fault]);
        let (code, said) = self.run(&["run"])?;
        // What was held back is lost: let through now, it would reach the server long after the copy has gone on without it.
        self.proxy.reset_all();
        self.proxy.heal();
        match code {
            Some(0) => {}
            Some(1) => drop(self.must(&["resume"]).with_context(|| format!("{fault:?}: {said}"))?),
            _ => anyhow::bail!("{fault:?}: {code:?} {said}"),
        }
        self.must(&["verify", "--deep"]).with_context(|| format!("{fault:?}"))?;
        Ok(code == Some(0))
    }

    /// Starts a run and kills it once so many bytes went up.
    fn kill_at(&self, bytes: u64) -> Result<()> {
        let begun = self.proxy.bytes_up();
        let mut child = self.command(&["run", "--quiet"]).stdout(Stdio::null()).spawn()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.proxy.bytes_up() - begun < bytes {
            ensure!(Instant::now() < deadline && child.try_wait()?.is_none(), "the run ended before {bytes} bytes went up");
            std::thread::yield_now();
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

fn a_set_goes_there_and_comes_back(make: Make, more: &str) -> Result<Scene> {
    let scene = Scene::new(make, more)?;
    sample::mixed(&scene.cofre.path("files"), 40_000_000, 3)?;
    scene.must(&["run"])?;
    scene.must(&["verify", "--deep"])?;
    let (files, out) = (scene.cofre.path("files"), scene.cofre.path("out"));
    scene.must(&["restore", "latest", "--to", &out.display().to_string()])?;
    compare::trees(&files, &out.join(files.strip_prefix("/")?))?;
    // The catalogue is a cache.
    std::fs::remove_dir_all(scene.cofre.path("state"))?;
    scene.must(&["catalog", "rebuild", "--from", "nuvem"])?;
    ensure!(scene.must(&["list"])?.contains("backup_"));
    ensure!(scene.unfinished().is_empty(), "unfinished files were left: {:?}; the server: {}", scene.unfinished(), scene.server.log());
    Ok(scene)
}

#[test]
fn a_set_goes_to_wsgidav_over_https_with_digest_and_comes_back() -> Result<()> {
    a_set_goes_there_and_comes_back(Make::WsgiDav, ", auth = \"digest\"").map(drop)
}

#[test]
fn a_set_goes_to_apache_piece_by_piece_and_comes_back() -> Result<()> {
    a_set_goes_there_and_comes_back(Make::Apache, ", resume = \"content-range\"").map(drop)
}

#[test]
fn a_set_goes_to_a_server_without_pieces_and_comes_back() -> Result<()> {
    let scene = a_set_goes_there_and_comes_back(Make::Rclone, "")?;
    // Go's server takes a piece for the whole file, which must be seen before anything is stored so.
    let destination = scene.server.destination(scene.proxy.port(), ", resume = \"content-range\"");
    let head = scene.cofre.configuration()?;
    let (head, _) = head.split_once("[[destination]]").context("a destination")?;
    scene
        .cofre
        .configure(&format!("{head}[[destination]]\nname = \"nuvem\"\nplugin = \"webdav\"\n{destination}retry = {{ attempts = 1 }}\n"))?;
    let (code, said) = scene.run(&["run"])?;
    ensure!(code == Some(1) && said.contains("/resume"), "{said}");
    Ok(())
}

#[test]
fn a_set_goes_to_nextcloud_in_chunks_and_an_independent_client_agrees_with_our_server() -> Result<()> {
    let scene = a_set_goes_there_and_comes_back(Make::Nextcloud, "")?;
    let uploads = scene.server.objects().join("../../uploads");
    ensure!(std::fs::read_dir(uploads)?.count() == 0, "an upload was left open");
    judge(&scene.server)
}

/// What an independent client of Nextcloud reads is what cofre stored, and what it stores in chunks is what the server then has.
fn judge(server: &WebDav) -> Result<()> {
    let script = r#"
import io, pathlib, random, sys
from nc_py_api import Nextcloud
root, user, password, folder = sys.argv[1:]
cloud = Nextcloud(nextcloud_url=root, nc_auth_user=user, nc_auth_pass=password)
data = random.Random(1).randbytes(12_000_000)
cloud.files.upload_stream("judged.bin", io.BytesIO(data), chunk_size=5 << 20)
assert cloud.files.download("judged.bin") == data
stored = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
assert len(stored) >= 5, stored
for path in stored:
    assert cloud.files.download("copias/" + str(path.relative_to(folder))) == path.read_bytes(), path
"#;
    let python = packages::python("nextcloud", &["nc-py-api"])?;
    let root = format!("http://127.0.0.1:{}", server.port());
    let output = Command::new(python).args(["-W", "ignore", "-c", script, &root, USER, PASSWORD]).arg(server.objects()).output()?;
    ensure!(output.status.success(), "the client disagrees: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_copy_to_apache_through_a_broken_network_ends_whole_or_fails_and_is_resumed() -> Result<()> {
    let scene = Scene::with_noise(Make::Apache, "", 18_000_000)?;
    for fault in [
        Fault::Cut { way: Way::Up, after: 3_000_000, once: true },
        Fault::Cut { way: Way::Up, after: 7_000_001, once: true },
        Fault::Cut { way: Way::Down, after: 100, once: true },
        Fault::Throttle(9_000_000),
    ] {
        ensure!(scene.survives(fault)?, "one fault made the copy fail: {fault:?}");
    }
    for fault in
        [Fault::Cut { way: Way::Up, after: 2_000_000, once: false }, Fault::Stall { way: Way::Up, after: 1_000_000 }, Fault::Refuse]
    {
        ensure!(!scene.survives(fault)?, "a run was called done over {fault:?}");
    }
    ensure!(scene.proxy.cuts() >= 4, "nothing was cut");
    scene.must(&["verify", "all"])?;
    ensure!(scene.unfinished().is_empty(), "unfinished files were left: {:?}; the server: {}", scene.unfinished(), scene.server.log());
    Ok(())
}

#[test]
fn a_copy_in_one_request_begins_again_when_it_was_cut() -> Result<()> {
    let scene = Scene::with_noise(Make::WsgiDav, ", resume = \"none\"", 18_000_000)?;
    for fault in [Fault::Cut { way: Way::Up, after: 12_000_000, once: true }, Fault::Corrupt { way: Way::Up, at: 2_000_000 }] {
        ensure!(scene.survives(fault)?, "one fault made the copy fail: {fault:?}");
    }
    ensure!(scene.proxy.cuts() == 1, "nothing was cut");
    ensure!(scene.unfinished().is_empty(), "unfinished files were left: {:?}; the server: {}", scene.unfinished(), scene.server.log());
    Ok(())
}

/// Bytes that a resumed copy of 40 MB sends after a host that was killed beyond 22 MB.
fn sent_again(make: Make) -> Result<u64> {
    let scene = Scene::with_noise(make, "", 40_000_000)?;
    scene.proxy.set(&[Fault::Throttle(8_000_000)]);
    scene.kill_at(22_000_000)?;
    scene.proxy.heal();
    let before = scene.proxy.bytes_up();
    scene.must(&["resume"])?;
    let again = scene.proxy.bytes_up() - before;
    scene.must(&["verify", "--deep"])?;
    ensure!(scene.unfinished().is_empty(), "unfinished files were left: {:?}; the server: {}", scene.unfinished(), scene.server.log());
    Ok(again)
}

#[test]
fn a_killed_copy_goes_on_where_it_was_if_the_server_can_add_to_a_file() -> Result<()> {
    for make in [Make::Apache, Make::Nextcloud] {
        let again = sent_again(make)?;
        ensure!(again < 40_000_000 - 22_000_000 + 2 * PART, "{make:?}: {again} bytes were sent again");
    }
    Ok(())
}

#[test]
fn folders_go_with_their_last_object() -> Result<()> {
    let server = WebDav::start(Make::Apache)?;
    let trial = Trial {
        destination: "webdav",
        server: "Apache".to_owned(),
        settings: server.destination(server.port(), ""),
        environment: vec![("COFRE_T_PASSWORD".to_owned(), PASSWORD.to_owned())],
        address: None,
        keep: Vec::new(),
    };
    let verdict = conformance::run(&trial, &["--only", "keys", "--only", "delete", "--only", "list/prefix"])?;
    ensure!(verdict.failed.is_empty() && verdict.cases >= 7, "{}", verdict.failures());
    let left: Vec<_> = std::fs::read_dir(server.objects())?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    ensure!(left == [".cofre-tmp"], "{left:?} were left");
    Ok(())
}
