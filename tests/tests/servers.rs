//! The servers themselves: a test against one that is not what it says proves nothing.

use anyhow::{Result, ensure};
use cofre_tests::mysql::{MySql, PASSWORD};
use cofre_tests::sample;
use cofre_tests::servers::MariaDb;

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
