//! Checks in words: what was seen, what is wrong, and the title of the alert about it.

use super::{Locale, duration};
use crate::config::format_size;
use crate::monitor::{Facts, Fault, Holding, Look};

const DAY: u64 = 86_400;

/// What a look saw: a value to compare, and a sentence about it.
pub fn check_in_words(look: &Look, locale: Locale) -> (String, String) {
    let fault = look.fault().map(|fault| fault_in_words(fault, locale).to_owned());
    let value = value(&look.facts, locale);
    let detail = match (&look.facts, fault) {
        (Facts::Failure { cause }, Some(fault)) => format!("{fault}: {cause}"),
        (Facts::Failure { cause }, None) => cause.clone(),
        (Facts::Holding(holding), fault) => {
            [fault, Some(holding_in_words(holding, locale))].into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
        (facts, fault) => [fault, detail(facts, locale)].into_iter().flatten().collect::<Vec<_>>().join("; "),
    };
    (value, detail)
}

fn value(facts: &Facts, locale: Locale) -> String {
    match facts {
        Facts::Answer { milliseconds, .. } => format!("{milliseconds} ms"),
        Facts::Page { status, .. } => status.to_string(),
        Facts::Space { free, total, .. } => format!("{:.0} %", share(*free, *total)),
        Facts::Unit { state } => state.clone(),
        Facts::Processes { number } => number.to_string(),
        Facts::Backup { set, age, .. } => aged(set.as_ref().map(|_| *age), locale),
        Facts::Holding(holding) => aged(holding.age, locale),
        Facts::Failure { .. } => aged(None, locale),
    }
}

fn detail(facts: &Facts, locale: Locale) -> Option<String> {
    let pick = |portuguese: &str, english: &str| locale.pick(portuguese, english).to_owned();
    match facts {
        Facts::Answer { version, .. } => version.clone(),
        Facts::Page { certificate_days, .. } => certificate_days.map(|days| match locale {
            Locale::PtBr if days < 0 => "o certificado venceu".to_owned(),
            Locale::PtBr => format!("o certificado vale por mais {days} dias"),
            Locale::En if days < 0 => "the certificate has ended".to_owned(),
            Locale::En => format!("the certificate holds for {days} more days"),
        }),
        Facts::Space { free, total, files_free, days_until_full } => {
            let (free, total) = (format_size(*free), format_size(*total));
            let mut text = match locale {
                Locale::PtBr => format!("{free} livres de {total}"),
                Locale::En => format!("{free} free of {total}"),
            };
            if let Some(files) = files_free.filter(|files| *files < 0.2) {
                text = format!("{text}; {} {:.0} %", pick("arquivos (inodes) livres:", "files (inodes) free:"), files * 100.0);
            }
            if let Some(days) = days_until_full.filter(|days| *days < 365.0) {
                text = format!("{text}; {} {days:.0} {}", pick("cheio em cerca de", "full in about"), pick("dias", "days"));
            }
            Some(text)
        }
        Facts::Backup { set, age, max_age } => {
            let limit = format!("{} {}", pick("limite:", "limit:"), time(*max_age, locale));
            Some(match set {
                Some(set) => format!("{set}; {limit}"),
                None => {
                    format!("{} {}; {limit}", pick("nenhum backup bom; à espera há", "no good backup; waiting for"), time(*age, locale))
                }
            })
        }
        Facts::Unit { .. } | Facts::Processes { .. } | Facts::Holding(_) | Facts::Failure { .. } => None,
    }
}

fn holding_in_words(holding: &Holding, locale: Locale) -> String {
    let Some(newest) = &holding.newest else {
        return match (holding.sets, locale) {
            (0, Locale::PtBr) => "não há nenhum conjunto completo".to_owned(),
            (0, Locale::En) => "there is no complete set".to_owned(),
            (sets, Locale::PtBr) => format!("há {sets} conjuntos completos, nenhum da seleção pedida (`only`)"),
            (sets, Locale::En) => format!("there are {sets} complete sets, none of the wanted selection (`only`)"),
        };
    };
    let size = format_size(holding.bytes);
    let mut text = match locale {
        Locale::PtBr => format!("{newest}, {size}, {} de pelo menos {} conjuntos", holding.sets, holding.min_sets),
        Locale::En => format!("{newest}, {size}, {} of at least {} sets", holding.sets, holding.min_sets),
    };
    if let Some(usual) = holding.usual_bytes.filter(|usual| holding.bytes < *usual) {
        text = format!("{text}; {} {}", locale.pick("antes:", "before:"), format_size(usual));
    }
    if !holding.wrong.is_empty() {
        text = format!("{text}; {}", holding.wrong.join(", "));
        let more = holding.wrong_total.saturating_sub(holding.wrong.len());
        if more > 0 {
            text = match locale {
                Locale::PtBr => format!("{text} e mais {more}"),
                Locale::En => format!("{text} and {more} more"),
            };
        }
    }
    text
}

/// What is wrong, in a few words.
pub fn fault_in_words(fault: Fault, locale: Locale) -> &'static str {
    let (portuguese, english) = match fault {
        Fault::Unreachable => ("não responde", "does not answer"),
        Fault::Silent => ("não respondeu a tempo", "did not answer in time"),
        Fault::Status => ("responde com outro status", "answers with another status"),
        Fault::Certificate => ("o certificado não é confiável", "the certificate is not to be trusted"),
        Fault::Expiring => ("o certificado vence em breve", "the certificate ends soon"),
        Fault::Inactive => ("não está rodando", "does not run"),
        Fault::Low => ("pouco espaço livre", "little space is left"),
        Fault::FullSoon => ("ficará cheio em breve", "will be full soon"),
        Fault::NoBackup => ("não há backup bom", "there is no good backup"),
        Fault::Stale => ("o último backup bom é velho demais", "the newest good backup is too old"),
        Fault::Damaged => ("o conjunto mais novo está danificado", "the newest set is damaged"),
        Fault::Partial => ("o conjunto mais novo está incompleto", "the newest set lacks something"),
        Fault::Shrunk => ("o conjunto mais novo encolheu", "the newest set is much smaller than before"),
        Fault::TooFew => ("há conjuntos de menos", "there are too few sets"),
        Fault::Clock => ("há um conjunto do futuro: algum relógio está errado", "a set is of the future: a clock is wrong"),
        Fault::Unknown => ("não foi possível verificar", "could not be looked at"),
    };
    locale.pick(portuguese, english)
}

/// The title of an alert. For a database and a service it is the mission's.
pub fn problem_title(check: &str, kind: &str, fault: Fault, locale: Locale) -> String {
    let name = check.split_once(':').map_or(check, |(_, name)| name);
    match (kind, fault, locale) {
        ("mysql", Fault::Unreachable | Fault::Silent, Locale::PtBr) => format!("Aplicação sem conexão com banco de dados: {name}"),
        ("mysql", Fault::Unreachable | Fault::Silent, Locale::En) => format!("The application has no connection to its database: {name}"),
        ("service", Fault::Inactive, Locale::PtBr) => format!("Aplicação não está rodando {}", name.to_uppercase()),
        ("service", Fault::Inactive, Locale::En) => format!("The application is not running {}", name.to_uppercase()),
        _ => format!("{check}: {}", fault_in_words(fault, locale)),
    }
}

/// A time in its own unit: days from two on, else hours, minutes, seconds.
fn time(seconds: u64, locale: Locale) -> String {
    match seconds {
        days if days >= 2 * DAY => format!("{} {}", days / DAY, locale.pick("dias", "days")),
        hours if hours >= 2 * 3_600 => format!("{} h", hours / 3_600),
        less => duration(less, locale),
    }
}

fn aged(age: Option<u64>, locale: Locale) -> String {
    age.map_or_else(|| "–".to_owned(), |age| time(age, locale))
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Verdict;

    fn looks() -> Vec<Look> {
        let look = |verdict, facts| Look { verdict, facts };
        let holding = Holding {
            newest: Some("backup_2026_03_15_02_00_00".into()),
            age: Some(90_000),
            max_age: 93_600,
            sets: 12,
            min_sets: 2,
            bytes: 400 << 20,
            usual_bytes: Some(1 << 30),
            wrong: vec!["sql/empresa1.sql.tar.gz.enc is missing".into()],
            wrong_total: 3,
        };
        vec![
            look(Verdict::Good, Facts::Answer { milliseconds: 12, version: Some("10.11.6-MariaDB".into()) }),
            look(Verdict::Good, Facts::Page { status: 200, certificate_days: Some(61) }),
            look(Verdict::Bad(Fault::Expiring), Facts::Page { status: 200, certificate_days: Some(3) }),
            look(
                Verdict::Bad(Fault::FullSoon),
                Facts::Space { free: 20 << 30, total: 100 << 30, files_free: Some(0.15), days_until_full: Some(4.4) },
            ),
            look(Verdict::Bad(Fault::Inactive), Facts::Unit { state: "failed (failed)".into() }),
            look(Verdict::Good, Facts::Processes { number: 6 }),
            look(
                Verdict::Bad(Fault::Stale),
                Facts::Backup { set: Some("backup_2026_03_15_02_00_00".into()), age: 200_000, max_age: 93_600 },
            ),
            look(Verdict::Good, Facts::Backup { set: None, age: 300, max_age: 93_600 }),
            look(Verdict::Bad(Fault::Damaged), Facts::Holding(Box::new(holding))),
            look(Verdict::Bad(Fault::NoBackup), Facts::Holding(Box::new(Holding { sets: 3, ..Holding::default() }))),
            Look::failed(Fault::Silent, "no answer within 15 s"),
        ]
    }

    #[test]
    fn every_look_reads_as_it_was_written() {
        for locale in [Locale::PtBr, Locale::En] {
            let lines = looks()
                .iter()
                .map(|look| check_in_words(look, locale))
                .map(|(value, detail)| format!("{value} | {detail}"))
                .collect::<Vec<_>>();
            insta::assert_snapshot!(lines.join("\n"));
        }
    }

    #[test]
    fn an_alert_has_the_missions_words() {
        let title = |kind, fault| problem_title("apache", kind, fault, Locale::PtBr);
        assert_eq!(title("service", Fault::Inactive), "Aplicação não está rodando APACHE");
        assert_eq!(
            problem_title("mysql:principal", "mysql", Fault::Silent, Locale::PtBr),
            "Aplicação sem conexão com banco de dados: principal"
        );
        assert_eq!(problem_title("site", "http", Fault::Expiring, Locale::En), "site: the certificate ends soon");
    }
}
