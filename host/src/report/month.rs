//! A calendar month in a time zone.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A month, as `2026-10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    first: Date,
}

/// The text is no month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no month; write for example `2026-10`")]
pub struct MonthError(String);

impl Month {
    /// The month that a moment lies in.
    pub fn at(moment: Timestamp, zone: &TimeZone) -> Self {
        Self { first: moment.to_zoned_datetime(zone.clone()).date().first_of_month() }
    }

    /// The one before it; the first of all stays.
    #[must_use]
    pub fn previous(self) -> Self {
        Self { first: self.first.yesterday().map_or(self.first, Date::first_of_month) }
    }

    /// Its year.
    pub fn year(self) -> i16 {
        self.first.year()
    }

    /// Its number, 1 to 12.
    pub fn number(self) -> i8 {
        self.first.month()
    }

    /// Its begin, and that of the next month.
    pub fn range(self, zone: &TimeZone) -> (Timestamp, Timestamp) {
        let begin = |day: Date| day.to_zoned_datetime(zone.clone()).map_or(Timestamp::MAX, |at| at.timestamp());
        (begin(self.first), self.first.last_of_month().tomorrow().map_or(Timestamp::MAX, begin))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.number())
    }
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let fail = || MonthError(text.to_owned());
        let (year, month) = text.split_once('-').filter(|(year, month)| year.len() == 4 && month.len() == 2).ok_or_else(fail)?;
        let number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse::<i16>().ok()).flatten();
        let (year, month) = number(year).zip(number(month)).ok_or_else(fail)?;
        let first = i8::try_from(month).ok().and_then(|month| Date::new(year, month, 1).ok()).ok_or_else(fail)?;
        Ok(Self { first })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_month_begins_and_ends_where_the_zone_says() {
        let zone = TimeZone::get("America/Sao_Paulo").expect("a zone");
        let month: Month = "2026-10".parse().expect("a month");
        assert_eq!(month.range(&zone), (at("2026-10-01T03:00:00Z"), at("2026-11-01T03:00:00Z")));
        assert_eq!(Month::at(at("2026-11-01T02:59:59Z"), &zone), month);
        assert_eq!(Month::at(at("2026-11-01T03:00:00Z"), &zone).previous(), month);
        // A day that the clock was put forward at midnight in has no midnight.
        let (from, _) = "2018-11".parse::<Month>().expect("a month").range(&zone);
        assert_eq!(from, at("2018-11-01T03:00:00Z"));
        assert_eq!("2026-01".parse::<Month>().expect("a month").previous().to_string(), "2025-12");
    }

    proptest! {
        #[test]
        fn what_is_no_month_is_refused_and_what_is_comes_back(text in "[0-9a-z+ -]{0,8}|[0-9]{4}-[0-9]{2}") {
            if let Ok(month) = text.parse::<Month>() {
                prop_assert_eq!(month.to_string(), text);
            }
        }

        #[test]
        fn every_moment_lies_in_its_month(second in 0_i64..4_000_000_000) {
            let zone = TimeZone::get("Europe/Lisbon").expect("a zone");
            let moment = Timestamp::from_second(second).expect("a time");
            let (from, to) = Month::at(moment, &zone).range(&zone);
            prop_assert!((from..to).contains(&moment));
        }
    }
}
