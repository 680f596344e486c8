//! How gravity and time look where a service shows them.

use cofre_sdk::Severity;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Red, green and blue for a severity, eight bits each.
pub fn colour(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 0x002E_7D32,
        Severity::Warning => 0x00F9_A825,
        Severity::Critical => 0x00C6_2828,
    }
}

/// A time as in RFC 3339, in UTC; none for one after the year 9999.
pub fn rfc3339(unix_ms: u64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc() {
        assert_eq!(rfc3339(1_790_000_000_250).as_deref(), Some("2026-09-21T14:13:20.25Z"));
        assert_eq!(rfc3339(u64::MAX), None);
    }
}
