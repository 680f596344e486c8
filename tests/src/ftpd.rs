//! FTP servers of four makes on loopback: ProFTPD and vsftpd, which demand that data connections resume the control connection's TLS
//! session, Pure-FTPd, which does not, and pyftpdlib with the odd replies of older servers (`tests/ftp/odd.py`).

use std::any::Any;
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::conformance::Trial;
use crate::servers::{Owned, free_port, wait_until};
use crate::{cofre, packages};

/// The account's password: what commands and configuration files stumble over.
pub const PASSWORD: &str = "pä ss:w0rd%20";

/// Passive ports of one server.
const PASSIVE: u16 = 40;

/// Size of the file system that is soon full.
const SMALL: &str = "2m";

/// Which server, and how it is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// ProFTPD with `AUTH TLS`; `protocol` is one of its own names, such as `TLSv1.2`.
    Proftpd {
        /// The TLS versions that it speaks.
        protocol: &'static str,
        /// Whether TLS begins with the first byte.
        implicit: bool,
        /// Whether uploads may be continued.
        restart: bool,
    },
    /// vsftpd with `AUTH TLS`; it knows no MLSD, and its refusals have no reasons.
    Vsftpd,
    /// Pure-FTPd without TLS.
    PureFtpd,
    /// pyftpdlib without TLS, as an old server that is said to be one of `unix` or `dos`.
    Odd(&'static str),
}

/// ProFTPD as it is met most.
pub const PROFTPD: Make = Make::Proftpd { protocol: "TLSv1.2 TLSv1.3", implicit: false, restart: true };

/// An FTP server with one account.
pub struct Ftpd {
    // In the order in which they must go: what still uses the directory first.
    _process: Box<dyn Any>,
    small: Option<SmallDisk>,
    directory: TempDir,
    make: Make,
    address: SocketAddr,
    /// The first of its passive ports.
    passive: u16,
}

impl Ftpd {
    /// Starts one on 127.0.0.1.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start(make: Make) -> Result<Self> {
        Self::start_at(make, Ipv4Addr::LOCALHOST)
    }

    /// Starts one on another address of this machine, so that proxies can have its ports on 127.0.0.1.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start_at(make: Make, host: Ipv4Addr) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("cofre-ftp").tempdir()?;
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
        let address = SocketAddr::from((host, free_port()?));
        let setup = Setup { directory: directory.path(), make, address, passive: free_range()? };
        setup.make_home()?;
        let small = if matches!(make, Make::Proftpd { .. }) { SmallDisk::mount(&setup.home().join("small")) } else { None };
        let mut command = setup.command()?;
        let log = directory.path().join("log");
        let errors = File::create(&log)?;
        let process: Box<dyn Any> = if matches!(make, Make::Proftpd { .. }) {
            command.stderr(errors);
            Box::new(Inetd::start(address, command)?)
        } else {
            command.stdin(Stdio::null()).stdout(errors.try_clone()?).stderr(errors);
            Box::new(Owned(command.spawn().with_context(|| format!("cannot start {make:?}"))?))
        };
        let passive = setup.passive;
        let server = Self { _process: process, small, directory, make, address, passive };
        wait_until(&format!("{make:?}"), &log, || TcpStream::connect(address).is_ok())?;
        Ok(server)
    }

    /// Where its control connections go.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its passive ports.
    pub fn passive(&self) -> std::ops::Range<u16> {
        self.passive..self.passive + PASSIVE
    }

    /// Its account.
    pub fn user(&self) -> &'static str {
        if self.make == Make::Vsftpd { "ftp" } else { "bk" }
    }

    /// Where a path of the account is on this machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join("home").join(path)
    }

    /// The authority of its certificate.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// What it wrote, TLS included.
    pub fn log(&self) -> String {
        ["log", "tls.log", "server.log"]
            .map(|name| std::fs::read(self.directory.path().join(name)).unwrap_or_default())
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .concat()
    }

    /// The keys of a `[[destination]]` without its name and plug-in, for a server on `port` of this machine, its own or a proxy's;
    /// `more` are further settings, each with a comma before it.
    pub fn destination(&self, port: u16, more: &str) -> String {
        let tls = match self.make {
            Make::Proftpd { implicit: true, .. } => ", tls = \"implicit\"",
            Make::Proftpd { .. } | Make::Vsftpd => "",
            Make::PureFtpd | Make::Odd(_) => ", tls = \"none\", allow_plaintext = true",
        };
        let authority = if tls.contains("none") { String::new() } else { format!("ca_file = \"{}\"\n", self.authority().display()) };
        format!(
            "settings = {{ host = \"localhost\", port = {port}, user = \"{}\"{tls}{more} }}\nsecrets = {{ password = {{ env = \"COFRE_T_PASSWORD\" }} }}\n\
             grants = {{ network = [\"localhost:{port}\", \"localhost:{}-{}\"], delete = true }}\n{authority}",
            self.user(),
            self.passive,
            self.passive + PASSIVE - 1
        )
    }
}

/// Against ProFTPD with `AUTH TLS`.
///
/// # Errors
/// When the server does not start.
pub fn explicit() -> Result<Vec<Trial>> {
    Ok(vec![trial(PROFTPD, "ProFTPD (explicit TLS 1.3)")?])
}

/// Against ProFTPD with TLS from the first byte.
///
/// # Errors
/// When the server does not start.
pub fn implicit() -> Result<Vec<Trial>> {
    let implicit = Make::Proftpd { protocol: "TLSv1.2", implicit: true, restart: true };
    Ok(vec![trial(implicit, "ProFTPD (implicit TLS 1.2)")?])
}

/// Against vsftpd with `AUTH TLS`.
///
/// # Errors
/// When the server does not start.
pub fn vsftpd() -> Result<Vec<Trial>> {
    Ok(vec![trial(Make::Vsftpd, "vsftpd (explicit TLS)")?])
}

/// Against Pure-FTPd without TLS.
///
/// # Errors
/// When the server does not start.
pub fn plain() -> Result<Vec<Trial>> {
    Ok(vec![trial(Make::PureFtpd, "Pure-FTPd (plain)")?])
}

/// The settings with which the conformance suite runs against one server.
///
/// # Errors
/// When it does not start.
pub fn trial(make: Make, name: &str) -> Result<Trial> {
    let server = Ftpd::start(make)?;
    let port = server.address.port();
    let refusal = |name: &str, error: &str, rest: &str| format!("[[refusal]]\nname = \"{name}\"\nerror = \"{error}\"\n{rest}\n");
    let mut settings = vec![
        server.destination(port, ", directory = \"copias\", part_size = 5242880"),
        refusal("wrong-password", "access-denied", "secrets = { password = { env = \"COFRE_T_WRONG\" } }"),
        refusal("read-only-directory", "access-denied", "settings = { directory = \"fixed\" }"),
        refusal("data-ports-not-granted", "invalid-config", &format!("grants = {{ network = [\"localhost:{port}\"] }}")),
    ];
    if server.small.is_some() {
        settings.push(refusal("no-space", "out-of-space", "bytes = \"8MiB\"\nsettings = { directory = \"small\" }"));
    }
    Ok(Trial {
        destination: "ftp",
        server: name.to_owned(),
        settings: settings.concat(),
        environment: vec![("COFRE_T_PASSWORD".to_owned(), PASSWORD.to_owned()), ("COFRE_T_WRONG".to_owned(), "errada-e-longa".to_owned())],
        address: Some(server.address),
        keep: vec![Box::new(server) as Box<dyn Any>],
    })
}

/// What a server needs to start.
struct Setup<'a> {
    directory: &'a Path,
    make: Make,
    address: SocketAddr,
    passive: u16,
}

impl Setup<'_> {
    fn home(&self) -> PathBuf {
        self.directory.join("home")
    }

    /// Who owns the files: vsftpd's guest needs a directory of its own in the system, which `nobody` has not.
    fn owner(&self) -> &'static str {
        if self.make == Make::Vsftpd { "daemon" } else { "nobody" }
    }

    /// A home in which anything can be written but in `fixed`.
    fn make_home(&self) -> Result<()> {
        let home = self.home();
        for name in ["copias", "fixed", "small"] {
            std::fs::create_dir_all(home.join(name))?;
        }
        let owned = [home.join("copias"), home.join("small")];
        // vsftpd refuses to serve a root that can be written to.
        let owned = if self.make == Make::Vsftpd { &owned[..] } else { &[home, owned[0].clone(), owned[1].clone()][..] };
        run(Command::new("chown").arg(self.owner()).args(owned)).map(drop)
    }

    fn command(&self) -> Result<Command> {
        match self.make {
            Make::Proftpd { protocol, implicit, restart } => self.proftpd(protocol, implicit, restart),
            Make::Vsftpd => self.vsftpd(),
            Make::PureFtpd => self.pure_ftpd(),
            Make::Odd(kind) => self.odd(kind),
        }
    }

    fn proftpd(&self, protocol: &str, implicit: bool, restart: bool) -> Result<Command> {
        packages::ensure(&["openssl", "proftpd-core", "proftpd-mod-crypto"])?;
        Certificates::make(self.directory)?;
        let passwords = self.directory.join("passwords");
        let account = ["--passwd", "--name=bk", "--uid=65534", "--gid=65534", "--shell=/bin/false", "--stdin"];
        let mut command = Command::new("ftpasswd");
        command.args(account).arg(format!("--file={}", passwords.display())).arg(format!("--home={}", self.home().display()));
        fed(&mut command, &format!("{PASSWORD}\n"))?;
        std::fs::set_permissions(&passwords, std::fs::Permissions::from_mode(0o600))?;
        let here = self.directory.display();
        // Its own authority named, or each connection reads those of the whole system, for a quarter of a second.
        let config = format!(
            "ServerType inetd\nServerName cofre\nPort {port}\nDefaultAddress {host}\nSocketBindTight on\nUser nobody\nGroup nogroup\nUseReverseDNS off\n\
             RequireValidShell off\nAuthOrder mod_auth_file.c\nAuthUserFile {here}/passwords\nDefaultRoot ~\nPassivePorts {first} {last}\nPidFile {here}/pid\n\
             ScoreboardFile none\nDelayEngine off\nWtmpLog off\nSystemLog {here}/server.log\nTransferLog none\nModulePath /usr/lib/proftpd\n\
             LoadModule mod_tls.c\nLoadModule mod_digest.c\nAllowOverwrite on\nAllowStoreRestart {restart}\nTLSEngine on\nTLSRequired on\nTLSProtocol {protocol}\n\
             TLSECCertificateFile {here}/server.pem\nTLSECCertificateKeyFile {here}/server.key\nTLSLog {here}/tls.log\n\
             TLSCACertificateFile {here}/ca.pem\n{implicit}",
            port = self.address.port(),
            host = self.address.ip(),
            first = self.passive,
            last = self.passive + PASSIVE - 1,
            restart = if restart { "on" } else { "off" },
            implicit = if implicit { "TLSOptions UseImplicitSSL\n" } else { "" },
        );
        std::fs::write(self.directory.join("proftpd.conf"), config)?;
        std::fs::set_permissions(self.directory.join("server.key"), std::fs::Permissions::from_mode(0o600))?;
        let mut command = Command::new("proftpd");
        command.arg("--quiet").arg("--config").arg(self.directory.join("proftpd.conf"));
        Ok(command)
    }

    /// Its account is the anonymous one, with a password from a list, so that no user of this machine has to be made.
    fn vsftpd(&self) -> Result<Command> {
        let binary = unpacked(&["vsftpd"])?.join("usr/sbin/vsftpd");
        packages::ensure(&["openssl"])?;
        Certificates::make(self.directory)?;
        std::fs::write(self.directory.join("passwords"), format!("{PASSWORD}\n"))?;
        std::fs::create_dir(self.directory.join("empty"))?;
        let here = self.directory.display();
        let config = format!(
            "listen=YES\nlisten_address={host}\nlisten_port={port}\nbackground=NO\nlocal_enable=NO\nwrite_enable=YES\nanonymous_enable=YES\nanon_root={here}/home\n\
             anon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\nanon_world_readable_only=NO\nanon_umask=022\n\
             secure_email_list_enable=YES\nemail_password_file={here}/passwords\nftp_username=daemon\nnopriv_user=nobody\npasv_min_port={first}\n\
             pasv_max_port={last}\nssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\nrsa_cert_file={here}/server.pem\n\
             rsa_private_key_file={here}/server.key\nrequire_ssl_reuse=YES\nssl_ciphers=HIGH\nsecure_chroot_dir={here}/empty\nutf8_filesystem=YES\n\
             vsftpd_log_file={here}/server.log\nxferlog_enable=YES\nlog_ftp_protocol=YES\nseccomp_sandbox=NO\n",
            host = self.address.ip(),
            port = self.address.port(),
            first = self.passive,
            last = self.passive + PASSIVE - 1,
        );
        let path = self.directory.join("vsftpd.conf");
        std::fs::write(&path, config)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let mut command = Command::new(binary);
        command.arg(path);
        Ok(command)
    }

    fn pure_ftpd(&self) -> Result<Command> {
        let root = unpacked(&["pure-ftpd", "pure-ftpd-common"])?;
        packages::ensure(&["openssl"])?;
        let (accounts, database) = (self.directory.join("accounts"), self.directory.join("accounts.pdb"));
        // Its own hash takes a second, at every login.
        let hash = fed(Command::new("openssl").args(["passwd", "-6", "-stdin"]), &format!("{PASSWORD}\n"))?;
        std::fs::write(&accounts, format!("bk:{}:65534:65534::{}::::::::::::\n", hash.trim(), self.home().display()))?;
        run(Command::new(root.join("usr/bin/pure-pw")).arg("mkdb").arg(&database).arg("-f").arg(accounts))?;
        let mut command = Command::new(root.join("usr/sbin/pure-ftpd"));
        command.arg("--bind").arg(format!("{},{}", self.address.ip(), self.address.port()));
        command.arg("--login").arg(format!("puredb:{}", database.display()));
        command.arg("--passiveportrange").arg(format!("{}:{}", self.passive, self.passive + PASSIVE - 1));
        command.args(["--noanonymous", "--chrooteveryone", "--minuid", "1000", "--tls", "0", "--dontresolve", "--maxclientsperip", "50"]);
        Ok(command)
    }

    fn odd(&self, kind: &str) -> Result<Command> {
        let python = packages::python("pyftpdlib", &["pyftpdlib"])?;
        let mut command = Command::new(python);
        command.arg(cofre::root().join("tests/ftp/odd.py")).arg(self.address.ip().to_string()).arg(self.address.port().to_string());
        command.arg(format!("{}-{}", self.passive, self.passive + PASSIVE - 1)).arg(self.home()).arg(PASSWORD).arg(kind);
        Ok(command)
    }
}

/// A range of ports, below those that systems give out, of which all were free a moment ago.
fn free_range() -> Result<u16> {
    for _ in 0..200 {
        let first = 12_000 + free_port()? % 19_000;
        if (first..first + PASSIVE).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok(first);
        }
    }
    bail!("there are no {PASSIVE} free ports in a row")
}

/// Debian packages that exclude each other, unpacked and not installed; made on first use and kept.
fn unpacked(names: &[&str]) -> Result<PathBuf> {
    let place = cofre::tools().join(format!("debian-{}", names[0]));
    if place.exists() {
        return Ok(place);
    }
    eprintln!("unpacking the Debian packages {names:?} for the tests");
    std::fs::create_dir_all(cofre::tools())?;
    let fresh = tempfile::Builder::new().prefix("new-").tempdir_in(cofre::tools())?;
    let download =
        || run(Command::new("apt-get").args(["download", "-qq", "-oAPT::Sandbox::User=root"]).args(names).current_dir(fresh.path()));
    if download().is_err() {
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        download()?;
    }
    let room = fresh.path().join("room");
    for entry in std::fs::read_dir(fresh.path())? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg").arg("-x").arg(package).arg(&room))?;
        }
    }
    match std::fs::rename(&room, &place) {
        Err(error) if !place.exists() => Err(error).with_context(|| format!("cannot keep {}", place.display())),
        _ => Ok(place),
    }
}

/// A program that is started for each connection, as inetd does it. ProFTPD that listens itself sleeps for 200 ms whenever a session has
/// ended, before it takes the next connection.
pub(crate) struct Inetd {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Inetd {
    /// Listens; each connection is the standard input and output of a process of its own.
    pub(crate) fn start(address: SocketAddr, mut command: Command) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut sessions: Vec<Owned> = Vec::new();
            for connection in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                sessions.retain_mut(|session| matches!(session.0.try_wait(), Ok(None)));
                let Ok(input) = connection.try_clone() else { continue };
                match command.stdin(OwnedFd::from(input)).stdout(OwnedFd::from(connection)).spawn() {
                    Ok(session) => sessions.push(Owned(session)),
                    Err(error) => eprintln!("{command:?} does not start: {error}"),
                }
                // What the command still holds of the connection would keep it open.
                command.stdin(Stdio::null()).stdout(Stdio::null());
            }
        });
        Ok(Self { address, ended, thread: Some(thread) })
    }
}

impl Drop for Inetd {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A file system that is soon full, gone with its owner.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one; `None` where mounting is not possible, as in some containers.
    fn mount(path: &Path) -> Option<Self> {
        let options = format!("size={SMALL},mode=0777");
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "cofre-test"]).arg(path));
        if let Err(error) = &mounted {
            eprintln!("nothing can be mounted here, so a full disk is not tried: {error:#}");
        }
        mounted.is_ok().then(|| Self(path.to_path_buf()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Runs a command with text on its standard input; returns what it printed.
fn fed(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run it")?;
    child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
