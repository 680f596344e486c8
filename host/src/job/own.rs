//! The artifact `config/_cofre_…`: what is needed to understand a set and to rebuild the machine that made it, encrypted as
//! every other artifact: passport, configuration without secrets, plug-in pins and grants, and the full log.

use std::fmt::Write as _;

use super::context::{Context, JobError};
use super::produce::{ArtifactTar, ProduceError};
use crate::pipeline::Decoder;
use crate::pipeline::tar::TarReader;
use crate::set::Passport;

const PASSPORT: &str = "passport.json";
/// Largest passport that is read.
const PASSPORT_MAX: u64 = 512 << 20;
const LOG: &str = "log.txt";
/// Largest log that is read.
const LOG_MAX: u64 = 32 << 20;

/// Writes the files of the artifact.
pub(super) fn write(tar: &mut ArtifactTar, files: &[(&str, Vec<u8>)], key: &str) -> Result<(), ProduceError> {
    let now = jiff::Timestamp::now().as_second();
    for (name, content) in files {
        tar.append_bytes(name.as_bytes(), 0o600, now, content).map_err(|source| ProduceError::Tar { key: key.to_owned(), source })?;
    }
    Ok(())
}

/// The files of the artifact.
pub(super) async fn files(context: &Context, passport: &Passport, log: &str) -> Result<Vec<(&'static str, Vec<u8>)>, JobError> {
    Ok(vec![
        (PASSPORT, passport.to_bytes()?),
        ("cofre.toml", context.config.text.clone().into_bytes()),
        ("plugins.lock", pins(context).await.into_bytes()),
        (LOG, log.as_bytes().to_vec()),
    ])
}

/// Plug-ins by content, with what each instance was granted.
async fn pins(context: &Context) -> String {
    let mut text = String::from("# Plug-ins of this set, by content, and what each destination was granted.\n");
    for destination in &context.config.destinations {
        let settings = &destination.settings;
        let Ok(component) = context.engine.load(&settings.plugin).await else { continue };
        let description = component.description();
        let network: Vec<String> = settings.grants.network.iter().map(|pattern| format!("\"{pattern}\"")).collect();
        let _ = writeln!(
            text,
            "\n[[plugin]]\ninstance = \"{}\"\nname = \"{}\"\nversion = \"{}\"",
            settings.name, description.name, description.version
        );
        let _ = writeln!(text, "sha256 = \"{}\"\nnetwork = [{}]", component.sha256(), network.join(", "));
        if let Some(directory) = &settings.grants.directory {
            let _ = writeln!(text, "directory = {:?}", directory.display().to_string());
        }
    }
    text
}

/// Reads the passport out of the decrypted artifact.
pub(super) fn passport(decoder: Decoder) -> Result<Passport, JobError> {
    Ok(Passport::parse(&file(decoder, (PASSPORT, PASSPORT_MAX))?)?)
}

/// Reads the log of the run out of the decrypted artifact.
pub(super) fn log(decoder: Decoder) -> Result<String, JobError> {
    Ok(String::from_utf8_lossy(&file(decoder, (LOG, LOG_MAX))?).into_owned())
}

/// Reads one file. The artifact is read to its end, or what is damaged behind it would not be seen.
fn file(decoder: Decoder, (name, max): (&str, u64)) -> Result<Vec<u8>, JobError> {
    let mut tar = TarReader::new(decoder);
    let mut found = None;
    while let Some(entry) = tar.next_entry()? {
        if entry.path == name.as_bytes() {
            found = Some(tar.content(max)?);
        }
    }
    found.ok_or_else(|| JobError::Failed(format!("the set carries no `{name}`")))
}
