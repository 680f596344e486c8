//! The suite on destinations that are right, and on each kind of wrong one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::report::{Outcome, Report};
use crate::shelf::{Bug, Shelf};
use crate::subject::{Failure, Kind, Subject};
use crate::suite::{Event, Options, Refusal, Suite, Verb, names};

const PART: u64 = 40_000;

fn options() -> Options {
    Options { large: 300_000, window: PART, objects: 130, patience: Duration::from_millis(100), ..Options::default() }
}

fn refusals<'a>(bug: Option<Bug>) -> Vec<Refusal<'a>> {
    let refused = |name: &str, verb| Refusal {
        name: name.to_owned(),
        error: Kind::AccessDenied,
        verb,
        bytes: None,
        subject: Ok(Box::new(Shelf::denying(bug)) as Box<dyn Subject>),
    };
    vec![refused("wrong-password", None), refused("put", Some(Verb::Put)), refused("delete", Some(Verb::Delete))]
}

fn run(shelf: &Shelf, bug: Option<Bug>) -> Report {
    Suite { subject: shelf, refusals: refusals(bug), options: options() }.run(&mut |_| {})
}

fn outcome<'a>(report: &'a Report, name: &str) -> &'a Outcome {
    &report.cases.iter().find(|case| case.name == name).expect("it is a case").outcome
}

#[test]
fn an_honest_destination_passes_with_parts_and_without_and_nothing_is_left() {
    for part_size in [None, Some(PART)] {
        let shelf = Shelf::new(None, part_size);
        let report = run(&shelf, None);
        let bad: Vec<_> = report.cases.iter().filter(|case| !matches!(case.outcome, Outcome::Passed(_))).collect();
        assert!(bad.is_empty(), "{bad:#?}");
        assert_eq!(report.cases.len(), names().count() + 3);
        assert_eq!(shelf.left(), (0, 0), "objects and sessions that the suite left");
        let pages = outcome(&report, "list/pages").detail().expect("a note");
        assert!(pages.contains("over more than one page"), "{pages}");
    }
}

/// Where the service has no way to add to what it has, a destination says so, and is asked for a whole object alone.
#[test]
fn a_destination_that_begins_anew_passes_where_it_says_so() {
    for part_size in [None, Some(PART)] {
        for (begins_anew, name) in [(true, "resume/at-every-part"), (true, "resume/inside-a-part"), (false, "resume/at-every-part")] {
            let options = Options { only: vec![name.to_owned()], begins_anew, ..options() };
            let shelf = Shelf::new(Some(Bug::ForgetsAtACut), part_size);
            let report = Suite { subject: &shelf, refusals: Vec::new(), options }.run(&mut |_| {});
            assert_eq!(report.failed() == 0, begins_anew, "{name} at parts of {part_size:?}: {report:#?}");
        }
    }
}

/// Every bug is found, and by the case that is meant for it.
#[test]
fn each_bug_fails_the_case_that_is_meant_for_it() {
    let meant = [
        (Bug::AppearsEarly, "put/unseen-until-finished"),
        (Bug::RemovesTheOldAtBegin, "put/replaces"),
        (Bug::WillNotReplace, "put/replaces"),
        (Bug::ReportsAnotherSize, "put/one-byte"),
        (Bug::ReportsAWrongChecksum, "put/one-byte"),
        (Bug::WantsPartsOfNothing, "probe/limits"),
        (Bug::ProbeStays, "probe/leaves-nothing"),
        (Bug::LosesAByteAtResume, "resume/at-every-part"),
        (Bug::ClaimsMoreThanItHas, "resume/at-every-part"),
        (Bug::ForgetsAtACut, "resume/at-every-part"),
        (Bug::KnowsOnlyTheLastToken, "resume/older-token"),
        (Bug::TakesAShortBodyForWhole, "resume/short-body"),
        (Bug::ResumesWhatItNeverGave, "resume/unknown-token"),
        (Bug::AbortWorksOnce, "abort/twice"),
        (Bug::AbortRemovesTheObject, "abort/keeps-what-was-there"),
        (Bug::AbortKeepsTheSession, "abort/twice"),
        (Bug::RangeIsOffByOne, "read/ranges"),
        (Bug::CutsRangesToFit, "read/beyond"),
        (Bug::MissingIsOther, "stat/nothing"),
        (Bug::MissingIsOther, "read/nothing"),
        (Bug::FolderIsAnObject, "stat/nothing"),
        (Bug::ListsTemporaries, "list/no-temporaries"),
        (Bug::ListsTheLastTwice, "list/pages"),
        (Bug::LosesTheFirstOfAPage, "list/pages"),
        (Bug::PrefixIsAFolder, "list/prefix"),
        (Bug::PlusIsABlank, "keys/odd"),
        (Bug::CutsLongNames, "keys/long"),
        (Bug::FoldsCase, "keys/twins"),
        (Bug::DeletesWithTheFolder, "delete/folder"),
        (Bug::DeletesOnlyOnce, "delete/twice"),
        (Bug::SharesOneSession, "parallel/interleaved"),
        (Bug::BuffersAll, "pacing"),
        (Bug::EatsMemory, "memory"),
        (Bug::RefusesAsOther, "refusal/wrong-password"),
        (Bug::RefusesAsOther, "refusal/put"),
        (Bug::RefusesAsOther, "refusal/delete"),
    ];
    for part_size in [None, Some(PART)] {
        for (bug, name) in meant {
            let options = Options { only: vec![name.to_owned()], ..options() };
            let shelf = Shelf::new((bug != Bug::RefusesAsOther).then_some(bug), part_size);
            let report = Suite { subject: &shelf, refusals: refusals(Some(bug)), options }.run(&mut |_| {});
            assert!(matches!(outcome(&report, name), Outcome::Failed(_)), "{bug:?} at parts of {part_size:?}: {report:#?}");
        }
    }
}

#[test]
fn what_is_refused_before_it_is_made_counts_as_refused() {
    let shelf = Shelf::new(None, None);
    let refusal = |error| Refusal {
        name: "no-secret".to_owned(),
        error,
        verb: None,
        bytes: None,
        subject: Err(Failure::new(Kind::InvalidConfig, "the secret `key` is missing")),
    };
    let only = |error| Suite {
        subject: &shelf,
        refusals: vec![refusal(error)],
        options: Options { only: vec!["refusal".to_owned()], ..options() },
    };
    assert_eq!(only(Kind::InvalidConfig).run(&mut |_| {}).passed(), 1);
    assert_eq!(only(Kind::AccessDenied).run(&mut |_| {}).failed(), 1);
}

#[test]
fn a_destination_that_does_not_answer_is_one_failure_and_not_forty() {
    let report = run(&Shelf::denying(None), None);
    assert_eq!((report.failed(), report.skipped()), (1, names().count() + 2));
    assert!(outcome(&report, "probe/limits").detail().expect("why").contains("the password is wrong"));
}

#[test]
fn a_choice_is_a_case_or_a_group_and_anything_else_is_told() {
    let shelf = Shelf::new(None, None);
    let chosen = |only: &[&str]| Options { only: only.iter().map(ToString::to_string).collect(), ..options() };
    let suite = |only: &[&str]| Suite { subject: &shelf, refusals: refusals(None), options: chosen(only) };
    assert_eq!(suite(&["abort", "pacing"]).run(&mut |_| {}).cases.len(), 3);
    assert_eq!(suite(&["refusal/put", "keys/odd"]).run(&mut |_| {}).passed(), 2);
    assert_eq!(suite(&["abort", "aborts", "put/em", "refusal/x"]).unknown(), ["aborts", "put/em", "refusal/x"]);
}

#[test]
fn a_stopped_run_tidies_and_begins_nothing_more() {
    let (shelf, stop) = (Shelf::new(None, Some(PART)), Arc::new(AtomicBool::new(false)));
    let suite = Suite { subject: &shelf, refusals: Vec::new(), options: Options { stop: Arc::clone(&stop), ..options() } };
    let report = suite.run(&mut |event| {
        if matches!(event, Event::Begins("resume/at-every-part")) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!(outcome(&report, "put/several-parts"), &Outcome::Passed(None));
    assert!(report.cases.iter().filter(|case| case.name.starts_with("resume")).all(|case| matches!(case.outcome, Outcome::Skipped(_))));
    assert_eq!((report.failed(), shelf.left()), (0, (0, 0)));
}
