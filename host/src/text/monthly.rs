//! The report of a month in words: the mission's own lines, then its analysis of performance.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::advice::advice_actions;
use super::letter::{Fact, Letter, Tone};
use super::{Locale, duration, moment};
use crate::config::format_size;
use crate::notify::{Advice, Severity};
use crate::report::{DestinationMonth, Forecast, Month, Monthly, Rehearsals, whole};

const MONTHS: [(&str, &str); 12] = [
    ("JANEIRO", "JANUARY"),
    ("FEVEREIRO", "FEBRUARY"),
    ("MARÇO", "MARCH"),
    ("ABRIL", "APRIL"),
    ("MAIO", "MAY"),
    ("JUNHO", "JUNE"),
    ("JULHO", "JULY"),
    ("AGOSTO", "AUGUST"),
    ("SETEMBRO", "SEPTEMBER"),
    ("OUTUBRO", "OCTOBER"),
    ("NOVEMBRO", "NOVEMBER"),
    ("DEZEMBRO", "DECEMBER"),
];

/// Days before a destination is full in which somebody should act.
const SOON_DAYS: f64 = 30.0;

/// What a plot of the report shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    /// Sizes of the data.
    Growth,
    /// How long backups take.
    Duration,
    /// What compression saves.
    Compression,
    /// How fast sets go to each destination.
    Bandwidth,
}

impl Trend {
    /// All of them, in the order of the mission.
    pub const ALL: [Self; 4] = [Self::Growth, Self::Duration, Self::Compression, Self::Bandwidth];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Growth => "growth",
            Self::Duration => "duration",
            Self::Compression => "compression",
            Self::Bandwidth => "bandwidth",
        }
    }

    /// Its title.
    pub fn title(self, locale: Locale) -> &'static str {
        match self {
            Self::Growth => locale.pick("Crescimento dos Dados", "Data growth"),
            Self::Duration => locale.pick("Tempo de Backup", "Backup time"),
            Self::Compression => locale.pick("Taxa de Compressão", "Compression"),
            Self::Bandwidth => locale.pick("Uso de Banda", "Bandwidth"),
        }
    }
}

/// Names of the two lines of [`Trend::Growth`].
pub fn growth_names(locale: Locale) -> [&'static str; 2] {
    [locale.pick("Total", "Total"), locale.pick("Comprimido", "Compressed")]
}

/// The report as it is sent, and as a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthlyText {
    /// How bad it is.
    pub severity: Severity,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// For a mail client.
    pub html: String,
}

/// The report of a month. `pictures` are the plots that there are, each with the address under which the HTML finds it.
pub fn monthly_text(monthly: &Monthly, month: Month, host: Option<&str>, pictures: &[(Trend, String)], locale: Locale) -> MonthlyText {
    let severity = severity(monthly);
    let mut letter = Letter::new(severity, ("📊", &title(month, locale)), locale);
    if let Some(host) = host {
        letter.host(host);
    }
    if monthly.executions == 0 {
        nothing_ran(&mut letter, locale);
    } else {
        letter.facts(summary(monthly, locale));
    }
    if !monthly.destinations.is_empty() {
        letter.heading(locale.pick("Destinos:", "Destinations:"));
        letter.facts(monthly.destinations.iter().map(|place| destination(place, locale)).collect());
    }
    letter.facts(rehearsed(monthly, locale));
    failures(&mut letter, monthly, locale);
    analysis(&mut letter, monthly, pictures, locale);
    MonthlyText { severity, subject: letter.subject(host), text: letter.plain(), html: letter.html() }
}

fn title(month: Month, locale: Locale) -> String {
    let index = usize::from(month.number().unsigned_abs()).saturating_sub(1).min(MONTHS.len() - 1);
    let (portuguese, english) = MONTHS[index];
    format!("{} - {} {}", locale.pick("RELATÓRIO DE BACKUP", "BACKUP REPORT"), locale.pick(portuguese, english), month.year())
}

fn severity(monthly: &Monthly) -> Severity {
    let soon = |place: &DestinationMonth| matches!(place.forecast, Forecast::Full { days } if days < SOON_DAYS);
    match monthly.successes {
        0 => Severity::Critical,
        _ if monthly.failures_total > 0 || monthly.destinations.iter().any(soon) => Severity::Warning,
        _ => Severity::Info,
    }
}

/// A month without a backup must not look like a quiet one.
fn nothing_ran(letter: &mut Letter, locale: Locale) {
    let title = locale.pick("❌ NENHUM BACKUP FOI EXECUTADO NESTE MÊS!", "❌ NO BACKUP WAS MADE IN THIS MONTH!");
    letter.heading(title);
    letter.text(locale.pick(
        "Se algo se perder hoje, não há cópia deste período. O que segue não substitui isso.",
        "If something is lost today, there is no copy of this time. Nothing below makes up for that.",
    ));
    letter.actions(advice_actions(&Advice::Stale, "", locale));
}

fn summary(monthly: &Monthly, locale: Locale) -> Vec<Fact> {
    let mut facts = Vec::new();
    let rate = monthly.success_rate.unwrap_or(0.0);
    let share = format!("{}/{} ({} {})", monthly.successes, monthly.executions, percent(rate), locale.pick("sucesso", "success"));
    facts.push(Fact::new(locale.pick("Execuções", "Executions"), &share));
    let mut count = |number: u64, portuguese: &str, english: &str| {
        if number > 0 {
            facts.push(Fact::new(locale.pick(portuguese, english), &number.to_string()));
        }
    };
    count(monthly.with_warnings, "Com avisos", "With warnings");
    count(monthly.incomplete, "Incompletas", "Incomplete");
    count(monthly.failed, "Com falha", "Failed");
    count(monthly.interrupted, "Interrompidas", "Interrupted");
    let mut known = |value: Option<String>, portuguese: &str, english: &str| {
        let value =
            value.unwrap_or_else(|| locale.pick("sem dados: nenhuma execução completa", "no data: no execution was whole").to_owned());
        facts.push(Fact::new(locale.pick(portuguese, english), &value));
    };
    known(monthly.mean_plain.map(format_size), "Tamanho médio", "Mean size");
    known(monthly.mean_seconds.map(|seconds| duration(whole(seconds), locale)), "Tempo médio", "Mean time");
    let saving = |saving| format!("{} ({})", percent(saving), locale.pick("compressão", "compression"));
    known(monthly.saving.map(saving), "Economia de espaço", "Space saved");
    facts
}

/// A share in whole percent; what is not all is never told as 100 %, nor what is something as 0 %.
fn percent(share: f64) -> String {
    let rounded = (share * 100.0).round();
    let told = match rounded {
        full if full >= 100.0 && share < 1.0 => 99.0,
        none if none <= 0.0 && share > 0.0 => 1.0,
        rounded => rounded,
    };
    format!("{told:.0}%")
}

fn destination(place: &DestinationMonth, locale: Locale) -> Fact {
    let none = || locale.pick("nenhuma execução", "no execution").to_owned();
    let mut parts = vec![if place.executions == 0 { none() } else { format!("{}/{}", place.complete, place.executions) }];
    if place.later > 0 {
        parts.push(match locale {
            Locale::PtBr => format!("{} em nova tentativa", place.later),
            Locale::En => format!("{} at a later attempt", place.later),
        });
    }
    if place.bytes > 0 {
        parts.push(format!("{} {}", format_size(place.bytes), locale.pick("enviados", "sent")));
    }
    let tone = match (place.complete == place.executions, place.complete) {
        (true, 0) => Tone::Warn,
        (true, _) => Tone::Good,
        (false, 0) => Tone::Bad,
        (false, _) => Tone::Warn,
    };
    Fact::toned(&place.name, &parts.join(" · "), tone)
}

fn rehearsed(monthly: &Monthly, locale: Locale) -> Vec<Fact> {
    let fact = |portuguese: &str, english: &str, rehearsals: &Rehearsals| {
        let all = rehearsals.good + rehearsals.failed;
        let (value, tone) = match (all, rehearsals.failed) {
            (0, _) => (locale.pick("nenhuma neste mês", "none in this month").to_owned(), Tone::Warn),
            (all, 0) => (format!("{all}/{all}"), Tone::Good),
            (all, _) => (format!("{}/{all}", rehearsals.good), Tone::Bad),
        };
        Fact::toned(locale.pick(portuguese, english), &value, tone)
    };
    vec![
        fact("Verificações de integridade", "Integrity verifications", &monthly.verifications),
        fact("Restaurações de teste", "Restore drills", &monthly.drills),
    ]
}

fn failures(letter: &mut Letter, monthly: &Monthly, locale: Locale) {
    let total = monthly.failures_total;
    // Where nothing ran, nothing could fail.
    let tone = match (total, monthly.executions) {
        (0, 0) => Tone::Warn,
        (0, _) => Tone::Good,
        _ => Tone::Bad,
    };
    let told = match locale {
        Locale::PtBr => format!("{total} {}", if total == 1 { "falha crítica" } else { "falhas críticas" }),
        Locale::En => format!("{total} critical {}", if total == 1 { "failure" } else { "failures" }),
    };
    letter.facts(vec![Fact::toned(locale.pick("Alertas", "Alerts"), &told, tone)]);
    let zone = zone(monthly);
    let mut lines: Vec<String> = monthly
        .failures
        .iter()
        .map(|failure| {
            let at = failure
                .at
                .parse::<Timestamp>()
                .map_or_else(|_| failure.at.clone(), |at| moment(&at.to_zoned_datetime(zone.clone()), locale));
            let detail = match failure.detail.as_str() {
                "" => locale.pick("interrompido: o processo foi encerrado", "interrupted: the process was killed"),
                detail => detail,
            };
            format!("{at} · {}: {detail}", verb(&failure.verb, locale))
        })
        .collect();
    let more = usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(lines.len());
    if more > 0 {
        lines.push(match locale {
            Locale::PtBr => format!("e mais {more}"),
            Locale::En => format!("and {more} more"),
        });
    }
    letter.notes(lines);
}

/// The zone that the month was counted in.
fn zone(monthly: &Monthly) -> TimeZone {
    TimeZone::get(&monthly.time_zone).unwrap_or_else(|_| TimeZone::system())
}

fn verb(verb: &str, locale: Locale) -> &str {
    match verb {
        "run" => "backup",
        "verify" => locale.pick("verificação", "verification"),
        "prune" => locale.pick("limpeza", "clean-up"),
        "drill" => locale.pick("teste de restauração", "restore drill"),
        "repair" => locale.pick("reparo", "repair"),
        other => other,
    }
}

fn analysis(letter: &mut Letter, monthly: &Monthly, pictures: &[(Trend, String)], locale: Locale) {
    letter.heading(locale.pick("Análise de Performance", "Performance"));
    let growth = monthly.growth.map_or_else(
        || locale.pick("ainda sem dados de duas semanas", "not yet two weeks of data").to_owned(),
        |bytes| {
            let sign = if bytes < 0.0 { "-" } else { "+" };
            format!("{sign}{} {}", format_size(whole(bytes.abs())), locale.pick("por mês", "a month"))
        },
    );
    let mut facts = vec![Fact::new(Trend::Growth.title(locale), &growth)];
    for place in &monthly.destinations {
        if let Some(rate) = place.bytes_per_second {
            let rate = format!("{}: {}/s", place.name, format_size(whole(rate)));
            facts.push(Fact::new(Trend::Bandwidth.title(locale), &rate));
        }
    }
    facts.extend(monthly.destinations.iter().filter_map(|place| space(place, locale)));
    letter.facts(facts);
    for (trend, address) in pictures {
        letter.picture(address, trend.title(locale));
    }
    if pictures.is_empty() {
        letter.text(locale.pick("Ainda não há dias suficientes para os gráficos.", "There are not enough days for the plots yet."));
    }
}

/// How much room a destination has, and for how long.
fn space(place: &DestinationMonth, locale: Locale) -> Option<Fact> {
    let free = format_size(place.free?);
    let (told, tone) = match place.forecast {
        Forecast::Unknown => return None,
        Forecast::TooLittle { .. } => {
            (locale.pick("dados insuficientes para uma previsão", "too little data for a forecast").to_owned(), Tone::Plain)
        }
        Forecast::Steady => (locale.pick("não está diminuindo", "it does not get less").to_owned(), Tone::Good),
        Forecast::Far => (locale.pick("suficiente por anos", "enough for years").to_owned(), Tone::Good),
        Forecast::Full { days } => {
            let tone = if days < SOON_DAYS { Tone::Bad } else { Tone::Plain };
            let days = days.floor();
            let told = match locale {
                Locale::PtBr => format!("cheio em cerca de {days:.0} dias, no ritmo atual"),
                Locale::En => format!("full in about {days:.0} days at this pace"),
            };
            (told, tone)
        }
    };
    let label = locale.pick("Espaço livre", "Free space");
    Some(Fact::toned(&format!("{label}: {}", place.name), &format!("{free}, {told}"), tone))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::{Day, Failure};

    fn place(name: &str, complete: u64, forecast: Forecast) -> DestinationMonth {
        DestinationMonth {
            name: name.into(),
            executions: 31,
            complete,
            later: 0,
            bytes: 31 * 510_656_512,
            bytes_per_second: Some(18_350_080.0),
            free: (forecast != Forecast::Unknown).then_some(214_748_364_800),
            forecast,
        }
    }

    fn good() -> Monthly {
        Monthly {
            month: "2024-03".into(),
            from: "2024-03-01T03:00:00Z".into(),
            to: "2024-04-01T03:00:00Z".into(),
            time_zone: "America/Sao_Paulo".into(),
            executions: 31,
            successes: 31,
            with_warnings: 0,
            incomplete: 0,
            failed: 0,
            interrupted: 0,
            success_rate: Some(1.0),
            mean_plain: Some(2_254_857_830),
            mean_stored: Some(496_068_722),
            mean_seconds: Some(2_520.0),
            saving: Some(0.78),
            growth: Some(73_400_320.0),
            destinations: vec![
                place("Google Drive", 31, Forecast::Unknown),
                place("AWS S3", 31, Forecast::Unknown),
                place("Backup Local", 31, Forecast::Full { days: 240.4 }),
            ],
            verifications: Rehearsals { good: 4, failed: 0, last: None },
            drills: Rehearsals { good: 1, failed: 0, last: None },
            failures: Vec::new(),
            failures_total: 0,
            days: vec![Day { day: "2024-03-01".into(), plain: 1.0, stored: 1.0, seconds: 1.0, rates: BTreeMap::new() }],
        }
    }

    fn bad() -> Monthly {
        let failure = |at: &str, verb: &str, detail: &str| Failure { at: at.into(), verb: verb.into(), detail: detail.into() };
        Monthly {
            successes: 27,
            with_warnings: 2,
            incomplete: 2,
            failed: 1,
            interrupted: 1,
            success_rate: Some(27.0 / 31.0),
            growth: None,
            destinations: vec![
                DestinationMonth { later: 1, ..place("nuvem", 28, Forecast::Unknown) },
                place("disco", 30, Forecast::Full { days: 12.9 }),
                DestinationMonth { bytes: 0, bytes_per_second: None, ..place("nas", 0, Forecast::TooLittle { samples: 3, days: 2.0 }) },
            ],
            verifications: Rehearsals { good: 3, failed: 1, last: None },
            drills: Rehearsals::default(),
            failures: vec![
                failure("2024-03-05T05:00:00Z", "run", "cannot connect to database `principal`: refused"),
                failure("2024-03-09T05:00:00Z", "run", ""),
                failure("2024-03-13T06:00:00Z", "verify", "nuvem: `sql/<b>.enc` is damaged"),
            ],
            failures_total: 9,
            ..good()
        }
    }

    fn empty() -> Monthly {
        Monthly {
            executions: 0,
            successes: 0,
            success_rate: None,
            mean_plain: None,
            mean_stored: None,
            mean_seconds: None,
            saving: None,
            growth: None,
            destinations: vec![DestinationMonth {
                executions: 0,
                bytes: 0,
                bytes_per_second: None,
                ..place("disco", 0, Forecast::Unknown)
            }],
            verifications: Rehearsals::default(),
            drills: Rehearsals::default(),
            days: Vec::new(),
            ..good()
        }
    }

    fn told(monthly: &Monthly, locale: Locale) -> MonthlyText {
        let pictures: Vec<(Trend, String)> = Trend::ALL.iter().map(|trend| (*trend, format!("cid:{}", trend.name()))).collect();
        let pictures = if monthly.days.is_empty() { &[][..] } else { &pictures };
        monthly_text(monthly, "2024-03".parse().expect("a month"), Some("erp01"), pictures, locale)
    }

    #[test]
    fn the_report_reads_as_the_mission_shows_it() {
        for (name, monthly) in [("good", good()), ("bad", bad()), ("empty", empty())] {
            for (locale, language) in [(Locale::PtBr, "pt"), (Locale::En, "en")] {
                let text = told(&monthly, locale);
                insta::assert_snapshot!(format!("monthly_{name}_{language}"), format!("{}\n\n{}", text.subject, text.text));
            }
        }
    }

    #[test]
    fn the_same_stands_in_the_mail() {
        for (locale, language) in [(Locale::PtBr, "pt"), (Locale::En, "en")] {
            insta::assert_snapshot!(format!("monthly_html_{language}"), told(&bad(), locale).html);
        }
    }

    #[test]
    fn a_month_without_a_backup_says_so_loudly() {
        let text = told(&empty(), Locale::En);
        assert!(text.text.contains("NO BACKUP WAS MADE") && text.html.contains("NO BACKUP WAS MADE") && !text.text.contains("0/0 ("));
    }

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!([percent(1.0), percent(0.9999), percent(0.0001), percent(0.0)], ["100%", "99%", "1%", "0%"]);
    }
}
