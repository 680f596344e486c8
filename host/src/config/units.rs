//! Sizes (`64MiB`) and durations (`90s`, `15m`) as people write them.

use std::num::NonZeroU32;
use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];
const DURATIONS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a size; a bare number is bytes.
///
/// # Errors
/// When the text is none, with the forms that are.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let fail = || format!("`{text}` is not a size; write for example `512MiB`, `10GB` or a number of bytes");
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = unit.trim();
    let factor =
        if unit.is_empty() { Some(1) } else { SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor) };
    number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor)).ok_or_else(fail)
}

/// Reads a duration; the unit is needed.
///
/// # Errors
/// When the text is none, with the forms that are.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let fail = || format!("`{text}` is not a duration; write for example `500ms`, `90s`, `15m` or `2h`");
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = DURATIONS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor);
    let milliseconds = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    milliseconds.map(Duration::from_millis).ok_or_else(fail)
}

/// Reads a share, `1/4`: in how many times all of it is done once.
///
/// # Errors
/// When the text is none, with the form that is.
pub fn parse_share(text: &str) -> Result<NonZeroU32, String> {
    let every = text.trim().strip_prefix("1/").and_then(|every| every.trim().parse().ok());
    every.ok_or_else(|| format!("`{text}` is not a share; write for example `1/4`: each set is read at least once in 4 verifications"))
}

/// A size for people: three digits and a binary unit.
pub fn format_size(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, factor)| bytes >= *factor) {
        Some((unit, factor)) => {
            let value = bytes as f64 / *factor as f64;
            let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
            format!("{value:.digits$} {unit}")
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_write_is_understood() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("10 GB"), Ok(10_000_000_000));
        assert_eq!(parse_duration("15m"), Ok(Duration::from_secs(900)));
        assert!(parse_duration("15").is_err() && parse_size("1.5GB").is_err() && parse_size("99999999TiB").is_err());
        assert_eq!(format_size(510_656_512), "487 MiB");
    }

    proptest! {
        #[test]
        fn reading_anything_never_panics(text in ".{0,30}") {
            let _ = (parse_size(&text), parse_duration(&text));
        }
    }
}
