//! What the S3 plug-in asks the service to keep: Object Lock, protection, addresses to share; temporary credentials and keys of the
//! key service. What holds is asked of the official client.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use cofre::plugin::{PluginEngine, WasmDestination};
use cofre::ports::{Destination, DestinationErrorKind, DestinationSettings, Grants, NetworkPattern, PluginLimits};
use cofre_tests::cofre::{Installation, plugins, said, tools};
use cofre_tests::moto::Moto;
use cofre_tests::sample;
use cofre_tests::servers::{S3_KEY, S3_SECRET, SeaweedFs};

const PART: u64 = 5 << 20;

/// A server with a bucket that was made with Object Lock, and one without.
fn server() -> Result<SeaweedFs> {
    let server = SeaweedFs::start(&tools())?;
    server.make_bucket(&tools(), "sem-trava")?;
    server.client(&tools(), "c.create_bucket(Bucket='travado', ObjectLockEnabledForBucket=True)")?;
    Ok(server)
}

fn destination(server: &SeaweedFs, settings: &str, delete: bool) -> String {
    format!(
        "[[destination]]\nname = \"nuvem\"\nplugin = \"s3\"\nsettings = {{ endpoint = \"{}\", path_style = true, part_size = {PART}, {settings} }}\n\
         secrets = {{ access_key_id = {{ env = \"T_KEY\" }}, secret_access_key = {{ env = \"T_SECRET\" }} }}\n\
         grants = {{ network = [\"{}\"], delete = {delete} }}\nretry = {{ attempts = 2, first_pause = \"50ms\" }}\n",
        server.endpoint(),
        server.target()
    )
}

fn run(cofre: &Installation, code: i32, arguments: &[&str]) -> Result<String> {
    let output = cofre.command(arguments).env("T_KEY", S3_KEY).env("T_SECRET", S3_SECRET).output()?;
    ensure!(output.status.code() == Some(code), "{arguments:?}: {}", said(&output));
    Ok(said(&output))
}

fn with_files() -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    std::fs::create_dir(cofre.path("files"))?;
    sample::mixed(&cofre.path("files"), 12_000_000, 3)?;
    Ok(cofre)
}

#[test]
fn what_was_stored_under_a_lock_is_there_until_it_ends() -> Result<()> {
    let (server, cofre) = (server()?, with_files()?);
    let head = cofre.configuration()?;
    let lock = "bucket = \"travado\", object_lock = { mode = \"governance\", days = 2 }, legal_hold = true";
    cofre.configure(&format!("{head}{}", destination(&server, lock, true)))?;
    run(&cofre, 0, &["run"])?;
    run(&cofre, 0, &["verify", "--deep"])?;
    // Every object of the set, whole or in parts: locked for two days and held; and no version of it can be removed.
    let judged = server.client(
        &tools(),
        "import datetime as d
from botocore.exceptions import ClientError
n=0
for v in c.list_object_versions(Bucket='travado')['Versions']:
  k=dict(Bucket='travado',Key=v['Key'],VersionId=v['VersionId'])
  r=c.get_object_retention(**k)['Retention']
  left=(r['RetainUntilDate']-d.datetime.now(d.timezone.utc)).total_seconds()
  assert r['Mode']=='GOVERNANCE', r
  if v['Key']=='.cofre-probe':
    assert left<61, left
    continue
  assert 2*86400-600<left<=2*86400, left
  assert c.get_object_legal_hold(**k)['LegalHold']['Status']=='ON'
  try: c.delete_object(**k)
  except ClientError as e: assert e.response['Error']['Code']=='AccessDenied', e
  else: raise SystemExit('a locked version was removed')
  n+=1
print(n)",
    )?;
    ensure!(judged.parse::<u32>()? >= 5, "the client saw {judged} objects");
    // A bucket without locks cannot do that, and says so before anything is stored.
    let lock = lock.replace("travado", "sem-trava");
    cofre.configure(&format!("{head}{}", destination(&server, &lock, true)))?;
    let refused = run(&cofre, 1, &["check"])?;
    ensure!(refused.contains("/object_lock"), "{refused}");
    Ok(())
}

#[test]
fn retention_leaves_what_is_locked_whole_and_says_so() -> Result<()> {
    let (server, cofre) = (server()?, with_files()?);
    let lock = "bucket = \"travado\", object_lock = { mode = \"governance\", days = 2 }";
    let head = cofre.configuration()?;
    // Room for nothing: all but the newest set are due at once.
    cofre.configure(&format!("{head}{}[retention]\nmax_size = \"1B\"\n", destination(&server, lock, true)))?;
    run(&cofre, 0, &["run"])?;
    run(&cofre, 0, &["run"])?;
    let told = run(&cofre, 1, &["prune"])?;
    ensure!(told.contains("FAILED") && told.contains("0 went"), "{told}");
    run(&cofre, 0, &["verify", "all", "--deep"])?;
    let listed: serde_json::Value = serde_json::from_str(&run(&cofre, 0, &["--json", "list"])?)?;
    let copies: Vec<_> = listed["result"].as_array().context("no sets")?.iter().map(|set| set["copies"][0]["complete"].clone()).collect();
    ensure!(copies == [true, true], "{listed}");
    Ok(())
}

/// The destination as the host has it, without a configuration around it.
async fn instance(server: &SeaweedFs, bucket: &str) -> Result<WasmDestination> {
    let secrets = [("access_key_id", S3_KEY), ("secret_access_key", S3_SECRET)];
    let settings = DestinationSettings {
        name: "nuvem".to_owned(),
        plugin: plugins().join("s3.wasm"),
        settings: serde_json::json!({ "endpoint": server.endpoint(), "bucket": bucket, "path_style": true }),
        secrets: BTreeMap::from(secrets.map(|(name, text)| (name.to_owned(), text.into()))),
        grants: Grants { network: vec![NetworkPattern::parse(&server.target())?], delete: true, ..Grants::default() },
        limits: PluginLimits::default(),
        bandwidth: cofre::ports::Bandwidth::default(),
        ca_file: None,
    };
    let component = PluginEngine::new(None)?.load(&plugins().join("s3.wasm")).await?;
    Ok(WasmDestination::new(Arc::clone(&component), settings)?)
}

async fn put(destination: &WasmDestination, key: &str, content: &'static [u8]) -> Result<()> {
    let mut upload = destination.begin(key, Some(content.len() as u64)).await?;
    upload.write(Box::pin(content), content.len() as u64).await?;
    upload.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn protection_is_extended_and_an_address_opens_without_credentials() -> Result<()> {
    let server = server()?;
    let destination = instance(&server, "travado").await?;
    put(&destination, "um objeto/ação", b"conteudo").await?;
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let day = 86_400_000;
    let until = || -> Result<u64> {
        let lines = "print(int(c.get_object_retention(Bucket='travado',Key='um objeto/ação')['Retention']['RetainUntilDate'].timestamp()))";
        Ok(server.client(&tools(), lines)?.parse()?)
    };
    for (asked, held) in [(now + day, now + day), (now + 3 * day, now + 3 * day), (now + 2 * day, now + 3 * day)] {
        destination.protect("um objeto/ação", asked).await?;
        ensure!(until()? == held.div_ceil(1_000), "asked for {asked}: {} instead of {held}", until()?);
    }
    // The bucket has versions, and would hide it.
    let kept = destination.delete("um objeto/ação").await.err().context("what is protected was removed")?;
    ensure!(kept.kind == DestinationErrorKind::AccessDenied && kept.message.contains("until"), "{kept}");
    ensure!(destination.stat("um objeto/ação").await?.size == 8, "it is gone");
    let missing = destination.protect("nada", now + day).await.err().context("there is nothing to protect")?;
    ensure!(missing.kind == DestinationErrorKind::NotFound, "{missing}");
    let without = instance(&server, "sem-trava").await?;
    put(&without, "a", b"x").await?;
    let unsupported = without.protect("a", now + day).await.err().context("there are no locks")?;
    ensure!(unsupported.kind == DestinationErrorKind::Unsupported, "{unsupported}");

    let address = destination.share("um objeto/ação", 60).await?;
    ensure!(fetch(&address)? == (200, b"conteudo".to_vec()), "{address}");
    ensure!(fetch(&address.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))?.0 == 403, "the life of an address is not signed");
    let brief = destination.share("um objeto/ação", 1).await?;
    let deadline = SystemTime::now() + Duration::from_secs(30);
    while fetch(&brief)?.0 == 200 {
        ensure!(SystemTime::now() < deadline, "an address of one second lives on");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// A plain HTTP request with nothing of ours in it; status and body.
fn fetch(address: &str) -> Result<(u16, Vec<u8>)> {
    let (host, path) = address.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("no address over plain HTTP")?;
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no end of the headers")?;
    let status = String::from_utf8_lossy(&answer[..end]).split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, answer[end + 4..].to_vec()))
}

#[test]
fn a_session_token_and_a_key_of_the_key_service_arrive_and_hold() -> Result<()> {
    let ((moto, account), cofre) = (Moto::start()?, with_files()?);
    let head = cofre.configuration()?;
    cofre.configure(&format!(
        "{head}[[destination]]\nname = \"nuvem\"\nplugin = \"s3\"\n\
         settings = {{ endpoint = \"{}\", bucket = \"copias\", part_size = {PART}, server_side_encryption = \"aws:kms\", kms_key_id = \"{}\" }}\n\
         secrets = {{ access_key_id = {{ env = \"T_KEY\" }}, secret_access_key = {{ env = \"T_SECRET\" }}, session_token = {{ env = \"T_TOKEN\" }} }}\n\
         grants = {{ network = [\"{}\"], delete = true }}\nretry = {{ attempts = 1 }}\n",
        moto.endpoint(),
        account.key,
        moto.target()
    ))?;
    let [key, secret, token] = &account.temporary;
    let run = |code: i32, token: &str, arguments: &[&str]| -> Result<String> {
        let output = cofre.command(arguments).env("T_KEY", key).env("T_SECRET", secret).env("T_TOKEN", token).output()?;
        ensure!(output.status.code() == Some(code), "{arguments:?}: {}", said(&output));
        ensure!(!said(&output).contains(token), "the token was printed");
        Ok(said(&output))
    };
    run(0, token, &["run"])?;
    run(0, token, &["verify", "--deep"])?;
    let judged = moto.python(&format!(
        "import boto3
c=boto3.client('s3',endpoint_url=ENDPOINT,region_name='us-east-1',aws_access_key_id='{key}',aws_secret_access_key='{secret}',aws_session_token='{token}')
n=0
for o in c.list_objects_v2(Bucket='copias')['Contents']:
  h=c.head_object(Bucket='copias',Key=o['Key'])
  assert h['ServerSideEncryption']=='aws:kms' and h['SSEKMSKeyId'].endswith('{}'), h
  n+=1
print(n)",
        account.key
    ))?;
    ensure!(judged.parse::<u32>()? >= 5, "the client saw {judged} objects");
    let refused = run(1, "um-token-errado-1234", &["check"])?;
    ensure!(refused.contains("session_token") || refused.contains("token"), "{refused}");
    Ok(())
}
