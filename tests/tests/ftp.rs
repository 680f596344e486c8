//! The FTP plug-in against four servers: two that demand TLS session reuse, a lenient one, and one with the replies of thirty years ago.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::compare;
use cofre_tests::conformance;
use cofre_tests::ftpd::{Ftpd, Make, PASSWORD, PROFTPD, trial};
use cofre_tests::proxy::{Fault, FaultProxy, Way};
use cofre_tests::sample::{self, Random};

const NO_RESTART: Make = Make::Proftpd { protocol: "TLSv1.3", implicit: false, restart: false };

/// An installation that copies its directory `files` to a server.
fn installation(server: &Ftpd, port: u16, more: &str) -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    std::fs::create_dir(cofre.path("files"))?;
    configure(&cofre, server, port, more)?;
    Ok(cofre)
}

fn configure(cofre: &Installation, server: &Ftpd, port: u16, more: &str) -> Result<()> {
    let head = cofre.configuration()?;
    let head = head.split("[[destination]]").next().unwrap_or_default();
    cofre.configure(&format!(
        "{head}[[destination]]\nname = \"casa\"\nplugin = \"ftp\"\n{}retry = {{ attempts = 3, first_pause = \"50ms\", longest_pause = \"200ms\" }}\nlimits = {{ wall = \"10s\" }}\n",
        server.destination(port, &format!(", directory = \"copias\"{more}"))
    ))
}

fn run(cofre: &Installation, code: i32, arguments: &[&str]) -> Result<String> {
    let output = cofre.command(arguments).env("COFRE_T_PASSWORD", PASSWORD).output()?;
    let said = said(&output);
    ensure!(output.status.code() == Some(code), "{arguments:?}: {}: {said}", output.status);
    ensure!(!said.contains(PASSWORD), "a secret was printed: {said}");
    Ok(said)
}

/// Backs up, verifies, restores, and finds the set again without a catalogue.
fn round_trip(make: Make) -> Result<Ftpd> {
    let server = Ftpd::start(make)?;
    let cofre = installation(&server, server.address().port(), ", part_size = 5242880")?;
    sample::mixed(&cofre.path("files"), 30_000_000, 3)?;
    std::fs::write(cofre.path("files/noise"), Random::new(5).bytes(12_000_000))?;
    let trip = || -> Result<()> {
        run(&cofre, 0, &["run"])?;
        run(&cofre, 0, &["verify", "--deep"])?;
        run(&cofre, 0, &["restore", "latest", "--to", &cofre.path("out").display().to_string()])?;
        compare::trees(&cofre.path("files"), &cofre.path("out").join(cofre.path("files").strip_prefix("/")?))?;
        std::fs::remove_dir_all(cofre.path("state"))?;
        run(&cofre, 0, &["catalog", "rebuild", "--from", "casa"])?;
        ensure!(run(&cofre, 0, &["list"])?.contains("backup_"), "the set is not found again");
        ensure!(unfinished(&server.path("copias"))?.is_empty(), "something unfinished was left");
        Ok(())
    };
    trip().with_context(|| format!("{make:?}, which said: {}", server.log()))?;
    Ok(server)
}

/// Temporary files anywhere in a directory.
fn unfinished(directory: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(unfinished(&path)?),
            false if path.display().to_string().contains(".cofre-part-") => found.push(path.display().to_string()),
            false => {}
        }
    }
    Ok(found)
}

#[test]
fn every_data_connection_resumes_the_session_of_its_control_connection() -> Result<()> {
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let server = round_trip(Make::Proftpd { protocol, implicit: false, restart: true })?;
        let log = server.log();
        let opened: Vec<&str> = log.lines().filter(|line| line.contains("data connection accepted")).collect();
        ensure!(opened.len() > 10, "{protocol}: there were {} data connections: {log}", opened.len());
        let full = opened.iter().find(|line| !(line.contains(protocol) && line.contains("resumed session")));
        ensure!(full.is_none(), "{protocol}: {full:?}");
    }
    round_trip(Make::Vsftpd).map(drop)
}

#[test]
fn implicit_tls_and_none_at_all_work_where_they_are_set() -> Result<()> {
    round_trip(Make::Proftpd { protocol: "TLSv1.3", implicit: true, restart: true })?;
    round_trip(Make::PureFtpd).map(drop)
}

/// No MLSD, EPSV or FEAT, listings for people, an address that leads nowhere in the reply to PASV, APPE alone to continue.
#[test]
fn servers_of_thirty_years_ago_keep_the_contract() -> Result<()> {
    for kind in ["unix", "dos", "append"] {
        let trial = trial(Make::Odd(kind), kind)?;
        let groups = ["probe", "put", "resume", "abort", "read", "stat", "list", "keys", "delete", "refusal/wrong-password"];
        let only: Vec<&str> = groups.iter().flat_map(|group| ["--only", *group]).collect();
        let verdict = conformance::run(&trial, &[&only[..], &["--objects", "50"]].concat())?;
        ensure!(verdict.failed.is_empty(), "{}", verdict.failures());
        ensure!(verdict.cases >= 30, "only {} cases were tried: {:?}", verdict.cases, verdict.skipped);
    }
    Ok(())
}

#[test]
fn what_an_administrator_must_change_is_said() -> Result<()> {
    let server = Ftpd::start(NO_RESTART)?;
    let port = server.address().port();
    let cofre = installation(&server, port, "")?;
    std::fs::write(cofre.path("files/noise"), Random::new(5).bytes(20_000_000))?;
    let said = run(&cofre, 1, &["run"])?;
    ensure!(said.contains("AllowStoreRestart") && said.contains("/resume"), "{said}");
    configure(&cofre, &server, port, ", resume = false")?;
    run(&cofre, 0, &["run"])?;
    run(&cofre, 0, &["verify", "--deep"])?;
    let good = cofre.configuration()?;
    let (ports, authority) = (server.passive(), format!("ca_file = \"{}\"\n", server.authority().display()));
    let ports = format!("\"localhost:{}-{}\"", ports.start, ports.end - 1);
    for (from, to, words) in [
        (ports.as_str(), "\"localhost:1-9\"", ["data connection to port", "grants.network"]),
        (authority.as_str(), "", ["TLS failed", "ca_file"]),
        ("user = \"bk\"", "user = \"ninguem\"", ["cannot log in", "`password`"]),
        ("host = \"localhost\"", "host = \"127.0.0.1\"", ["the host refused the connection", "grants.network"]),
        ("host = \"localhost\"", "host = \"localhost\", tls = \"none\"", ["/allow_plaintext", "without TLS"]),
        ("host = \"localhost\"", "host = \"localhost\", tls = \"implicit\"", ["TLS failed", "check /tls and /port"]),
    ] {
        ensure!(good.contains(from), "{from} is not in {good}");
        cofre.configure(&good.replace(from, to))?;
        let said = run(&cofre, 1, &["run"])?;
        ensure!(words.iter().all(|word| said.contains(word)), "{from} -> {to}: {said}");
    }
    Ok(())
}

/// A server at 127.0.0.2 whose every port, control and data, is a proxy's at 127.0.0.1.
struct Scene {
    server: Ftpd,
    control: FaultProxy,
    data: Vec<FaultProxy>,
    cofre: Installation,
}

impl Scene {
    /// With `bytes` that nobody can compress to be backed up.
    fn new(bytes: usize) -> Result<Self> {
        let server = Ftpd::start_at(PROFTPD, std::net::Ipv4Addr::new(127, 0, 0, 2))?;
        let control = FaultProxy::start(server.address())?;
        let ports = server.passive();
        let data = ports.map(|port| FaultProxy::start_on(port, ([127, 0, 0, 2], port).into())).collect::<Result<Vec<_>>>()?;
        let cofre = installation(&server, control.port(), ", part_size = 5242880, timeout = 4")?;
        std::fs::write(cofre.path("files/noise"), Random::new(7).bytes(bytes))?;
        Ok(Self { server, control, data, cofre })
    }

    fn set(&self, faults: &[Fault]) {
        self.data.iter().for_each(|proxy| proxy.set(faults));
    }

    fn bytes_up(&self) -> u64 {
        self.data.iter().map(FaultProxy::bytes_up).sum()
    }

    fn cuts(&self) -> u64 {
        self.data.iter().map(FaultProxy::cuts).sum()
    }

    fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.cofre.command(arguments).env("COFRE_T_PASSWORD", PASSWORD).output()?;
        Ok((output.status.code(), said(&output)))
    }
}

#[test]
fn a_copy_through_a_broken_network_ends_whole_or_fails_and_is_resumed() -> Result<()> {
    let scene = Scene::new(18_000_000)?;
    let faults = [
        // Each data connection of a run is cut: every attempt brings the copy a little further.
        (Fault::Cut { way: Way::Up, after: 3_000_000, once: false }, Some(0)),
        (Fault::Cut { way: Way::Up, after: 4_999_999, once: true }, Some(0)),
        (Fault::Throttle(9_000_000), Some(0)),
        (Fault::Cut { way: Way::Down, after: 100, once: false }, Some(1)),
        (Fault::Stall { way: Way::Up, after: 1_000_000 }, None),
        (Fault::Refuse, Some(1)),
    ];
    for (fault, wanted) in faults {
        scene.set(&[fault]);
        let (code, said) = scene.run(&["run"])?;
        // What was held back is lost: let through now, it would reach the server long after the copy has gone on without it.
        scene.data.iter().for_each(FaultProxy::reset_all);
        scene.set(&[]);
        ensure!(wanted.is_none_or(|wanted| code == Some(wanted)), "{fault:?}: {code:?} {said}");
        if code != Some(0) {
            run(&scene.cofre, 0, &["resume"]).with_context(|| format!("{fault:?}: {said}"))?;
        }
        run(&scene.cofre, 0, &["verify", "--deep"]).with_context(|| format!("{fault:?}"))?;
    }
    ensure!(scene.cuts() >= 4, "only {} connections were cut", scene.cuts());
    scene.control.set(&[Fault::Cut { way: Way::Down, after: 2_000, once: true }]);
    let (code, said) = scene.run(&["run"])?;
    ensure!(code == Some(0) && scene.control.cuts() == 1, "a control connection that broke once: {code:?} {said}");
    run(&scene.cofre, 0, &["verify", "all"])?;
    ensure!(unfinished(&scene.server.path("copias"))?.is_empty(), "something unfinished was left");
    Ok(())
}

#[test]
fn a_killed_copy_goes_on_where_it_was() -> Result<()> {
    let (size, until, part) = (40_000_000, 22_000_000, 5 << 20);
    let scene = Scene::new(size)?;
    scene.set(&[Fault::Throttle(8_000_000)]);
    let mut child = scene.cofre.command(&["run", "--quiet"]).env("COFRE_T_PASSWORD", PASSWORD).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while scene.bytes_up() < until {
        ensure!(Instant::now() < deadline && child.try_wait()?.is_none(), "the run ended before {until} bytes went up");
        std::thread::yield_now();
    }
    child.kill()?;
    child.wait()?;
    ensure!(unfinished(&scene.server.path("copias"))?.len() == 1, "one object was under way");
    scene.set(&[]);
    let before = scene.bytes_up();
    run(&scene.cofre, 0, &["resume"])?;
    let again = scene.bytes_up() - before;
    ensure!(again < size as u64 - until + 2 * part, "{again} bytes were sent again");
    run(&scene.cofre, 0, &["verify", "--deep"])?;
    ensure!(unfinished(&scene.server.path("copias"))?.is_empty(), "something unfinished was left");
    Ok(())
}
