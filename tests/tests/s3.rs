//! The S3 plug-in against a server that checks SigV4.

use anyhow::{Result, ensure};
use cofre_tests::cofre::{Installation, said, tools};
use cofre_tests::compare;
use cofre_tests::sample;
use cofre_tests::servers::{S3_KEY, S3_SECRET, SeaweedFs};

#[test]
fn a_set_goes_to_s3_and_comes_back() -> Result<()> {
    let server = SeaweedFs::start(&tools())?;
    server.make_bucket(&tools(), "copias")?;
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/files\"\n")?;
    let bucket = |name: &str, grant: &str, secret: &str| {
        format!(
            "[[destination]]\nname = \"{name}\"\nplugin = \"s3\"\nsettings = {{ endpoint = \"{}\", bucket = \"copias\", path_style = true, prefix = \"{name}\", part_size = {} }}\n\
             secrets = {{ access_key_id = {{ env = \"T_KEY\" }}, secret_access_key = {{ env = \"{secret}\" }} }}\ngrants = {{ network = [\"{grant}\"] }}\nretry = {{ attempts = 2, first_pause = \"50ms\" }}\n",
            server.endpoint(),
            5 << 20
        )
    };
    let head = cofre.configuration()?;
    std::fs::create_dir(cofre.path("files"))?;
    sample::mixed(&cofre.path("files"), 60_000_000, 3)?;
    let run = |code: i32, arguments: &[&str]| -> Result<String> {
        let output = cofre.command(arguments).env("T_KEY", S3_KEY).env("T_SECRET", S3_SECRET).env("T_WRONG", "errado").output()?;
        let said = said(&output);
        ensure!(output.status.code() == Some(code), "{arguments:?}: {said}");
        ensure!(!said.contains(S3_SECRET), "a secret was printed: {said}");
        Ok(said)
    };
    cofre.configure(&format!("{head}{}", bucket("nuvem", &server.target(), "T_SECRET")))?;
    run(0, &["run"])?;
    run(0, &["verify", "--deep"])?;
    run(0, &["restore", "latest", "--to", &cofre.path("out").display().to_string()])?;
    compare::trees(&cofre.path("files"), &cofre.path("out").join(cofre.path("files").strip_prefix("/")?))?;
    // The catalogue is a cache.
    std::fs::remove_dir_all(cofre.path("state"))?;
    run(0, &["catalog", "rebuild", "--from", "nuvem"])?;
    ensure!(run(0, &["list"])?.contains("backup_"));
    // A wrong secret is refused by the server, and said so; a missing grant never reaches it.
    cofre.configure(&format!("{head}{}", bucket("errada", &server.target(), "T_WRONG")))?;
    let said = run(1, &["run"])?;
    ensure!(said.contains("SignatureDoesNotMatch") || said.contains("signature") || said.contains("denied"), "{said}");
    cofre.configure(&format!("{head}{}", bucket("sem-permissao", "outro.example:443", "T_SECRET")))?;
    let said = run(1, &["run"])?;
    ensure!(said.contains("grants.network"), "{said}");
    Ok(())
}

#[test]
fn https_needs_an_authority_that_was_named() -> Result<()> {
    let server = SeaweedFs::start_with_tls(&tools())?;
    server.make_bucket(&tools(), "copias")?;
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/files\"\n")?;
    std::fs::create_dir(cofre.path("files"))?;
    sample::mixed(&cofre.path("files"), 3_000_000, 3)?;
    let head = cofre.configuration()?;
    for (authority, code) in [(format!("ca_file = \"{}\"\n", server.authority().display()), 0), (String::new(), 1)] {
        cofre.configure(&format!(
            "{head}[[destination]]\nname = \"nuvem\"\nplugin = \"s3\"\nsettings = {{ endpoint = \"{}\", bucket = \"copias\", path_style = true }}\n\
             secrets = {{ access_key_id = {{ env = \"T_KEY\" }}, secret_access_key = {{ env = \"T_SECRET\" }} }}\ngrants = {{ network = [\"{}\"] }}\nretry = {{ attempts = 2, first_pause = \"50ms\" }}\n{authority}",
            server.endpoint(),
            server.target(),
        ))?;
        let output = cofre.command(&["run"]).env("T_KEY", S3_KEY).env("T_SECRET", S3_SECRET).output()?;
        let said = said(&output);
        ensure!(output.status.code() == Some(code), "ca_file `{authority}`: {said}");
        ensure!(code == 0 || said.to_lowercase().contains("certificate") || said.contains("TLS"), "{said}");
    }
    Ok(())
}
