//! One run: which cases, in what order, and what came of each.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cases::{self, CASES, Case};
use crate::report::{CaseReport, Outcome, Report};
use crate::stage::{Fault, Stage};
use crate::subject::{Answer, Failure, Kind, Limits, Subject};

const MIB: u64 = 1 << 20;

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only these cases: names, or the part before the `/`. Empty: all.
    pub only: Vec<String>,
    /// Bytes of the large object; more than an instance may have of memory.
    pub large: u64,
    /// Bytes of one write where the destination has no part size.
    pub window: u64,
    /// Objects that are stored, at most, to see a second page of a listing.
    pub objects: usize,
    /// How long storing them may take; what was stored by then is all there is. `None`: as long as it takes.
    pub listing_time: Option<Duration>,
    /// How long bytes may stand still before the pacing case calls them held back.
    pub patience: Duration,
    /// An interrupted upload of several parts may begin again at its start, as the service has no way to add to what it has, and takes an
    /// object by one request: then a write may end a little before its last bytes have left.
    pub begins_anew: bool,
    /// Set from outside to end the run: the case at hand is given up and tidied, and no other begins.
    pub stop: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            large: 80 * MIB + 7,
            window: 4 * MIB,
            objects: 1_100,
            listing_time: Some(Duration::from_secs(45)),
            patience: Duration::from_secs(20),
            begins_anew: false,
            stop: Arc::default(),
        }
    }
}

impl Options {
    /// As much as it takes to be sure: an object of 1 GB, and the host's own window.
    #[must_use]
    pub fn thorough(self) -> Self {
        Self { large: 1_000_000_007, window: 16 * MIB, listing_time: None, ..self }
    }

    /// An error once the run was stopped.
    pub(crate) fn go_on(&self) -> Answer<()> {
        if self.stopped() { Err(Failure::new(Kind::Other, "the run was stopped")) } else { Ok(()) }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn chooses(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|chosen| covers(chosen, name))
    }
}

/// Whether a choice means a case: its name, or the group before the `/`.
fn covers(chosen: &str, name: &str) -> bool {
    name == chosen || name.strip_prefix(chosen).is_some_and(|rest| rest.starts_with('/'))
}

/// A verb that a refusal is tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// `probe`.
    Probe,
    /// A whole upload.
    Put,
    /// `read`, of an object that is there.
    Read,
    /// `stat`, of an object that is there.
    Stat,
    /// `list`.
    List,
    /// `delete`, of an object that is there.
    Delete,
}

/// The same destination with something that must be refused: wrong credentials, no permission, no space.
pub struct Refusal<'a> {
    /// Name, part of the case's.
    pub name: String,
    /// How it must fail.
    pub error: Kind,
    /// On what. Left out: on the probe or, should that succeed, on an upload.
    pub verb: Option<Verb>,
    /// Bytes of the upload; 1 MiB by default.
    pub bytes: Option<u64>,
    /// The destination, or why its settings were refused before it could be made.
    pub subject: Answer<Box<dyn Subject + 'a>>,
}

/// What happens in a run.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A case begins.
    Begins(&'a str),
    /// A case has ended.
    Ended(&'a CaseReport),
}

/// Names of all cases but the refusals, in their order.
pub fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.name)
}

/// A destination and what is to be asked of it.
pub struct Suite<'a> {
    /// The destination.
    pub subject: &'a dyn Subject,
    /// What must be refused.
    pub refusals: Vec<Refusal<'a>>,
    /// How.
    pub options: Options,
}

impl Suite<'_> {
    /// The choices of [`Options::only`] that mean no case.
    pub fn unknown(&self) -> Vec<&str> {
        let refusals: Vec<String> = self.refusals.iter().map(refusal_name).collect();
        let means = |chosen: &str| names().any(|name| covers(chosen, name)) || refusals.iter().any(|name| covers(chosen, name));
        self.options.only.iter().map(String::as_str).filter(|chosen| !means(chosen)).collect()
    }

    /// Runs the chosen cases, one after the other.
    pub fn run(&self, observe: &mut dyn FnMut(Event<'_>)) -> Report {
        let seed = RandomState::new().hash_one("cofre");
        let mut run = Run { suite: self, prefix: format!("cofre-conformance-{seed:016x}/"), seed, reports: Vec::new(), observe };
        match self.subject.probe() {
            Ok(limits) => run.all(limits),
            Err(failure) => run.without_probe(&failure),
        }
        Report { prefix: run.prefix, cases: run.reports }
    }
}

fn refusal_name(refusal: &Refusal<'_>) -> String {
    format!("refusal/{}", refusal.name)
}

struct Run<'a, 'o> {
    suite: &'a Suite<'a>,
    prefix: String,
    seed: u64,
    reports: Vec<CaseReport>,
    observe: &'o mut dyn FnMut(Event<'_>),
}

impl Run<'_, '_> {
    fn all(&mut self, limits: Limits) {
        for Case { name, run } in CASES {
            self.one(name, limits, run);
        }
        for refusal in &self.suite.refusals {
            self.one(&refusal_name(refusal), limits, |stage| cases::refusal(stage, refusal));
        }
    }

    fn one(&mut self, name: &str, limits: Limits, case: impl Fn(&Stage<'_>) -> Result<Outcome, Fault>) {
        let options = &self.suite.options;
        if !options.chooses(name) {
            return;
        }
        (self.observe)(Event::Begins(name));
        let started = Instant::now();
        if options.stopped() {
            return self.ended(name, Outcome::Skipped("the run was stopped".to_owned()), started);
        }
        let place = (format!("{}{}/", self.prefix, name.replace('/', "-")), self.seed);
        let stage = Stage::new(self.suite.subject, options, limits, place);
        let outcome = case(&stage).unwrap_or_else(|fault| match fault {
            Fault::Wrong(why) => Outcome::Failed(why),
            Fault::Skip(why) => Outcome::Skipped(why),
        });
        let stopped = options.stopped();
        let outcome = match (outcome, stage.tidy()) {
            (Outcome::Failed(_), _) if stopped => Outcome::Skipped("the run was stopped".to_owned()),
            (Outcome::Failed(why), _) => Outcome::Failed(why),
            (_, Err(Fault::Wrong(why))) if !stopped => Outcome::Failed(why),
            (outcome, _) => outcome,
        };
        self.ended(name, outcome, started);
    }

    fn ended(&mut self, name: &str, outcome: Outcome, started: Instant) {
        let report = CaseReport { name: name.to_owned(), outcome, took: started.elapsed() };
        (self.observe)(Event::Ended(&report));
        self.reports.push(report);
    }

    /// Nothing can be said of a destination that does not answer; the first case says why.
    fn without_probe(&mut self, failure: &Failure) {
        let (suite, started) = (self.suite, Instant::now());
        let refusals = suite.refusals.iter().map(refusal_name);
        for (index, name) in names().map(str::to_owned).chain(refusals).filter(|name| suite.options.chooses(name)).enumerate() {
            let outcome = match index {
                0 => Outcome::Failed(format!("probe: {failure}")),
                _ => Outcome::Skipped("the probe failed".to_owned()),
            };
            self.ended(&name, outcome, started);
        }
    }
}
