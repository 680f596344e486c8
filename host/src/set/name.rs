//! The name of a snapshot set: `backup_YYYY_MM_DD_HH_MM_SS` in the server's local time, as the mission draws it.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

/// Name of a snapshot set. Sorts by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SetName(DateTime);

/// A text that is no set name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a set; names look like `backup_2026_03_15_02_00_00`")]
pub struct SetNameError(String);

const FORMAT: &str = "backup_%Y_%m_%d_%H_%M_%S";
const LENGTH: usize = "backup_2026_03_15_02_00_00".len();

impl SetName {
    /// The name of a set that starts at `moment`, local time; fractions of a second are dropped.
    pub fn at(moment: DateTime) -> Self {
        Self(moment.with().subsec_nanosecond(0).build().unwrap_or(moment))
    }

    /// The name one second later: for a run that starts in the same second as another, or in the hour that a clock change repeats.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(jiff::Span::new().seconds(1)))
    }

    /// The local date and time in the name.
    pub fn moment(self) -> DateTime {
        self.0
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime(FORMAT))
    }
}

impl FromStr for SetName {
    type Err = SetNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || SetNameError(text.chars().take(100).collect());
        if text.len() != LENGTH {
            return Err(fail());
        }
        let name = DateTime::strptime(FORMAT, text).map(Self).map_err(|_| fail())?;
        if name.to_string() == text { Ok(name) } else { Err(fail()) }
    }
}

impl TryFrom<String> for SetName {
    type Error = SetNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SetName> for String {
    fn from(name: SetName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_its_moment() {
        let name: SetName = "backup_2024_03_15_02_00_00".parse().expect("valid");
        assert_eq!(name.moment().to_string(), "2024-03-15T02:00:00");
        assert_eq!(name.next().to_string(), "backup_2024_03_15_02_00_01");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "backup_2024_03_15",
            "backup_2024_13_15_02_00_00",
            "backup_2024_02_30_02_00_00",
            "backup_2024_03_15_02_00_0x",
            "backup_+024_03_15_02_00_00",
        ] {
            assert!(text.parse::<SetName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_the_text(text in ".{0,40}") {
            if let Ok(name) = text.parse::<SetName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
