//! What a restore promises about what is there already, and about what it does not touch.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::compare;
use cofre_tests::servers::MariaDb;

const LIMITED: &str = "restorer";

/// A schema with everything that can or cannot move from one schema to another.
const MOVABLE: &str = "
    CREATE DATABASE loja CHARACTER SET latin1 COLLATE latin1_general_ci; USE loja;
    CREATE TABLE clientes (id INT PRIMARY KEY AUTO_INCREMENT, nome VARCHAR(40) CHARACTER SET utf8mb4);
    CREATE TABLE pedidos (id INT PRIMARY KEY AUTO_INCREMENT, cliente INT, valor DECIMAL(10,2), KEY (cliente), CONSTRAINT dono FOREIGN KEY (cliente) REFERENCES clientes (id));
    CREATE TABLE historico (id INT PRIMARY KEY, x INT) WITH SYSTEM VERSIONING;
    CREATE TABLE totais (n INT);
    INSERT INTO clientes (nome) VALUES ('João'), ('Zoë'); INSERT INTO pedidos (cliente, valor) VALUES (1, 10.5), (2, 7);
    INSERT INTO historico VALUES (1, 1); UPDATE historico SET x = 2; INSERT INTO totais VALUES (2);
    CREATE VIEW abertos AS SELECT p.id, c.nome FROM pedidos p JOIN clientes c ON c.id = p.cliente;
    CREATE FUNCTION dobro(x INT) RETURNS INT DETERMINISTIC RETURN x * 2;
    CREATE TRIGGER contar AFTER INSERT ON pedidos FOR EACH ROW UPDATE totais SET n = n + 1;
    CREATE EVENT limpar ON SCHEDULE EVERY 1 SECOND DO DELETE FROM loja.totais WHERE n < 0;";

fn installation(server: &MariaDb) -> Result<Installation> {
    let source = |name: &str, user: &str| {
        format!(
            "[[mysql]]\nname = \"{name}\"\nsocket = \"{}\"\nuser = \"{user}\"\ngrants = false\nconnections = 2\n",
            server.socket().display()
        )
    };
    let cofre = Installation::new("")?;
    let head = cofre.configuration()?;
    let limited = source("limited", LIMITED).replace("grants = false", "grants = false\ninclude_schemas = [\"nenhum\"]");
    cofre.configure(&format!("{head}{}{limited}{}", source("main", "root"), cofre.local("disk")?))?;
    Ok(cofre)
}

/// Schemas that a restore made for itself and left.
fn left_overs(server: &MariaDb) -> Result<String> {
    server.sql("SELECT GROUP_CONCAT(SCHEMA_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%\\_cofre\\_%'")
}

#[test]
fn a_schema_is_replaced_whole_by_one_that_moved_into_its_place() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql(MOVABLE)?;
    let cofre = installation(&server)?;
    cofre.run(0, &["run", "--only", "main"])?;
    cofre.run(0, &["restore", "latest", "--schema", "loja", "--into", "copia", "--database", "main"])?;
    server.sql("DELETE FROM copia.pedidos; DROP VIEW copia.abertos; CREATE TABLE copia.de_mais (id INT); CREATE TRIGGER copia.t BEFORE INSERT ON copia.clientes FOR EACH ROW SET NEW.nome = 'x'")?;
    cofre.run(0, &["restore", "latest", "--schema", "loja", "--into", "copia", "--database", "main", "--force"])?;
    compare::schemas(&server, "loja", "copia")?;
    ensure!(server.sql("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA='copia' AND TABLE_NAME='de_mais'")? == "0");
    let key = "SELECT REFERENCED_TABLE_SCHEMA FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA='copia' AND REFERENCED_TABLE_NAME='clientes'";
    ensure!(server.sql(key)? == "copia", "a foreign key points elsewhere");
    ensure!(server.sql("SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME='copia'")? == "latin1_general_ci");
    // The foreign key is alive, and so is the trigger.
    ensure!(server.sql("INSERT INTO copia.pedidos (cliente, valor) VALUES (99, 1)").is_err());
    ensure!(server.sql("INSERT INTO copia.pedidos (cliente, valor) VALUES (1, 1); SELECT n FROM copia.totais")? == "3");
    ensure!(left_overs(&server)? == "NULL", "{}", left_overs(&server)?);
    // One table alone.
    server.sql("SET foreign_key_checks=0; DELETE FROM copia.clientes")?;
    let table = ["restore", "latest", "--schema", "loja", "--table", "clientes", "--into", "copia", "--database", "main"];
    cofre.run(1, &table)?;
    cofre.run(0, &[&table[..], &["--force"]].concat())?;
    ensure!(server.sql("SELECT GROUP_CONCAT(nome) FROM copia.clientes")? == "João,Zoë");
    ensure!(server.sql("SELECT COUNT(*) FROM copia.pedidos")? == "3", "another table was touched");
    ensure!(left_overs(&server)? == "NULL", "{}", left_overs(&server)?);
    Ok(())
}

/// Trap 2: dropping the target before the backup has proven whole costs the live database.
#[test]
fn what_is_replaced_stays_until_what_follows_it_has_proven_whole() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql(MOVABLE)?;
    server.sql("CREATE DATABASE viva; CREATE TABLE viva.precioso (id INT PRIMARY KEY); INSERT INTO viva.precioso VALUES (1), (2)")?;
    // Everything but routines: the load fails after all rows are in.
    server.sql(&format!(
        "CREATE USER {LIMITED}@localhost IDENTIFIED BY ''; GRANT ALL ON `viva%`.* TO {LIMITED}@localhost; REVOKE CREATE ROUTINE ON `viva%`.* FROM {LIMITED}@localhost; GRANT CREATE, DROP ON *.* TO {LIMITED}@localhost"
    ))?;
    let cofre = installation(&server)?;
    cofre.run(0, &["run", "--only", "main"])?;
    let output = cofre.run(1, &["restore", "latest", "--schema", "loja", "--into", "viva", "--database", "limited", "--force"])?;
    ensure!(String::from_utf8_lossy(&output.stderr).contains("dobro"), "it failed elsewhere: {}", String::from_utf8_lossy(&output.stderr));
    ensure!(server.sql("SELECT COUNT(*) FROM viva.precioso")? == "2", "the live schema was lost");
    ensure!(left_overs(&server)? == "NULL", "{}", left_overs(&server)?);
    Ok(())
}

#[test]
fn what_a_killed_restore_left_is_named_by_the_next_run() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql("CREATE DATABASE loja; USE loja; CREATE TABLE t (id INT PRIMARY KEY, x VARCHAR(200)); INSERT INTO t SELECT seq, REPEAT('x', 200) FROM seq_1_to_300000")?;
    let cofre = installation(&server)?;
    cofre.run(0, &["run", "--only", "main"])?;
    let mut restore =
        cofre.command(&["restore", "latest", "--schema", "loja", "--into", "loja", "--database", "main", "--force", "--quiet"]).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while left_overs(&server)? == "NULL" {
        ensure!(Instant::now() < deadline && restore.try_wait()?.is_none(), "the restore made no schema beside the old one");
    }
    restore.kill()?;
    restore.wait()?;
    ensure!(server.sql("SELECT COUNT(*) FROM loja.t")? == "300000", "the live schema was touched before the other had proven whole");
    let report = cofre.json(3, &["run", "--only", "main"])?;
    let warned = report["warnings"].as_array().into_iter().flatten();
    ensure!(warned.into_iter().any(|warning| warning["subject"] == "loja_cofre_1"), "{report}");
    Ok(())
}

/// Trap 4: restoring one database must not fetch or unpack thirty.
#[test]
fn restoring_one_schema_reads_no_other_artifact() -> Result<()> {
    let server = MariaDb::start()?;
    for schema in ["um", "dois", "tres"] {
        server
            .sql(&format!("CREATE DATABASE {schema}; CREATE TABLE {schema}.t (id INT PRIMARY KEY); INSERT INTO {schema}.t VALUES (7)"))?;
    }
    let cofre = installation(&server)?;
    cofre.run(0, &["run", "--only", "main"])?;
    let set = cofre.path("disk").join(&cofre.sets("disk")?[0]);
    for other in ["um", "tres"] {
        std::fs::remove_file(set.join(format!("sql/{other}.sql.tar.gz.enc")))?;
    }
    cofre.run(0, &["restore", "latest", "--schema", "dois", "--into", "volta", "--database", "main"])?;
    ensure!(server.sql("SELECT id FROM volta.t")? == "7");
    Ok(())
}

/// A burnt-down server has thirty schemas, and nobody wants to type thirty commands.
#[test]
fn all_schemas_of_a_server_come_back_by_one_command_and_never_over_what_is_there() -> Result<()> {
    let server = MariaDb::start()?;
    for schema in ["erp_a", "erp_b", "loja"] {
        server.sql(&format!(
            "CREATE DATABASE {schema}; CREATE TABLE {schema}.t (id INT PRIMARY KEY); INSERT INTO {schema}.t VALUES (7), (8)"
        ))?;
    }
    let cofre = installation(&server)?;
    cofre.run(0, &["run", "--only", "main"])?;
    let rows = |schema: &str| server.sql(&format!("SELECT COUNT(*) FROM {schema}.t"));
    server.sql("DROP DATABASE erp_a; DROP DATABASE loja; DELETE FROM erp_b.t WHERE id = 7")?;
    // One is in the way: nothing is downloaded, and nothing is touched. What is lost cannot be missed.
    let set = cofre.path("disk").join(&cofre.sets("disk")?[0]);
    let (artifact, hidden) = (set.join("sql/erp_a.sql.tar.gz.enc"), cofre.path("hidden"));
    std::fs::rename(&artifact, &hidden)?;
    for arguments in [vec!["restore", "latest", "--database", "main"], vec!["restore", "latest", "--database", "main", "--dry-run"]] {
        let output = said(&cofre.run(1, &arguments)?);
        ensure!(output.contains("`erp_b`") && output.contains("--force") && !output.contains("erp_a"), "{output}");
    }
    let output = said(&cofre.run(0, &["restore", "latest", "--database", "main", "--force", "--dry-run"])?);
    ensure!(output.contains("would replace `erp_b`") && output.contains("loja"), "{output}");
    std::fs::rename(&hidden, &artifact)?;
    ensure!(rows("erp_b")? == "1" && rows("loja").is_err());
    // By pattern and by name, where nobody can say what else the pattern fits that this run was not told to take; and then all.
    let output = said(&cofre.run(3, &["restore", "latest", "--schema", "erp_a", "--schema", "lo*", "--database", "main"])?);
    ensure!(output.contains("only main"), "{output}");
    ensure!(rows("erp_a")? == "2" && rows("loja")? == "2" && rows("erp_b")? == "1");
    cofre.run(0, &["restore", "latest", "--database", "main", "--force"])?;
    ensure!(rows("erp_a")? == "2" && rows("loja")? == "2" && rows("erp_b")? == "2");
    ensure!(left_overs(&server)? == "NULL", "{}", left_overs(&server)?);
    let output = said(&cofre.run(2, &["restore", "latest", "--database", "limited"])?);
    ensure!(output.contains("`limited`") && output.contains("main"), "{output}");
    let output = said(&cofre.run(2, &["restore", "latest", "--schema", "erp*", "--into", "x", "--database", "main"])?);
    ensure!(output.contains("--into"), "{output}");
    // A table that is not in the backup is missed before its schema is downloaded.
    std::fs::rename(&artifact, &hidden)?;
    let table = ["restore", "latest", "--schema", "erp_a", "--table", "nenhuma", "--into", "x", "--database", "main"];
    for arguments in [&table[..], &[&table[..], &["--dry-run"]].concat()] {
        let output = said(&cofre.run(2, arguments)?);
        ensure!(output.contains("no table `nenhuma`"), "{output}");
    }
    Ok(())
}
