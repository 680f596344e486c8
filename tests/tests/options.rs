//! What the configuration promises, beyond the main path: selections, exclusions, hooks, warnings, a full spool.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use cofre_tests::cofre::{Installation, PASSPHRASE, said};
use cofre_tests::sample::Random;
use cofre_tests::servers::MariaDb;

#[test]
fn only_what_is_named_is_backed_up_and_what_is_excluded_is_not() -> Result<()> {
    let cofre = Installation::new(
        "[[directory]]\npath = \"@DIR@/one\"\nexclude = [\"*.tmp\", \"!keep.tmp\"]\nmax_file_size = \"1MiB\"\n[[directory]]\npath = \"@DIR@/two\"\n",
    )?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    for folder in ["one/cache", "one/deep", "two"] {
        std::fs::create_dir_all(cofre.path(folder))?;
    }
    std::fs::write(cofre.path("one/cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n")?;
    std::fs::write(cofre.path("one/cache/big"), "x")?;
    for name in ["a.tmp", "keep.tmp", "deep/b.tmp", "plain"] {
        std::fs::write(cofre.path("one").join(name), name)?;
    }
    std::fs::write(cofre.path("one/huge"), vec![1; 2 << 20])?;
    std::fs::write(cofre.path("two/other"), "x")?;
    let one = cofre.path("one").display().to_string();
    cofre.run(0, &["run", "--only", &one])?;
    let told = said(&cofre.run(3, &["restore", "latest", "--to", &cofre.path("out").display().to_string()])?);
    ensure!(told.contains(&format!("only {one}")), "a set of a part is not told apart from a whole one: {told}");
    let out = cofre.path("out").join(cofre.path("one").strip_prefix("/")?);
    for (name, expected) in [
        ("plain", true),
        ("keep.tmp", true),
        ("a.tmp", false),
        ("deep/b.tmp", false),
        ("cache/big", false),
        ("huge", false),
        ("cache/CACHEDIR.TAG", true),
    ] {
        ensure!(out.join(name).exists() == expected, "{name}: expected {expected}");
    }
    ensure!(!cofre.path("out").join(cofre.path("two").strip_prefix("/")?).exists(), "--only was not heeded");
    let output = cofre.run(2, &["run", "--only", "nothing-like-it"])?;
    ensure!(said(&output).contains("--only"));
    Ok(())
}

#[test]
fn hooks_run_around_everything_and_their_failure_does_what_was_written() -> Result<()> {
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/data\"\n")?;
    let base = format!("{}{}", cofre.configuration()?, cofre.local("disk")?);
    std::fs::create_dir(cofre.path("data"))?;
    let script = cofre.path("hook.sh");
    std::fs::write(
        &script,
        "#!/bin/sh\necho \"$COFRE_EVENT $COFRE_SUBJECT $COFRE_OUTCOME $MODE ${HOME:+home} ${T_SECRET:-none}\" >> \"$1\"\nexit ${2:-0}\n",
    )?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let hook = |when: &str, code: u32, rest: &str| {
        format!(
            "[[hook]]\nwhen = \"{when}\"\ncommand = [\"{}\", \"@DIR@/log\", \"{code}\"]\nenv = {{ MODE = \"m\" }}\n{rest}\n",
            script.display()
        )
    };
    cofre.configure(&format!(
        "{base}{}{}{}{}",
        hook("before-run", 0, ""),
        hook("before-copy", 0, ""),
        hook("after-copy", 0, ""),
        hook("after-run", 0, "")
    ))?;
    let output = cofre.command(&["run"]).env("T_SECRET", "planted").output()?;
    ensure!(output.status.code() == Some(0), "{}", said(&output));
    let log = std::fs::read_to_string(cofre.path("log"))?;
    let lines: Vec<&str> = log.lines().collect();
    ensure!(lines.len() == 4 && lines.iter().all(|line| line.contains(" m ") && line.ends_with("none")), "{log}");
    ensure!(lines[0].starts_with("before-run") && lines[1].starts_with("before-copy disk") && lines[3].contains("after-run"), "{log}");
    ensure!(lines[3].contains("done"), "{log}");
    // A hook that fails before the run: stop is the default.
    cofre.configure(&format!("{base}{}", hook("before-run", 7, "")))?;
    ensure!(said(&cofre.run(1, &["run"])?).contains('7'));
    ensure!(cofre.sets("disk")?.len() == 1, "a set was made all the same");
    cofre.configure(&format!("{base}{}", hook("before-run", 7, "on_failure = \"warn\"")))?;
    cofre.run(3, &["run"])?;
    cofre.configure(&format!("{base}{}", hook("before-run", 7, "on_failure = \"ignore\"")))?;
    cofre.run(0, &["run"])?;
    // One that never ends is ended.
    cofre.configure(&format!("{base}[[hook]]\nwhen = \"before-run\"\nshell = \"sleep 600 & sleep 600\"\ntimeout = \"1s\"\n"))?;
    let started = std::time::Instant::now();
    cofre.run(1, &["run"])?;
    ensure!(started.elapsed().as_secs() < 60, "the time-out did not end it");
    Ok(())
}

#[test]
fn a_schema_that_vanished_or_shrank_is_a_warning_that_names_it() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql("CREATE DATABASE vai; CREATE TABLE vai.t (id INT PRIMARY KEY); CREATE DATABASE encolhe; CREATE TABLE encolhe.t (id INT PRIMARY KEY, x TEXT); USE encolhe; INSERT INTO encolhe.t SELECT seq, REPEAT('x', 500) FROM seq_1_to_2000")?;
    let cofre = Installation::new(&format!(
        "[[mysql]]\nname = \"main\"\nsocket = \"{}\"\nuser = \"root\"\ngrants = false\n",
        server.socket().display()
    ))?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    cofre.run(0, &["run"])?;
    server.sql("DROP DATABASE vai; DELETE FROM encolhe.t WHERE id > 10; CREATE DATABASE novo; CREATE TABLE novo.t (id INT)")?;
    let text = said(&cofre.run(3, &["run"])?);
    ensure!(text.contains("vai") && text.contains("encolhe") && text.contains("shrank"), "{text}");
    // The new one was found by itself.
    cofre.run(0, &["restore", "latest", "--schema", "novo", "--into", "volta", "--database", "main"])?;
    Ok(())
}

#[test]
fn a_full_spool_is_a_clear_failure_and_leaves_nothing_that_looks_whole() -> Result<()> {
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/data\"\n")?;
    std::fs::create_dir(cofre.path("data"))?;
    std::fs::write(cofre.path("data/noise"), Random::new(5).bytes(40_000_000))?;
    let base = cofre.configuration()?;
    let reserve = base.replace("spool_reserve = \"10MiB\"", "spool_reserve = \"900TiB\"");
    cofre.configure(&format!("{reserve}{}", cofre.local("disk")?))?;
    let text = said(&cofre.run(1, &["run"])?);
    ensure!(text.contains("space") && text.contains("spool"), "{text}");
    ensure!(cofre.sets("disk")?.is_empty(), "something was copied");
    // A disk that fills up in the middle, where copies never free anything: the destination is not there.
    let spool = cofre.path("small");
    std::fs::create_dir(&spool)?;
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m,mode=700", "none"]).arg(&spool).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("no right to mount here: the second half is left out");
        return Ok(());
    }
    let result = (|| {
        let storage = base.replace(
            "spool_reserve = \"10MiB\"",
            &format!("spool_reserve = \"1MiB\"\nspool_dir = \"{}\"\nspool_patience = \"2s\"", spool.display()),
        );
        // A destination with one slow attempt after the other frees nothing.
        let broken = "[[destination]]\nname = \"broken\"\nplugin = \"local\"\ngrants = { directory = \"@DIR@/gone\" }\nretry = { first_pause = \"20ms\", attempts = 2 }\n";
        std::fs::create_dir(cofre.path("gone"))?;
        cofre.configure(&format!("{storage}{broken}"))?;
        std::fs::set_permissions(cofre.path("gone"), std::fs::Permissions::from_mode(0o700))?;
        std::fs::write(cofre.path("gone/.keep"), "")?;
        let output = cofre.command(&["run"]).output()?;
        // Copies follow the file and free nothing before it has ended: 40 MB do not fit into 24.
        ensure!(output.status.code() == Some(1), "{:?} {}", output.status, said(&output));
        ensure!(said(&output).contains("space"), "{}", said(&output));
        ensure!(cofre.sets("gone")?.is_empty(), "a half set was left");
        Ok(())
    })();
    let _ = std::process::Command::new("umount").arg(&spool).status();
    result
}

#[test]
fn a_passphrase_comes_from_each_of_its_places_and_a_wrong_one_is_a_clear_mistake() -> Result<()> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/a"), "a")?;
    let text = cofre.configuration()?;
    let line = format!("file = \"{}\"", cofre.path("passphrase").display());
    let with = |way: &str| cofre.configure(&text.replace(&line, way));
    let credentials = cofre.path("credentials");
    std::fs::create_dir(&credentials)?;
    std::fs::write(credentials.join("backup"), format!("{PASSPHRASE}\n"))?;
    let run = |arguments: &[&str], variable: &str, value: &std::ffi::OsStr| -> Result<(Option<i32>, String)> {
        let output = cofre.command(arguments).env(variable, value).output()?;
        Ok((output.status.code(), said(&output)))
    };
    cofre.run(0, &["run"])?;
    let command = format!("command = [\"cat\", \"{}\"]", cofre.path("passphrase").display());
    let places = [
        ("env = \"COFRE_SECRET\"", "COFRE_SECRET", PASSPHRASE.as_ref()),
        (command.as_str(), "X", "".as_ref()),
        ("systemd_credential = \"backup\"", "CREDENTIALS_DIRECTORY", credentials.as_os_str()),
    ];
    for (way, variable, value) in places {
        with(way)?;
        // The set was made with the same passphrase from a file.
        let (code, said) = run(&["verify", "--deep"], variable, value)?;
        ensure!(code == Some(0), "{way}: {said}");
        ensure!(!said.contains(PASSPHRASE), "{way}: the passphrase was printed");
    }
    for (way, mend) in [
        ("env = \"COFRE_UNSET\"", "is not set"),
        ("command = [\"false\"]", "failed (exit status: 1)"),
        ("systemd_credential = \"other\"", "cannot read"),
        ("env = \"A\"\ncommand = [\"b\"]", "exactly one of"),
    ] {
        with(way)?;
        let (code, said) = run(&["verify"], "CREDENTIALS_DIRECTORY", credentials.as_os_str())?;
        ensure!(code == Some(2) && said.contains(mend) && said.contains("passphrase"), "{way}: {code:?} {said}");
    }
    with(&line)?;
    std::fs::set_permissions(cofre.path("passphrase"), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let refused = cofre.run(2, &["verify"])?;
    ensure!(said(&refused).contains("chmod 600"));
    Ok(())
}

#[test]
fn a_mistake_in_a_plug_ins_settings_is_told_with_its_line() -> Result<()> {
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/files\"\n")?;
    let wrong = "[[destination]]\nname = \"cloud\"\nplugin = \"s3\"\n[destination.settings]\nregion = 'x'\nbuckett = 'b'\n";
    let text = format!("{}{wrong}", cofre.configuration()?);
    cofre.configure(&text)?;
    let told = said(&cofre.run(2, &["list", "--from", "cloud"])?);
    let line = text.lines().position(|line| line.starts_with("buckett")).map_or(0, |line| line + 1);
    ensure!(
        told.contains(&format!("cofre.toml:{line}: destination.settings.buckett")) && told.contains("did you mean `bucket`?"),
        "{told}"
    );
    Ok(())
}
