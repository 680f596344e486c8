//! `/plugins`: what each plug-in may do, and the administrator's answer to what it asks for.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::Request;

use super::super::problem::{Kind, Problem};
use super::form::Form;
use super::frame::{Answer, Visit, Wrong};
use crate::access::Scope;
use crate::config::PluginConfig;
use crate::job::{JobError, ListedPlugin, PluginRoom, Proposal};
use crate::page::plugins::{self, Capability, Plugin, Plugins, State};
use crate::page::{Section, Tone};
use crate::plugin::{Change, PluginKind, PluginState, Signature};

pub(super) async fn show(visit: Visit) -> Answer {
    let visit = visit.at(Section::Plugins)?;
    let (room, listed) = open(&visit).await?;
    let mut plugins = Vec::new();
    for one in listed {
        plugins.push(plugin(&visit, &room, one).await);
    }
    plugins.sort_by_key(|plugin| plugin.state == State::Approved);
    let directory = room.directory().display().to_string();
    let view = Plugins { plugins, directory, may_write: visit.may(Scope::PluginWrite) };
    Ok(visit.page(plugins::render(&visit.frame, &view)))
}

async fn open(visit: &Visit) -> Result<(PluginRoom, Vec<ListedPlugin>), Wrong> {
    let sayings = Arc::clone(visit.state.sayings());
    visit
        .aside(move |context| {
            let config = PluginConfig::load(&context.config.path).map_err(JobError::from)?;
            let room = PluginRoom::open(config, context.audit.actor().clone())?.remembering(sayings);
            let listed = room.list()?;
            Ok((room, listed))
        })
        .await
}

async fn plugin(visit: &Visit, room: &PluginRoom, listed: ListedPlugin) -> Plugin {
    let state = match listed.state {
        PluginState::Approved => State::Approved,
        PluginState::Pending => State::Pending,
        PluginState::Changed => State::Changed,
        PluginState::Missing => State::Missing,
        PluginState::Unsigned => State::Unsigned,
        PluginState::Invalid => State::Invalid,
    };
    let mut view = Plugin {
        name: listed.name,
        version: listed.version.unwrap_or_default(),
        kind: String::new(),
        summary: String::new(),
        state,
        sha256: listed.sha256.unwrap_or_default(),
        signed_by: signed_by(visit, &listed.signature),
        approved: None,
        may: Vec::new(),
        differences: Vec::new(),
        used_by: listed.used_by,
        problem: listed.problem.filter(|_| state != State::Pending),
        another_signer: false,
    };
    if matches!(state, State::Missing | State::Invalid | State::Unsigned) {
        return view;
    }
    match room.propose(&listed.file).await {
        Ok(proposal) => tell(visit, &mut view, &proposal),
        Err(error) => {
            view.state = State::Invalid;
            view.problem = Some(error.to_string());
        }
    }
    view
}

/// What it says of itself, and asks for.
fn tell(visit: &Visit, view: &mut Plugin, proposal: &Proposal) {
    let said = &proposal.said.description;
    view.version.clone_from(&said.version);
    view.summary.clone_from(&said.summary);
    let kind = match said.kind {
        PluginKind::Destination => visit.t("destino", "destination"),
        PluginKind::Notifier => visit.t("notificador", "notifier"),
    };
    kind.clone_into(&mut view.kind);
    // What was looked at is what would be approved.
    view.sha256.clone_from(&proposal.pin.sha256);
    view.approved = proposal.before.as_ref().map(|before| before.approved);
    view.differences = proposal.changes.iter().map(|change| difference(visit, change)).collect();
    view.another_signer = proposal.is_by_another_signer();
    let config = &visit.context.config;
    let destinations = config.destinations.iter().map(|one| &one.settings);
    let instances: Vec<_> =
        destinations.chain(config.notifiers.iter().map(|one| &one.settings)).filter(|one| view.used_by.contains(&one.name)).collect();
    let granted = |target: &str| instances.iter().any(|one| one.grants.network.iter().any(|pattern| pattern.to_string() == target));
    view.may = said
        .network
        .iter()
        .map(|need| Capability::Network { target: need.target.clone(), reason: need.reason.clone(), granted: granted(&need.target) })
        .collect();
    view.may.extend(said.secrets.iter().map(|need| Capability::Secret {
        name: need.name.clone(),
        summary: need.summary.clone(),
        optional: need.optional,
    }));
    if said.directory {
        let paths: Vec<String> = instances.iter().filter_map(|one| Some(one.grants.directory.as_ref()?.display().to_string())).collect();
        if paths.is_empty() {
            view.may.push(Capability::Directory { path: None });
        }
        view.may.extend(paths.into_iter().map(|path| Capability::Directory { path: Some(path) }));
    }
    if instances.iter().any(|one| one.grants.delete) {
        view.may.push(Capability::Delete);
    }
}

fn signed_by(visit: &Visit, signature: &Signature) -> Option<String> {
    match signature {
        Signature::None => None,
        Signature::Trusted { key } => Some(format!("{} {key}", visit.t("chave confiável", "trusted key"))),
        Signature::Unknown { key } => {
            Some(format!("{} {key}", visit.t("chave desconhecida, que nada diz:", "unknown key, which says nothing:")))
        }
        Signature::Invalid { reason } => Some(format!("{} {reason}", visit.t("não confere:", "does not hold:"))),
    }
}

fn difference(visit: &Visit, change: &Change) -> String {
    let asks = |added: bool| if added { visit.t("pede também", "also asks for") } else { visit.t("não pede mais", "no longer asks for") };
    match change {
        Change::Text { what, from, to } => format!("{what}: `{from}` → `{to}`"),
        Change::Directory { added } => format!("{} {}", asks(*added), visit.t("um diretório", "a directory")),
        Change::Network { added, need } => format!("{} `{}`: {}", asks(*added), need.target, need.reason),
        Change::Secret { added, need } => {
            format!("{} {} `{}`: {}", asks(*added), visit.t("o segredo", "the secret"), need.name, need.summary)
        }
        Change::Key { from, to } => {
            let key = |key: &Option<String>| key.clone().unwrap_or_else(|| visit.t("ninguém", "nobody").to_owned());
            format!("{}: `{}` → `{}`", visit.t("assinado por", "signed by"), key(from), key(to))
        }
    }
}

pub(super) async fn change(visit: Visit, request: Request) -> Answer {
    let visit = visit.at(Section::Plugins)?;
    visit.demand(Scope::PluginWrite)?;
    let form = visit.sent(request).await?;
    let (room, listed) = open(&visit).await?;
    let file = file(&listed, &form).map_err(|problem| visit.wrong(problem))?;
    match form.text("action") {
        "approve" => {
            approve(&room, &file, &form).await.map_err(|problem| visit.wrong(problem))?;
            Ok(visit.on("/plugins", (Tone::Good, visit.t("Aprovado.", "Approved."))))
        }
        "remove" => {
            visit.aside(move |_| Ok(room.remove(&file.display().to_string(), false).map(drop)?)).await?;
            Ok(visit.on("/plugins", (Tone::Good, visit.t("Removido.", "Removed."))))
        }
        _ => Err(visit.wrong(Problem::new(Kind::Invalid, "the form is not whole; open the page again"))),
    }
}

/// The one that was looked at: by its name and its digest, never a path that somebody sends.
fn file(listed: &[ListedPlugin], form: &Form) -> Result<PathBuf, Problem> {
    let (name, sha256) = (form.text("name"), form.text("sha256"));
    let mut named = listed.iter().filter(|plugin| plugin.name == name).peekable();
    if named.peek().is_none() {
        return Err(Problem::not_found(format!("plug-in `{name}`")));
    }
    let found = named.find(|plugin| plugin.sha256.as_deref().unwrap_or_default() == sha256);
    let other = || Problem::new(Kind::Conflict, "the file is another one than was looked at; open the page again");
    found.map(|plugin| plugin.file.clone()).ok_or_else(other)
}

async fn approve(room: &PluginRoom, file: &std::path::Path, form: &Form) -> Result<(), Problem> {
    let proposal = room.propose(file).await?;
    if proposal.pin.sha256 != form.text("sha256") {
        return Err(Problem::new(Kind::Conflict, "the file is another one than was looked at; open the page again"));
    }
    if proposal.is_by_another_signer() && form.text("new_key").is_empty() {
        return Err(Problem::new(Kind::Conflict, "it was signed by another key before; find out why before you approve it"));
    }
    if !proposal.known {
        room.approve(&proposal)?;
    }
    Ok(())
}
