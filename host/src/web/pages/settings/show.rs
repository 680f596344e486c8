//! What the settings show: what there is and how it is, a form with its faults, a trial, the next times, what retention would keep, and the
//! difference before it is saved.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::super::configuration::Proposed;
use super::super::super::problem::{Kind, Problem};
use super::super::frame::{Visit, Wrong};
use super::super::overview::outcome;
use super::super::sets::started;
use super::area;
use super::draft::{Asked, Written};
use super::entry::{text, texts};
use crate::access::Scope;
use crate::config::{Change, Config, ConfigError, plugin_file};
use crate::job::{self, Context, Finding, JobError, JobStanding, TIMES_TOLD, tell};
use crate::page::Tone;
use crate::page::form::with_faults;
use crate::page::part::{Choice, Fact};
use crate::page::settings::{Area, Difference, Editor, Form, Item, Kept, Line, LineKind, Overview, Scheduled, Trial};
use crate::plugin::{Approvals, PluginKind, PluginState};
use crate::text::{moment, reason_in_words, schedule_in_words};

/// Sets of a preview.
const SETS_TOLD: usize = 100;

/// `/settings`.
pub(super) async fn overview(visit: &Visit) -> Result<Overview, Wrong> {
    let (faults, kept, known) = visit
        .aside(|context| {
            let path = &context.config.path;
            let mut faults = match Config::load(path) {
                Ok(config) if config.text == context.config.text => Vec::new(),
                Ok(_) => vec!["changed".to_owned()],
                Err(ConfigError { problems, .. }) => problems.into_iter().map(|one| format!("`{}`: {}", one.key, one.message)).collect(),
            };
            faults.truncate(SETS_TOLD);
            Ok((faults, job::last_kept(path), job::jobs(context, 1, Timestamp::now())?))
        })
        .await?;
    let changed = visit.t(
        "O arquivo mudou e ainda não foi lido de novo: `systemctl reload cofre`.",
        "The file was changed and is not read again yet: `systemctl reload cofre`.",
    );
    let faults = faults.into_iter().map(|fault| if fault == "changed" { changed.to_owned() } else { fault }).collect();
    let config = &visit.context.config;
    let fact = |portuguese, english, value: String| Fact { label: visit.t(portuguese, english).to_owned(), value, tone: Tone::Plain };
    let facts = vec![
        fact("Arquivo", "File", config.path.display().to_string()),
        fact("Versão anterior", "Version before", kept.map_or_else(|| "–".to_owned(), |kept| kept.display().to_string())),
        fact("Idioma", "Language", config.locale.clone().unwrap_or_else(|| visit.t("do ambiente", "of the environment").to_owned())),
        fact("Fuso horário", "Time zone", config.zone.iana_name().unwrap_or_default().to_owned()),
    ];
    let areas = Area::ALL.into_iter().map(|area| summary(visit, area, &known)).collect();
    Ok(Overview { enabled: known.iter().any(|job| job.enabled), areas, facts, faults, may_write: visit.may(Scope::ConfigWrite) })
}

fn summary(visit: &Visit, area: Area, jobs: &[JobStanding]) -> (Area, String, Tone) {
    let config = &visit.context.config;
    let names: Vec<String> = match area {
        Area::Databases => config.mysql.iter().map(|one| one.settings.name.clone()).collect(),
        Area::Directories => config.directories.iter().map(|one| one.settings.path.display().to_string()).collect(),
        Area::Destinations => config.destinations.iter().map(|one| one.settings.name.clone()).collect(),
        Area::Notifiers => config.notifiers.iter().map(|one| one.settings.name.clone()).collect(),
        Area::Schedules => {
            jobs.iter().map(|job| format!("{} ({})", job.job, schedule_in_words(&job.schedule, visit.frame.locale))).collect()
        }
        Area::Retention => {
            config.destinations.iter().map(|one| format!("{}: {}", one.settings.name, rules(visit, &one.retention.policy))).collect()
        }
    };
    let tone = match area {
        Area::Notifiers if names.is_empty() => Tone::Warn,
        Area::Schedules if jobs.iter().any(|job| !job.enabled) => Tone::Warn,
        _ if names.is_empty() => Tone::Plain,
        _ => Tone::Good,
    };
    let nothing = match area {
        Area::Notifiers => visit.t("Ninguém é avisado.", "Nobody is told of anything."),
        _ => visit.t("Nada configurado.", "Nothing is set up."),
    };
    (area, if names.is_empty() { nothing.to_owned() } else { names.join(", ") }, tone)
}

fn rules(visit: &Visit, policy: &crate::retention::Policy) -> String {
    let within = policy.within_hours.map(|hours| format!("{} {}", hours / 24, visit.t("dias", "days")));
    let counts = [
        (policy.last, "últimos", "last"),
        (policy.daily, "diários", "daily"),
        (policy.weekly, "semanais", "weekly"),
        (policy.monthly, "mensais", "monthly"),
        (policy.yearly, "anuais", "yearly"),
    ];
    let counts = counts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, portuguese, english)| format!("{count} {}", visit.t(portuguese, english)));
    counts.chain(within).collect::<Vec<_>>().join(" + ")
}

/// What there is of an area, and the form of one.
pub(super) async fn editor(
    visit: &Visit,
    (area, written): (Area, &Written),
    asked: Option<Asked>,
    trial: Option<Trial>,
) -> Result<Editor, Wrong> {
    let entries = area::list(area).map(|(list, _)| written.list(list)).unwrap_or_default();
    let kind = area::kind(area);
    let (states, approved) =
        visit.aside(move |context| Ok(plugins(context, kind, &entries).map(|(states, approved)| ((entries, states), approved))?)).await?;
    let items = states.0.iter().zip(states.1).map(|(entry, state)| item(visit, area, entry, state)).collect();
    let choice = |value: String| Choice { label: value.clone(), value, chosen: false };
    let form = asked.map(|asked| form(visit, area, asked, trial));
    Ok(Editor { area, items, plugins: approved.into_iter().map(choice).collect(), form, may_write: visit.may(Scope::ConfigWrite) })
}

type States = (Vec<Option<PluginState>>, Vec<String>);

/// How it stands with the plug-in of each entry, and which ones are approved.
fn plugins(context: &Context, kind: Option<PluginKind>, entries: &[Map<String, Value>]) -> Result<States, JobError> {
    let Some(kind) = kind else { return Ok((vec![None; entries.len()], Vec::new())) };
    let settings = &context.config.plugins;
    let approvals = Approvals::read(settings)?;
    let state =
        |entry: &Map<String, Value>| Some(approvals.examine(&absolute(&plugin_file(&text(entry, "plugin"), &settings.directory))).state);
    let states = entries.iter().map(state).collect();
    let usable = |pin: &&crate::plugin::Pin| pin.kind == kind && approvals.examine(&pin.file).state == PluginState::Approved;
    let written = |pin: &crate::plugin::Pin| {
        let at_home = absolute(&plugin_file(&pin.name, &settings.directory)) == pin.file;
        if at_home { pin.name.clone() } else { pin.file.display().to_string() }
    };
    Ok((states, approvals.lock().pins().iter().filter(usable).map(written).collect()))
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn item(visit: &Visit, area: Area, entry: &Map<String, Value>, state: Option<PluginState>) -> Item {
    let of = |key| text(entry, key);
    let summary = match area {
        Area::Databases if of("socket").is_empty() => {
            let host = Some(of("host")).filter(|host| !host.is_empty()).unwrap_or_else(|| "localhost".to_owned());
            format!("{}@{host}", of("user"))
        }
        Area::Databases => format!("{}@{}", of("user"), of("socket")),
        Area::Directories => texts(entry.get("exclude")).join(", "),
        _ => of("plugin"),
    };
    let name = area::list(area).map(|(_, key)| of(key)).unwrap_or_default();
    let (tone, word) = match state {
        None => (Tone::Good, visit.t("configurado", "set up")),
        Some(PluginState::Approved) => (Tone::Good, visit.t("plug-in aprovado", "plug-in approved")),
        Some(PluginState::Pending) => (Tone::Warn, visit.t("plug-in aguarda aprovação", "plug-in waits for approval")),
        Some(_) => (Tone::Bad, visit.t("plug-in recusado", "plug-in refused")),
    };
    Item { name, summary, tone, word: word.to_owned() }
}

fn form(visit: &Visit, area: Area, asked: Asked, trial: Option<Trial>) -> Form {
    let said = asked.component.as_ref().map(|component| component.description());
    let mut fields = area::fields(area, &asked.values, said, visit.frame.locale);
    let (of_fields, whole): (Vec<_>, Vec<_>) = asked.faults.into_iter().partition(|(name, _)| !name.is_empty());
    let mut faults: Vec<String> = whole.into_iter().map(|(_, message)| message).chain(asked.notes).collect();
    faults.extend(with_faults(&mut fields, &of_fields));
    let tried = match area {
        Area::Databases | Area::Destinations => true,
        // A trial goes out like any other message: by what is in force.
        Area::Notifiers => !asked.id.is_empty(),
        _ => false,
    };
    Form { name: asked.id, plugin: asked.plugin, fields, faults, can_test: tried && visit.may(Scope::RunCreate), trial }
}

/// "Test connection", with what the form says.
pub(super) async fn trial(visit: &Visit, area: Area, asked: &Asked, config: &Arc<Config>) -> Result<Trial, Wrong> {
    visit.demand(Scope::RunCreate)?;
    let (context, name) = (visit.context.under(config), asked.name(area));
    let wrong = |error: JobError| visit.wrong(error);
    let findings: Vec<(String, String, bool)> = match area {
        Area::Databases => match config.mysql.iter().find(|one| one.settings.name == name) {
            Some(source) => {
                let found = job::check_mysql(&context, source).await;
                let ok = found.is_ok();
                vec![("mysql".to_owned(), found.unwrap_or_else(|problem| problem), ok)]
            }
            None => Vec::new(),
        },
        Area::Destinations => {
            let found = job::doctor(&context, Some(&name), true).await.map_err(wrong)?;
            let told = |finding: Finding| {
                let (subject, detail) = finding.words(visit.frame.locale);
                (subject.to_owned(), detail, finding.ok)
            };
            found.into_iter().flat_map(|one| one.findings).map(told).collect()
        }
        Area::Notifiers => {
            let sent = tell::trial(&visit.context, Some(&asked.id)).await.map_err(wrong)?;
            let told = |tell::Sent { letter, event }| {
                let ok = letter.state == "delivered";
                (event, letter.error.unwrap_or(letter.state), ok)
            };
            sent.into_iter().map(told).collect()
        }
        _ => return Err(visit.wrong(Problem::new(Kind::Invalid, "this cannot be tried"))),
    };
    let works = !findings.is_empty() && findings.iter().all(|(_, _, ok)| *ok);
    let text = match (area, works) {
        (Area::Notifiers, true) => {
            visit.t("A mensagem de teste, pelo que está salvo, foi entregue.", "The trial message, by what is saved, was delivered.")
        }
        (Area::Notifiers, false) => visit.t("A mensagem de teste não foi entregue.", "The trial message was not delivered."),
        (_, true) => visit.t("Funciona com o que está no formulário.", "It works with what the form says."),
        (_, false) => visit.t("Não funciona.", "It does not work."),
    };
    let fact = |(label, value, ok): (String, String, bool)| Fact { label, value, tone: if ok { Tone::Plain } else { Tone::Bad } };
    Ok(Trial {
        tone: if works { Tone::Good } else { Tone::Bad },
        text: text.to_owned(),
        facts: findings.into_iter().map(fact).collect(),
        actions: Vec::new(),
    })
}

/// The jobs that are in force, with their next times.
pub(super) async fn schedules(visit: &Visit) -> Result<Vec<Scheduled>, Wrong> {
    let (jobs, ends) = visit.aside(|context| Ok((job::jobs(context, TIMES_TOLD, Timestamp::now())?, context.catalog.last_ends()?))).await?;
    let locale = visit.frame.locale;
    let scheduled = |job: &JobStanding| {
        // Ends are known by what was done; where two jobs do the same, nobody can tell them apart.
        let alone = jobs.iter().filter(|other| other.action == job.action).count() == 1;
        let last = ends.iter().find(|end| alone && end.verb == job.action);
        let off = if job.enabled { "" } else { visit.t(" (desabilitada)", " (disabled)") };
        Scheduled {
            name: job.job.clone(),
            action: format!("{}{off}", action_word(visit, job.action)),
            schedule: job.schedule.clone(),
            words: schedule_in_words(&job.schedule, locale),
            next: job.next.clone(),
            tone: last.map_or(Tone::Plain, |end| outcome(visit, Some(&end.outcome)).0),
            last: last.map(|end| end.finished),
        }
    };
    Ok(jobs.iter().map(scheduled).collect())
}

fn action_word<'a>(visit: &Visit, action: &'a str) -> &'a str {
    match action {
        "run" => visit.frame.locale.pick("Backup Principal", "Backup"),
        "verify" => visit.frame.locale.pick("Verificação de Integridade", "Verification"),
        "prune" => visit.frame.locale.pick("Limpeza de Arquivos", "Clean-up"),
        "drill" => visit.frame.locale.pick("Teste de restauração", "Restore drill"),
        "report" => visit.frame.locale.pick("Relatório Mensal", "Monthly report"),
        other => other,
    }
}

/// What retention would do.
pub(super) struct Foreseen {
    /// The newest sets.
    pub preview: Vec<Kept>,
    /// Sets that stay.
    pub kept: u64,
    /// Sets that go.
    pub removed: u64,
    /// Bytes that become free.
    pub freed: u64,
}

/// What the rules of a context would do.
pub(super) async fn foreseen(visit: &Visit, context: Context) -> Result<Foreseen, Wrong> {
    let places = visit.aside(move |_| Ok(job::foresee(&context)?)).await?;
    let mut foreseen = Foreseen { preview: Vec::new(), kept: 0, removed: 0, freed: 0 };
    for place in places {
        for set in place.sets {
            if set.keep {
                foreseen.kept += 1;
            } else {
                foreseen.removed += 1;
                foreseen.freed = foreseen.freed.saturating_add(set.bytes);
            }
            let reasons: Vec<String> = set.reasons.iter().map(|reason| reason_in_words(reason, visit.frame.locale)).collect();
            let name = set.set.to_string();
            foreseen.preview.push(Kept {
                started: started(visit, &name),
                set: name,
                destination: place.destination.clone(),
                bytes: set.bytes,
                stays: set.keep,
                reason: reasons.join("; "),
            });
        }
    }
    foreseen.preview.sort_by(|one, other| other.set.cmp(&one.set).then_with(|| one.destination.cmp(&other.destination)));
    foreseen.preview.truncate(SETS_TOLD);
    Ok(foreseen)
}

/// The difference before it is saved.
pub(super) async fn difference(
    visit: &Visit,
    (address, area): (&str, Option<Area>),
    proposed: Proposed,
    changes: &[Change],
) -> Result<Difference, Wrong> {
    let mut consequences = proposed.notes;
    if let Some(config) = &proposed.config {
        consequences.extend(consequences_of(visit, area, config, changes).await?);
    }
    let line = |line: crate::config::DiffLine| Line {
        kind: match line.sign {
            '+' => LineKind::Added,
            '-' => LineKind::Removed,
            _ => LineKind::Same,
        },
        text: line.text,
    };
    let changes = serde_json::to_string(changes).map_err(|error| visit.wrong(Problem::new(Kind::Failed, error.to_string())))?;
    Ok(Difference {
        address: address.to_owned(),
        file: visit.context.config.path.display().to_string(),
        kept_as: proposed.kept_as,
        lines: proposed.lines.into_iter().map(line).collect(),
        faults: proposed.faults.into_iter().map(|(key, message)| format!("`{key}`: {message}")).collect(),
        consequences,
        carried: vec![("changes".to_owned(), changes), ("revision".to_owned(), proposed.revision)],
    })
}

/// What else a change means: when jobs begin, and what retention lets go.
async fn consequences_of(visit: &Visit, area: Option<Area>, config: &Arc<Config>, changes: &[Change]) -> Result<Vec<String>, Wrong> {
    let draft = visit.context.under(config);
    let mut told = Vec::new();
    match area {
        Some(Area::Schedules) | None => {
            let jobs = visit.aside(move |_| Ok(job::jobs(&draft, TIMES_TOLD, Timestamp::now())?)).await?;
            let names: Vec<&str> = changes.iter().filter_map(job_of).collect();
            told.extend(jobs.iter().filter(|job| names.contains(&job.job.as_str())).map(|job| times(visit, job)));
        }
        Some(Area::Retention) => {
            let (now, then) = (foreseen(visit, visit.context.clone()).await?, foreseen(visit, draft).await?);
            told.push(format!(
                "{} {} ({} {})",
                visit.t("Conjuntos que a retenção removeria:", "Sets that retention would remove:"),
                then.removed,
                visit.t("hoje:", "today:"),
                now.removed
            ));
        }
        Some(_) => {}
    }
    Ok(told)
}

/// The name that the job of a change will have.
fn job_of(change: &Change) -> Option<&str> {
    match change {
        Change::Entry { list, id, values } if list == "job" => Some(values.get("name").and_then(Value::as_str).unwrap_or(id)),
        _ => None,
    }
}

fn times(visit: &Visit, job: &JobStanding) -> String {
    if !job.enabled {
        return format!("`{}` {}", job.job, visit.t("não começa sozinha", "does not begin by itself"));
    }
    let zone = &visit.frame.zone;
    let at = |at: &Timestamp| moment(&at.to_zoned_datetime(zone.clone()), visit.frame.locale);
    let times: Vec<String> = job.next.iter().map(at).collect();
    format!("`{}` {} {}", job.job, visit.t("começa em:", "begins at:"), times.join(", "))
}
