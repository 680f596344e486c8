//! Who hears of what, and when. A problem is told once until something about it changes, again when it lasts, and whoever was told of it is
//! told that it is over.

use std::time::Duration;

use globset::GlobSet;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Alert, Event};
use crate::ports::Severity;
use crate::schedule::{Window, opened};

/// What one notifier hears of.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Names of events; `None`: all but those that only say that something began.
    pub events: Option<GlobSet>,
    /// The least grave.
    pub min_severity: Severity,
    /// Hours in which only what is critical is delivered.
    pub quiet: Vec<Window>,
    /// Time zone of those.
    pub zone: TimeZone,
    /// How long a problem must have lasted.
    pub after: Duration,
    /// When a problem that lasts is told again.
    pub remind_after: Duration,
}

/// What a notifier was last told of a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Fingerprint of the alert.
    pub fingerprint: String,
    /// When.
    pub at: Timestamp,
}

/// What is to be said of a problem now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The alert.
    Say,
    /// That it is still so.
    SayAgain,
    /// Nothing.
    Nothing,
}

impl Rule {
    /// Whether it hears of such an alert.
    pub fn wants(&self, alert: &Alert) -> bool {
        let named = match &self.events {
            Some(events) => events.is_match(alert.event.name()),
            None => alert.event != Event::RunStarted,
        };
        // Whoever tries a notifier out wants to see it.
        alert.event == Event::Test || (named && alert.severity >= self.min_severity)
    }

    /// What is to be said of a problem that began at `since` and is as `alert` says.
    pub fn of_problem(&self, alert: &Alert, since: Timestamp, told: Option<&Told>, now: Timestamp) -> Verdict {
        let lasted =
            |then: Timestamp, least: Duration| now.duration_since(then) >= SignedDuration::try_from(least).unwrap_or(SignedDuration::MAX);
        if !self.wants(alert) || !lasted(since, self.after) {
            return Verdict::Nothing;
        }
        match told {
            None => Verdict::Say,
            Some(told) if told.fingerprint != alert.fingerprint() => Verdict::Say,
            Some(told) if lasted(told.at, self.remind_after) => Verdict::SayAgain,
            Some(_) => Verdict::Nothing,
        }
    }

    /// When an alert is to be delivered: at once, or after the quiet hours.
    pub fn when(&self, severity: Severity, now: Timestamp) -> Timestamp {
        if severity == Severity::Critical {
            return now;
        }
        opened(&self.quiet, now.to_zoned_datetime(self.zone.clone())).timestamp()
    }
}

#[cfg(test)]
mod tests {
    use globset::{Glob, GlobSetBuilder};
    use proptest::prelude::*;

    use super::*;
    use crate::notify::Advice;

    const HOUR: u64 = 3_600;

    fn rule() -> Rule {
        Rule {
            events: None,
            min_severity: Severity::Info,
            quiet: vec![Window::parse("22:00-07:00").expect("hours")],
            zone: TimeZone::get("America/Sao_Paulo").expect("a zone"),
            after: Duration::ZERO,
            remind_after: Duration::from_secs(24 * HOUR),
        }
    }

    fn at(text: &str) -> Timestamp {
        format!("{text}:00-03:00").parse().expect("a time")
    }

    fn failed(subject: &str) -> Alert {
        Alert::new(Event::RunFailed, at("2026-03-15T02:00"), "x").about("run").with_problem(subject, "x", Advice::Unreachable)
    }

    fn told(alert: &Alert, at: Timestamp) -> Told {
        Told { fingerprint: alert.fingerprint(), at }
    }

    #[test]
    fn a_beginning_is_heard_of_only_by_who_asks_for_it() {
        let started = Alert::new(Event::RunStarted, at("2026-03-15T02:00"), "x");
        assert!(!rule().wants(&started) && rule().wants(&failed("a")));
        let asked = GlobSetBuilder::new().add(Glob::new("run.*").expect("a pattern")).build().expect("patterns");
        let rule = Rule { events: Some(asked), ..rule() };
        assert!(rule.wants(&started) && !rule.wants(&Alert::new(Event::VerifyDone, at("2026-03-15T02:00"), "x")));
    }

    #[test]
    fn a_problem_is_told_once_then_when_it_changes_and_again_when_it_lasts() {
        let (rule, alert) = (rule(), failed("nuvem"));
        let (since, next_day) = (at("2026-03-15T02:00"), at("2026-03-16T01:59"));
        assert_eq!(rule.of_problem(&alert, since, None, since), Verdict::Say);
        let told = told(&alert, since);
        assert_eq!(rule.of_problem(&alert, since, Some(&told), next_day), Verdict::Nothing);
        assert_eq!(rule.of_problem(&failed("disco"), since, Some(&told), next_day), Verdict::Say);
        assert_eq!(rule.of_problem(&alert, since, Some(&told), at("2026-03-16T02:00")), Verdict::SayAgain);
    }

    #[test]
    fn who_is_called_last_hears_of_it_only_when_it_lasts() {
        let (rule, alert) = (Rule { after: Duration::from_secs(4 * HOUR), ..rule() }, failed("nuvem"));
        let since = at("2026-03-15T02:00");
        assert_eq!(rule.of_problem(&alert, since, None, at("2026-03-15T05:59")), Verdict::Nothing);
        assert_eq!(rule.of_problem(&alert, since, None, at("2026-03-15T06:00")), Verdict::Say);
    }

    #[test]
    fn only_what_is_critical_comes_in_quiet_hours() {
        let rule = rule();
        assert_eq!(rule.when(Severity::Warning, at("2026-03-15T02:00")), at("2026-03-15T07:00"));
        assert_eq!(rule.when(Severity::Critical, at("2026-03-15T02:00")), at("2026-03-15T02:00"));
        assert_eq!(rule.when(Severity::Info, at("2026-03-15T12:00")), at("2026-03-15T12:00"));
    }

    proptest! {
        /// However often one looks, a problem that does not change is told once a day.
        #[test]
        fn nobody_is_flooded(minutes in prop::collection::vec(1i64..600, 1..200)) {
            let (rule, alert, since) = (rule(), failed("nuvem"), at("2026-03-15T02:00"));
            let (mut now, mut known, mut said) = (since, None::<Told>, 0);
            for step in minutes {
                if rule.of_problem(&alert, since, known.as_ref(), now) != Verdict::Nothing {
                    known = Some(told(&alert, now));
                    said += 1;
                }
                now = now.checked_add(SignedDuration::from_mins(step)).expect("a time");
            }
            prop_assert!(said <= 1 + now.duration_since(since).as_hours() / 24);
        }
    }
}
