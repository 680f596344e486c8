//! S3 behind a network that cuts, stalls and changes bytes, and a host that is killed: a copy ends whole, or fails and is resumed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, said, tools};
use cofre_tests::proxy::{Fault, FaultProxy, Way};
use cofre_tests::sample::Random;
use cofre_tests::servers::{S3_KEY, S3_SECRET, SeaweedFs};

const BUCKET: &str = "copias";
const PART: u64 = 5 << 20;

struct Scene {
    server: SeaweedFs,
    proxy: FaultProxy,
    cofre: Installation,
}

impl Scene {
    /// A server, a proxy before it, and `bytes` that nobody can compress to be backed up.
    fn new(bytes: usize) -> Result<Self> {
        let server = SeaweedFs::start(&tools())?;
        server.make_bucket(&tools(), BUCKET)?;
        let proxy = FaultProxy::start(server.address())?;
        let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
        std::fs::create_dir(cofre.path("files"))?;
        std::fs::write(cofre.path("files/noise"), Random::new(7).bytes(bytes))?;
        cofre.configure(&format!(
            "{}[[destination]]\nname = \"nuvem\"\nplugin = \"s3\"\n\
             settings = {{ endpoint = \"http://localhost:{port}\", bucket = \"{BUCKET}\", path_style = true, part_size = {PART} }}\n\
             secrets = {{ access_key_id = {{ env = \"T_KEY\" }}, secret_access_key = {{ env = \"T_SECRET\" }} }}\n\
             grants = {{ network = [\"localhost:{port}\"] }}\nretry = {{ attempts = 3, first_pause = \"50ms\", longest_pause = \"200ms\" }}\nlimits = {{ wall = \"4s\" }}\n",
            cofre.configuration()?,
            port = proxy.port()
        ))?;
        Ok(Self { server, proxy, cofre })
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.cofre.command(arguments);
        command.env("T_KEY", S3_KEY).env("T_SECRET", S3_SECRET);
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.command(arguments).output()?;
        Ok((output.status.code(), said(&output)))
    }

    fn must(&self, arguments: &[&str]) -> Result<String> {
        let (code, said) = self.run(arguments)?;
        ensure!(code == Some(0), "{arguments:?}: {code:?} {said}");
        Ok(said)
    }

    /// Starts a run and kills it once so many bytes went up; returns what its spool says of the set then.
    fn killed_at(&self, bytes: u64) -> Result<String> {
        let begun = self.proxy.bytes_up();
        let mut child = self.command(&["run", "--quiet"]).spawn()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.proxy.bytes_up() - begun < bytes {
            ensure!(Instant::now() < deadline && child.try_wait()?.is_none(), "the run ended before {bytes} bytes went up");
            std::thread::yield_now();
        }
        child.kill()?;
        child.wait()?;
        let spool = std::fs::read_dir(self.cofre.path("state/spool"))?.filter_map(Result::ok);
        let set = spool.map(|entry| entry.path()).find(|path| path.join("state").exists()).context("the spool is empty")?;
        Ok(std::fs::read_to_string(set.join("state"))?.trim().to_owned())
    }
}

#[test]
fn a_copy_through_a_broken_network_ends_whole_or_fails_and_is_resumed() -> Result<()> {
    let scene = Scene::new(18_000_000)?;
    let faults = [
        Fault::Cut { way: Way::Up, after: 3_000_000, once: true },
        Fault::Cut { way: Way::Up, after: 7_000_001, once: true },
        Fault::Cut { way: Way::Down, after: 100, once: true },
        Fault::Cut { way: Way::Up, after: 2_000_000, once: false },
        Fault::Corrupt { way: Way::Up, at: 2_000_000 },
        Fault::Stall { way: Way::Up, after: 1_000_000 },
        Fault::Throttle(9_000_000),
        Fault::Refuse,
    ];
    let answers_lost = faults.iter().filter(|fault| matches!(fault, Fault::Cut { way: Way::Down, .. })).count();
    for fault in faults {
        scene.proxy.set(&[fault]);
        let (code, said) = scene.run(&["run"])?;
        scene.proxy.heal();
        match code {
            Some(0) => {}
            Some(1) => drop(scene.must(&["resume"]).with_context(|| format!("{fault:?}: {said}"))?),
            _ => anyhow::bail!("{fault:?}: {code:?} {said}"),
        }
        let passes = matches!(fault, Fault::Cut { once: true, .. } | Fault::Throttle(_));
        ensure!(!passes || code == Some(0), "one cut made the copy fail: {fault:?}: {said}");
        // A changed byte is refused by the service over its digest, and sent again: either outcome is right, as long as what is there is.
        let stays = !passes && !matches!(fault, Fault::Corrupt { .. });
        ensure!(!stays || code == Some(1), "a run was called done over {fault:?}: {said}");
        scene.must(&["verify", "--deep"]).with_context(|| format!("{fault:?}"))?;
    }
    ensure!(scene.proxy.cuts() >= 4, "nothing was cut");
    scene.must(&["verify", "all"])?;
    // Where the answer to the opening of an upload is lost, nobody knows of that upload: the bucket's lifecycle rule takes it.
    let open = scene.server.open_uploads(&tools(), BUCKET)?;
    ensure!(open <= answers_lost, "{open} uploads were left open, of which {answers_lost} could not be known");
    Ok(())
}

#[test]
fn a_killed_copy_goes_on_where_it_was() -> Result<()> {
    let size = 40_000_000;
    let scene = Scene::new(size)?;
    scene.proxy.set(&[Fault::Throttle(8_000_000)]);
    let state = scene.killed_at(22_000_000)?;
    ensure!(state == "sealed", "the sources took longer than half of a slow copy: {state}");
    ensure!(scene.server.open_uploads(&tools(), BUCKET)? == 1);
    scene.proxy.heal();
    let before = scene.proxy.bytes_up();
    scene.must(&["resume"])?;
    let again = scene.proxy.bytes_up() - before;
    ensure!(again < size as u64 - 22_000_000 + 2 * PART, "{again} bytes were sent again");
    scene.must(&["verify", "--deep"])?;
    ensure!(scene.server.open_uploads(&tools(), BUCKET)? == 0, "an upload was left open");
    Ok(())
}

#[test]
fn what_a_dead_run_left_is_removed_with_its_open_uploads() -> Result<()> {
    let scene = Scene::new(400_000_000)?;
    for _ in 0..5 {
        let state = scene.killed_at(3 * PART)?;
        if state == "sealed" {
            scene.must(&["resume"])?;
            continue;
        }
        ensure!(scene.server.open_uploads(&tools(), BUCKET)? == 1);
        let whole = scene.server.objects(&tools(), BUCKET)?.len();
        scene.must(&["resume"])?;
        ensure!(scene.server.open_uploads(&tools(), BUCKET)? == 0, "an upload was left open");
        ensure!(scene.server.objects(&tools(), BUCKET)?.len() == whole, "something was removed that was whole, or left that was not");
        ensure!(scene.must(&["resume"])?.contains("Nothing is pending"));
        return Ok(());
    }
    anyhow::bail!("no run was killed while it read its sources")
}
