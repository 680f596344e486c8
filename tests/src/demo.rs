//! The demo: the whole job on a sample, with a comparison that fails when one byte differs. `cargo xtask demo` shows it at full size;
//! the tests run it small, whole and with each kind of damage.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::cofre::Installation;
use crate::servers::MariaDb;
use crate::{compare, sample};

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub struct Demo {
    /// Size of the database in bytes, about.
    pub database: u64,
    /// Size of the uploaded files in bytes, about.
    pub files: u64,
    /// What is damaged on the way: the demo must fail then.
    pub corrupt: Option<Damage>,
}

/// What to damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// One byte of an artifact at the destination.
    Artifact,
    /// One value in a restored table.
    Row,
    /// One byte of a restored file.
    File,
}

/// One step that was done.
#[derive(Debug)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// How long it took.
    pub seconds: f64,
    /// What came of it.
    pub detail: String,
}

/// Steps that are told as they are done.
#[derive(Debug, Default)]
pub struct Show {
    /// The steps, in order.
    pub steps: Vec<Step>,
}

impl Show {
    /// Does one step.
    ///
    /// # Errors
    /// As the work; the message names the step.
    pub fn step<T>(&mut self, what: &str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
        println!("… {what}");
        let started = Instant::now();
        let (value, detail) = work().with_context(|| format!("the demo failed at: {what}"))?;
        self.steps.push(Step { what: what.to_owned(), seconds: started.elapsed().as_secs_f64(), detail });
        Ok(value)
    }
}

/// What one order and all its rows take in the database.
const BYTES_PER_ORDER: u64 = 1_700; // measured: information_schema.TABLES after ANALYZE

const TENANTS: [&str; 3] = ["empresa1", "empresa2", "principal"];

impl Demo {
    /// Shows it all; returns the installation and the name of its set.
    ///
    /// # Errors
    /// At the first step that does not hold.
    pub fn run(&self, show: &mut Show) -> Result<(Installation, String)> {
        let rows = u32::try_from(self.database / TENANTS.len() as u64 / BYTES_PER_ORDER).context("the size is out of range")?.max(100);
        let server = show.step("start a private MariaDB", || MariaDb::start().map(|server| (server, "on a free port".to_owned())))?;
        show.step("load a sample ERP", || load(&server, rows))?;
        let cofre = self.installation(&server)?;
        show.step("cofre run", || {
            let report = cofre.json(3, &["run"])?; // the sample has MyISAM and Aria tables, which are warnings
            Ok(((), format!("{} became {}, {} databases", size_of(&report["plain"]), size_of(&report["stored"]), report["databases"])))
        })?;
        let set = cofre.sets("copy")?.pop().context("there is no set")?;
        if self.corrupt == Some(Damage::Artifact) {
            flip_a_byte(&cofre.path("copy").join(&set).join("sql/empresa1.sql.tar.gz.enc"))?;
        }
        show.step("cofre list, verify --deep", || {
            cofre.run(0, &["list"])?;
            let verified = cofre.json(0, &["verify", "--deep"])?;
            Ok(((), format!("{} read back", size_of(&verified[0]["bytes"]))))
        })?;
        show.step("restore every schema under another name and compare", || restore_schemas(&cofre, &server, self.corrupt))?;
        show.step("restore the directories and compare", || restore_directories(&cofre, self.corrupt))?;
        show.step("open the set with openssl, tar and mariadb only", || without_cofre(&cofre, &server, &set))?;
        Ok((cofre, set))
    }

    fn installation(&self, server: &MariaDb) -> Result<Installation> {
        let database = format!("[[mysql]]\nname = \"erp\"\nsocket = \"{}\"\nuser = \"root\"\n", server.socket().display());
        let cofre =
            Installation::new(&format!("{database}[[directory]]\npath = \"@DIR@/etc-sample\"\n[[directory]]\npath = \"@DIR@/uploads\"\n"))?;
        cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("copy")?))?;
        std::fs::create_dir(cofre.path("etc-sample"))?;
        sample::tree(&cofre.path("etc-sample"), 11)?;
        sample::mixed(&cofre.path("uploads"), self.files, 12)?;
        Ok(cofre)
    }
}

fn size_of(value: &serde_json::Value) -> String {
    value.as_u64().map_or_else(|| "?".to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6))
}

fn load(server: &MariaDb, rows: u32) -> Result<((), String)> {
    for tenant in TENANTS {
        sample::tenant(server, tenant, rows)?;
    }
    sample::features(server, "todos_os_tipos")?;
    let size = server.sql("SELECT ROUND(SUM(DATA_LENGTH+INDEX_LENGTH)/1048576) FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ('mysql','sys','performance_schema','information_schema')")?;
    Ok(((), format!("{} schemas, {size} MiB", TENANTS.len() + 1)))
}

fn restore_schemas(cofre: &Installation, server: &MariaDb, corrupt: Option<Damage>) -> Result<((), String)> {
    let schemas = TENANTS.iter().copied().chain(["todos_os_tipos"]);
    for schema in schemas {
        let copy = format!("{schema}_restaurado");
        cofre.run(0, &["restore", "latest", "--schema", schema, "--into", &copy, "--database", "erp"])?;
        if corrupt == Some(Damage::Row) && schema == TENANTS[1] {
            server.sql(&format!("UPDATE {copy}.pedidos SET total = total + 1 WHERE id = 7"))?;
        }
        compare::schemas(server, schema, &copy)?;
    }
    Ok(((), "CHECKSUM TABLE and definitions equal".to_owned()))
}

fn restore_directories(cofre: &Installation, corrupt: Option<Damage>) -> Result<((), String)> {
    let out = cofre.path("restored");
    for name in ["etc-sample", "uploads"] {
        let path = cofre.path(name);
        cofre.run(0, &["restore", "latest", "--path", &path.display().to_string(), "--to", &out.display().to_string()])?;
        let restored = out.join(path.strip_prefix("/")?);
        if corrupt == Some(Damage::File) && name == "etc-sample" {
            flip_a_byte(&restored.join("a/b/binario"))?;
        }
        compare::trees(&path, &restored)?;
    }
    Ok(((), "content, modes, owners, times, attributes, links, holes equal".to_owned()))
}

/// The worst day: the set, the passphrase, and the tools that every server has.
fn without_cofre(cofre: &Installation, server: &MariaDb, set: &str) -> Result<((), String)> {
    let out = cofre.path("by-hand");
    std::fs::create_dir(&out)?;
    let set = cofre.path("copy").join(set);
    by_hand("sha256sum --quiet -c SHA256SUMS && md5sum --quiet -c MD5SUMS", &set, &[])?;
    let pass = cofre.path("passphrase");
    let open = "openssl enc -d -aes-256-cbc -pbkdf2 -iter 600000 -md sha256 -pass \"file:$1\" -in \"$2\" | tar --numeric-owner --xattrs --xattrs-include='*' --acls -xzpf -";
    for schema in ["empresa1", "todos_os_tipos"] {
        by_hand(open, &out, &[&pass, &set.join(format!("sql/{schema}.sql.tar.gz.enc"))])?;
        let copy = format!("{schema}_a_mao");
        server.sql(&format!("CREATE DATABASE {copy}"))?;
        let dump = std::fs::File::open(out.join(format!("{schema}.sql"))).context("the archive held no dump")?;
        let status = server.client().arg(&copy).stdin(dump).current_dir(&out).status()?;
        ensure!(status.success(), "loading the dump of {schema} by hand failed");
        compare::schemas(server, schema, &copy)?;
    }
    let directory = cofre.path("etc-sample");
    let mut artifacts = std::fs::read_dir(set.join("config"))?.filter_map(|entry| Some(entry.ok()?.path()));
    let artifact = artifacts.find(|path| path.to_string_lossy().contains("etc-sample")).context("the directory has no artifact")?;
    by_hand(open, &out, &[&pass, &artifact])?;
    compare::trees(&directory, &out.join(directory.strip_prefix("/")?))?;
    Ok(((), "two schemas and a directory equal".to_owned()))
}

/// Runs a shell line in a directory, with nothing of ours in reach; a pipe fails where any of its parts does.
fn by_hand(line: &str, directory: &Path, arguments: &[&Path]) -> Result<()> {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("set -euo pipefail; {line}"), "bash"]).args(arguments).current_dir(directory);
    let status = command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").status().context("cannot start bash")?;
    ensure!(status.success(), "opening the set by hand failed at: {line}");
    Ok(())
}

fn flip_a_byte(path: &Path) -> Result<()> {
    let mut bytes = std::fs::read(path)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(std::fs::write(path, bytes)?)
}
