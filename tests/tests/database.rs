//! What a real MariaDB does to a backup: rows larger than its packets, tables that break, change, are locked or vanish meanwhile,
//! accounts that may not see everything, servers that die or fall silent, and copies that must not touch the live schema.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cofre_tests::cofre::{Installation, PASSPHRASE, said};
use cofre_tests::compare;
use cofre_tests::servers::MariaDb;
use rustix::process::Signal;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

fn source(name: &str, server: &MariaDb, user: &str, more: &str) -> String {
    format!("[[mysql]]\nname = \"{name}\"\nsocket = \"{}\"\nuser = \"{user}\"\nconnections = 2\n{more}\n", server.socket().display())
}

/// A configuration of one source and one destination.
fn installation(server: &MariaDb, more: &str) -> Result<Installation> {
    configured(&source("main", server, "root", more))
}

fn configured(rest: &str) -> Result<Installation> {
    let cofre = Installation::new("")?;
    cofre.configure(&format!("{}{}{rest}", cofre.configuration()?, cofre.local("disk")?))?;
    Ok(cofre)
}

/// Restores a schema of the newest set under another name.
fn restore(cofre: &Installation, code: i32, schema: &str, into: &str) -> Result<String> {
    Ok(said(&cofre.run(code, &["restore", "latest", "--schema", schema, "--into", into, "--database", "main"])?))
}

/// Unpacks a schema of the newest set with plain tools; returns where.
fn unpacked(cofre: &Installation, schema: &str) -> Result<PathBuf> {
    let sets = cofre.sets("disk")?;
    let set = cofre.path("disk").join(sets.last().context("no set")?);
    let out = cofre.path(&format!("plain-{schema}"));
    std::fs::create_dir_all(&out)?;
    let artifact = set.join(format!("sql/{schema}.sql.tar.gz.enc"));
    let script = format!(
        "set -eo pipefail; openssl enc -d -aes-256-cbc -pbkdf2 -iter 600000 -md sha256 -pass pass:{PASSPHRASE} -in '{}' | tar -xzf -",
        artifact.display()
    );
    ensure!(Command::new("bash").args(["-c", &script]).current_dir(&out).status()?.success(), "{script}");
    Ok(out)
}

/// Loads an unpacked dump with the plain client; returns whether all of it went in, and what was said. The client's exit code says
/// nothing: it goes on after an error in a file that is sourced, and ends with 0.
fn load_plain(server: &MariaDb, dump: &Path, schema: &str, into: &str) -> Result<(bool, String)> {
    let script = std::fs::File::open(dump.join(format!("{schema}.sql")))?;
    let output = server.client().arg(into).stdin(script).current_dir(dump).output()?;
    Ok((output.status.success() && output.stderr.is_empty(), said(&output)))
}

fn wait_for(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !ready()? {
        ensure!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A run that stops after its snapshots were taken, and goes on when it is told to.
struct Held {
    cofre: Installation,
    run: Child,
}

impl Held {
    /// Starts one.
    fn start(rest: &str) -> Result<Self> {
        let cofre = Installation::new("")?;
        std::fs::create_dir(cofre.path("files"))?;
        let hold = "[[directory]]\npath = \"@DIR@/files\"\n[[hook]]\nwhen = \"before-source\"\nfor = \"@DIR@/files\"\n\
                    shell = \"touch @DIR@/held; while [ ! -e @DIR@/go ]; do sleep 0.05; done\"\n";
        cofre.configure(&format!("{}{}{rest}{hold}", cofre.configuration()?, cofre.local("disk")?))?;
        let run = cofre.command(&["--json", "run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut held = Self { cofre, run };
        wait_for("the run did not take its snapshots", || {
            ensure!(held.run.try_wait()?.is_none(), "the run ended before it was held");
            Ok(held.cofre.path("held").exists())
        })?;
        Ok(held)
    }

    /// Lets it go on to its end; returns what it said.
    fn end(self, code: i32) -> Result<(Installation, String)> {
        std::fs::write(self.cofre.path("go"), "")?;
        let output = self.run.wait_with_output()?;
        ensure!(output.status.code() == Some(code), "it ended with {:?} instead of {code}: {}", output.status, said(&output));
        Ok((self.cofre, said(&output)))
    }
}

/// A client that keeps its session, and with it its locks, until it is dropped.
struct Holder(Child);

impl Holder {
    fn start(server: &MariaDb, sql: &str) -> Result<Self> {
        let mut child = server.client().stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let holder = child.stdin.as_mut().context("no input")?;
        writeln!(holder, "{sql}; SELECT GET_LOCK('held', 10);")?;
        holder.flush()?;
        let holder = Self(child);
        wait_for("the lock was not had", || Ok(server.sql("SELECT IS_USED_LOCK('held') IS NOT NULL")? == "1"))?;
        Ok(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the newest set lacks, as its manifest says.
fn missing(cofre: &Installation) -> Result<Vec<String>> {
    let sets = cofre.sets("disk")?;
    let manifest = std::fs::read(cofre.path("disk").join(sets.last().context("no set")?).join("manifest.json"))?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    let names = manifest["missing"].as_array().context("no list")?.iter();
    Ok(names.map(|missing| missing["name"].as_str().unwrap_or("").to_owned()).collect())
}

/// Tables with rows that are larger than a packet, of every kind that once needed a key.
const LARGE: &str = "
    CREATE DATABASE g CHARACTER SET utf8mb4; USE g;
    CREATE TABLE produtos (id INT PRIMARY KEY, preco FLOAT, foto LONGBLOB);
    INSERT INTO produtos VALUES (1, 0.1, REPEAT(x'00FF0A', 3500000)), (2, 1e-30, 'pequena'), (3, NULL, NULL), (4, 7, '');
    CREATE TABLE sem_chave (nome VARCHAR(20), foto LONGBLOB, obs LONGTEXT CHARACTER SET latin1);
    INSERT INTO sem_chave VALUES ('a', REPEAT('x', 10485760), REPEAT('é\\'', 900000)), ('a', REPEAT('x', 10485760), REPEAT('é\\'', 900000)), ('b', NULL, REPEAT('ç', 2097153)), ('c', 'y', 'z');
    INSERT INTO sem_chave SELECT 'd', NULL, seq FROM seq_1_to_3000;
    CREATE TABLE nove (a MEDIUMBLOB, b MEDIUMBLOB, c MEDIUMBLOB, d MEDIUMBLOB, e MEDIUMBLOB, f MEDIUMBLOB, g MEDIUMBLOB, h MEDIUMBLOB, i MEDIUMBLOB);
    INSERT INTO nove SELECT x, x, x, x, x, x, x, x, x FROM (SELECT REPEAT(CHAR(1), 1048575) AS x) AS t;
    CREATE TABLE gerada (a INT, k INT AS (a + 1) PERSISTENT, b LONGBLOB, UNIQUE (k)); INSERT INTO gerada (a, b) VALUES (1, REPEAT('g', 3000000)), (2, REPEAT('h', 3000000));
    CREATE TABLE forma (p GEOMETRY, j JSON); INSERT INTO forma VALUES (ST_GeomFromText(CONCAT('MULTIPOINT(', REPEAT('1.5 2.5,', 120000), '3 4)')), CONCAT('[', REPEAT('\"é\",', 400000), '1]'));
    CREATE TABLE historia (id INT PRIMARY KEY, x LONGTEXT) WITH SYSTEM VERSIONING;
    INSERT INTO historia VALUES (1, REPEAT('u', 2000000)); UPDATE historia SET x = REPEAT('v', 3000000); UPDATE historia SET x = REPEAT('w', 3000001); DELETE FROM historia;
    CREATE TABLE isam (a VARCHAR(10), b LONGBLOB) ENGINE=MyISAM; INSERT INTO isam VALUES ('a', REPEAT('i', 5000000)), ('b', 'j'), ('c', REPEAT('k', 1500000));
    CREATE TABLE vazia (b LONGBLOB);";

#[test]
fn rows_larger_than_a_packet_load_again_on_the_same_server() -> Result<()> {
    let server = MariaDb::start_with(&["--max-allowed-packet=16M"])?;
    server.sql(LARGE)?;
    let columns: Vec<String> = (0..70).map(|column| format!("t{column} TEXT")).collect();
    let values: Vec<String> = (0..70).map(|column| format!("REPEAT('\\'', {})", 65_000 - column)).collect();
    server.sql(&format!("CREATE TABLE g.larga ({}); INSERT INTO g.larga VALUES ({})", columns.join(", "), values.join(", ")))?;
    let cofre = installation(&server, "")?;
    cofre.run(3, &["run"])?; // MyISAM is a warning
    ensure!(missing(&cofre)?.is_empty());
    restore(&cofre, 0, "g", "g2")?;
    compare::schemas(&server, "g", "g2")?;
    let (same, floats) =
        ("SELECT COUNT(*) FROM g.produtos a JOIN g2.produtos b USING (id) WHERE a.preco <=> b.preco AND a.foto <=> b.foto", "4");
    ensure!(server.sql(same)? == floats);
    // And without cofre.
    server.sql("CREATE DATABASE g3")?;
    let (loaded, told) = load_plain(&server, &unpacked(&cofre, "g")?, "g", "g3")?;
    ensure!(loaded, "{told}");
    compare::schemas(&server, "g", "g3")
}

#[test]
fn a_value_that_a_server_does_not_take_is_an_error_there_and_never_null() -> Result<()> {
    let server = MariaDb::start_with(&["--max-allowed-packet=64M"])?;
    server.sql(
        "CREATE DATABASE g; CREATE TABLE g.fotos (id INT PRIMARY KEY, b LONGBLOB); INSERT INTO g.fotos VALUES (1, REPEAT('x', 20000000))",
    )?;
    let cofre = installation(&server, "")?;
    cofre.run(0, &["run"])?;
    let small = MariaDb::start_with(&["--max-allowed-packet=16M"])?;
    small.sql("CREATE DATABASE g")?;
    let (loaded, told) = load_plain(&small, &unpacked(&cofre, "g")?, "g", "g")?;
    ensure!(!loaded && told.contains("Subquery returns more than 1 row"), "{told}");
    ensure!(small.sql("SELECT COUNT(*) FROM g.fotos")? == "0", "a row without its value was stored");
    cofre.configure(&cofre.configuration()?.replace(&server.socket().display().to_string(), &small.socket().display().to_string()))?;
    let told = restore(&cofre, 1, "g", "g2")?;
    ensure!(told.contains("max_allowed_packet"), "{told}");
    Ok(())
}

#[test]
fn a_schema_that_cannot_be_read_costs_no_other_one_and_not_the_snapshot() -> Result<()> {
    let server = MariaDb::start()?;
    for schema in ["abre", "cinco", "dois", "quatro", "seis", "tres", "um"] {
        server.sql(&format!(
            "CREATE DATABASE {schema}; USE {schema}; CREATE TABLE t (id INT PRIMARY KEY, x VARCHAR(100)); INSERT INTO t SELECT seq, REPEAT('x', 100) FROM seq_1_to_20000"
        ))?;
    }
    server.sql(
        "USE dois; CREATE TABLE dois.quebrada (a VARCHAR(100)) ENGINE=MyISAM; INSERT INTO dois.quebrada SELECT REPEAT('y', seq % 100) FROM seq_1_to_5000; FLUSH TABLES;
         CREATE TABLE cinco.some (id INT); CREATE TABLE abre.velha (id INT PRIMARY KEY); INSERT INTO abre.velha VALUES (7)",
    )?;
    let data = PathBuf::from(server.sql("SELECT @@datadir")?).join("dois/quebrada.MYD");
    std::fs::OpenOptions::new().write(true).open(data)?.set_len(10_000)?;
    let held = Held::start(&source("main", &server, "root", ""))?;
    server.sql(
        "CREATE TABLE tres.nova (id INT); INSERT INTO tres.nova VALUES (1); CREATE TRIGGER tres.de_nova AFTER INSERT ON tres.nova FOR EACH ROW SET @x = 1;
         ALTER TABLE quatro.t ADD COLUMN z INT DEFAULT 5, ALGORITHM=COPY; DROP TABLE cinco.some; RENAME TABLE abre.velha TO abre.outra; INSERT INTO um.t VALUES (0, 'depois'); INSERT INTO seis.t VALUES (0, 'depois')",
    )?;
    let (cofre, told) = held.end(1)?;
    ensure!(missing(&cofre)? == ["dois", "quatro"], "{:?}: {told}", missing(&cofre)?);
    for named in ["tres.nova", "cinco.some", "abre.velha", "quebrada", "the next backup has it"] {
        ensure!(told.contains(named), "{named} is not named: {told}");
    }
    let set = cofre.path("disk").join(&cofre.sets("disk")?[0]);
    ensure!(std::fs::read_dir(set.join("sql"))?.filter_map(Result::ok).any(|file| file.file_name().to_string_lossy().contains("grants")));
    for schema in ["abre", "cinco", "seis", "tres", "um"] {
        restore(&cofre, 0, schema, &format!("r_{schema}"))?;
        // Also those read after the failures are of the snapshot's moment.
        ensure!(server.sql(&format!("SELECT COUNT(*) FROM r_{schema}.t"))? == "20000", "{schema} is of another moment");
    }
    ensure!(server.sql("SELECT id FROM r_abre.outra")? == "7", "a renamed table lost its rows");
    Ok(())
}

#[test]
fn a_locked_table_is_one_failed_schema_whose_message_says_so() -> Result<()> {
    let server = MariaDb::start()?;
    for schema in ["a", "b", "c"] {
        server
            .sql(&format!("CREATE DATABASE {schema}; CREATE TABLE {schema}.t (id INT PRIMARY KEY); INSERT INTO {schema}.t VALUES (1)"))?;
    }
    let held = Held::start(&source("main", &server, "root", "lock_timeout = \"1s\""))?;
    let lock = Holder::start(&server, "LOCK TABLES b.t WRITE")?;
    let (cofre, told) = held.end(1)?;
    drop(lock);
    ensure!(missing(&cofre)? == ["b"] && told.contains("another session holds a lock"), "{told}");
    restore(&cofre, 0, "c", "r")?;
    Ok(())
}

/// A schema whose large table takes long to read, begun while a small one was read before it.
fn slow(server: &MariaDb, more: &str) -> Result<(Installation, Child)> {
    server.sql(
        "CREATE DATABASE c; USE c; CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1); CREATE TABLE z (id INT PRIMARY KEY, x VARCHAR(200)); INSERT INTO z SELECT seq, SHA2(seq, 512) FROM seq_1_to_600000",
    )?;
    let cofre = installation(server, more)?;
    cofre.configure(&cofre.configuration()?.replace("[plugins]", "[compression]\nlevel = 12\nthreads = 1\n[plugins]"))?;
    let mut run = cofre.command(&["run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let read = wait_for("the table was never read", || Ok(run.try_wait()?.is_some() || is_reading(server)?));
    if read.is_err() || run.try_wait()?.is_some() {
        run.kill().ok();
        bail!("the table was never read: {}", said(&run.wait_with_output()?));
    }
    Ok((cofre, run))
}

fn is_reading(server: &MariaDb) -> Result<bool> {
    Ok(server.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT `id`, `x`%'")? != "0")
}

#[test]
fn a_table_that_was_read_is_free_while_others_are_read() -> Result<()> {
    let server = MariaDb::start()?;
    let (_cofre, run) = slow(&server, "")?;
    server.sql("SET lock_wait_timeout = 5; ALTER TABLE c.a ADD COLUMN x INT")?;
    ensure!(is_reading(&server)?, "everything was read by then: the test proves nothing");
    let output = run.wait_with_output()?;
    ensure!(output.status.code() == Some(0), "{}", said(&output));
    Ok(())
}

/// A run whose server goes away is not good, says so, and ends.
fn without_server(signal: Signal, more: &str) -> Result<()> {
    let server = MariaDb::start()?;
    let (cofre, mut run) = slow(&server, more)?;
    server.signal(signal)?;
    let told = Instant::now();
    wait_for("the run hangs", || Ok(run.try_wait()?.is_some()))?;
    let output = run.wait_with_output()?;
    server.signal(Signal::KILL).ok();
    ensure!(output.status.code() == Some(1), "after {:?}: {}", told.elapsed(), said(&output));
    let listed = cofre.json(0, &["list"])?.to_string();
    ensure!(!listed.contains("\"whole\":true"), "{listed}");
    for set in cofre.sets("disk")? {
        ensure!(!cofre.path("disk").join(&set).join("sql/c.sql.tar.gz.enc").exists(), "half a schema is at the destination");
    }
    Ok(())
}

#[test]
fn a_server_that_dies_in_the_middle_ends_the_run_as_failed() -> Result<()> {
    without_server(Signal::KILL, "")
}

#[test]
fn a_server_that_falls_silent_in_the_middle_ends_the_run_as_failed() -> Result<()> {
    without_server(Signal::STOP, "idle_timeout = \"2s\"")
}

#[test]
fn a_snapshot_outlives_the_servers_time_outs() -> Result<()> {
    let server = MariaDb::start_with(&[
        "--wait-timeout=1",
        "--idle-transaction-timeout=1",
        "--idle-readonly-transaction-timeout=1",
        "--net-write-timeout=1",
        "--max-statement-time=2",
    ])?;
    server.sql("CREATE DATABASE a; CREATE TABLE a.t (id INT PRIMARY KEY); INSERT INTO a.t VALUES (1)")?;
    let held = Held::start(&source("main", &server, "root", ""))?;
    // The fault itself, not a wait for something: longer than any of them.
    std::thread::sleep(Duration::from_millis(2_500));
    let (cofre, _) = held.end(0)?;
    restore(&cofre, 0, "a", "r")?;
    Ok(())
}

#[test]
fn an_account_that_may_not_see_everything_makes_no_good_set() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql(
        "CREATE DATABASE loja_1; USE loja_1; CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT * FROM t;
         CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW SET @x = 1; CREATE PROCEDURE p() SELECT 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SET @x = 1;
         CREATE USER pouco@localhost; GRANT SELECT ON loja_1.* TO pouco@localhost",
    )?;
    let cofre = configured(&source("main", &server, "pouco", "grants = false"))?;
    let told = said(&cofre.run(1, &["run"])?);
    ensure!(missing(&cofre)? == ["loja_1"], "{:?}", missing(&cofre)?);
    for what in ["triggers", "events", "routines", "view `v`"] {
        ensure!(told.contains(&format!("Missing: loja_1: {what}")), "{what}: {told}");
    }
    let mends: Vec<&str> = vec![
        "GRANT TRIGGER ON `loja\\_1`.* TO 'pouco'@'localhost'",
        "GRANT EVENT ON `loja\\_1`.* TO 'pouco'@'localhost'",
        "GRANT SELECT ON `mysql`.`proc` TO 'pouco'@'localhost'",
        "GRANT SHOW VIEW ON `loja\\_1`.* TO 'pouco'@'localhost'",
    ];
    let checked = said(&cofre.run(1, &["check"])?);
    for mend in &mends {
        ensure!(told.contains(mend) && checked.contains(mend), "{mend}: {told}\n{checked}");
    }
    // What is told mends it: here by way of a role, in the end with the read lock as well.
    server.sql(&format!(
        "CREATE ROLE leitor; GRANT leitor TO pouco@localhost; SET DEFAULT ROLE leitor FOR pouco@localhost; {}",
        mends.join("; ").replace("'pouco'@'localhost'", "leitor")
    ))?;
    let told = said(&cofre.run(3, &["run"])?);
    ensure!(missing(&cofre)?.is_empty() && told.contains("GRANT RELOAD"), "{told}");
    server.sql("GRANT RELOAD, BINLOG MONITOR ON *.* TO leitor")?;
    cofre.run(0, &["run"])?;
    cofre.run(0, &["check"])?;
    cofre.configure(&cofre.configuration()?.replace("user = \"pouco\"", "user = \"root\""))?;
    restore(&cofre, 0, "loja_1", "r")?;
    compare::schemas(&server, "loja_1", "r")?;
    // Accounts are asked for and may not be read; and patterns that nothing falls under.
    cofre.configure(&cofre.configuration()?.replace("user = \"root\"", "user = \"pouco\"").replace("grants = false", ""))?;
    server.sql("REVOKE SELECT ON mysql.proc FROM leitor; GRANT EXECUTE ON `loja\\_1`.* TO leitor")?;
    let told = said(&cofre.run(1, &["run"])?);
    ensure!(told.contains("GRANT SELECT ON `mysql`.*") && told.contains("procedure `p`"), "{told}");
    cofre.configure(&cofre.configuration()?.replace("connections = 2", "connections = 2\ninclude_schemas = [\"lojas_*\"]"))?;
    let told = said(&cofre.run(1, &["run"])?);
    ensure!(told.contains("lojas_*") && told.contains("the server shows: "), "{told}");
    Ok(())
}

#[test]
fn tables_named_like_scripts_are_tables() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql(
        "CREATE DATABASE n; USE n; CREATE TABLE `2024-vendas` (x INT); INSERT INTO `2024-vendas` VALUES (1), (1), (2); CREATE TABLE `9200-triggers` (x INT); INSERT INTO `9200-triggers` VALUES (5);
         CREATE TABLE `0000-schema.sql` (x INT); INSERT INTO `0000-schema.sql` VALUES (6)",
    )?;
    let cofre = installation(&server, "")?;
    cofre.run(0, &["run"])?;
    restore(&cofre, 0, "n", "n2")?;
    cofre.run(0, &["restore", "latest", "--schema", "n", "--into", "n2", "--database", "main", "--force"])?;
    compare::schemas(&server, "n", "n2")?;
    cofre.run(0, &["restore", "latest", "--schema", "n", "--table", "9200-triggers", "--into", "n3", "--database", "main"])?;
    ensure!(server.sql("SELECT x FROM n3.`9200-triggers`")? == "5");
    Ok(())
}

#[test]
fn one_table_leaves_the_schema_that_it_goes_into_as_it_is() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql(
        "CREATE DATABASE a CHARACTER SET latin1 COLLATE latin1_bin; CREATE TABLE a.t (id INT); CREATE DATABASE viva COLLATE utf8mb4_bin",
    )?;
    let cofre = installation(&server, "")?;
    cofre.run(0, &["run", "--only", "a"])?;
    cofre.run(0, &["restore", "latest", "--schema", "a", "--table", "t", "--into", "viva", "--database", "main"])?;
    ensure!(server.sql("SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME='viva'")? == "utf8mb4_bin");
    Ok(())
}

/// Bodies that name their own schema in every way, and others.
const NAMING: &str = "
    CREATE DATABASE contabil; CREATE TABLE contabil.lancamentos (n INT); CREATE DATABASE loja; USE loja;
    CREATE TABLE totais (n INT); INSERT INTO totais VALUES (1), (2); CREATE TABLE pedidos (id INT PRIMARY KEY AUTO_INCREMENT);
    CREATE TRIGGER loja.contar AFTER INSERT ON loja.pedidos FOR EACH ROW UPDATE `loja` . totais SET loja.totais.n = n + 100;
    CREATE PROCEDURE zerar() DELETE FROM loja.totais;
    CREATE PROCEDURE apagar(x TEXT) EXECUTE IMMEDIATE x;
    CREATE PROCEDURE obscura() EXECUTE IMMEDIATE CONCAT('DELETE FROM ', 'loja', '.totais');
    CREATE EVENT limpar ON SCHEDULE EVERY 1 SECOND DO DELETE FROM loja.totais WHERE n < 0;
    CREATE EVENT lancar ON SCHEDULE EVERY 1 SECOND STARTS '2037-01-01' DO INSERT INTO contabil.lancamentos SELECT n FROM totais;
    CREATE EVENT oculta ON SCHEDULE EVERY 1 SECOND STARTS '2037-01-01' DO CALL apagar('DELETE FROM loja.totais');";

#[test]
fn a_copy_never_does_the_work_of_the_live_schema() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql(NAMING)?;
    let cofre = installation(&server, "")?;
    cofre.run(0, &["run"])?;
    let told = restore(&cofre, 3, "loja", "copia")?;
    for named in ["copia.lancar", "copia.oculta", "copia.obscura"] {
        ensure!(told.contains(named), "{named} is not told: {told}");
    }
    ensure!(!told.contains("copia.limpar") && !told.contains("copia.zerar"), "{told}");
    server.sql("CREATE DATABASE solta")?;
    let (loaded, said) = load_plain(&server, &unpacked(&cofre, "loja")?, "loja", "solta")?;
    ensure!(loaded, "{said}");
    for (copy, asleep) in [("copia", "lancar,oculta"), ("solta", "oculta")] {
        let off = format!(
            "SELECT GROUP_CONCAT(EVENT_NAME ORDER BY 1) FROM information_schema.EVENTS WHERE EVENT_SCHEMA='{copy}' AND STATUS <> 'ENABLED'"
        );
        ensure!(server.sql(&off)? == asleep, "{copy}: {}", server.sql(&off)?);
        server.sql(&format!("INSERT INTO {copy}.pedidos VALUES (); INSERT INTO {copy}.totais VALUES (-1)"))?;
        wait_for("the copy's own event does not run", || {
            Ok(server.sql(&format!("SELECT COUNT(*) FROM {copy}.totais WHERE n < 0"))? == "0")
        })?;
        ensure!(server.sql(&format!("SELECT GROUP_CONCAT(n ORDER BY n) FROM {copy}.totais"))? == "101,102");
        server.sql(&format!("USE {copy}; CALL zerar()"))?;
    }
    ensure!(server.sql("SELECT GROUP_CONCAT(n) FROM loja.totais")? == "1,2", "a copy wrote into the live schema");
    // In its own place everything is as it was.
    server.sql("DROP DATABASE loja")?;
    cofre.run(0, &["restore", "latest", "--schema", "loja", "--database", "main"])?;
    ensure!(server.sql("SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA='loja' AND STATUS='ENABLED'")? == "3");
    Ok(())
}

#[test]
fn a_view_that_cannot_be_made_keeps_nothing_else_from_being_restored() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql(
        "CREATE DATABASE outra; CREATE TABLE outra.x (n INT); CREATE DATABASE loja; USE loja; CREATE TABLE t (n INT); CREATE TABLE some (n INT);
         CREATE VIEW a_quebrada AS SELECT n FROM some; CREATE VIEW b_de_fora AS SELECT n FROM outra.x; CREATE VIEW c_sobre AS SELECT n FROM b_de_fora; CREATE VIEW d_boa AS SELECT n FROM t; DROP TABLE some;
         CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW SET @x = 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t",
    )?;
    let cofre = installation(&server, "")?;
    let told = said(&cofre.run(3, &["run"])?);
    ensure!(told.contains("loja.a_quebrada") && missing(&cofre)?.is_empty(), "{told}");
    server.sql("DROP DATABASE outra; CREATE DATABASE solta")?;
    let told = restore(&cofre, 3, "loja", "copia")?;
    for view in ["a_quebrada", "b_de_fora", "c_sobre"] {
        ensure!(told.contains(&format!("copia.{view}")), "{view} is not told: {told}");
    }
    cofre.run(3, &["restore", "latest", "--schema", "loja", "--into", "copia", "--database", "main", "--force"])?;
    let (loaded, _) = load_plain(&server, &unpacked(&cofre, "loja")?, "loja", "solta")?;
    ensure!(!loaded, "the plain client says nothing of views that it could not make");
    for copy in ["copia", "solta"] {
        let there = format!(
            "SELECT (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA='{copy}'), (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA='{copy}'), (SELECT GROUP_CONCAT(TABLE_NAME) FROM information_schema.VIEWS WHERE TABLE_SCHEMA='{copy}')"
        );
        ensure!(server.sql(&there)? == "1\t1\td_boa", "{copy}: {}", server.sql(&there)?);
    }
    Ok(())
}

#[test]
fn two_servers_exclusions_and_tenants_in_one_configuration() -> Result<()> {
    let (one, two) = (MariaDb::start()?, MariaDb::start()?);
    for (server, number) in [(&one, 1), (&two, 2)] {
        server.sql(&format!(
            "CREATE DATABASE loja; USE loja; CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES ({number}); CREATE TABLE sessoes (id INT PRIMARY KEY); INSERT INTO sessoes VALUES (1);
             CREATE TABLE log_web (id INT PRIMARY KEY); INSERT INTO log_web VALUES (1); CREATE TRIGGER s AFTER INSERT ON sessoes FOR EACH ROW SET @x = 1; CREATE DATABASE acme_{number}; CREATE TABLE acme_{number}.t (id INT)"
        ))?;
    }
    let more = "exclude_tables = [\"*.sessoes\"]\nexclude_rows = [\"loja.log_*\"]\ntenants = { acme = [\"acme_*\"], casa = [\"loja\"] }";
    let cofre = configured(&format!("{}{}", source("main", &one, "root", more), source("outro", &two, "root", more)))?;
    cofre.run(0, &["run"])?;
    let sets = cofre.sets("disk")?;
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(cofre.path("disk").join(&sets[0]).join("manifest.json"))?)?;
    let artifacts = manifest["artifacts"].as_array().context("no artifacts")?;
    let of = |name: &str, source: &str| {
        let found =
            artifacts.iter().find(|artifact| artifact["kind"] == "schema" && artifact["name"] == name && artifact["source"] == source);
        found.with_context(|| format!("{name} of {source} is not in the set"))
    };
    ensure!(of("acme_1", "main")?["tenant"] == "acme" && of("acme_2", "outro")?["tenant"] == "acme");
    // The same name on both: each has its own artifact and goes back to where it is asked for, and elsewhere it must be said which.
    restore(&cofre, 0, "loja", "de_main")?;
    ensure!(one.sql("SELECT id FROM de_main.t")? == "1");
    let new_home = "[[mysql]]\nname = \"main\"";
    cofre.configure(&cofre.configuration()?.replace(new_home, "[[mysql]]\nname = \"novo\""))?;
    let told = said(&cofre.run(2, &["restore", "latest", "--schema", "loja", "--into", "r", "--database", "novo"])?);
    ensure!(told.contains("--artifact"), "{told}");
    cofre.configure(&cofre.configuration()?.replace("name = \"novo\"", "name = \"main\""))?;
    for (source, server, number) in [("main", &one, "1"), ("outro", &two, "2")] {
        let key = of("loja", source)?["key"].as_str().context("no key")?;
        cofre.run(0, &["restore", "latest", "--artifact", key, "--into", "r", "--database", source])?;
        ensure!(server.sql("SELECT id FROM r.t; SELECT COUNT(*) FROM r.log_web")? == format!("{number}\n0"));
        ensure!(server.sql("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA='r'")? == "2", "an excluded table is there");
    }
    // One that is down takes nothing of the other with it.
    two.signal(Signal::KILL)?;
    let told = said(&cofre.run(1, &["run"])?);
    ensure!(told.contains("outro"), "{told}");
    let key = of("loja", "main")?["key"].as_str().context("no key")?;
    cofre.run(0, &["restore", &cofre.sets("disk")?[1].clone(), "--artifact", key, "--into", "r2", "--database", "main"])?;
    Ok(())
}

#[test]
fn accounts_and_roles_come_back_on_a_fresh_server() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql(
        "CREATE DATABASE loja; CREATE TABLE loja.t (id INT); CREATE ROLE zelador; CREATE ROLE alfa; GRANT zelador TO alfa; GRANT SELECT ON loja.* TO zelador; GRANT INSERT ON loja.t TO alfa;
         CREATE USER ana@localhost IDENTIFIED BY 'segredo-de-ana'; CREATE USER 'b o''b'@'%' REQUIRE SSL; GRANT alfa TO ana@localhost; SET DEFAULT ROLE alfa FOR ana@localhost; GRANT SELECT ON loja.t TO PUBLIC;
         CREATE USER ''@localhost",
    )?;
    let cofre = installation(&server, "")?;
    cofre.run(0, &["run"])?;
    let to = cofre.path("out").display().to_string();
    cofre.run(0, &["restore", "latest", "--to", &to])?;
    let mut found = Command::new("find").arg(&to).args(["-name", "grants*"]).output()?.stdout;
    found.retain(|byte| *byte != b'\n');
    let script = PathBuf::from(String::from_utf8(found)?);
    let script = if script.is_dir() { script.join("grants.sql") } else { script };
    let fresh = MariaDb::start()?;
    fresh.sql("CREATE DATABASE loja; CREATE TABLE loja.t (id INT)")?;
    fresh.sql(&std::fs::read_to_string(&script).with_context(|| script.display().to_string())?)?;
    for account in ["ana@localhost", "'b o''b'@'%'", "alfa", "zelador", "PUBLIC", "''@localhost", "root@localhost"] {
        let grants = format!("SHOW GRANTS FOR {account}");
        // The proxy that every server makes for root is there twice when it is granted again.
        let lines = |server: &MariaDb| server.sql(&grants).map(|lines| lines.lines().map(str::to_owned).collect::<BTreeSet<_>>());
        ensure!(lines(&fresh)? == lines(&server)?, "{account}: {:?} instead of {:?}", lines(&fresh)?, lines(&server)?);
    }
    let output = fresh.client().args(["-uana", "-psegredo-de-ana", "-e", "SELECT CURRENT_ROLE()"]).output()?;
    ensure!(String::from_utf8_lossy(&output.stdout).trim() == "alfa", "{}", said(&output));
    Ok(())
}
