//! A fake of Google Drive, held to the truth by Google's own client.

use std::any::Any;

use anyhow::Result;

use crate::conformance::Trial;
use crate::fakes::Fake;

/// Secrets of the user `ana`, as a `[[destination]]` names them.
const USER: &str =
    "refresh_token = { env = \"COFRE_T_REFRESH\" }, client_id = { env = \"COFRE_T_CLIENT\" }, client_secret = { env = \"COFRE_T_SECRET\" }";

/// The shared drive that the fake has.
pub const SHARED_DRIVE: &str = "0AShared-Drive_x";

/// What the fake's environment variables hold.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("COFRE_T_REFRESH", "RT"),
    ("COFRE_T_CLIENT", "CID"),
    ("COFRE_T_SECRET", "CSEC"),
    ("COFRE_T_WRONG", "errado"),
    ("COFRE_T_FILE", "RT-FILE"),
    ("COFRE_T_READER", "RT-READ"),
    ("COFRE_T_FULL", "RT-FULL"),
    ("COFRE_T_REVOKED", "1//revogado"),
];

/// Google Drive with a user, a service account and a shared drive.
pub struct GoogleDrive(Fake);

impl GoogleDrive {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start() -> Result<Self> {
        Ok(Self(Fake::start("drive_fake.py")?))
    }

    /// The fake itself.
    pub fn fake(&self) -> &Fake {
        &self.0
    }

    /// The keys of a `[[destination]]` of the user, without its name and plug-in, through `port`, which is its own or a proxy's; `more`
    /// are further settings, each with a comma before it.
    pub fn destination(&self, port: u16, more: &str) -> String {
        self.with_secrets(port, more, USER)
    }

    /// The same of the service account, in the shared drive.
    pub fn shared(&self, port: u16, more: &str) -> String {
        let more = format!(", drive_id = \"{SHARED_DRIVE}\", trash = true{more}");
        self.with_secrets(port, &more, "service_account_key = { env = \"COFRE_T_KEY\" }")
    }

    fn with_secrets(&self, port: u16, more: &str, secrets: &str) -> String {
        format!(
            "settings = {{ endpoint = \"https://localhost:{port}\", folder = \"Cópias/srv 1\"{more} }}\nsecrets = {{ {secrets} }}\n\
             grants = {{ network = [\"localhost:{port}\"], delete = true }}\nca_file = \"{}\"\n",
            self.0.authority().display()
        )
    }

    /// Environment variables that the secrets name.
    ///
    /// # Errors
    /// When the fake left no keys.
    pub fn environment(&self) -> Result<Vec<(String, String)>> {
        let key = |name: &str| std::fs::read_to_string(self.0.directory().join(name));
        let mut variables: Vec<(String, String)> =
            ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        variables.push(("COFRE_T_KEY".to_owned(), key("robot.json")?));
        variables.push(("COFRE_T_STRANGER".to_owned(), key("stranger.json")?));
        Ok(variables)
    }
}

fn refusal(name: &str, error: &str, secret: &str) -> String {
    format!("[[refusal]]\nname = \"{name}\"\nerror = \"{error}\"\nsecrets = {{ {secret} }}\n")
}

/// The settings with which the conformance suite runs: a user's own drive, and a service account in a shared drive.
///
/// # Errors
/// When the fake does not start.
pub fn trials() -> Result<Vec<Trial>> {
    let part = ", part_size = 1048576, parallel_uploads = 4";
    let user = GoogleDrive::start()?;
    // So that a folder has more than one page.
    user.0.order(&serde_json::json!({"page": 100}))?;
    let settings = user.destination(user.0.port(), part)
        + &refusal("wrong-secret", "access-denied", "client_secret = { env = \"COFRE_T_WRONG\" }")
        + &refusal("revoked-token", "access-denied", "refresh_token = { env = \"COFRE_T_REVOKED\" }")
        + &refusal("read-only-scope", "access-denied", "refresh_token = { env = \"COFRE_T_READER\" }")
        + &refusal("no-space", "out-of-space", "refresh_token = { env = \"COFRE_T_FULL\" }")
        + "[[refusal]]\nname = \"no-such-folder\"\nerror = \"invalid-config\"\nsettings = { folder_id = \"1nowhere\" }\n";
    let shared = GoogleDrive::start()?;
    let machine = shared.shared(shared.0.port(), part)
        + &refusal("key-of-another", "access-denied", "service_account_key = { env = \"COFRE_T_STRANGER\" }")
        + "[[refusal]]\nname = \"not-delegated\"\nerror = \"access-denied\"\nsettings = { impersonate = \"outra@empresa.example\" }\n"
        + "[[refusal]]\nname = \"deletion-for-good\"\nerror = \"access-denied\"\nverb = \"delete\"\nsettings = { trash = false }\n";
    Ok(vec![trial(user, "Google Drive (fake), a user", settings)?, trial(shared, "Google Drive (fake), a shared drive", machine)?])
}

fn trial(server: GoogleDrive, name: &str, settings: String) -> Result<Trial> {
    Ok(Trial {
        destination: "gdrive",
        server: name.to_owned(),
        settings,
        environment: server.environment()?,
        address: Some(server.0.address()),
        keep: vec![Box::new(server) as Box<dyn Any>],
    })
}
