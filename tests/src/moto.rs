//! An S3 service with the key and token services beside it: moto, from the Python package index. It checks signatures, permissions and
//! session tokens, which SeaweedFS has none of.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::packages;
use crate::servers::{Owned, free_port, wait_until};

/// A private moto.
pub struct Moto {
    _directory: TempDir,
    python: PathBuf,
    port: u16,
    _process: Owned,
}

/// What the service made.
pub struct Account {
    /// Temporary credentials of a role that may use S3: access key, secret, session token.
    pub temporary: [String; 3],
    /// Identifier of a key of the key service.
    pub key: String,
}

/// A user with all rights, by the three calls that need no signature; then, signed: a bucket, a key, and a role that is assumed.
const MAKE: &str = "
import boto3, json
everything = json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]})
anyone = json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'AWS': '*'}, 'Action': 'sts:AssumeRole'}]})
def client(name, key='x', secret='x'):
    return boto3.client(name, endpoint_url=ENDPOINT, region_name='us-east-1', aws_access_key_id=key, aws_secret_access_key=secret)
iam = client('iam')
iam.create_user(UserName='owner')
iam.put_user_policy(UserName='owner', PolicyName='all', PolicyDocument=everything)
owner = iam.create_access_key(UserName='owner')['AccessKey']
signed = lambda name: client(name, owner['AccessKeyId'], owner['SecretAccessKey'])
signed('s3').create_bucket(Bucket='copias')
key = signed('kms').create_key()['KeyMetadata']['KeyId']
role = signed('iam').create_role(RoleName='backup', AssumeRolePolicyDocument=anyone)['Role']['Arn']
signed('iam').put_role_policy(RoleName='backup', PolicyName='all', PolicyDocument=everything)
got = signed('sts').assume_role(RoleArn=role, RoleSessionName='night')['Credentials']
print('\\n'.join([got['AccessKeyId'], got['SecretAccessKey'], got['SessionToken'], key]))
";

impl Moto {
    /// Starts one, with a bucket `copias`.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start() -> Result<(Self, Account)> {
        let python = packages::python("moto", &["moto[iam,kms,s3,server]", "boto3"])?;
        let directory = tempfile::Builder::new().prefix("cofre-moto").tempdir()?;
        let (port, log) = (free_port()?, directory.path().join("log"));
        let process = Command::new(&python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            // After so many calls it checks who calls.
            .env("INITIAL_NO_AUTH_ACTION_COUNT", "3")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot start moto")?;
        let server = Self { _directory: directory, python, port, _process: Owned(process) };
        wait_until("moto", &log, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        let made = server.python(MAKE)?;
        let mut lines = made.lines().map(str::to_owned);
        let mut next = || lines.next().context("moto made less than it was asked for");
        Ok((server, Account { temporary: [next()?, next()?, next()?], key: next()? }))
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Host and port, as a grant names them.
    pub fn target(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Runs Python with the official client installed, and `ENDPOINT` set; returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn python(&self, script: &str) -> Result<String> {
        let script = format!("ENDPOINT = '{}'\n{script}", self.endpoint());
        let output = Command::new(&self.python).args(["-c", &script]).output().context("cannot run Python")?;
        ensure!(output.status.success(), "the client failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
