//! Cron expressions in a time zone. The pattern is croner's, and so is the rule for changes of the clock (Vixie's): a fixed time that a
//! change skips is due right after it, one that comes twice is due once, and `*` and steps go by real time.

use std::cmp::Ordering;
use std::str::FromStr;

use croner::errors::CronError;
use croner::{CivilDateTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, ZonedDateTime};

/// When something is due: a pattern and a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    text: String,
    zone: TimeZone,
}

impl Schedule {
    /// Reads five fields (`0 2 * * *`) or a name (`@daily`).
    ///
    /// # Errors
    /// When the text is neither, with the form that it should have.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, String> {
        let fail = |why: String| {
            format!("`{text}` is no schedule: {why}; write five fields, minute hour day month weekday, as in `0 2 * * *`, or `@daily`")
        };
        let fields = text.split_whitespace().count();
        if fields != 5 && !text.trim_start().starts_with('@') {
            return Err(fail(format!("it has {fields} fields")));
        }
        let cron = Cron::from_str(text.trim()).map_err(|error| fail(error.to_string()))?;
        let schedule = Self { cron, text: text.trim().to_owned(), zone };
        // 30 February is a pattern too.
        match schedule.after(jiff::Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(fail("there is no such day".to_owned())),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time zone of its fields.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first time later than `moment`.
    pub fn after(&self, moment: jiff::Timestamp) -> Option<ZonedDateTime> {
        let from = Moment(moment.to_zoned_datetime(self.zone.clone()));
        self.cron.find_next_occurrence(&from, false).ok().map(|found| found.0)
    }
}

/// A time as croner searches over it.
#[derive(Debug, Clone)]
struct Moment(ZonedDateTime);

impl CronDateTime for Moment {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.0.datetime();
        let [month, day, hour, minute, second] =
            [at.month(), at.day(), at.hour(), at.minute(), at.second()].map(i8::unsigned_abs).map(u32::from);
        CivilDateTime::from_ymd_hms_opt(i32::from(at.year()), month, day, hour, minute, second)
            .unwrap_or_else(|| unreachable!("a civil time of one calendar is one of the other"))
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::from(self.0.weekday().to_sunday_zero_offset().unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let ambiguous = self.0.time_zone().to_ambiguous_zoned_datetime(civil_of(civil).ok_or(CronError::InvalidDate)?);
        let invalid = |_| CronError::InvalidTime;
        Ok(match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(Self(ambiguous.clone().earlier().map_err(invalid)?), Self(ambiguous.later().map_err(invalid)?))
            }
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(Self(ambiguous.unambiguous().map_err(invalid)?)),
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

fn civil_of(civil: CivilDateTime) -> Option<DateTime> {
    let part = |value: u32| i8::try_from(value).ok();
    let year = i16::try_from(civil.year()).ok()?;
    let [month, day] = [part(civil.month())?, part(civil.day())?];
    DateTime::new(year, month, day, part(civil.hour())?, part(civil.minute())?, part(civil.second())?, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str, zone: &str) -> Schedule {
        Schedule::parse(text, TimeZone::get(zone).expect("a zone")).expect("a schedule")
    }

    fn next(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = schedule(text, zone);
        let mut at: jiff::Timestamp = after.parse::<ZonedDateTime>().expect("a time").timestamp();
        let mut found = Vec::new();
        for _ in 0..count {
            let next = schedule.after(at).expect("a next time");
            at = next.timestamp();
            found.push(next.strftime("%m-%d %H:%M %:z").to_string());
        }
        found
    }

    #[test]
    fn the_missions_times_are_understood() {
        let at = "2026-03-15T01:59:59-03:00[America/Sao_Paulo]";
        assert_eq!(next("0 2 * * *", "America/Sao_Paulo", at, 2), ["03-15 02:00 -03:00", "03-16 02:00 -03:00"]);
        // 15 March 2026 is a Sunday.
        assert_eq!(next("0 4 * * SUN", "America/Sao_Paulo", at, 2), ["03-15 04:00 -03:00", "03-22 04:00 -03:00"]);
        assert_eq!(next("0 3 * * 3", "America/Sao_Paulo", at, 1), ["03-18 03:00 -03:00"]);
        assert_eq!(next("@monthly", "America/Sao_Paulo", at, 1), ["04-01 00:00 -03:00"]);
    }

    #[test]
    fn a_fixed_time_comes_once_a_day_whatever_the_clock_does() {
        // Stockholm: 02:00 to 03:00 is skipped on 29 March 2026, and comes twice on 25 October.
        let spring = next("30 2 * * *", "Europe/Stockholm", "2026-03-28T12:00:00+01:00[Europe/Stockholm]", 2);
        assert_eq!(spring, ["03-29 03:00 +02:00", "03-30 02:30 +02:00"]);
        let autumn = next("30 2 * * *", "Europe/Stockholm", "2026-10-24T12:00:00+02:00[Europe/Stockholm]", 2);
        assert_eq!(autumn, ["10-25 02:30 +02:00", "10-26 02:30 +01:00"]);
    }

    #[test]
    fn steps_go_by_real_time() {
        let autumn = next("*/30 * * * *", "Europe/Stockholm", "2026-10-25T01:45:00+02:00[Europe/Stockholm]", 5);
        assert_eq!(autumn, ["10-25 02:00 +02:00", "10-25 02:30 +02:00", "10-25 02:00 +01:00", "10-25 02:30 +01:00", "10-25 03:00 +01:00"]);
    }

    #[test]
    fn nonsense_is_refused_with_the_form() {
        for text in ["", "0 2 * *", "0 0 2 * * *", "61 * * * *", "0 0 30 2 *", "every day", "@never"] {
            let error = Schedule::parse(text, TimeZone::UTC).expect_err(text);
            assert!(error.contains("0 2 * * *"), "{error}");
        }
    }
}
