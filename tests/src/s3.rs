//! The trials of `s3`: SeaweedFS, which checks signatures and permissions.

use anyhow::Result;

use crate::cofre::tools;
use crate::conformance::Trial;
use crate::servers::{S3_KEY, S3_READER_KEY, S3_READER_SECRET, S3_SECRET, SeaweedFs};

const BUCKET: &str = "conformidade";
/// The smallest part that the protocol allows.
const PART: u64 = 5 << 20;

/// The settings with which the conformance suite runs against SeaweedFS.
///
/// # Errors
/// When the server cannot be installed or does not start.
pub fn trials() -> Result<Vec<Trial>> {
    let server = SeaweedFs::start(&tools())?;
    server.make_bucket(&tools(), BUCKET)?;
    let mut settings = format!(
        "settings = {{ endpoint = \"{}\", bucket = \"{BUCKET}\", path_style = true, prefix = \"a folder/b\", part_size = {PART} }}\n\
         secrets = {{ access_key_id = {{ env = \"T_KEY\" }}, secret_access_key = {{ env = \"T_SECRET\" }} }}\n\
         grants = {{ network = [\"{}\"] }}\n",
        server.endpoint(),
        server.target()
    );
    let mut refuse = |name: &str, error: &str, more: &str| {
        settings += &format!("[[refusal]]\nname = \"{name}\"\nerror = \"{error}\"\n{more}\n");
    };
    refuse("wrong-secret", "access-denied", "secrets = { secret_access_key = { env = \"T_WRONG\" } }");
    refuse("unknown-key", "access-denied", "secrets = { access_key_id = { env = \"T_WRONG\" } }");
    refuse("session-token", "access-denied", "secrets = { session_token = { env = \"T_WRONG\" } }");
    let reader = "secrets = { access_key_id = { env = \"T_READER\" }, secret_access_key = { env = \"T_READER_SECRET\" } }";
    refuse("read-only", "access-denied", reader);
    refuse("read-only-put", "access-denied", &format!("verb = \"put\"\n{reader}"));
    refuse("read-only-delete", "access-denied", &format!("verb = \"delete\"\n{reader}"));
    // A write by its administrator would make the bucket.
    refuse("no-bucket", "invalid-config", "verb = \"list\"\nsettings = { bucket = \"outro-balde\" }");
    refuse("not-granted", "invalid-config", "grants = { network = [\"outro.example:443\"] }");
    refuse("no-deletion", "access-denied", "verb = \"delete\"\ngrants = { delete = false }");
    refuse("nobody-there", "unavailable", "settings = { endpoint = \"http://127.0.0.1:1\" }\ngrants = { network = [\"127.0.0.1:1\"] }");
    let secrets = [
        ("T_KEY", S3_KEY),
        ("T_SECRET", S3_SECRET),
        ("T_WRONG", "segredo-errado-123"),
        ("T_READER", S3_READER_KEY),
        ("T_READER_SECRET", S3_READER_SECRET),
    ];
    let trial = Trial {
        destination: "s3",
        server: "SeaweedFS".to_owned(),
        settings,
        environment: secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        address: Some(server.address()),
        keep: vec![Box::new(server)],
    };
    Ok(vec![trial])
}
