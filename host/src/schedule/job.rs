//! One scheduled job, and whether it is due.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};
use xxhash_rust::xxh3::xxh3_64;

use super::Schedule;

/// How late a job may begin without counting as missed: a loop that was busy, a machine that was asleep for a moment.
const GRACE: Duration = Duration::from_secs(15 * 60);
/// Windows that a time is moved out of, one after the other, before it stays where it is.
const MOVES_MAX: usize = 16;

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A backup.
    Run {
        /// Only these; everything where it is empty.
        only: Vec<String>,
        /// Tags of its sets.
        tags: Vec<String>,
    },
    /// Reads copies back and proves them.
    Verify {
        /// In how many verifications each set is read at least once, 1 being all each time; `None` is the newest at each destination.
        every: Option<NonZeroU32>,
        /// Also decrypts and reads every archive.
        deep: bool,
    },
    /// Restores the newest set into a scratch and compares it.
    Drill {
        /// Only these; everything where it is empty.
        only: Vec<String>,
    },
    /// Removes what retention does not keep.
    Prune,
    /// Reports the month before.
    Report,
}

impl Action {
    /// Its name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Run { .. } => "run",
            Self::Verify { .. } => "verify",
            Self::Drill { .. } => "drill",
            Self::Prune => "prune",
            Self::Report => "report",
        }
    }
}

/// What happens where a job is due again before it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// Nothing: the next time is the next time.
    #[default]
    Skip,
    /// It runs once more right after.
    Queue,
}

/// Hours of the day in which no job begins. One that ends before it begins goes over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Begin.
    pub from: Time,
    /// End, exclusive.
    pub to: Time,
}

impl Window {
    /// Reads `08:00-18:00`.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fail = || format!("`{text}` is no part of a day; write for example `08:00-18:00`");
        let (from, to) = text.split_once('-').ok_or_else(fail)?;
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| fail());
        let window = Self { from: time(from)?, to: time(to)? };
        if window.from == window.to { Err(fail()) } else { Ok(window) }
    }

    fn holds(self, time: Time) -> bool {
        if self.from < self.to { (self.from..self.to).contains(&time) } else { time >= self.from || time < self.to }
    }

    /// The end of the window that `at` lies in.
    fn end(self, at: &ZonedDateTime) -> Option<ZonedDateTime> {
        let day = if at.time() < self.to { at.date() } else { at.date().tomorrow().ok()? };
        day.to_datetime(self.to).to_zoned_datetime(at.time_zone().clone()).ok()
    }
}

/// A job.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// Its name.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// When.
    pub schedule: Schedule,
    /// It begins up to so much later, each time by the same.
    pub jitter: Duration,
    /// Whether it is made good after a time in which nothing ran.
    pub catch_up: bool,
    /// Whether it also runs when the daemon starts.
    pub at_start: bool,
    /// Whether it begins by itself at all.
    pub enabled: bool,
    /// When it does not begin.
    pub closed: Vec<Window>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// What happens where it is due while it runs.
    pub overlap: Overlap,
}

/// How it stands with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is to begin.
    Now,
    /// It was to begin then, nothing ran, and it is not to be made good.
    Missed(Timestamp),
    /// It begins then.
    At(Timestamp),
    /// Never again.
    Never,
}

impl JobSpec {
    /// The `since` of a job that is due at once.
    pub const AT_ONCE: Timestamp = Timestamp::UNIX_EPOCH;

    /// When it begins for the first time after everything up to `since` was seen to.
    pub fn next(&self, since: Timestamp) -> Option<Timestamp> {
        let at = self.schedule.after(since)?;
        let late = SignedDuration::try_from(self.delay(&at)).unwrap_or_default();
        Some(opened(&self.closed, at.checked_add(late).ok()?).timestamp())
    }

    /// How it stands with the job, of which everything up to `since` was seen to.
    pub fn due(&self, since: Timestamp, now: Timestamp) -> Due {
        let Some(next) = self.next(since).filter(|_| self.enabled) else { return Due::Never };
        if next > now {
            return Due::At(next);
        }
        let late = now.duration_since(next) > SignedDuration::try_from(GRACE).unwrap_or_default();
        // What is asked for now was not missed.
        match (late, self.catch_up || since == Self::AT_ONCE) {
            (true, false) => Due::Missed(next),
            // What is made good keeps to the hours as well.
            (true, true) => match opened(&self.closed, now.to_zoned_datetime(self.schedule.zone().clone())).timestamp() {
                open if open > now => Due::At(open),
                _ => Due::Now,
            },
            (false, _) => Due::Now,
        }
    }

    /// The share of the jitter that this time gets: the same whenever it is asked for, another each time and for each job.
    fn delay(&self, at: &ZonedDateTime) -> Duration {
        let seconds = self.jitter.as_secs();
        if seconds == 0 {
            return Duration::ZERO;
        }
        Duration::from_secs(xxh3_64(format!("{} {}", self.name, at.timestamp()).as_bytes()) % (seconds + 1))
    }
}

/// `at`, or the end of the closed hours that it lies in.
pub fn opened(closed: &[Window], mut at: ZonedDateTime) -> ZonedDateTime {
    for _ in 0..MOVES_MAX {
        let end = closed.iter().find(|window| window.holds(at.time())).and_then(|window| window.end(&at));
        match end {
            Some(end) => at = end,
            None => return at,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    fn job(schedule: &str) -> JobSpec {
        JobSpec {
            name: "noite".to_owned(),
            action: Action::Prune,
            schedule: Schedule::parse(schedule, TimeZone::get("America/Sao_Paulo").expect("a zone")).expect("a schedule"),
            jitter: Duration::ZERO,
            catch_up: true,
            at_start: false,
            enabled: true,
            closed: Vec::new(),
            timeout: None,
            overlap: Overlap::Skip,
        }
    }

    fn at(text: &str) -> Timestamp {
        format!("{text}:00-03:00").parse().expect("a time")
    }

    #[test]
    fn a_job_is_due_at_its_time_and_not_before() {
        let job = job("0 2 * * *");
        let since = at("2026-03-14T02:00");
        assert_eq!(job.due(since, at("2026-03-15T01:59")), Due::At(at("2026-03-15T02:00")));
        assert_eq!(job.due(since, at("2026-03-15T02:00")), Due::Now);
        assert_eq!(job.due(at("2026-03-15T02:00"), at("2026-03-15T02:10")), Due::At(at("2026-03-16T02:00")));
    }

    #[test]
    fn many_that_were_missed_are_made_good_once_or_named() {
        let mut job = job("0 2 * * *");
        let (since, now) = (at("2026-03-10T02:00"), at("2026-03-15T09:00"));
        assert_eq!(job.due(since, now), Due::Now);
        assert_eq!(job.due(now, now), Due::At(at("2026-03-16T02:00")));
        job.catch_up = false;
        assert_eq!(job.due(since, now), Due::Missed(at("2026-03-11T02:00")));
        // A few minutes late is not missed, nor is what is asked for now.
        assert_eq!(job.due(at("2026-03-14T02:00"), at("2026-03-15T02:10")), Due::Now);
        assert_eq!(job.due(JobSpec::AT_ONCE, now), Due::Now);
    }

    #[test]
    fn nothing_begins_in_closed_hours() {
        let mut job = job("0 10 * * *");
        job.closed = vec![Window::parse("08:00-18:00").expect("a window"), Window::parse("18:00-20:30").expect("a window")];
        assert_eq!(job.next(at("2026-03-15T00:00")), Some(at("2026-03-15T20:30")));
        // What was missed does not begin in them either.
        assert_eq!(job.due(at("2026-03-10T21:00"), at("2026-03-15T09:00")), Due::At(at("2026-03-15T20:30")));
        job.closed = vec![Window::parse("22:00-06:00").expect("a window")];
        assert_eq!(job.next(at("2026-03-15T00:00")), Some(at("2026-03-15T10:00")));
        let night =
            JobSpec { schedule: super::super::Schedule::parse("0 23 * * *", job.schedule.zone().clone()).expect("a schedule"), ..job };
        assert_eq!(night.next(at("2026-03-15T00:00")), Some(at("2026-03-16T06:00")));
    }

    #[test]
    fn windows_are_read_or_refused() {
        for text in ["8-18", "08:00", "08:00-08:00", "25:00-26:00", ""] {
            assert!(Window::parse(text).expect_err(text).contains("08:00-18:00"));
        }
    }

    proptest! {
        #[test]
        fn jitter_is_bounded_and_always_the_same(minutes in 1u64..120, day in 0i64..4_000) {
            let mut jittered = job("0 2 * * *");
            jittered.jitter = Duration::from_secs(minutes * 60);
            let since = at("2026-01-01T12:00").checked_add(SignedDuration::from_hours(24 * day)).expect("a time");
            let (plain, late) = (job("0 2 * * *").next(since).expect("one"), jittered.next(since).expect("one"));
            prop_assert!(late >= plain && late.duration_since(plain).as_secs() <= i64::try_from(minutes * 60).expect("small"));
            prop_assert_eq!(jittered.next(since), Some(late));
        }

        #[test]
        fn whatever_the_windows_it_ends(windows in prop::collection::vec((0i8..24, 0i8..60, 0i8..24, 0i8..60), 0..6)) {
            let mut job = job("*/7 * * * *");
            for (h1, m1, h2, m2) in windows {
                job.closed.extend(Window::parse(&format!("{h1:02}:{m1:02}-{h2:02}:{m2:02}")));
            }
            prop_assert!(job.next(at("2026-03-15T00:00")).is_some());
        }
    }
}
