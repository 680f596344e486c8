//! A fake of Dropbox, held to the truth by Dropbox's own client.

use std::any::Any;

use anyhow::Result;

use crate::conformance::Trial;
use crate::fakes::Fake;

/// What the fake's environment variables hold.
const ENVIRONMENT: [(&str, &str); 10] = [
    ("COFRE_T_REFRESH", "RT"),
    ("COFRE_T_CLIENT", "APP"),
    ("COFRE_T_SECRET", "ASEC"),
    ("COFRE_T_WRONG", "errado"),
    ("COFRE_T_READER", "RT-READ"),
    ("COFRE_T_FULL", "RT-FULL"),
    ("COFRE_T_REVOKED", "revogado"),
    ("COFRE_T_TEAM", "RT-TEAM"),
    ("COFRE_T_FOLDER", "RT-FOLDER"),
    ("COFRE_T_FOLDER_APP", "FOLDER"),
];

/// Dropbox with a user in a team and an app that has a folder only.
pub struct Dropbox(Fake);

impl Dropbox {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start() -> Result<Self> {
        Ok(Self(Fake::start("dropbox_fake.py")?))
    }

    /// The fake itself.
    pub fn fake(&self) -> &Fake {
        &self.0
    }

    /// The keys of a `[[destination]]`, without its name and plug-in, through `port`, which is its own or a proxy's; `more` are further
    /// settings, each with a comma before it.
    pub fn destination(&self, port: u16, more: &str) -> String {
        self.with_secrets(
            port,
            more,
            "refresh_token = { env = \"COFRE_T_REFRESH\" }, client_id = { env = \"COFRE_T_CLIENT\" }, client_secret = { env = \"COFRE_T_SECRET\" }",
        )
    }

    /// The same in a folder of a team, for one of its members, by an app of the whole team.
    pub fn team(&self, port: u16, more: &str) -> String {
        let more = format!(", namespace_id = \"2002\", team_member_id = \"dbmid:ana\"{more}");
        self.with_secrets(port, &more, "refresh_token = { env = \"COFRE_T_TEAM\" }, client_id = { env = \"COFRE_T_CLIENT\" }")
    }

    /// The same by an app that has its own folder only, and without the app's secret.
    pub fn app_folder(&self, port: u16, more: &str) -> String {
        self.with_secrets(port, more, "refresh_token = { env = \"COFRE_T_FOLDER\" }, client_id = { env = \"COFRE_T_FOLDER_APP\" }")
    }

    fn with_secrets(&self, port: u16, more: &str, secrets: &str) -> String {
        format!(
            "settings = {{ endpoint = \"https://localhost:{port}\", folder = \"Cópias/srv 1\"{more} }}\nsecrets = {{ {secrets} }}\n\
             grants = {{ network = [\"localhost:{port}\"], delete = true }}\nca_file = \"{}\"\n",
            self.0.authority().display()
        )
    }

    /// Environment variables that the secrets name.
    pub fn environment(&self) -> Vec<(String, String)> {
        ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

fn refusal(name: &str, error: &str, secret: &str) -> String {
    format!("[[refusal]]\nname = \"{name}\"\nerror = \"{error}\"\nsecrets = {{ {secret} }}\n")
}

/// The settings with which the conformance suite runs: an account, and a team's folder.
///
/// # Errors
/// When the fake does not start.
pub fn trials() -> Result<Vec<Trial>> {
    let part = ", part_size = 4194304, parallel_uploads = 4";
    let account = Dropbox::start()?;
    // So that a listing has more than one page.
    account.0.order(&serde_json::json!({"page": 100}))?;
    let settings = account.destination(account.0.port(), part)
        + &refusal("wrong-secret", "access-denied", "client_secret = { env = \"COFRE_T_WRONG\" }")
        + &refusal("revoked-token", "access-denied", "refresh_token = { env = \"COFRE_T_REVOKED\" }")
        + &refusal("read-only-scope", "access-denied", "refresh_token = { env = \"COFRE_T_READER\" }")
        + &refusal("no-space", "out-of-space", "refresh_token = { env = \"COFRE_T_FULL\" }")
        + "[[refusal]]\nname = \"foreign-namespace\"\nerror = \"invalid-config\"\nsettings = { namespace_id = \"4004\" }\n";
    let team = Dropbox::start()?;
    let member = team.team(team.0.port(), part)
        + "[[refusal]]\nname = \"not-a-member\"\nerror = \"access-denied\"\nsettings = { team_member_id = \"dbmid:outra\" }\n";
    Ok(vec![trial(account, "Dropbox (fake), an account", settings), trial(team, "Dropbox (fake), a team folder", member)])
}

fn trial(server: Dropbox, name: &str, settings: String) -> Trial {
    Trial {
        destination: "dropbox",
        server: name.to_owned(),
        settings,
        environment: server.environment(),
        address: Some(server.0.address()),
        keep: vec![Box::new(server) as Box<dyn Any>],
    }
}
