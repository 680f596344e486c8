//! OpenSSH's server on loopback with an account of its own, ProFTPD as another make, and what must be refused. Takes root: only root makes
//! accounts, and only root's sshd can compare their passwords.

use std::any::Any;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::conformance::Trial;
use crate::ftpd::Inetd;
use crate::packages;
use crate::servers::{Owned, free_port, wait_until};

/// The password of every account: what shells, configuration files and encodings stumble over.
pub const PASSWORD: &str = "pä ss:w0rd%20";

/// The passphrase of the keys that have one.
pub const KEY_PASSPHRASE: &str = "frase da chave";

/// Beginning of the names of our accounts; the process number follows.
const ACCOUNT: &str = "cofre-t";

/// Number of the user and the group that own nothing.
const NOBODY: u32 = 65_534;

/// Size of the file system that is too small.
const SMALL: &str = "2m";

/// A private sshd with one account.
pub struct Sshd {
    // In the order in which they must go: what still uses the directory first.
    _process: Owned,
    small: Option<Mount>,
    account: Account,
    directory: TempDir,
    port: u16,
}

impl Sshd {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be installed or does not start, or this is not root.
    pub fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// The same, with lines for its configuration, such as `RekeyLimit 1M`; they win over ours, as the first of a kind counts.
    ///
    /// # Errors
    /// When it cannot be installed or does not start, or this is not root.
    pub fn start_with(lines: &str) -> Result<Self> {
        packages::ensure(&["openssh-server", "openssh-client", "openssl"])?;
        ensure!(rustix::process::geteuid().is_root(), "the SSH tests need accounts of their own, and only root makes those: run as root");
        let directory = tempfile::Builder::new().prefix("cofre-sshd").tempdir()?;
        // The account walks through it to its keys and its home.
        open_to_all(directory.path())?;
        let account = Account::make(&directory.path().join("home"))?;
        let path = |name: &str| directory.path().join(name);
        for kind in ["ed25519", "ecdsa", "rsa"] {
            keygen(&path(&format!("host_{kind}")), kind, "")?;
        }
        std::fs::write(path("authorized_keys"), "")?;
        std::fs::write(path("banner"), "Only for backups.\nEverything is watched.\n")?;
        open_to_all(&path("authorized_keys"))?;
        std::fs::create_dir_all("/run/sshd")?;
        let port = free_port()?;
        let here = directory.path().display();
        std::fs::write(
            path("sshd_config"),
            format!(
                "{lines}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {here}/host_ed25519\nHostKey {here}/host_ecdsa\nHostKey {here}/host_rsa\n\
                 PidFile none\nAuthorizedKeysFile {here}/authorized_keys\nBanner {here}/banner\nStrictModes no\nUsePAM no\n\
                 PasswordAuthentication yes\nKbdInteractiveAuthentication no\nMaxStartups 100\nSubsystem sftp internal-sftp\n"
            ),
        )?;
        let log = path("log");
        // It starts itself again for every connection, and so wants to be called by its whole path.
        let process = Command::new("/usr/sbin/sshd")
            .arg("-D")
            .arg("-f")
            .arg(path("sshd_config"))
            .arg("-E")
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start sshd")?;
        let server = Self { _process: Owned(process), small: None, account, directory, port };
        wait_until("sshd", &log, || TcpStream::connect(server.address()).is_ok())?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Name of the account.
    pub fn user(&self) -> &str {
        &self.account.name
    }

    /// A path in the account's home.
    pub fn home(&self, name: &str) -> PathBuf {
        self.account.home.join(name)
    }

    /// What the server wrote about its work.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The server's public key of a kind, as a line: `ed25519`, `ecdsa` or `rsa`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn host_key(&self, kind: &str) -> Result<String> {
        let text = std::fs::read_to_string(self.directory.path().join(format!("host_{kind}.pub")))?;
        Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    /// Its fingerprint, as `ssh-keygen -l` prints it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn fingerprint(&self, kind: &str) -> Result<String> {
        let mut command = Command::new("ssh-keygen");
        let printed = run(command.arg("-lf").arg(self.directory.path().join(format!("host_{kind}.pub"))))?;
        Ok(printed.split_whitespace().nth(1).context("ssh-keygen prints no fingerprint")?.to_owned())
    }

    /// Makes a key that opens the account: `kind` as in [`Self::host_key`], `format` as ssh-keygen's `-m` has it, or empty for OpenSSH's own;
    /// returns the private key.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_key(&self, kind: &str, passphrase: &str, format: &str) -> Result<String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let path = self.directory.path().join(format!("key_{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        keygen(&path, kind, passphrase)?;
        if !format.is_empty() {
            // Writes the file anew.
            run(Command::new("ssh-keygen").args(["-p", "-m", format, "-P", passphrase, "-N", passphrase, "-f"]).arg(&path))?;
        }
        let public = std::fs::read_to_string(path.with_extension("pub"))?;
        let authorized = self.directory.path().join("authorized_keys");
        std::fs::write(&authorized, std::fs::read_to_string(&authorized)? + &public)?;
        Ok(std::fs::read_to_string(&path)?)
    }

    /// Makes a folder in the home that belongs to root and that the account can only read.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn read_only_folder(&self, name: &str) -> Result<()> {
        std::fs::create_dir(self.home(name)).context("making a folder")
    }

    /// Mounts a file system in the home that is soon full; `false` where mounting is not possible, as in some containers.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn small_folder(&mut self, name: &str) -> Result<bool> {
        let path = self.home(name);
        std::fs::create_dir(&path)?;
        let options = format!("size={SMALL},mode=0700,uid={0},gid={0}", self.account.id);
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "cofre-test"]).arg(&path));
        if let Err(error) = &mounted {
            eprintln!("nothing can be mounted here, so a full disk is not tried: {error:#}");
        }
        self.small = mounted.is_ok().then_some(Mount(path));
        Ok(self.small.is_some())
    }

    /// The keys of a `[[destination]]` without its name and plug-in; `secrets` is the inside of its table.
    ///
    /// # Errors
    /// When the server's key cannot be read.
    pub fn destination(&self, port: u16, directory: &str, secrets: &str) -> Result<String> {
        let settings = format!("host = \"127.0.0.1\", port = {port}, user = \"{}\", directory = \"{directory}\"", self.user());
        Ok(format!(
            "settings = {{ {settings}, host_key = \"{}\" }}\nsecrets = {{ {secrets} }}\ngrants = {{ network = [\"127.0.0.1:{port}\"] }}\n",
            self.host_key("ed25519")?
        ))
    }
}

/// ProFTPD speaking SFTP, without the extensions that OpenSSH has, and with an account that is none of this machine.
pub struct ProftpdSftp {
    _process: Inetd,
    directory: TempDir,
    port: u16,
}

impl ProftpdSftp {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start() -> Result<Self> {
        packages::ensure(&["proftpd-core", "proftpd-mod-crypto", "openssh-client", "openssl"])?;
        let directory = tempfile::Builder::new().prefix("cofre-proftpd").tempdir()?;
        open_to_all(directory.path())?;
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("home"))?;
        chown(path("home"), Some(NOBODY), Some(NOBODY))?;
        // It reads host keys in PEM alone.
        run(Command::new("ssh-keygen").args(["-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f"]).arg(path("host_rsa")))?;
        let hash = run(Command::new("openssl").args(["passwd", "-6", PASSWORD]))?;
        std::fs::write(path("passwords"), format!("bk:{}:{NOBODY}:{NOBODY}::{}:/bin/false\n", hash.trim(), path("home").display()))?;
        std::fs::set_permissions(path("passwords"), std::fs::Permissions::from_mode(0o600))?;
        let (port, here) = (free_port()?, directory.path().display());
        std::fs::write(
            path("proftpd.conf"),
            format!(
                "ServerType inetd\nServerName cofre\nPort {port}\nDefaultAddress 127.0.0.1\nSocketBindTight on\nUser nobody\nGroup nogroup\n\
                 UseReverseDNS off\nRequireValidShell off\nAuthOrder mod_auth_file.c\nAuthUserFile {here}/passwords\nDefaultRoot ~\nPidFile {here}/pid\n\
                 ScoreboardFile none\nDelayEngine off\nWtmpLog off\nSystemLog {here}/server.log\nTransferLog none\nModulePath /usr/lib/proftpd\n\
                 LoadModule mod_sftp.c\nAllowOverwrite on\nAllowStoreRestart on\nSFTPEngine on\nSFTPHostKey {here}/host_rsa\nSFTPLog {here}/sftp.log\n\
                 SFTPAuthMethods password\nSFTPExtensions -posixRename -fsync -statvfs\n"
            ),
        )?;
        let mut command = Command::new("proftpd");
        command.args(["--quiet", "--config"]).arg(path("proftpd.conf")).stderr(File::create(path("log"))?);
        let process = Inetd::start(([127, 0, 0, 1], port).into(), command)?;
        let (log, server) = (path("server.log"), Self { _process: process, directory, port });
        wait_until("ProFTPD", &log, || TcpStream::connect(server.address()).is_ok())?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The keys of a `[[destination]]` without its name and plug-in; the password is in the variable `COFRE_T_PASSWORD`.
    ///
    /// # Errors
    /// When the server's key cannot be read.
    pub fn destination(&self, directory: &str) -> Result<String> {
        let key = std::fs::read_to_string(self.directory.path().join("host_rsa.pub"))?;
        let port = self.port;
        Ok(format!(
            "settings = {{ host = \"127.0.0.1\", port = {port}, user = \"bk\", directory = \"{directory}\", host_key = \"{}\" }}\n\
             secrets = {{ password = {{ env = \"COFRE_T_PASSWORD\" }} }}\ngrants = {{ network = [\"127.0.0.1:{port}\"] }}\n",
            key.trim()
        ))
    }
}

/// The version, as a person knows it: `OpenSSH 9.2`.
///
/// # Errors
/// When the client is not installed.
pub fn version() -> Result<String> {
    let output = Command::new("ssh").arg("-V").output().context("cannot run ssh")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let version: String = said.trim_start_matches("OpenSSH_").chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    Ok(format!("OpenSSH {version}"))
}

/// The settings with which the conformance suite runs against ProFTPD, which has none of OpenSSH's extensions here.
///
/// # Errors
/// When the server does not start.
pub fn without_extensions() -> Result<Vec<Trial>> {
    let server = ProftpdSftp::start()?;
    let wrong = "[[refusal]]\nname = \"wrong-password\"\nerror = \"access-denied\"\nsecrets = { password = { env = \"COFRE_T_WRONG\" } }\n";
    Ok(vec![Trial {
        destination: "sftp",
        server: "ProFTPD (no extensions)".to_owned(),
        settings: server.destination("backup")? + wrong,
        environment: vec![("COFRE_T_PASSWORD".to_owned(), PASSWORD.to_owned()), ("COFRE_T_WRONG".to_owned(), "errada".to_owned())],
        address: Some(server.address()),
        keep: vec![Box::new(server) as Box<dyn Any>],
    }])
}

/// The same against OpenSSH by password, with what must be refused.
///
/// # Errors
/// When the server does not start.
pub fn by_password() -> Result<Vec<Trial>> {
    let mut server = Sshd::start()?;
    server.read_only_folder("readonly")?;
    let mut settings = server.destination(server.port, "backup", "password = { env = \"COFRE_T_PASSWORD\" }")?;
    settings += &format!(
        "[[refusal]]\nname = \"wrong-password\"\nerror = \"access-denied\"\nsecrets = {{ password = {{ env = \"COFRE_T_WRONG\" }} }}\n\
         [[refusal]]\nname = \"other-host-key\"\nerror = \"access-denied\"\nsettings = {{ host_key = \"{OTHER_KEY}\" }}\n\
         [[refusal]]\nname = \"read-only-folder\"\nerror = \"access-denied\"\nsettings = {{ directory = \"readonly\" }}\n"
    );
    if server.small_folder("small")? {
        settings += "[[refusal]]\nname = \"no-space\"\nerror = \"out-of-space\"\nbytes = \"4MiB\"\nsettings = { directory = \"small\" }\n";
    }
    let environment = [("COFRE_T_PASSWORD", PASSWORD), ("COFRE_T_WRONG", "errada")];
    Ok(vec![trial(server, settings, &environment, "password")?])
}

/// The same by a key that has a passphrase.
///
/// # Errors
/// When the server does not start.
pub fn by_key() -> Result<Vec<Trial>> {
    let server = Sshd::start_with("PasswordAuthentication no\nRekeyLimit 64M")?;
    let key = server.new_key("ed25519", KEY_PASSPHRASE, "")?;
    let secrets = "private_key = { env = \"COFRE_T_KEY\" }, key_passphrase = { env = \"COFRE_T_PASSPHRASE\" }";
    let mut settings = server.destination(server.port, "", secrets)?;
    settings += "[[refusal]]\nname = \"other-key\"\nerror = \"access-denied\"\n\
                 secrets = { private_key = { env = \"COFRE_T_STRANGER\" }, key_passphrase = { env = \"COFRE_T_PASSPHRASE\" } }\n\
                 [[refusal]]\nname = \"wrong-passphrase\"\nerror = \"invalid-config\"\n\
                 secrets = { private_key = { env = \"COFRE_T_KEY\" }, key_passphrase = { env = \"COFRE_T_WRONG\" } }\n";
    let stranger = stranger(&server)?;
    let environment = [
        ("COFRE_T_KEY", key.as_str()),
        ("COFRE_T_PASSPHRASE", KEY_PASSPHRASE),
        ("COFRE_T_STRANGER", &stranger),
        ("COFRE_T_WRONG", "errada"),
    ];
    Ok(vec![trial(server, settings, &environment, "Ed25519 key")?])
}

/// A key of another server.
const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

fn stranger(server: &Sshd) -> Result<String> {
    let path = server.directory.path().join("stranger");
    keygen(&path, "ed25519", "")?;
    Ok(std::fs::read_to_string(path)?)
}

fn trial(server: Sshd, settings: String, environment: &[(&str, &str)], by: &str) -> Result<Trial> {
    Ok(Trial {
        destination: "sftp",
        server: format!("{} ({by})", version()?),
        settings,
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        address: Some(server.address()),
        keep: vec![Box::new(server) as Box<dyn Any>],
    })
}

/// An account that is removed with its owner.
struct Account {
    name: String,
    id: u32,
    home: PathBuf,
}

impl Account {
    fn make(home: &Path) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        remove_left_behind();
        let name = format!("{ACCOUNT}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let hash = run(Command::new("openssl").args(["passwd", "-6", PASSWORD]))?;
        alone(
            "useradd",
            &["--no-create-home", "--shell", "/bin/sh", "--password", hash.trim(), "--home-dir", &home.display().to_string(), &name],
        )?;
        let id = run(Command::new("id").args(["-u", &name]))?.trim().parse().context("the account has no number");
        let account = Self { name, id: id?, home: home.to_path_buf() };
        std::fs::create_dir(home)?;
        chown(home, Some(account.id), Some(account.id))?;
        Ok(account)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // Forced: a connection that is just ending still runs under it.
        if let Err(error) = alone("userdel", &["--force", &self.name]) {
            eprintln!("the account {} is left behind: {error:#}", self.name);
        }
    }
}

/// Removes the accounts of test runs that were killed.
fn remove_left_behind() {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    for name in accounts.lines().filter_map(|line| line.split(':').next()) {
        let process = name.strip_prefix(ACCOUNT).and_then(|rest| rest.split_once('-')).map(|(process, _)| process);
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = alone("userdel", &["--force", name]);
        }
    }
}

/// Runs a command that changes the accounts, of which there may be one at a time.
fn alone(program: &str, arguments: &[&str]) -> Result<()> {
    let lock = std::env::temp_dir().join("cofre-test-accounts.lock");
    run(Command::new("flock").arg(lock).arg(program).args(arguments)).map(drop)
}

/// A mounted file system that goes with its owner.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

/// Makes a pair of keys. One round of the passphrase's function is enough here: each of a suite's hundreds of sessions opens the key.
fn keygen(path: &Path, kind: &str, passphrase: &str) -> Result<()> {
    run(Command::new("ssh-keygen").args(["-q", "-a", "1", "-t", kind, "-N", passphrase, "-C", "cofre-test", "-f"]).arg(path)).map(drop)
}

fn open_to_all(path: &Path) -> Result<()> {
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
