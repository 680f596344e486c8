//! `cofre plugin`: what plug-ins ask for, in plain words, and the administrator's answer.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Exit;
use super::args::{Consent, Global, PluginCommand};
use super::render::{Renderer, table};
use crate::config::PluginConfig;
use crate::job::{self, Context, JobError, ListedPlugin, PluginRoom, Proposal, doctor};
use crate::plugin::{Change, NetworkNeed, PluginState, SecretNeed, Signature};
use crate::text::Locale;

/// Runs the commands that need no more of a configuration than what it says of plug-ins.
pub(super) async fn run(command: PluginCommand, global: &Global, renderer: Renderer) -> Result<Exit, JobError> {
    let desk = Desk::open(global, renderer)?;
    let exit = match command {
        PluginCommand::Add { files, consent } => desk.add(&files, consent).await,
        PluginCommand::Update { plugin, file, consent } => desk.update(&plugin, file.as_deref(), consent).await,
        PluginCommand::Remove { plugin, force } => desk.remove(&plugin, force),
        PluginCommand::List => desk.list(),
        PluginCommand::Inspect { plugin } => desk.inspect(&plugin).await,
        PluginCommand::Doctor { .. } | PluginCommand::Test(_) | PluginCommand::New(_) => {
            Err(JobError::Request("this command is answered elsewhere".to_owned()))
        }
    }?;
    Ok(if exit == Exit::Done && desk.room.audit_failure().is_some() { Exit::Warnings } else { exit })
}

/// Diagnoses configured instances.
pub(super) async fn diagnose(
    context: &Context,
    (renderer, locale): (Renderer, Locale),
    (instance, probe): (Option<&str>, bool),
) -> Result<Exit, JobError> {
    let diagnoses = doctor(context, instance, probe).await?;
    renderer.result("plugin", &diagnoses, || {
        let mark = |ok: bool| if ok { "✅" } else { "❌" }.to_owned();
        let rows = diagnoses.iter().flat_map(|diagnosis| {
            let row = |finding: &crate::job::Finding| {
                let (subject, detail) = finding.words(locale);
                vec![mark(finding.ok), diagnosis.instance.clone(), subject.to_owned(), detail]
            };
            diagnosis.findings.iter().map(row).collect::<Vec<_>>()
        });
        table(&rows.collect::<Vec<_>>())
    });
    let sound = diagnoses.iter().flat_map(|diagnosis| &diagnosis.findings).all(|finding| finding.ok);
    Ok(if sound { Exit::Done } else { Exit::Failed })
}

/// Approves the plug-ins in the plug-in directory on a machine where nothing was ever approved: they came with cofre itself. `None` where
/// something was.
pub(super) async fn approve_first(global: &Global) -> Result<(PathBuf, Option<Vec<String>>), JobError> {
    let room = PluginRoom::open(PluginConfig::load(&global.config)?, job::actor(false))?;
    let directory = room.directory().to_path_buf();
    if room.lock().exists() {
        return Ok((directory, None));
    }
    let files = if directory.is_dir() { PluginRoom::files_in(&directory)? } else { Vec::new() };
    let mut approved = Vec::new();
    for file in files {
        match room.propose(&file).await.and_then(|proposal| room.approve(&proposal).map(|()| proposal)) {
            Ok(proposal) => approved.push(format!("{} {}", proposal.pin.name, proposal.pin.version)),
            Err(error) => tracing::warn!("not approved: {error}"),
        }
    }
    Ok((directory, Some(approved)))
}

struct Desk {
    room: PluginRoom,
    renderer: Renderer,
    locale: Locale,
}

/// One plug-in, in the answer as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    pin: &'a crate::plugin::Pin,
    signature: &'a Signature,
    changes: &'a [Change],
    state: PluginState,
}

/// A file that is no plug-in.
#[derive(Serialize)]
struct Refused {
    file: PathBuf,
    error: String,
}

impl Desk {
    fn open(global: &Global, renderer: Renderer) -> Result<Self, JobError> {
        let config = PluginConfig::load(&global.config)?;
        let locale = Locale::choose(global.locale.as_deref(), config.locale.as_deref());
        Ok(Self { room: PluginRoom::open(config, job::actor(false))?, renderer, locale })
    }

    async fn add(&self, files: &[PathBuf], consent: Consent) -> Result<Exit, JobError> {
        let mut all = Vec::new();
        for file in files {
            if file.is_dir() { all.extend(PluginRoom::files_in(file)?) } else { all.push(file.clone()) }
        }
        let (mut proposals, mut refused) = (Vec::new(), Vec::new());
        for file in all {
            match self.room.propose(&file).await {
                Ok(proposal) => proposals.push(proposal),
                Err(error) if files.len() == 1 && !files[0].is_dir() => return Err(error),
                Err(error) => refused.push(Refused { file, error: error.to_string() }),
            }
        }
        self.settle(&proposals, &refused, consent)
    }

    async fn update(&self, plugin: &str, file: Option<&Path>, consent: Consent) -> Result<Exit, JobError> {
        let proposal = self.room.propose_update(plugin, file).await?;
        self.settle(&[proposal], &[], consent)
    }

    /// Shows, asks, approves, and tells.
    fn settle(&self, proposals: &[Proposal], refused: &[Refused], consent: Consent) -> Result<Exit, JobError> {
        let fresh: Vec<&Proposal> = proposals.iter().filter(|proposal| !proposal.known).collect();
        for proposal in &fresh {
            self.renderer.say(&shown(proposal, self.locale));
        }
        let agreed = self.agree(&fresh, consent)?;
        if agreed {
            fresh.iter().try_for_each(|proposal| self.room.approve(proposal))?;
        }
        let state = |proposal: &Proposal| if agreed || proposal.known { PluginState::Approved } else { PluginState::Pending };
        let answers: Vec<_> =
            proposals.iter().map(|it| Answer { pin: &it.pin, signature: &it.signature, changes: &it.changes, state: state(it) }).collect();
        let value = serde_json::json!({ "plugins": answers, "refused": refused });
        self.renderer.result("plugin", &value, || self.told(proposals, refused, agreed));
        Ok(if agreed && refused.is_empty() { Exit::Done } else { Exit::Failed })
    }

    fn told(&self, proposals: &[Proposal], refused: &[Refused], agreed: bool) -> String {
        let mut text = String::new();
        for Proposal { pin, known, .. } in proposals {
            let state = match (known, agreed) {
                (true, _) => self.locale.pick("já estava aprovado", "was approved already"),
                (false, true) => self.locale.pick("aprovado", "approved"),
                (false, false) => self.locale.pick("NÃO aprovado", "NOT approved"),
            };
            let _ = writeln!(text, "{} {}: {state}: {}", pin.name, pin.version, pin.file.display());
        }
        for Refused { file, error } in refused {
            let _ = writeln!(text, "❌ {}: {error}", file.display());
        }
        text
    }

    fn agree(&self, fresh: &[&Proposal], consent: Consent) -> Result<bool, JobError> {
        let other = fresh.iter().find(|proposal| proposal.is_by_another_signer());
        match (fresh, consent.yes, other) {
            ([], ..) => Ok(true),
            (_, true, Some(proposal)) if !consent.new_key => Err(JobError::Request(format!(
                "`{}` was signed by another key before, and --yes alone does not cover that; find out why, then repeat with --new-key as well",
                proposal.pin.name
            ))),
            (_, true, _) => Ok(true),
            _ if !self.renderer.speaks() => {
                Err(JobError::Request("there is nobody to ask with --json or --quiet; repeat with --yes".to_owned()))
            }
            _ => Ok(ask(fresh, self.locale)),
        }
    }

    fn remove(&self, plugin: &str, force: bool) -> Result<Exit, JobError> {
        let file = self.room.remove(plugin, force)?;
        self.renderer.result("plugin", &serde_json::json!({ "removed": file }), || {
            format!("{}: {}", self.locale.pick("removido", "removed"), file.display())
        });
        Ok(Exit::Done)
    }

    fn list(&self) -> Result<Exit, JobError> {
        let plugins = self.room.list()?;
        self.renderer.result("plugin", &plugins, || {
            let row = |plugin: &ListedPlugin| {
                vec![
                    plugin.name.clone(),
                    plugin.version.clone().unwrap_or_default(),
                    state(plugin.state, self.locale).to_owned(),
                    signature(&plugin.signature, self.locale),
                    plugin.file.display().to_string(),
                    plugin.used_by.join(", "),
                ]
            };
            let problems = plugins.iter().filter_map(|plugin| plugin.problem.clone());
            let lines: Vec<String> = [table(&plugins.iter().map(row).collect::<Vec<_>>())].into_iter().chain(problems).collect();
            lines.join("\n")
        });
        Ok(Exit::Done)
    }

    async fn inspect(&self, plugin: &str) -> Result<Exit, JobError> {
        let file = self.room.find(plugin);
        let examined = self.room.examine(&file)?;
        let component = self.room.load(&file).await?;
        let description = component.description();
        let value = serde_json::json!({
            "file": file, "sha256": component.sha256(), "contract": component.contract(), "state": examined.state,
            "signature": examined.signature, "approved": examined.pin, "description": description,
        });
        self.renderer.result("plugin", &value, || {
            let mut text = format!("{} {}: {}\n", description.name, description.version, description.summary);
            let state = state(examined.state, self.locale).to_owned();
            let mut rows = vec![
                vec![self.locale.pick("estado", "state").to_owned(), state],
                vec![self.locale.pick("arquivo", "file").to_owned(), file.display().to_string()],
                vec!["SHA-256".to_owned(), component.sha256().to_owned()],
                vec![self.locale.pick("assinatura", "signature").to_owned(), signature(&examined.signature, self.locale)],
                vec![self.locale.pick("contrato", "contract").to_owned(), component.contract().to_owned()],
            ];
            rows.extend(wants((&description.network, &description.secrets, description.directory), self.locale));
            text.push_str(&table(&rows));
            if let Some(problem) = examined.problem {
                let _ = write!(text, "\n{problem}");
            }
            text
        });
        Ok(Exit::Done)
    }
}

/// What a person decides upon.
fn shown(proposal: &Proposal, locale: Locale) -> String {
    let (pin, said) = (&proposal.pin, &proposal.said.description);
    let mut text = format!("{} {} ({}): {}\n", pin.name, pin.version, pin.kind.as_str(), said.summary);
    let mut rows = vec![
        vec![locale.pick("arquivo", "file").to_owned(), pin.file.display().to_string()],
        vec!["SHA-256".to_owned(), pin.sha256.clone()],
        vec![locale.pick("assinatura", "signature").to_owned(), signature(&proposal.signature, locale)],
    ];
    rows.extend(wants((&pin.network, &pin.secrets, pin.directory), locale));
    text.push_str(&table(&rows));
    text.push('\n');
    if proposal.before.is_some() {
        let _ = writeln!(text, "{}", locale.pick("Mudanças desde a última aprovação:", "Changed since it was approved last:"));
        if proposal.changes.is_empty() {
            let _ = writeln!(text, "   {}", locale.pick("só o próprio código", "nothing but the code itself"));
        }
        for change in &proposal.changes {
            let _ = writeln!(text, "   {}", changed(change, locale));
        }
    }
    text
}

/// What a plug-in asks for, in rows.
fn wants((network, secrets, directory): (&[NetworkNeed], &[SecretNeed], bool), locale: Locale) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = network
        .iter()
        .map(|need| {
            let because = locale.pick("porque", "because");
            vec![locale.pick("vai falar com", "will talk to").to_owned(), format!("{}, {because}: {}", need.target, need.reason)]
        })
        .collect();
    if network.is_empty() {
        rows.push(vec![locale.pick("rede", "network").to_owned(), locale.pick("nenhuma", "none").to_owned()]);
    }
    if directory {
        let value = locale.pick("um diretório desta máquina (grants.directory)", "one directory of this machine (grants.directory)");
        rows.push(vec![locale.pick("quer", "wants").to_owned(), value.to_owned()]);
    }
    rows.extend(secrets.iter().map(|need| {
        let optional = if need.optional { locale.pick(" (opcional)", " (optional)") } else { "" };
        let label = locale.pick("vai pedir o segredo", "will ask for the secret");
        vec![label.to_owned(), format!("{}{optional}: {}", need.name, need.summary)]
    }));
    rows
}

fn changed(change: &Change, locale: Locale) -> String {
    let sign = |added: &bool| if *added { '+' } else { '-' };
    match change {
        Change::Text { what, from, to } => format!("{what}: {from} → {to}"),
        Change::Directory { added } => {
            format!("{} {}", sign(added), locale.pick("um diretório desta máquina", "one directory of this machine"))
        }
        Change::Network { added, need } => {
            format!("{} {} {}: {}", sign(added), locale.pick("vai falar com", "will talk to"), need.target, need.reason)
        }
        Change::Secret { added, need } => {
            format!("{} {} {}: {}", sign(added), locale.pick("vai pedir o segredo", "will ask for the secret"), need.name, need.summary)
        }
        Change::Key { from: None, to } => {
            format!("{} {}", locale.pick("agora assinado pela chave", "now signed by the key"), to.as_deref().unwrap_or_default())
        }
        Change::Key { from: Some(from), to: Some(to) } => match locale {
            Locale::PtBr => format!("⚠️  ASSINADO POR OUTRA CHAVE: antes {from}, agora {to}. Descubra o motivo antes de aprovar."),
            Locale::En => format!("⚠️  SIGNED BY ANOTHER KEY: {from} before, {to} now. Find out why before you approve it."),
        },
        Change::Key { from: Some(from), to: None } => match locale {
            Locale::PtBr => format!("⚠️  SEM ASSINATURA CONFIÁVEL: antes tinha a da chave {from}. Descubra o motivo antes de aprovar."),
            Locale::En => format!("⚠️  NO TRUSTED SIGNATURE ANY MORE: it had that of the key {from}. Find out why before you approve it."),
        },
    }
}

fn signature(signature: &Signature, locale: Locale) -> String {
    match (signature, locale) {
        (Signature::None, _) => locale.pick("nenhuma", "none").to_owned(),
        (Signature::Trusted { key }, Locale::PtBr) => format!("da chave confiável {key}"),
        (Signature::Trusted { key }, Locale::En) => format!("by the trusted key {key}"),
        (Signature::Unknown { key }, Locale::PtBr) => format!("da chave desconhecida {key}: não prova nada"),
        (Signature::Unknown { key }, Locale::En) => format!("by the unknown key {key}: proves nothing"),
        (Signature::Invalid { reason }, Locale::PtBr) => format!("NÃO CONFERE: {reason}"),
        (Signature::Invalid { reason }, Locale::En) => format!("DOES NOT HOLD: {reason}"),
    }
}

fn state(state: PluginState, locale: Locale) -> &'static str {
    match state {
        PluginState::Approved => locale.pick("aprovado", "approved"),
        PluginState::Pending => locale.pick("pendente", "pending"),
        PluginState::Changed => locale.pick("alterado", "changed"),
        PluginState::Missing => locale.pick("ausente", "missing"),
        PluginState::Unsigned => locale.pick("sem assinatura", "unsigned"),
        PluginState::Invalid => locale.pick("inválido", "invalid"),
    }
}

/// Asks on standard error, so that the answer may be piped; the end of the input is a no.
fn ask(fresh: &[&Proposal], locale: Locale) -> bool {
    let names = fresh.iter().map(|proposal| format!("{} {}", proposal.pin.name, proposal.pin.version)).collect::<Vec<_>>().join(", ");
    let _ = write!(std::io::stderr(), "{} {names}? {} ", locale.pick("Aprovar", "Approve"), locale.pick("[s/N]", "[y/N]"));
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.is_ok() && matches!(line.trim().to_lowercase().as_str(), "y" | "yes" | "s" | "sim")
}
