//! Tells people: puts an alert down for every notifier that hears of it, and delivers what was put down.
//!
//! Both are apart, so that an alert survives a restart and a service that is down. Whatever goes wrong here is said in the log and never
//! changes how the work itself ended.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::alert;
use super::context::{Context, JobError};
use super::monitor::Observation;
use super::report::{Report, ReportFile};
use crate::catalog::{CatalogError, Letter, LetterFile, NewLetter, ProblemChange, ToldOf};
use crate::config::NotifierConfig;
use crate::notify::{Alert, Event, Told, Verdict};
use crate::plugin::WasmNotifier;
use crate::ports::{Attachment, Message, Notifier, Severity};
use crate::spool::SpoolError;
use crate::text::{AlertText, Locale, alert_text};

/// Letters that are taken at once.
const BATCH: u32 = 50;
/// How long a process has for the letters that it took, before another may take them.
const CLAIM: Duration = Duration::from_secs(30 * 60);
/// Pauses between attempts; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// How long it is tried.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How long a command waits for its alerts to be delivered; what is not by then is the daemon's.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);

/// Words that are not made of the alert, such as a report's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Words {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// What came of a delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// Letters that a service took.
    pub delivered: usize,
    /// Letters that are tried again later.
    pub failed: usize,
    /// Letters that were given up.
    pub given_up: usize,
}

/// Puts an alert down for whoever hears of it.
pub fn raise(context: &Context, alert: Alert) {
    raise_with(context, alert, None, &[]);
}

/// The same with words of its own and files.
pub fn raise_with(context: &Context, alert: Alert, words: Option<&Words>, files: &[LetterFile]) {
    let alert = on_this_host(alert);
    tracing::debug!(event = alert.event.name(), "{}", alert.title);
    if let Err(error) = put_down(context, &alert, (words, files), Timestamp::now()) {
        tracing::error!(%error, event = alert.event.name(), "an alert could not be put down, and nobody is told: {}", alert.title);
    }
}

/// Puts down a report for whoever hears of it.
pub fn raise_report(context: &Context, report: &Report) {
    let alert = alert::of_report(report, Timestamp::now());
    let words = Words { subject: report.subject.clone(), text: report.text.clone(), html: report.html.clone() };
    let file = |file: &ReportFile| LetterFile {
        name: file.name.clone(),
        media_type: file.media_type.to_owned(),
        content_id: file.content_id.clone(),
        bytes: file.bytes.clone(),
    };
    raise_with(context, alert, Some(&words), &report.files.iter().map(file).collect::<Vec<_>>());
}

/// Puts down what changed with checks, of this machine or of destinations that are watched.
pub fn raise_checks(context: &Context, observations: &[Observation]) {
    let locale = Locale::choose(None, context.config.locale.as_deref());
    for seen in observations {
        if let Some(alert) = alert::of_check(seen, locale) {
            raise(context, alert);
        }
    }
}

/// Puts down how a job ended; one that was told to end, or that waits for another, is nobody's trouble. `scope` is what of everything the
/// job was about: one that does less says nothing of the problem of one that does more.
pub(super) fn raise_end<T>(context: &Context, (failed, scope): (Event, &str), result: &Result<T, JobError>, of: impl FnOnce(&T) -> Alert) {
    let alert = match result {
        Ok(done) => of(done),
        Err(JobError::Cancelled | JobError::Spool(SpoolError::Busy { .. })) => return,
        Err(_) if context.cancel.is_cancelled() => return,
        Err(error) => alert::of_failure(failed, error, Timestamp::now()),
    };
    let key = alert.problem.clone().unwrap_or_default();
    raise(context, if scope.is_empty() { alert } else { alert.about(format!("{key}:{scope}")) });
}

/// Tells whoever was told of a problem that it is over.
pub fn solved(context: &Context, key: &str) {
    let now = Timestamp::now();
    let told = || -> Result<(), CatalogError> {
        let Some(open) = context.catalog.problem(key)? else { return Ok(()) };
        let known = context.catalog.told_of(key)?;
        let hear = context.config.notifiers.iter().filter(|one| known.iter().any(|told| told.notifier == one.settings.name));
        let letters = match serde_json::from_str::<Alert>(&open.alert) {
            Ok(problem) => hear.map(|one| letter(one, &problem.recovered(open.since, now), (None, &[]), now)).collect(),
            Err(_) => Vec::new(),
        };
        context.catalog.put_down(Some(&ProblemChange::Over { key: key.to_owned() }), &letters)
    };
    if let Err(error) = told() {
        tracing::error!(%error, problem = key, "nobody is told that this is over");
    }
}

/// Tells again, or for the first time, of what is wrong and lasts.
///
/// # Errors
/// When the catalogue cannot be used.
pub fn remind(context: &Context, now: Timestamp) -> Result<(), CatalogError> {
    for key in context.catalog.problems()? {
        let Some(open) = context.catalog.problem(&key)? else { continue };
        let Ok(alert) = serde_json::from_str::<Alert>(&open.alert) else { continue };
        put_down_problem(context, (&key, &alert), (None, &[]), now)?;
    }
    Ok(())
}

/// Delivers what is due.
///
/// # Errors
/// When the catalogue cannot be used; what a service says is noted with its letter.
pub async fn deliver(context: &Context) -> Result<Delivered, JobError> {
    let mut all = Delivered::default();
    loop {
        let now = Timestamp::now();
        let letters = context.catalog.claim_letters(now, later(now, CLAIM), BATCH)?;
        let last = u32::try_from(letters.len()).unwrap_or(BATCH) < BATCH;
        let mut of_each: BTreeMap<String, Vec<Letter>> = BTreeMap::new();
        for letter in letters {
            of_each.entry(letter.notifier.clone()).or_default().push(letter);
        }
        for done in join_all(of_each.iter().map(|(name, letters)| deliver_to(context, name, letters))).await {
            let done = done?;
            all.delivered += done.delivered;
            all.failed += done.failed;
            all.given_up += done.given_up;
        }
        if last || context.cancel.is_cancelled() {
            return Ok(all);
        }
    }
}

/// Delivers what a command has put down, for a short while; says what still waits.
pub async fn deliver_after_command(context: &Context) {
    if context.config.notifiers.is_empty() {
        return;
    }
    match tokio::time::timeout(COMMAND_PATIENCE, deliver(context)).await {
        Ok(Ok(Delivered { failed: 0, given_up: 0, .. })) => {}
        Ok(Ok(done)) => {
            tracing::warn!(failed = done.failed, given_up = done.given_up, "not every alert was delivered; see: cofre notify list");
        }
        Ok(Err(error)) => tracing::error!(%error, "alerts could not be delivered"),
        Err(_) => tracing::warn!("alerts are still on their way; the daemon goes on with them"),
    }
}

/// A letter to somebody in particular.
pub(super) struct Personal<'a> {
    /// What it is about.
    pub alert: Alert,
    /// Its words.
    pub words: Words,
    /// Addresses, as the notifier understands them.
    pub recipients: &'a [String],
    /// Files that go with it.
    pub files: Vec<LetterFile>,
}

/// Puts down a letter to somebody in particular, and delivers it at once; returns it as it stands then. What is not delivered by then is
/// the daemon's.
///
/// # Errors
/// When the catalogue cannot be used.
pub(super) async fn deliver_personal(context: &Context, through: &NotifierConfig, letter: Personal<'_>) -> Result<Letter, JobError> {
    let now = Timestamp::now();
    let new = NewLetter {
        notifier: through.settings.name.clone(),
        alert: json(&letter.alert),
        words: Some(json(&letter.words)),
        recipients: letter.recipients.to_vec(),
        due: now,
        files: letter.files,
    };
    let taken = context.catalog.put_down_and_claim(&new, later(now, COMMAND_PATIENCE.saturating_add(FIRST_PAUSE)))?;
    let delivery = deliver_to(context, &taken.notifier, std::slice::from_ref(&taken));
    match tokio::time::timeout(COMMAND_PATIENCE, delivery).await {
        Ok(delivered) => {
            delivered?;
        }
        Err(_) => {
            let error = format!("the service did not take it within {} s", COMMAND_PATIENCE.as_secs());
            context.catalog.letter_failed(taken.id, later(Timestamp::now(), FIRST_PAUSE), &error)?;
        }
    }
    Ok(context.catalog.letter(taken.id)?.unwrap_or(taken))
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Trouble {
    /// Its key.
    pub problem: String,
    /// How bad it is.
    pub severity: Severity,
    /// Since when, RFC 3339.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// The event that told of it last.
    pub event: String,
    /// What is wrong, in one line.
    pub title: String,
    /// What exactly, line by line.
    pub detail: Vec<String>,
    /// The alert itself, as far as it can be read.
    #[serde(skip)]
    pub alert: Option<Alert>,
}

/// All that is wrong, oldest first.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn troubles(context: &Context) -> Result<Vec<Trouble>, CatalogError> {
    let mut troubles = Vec::new();
    for problem in context.catalog.problems()? {
        let Some(open) = context.catalog.problem(&problem)? else { continue };
        let alert = serde_json::from_str::<Alert>(&open.alert).ok();
        let line = |found: crate::notify::Problem| {
            if found.subject.is_empty() { found.message } else { format!("{}: {}", found.subject, found.message) }
        };
        troubles.push(Trouble {
            problem,
            severity: alert.as_ref().map_or(Severity::Critical, |alert| alert.severity),
            since: open.since,
            event: alert.as_ref().map(|alert| alert.event.name().to_owned()).unwrap_or_default(),
            title: alert.as_ref().map(|alert| alert.title.clone()).unwrap_or_default(),
            detail: alert.as_ref().map(|alert| alert.problems().into_iter().map(line).collect()).unwrap_or_default(),
            alert,
        });
    }
    Ok(troubles)
}

/// An alert on its way, and what it tells of.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Sent {
    /// The letter.
    #[serde(flatten)]
    pub letter: Letter,
    /// The event.
    pub event: String,
}

/// The newest alerts, newest first.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn letters(context: &Context, most: u32) -> Result<Vec<Sent>, CatalogError> {
    Ok(context.catalog.letters(most)?.into_iter().map(sent).collect())
}

/// With the event that it tells of.
pub fn sent(letter: Letter) -> Sent {
    let event = serde_json::from_str::<Alert>(&letter.alert).map_or(String::new(), |alert| alert.event.name().to_owned());
    Sent { letter, event }
}

/// Sends a trial message through the outbox as any other, and says how it stands then.
///
/// # Errors
/// When there is no such notifier, or the catalogue cannot be used.
pub async fn trial(context: &Context, name: Option<&str>) -> Result<Vec<Sent>, JobError> {
    let count = put_down_trial(context, name)?;
    let newest = context.catalog.letters(u32::try_from(count).unwrap_or(u32::MAX))?;
    deliver_after_command(context).await;
    let tried: Vec<i64> = newest.iter().map(|letter| letter.id).collect();
    Ok(context.catalog.letters(u32::MAX)?.into_iter().filter(|letter| tried.contains(&letter.id)).map(sent).collect())
}

/// Opens one notifier.
///
/// # Errors
/// When its plug-in or its settings are of no use.
pub async fn notifier(context: &Context, config: &NotifierConfig) -> Result<WasmNotifier, JobError> {
    let component = context.plugin(&config.settings.plugin).await?;
    Ok(WasmNotifier::new(component, context.config.notifier_settings(config)?)?)
}

/// Puts a trial message down for one notifier, or for all, whatever their rules say.
///
/// # Errors
/// When there is no such notifier.
fn put_down_trial(context: &Context, name: Option<&str>) -> Result<usize, JobError> {
    let known: Vec<&str> = context.config.notifiers.iter().map(|one| one.settings.name.as_str()).collect();
    let chosen: Vec<&str> = known.iter().copied().filter(|one| name.is_none_or(|name| name == *one)).collect();
    if chosen.is_empty() {
        let message = match name {
            Some(name) => format!("there is no notifier `{name}`; configured are: {}", known.join(", ")),
            None => "there is no notifier: add a [[notifier]] to the configuration".to_owned(),
        };
        return Err(JobError::Request(message));
    }
    let now = Timestamp::now();
    let alert = json(&on_this_host(Alert::new(Event::Test, now, "a notifier is tried out")));
    let letters = chosen.iter().map(|name| NewLetter {
        notifier: (*name).to_owned(),
        alert: alert.clone(),
        words: None,
        recipients: Vec::new(),
        due: now,
        files: Vec::new(),
    });
    context.catalog.put_down(None, &letters.collect::<Vec<_>>())?;
    Ok(chosen.len())
}

fn on_this_host(alert: Alert) -> Alert {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if alert.facts.contains_key("host") { alert } else { alert.with("host", host) }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok()).unwrap_or(now)
}

type Beside<'a> = (Option<&'a Words>, &'a [LetterFile]);

fn put_down(context: &Context, alert: &Alert, beside: Beside<'_>, now: Timestamp) -> Result<(), CatalogError> {
    match &alert.problem {
        Some(key) if alert.severity >= Severity::Warning => put_down_problem(context, (key, alert), beside, now),
        Some(key) => put_down_end(context, (key, alert), beside, now),
        None => {
            let hear = context.config.notifiers.iter().filter(|one| one.rule.wants(alert));
            let letters: Vec<_> = hear.map(|one| letter(one, alert, beside, now)).collect();
            context.catalog.put_down(None, &letters)
        }
    }
}

/// Something is wrong.
fn put_down_problem(context: &Context, (key, alert): (&str, &Alert), beside: Beside<'_>, now: Timestamp) -> Result<(), CatalogError> {
    let since = context.catalog.problem(key)?.map_or(now, |open| open.since);
    let known = context.catalog.told_of(key)?;
    let (mut letters, mut told) = (Vec::new(), Vec::new());
    for one in &context.config.notifiers {
        let name = &one.settings.name;
        let before =
            known.iter().find(|told| told.notifier == *name).map(|told| Told { fingerprint: told.fingerprint.clone(), at: told.at });
        match one.rule.of_problem(alert, since, before.as_ref(), now) {
            Verdict::Nothing => continue,
            Verdict::Say => letters.push(letter(one, alert, beside, now)),
            Verdict::SayAgain => letters.push(letter(one, &alert.persists(since, now), (None, &[]), now)),
        }
        told.push(ToldOf { notifier: name.clone(), fingerprint: alert.fingerprint(), at: now });
    }
    let change = ProblemChange::Open { key: key.to_owned(), since, alert: json(alert), told };
    context.catalog.put_down(Some(&change), &letters)
}

/// Something is good; perhaps again.
fn put_down_end(context: &Context, (key, alert): (&str, &Alert), beside: Beside<'_>, now: Timestamp) -> Result<(), CatalogError> {
    let open = context.catalog.problem(key)?;
    let known = context.catalog.told_of(key)?;
    let was = open.as_ref().and_then(|open| Some((serde_json::from_str::<Alert>(&open.alert).ok()?, open.since)));
    let mut letters = Vec::new();
    for one in &context.config.notifiers {
        let was_told = known.iter().any(|told| told.notifier == one.settings.name);
        match &was {
            // Who was told of the problem is told that it is over, whatever else it hears of.
            Some((problem, since)) if was_told && !one.rule.wants(alert) => {
                letters.push(letter(one, &problem.recovered(*since, now), (None, &[]), now));
            }
            Some((_, since)) if was_told => {
                letters.push(letter(one, &alert.clone().with("recovered_since", since.to_string()), beside, now));
            }
            _ if one.rule.wants(alert) => letters.push(letter(one, alert, beside, now)),
            _ => {}
        }
    }
    let change = open.map(|_| ProblemChange::Over { key: key.to_owned() });
    context.catalog.put_down(change.as_ref(), &letters)
}

fn letter(to: &NotifierConfig, alert: &Alert, (words, files): Beside<'_>, now: Timestamp) -> NewLetter {
    NewLetter {
        notifier: to.settings.name.clone(),
        alert: json(alert),
        words: words.map(json),
        recipients: Vec::new(),
        due: to.rule.when(alert.severity, now),
        files: files.to_vec(),
    }
}

/// Delivers to one notifier, one letter after the other.
async fn deliver_to(context: &Context, name: &str, letters: &[Letter]) -> Result<Delivered, JobError> {
    let mut done = Delivered::default();
    let Some(config) = context.config.notifiers.iter().find(|one| one.settings.name == name) else {
        for letter in letters {
            context.catalog.letter_given_up(letter.id, "there is no such notifier any more")?;
            done.given_up += 1;
        }
        return Ok(done);
    };
    let opened = notifier(context, config).await;
    for letter in letters {
        let said = match &opened {
            Ok(notifier) => deliver_one(context, notifier, letter).await,
            Err(error) => Err((error.to_string(), None)),
        };
        let now = Timestamp::now();
        match said {
            Ok(()) => {
                context.catalog.letter_delivered(letter.id)?;
                done.delivered += 1;
            }
            Err((error, _)) if is_too_old(letter, now) => {
                tracing::error!(
                    notifier = name,
                    error,
                    "an alert is given up: it could not be delivered in {} days",
                    PATIENCE.as_secs() / 86_400
                );
                context.catalog.letter_given_up(letter.id, &error)?;
                done.given_up += 1;
            }
            Err((error, wait)) => {
                let pause = wait.unwrap_or_default().max(pause(letter.attempts));
                tracing::warn!(notifier = name, error, "an alert could not be delivered; it is tried again in {} s", pause.as_secs());
                context.catalog.letter_failed(letter.id, later(now, pause), &error)?;
                done.failed += 1;
            }
        }
    }
    Ok(done)
}

fn is_too_old(letter: &Letter, now: Timestamp) -> bool {
    let created = letter.created.parse().unwrap_or(now);
    now.duration_since(created) > SignedDuration::try_from(PATIENCE).unwrap_or(SignedDuration::MAX)
}

fn pause(attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempts)).min(LONGEST_PAUSE)
}

/// Whether a service took a letter; else why not, and how long it asks to wait.
async fn deliver_one(context: &Context, notifier: &WasmNotifier, letter: &Letter) -> Result<(), (String, Option<Duration>)> {
    let alert: Alert = serde_json::from_str(&letter.alert).map_err(|error| (format!("the alert cannot be read: {error}"), None))?;
    let locale = Locale::choose(None, context.config.locale.as_deref());
    let AlertText { subject, text, html } = match letter.words.as_deref().map(serde_json::from_str::<Words>) {
        Some(Ok(words)) => AlertText { subject: words.subject, text: words.text, html: words.html },
        _ => alert_text(&alert, &context.config.zone, locale),
    };
    let message = Message {
        id: format!("{}-{}", alert.at.as_millisecond(), letter.id),
        event: alert.event.name().to_owned(),
        severity: alert.severity,
        at_unix_ms: u64::try_from(alert.at.as_millisecond()).unwrap_or_default(),
        recipients: letter.recipients.clone(),
        language: locale.pick("pt-BR", "en").to_owned(),
        subject,
        text,
        html: Some(html),
        facts: json(&alert.facts),
    };
    let files = context.catalog.letter_files(letter.id).map_err(|error| (error.to_string(), None))?;
    let attach = |file: LetterFile| Attachment {
        name: file.name,
        media_type: file.media_type,
        content_id: file.content_id,
        size: file.bytes.len() as u64,
        body: Box::pin(Cursor::new(file.bytes)),
    };
    notifier.notify(message, files.into_iter().map(attach).collect()).await.map_err(|error| (error.to_string(), error.retry_after))
}
