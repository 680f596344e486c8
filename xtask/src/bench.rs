//! `cargo xtask bench`: cofre against its rivals in the same run, as ratios, with peak memory.
//!
//! Medians over several runs that take turns, so that a noisy minute hits everybody alike.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use cofre_tests::cofre::{Installation, plugins, target};
use cofre_tests::servers::MariaDb;
use cofre_tests::{packages, realistic, sample};
use serde_json::{Value, json};

use crate::process::build;

mod scale;
mod transfers;

use transfers::Service;

/// Options of the bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Also write the rows here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Runs of each
    #[arg(long, default_value_t = 5, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=99))]
    runs: usize,
    /// Small data, to try the bench itself
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Use the release build that is there
    #[arg(long)]
    no_build: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Directories,
    Databases,
    Boundary,
    Sftp,
    S3,
    Ftp,
    Scale,
}

/// Seconds of one run, and the peak memory of its largest process in MB.
#[derive(Clone, Copy)]
struct Measure {
    seconds: f64,
    rss_mb: f64,
}

struct Contestant<'a> {
    name: &'a str,
    bar: Option<f64>,
    run: Box<dyn Fn() -> Result<Measure> + 'a>,
}

pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    packages::ensure(&["mariadb-server", "mariadb-client", "mydumper", "pigz", "restic", "zstd", "openssl"])?;
    if !options.no_build {
        build(root)?;
    }
    let (bytes, rows) = if options.quick { (60_000_000, 20_000) } else { (1_000_000_000, 300_000) };
    let wanted = |part: Part| options.only.is_empty() || options.only.contains(&part);
    let mut results = Vec::new();
    if wanted(Part::Directories) {
        results.extend(directories(bytes, options.runs)?);
    }
    if wanted(Part::Databases) {
        results.extend(databases(rows, options.runs)?);
    }
    if wanted(Part::Boundary) {
        results.push(boundary(options.runs, options.quick)?);
    }
    if wanted(Part::Scale) {
        results.extend(scale::scale(root, options.runs)?);
    }
    let services = [(Part::Sftp, Service::Sftp), (Part::S3, Service::S3), (Part::Ftp, Service::Ftp)];
    let services: Vec<Service> = services.into_iter().filter(|(part, _)| wanted(*part)).map(|(_, service)| service).collect();
    if !services.is_empty() {
        results.extend(transfers::transfers(&services, if options.quick { 64 << 20 } else { 1 << 30 }, options.runs)?);
    }
    println!("\n{:<22} {:>9} {:<34} {:>9} {:>7} {:>6} {:>8}", "row", "ours s", "peer", "peer s", "ratio", "bar", "rss MB");
    for row in &results {
        let number = |key: &str| row[key].as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let met = match (row["ratio"].as_f64(), row["bar"].as_f64()) {
            (Some(ratio), Some(bar)) if ratio > bar => " ❌",
            (_, Some(_)) => " ✅",
            _ => "",
        };
        let (name, peer) = (row["row"].as_str().unwrap_or(""), row["peer"].as_str().unwrap_or(""));
        println!(
            "{name:<22} {:>9} {peer:<34} {:>9} {:>7} {:>6} {:>8}{met}",
            number("ours_s"),
            number("peer_s"),
            number("ratio"),
            number("bar"),
            number("rss_mb")
        );
    }
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&results)?)?;
    }
    Ok(())
}

/// Runs a command to its end and measures it.
fn measure(command: &mut Command) -> Result<Measure> {
    let started = Instant::now();
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(Measure { seconds, rss_mb: f64::NAN })
}

/// The same, with the peak memory of that one process, as `time -v` reports it.
fn measure_process(command: &Command) -> Result<Measure> {
    packages::ensure(&["time"])?;
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["-f", "%M"]).arg(command.get_program()).args(command.get_args());
    let started = Instant::now();
    let output = timed.output()?;
    let seconds = started.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code().is_some_and(|code| code == 0 || code == 3), "{command:?} failed: {said}");
    let kilobytes: f64 = said.lines().next_back().and_then(|line| line.trim().parse().ok()).context("time printed no memory")?;
    Ok(Measure { seconds, rss_mb: kilobytes / 1_024.0 })
}

fn shell(script: &str) -> Result<Measure> {
    measure(Command::new("bash").args(["-c", &format!("set -eo pipefail; {script}")]))
}

/// Medians of ours against each peer; the first peer gives the row its ratio, the others rows with a suffix.
fn contest(row: &str, runs: usize, ours: &Contestant<'_>, peers: &[Contestant<'_>]) -> Result<Vec<Value>> {
    println!("━━ {row}: {} runs of {} and {}", runs, ours.name, peers.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", "));
    let mut own = Vec::new();
    let mut theirs = vec![Vec::new(); peers.len()];
    for _ in 0..runs {
        own.push((ours.run)()?);
        for (peer, measures) in peers.iter().zip(&mut theirs) {
            measures.push((peer.run)()?);
        }
    }
    let ours_s = median(&own);
    let rss = own.iter().map(|measure| measure.rss_mb).fold(0.0, f64::max);
    let rows = peers.iter().zip(&theirs).enumerate().map(|(index, (peer, measures))| {
        let name = if index == 0 { row.to_owned() } else { format!("{row}-{}", peer.name.split(' ').next().unwrap_or("")) };
        let peer_s = median(measures);
        json!({ "row": name, "ours_s": ours_s, "peer": peer.name, "peer_s": peer_s, "ratio": ours_s / peer_s, "bar": peer.bar, "rss_mb": rss })
    });
    Ok(rows.collect())
}

fn median(measures: &[Measure]) -> f64 {
    middle(measures.iter().map(|measure| measure.seconds).collect())
}

fn middle(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.len() / 2;
    if seconds.len() % 2 == 1 { seconds[middle] } else { f64::midpoint(seconds[middle.saturating_sub(1)], seconds[middle]) }
}

fn clear(cofre: &Installation, folder: &str) -> Result<()> {
    let path = cofre.path(folder);
    if path.exists() {
        std::fs::remove_dir_all(&path)?;
    }
    std::fs::create_dir(path).context("making a folder")
}

fn backup<'a>(cofre: &'a Installation, only: &'a str) -> Box<dyn Fn() -> Result<Measure> + 'a> {
    Box::new(move || {
        clear(cofre, "copy")?;
        measure_process(&cofre.command(&["run", "--quiet", "--only", only]))
    })
}

fn directories(bytes: u64, runs: usize) -> Result<Vec<Value>> {
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/data\"\n")?;
    let gzip = format!("{}{}", cofre.configuration()?, cofre.local("copy")?);
    realistic::realistic(&cofre.path("data"), bytes, 42)?;
    let (data, out) = (cofre.path("data").display().to_string(), cofre.path("out").display().to_string());
    std::fs::create_dir(cofre.path("out"))?;
    let enc = format!(
        "openssl enc -aes-256-cbc -salt -pbkdf2 -iter 600000 -pass file:{} > {out}/peer.enc && sync {out}/peer.enc",
        cofre.path("passphrase").display()
    );
    let pipeline = |packer: &str| shell(&format!("tar -c -C {data} . | {packer} | {enc}"));
    cofre.configure(&gzip)?;
    let restic = || {
        let repository = format!("{out}/restic");
        let _ = std::fs::remove_dir_all(&repository);
        shell(&format!("RESTIC_PASSWORD=x restic -q -r {repository} init"))?; // not measured: its key derivation costs a second
        shell(&format!("RESTIC_PASSWORD=x restic -q --no-cache -r {repository} backup {data}"))
    };
    let ours = Contestant { name: "cofre gzip", bar: None, run: backup(&cofre, "config") };
    let peers = [
        Contestant { name: "tar|gzip|openssl", bar: Some(0.30), run: Box::new(|| pipeline("gzip")) },
        Contestant { name: "pigz (tar|pigz|openssl)", bar: None, run: Box::new(|| pipeline("pigz")) },
        Contestant { name: "restic (backup)", bar: Some(1.0), run: Box::new(restic) },
    ];
    let mut rows = contest("dir-gzip", runs, &ours, &peers)?;
    let ours_size = artifact_size(&cofre, "config")?;
    shell(&format!("tar -c -C {data} . | gzip | {enc}"))?;
    let peer_size = std::fs::metadata(cofre.path("out/peer.enc"))?.len() as f64;
    println!("size: cofre gzip {:.4} of gzip -6 (bar 1.03)", ours_size / peer_size);
    if let Some(row) = rows.first_mut() {
        row["size_ratio"] = json!(ours_size / peer_size);
    }
    rows.push(restore(&cofre, runs, &data, &out)?);
    cofre.configure(&gzip.replace("[plugins]", "[compression]\nalgorithm = \"zstd\"\n[plugins]"))?;
    let ours = Contestant { name: "cofre zstd", bar: None, run: backup(&cofre, "config") };
    let peers = [Contestant { name: "tar|gzip|openssl", bar: Some(0.12), run: Box::new(|| pipeline("gzip")) }];
    rows.extend(contest("dir-zstd", runs, &ours, &peers)?);
    Ok(rows)
}

fn artifact_size(cofre: &Installation, folder: &str) -> Result<f64> {
    let set = cofre.sets("copy")?.pop().context("no set")?;
    let mut largest = 0;
    for entry in std::fs::read_dir(cofre.path("copy").join(set).join(folder))? {
        largest = largest.max(entry?.metadata()?.len());
    }
    Ok(largest as f64)
}

fn restore(cofre: &Installation, runs: usize, data: &str, out: &str) -> Result<Value> {
    let pass = cofre.path("passphrase").display().to_string();
    let target = cofre.path("restored").display().to_string();
    let ours = Contestant {
        name: "cofre restore",
        bar: None,
        run: Box::new(|| {
            let _ = std::fs::remove_dir_all(&target);
            measure_process(&cofre.command(&["restore", "latest", "--quiet", "--path", data, "--to", &target]))
        }),
    };
    let peers = [Contestant {
        name: "openssl|tar",
        bar: Some(0.80),
        run: Box::new(|| {
            let _ = std::fs::remove_dir_all(&target);
            shell(&format!(
                "mkdir {target}; openssl enc -d -aes-256-cbc -pbkdf2 -iter 600000 -pass file:{pass} -in {out}/peer.enc | tar -xzp -C {target}"
            ))
        }),
    }];
    contest("dir-restore", runs, &ours, &peers)?.pop().context("no row")
}

fn databases(rows: u32, runs: usize) -> Result<Vec<Value>> {
    let server = MariaDb::start()?;
    sample::tenant(&server, "erp", rows)?;
    server.sql("CREATE USER bench@'127.0.0.1' IDENTIFIED BY 'x'; GRANT ALL ON *.* TO bench@'127.0.0.1'")?;
    let cofre = Installation::new(&format!(
        "[[mysql]]\nname = \"main\"\nsocket = \"{}\"\nuser = \"root\"\ngrants = false\n",
        server.socket().display()
    ))?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("copy")?))?;
    std::fs::create_dir(cofre.path("out"))?;
    let (out, socket) = (cofre.path("out").display().to_string(), server.socket().display().to_string());
    let pass = cofre.path("passphrase").display().to_string();
    let dump = format!("mariadb-dump --no-defaults -uroot -S {socket} --single-transaction --routines --events --triggers --hex-blob erp");
    let ours = Contestant { name: "cofre", bar: None, run: backup(&cofre, "sql") };
    let peers = [
        Contestant {
            name: "mariadb-dump|gzip|openssl",
            bar: Some(0.35),
            run: Box::new(|| {
                shell(&format!(
                    "{dump} | gzip | openssl enc -aes-256-cbc -salt -pbkdf2 -iter 600000 -pass file:{pass} > {out}/db.enc && sync {out}/db.enc"
                ))
            }),
        },
        Contestant {
            name: "mydumper -c",
            bar: Some(1.0),
            run: Box::new(|| {
                let _ = std::fs::remove_dir_all(format!("{out}/md"));
                shell(&format!(
                    "mydumper -h 127.0.0.1 -P {} -u bench -p x -B erp -o {out}/md -c --trx-consistency-only --triggers --events --routines",
                    server.port()
                ))
            }),
        },
    ];
    let mut results = contest("db-gzip", runs, &ours, &peers)?;
    let size_ratio = artifact_size(&cofre, "sql")? / std::fs::metadata(cofre.path("out/db.enc"))?.len() as f64;
    println!("size: cofre {size_ratio:.4} of mariadb-dump|gzip -6");
    if let Some(row) = results.first_mut() {
        row["size_ratio"] = json!(size_ratio);
    }
    let drop_target = || server.sql("DROP DATABASE IF EXISTS volta").map(drop);
    let ours = Contestant {
        name: "cofre restore (and compare)",
        bar: None,
        run: Box::new(|| {
            drop_target()?;
            measure_process(&cofre.command(&["restore", "latest", "--quiet", "--schema", "erp", "--into", "volta", "--database", "main"]))
        }),
    };
    let peers = [Contestant {
        name: "openssl|gzip|mariadb",
        bar: None,
        run: Box::new(|| {
            drop_target()?;
            server.sql("CREATE DATABASE volta")?;
            shell(&format!(
                "openssl enc -d -aes-256-cbc -pbkdf2 -iter 600000 -pass file:{pass} -in {out}/db.enc | gzip -d | mariadb --no-defaults -uroot -S {socket} volta"
            ))
        }),
    }];
    results.extend(contest("db-restore", runs, &ours, &peers)?);
    Ok(results)
}

/// Copies a file through a plug-in, as a run does, and returns what it took; its settings are written beside the file.
fn bench_copy(plugin: &str, settings: &str, file: &Path, more: impl FnOnce(&mut Command)) -> Result<Value> {
    let path = file.with_file_name("settings.toml");
    std::fs::write(&path, settings)?;
    let mut command = Command::new(target().join("release/cofre"));
    command.args(["--json", "bench-copy", "--plugin"]).arg(plugins().join(plugin).with_extension("wasm"));
    command.arg("--settings").arg(path).arg(file);
    more(&mut command);
    let output = command.output()?;
    ensure!(output.status.success(), "bench-copy failed: {}", String::from_utf8_lossy(&output.stderr));
    let mut document: Value = serde_json::from_slice(&output.stdout)?;
    Ok(document["result"].take())
}

/// The same copy through the `local` component and in native code, measured inside one process.
fn boundary(runs: usize, quick: bool) -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("file");
    let size = if quick { 64 << 20 } else { 512 << 20 };
    std::fs::write(&file, sample::Random::new(1).bytes(size))?;
    let (mut ours, mut native) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let out = directory.path().join("out");
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir(&out)?;
        let settings = format!("grants = {{ directory = \"{}\" }}\n", out.display());
        let found = bench_copy("local", &settings, &file, |command| _ = command.arg("--native").arg(out.join("native")))?;
        let measure = |key: &str| found[key].as_f64().map(|seconds| Measure { seconds, rss_mb: f64::NAN }).context("no time");
        ours.push(measure("plugin_s")?);
        native.push(measure("native_s")?);
    }
    let (ours_s, peer_s) = (median(&ours), median(&native));
    Ok(
        json!({ "row": "boundary", "ours_s": ours_s, "peer": "native copy", "peer_s": peer_s, "ratio": ours_s / peer_s, "bar": 1.03, "rss_mb": Value::Null }),
    )
}
