//! The servers themselves: a test against one that is not what it says proves nothing.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use cofre_tests::mysql::{MySql, PASSWORD};
use cofre_tests::sample;
use cofre_tests::servers::MariaDb;
use cofre_tests::smtp::{self, Smtp};

#[test]
fn a_private_mariadb_has_the_options_it_was_told_and_every_column_type() -> Result<()> {
    let server = MariaDb::start_with(&["--max-allowed-packet=64M"])?;
    ensure!(server.sql("SELECT @@max_allowed_packet, @@log_bin, @@event_scheduler")? == "67108864\t1\tON");
    sample::features(&server, "tipos")?;
    let types = server.sql("SELECT DISTINCT DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='tipos'")?;
    let wanted = "tinyint smallint mediumint int bigint decimal float double bit char varchar tinytext text mediumtext longtext binary varbinary \
                  tinyblob blob mediumblob longblob enum set date datetime timestamp time year geometry point polygon uuid inet4 inet6";
    for kind in wanted.split_whitespace() {
        ensure!(types.lines().any(|line| line == kind), "the sample has no column of type {kind}");
    }
    for (what, query) in [
        ("views", "SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA='tipos'"),
        ("triggers", "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA='tipos'"),
        ("routines", "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA='tipos'"),
        ("events", "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA='tipos'"),
        ("foreign keys", "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA='tipos'"),
        ("partitions", "SELECT COUNT(*) FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA='tipos' AND PARTITION_NAME IS NOT NULL"),
        ("histories", "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA='tipos' AND TABLE_TYPE='SYSTEM VERSIONED'"),
        ("sequences", "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA='tipos' AND TABLE_TYPE='SEQUENCE'"),
    ] {
        ensure!(server.sql(query)? != "0", "the sample has no {what}");
    }
    Ok(())
}

#[test]
fn a_private_mysql_is_oracles_and_lets_the_backup_account_in_over_tcp() -> Result<()> {
    let server = MySql::start()?;
    let version = server.sql("SELECT @@version, @@version_comment")?;
    ensure!(!version.to_lowercase().contains("mariadb"), "{version}");
    ensure!(server.sql("SELECT plugin FROM mysql.user WHERE user='backup'")? == "caching_sha2_password");
    let mut client = server.client();
    client.args(["--protocol=TCP", "-h127.0.0.1", "-ubackup", "-e", "SELECT CURRENT_USER()"]).arg(format!("-P{}", server.port()));
    let output = client.env("MYSQL_PWD", PASSWORD).output()?;
    ensure!(String::from_utf8_lossy(&output.stdout).trim() == "backup@%", "{}", String::from_utf8_lossy(&output.stderr));
    server.sql("CREATE DATABASE a; CREATE TABLE a.t (id INT PRIMARY KEY, j JSON); INSERT INTO a.t VALUES (2,'[1]'),(1,NULL)")?;
    ensure!(server.ordered_rows("a", "t")? == "1\tNULL\n2\t[1]");
    Ok(())
}

/// Sends a message by curl, another client than ours; returns whether the server took it.
fn curl(server: &Smtp, address: &str, arguments: &[&str]) -> Result<bool> {
    cofre_tests::packages::ensure(&["curl"])?;
    let mail = tempfile::NamedTempFile::new()?;
    std::fs::write(
        mail.path(),
        "From: backup@example.com\r\nTo: ana@example.com\r\nSubject: =?utf-8?q?c=C3=B3pia?=\r\n\r\nfeita\r\n.\r\n",
    )?;
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--cacert"]).arg(server.authority());
    command.args(["--mail-from", smtp::USER, "--upload-file"]).arg(mail.path()).args(arguments).arg(address);
    Ok(command.output().context("cannot run curl")?.status.success())
}

#[test]
fn a_mail_server_demands_tls_and_the_right_login_and_answers_recipients_by_their_names() -> Result<()> {
    let mut server = Smtp::start()?;
    let account = format!("{}:{}", smtp::USER, smtp::PASSWORD);
    let (open, sealed) = (format!("smtp://localhost:{}", server.submission()), format!("smtps://localhost:{}", server.implicit()));
    let to = ["--mail-rcpt", "ana@example.com"];
    let login = ["--user", &account];
    let with = |more: &[&'static str]| [&to[..], more].concat();
    ensure!(!curl(&server, &open, &with(&[]))?, "it took a message without TLS");
    ensure!(!curl(&server, &open, &[&to[..], &login].concat())?, "it let an account in without TLS");
    ensure!(!curl(&server, &open, &with(&["--ssl-reqd"]))?, "it took a message without a login");
    ensure!(!curl(&server, &open, &with(&["--ssl-reqd", "--user", "backup@example.com:errada"]))?, "it let a wrong password in");
    ensure!(!curl(&server, &sealed, &with(&[]))?, "it took a message over implicit TLS without a login");
    ensure!(server.mails()?.is_empty());
    for refused in [smtp::REFUSED, smtp::LATER] {
        ensure!(!curl(&server, &open, &[&["--ssl-reqd", "--mail-rcpt", refused][..], &login].concat())?, "it took {refused}");
    }
    ensure!(curl(&server, &open, &[&["--ssl-reqd"][..], &to, &login].concat())?, "{}", server.log());
    ensure!(curl(&server, &sealed, &[&to[..], &login].concat())?, "{}", server.log());
    let mails = server.mails()?;
    ensure!(mails.len() == 2 && mails[0].subject == "cópia" && mails[0].text.as_deref() == Some("feita\r\n.\r\n"), "{mails:?}");
    ensure!(mails.iter().all(|mail| mail.tls && mail.login == smtp::USER && mail.recipients == ["ana@example.com"]), "{mails:?}");

    server.refuse_messages(Some("451 4.3.0 not now"))?;
    ensure!(!curl(&server, &sealed, &[&to[..], &login].concat())?, "it took a message that it was told to refuse");
    server.refuse_messages(None)?;
    server.kill();
    ensure!(!curl(&server, &sealed, &[&to[..], &login].concat())?, "it took a message when it was dead");
    server.revive()?;
    ensure!(curl(&server, &sealed, &[&to[..], &login].concat())?, "{}", server.log());
    ensure!(server.mails()?.len() == 3, "what it had accepted is lost");
    Ok(())
}
