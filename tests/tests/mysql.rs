//! Oracle MySQL (`caching_sha2_password` over TCP, generated columns, JSON, its own collations), and ways of getting into a MariaDB.

use anyhow::{Result, ensure};
use cofre_tests::certificates::Certificates;
use cofre_tests::cofre::{Installation, said};
use cofre_tests::mysql::{MySql, PASSWORD};
use cofre_tests::servers::MariaDb;

#[test]
fn a_mysql_schema_comes_back_the_same() -> Result<()> {
    let server = MySql::start()?;
    server.sql("CREATE DATABASE app")?;
    for statement in [
        "CREATE TABLE app.t (id INT AUTO_INCREMENT PRIMARY KEY, nome VARCHAR(50) COLLATE utf8mb4_0900_ai_ci, preco DECIMAL(12,2), imposto DECIMAL(12,2) AS (preco * 0.2) STORED, dados JSON, f FLOAT, d DOUBLE, b BIT(5), bl BLOB, p POINT, ts TIMESTAMP(3) NULL, KEY ((UPPER(nome))))",
        "INSERT INTO app.t (nome, preco, dados, f, d, b, bl, p, ts) VALUES ('Ação 💾', 10.55, '{\"k\": [1, \"é\"]}', 0.1, 1e-300, b'10101', x'00FF27', ST_GeomFromText('POINT(1 2)'), '2024-01-01 00:00:00.123'), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        "CREATE VIEW app.v AS SELECT id, nome FROM app.t",
        "CREATE TRIGGER app.tr BEFORE INSERT ON app.t FOR EACH ROW SET NEW.nome = TRIM(NEW.nome)",
        "CREATE FUNCTION app.dobro(a INT) RETURNS INT DETERMINISTIC RETURN a * 2",
        "CREATE EVENT app.ev ON SCHEDULE EVERY 1 HOUR DO DELETE FROM app.t WHERE id < 0",
    ] {
        server.sql(statement)?;
    }
    let cofre = Installation::new(&format!(
        "[[mysql]]\nname = \"main\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"backup\"\npassword = {{ env = \"T_PASSWORD\" }}\n",
        server.port()
    ))?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    let run = |arguments: &[&str]| -> Result<()> {
        let output = cofre.command(arguments).env("T_PASSWORD", PASSWORD).output()?;
        let said = said(&output);
        ensure!(matches!(output.status.code(), Some(0 | 3)), "{arguments:?}: {said}");
        ensure!(!said.contains(PASSWORD), "the password was printed: {said}");
        Ok(())
    };
    run(&["run"])?;
    run(&["verify", "--deep"])?;
    // The restore itself compares every table and definition with the passport.
    run(&["restore", "latest", "--schema", "app", "--into", "app2", "--database", "main"])?;
    ensure!(server.ordered_rows("app", "t")? == server.ordered_rows("app2", "t")?, "the rows differ");
    Ok(())
}

#[test]
fn a_server_that_insists_on_tls_and_an_ed25519_account_are_read() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let certificates = Certificates::make(directory.path())?;
    let option = |name: &str, path: &std::path::Path| format!("--ssl-{name}={}", path.display());
    let server = MariaDb::start_with(&[
        &option("ca", &certificates.authority),
        &option("cert", &certificates.certificate),
        &option("key", &certificates.key),
        "--plugin-load-add=auth_ed25519",
    ])?;
    server.sql(&format!(
        "CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY); INSERT INTO app.t VALUES (1), (2);
         CREATE USER backup@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}') REQUIRE SSL; GRANT ALL ON *.* TO backup@'%';"
    ))?;
    let cofre = Installation::new("")?;
    let head = cofre.configuration()?;
    let configure = |host: &str, tls: &str| -> Result<()> {
        cofre.configure(&format!(
            "{head}[[mysql]]\nname = \"main\"\nhost = \"{host}\"\nport = {}\nuser = \"backup\"\ngrants = false\npassword = {{ env = \"T_PASSWORD\" }}\n{tls}{}",
            server.port(),
            cofre.local("disk")?
        ))
    };
    let run = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let output = cofre.command(arguments).env("T_PASSWORD", PASSWORD).output()?;
        let said = said(&output);
        ensure!(!said.contains(PASSWORD), "the password was printed: {said}");
        Ok((output.status.code(), said))
    };
    let trusted = format!("tls = {{ mode = \"required\", ca_file = \"{}\" }}\n", certificates.authority.display());
    configure("localhost", &trusted)?;
    for arguments in [&["run"][..], &["restore", "latest", "--schema", "app", "--into", "volta", "--database", "main"]] {
        let (code, said) = run(arguments)?;
        ensure!(code == Some(0), "{arguments:?}: {said}");
    }
    ensure!(server.sql("SELECT COUNT(*) FROM volta.t")? == "2");
    // Without TLS the account is refused; with an authority that nobody named, the server is.
    for tls in ["tls = { mode = \"disabled\" }\n", "tls = { mode = \"required\" }\n"] {
        configure("localhost", tls)?;
        let (code, said) = run(&["run"])?;
        ensure!(code == Some(1) && said.contains("cannot connect"), "{tls}: {said}");
    }
    Ok(())
}
