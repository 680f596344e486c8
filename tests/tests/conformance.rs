//! Every destination through the one suite, against its real server; and destinations that are wrong, each found by the case for it.

use std::io::Read as _;
use std::net::TcpListener;

use anyhow::{Context, Result, bail, ensure};
use cofre_tests::cofre::root;
use cofre_tests::conformance::{Candidate, Trial, Verdict, all, run, run_with};

/// Runs the trials of one destination, or of one of its servers.
fn conforms(destination: &str, server: &str) -> Result<()> {
    let is_it = |candidate: &Candidate| candidate.destination == destination && candidate.server == server;
    let candidate = all().into_iter().find(is_it).context("it has no trials")?;
    let trials = (candidate.trials)()?;
    ensure!(!trials.is_empty(), "it has no trials");
    let mut failures = String::new();
    for trial in trials {
        let verdict = run(&trial, candidate.arguments)?;
        eprintln!(
            "{destination} on {}: {} cases in {:.1} s, longest {:?}, skipped: {:?}",
            verdict.server, verdict.cases, verdict.seconds, verdict.slowest, verdict.skipped
        );
        failures += &verdict.failures();
        drop(trial);
    }
    ensure!(failures.is_empty(), "{failures}");
    Ok(())
}

macro_rules! destinations {
    ($($test:ident: $destination:literal $server:literal,)*) => {
        $(
            #[test]
            fn $test() -> Result<()> {
                conforms($destination, $server)
            }
        )*

        #[test]
        fn every_destination_with_trials_is_tested() {
            let tested = [$(($destination, $server)),*];
            let known: Vec<(&str, &str)> = all().into_iter().map(|candidate| (candidate.destination, candidate.server)).collect();
            assert_eq!(known, tested);
        }
    };
}

destinations! {
    local_conforms: "local" "",
    s3_conforms: "s3" "",
    sftp_conforms_on_openssh_by_password: "sftp" "openssh-password",
    sftp_conforms_on_openssh_by_key: "sftp" "openssh-key",
    sftp_conforms_on_proftpd: "sftp" "proftpd",
    ftp_conforms_on_proftpd: "ftp" "proftpd-explicit",
    ftp_conforms_on_proftpd_with_implicit_tls: "ftp" "proftpd-implicit",
    ftp_conforms_on_vsftpd: "ftp" "vsftpd",
    ftp_conforms_on_pure_ftpd: "ftp" "pure-ftpd",
    gdrive_conforms: "gdrive" "",
    dropbox_conforms: "dropbox" "",
    webdav_conforms_on_wsgidav: "webdav" "wsgidav",
    webdav_conforms_on_rclone: "webdav" "rclone",
    webdav_conforms_on_apache: "webdav" "apache",
    webdav_conforms_on_nextcloud: "webdav" "nextcloud",
    azure_blob_conforms: "azure-blob" "",
    rest_conforms: "rest" "",
}

/// A listener that takes whatever comes, so that what leaves the sandbox can be counted.
fn mirror() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || std::io::copy(&mut connection.take(u64::MAX), &mut std::io::sink()));
        }
    });
    Ok(port)
}

/// The faulty guest with one bug, or none.
fn faulty(bug: &str, arguments: &[&str]) -> Result<Verdict> {
    let directory = tempfile::tempdir()?;
    let port = mirror()?;
    let bug = if bug.is_empty() { String::new() } else { format!("bug = \"{bug}\", ") };
    let settings = format!(
        "settings = {{ {bug}mirror = \"localhost:{port}\" }}\ngrants = {{ directory = \"{}\", network = [\"localhost:{port}\"] }}\n\
         [[refusal]]\nname = \"wrong-password\"\nerror = \"access-denied\"\nsecrets = {{ password = {{ env = \"T_WRONG\" }} }}\n",
        directory.path().display()
    );
    let trial = Trial {
        destination: "faulty",
        server: "a directory".to_owned(),
        settings,
        environment: vec![("T_WRONG".to_owned(), "senha-errada".to_owned())],
        address: None,
        keep: Vec::new(),
    };
    run_with(&root().join("target/guests/faulty.wasm"), &trial, arguments)
}

#[test]
fn a_destination_that_keeps_its_promises_passes_every_case() -> Result<()> {
    let verdict = faulty("", &[])?;
    ensure!(verdict.failed.is_empty(), "{}", verdict.failures());
    ensure!(verdict.skipped.is_empty(), "{:?}", verdict.skipped);
    Ok(())
}

#[test]
fn a_destination_that_lies_or_buffers_fails_the_case_for_it() -> Result<()> {
    let meant = [
        ("appears-early", "put/unseen-until-finished", "before `finish`"),
        ("loses-a-byte", "resume/at-every-part", "is not the one that was sent"),
        ("lists-temporaries", "list/no-temporaries", "beside an open upload"),
        ("buffers-all", "pacing", "have left the sandbox"),
        ("leaks", "memory", "64 MiB are allowed"),
        ("wrong-kinds", "stat/nothing", "must be `not-found`"),
        ("wrong-kinds", "refusal/wrong-password", "must be `access-denied`"),
    ];
    for (bug, case, says) in meant {
        let verdict = faulty(bug, &["--only", case])?;
        match verdict.why(case) {
            Some(why) if why.contains(says) => {}
            Some(why) => bail!("{bug}: {case} fails for another reason than `{says}`: {why}"),
            None => bail!("{bug} is not found by {case}"),
        }
    }
    Ok(())
}
