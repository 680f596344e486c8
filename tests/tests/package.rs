//! The Debian package on a clean Debian: it installs, its service backs up by itself, root and the service share one state, an upgrade keeps
//! what was approved, and a purge leaves backups and the key to them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{said, target};
use cofre_tests::debian::Debian;
use cofre_tests::packages;

/// Highest exposure by the reckoning of `systemd-analyze security`, in tenths.
const EXPOSURE: &str = "25";

/// A daily backup that is also due when the daemon starts, and is not due again while a test runs.
const CONFIGURATION: &str = "locale = \"en\"\ntime_zone = \"UTC\"\n[passphrase]\nfile = \"/etc/cofre/passphrase\"\n[storage]\nspool_reserve = \"10MiB\"\n[encryption]\niterations = 10000\n[[directory]]\npath = \"/etc\"\nexclude = [\"/cofre/passphrase\"]\n[[destination]]\nname = \"disk\"\nplugin = \"local\"\ngrants = { directory = \"/var/backups/cofre\", delete = true }\n[[job]]\nname = \"yearly\"\naction = \"run\"\nschedule = \"0 0 29 2 *\"\nat_start = true\n[log]\ndirectory = \"/var/log/cofre\"\n";

/// What the service's account may do, for a command without systemd.
const AS_THE_SERVICE: &str = "setpriv --reuid=cofre --regid=cofre --init-groups --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search --bounding-set=-all,+dac_read_search";

#[test]
fn it_installs_backs_up_by_itself_upgrades_and_leaves_backups_when_purged() -> Result<()> {
    let debian = Debian::new()?;
    let package = package()?;
    install(&debian, &package)?;
    prepare(&debian)?;
    once_and_by_root(&debian)?;
    serve(&debian)?;
    upgrade(&debian, &package)?;
    purge(&debian)
}

/// The one that `cargo xtask package` made last.
fn package() -> Result<PathBuf> {
    let folder = target().join("debian");
    let made = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let packages = made.filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let newest = packages.max_by_key(|path| path.metadata().and_then(|status| status.modified()).ok());
    newest.with_context(|| format!("no package in {}: run `cargo xtask package --profile release` first", folder.display()))
}

fn install(debian: &Debian, package: &Path) -> Result<()> {
    std::fs::copy(package, debian.path("cofre.deb"))?;
    let said = debian.run("apt-get install -y -q --no-install-recommends /cofre.deb")?;
    ensure!(said.contains("cofre init"), "nobody is told what comes next: {said}");
    let owners = debian.run(
        "stat -c '%U:%G %a %n' /usr/bin/cofre /etc/cofre /var/lib/cofre /var/backups/cofre /var/log/cofre /usr/lib/cofre/plugins/local.wasm \
         /usr/lib/systemd/system/cofre.service",
    )?;
    let wanted = "root:root 755 /usr/bin/cofre\nroot:cofre 750 /etc/cofre\ncofre:cofre 700 /var/lib/cofre\ncofre:cofre 700 /var/backups/cofre\ncofre:cofre 750 /var/log/cofre\n\
                  root:root 644 /usr/lib/cofre/plugins/local.wasm\nroot:root 644 /usr/lib/systemd/system/cofre.service\n";
    ensure!(owners == wanted, "{owners}");
    debian.run(
        "test -s /usr/share/man/man1/cofre.1.gz; test -s /usr/share/bash-completion/completions/cofre; \
         test -s /usr/share/zsh/vendor-completions/_cofre; test -s /usr/share/fish/vendor_completions.d/cofre.fish; \
         test -s /usr/share/doc/cofre/examples/cofre.toml; dpkg --verify cofre; \
         ! test -e /etc/cofre/cofre.toml; ! systemctl is-enabled cofre.service",
    )?;
    debian.run("SYSTEMD_LOG_LEVEL=warning systemd-analyze --man=no verify /usr/lib/systemd/system/cofre.service")?;
    debian
        .run(&format!("systemd-analyze security --offline=true --threshold={EXPOSURE} --no-pager /usr/lib/systemd/system/cofre.service"))
        .map(drop)
}

/// What an administrator does.
fn prepare(debian: &Debian) -> Result<()> {
    let said = debian.run("cofre --locale en init")?;
    ensure!(said.contains("Plug-ins approved") && said.contains("local "), "{said}");
    ensure!(!said.contains("are not kept"), "compiled plug-ins are thrown away: {said}");
    std::fs::write(debian.path("etc/cofre/cofre.toml"), CONFIGURATION)?;
    let modes = debian.run("stat -c '%U %a' /etc/cofre/passphrase")?;
    ensure!(modes == "root 600\n", "{modes}");
    debian.run("cofre check").map(drop)
}

/// The service's account and root take turns, and neither is in the other's way.
fn once_and_by_root(debian: &Debian) -> Result<()> {
    debian.run(&format!("{AS_THE_SERVICE} cofre daemon --once"))?;
    debian.run("cofre run --tag by-hand")?;
    debian.run("cofre restore latest --path /etc/shadow --to /root/restored")?;
    let restored = debian.run("cd /root/restored; find . -name shadow -exec stat -c '%U:%G %a' {} + -exec cmp {} /etc/shadow ';'")?;
    ensure!(restored == "root:shadow 640\n", "the file was not restored with its owner: {restored:?}");
    shared(debian)?;
    debian.run(&format!("{AS_THE_SERVICE} cofre daemon --once"))?;
    debian.run("cofre verify all --deep")?;
    ensure!(sets(debian)?.len() == 3, "{:?}", sets(debian)?);
    let log = debian.run("cat /var/log/cofre/backup-cofre.*.log")?;
    ensure!(log.contains("yearly"), "the log does not tell what was done: {log}");
    shared(debian)
}

/// Everything in the state belongs to the service's account.
fn shared(debian: &Debian) -> Result<()> {
    let others = debian.run("find /var/lib/cofre /var/backups/cofre /var/log/cofre ! -user cofre")?;
    ensure!(others.is_empty(), "not of the service's account: {others}");
    Ok(())
}

/// The service as systemd runs it, with everything that the unit takes from it.
fn serve(debian: &Debian) -> Result<()> {
    let before = sets(debian)?.len();
    let said = debian.boot(
        "systemctl enable --now cofre
        until journalctl -u cofre -o cat | grep 'yearly (run)'; do sleep 0.1; done
        systemctl reload cofre
        until grep 'read again' /var/log/cofre/backup-cofre.*.log; do sleep 0.1; done
        systemctl is-active cofre
        systemctl stop cofre
        systemctl show -p Result -p NRestarts cofre",
    )?;
    let Some(said) = said else { return Ok(()) };
    ensure!(said.contains("Result=success") && said.contains("NRestarts=0"), "{said}");
    ensure!(sets(debian)?.len() == before + 1, "the service made not one set: {said}");
    debian.run("cofre verify")?;
    shared(debian)
}

/// A later version brings another `local`: it is used at once, as the one before it was approved.
fn upgrade(debian: &Debian, package: &Path) -> Result<()> {
    let room = tempfile::tempdir()?;
    let (tree, later) = (room.path().join("tree"), room.path().join("later.deb"));
    dpkg(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&tree))?;
    let component = tree.join("usr/lib/cofre/plugins/local.wasm");
    // A section that says nothing: other bytes, the same plug-in.
    let bytes = [std::fs::read(&component)?, vec![0, 2, 1, b'x']].concat();
    std::fs::write(&component, bytes)?;
    let control = std::fs::read_to_string(tree.join("DEBIAN/control"))?;
    let version = control.lines().find(|line| line.starts_with("Version: ")).context("a version")?;
    std::fs::write(tree.join("DEBIAN/control"), control.replace(version, &format!("{version}.1")))?;
    dpkg(Command::new("dpkg-deb").args(["--build", "--root-owner-group", "-Znone"]).arg(&tree).arg(&later))?;
    std::fs::copy(&later, debian.path("later.deb"))?;
    debian.run("apt-get install -y -q --no-install-recommends /later.deb")?;
    let plugins = debian.run("cofre --locale en plugin list")?;
    ensure!(plugins.contains("approved") && !plugins.contains("changed") && !plugins.contains("pending"), "{plugins}");
    debian.run("cofre run").map(drop)
}

fn purge(debian: &Debian) -> Result<()> {
    let before = sets(debian)?;
    ensure!(debian.path("var/lib/cofre/catalog.db").exists(), "there is no catalogue to remove");
    // A set that is not copied yet, and a secret that an administrator put there.
    debian.run("install -d -o cofre /var/lib/cofre/spool/backup_2026_01_01_00_00_00; echo token > /etc/cofre/cloud.token")?;
    let said = debian.run("apt-get purge -y -q cofre")?;
    for told in ["/etc/cofre/passphrase stays", "/var/backups/cofre is not empty", "/var/lib/cofre/spool is not empty"] {
        ensure!(said.contains(told), "nobody is told that {told}: {said}");
    }
    debian.run(
        "test -s /etc/cofre/passphrase; test -s /etc/cofre/cloud.token; test -d /var/lib/cofre/spool/backup_2026_01_01_00_00_00; \
         ! test -e /etc/cofre/cofre.toml; ! test -e /etc/cofre/plugins.lock; ! test -e /var/cache/cofre; \
         test \"$(find /var/lib/cofre -type f | wc -l)\" = 0; ! test -e /usr/bin/cofre; ! test -e /usr/lib/cofre",
    )?;
    ensure!(sets(debian)? == before && !before.is_empty(), "the purge removed sets: {:?} of {before:?}", sets(debian)?);
    opens_without_cofre(debian, before.last().context("a set")?)
}

/// The backup of /etc still opens, with the passphrase that stayed.
fn opens_without_cofre(debian: &Debian, set: &str) -> Result<()> {
    packages::ensure(&["openssl"])?;
    let script = "set -o pipefail; find \"$1\" -name '*.tar.gz.enc' | while read -r artifact; do \
                  openssl enc -d -aes-256-cbc -pbkdf2 -iter 10000 -md sha256 -pass \"file:$2\" -in \"$artifact\" | tar -tzf -; done";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).arg(debian.path("var/backups/cofre").join(set)).arg(debian.path("etc/cofre/passphrase"));
    let output = command.output()?;
    let listed = said(&output);
    ensure!(output.status.success() && listed.lines().any(|line| line.ends_with("etc/shadow")), "{}: {listed}", output.status);
    Ok(())
}

/// Names of the sets at the destination, sorted.
fn sets(debian: &Debian) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(debian.path("var/backups/cofre"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("backup_") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn dpkg(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", said(&output));
    Ok(())
}
