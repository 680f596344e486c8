//! Rows `sftp`, `s3`, `ftp` and `ftps`: one file through a plug-in against the clients that people use, on loopback and over a long line.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use cofre_tests::cofre::tools;
use cofre_tests::delay::DelayProxy;
use cofre_tests::ftpd::{Ftpd, Make, PASSWORD, PROFTPD};
use cofre_tests::servers::{S3_KEY, S3_SECRET, SeaweedFs};
use cofre_tests::sshd::Sshd;
use cofre_tests::{packages, sample};
use serde_json::Value;

use super::{Contestant, Measure, bench_copy, contest, measure};

/// Times there and back, in milliseconds; without delay first.
const LINES: [u64; 3] = [0, 50, 100];
/// How much slower than the client of the service's own a copy over a long line may be.
const LONG_LINE: f64 = 2.0;
const BUCKET: &str = "bench";

/// A file to copy, and where settings and keys lie.
struct Room {
    directory: tempfile::TempDir,
}

impl Room {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A copy through the plug-in.
    fn ours(&self, plugin: &str, settings: &str, environment: &[(&str, &str)]) -> Result<Measure> {
        let found = bench_copy(plugin, settings, &self.path("file"), |command| _ = command.envs(environment.iter().copied()))?;
        let number = |key: &str| found[key].as_f64().with_context(|| format!("no {key}"));
        Ok(Measure { seconds: number("plugin_s")?, rss_mb: number("memory")? / f64::from(1 << 20) })
    }
}

/// A server, and the proxies before it.
struct Line<S> {
    server: S,
    port: u16,
    _proxies: Vec<DelayProxy>,
}

impl<S: Any> Line<S> {
    fn new(server: S, address: SocketAddr, more: std::ops::Range<u16>, milliseconds: u64) -> Result<Self> {
        let delay = Duration::from_millis(milliseconds);
        let mut proxies = Vec::new();
        for port in more {
            proxies.push(DelayProxy::start_on(port, SocketAddr::new(address.ip(), port), delay)?);
        }
        let mut port = address.port();
        if milliseconds > 0 {
            let own = if address.ip() == Ipv4Addr::LOCALHOST { 0 } else { port };
            proxies.push(DelayProxy::start_on(own, address, delay)?);
            port = proxies.last().map_or(port, DelayProxy::port);
        }
        Ok(Self { server, port, _proxies: proxies })
    }
}

/// A service to compare at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Sftp,
    S3,
    Ftp,
}

/// Rows of some services. `bytes` is the size of the file on loopback; over a long line it is a quarter of it.
pub(super) fn transfers(services: &[Service], bytes: usize, runs: usize) -> Result<Vec<Value>> {
    packages::ensure(&["openssh-client", "rclone", "curl"])?;
    let mut rows = Vec::new();
    for milliseconds in LINES {
        let room = Room { directory: tempfile::tempdir()? };
        let (size, runs) = if milliseconds == 0 { (bytes, runs) } else { (bytes / 4, runs.min(3)) };
        std::fs::write(room.path("file"), sample::Random::new(7).bytes(size))?;
        let row = |name: &str, own: f64| match milliseconds {
            0 => (name.to_owned(), own),
            _ => (format!("{name}-{milliseconds}ms"), LONG_LINE),
        };
        for service in services {
            match service {
                Service::Sftp => rows.extend(sftp(&room, row("sftp", 1.0 / 0.6), milliseconds, runs)?),
                Service::S3 => rows.extend(s3(&room, row("s3", 1.0 / 0.9), milliseconds, runs)?),
                Service::Ftp => {
                    rows.extend(ftp(&room, (row("ftp", 1.0 / 0.8), Make::PureFtpd), milliseconds, runs)?);
                    rows.extend(ftp(&room, (row("ftps", 1.0 / 0.8), PROFTPD), milliseconds, runs)?);
                }
            }
        }
    }
    Ok(rows)
}

fn sftp(room: &Room, (row, bar): (String, f64), milliseconds: u64, runs: usize) -> Result<Vec<Value>> {
    let server = Sshd::start()?;
    let key = server.new_key("ed25519", "", "")?;
    std::fs::write(room.path("key"), &key)?;
    std::fs::set_permissions(room.path("key"), std::fs::Permissions::from_mode(0o600))?;
    let address = server.address();
    let line = Line::new(server, address, 0..0, milliseconds)?;
    let settings = line.server.destination(line.port, "ours", "private_key = { env = \"COFRE_B_KEY\" }")?;
    std::fs::write(room.path("batch"), format!("put -f {} theirs\n", room.path("file").display()))?;
    let clear = || {
        let _ = std::fs::remove_dir_all(line.server.home("ours"));
        let _ = std::fs::remove_file(line.server.home("theirs"));
    };
    let ours = Contestant {
        name: "cofre sftp",
        bar: None,
        run: Box::new(|| {
            clear();
            room.ours("sftp", &settings, &[("COFRE_B_KEY", &key)])
        }),
    };
    let theirs = || {
        clear();
        let mut command = Command::new("sftp");
        command.args(["-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]);
        command.arg("-i").arg(room.path("key")).arg("-b").arg(room.path("batch")).args(["-P", &line.port.to_string()]);
        measure(command.arg(format!("{}@127.0.0.1", line.server.user())))
    };
    contest(&row, runs, &ours, &[Contestant { name: "OpenSSH sftp", bar: Some(bar), run: Box::new(theirs) }])
}

fn s3(room: &Room, (row, bar): (String, f64), milliseconds: u64, runs: usize) -> Result<Vec<Value>> {
    // Over HTTPS, as everywhere but at home. Each run has a server of its own: this one gives no space back, and has little.
    let start = || -> Result<Line<SeaweedFs>> {
        let server = SeaweedFs::start_with_tls(&tools())?;
        server.make_bucket(&tools(), BUCKET)?;
        let address = server.address();
        Line::new(server, address, 0..0, milliseconds)
    };
    let ours = || {
        let line = start()?;
        let settings = format!(
            "settings = {{ endpoint = \"https://localhost:{0}\", bucket = \"{BUCKET}\", path_style = true }}\n\
             secrets = {{ access_key_id = {{ env = \"COFRE_B_KEY\" }}, secret_access_key = {{ env = \"COFRE_B_SECRET\" }} }}\n\
             grants = {{ network = [\"localhost:{0}\"] }}\nca_file = \"{1}\"\n",
            line.port,
            line.server.authority().display()
        );
        room.ours("s3", &settings, &[("COFRE_B_KEY", S3_KEY), ("COFRE_B_SECRET", S3_SECRET)])
    };
    let theirs = || {
        let line = start()?;
        let mut command = Command::new("rclone");
        // Debian's refuses to start where it is set.
        command.env_remove("AWS_CA_BUNDLE");
        command.env("RCLONE_CONFIG", room.path("none.conf")).env("RCLONE_CONFIG_B_TYPE", "s3").env("RCLONE_CONFIG_B_PROVIDER", "SeaweedFS");
        command.env("RCLONE_CONFIG_B_ENDPOINT", format!("https://localhost:{}", line.port));
        command.env("RCLONE_CONFIG_B_ACCESS_KEY_ID", S3_KEY).env("RCLONE_CONFIG_B_SECRET_ACCESS_KEY", S3_SECRET);
        measure(
            command
                .args(["copy", "--s3-no-check-bucket", "--ca-cert"])
                .arg(line.server.authority())
                .arg(room.path("file"))
                .arg(format!("B:{BUCKET}/theirs")),
        )
    };
    let ours = Contestant { name: "cofre s3", bar: None, run: Box::new(ours) };
    contest(&row, runs, &ours, &[Contestant { name: "rclone copy", bar: Some(bar), run: Box::new(theirs) }])
}

fn ftp(room: &Room, ((row, bar), make): ((String, f64), Make), milliseconds: u64, runs: usize) -> Result<Vec<Value>> {
    // On another address of this machine, so that the proxies can have its ports on 127.0.0.1.
    let server = Ftpd::start_at(make, if milliseconds == 0 { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(127, 0, 0, 2) })?;
    let (address, passive) = (server.address(), if milliseconds == 0 { 0..0 } else { server.passive() });
    let line = Line::new(server, address, passive, milliseconds)?;
    let settings = line.server.destination(line.port, ", directory = \"copias\"");
    std::fs::write(room.path("curlrc"), format!("user = \"{}:{PASSWORD}\"\n", line.server.user()))?;
    let clear = || -> Result<()> {
        for entry in std::fs::read_dir(line.server.path("copias"))? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(())
    };
    let ours = || {
        clear()?;
        room.ours("ftp", &settings, &[("COFRE_T_PASSWORD", PASSWORD)])
    };
    let theirs = || {
        clear()?;
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error"]);
        if make == PROFTPD {
            command.args(["--ssl-reqd", "--cacert"]).arg(line.server.authority());
        }
        command.arg("--config").arg(room.path("curlrc")).arg("--upload-file").arg(room.path("file"));
        measure(command.arg(format!("ftp://localhost:{}/copias/theirs", line.port)))
    };
    let ours = Contestant { name: "cofre ftp", bar: None, run: Box::new(ours) };
    contest(&row, runs, &ours, &[Contestant { name: "curl", bar: Some(bar), run: Box::new(theirs) }])
}
