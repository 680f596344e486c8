//! Memory that does not grow with the data, and a run that ends at once when it is told to.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::Installation;
use cofre_tests::compare;
use cofre_tests::packages;
use cofre_tests::servers::MariaDb;

/// Peak resident memory that no command may exceed, in MB.
const PEAK_MB: u64 = 256;

fn installation(server: &MariaDb) -> Result<Installation> {
    let cofre = Installation::new(&format!(
        "[[mysql]]\nname = \"main\"\nsocket = \"{}\"\nuser = \"root\"\nconnections = 4\n",
        server.socket().display()
    ))?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    Ok(cofre)
}

/// Runs under GNU time; returns the peak in MB.
fn peak(command: &Command) -> Result<u64> {
    let output = Command::new("/usr/bin/time").args(["-f", "%M"]).arg(command.get_program()).args(command.get_args()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?}: {said}");
    let kilobytes: u64 = said.lines().next_back().and_then(|line| line.trim().parse().ok()).context("no figure")?;
    Ok(kilobytes / 1_024)
}

#[test]
fn memory_stays_bounded_with_values_of_64_mib() -> Result<()> {
    packages::ensure(&["time"])?;
    let server = MariaDb::start()?;
    server.sql(
        "CREATE DATABASE g; USE g; SET GLOBAL max_allowed_packet=268435456;
         CREATE TABLE blobs (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT); CREATE TABLE outra (id INT PRIMARY KEY, b LONGBLOB);
         CREATE TABLE linhas (id INT PRIMARY KEY, a TEXT, b TEXT);",
    )?;
    server.sql(
        "USE g; INSERT INTO blobs SELECT seq, REPEAT(CHAR(64+seq), 67108864), REPEAT('ação', 3000000) FROM seq_1_to_3; INSERT INTO outra SELECT seq, REPEAT('x', 67108863) FROM seq_1_to_2;
         INSERT INTO linhas SELECT seq, REPEAT('y', 64000), REPEAT('z', 1000) FROM seq_1_to_1500;",
    )?;
    let cofre = installation(&server)?;
    let run = peak(&cofre.command(&["run", "--quiet"]))?;
    let restore = peak(&cofre.command(&["restore", "latest", "--quiet", "--schema", "g", "--into", "g2", "--database", "main"]))?;
    compare::schemas(&server, "g", "g2")?;
    println!("peak: run {run} MB, restore {restore} MB");
    ensure!(run <= PEAK_MB && restore <= PEAK_MB, "peak: run {run} MB, restore {restore} MB");
    Ok(())
}

#[test]
fn a_cancelled_run_ends_at_once_and_leaves_no_connection() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql("CREATE DATABASE c; USE c; CREATE TABLE t (id INT PRIMARY KEY, x VARCHAR(200)); INSERT INTO t SELECT seq, REPEAT('x', 200) FROM seq_1_to_400000;")?;
    // A reader that is slow at the server: the result is still coming when the run is told to stop.
    let cofre = installation(&server)?;
    let text = cofre.configuration()?;
    cofre.configure(&text.replace("[plugins]", "[compression]\nlevel = 12\nthreads = 1\n[plugins]"))?;
    let mut child = cofre.command(&["run", "--quiet"]).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let reading = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT `id`%'";
    while server.sql(reading)? == "0" {
        ensure!(Instant::now() < deadline, "the run never read the table");
    }
    let pid = i32::try_from(child.id())?;
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).context("no process")?, rustix::process::Signal::TERM)?;
    let told = Instant::now();
    let status = child.wait()?;
    ensure!(told.elapsed() < Duration::from_secs(8), "it took {:?} to end", told.elapsed());
    ensure!(status.code() == Some(130), "{status}");
    let others = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND IN ('Query', 'Sleep') AND ID <> CONNECTION_ID() AND USER = 'root'";
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.sql(others)? != "0" {
        ensure!(Instant::now() < deadline, "a connection was left behind: {}", server.sql("SHOW PROCESSLIST")?);
    }
    cofre.configure(&text)?;
    cofre.run(0, &["run"])?;
    cofre.run(0, &["verify", "all", "--deep"]).map(drop)
}
