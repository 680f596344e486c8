//! What people read, in Brazilian Portuguese and in English. The Portuguese wording of results is the mission's own.

mod access;
mod advice;
mod alert;
mod audit;
mod init;
mod letter;
mod login;
mod monitor;
mod monthly;
mod proofs;
mod prune;
mod report;
mod schedule;
mod tenant;
mod trial;

pub use crate::config::format_size;
pub use access::{refusal_in_words, role_in_words, scope_in_words, setup_link_made, token_made, token_row, user_row};
pub use alert::{AlertText, alert_actions, alert_text, alert_title};
pub use audit::{audit_entry, audit_findings};
pub use init::{configuration_template, init_done, init_plugins, plugin_made, recovery_sheet};
pub use login::{login_done, login_paste, login_type};
pub use monitor::{check_in_words, fault_in_words, problem_title};
pub use monthly::{MonthlyText, Trend, growth_names, monthly_text};
pub use proofs::{DrillFacts, RepairFacts, RepairState, drill_summary, nothing_to_repair, repair_summary};
pub use prune::{prune_summary, reason_in_words};
pub use report::{RestoredFacts, RunFacts, VerifiedFacts, restore_summary, run_failure, run_summary, verify_summary};
pub use schedule::schedule_in_words;
pub use tenant::{TenantFacts, TenantSummary, tenant_letter, tenant_passphrase, tenant_summary};
pub use trial::{case_line, trial_summary};

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locale {
    /// Brazilian Portuguese.
    PtBr,
    /// English.
    En,
}

impl Locale {
    /// The language asked for on the command line, else that of the configuration, else that of the environment.
    pub fn choose(asked: Option<&str>, configured: Option<&str>) -> Self {
        let environment =
            ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        match asked.or(configured).map(str::to_owned).or(environment) {
            Some(name) if name.to_lowercase().starts_with("pt") => Self::PtBr,
            _ => Self::En,
        }
    }

    /// One of two texts.
    pub fn pick<'a>(self, portuguese: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::PtBr => portuguese,
            Self::En => english,
        }
    }
}

/// A duration in words: the two largest units.
pub fn duration(seconds: u64, locale: Locale) -> String {
    let names = match locale {
        Locale::PtBr => [("hora", "horas"), ("minuto", "minutos"), ("segundo", "segundos")],
        Locale::En => [("hour", "hours"), ("minute", "minutes"), ("second", "seconds")],
    };
    let values = [seconds / 3_600, seconds / 60 % 60, seconds % 60];
    let mut parts: Vec<String> = values
        .iter()
        .zip(names)
        .filter(|(value, _)| **value > 0)
        .map(|(value, (one, many))| format!("{value} {}", if *value == 1 { one } else { many }))
        .take(2)
        .collect();
    if parts.is_empty() {
        parts.push(format!("0 {}", names[2].1));
    }
    parts.join(locale.pick(" e ", " and "))
}

/// Date and time as the language writes them.
pub fn moment(at: &jiff::ZonedDateTime, locale: Locale) -> String {
    at.strftime(locale.pick("%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_the_mission() {
        assert_eq!(duration(2_837, Locale::PtBr), "47 minutos e 17 segundos");
        assert_eq!(duration(3_601, Locale::En), "1 hour and 1 second");
        assert_eq!(duration(0, Locale::PtBr), "0 segundos");
    }
}
