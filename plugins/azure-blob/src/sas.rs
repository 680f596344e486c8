//! Addresses from which anybody can download one object for a while: a service SAS, signed with the account's key
//! ("Create a service SAS", version 2020-12-06 and later).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::address::query;
use crate::client::{Client, Credentials, VERSION};
use crate::sign::AccountKey;

impl Client {
    /// An address to download an object from until `lifetime` has passed; `None` with a token, which cannot sign.
    pub(crate) fn download_address(&self, full_key: &str, lifetime: Duration) -> Option<String> {
        let Credentials::Key(key) = &self.credentials else { return None };
        let expiry = iso((SystemTime::now() + lifetime).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        let token = self.token(key, full_key, &expiry);
        Some(format!("{}{}{token}", self.address.origin, self.address.path(full_key)))
    }

    fn token(&self, key: &AccountKey, full_key: &str, expiry: &str) -> String {
        let protocol = if self.address.is_encrypted() { "https" } else { "https,http" };
        let resource = format!("/blob/{}/{}/{full_key}", key.account, self.settings.container);
        // Permissions, start, expiry, resource, identifier, addresses, protocol, version, kind, snapshot, encryption scope, and five headers.
        let lines = ["r", "", expiry, &resource, "", "", protocol, VERSION, "b", "", "", "", "", "", "", ""];
        let signature = key.signature(&lines.join("\n"));
        let pairs = [("sp", "r"), ("se", expiry), ("spr", protocol), ("sv", VERSION), ("sr", "b"), ("sig", &signature)];
        query(&pairs.map(|(name, value)| (name, value.to_owned())))
    }
}

/// Seconds since 1970 as `2024-02-29T12:30:45Z` (the calendar of Howard Hinnant's `civil_from_days`).
fn iso(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_the_service_reads_it() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_445, "2000-02-29T12:30:45Z"),
            (1_709_209_845, "2024-02-29T12:30:45Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso(seconds), text);
        }
    }
}
