//! The main job on real servers: back up, verify, restore, compare, and open the set without cofre.

use std::process::Command;

use anyhow::{Result, ensure};
use cofre_tests::cofre::Installation;
use cofre_tests::compare;
use cofre_tests::sample;
use cofre_tests::servers::MariaDb;

fn database(server: &MariaDb) -> String {
    format!("[[mysql]]\nname = \"main\"\nsocket = \"{}\"\nuser = \"root\"\nconnections = 3\n", server.socket().display())
}

#[test]
fn every_column_type_and_object_comes_back_the_same() -> Result<()> {
    let server = MariaDb::start()?;
    sample::features(&server, "emp1")?;
    let cofre = Installation::new(&database(&server))?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    cofre.run(3, &["run"])?; // MyISAM and Aria are warnings
    cofre.run(0, &["verify", "--deep"])?;
    cofre.run(0, &["restore", "latest", "--schema", "emp1", "--into", "emp2", "--database", "main"])?;
    compare::schemas(&server, "emp1", "emp2")?;
    let float = "SELECT COUNT(*) FROM emp1.tipos a JOIN emp2.tipos b USING(id) WHERE NOT (a.f1 <=> b.f1 AND a.f2 <=> b.f2 AND HEX(a.d1) <=> HEX(b.d1))";
    ensure!(server.sql(float)? == "0", "a number changed");
    // One table alone, with its rows and triggers.
    cofre.run(0, &["restore", "latest", "--schema", "emp1", "--table", "myi", "--into", "emp3", "--database", "main"])?;
    ensure!(server.sql("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA='emp3'")? == "aparar");
    ensure!(server.sql("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA='emp3'")? == "1");
    // Nothing is overwritten without being told to.
    cofre.run(1, &["restore", "latest", "--schema", "emp1", "--into", "emp2", "--database", "main"])?;
    cofre.run(0, &["restore", "latest", "--schema", "emp1", "--into", "emp2", "--database", "main", "--force"])?;
    compare::schemas(&server, "emp1", "emp2")
}

#[test]
fn plain_openssl_tar_and_mariadb_open_every_kind_of_set() -> Result<()> {
    let server = MariaDb::start()?;
    sample::features(&server, "emp1")?;
    for (index, (options, openssl, tar)) in [
        ("", "-pbkdf2 -iter 600000", "-xzf"),
        ("[encryption]\nkdf = \"legacy\"\n", "", "-xzf"),
        ("[compression]\nalgorithm = \"zstd\"\n", "-pbkdf2 -iter 600000", "--zstd -xf"),
    ]
    .into_iter()
    .enumerate()
    {
        let cofre = Installation::new(&database(&server))?;
        std::fs::create_dir(cofre.path("files"))?;
        sample::tree(&cofre.path("files"), 7)?;
        let files = "[[directory]]\npath = \"@DIR@/files\"\n";
        cofre.configure(&format!("{}{options}{files}{}", cofre.configuration()?, cofre.local("disk")?))?;
        cofre.run(3, &["run"])?;
        let set = cofre.path("disk").join(&cofre.sets("disk")?[0]);
        ensure!(Command::new("sha256sum").args(["--quiet", "-c", "SHA256SUMS"]).current_dir(&set).status()?.success());
        ensure!(Command::new("md5sum").args(["--quiet", "-c", "MD5SUMS"]).current_dir(&set).status()?.success());
        let extension = if tar.contains("zstd") { "zst" } else { "gz" };
        let out = cofre.path("out");
        std::fs::create_dir(&out)?;
        let pass = cofre.path("passphrase").display().to_string();
        let open = |artifact: &str, options: &str| {
            format!("openssl enc -d -aes-256-cbc {openssl} -md sha256 -pass file:{pass} -in '{artifact}' | tar {options} {tar} -")
        };
        let schema = open(&set.join(format!("sql/emp1.sql.tar.{extension}.enc")).display().to_string(), "");
        let name = std::fs::read_dir(set.join("config"))?
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .find(|name| name.contains("files"))
            .unwrap_or_default();
        let directory =
            open(&set.join("config").join(name).display().to_string(), "--numeric-owner --xattrs --xattrs-include='*' --acls -p");
        let script = format!("set -eo pipefail; {schema}; {directory}");
        ensure!(Command::new("bash").args(["-c", &script]).current_dir(&out).status()?.success(), "{script}");
        let target = format!("plain{index}");
        server.sql(&format!("CREATE DATABASE {target}"))?;
        let dump = std::fs::File::open(out.join("emp1.sql"))?;
        ensure!(server.client().arg(&target).stdin(dump).current_dir(&out).status()?.success());
        compare::schemas(&server, "emp1", &target)?;
        let inside = out.join(cofre.path("files").strip_prefix("/")?);
        compare::trees(&cofre.path("files"), &inside)?;
    }
    Ok(())
}

#[test]
fn a_directory_comes_back_with_everything_it_had() -> Result<()> {
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/files\"\nexclude = [\"*.tmp\"]\n")?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    sample::tree(&cofre.path("files"), 1)?;
    cofre.run(0, &["run"])?;
    let to = cofre.path("out").display().to_string();
    cofre.run(0, &["restore", "latest", "--to", &to])?;
    compare::trees(&cofre.path("files"), &cofre.path("out").join(cofre.path("files").strip_prefix("/")?))?;
    // One file, to standard output.
    let file = cofre.path("files/a/texto.conf");
    let output = cofre.run(0, &["restore", "latest", "--path", &file.display().to_string(), "--stdout"])?;
    ensure!(output.stdout == std::fs::read(&file)?);
    // A dry run writes nothing.
    let nowhere = cofre.path("nowhere").display().to_string();
    cofre.run(0, &["restore", "latest", "--to", &nowhere, "--dry-run"])?;
    ensure!(!cofre.path("nowhere").exists());
    Ok(())
}

#[test]
fn a_snapshot_is_consistent_while_others_write() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql(
        "CREATE DATABASE a; CREATE DATABASE b; USE a; CREATE TABLE a.contas (id INT PRIMARY KEY, v BIGINT); CREATE TABLE b.contas LIKE a.contas;
         INSERT INTO a.contas SELECT seq, 1000 FROM seq_1_to_2000; INSERT INTO b.contas SELECT seq, 1000 FROM seq_1_to_2000;",
    )?;
    let mut writers: Vec<_> = (0..2)
        .map(|writer| {
            let script = format!(
                "DELIMITER //\nBEGIN NOT ATOMIC DECLARE i INT DEFAULT 0; WHILE i < 1000000 DO START TRANSACTION; SET @x = 1 + (i * 7 + {writer}) % 2000, @y = 1 + (i * 13) % 2000; UPDATE a.contas SET v = v - 5 WHERE id = @x; UPDATE b.contas SET v = v + 5 WHERE id = @y; COMMIT; SET i = i + 1; END WHILE; END//\n"
            );
            let file = tempfile_with(&script)?;
            Ok(server.client().stdin(file).stderr(std::process::Stdio::null()).spawn()?)
        })
        .collect::<Result<_>>()?;
    let cofre = Installation::new(&database(&server))?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    let result = cofre.run(0, &["run"]);
    for writer in &mut writers {
        writer.kill()?;
        writer.wait()?;
    }
    result?;
    for schema in ["a", "b"] {
        cofre.run(0, &["restore", "latest", "--schema", schema, "--into", &format!("r{schema}"), "--database", "main"])?;
    }
    ensure!(
        server.sql("SELECT (SELECT SUM(v) FROM ra.contas) + (SELECT SUM(v) FROM rb.contas)")? == "4000000",
        "the two schemas are of different moments"
    );
    ensure!(server.sql("SELECT SUM(v) <> 2000000 FROM ra.contas")? == "1", "the writers wrote nothing: the test proves nothing");
    Ok(())
}

fn tempfile_with(text: &str) -> Result<std::fs::File> {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
