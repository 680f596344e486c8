//! The plug-in for plain HTTP servers against two of them: whole sets, networks that break, and a host that is killed.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre::plugin::{PluginEngine, WasmDestination};
use cofre::ports::{Destination, DestinationErrorKind, DestinationSettings, Grants, NetworkPattern, PluginLimits};
use cofre_tests::cofre::{Installation, plugins, said};
use cofre_tests::compare;
use cofre_tests::proxy::{Fault, FaultProxy, Way};
use cofre_tests::rest::{Make, RestServer, TOKEN};
use cofre_tests::sample::{self, Random};

const PART: u64 = 5 << 20;

/// A server, a proxy before it, and an installation of cofre with files to back up.
struct Scene {
    server: RestServer,
    proxy: FaultProxy,
    cofre: Installation,
}

impl Scene {
    fn new(make: Make, more: &str) -> Result<Self> {
        let server = RestServer::start(make)?;
        let proxy = FaultProxy::start(server.address())?;
        let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
        std::fs::create_dir(cofre.path("files"))?;
        let destination = server.destination(proxy.port(), &format!(", part_size = {PART}{more}"));
        cofre.configure(&format!(
            "{}[[destination]]\nname = \"nuvem\"\nplugin = \"rest\"\n{destination}\
             retry = {{ attempts = 3, first_pause = \"50ms\", longest_pause = \"200ms\" }}\nlimits = {{ wall = \"6s\" }}\n",
            cofre.configuration()?
        ))?;
        Ok(Self { server, proxy, cofre })
    }

    /// The same, with `bytes` that nobody can compress.
    fn with_noise(make: Make, bytes: usize) -> Result<Self> {
        let scene = Self::new(make, "")?;
        std::fs::write(scene.cofre.path("files/noise"), Random::new(7).bytes(bytes))?;
        Ok(scene)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cofre.command(arguments);
        command.env("COFRE_T_TOKEN", TOKEN);
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.command(arguments).output()?;
        let said = said(&output);
        ensure!(!said.contains(TOKEN), "the token was printed: {said}");
        Ok((output.status.code(), said))
    }

    fn must(&self, arguments: &[&str]) -> Result<String> {
        let (code, said) = self.run(arguments)?;
        ensure!(code == Some(0), "{arguments:?}: {code:?} {said}; the server: {}", self.server.log());
        Ok(said)
    }

    /// Runs, or resumes what failed, until all is whole; whether the first run already did it.
    fn survives(&self, fault: Fault) -> Result<bool> {
        self.proxy.set(&[fault]);
        let (code, said) = self.run(&["run"])?;
        self.proxy.heal();
        match code {
            Some(0) => {}
            Some(1) => drop(self.must(&["resume"]).with_context(|| format!("{fault:?}: {said}"))?),
            _ => anyhow::bail!("{fault:?}: {code:?} {said}"),
        }
        self.must(&["verify", "--deep"]).with_context(|| format!("{fault:?}"))?;
        Ok(code == Some(0))
    }
}

#[test]
fn a_set_goes_to_every_server_and_comes_back() -> Result<()> {
    for (make, more) in [(Make::Plain, ""), (Make::Python, ""), (Make::Node, ", resume = \"tus\"")] {
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
        ensure!(scene.server.unfinished() == 0, "{make:?}: unfinished files were left");
    }
    Ok(())
}

#[test]
fn a_copy_through_a_broken_network_ends_whole_or_fails_and_is_resumed() -> Result<()> {
    for make in [Make::Plain, Make::Node] {
        let scene = Scene::with_noise(make, 18_000_000)?;
        for fault in [
            Fault::Cut { way: Way::Up, after: 3_000_000, once: true },
            Fault::Cut { way: Way::Up, after: 7_000_001, once: true },
            Fault::Cut { way: Way::Down, after: 100, once: true },
            // The server's digest of what arrived tells.
            Fault::Corrupt { way: Way::Up, at: 2_000_000 },
            Fault::Throttle(9_000_000),
        ] {
            ensure!(scene.survives(fault)?, "{make:?}: one fault made the copy fail: {fault:?}");
        }
        for fault in
            [Fault::Cut { way: Way::Up, after: 2_000_000, once: false }, Fault::Stall { way: Way::Up, after: 1_000_000 }, Fault::Refuse]
        {
            // By tus every cut lets a little through, which is progress: enough of it is a copy.
            let by_pieces = make == Make::Node && matches!(fault, Fault::Cut { .. });
            ensure!(!scene.survives(fault)? || by_pieces, "{make:?}: a run was called done over {fault:?}");
        }
        ensure!(scene.proxy.cuts() >= 4, "nothing was cut");
        scene.must(&["verify", "all"])?;
        // An upload by tus whose creation was answered into a cut connection is known to nobody, and expires.
        ensure!(make == Make::Node || scene.server.unfinished() == 0, "{make:?}: unfinished files were left");
    }
    Ok(())
}

#[test]
fn a_killed_copy_goes_on_where_it_was_by_tus() -> Result<()> {
    let scene = Scene::with_noise(Make::Node, 40_000_000)?;
    scene.proxy.set(&[Fault::Throttle(8_000_000)]);
    let mut child = scene.command(&["run", "--quiet"]).stdout(Stdio::null()).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while scene.proxy.bytes_up() < 22_000_000 {
        ensure!(Instant::now() < deadline && child.try_wait()?.is_none(), "the run ended too early");
        std::thread::yield_now();
    }
    child.kill()?;
    child.wait()?;
    scene.proxy.heal();
    let before = scene.proxy.bytes_up();
    scene.must(&["resume"])?;
    let again = scene.proxy.bytes_up() - before;
    ensure!(again < 40_000_000 - 22_000_000 + 2 * PART, "{again} bytes were sent again");
    scene.must(&["verify", "--deep"])?;
    ensure!(scene.server.unfinished() == 0, "unfinished files were left");
    Ok(())
}

/// A body in chunks has no length: what is cut in the middle would be an object, if its end looked orderly.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_one_request_that_is_dropped_leaves_nothing() -> Result<()> {
    let server = RestServer::start(Make::Plain)?;
    let target = format!("localhost:{}", server.address().port());
    let component = PluginEngine::new(None)?.load(&plugins().join("rest.wasm")).await?;
    let settings = DestinationSettings {
        name: "nuvem".to_owned(),
        plugin: plugins().join("rest.wasm"),
        settings: serde_json::json!({ "url": format!("http://{target}/objects"), "part_size": PART }),
        secrets: BTreeMap::from([("token".to_owned(), TOKEN.into())]),
        grants: Grants { network: vec![NetworkPattern::parse(&target)?], ..Grants::default() },
        limits: PluginLimits::default(),
        bandwidth: cofre::ports::Bandwidth::default(),
        ca_file: None,
    };
    let destination = WasmDestination::new(component, settings)?;
    for _ in 0..5 {
        let mut upload = destination.begin("cut", None).await?;
        upload.write(Box::pin(tokio::io::AsyncReadExt::take(tokio::io::repeat(7), PART)), PART).await?;
        ensure!(server.unfinished() == 1, "nothing was on its way");
        drop(upload);
        // The server has seen the end, whatever it took it for.
        let deadline = Instant::now() + Duration::from_secs(30);
        while server.unfinished() > 0 {
            ensure!(Instant::now() < deadline, "the server does not see that it was cut");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let error = destination.stat("cut").await.err().context("a part of an object was taken for the whole")?;
        ensure!(error.kind == DestinationErrorKind::NotFound, "{error}");
    }
    Ok(())
}
