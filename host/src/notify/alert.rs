//! One alert: an event and its facts. It is what the outbox keeps and what a webhook sends; the words for a person are made of it when it
//! is delivered, in the language of that moment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Advice, Event, Problem, Severity};

/// Characters of a title.
const TITLE_MAX: usize = 200;
/// Characters of a text among the facts: an error of a service can be a whole page.
const TEXT_MAX: usize = 2_000;
/// Entries of a list among the facts; how many more there were is in the fact `NAME_total`.
const LIST_MAX: usize = 50;

/// What somebody is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What happened.
    pub event: Event,
    /// How bad it is.
    pub severity: Severity,
    /// When, RFC 3339.
    pub at: Timestamp,
    /// What it is about, the same for as long as the same thing is wrong: an alert of a problem that was told is not told again, and one
    /// that is good again says so under the same key. `None` where there is nothing to come back to.
    pub problem: Option<String>,
    /// One line in English, for the log.
    pub title: String,
    /// What is known, by name; `docs/reports.md` lists the names.
    pub facts: Map<String, Value>,
}

impl Alert {
    /// An alert as bad as its event usually is.
    pub fn new(event: Event, at: Timestamp, title: &str) -> Self {
        let title = bounded(title, TITLE_MAX);
        Self { event, severity: event.severity(), at, problem: None, title, facts: Map::new() }
    }

    /// Says what it is about.
    #[must_use]
    pub fn about(mut self, problem: impl Into<String>) -> Self {
        self.problem = Some(bounded(&problem.into(), TITLE_MAX));
        self
    }

    /// Adds a fact; of a long text its beginning.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) => Value::String(bounded(&text, TEXT_MAX)),
            other => other,
        };
        self.facts.insert(name.to_owned(), value);
        self
    }

    /// Adds a list of texts; of a long one its beginning, and how many there were.
    #[must_use]
    pub fn with_list(mut self, name: &str, texts: impl IntoIterator<Item = String>) -> Self {
        let mut texts = texts.into_iter();
        let kept: Vec<Value> = texts.by_ref().take(LIST_MAX).map(|text| Value::String(bounded(&text, TEXT_MAX))).collect();
        let total = kept.len() + texts.count();
        if total > kept.len() {
            self.facts.insert(format!("{name}_total"), total.into());
        }
        if !kept.is_empty() {
            self.facts.insert(name.to_owned(), Value::Array(kept));
        }
        self
    }

    /// Adds what is wrong; of many problems the first.
    #[must_use]
    pub fn with_problems(mut self, problems: &[Problem]) -> Self {
        let told = problems.iter().take(LIST_MAX).map(|problem| Problem {
            subject: bounded(&problem.subject, TITLE_MAX),
            message: bounded(&problem.message, TEXT_MAX),
            advice: problem.advice.clone(),
        });
        let told: Vec<Value> = told.filter_map(|problem| serde_json::to_value(problem).ok()).collect();
        if problems.len() > told.len() {
            self.facts.insert("problems_total".to_owned(), problems.len().into());
        }
        self.facts.insert("problems".to_owned(), Value::Array(told));
        self
    }

    /// What is wrong.
    pub fn problems(&self) -> Vec<Problem> {
        let told = self.facts.get("problems").and_then(Value::as_array).into_iter().flatten();
        told.filter_map(|problem| serde_json::from_value(problem.clone()).ok()).collect()
    }

    /// What of it makes it another alert than the last about the same problem: the event, what is wrong and where, without times, sizes
    /// and words that differ each time.
    pub fn fingerprint(&self) -> String {
        let kind = |advice: &Advice| serde_json::to_value(advice).ok().and_then(|advice| Some(advice.get("kind")?.as_str()?.to_owned()));
        let mut parts: Vec<String> = self
            .problems()
            .into_iter()
            .map(|problem| format!("{}={}", problem.subject, kind(&problem.advice).unwrap_or_default()))
            .collect();
        parts.sort();
        parts.dedup();
        format!("{} {}", self.event.name(), parts.join(" "))
    }

    /// That this is still so, since `since`.
    #[must_use]
    pub fn persists(&self, since: Timestamp, at: Timestamp) -> Self {
        self.later(Event::ProblemPersists, since, at, &format!("still so: {}", self.title))
    }

    /// That this is over; it began at `since`.
    #[must_use]
    pub fn recovered(&self, since: Timestamp, at: Timestamp) -> Self {
        let mut over = self.later(Event::ProblemRecovered, since, at, &format!("good again: {}", self.title));
        // What was wrong, without what would have helped.
        over.facts.remove("problems");
        over
    }

    fn later(&self, event: Event, since: Timestamp, at: Timestamp, title: &str) -> Self {
        let mut later = Self { facts: self.facts.clone(), problem: self.problem.clone(), ..Self::new(event, at, title) };
        if event == Event::ProblemPersists {
            later.severity = self.severity.max(Severity::Warning);
        }
        // Of an alert that itself says that something persists, the first event is what a person knows it by.
        later.facts.entry("of").or_insert_with(|| self.event.name().into());
        later.with("since", since.to_string())
    }

    /// A failure of one cause.
    #[must_use]
    pub fn with_problem(self, subject: &str, message: &str, advice: Advice) -> Self {
        self.with_problems(&[Problem { subject: subject.to_owned(), message: message.to_owned(), advice }])
    }
}

/// At most `most` characters.
fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn an_alert_survives_the_outbox() {
        let alert = Alert::new(Event::RunFailed, at("2026-03-15T05:15:23Z"), "backup failed")
            .about("run")
            .with("databases", 15)
            .with_list("missing", ["a".to_owned()])
            .with_problem("nuvem", "connection refused", Advice::DiskFull { path: "/s".into(), free: 1, needed: Some(2) });
        let kept = serde_json::to_string(&alert).expect("JSON");
        assert_eq!(serde_json::from_str::<Alert>(&kept).expect("an alert"), alert);
        assert_eq!(alert.problems()[0].advice, Advice::DiskFull { path: "/s".into(), free: 1, needed: Some(2) });
    }

    #[test]
    fn it_is_another_alert_when_something_else_is_wrong_and_not_when_only_the_words_differ() {
        let failed = |subject: &str, message: &str, advice: Advice| {
            Alert::new(Event::RunFailed, Timestamp::UNIX_EPOCH, message).with_problem(subject, message, advice).fingerprint()
        };
        let full = |free| Advice::DiskFull { path: "/s".into(), free, needed: None };
        assert_eq!(failed("nuvem", "after 30 s", Advice::Unreachable), failed("nuvem", "after 31 s", Advice::Unreachable));
        assert_eq!(failed("", "a", full(1)), failed("", "b", full(2)));
        assert_ne!(failed("nuvem", "a", Advice::Unreachable), failed("disco", "a", Advice::Unreachable));
        assert_ne!(failed("nuvem", "a", Advice::Unreachable), failed("nuvem", "a", Advice::Certificate));
    }

    #[test]
    fn what_persists_and_what_is_over_keep_the_key_and_the_first_event() {
        let alert =
            Alert::new(Event::VerifyFailed, at("2026-03-15T05:00:00Z"), "x").about("verify:disco").with_problem("a", "b", Advice::Unknown);
        let still = alert.persists(alert.at, at("2026-03-16T05:00:00Z"));
        assert_eq!((still.problem.as_deref(), still.severity), (Some("verify:disco"), Severity::Critical));
        assert_eq!(still.persists(alert.at, at("2026-03-17T05:00:00Z")).facts["of"], "verify.failed");
        let over = alert.recovered(alert.at, at("2026-03-16T05:00:00Z"));
        assert_eq!((over.severity, over.facts["since"].as_str()), (Severity::Info, Some("2026-03-15T05:00:00Z")));
        assert!(over.problems().is_empty());
    }

    #[test]
    fn whatever_comes_it_stays_small() {
        let alert = Alert::new(Event::Test, Timestamp::UNIX_EPOCH, &"é".repeat(10_000))
            .with("error", "ç".repeat(100_000))
            .with_list("missing", (0..10_000).map(|number| format!("{number}{}", "x".repeat(10_000))))
            .with_problems(&vec![Problem { subject: "s".repeat(9_999), message: "m".repeat(9_999), advice: Advice::Unknown }; 1_000]);
        assert!(serde_json::to_vec(&alert).expect("JSON").len() < 400_000);
        assert_eq!((alert.facts["missing_total"].as_u64(), alert.facts["problems_total"].as_u64()), (Some(10_000), Some(1_000)));
    }
}
