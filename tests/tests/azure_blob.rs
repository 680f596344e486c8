//! The plug-in for Azure Blob Storage against Microsoft's emulator, judged by Microsoft's client.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre::plugin::{PluginEngine, WasmDestination};
use cofre::ports::{Destination, DestinationErrorKind, DestinationSettings, Grants, NetworkPattern, PluginLimits};
use cofre_tests::azurite::{ACCOUNT, Azurite, CONTAINER, KEY};
use cofre_tests::cofre::{Installation, plugins, said};
use cofre_tests::compare;
use cofre_tests::proxy::{Fault, FaultProxy, Way};
use cofre_tests::sample::{self, Random};

const PART: u64 = 4 << 20;

/// An emulator, a proxy before it, and an installation of cofre with files to back up.
struct Scene {
    server: Azurite,
    proxy: FaultProxy,
    cofre: Installation,
}

impl Scene {
    fn new() -> Result<Self> {
        let server = Azurite::start()?;
        let proxy = FaultProxy::start(server.address())?;
        let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
        std::fs::create_dir(cofre.path("files"))?;
        let destination = server.destination(proxy.port(), &format!(", part_size = {PART}, prefix = \"cofre\""));
        cofre.configure(&format!(
            "{}[[destination]]\nname = \"nuvem\"\nplugin = \"azure-blob\"\n{destination}\
             retry = {{ attempts = 3, first_pause = \"50ms\", longest_pause = \"200ms\" }}\nlimits = {{ wall = \"6s\" }}\n",
            cofre.configuration()?
        ))?;
        Ok(Self { server, proxy, cofre })
    }

    /// The same, with `bytes` that nobody can compress.
    fn with_noise(bytes: usize) -> Result<Self> {
        let scene = Self::new()?;
        std::fs::write(scene.cofre.path("files/noise"), Random::new(7).bytes(bytes))?;
        Ok(scene)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cofre.command(arguments);
        command.env("COFRE_T_KEY", KEY);
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.command(arguments).output()?;
        let said = said(&output);
        ensure!(!said.contains(KEY), "the key was printed: {said}");
        Ok((output.status.code(), said))
    }

    fn must(&self, arguments: &[&str]) -> Result<String> {
        let (code, said) = self.run(arguments)?;
        ensure!(code == Some(0), "{arguments:?}: {code:?} {said}");
        Ok(said)
    }
}

#[test]
fn a_set_goes_to_azure_and_comes_back_and_microsofts_client_finds_it_whole() -> Result<()> {
    let scene = Scene::new()?;
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
    let judged = scene.server.client(
        "client, count = service.get_container_client(container), 0\n\
         for blob in client.list_blobs(name_starts_with='cofre/'):\n\
         \x20 data = client.download_blob(blob.name).readall()\n\
         \x20 assert len(data) == blob.size and bytes(blob.content_settings.content_md5) == hashlib.md5(data).digest(), blob.name\n\
         \x20 count += 1\n\
         print(count)",
    )?;
    ensure!(judged.parse::<usize>()? >= 5, "the client found {judged} objects");
    Ok(())
}

#[test]
fn a_copy_through_a_broken_network_ends_whole_or_fails_and_is_resumed() -> Result<()> {
    let scene = Scene::with_noise(18_000_000)?;
    let faults = [
        Fault::Cut { way: Way::Up, after: 3_000_000, once: true },
        Fault::Cut { way: Way::Up, after: 7_000_001, once: true },
        Fault::Cut { way: Way::Down, after: 100, once: true },
        Fault::Throttle(9_000_000),
        Fault::Cut { way: Way::Up, after: 2_000_000, once: false },
        Fault::Corrupt { way: Way::Up, at: 2_000_000 },
        Fault::Stall { way: Way::Up, after: 1_000_000 },
        Fault::Refuse,
    ];
    for fault in faults {
        scene.proxy.set(&[fault]);
        let (code, said) = scene.run(&["run"])?;
        scene.proxy.heal();
        match code {
            Some(0) => {}
            Some(1) => drop(scene.must(&["resume"]).with_context(|| format!("{fault:?}: {said}"))?),
            _ => anyhow::bail!("{fault:?}: {code:?} {said}"),
        }
        let passes = matches!(fault, Fault::Cut { once: true, .. } | Fault::Throttle(_) | Fault::Corrupt { .. });
        ensure!(!passes || code == Some(0), "one fault made the copy fail: {fault:?}: {said}");
        ensure!(passes || code == Some(1), "a run was called done over {fault:?}: {said}");
        scene.must(&["verify", "--deep"]).with_context(|| format!("{fault:?}"))?;
    }
    ensure!(scene.proxy.cuts() >= 4, "nothing was cut");
    scene.must(&["verify", "all"]).map(drop)
}

#[test]
fn a_killed_copy_goes_on_where_it_was() -> Result<()> {
    let scene = Scene::with_noise(40_000_000)?;
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
    scene.must(&["verify", "--deep"]).map(drop)
}

/// Status that an address answers to Microsoft's client without credentials, and what it brings.
fn opened(server: &Azurite, address: &str) -> Result<String> {
    server.client(&format!(
        "import urllib.request, urllib.error\ntry:\n  print(200, urllib.request.urlopen('{address}').read().decode())\nexcept urllib.error.HTTPError as e:\n  print(e.code)"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_to_share_opens_for_its_time_and_a_container_without_policies_protects_nothing() -> Result<()> {
    let server = Azurite::start()?;
    let target = format!("localhost:{}", server.address().port());
    let component = PluginEngine::new(None)?.load(&plugins().join("azure-blob.wasm")).await?;
    let settings = DestinationSettings {
        name: "nuvem".to_owned(),
        plugin: plugins().join("azure-blob.wasm"),
        settings: serde_json::json!({ "account": ACCOUNT, "container": CONTAINER, "endpoint": format!("http://{target}/{ACCOUNT}") }),
        secrets: BTreeMap::from([("account_key".to_owned(), KEY.into())]),
        grants: Grants { network: vec![NetworkPattern::parse(&target)?], ..Grants::default() },
        limits: PluginLimits::default(),
        bandwidth: cofre::ports::Bandwidth::default(),
        ca_file: None,
    };
    let destination = WasmDestination::new(component, settings)?;
    let mut upload = destination.begin("um objeto/ação", Some(8)).await?;
    upload.write(Box::pin(&b"conteudo"[..]), 8).await?;
    upload.finish().await?;
    let address = destination.share("um objeto/ação", 600).await?;
    ensure!(opened(&server, &address)? == "200 conteudo", "{address}");
    // Its end is signed.
    let (before, after) = address.split_once("se=20").context("an end")?;
    ensure!(opened(&server, &format!("{before}se=21{after}"))? == "403", "the life of an address is not signed");
    let brief = destination.share("um objeto/ação", 1).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while opened(&server, &brief)?.starts_with("200") {
        ensure!(Instant::now() < deadline, "an address of one second lives on");
    }
    let missing = destination.share("nada", 60).await.err().context("there is nothing to share")?;
    ensure!(missing.kind == DestinationErrorKind::NotFound, "{missing}");
    let unsupported = destination.protect("um objeto/ação", 4_000_000_000_000).await.err().context("the emulator has no policies")?;
    ensure!(unsupported.kind == DestinationErrorKind::Unsupported, "{unsupported}");
    Ok(())
}
