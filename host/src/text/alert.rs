//! Alerts in words: what the mission shows of a success and of a failure, and the same for everything else that happens.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::advice::{advice_actions, advice_title};
use super::letter::{Fact, Letter, Tone};
use super::{Locale, duration, moment};
use crate::config::format_size;
use crate::notify::{Advice, Alert, Event, Problem, Severity};
use crate::report::whole;

/// Problems that are told one by one; of the rest how many they are.
const PROBLEMS_TOLD: usize = 8;
/// Things to do that are told.
const ACTIONS_TOLD: usize = 8;
/// Entries of a list that stand in one line.
const LIST_TOLD: usize = 12;

/// An alert as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertText {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same for a mail client; without outside resources.
    pub html: String,
}

/// How the value of a fact is written.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Bytes,
    Seconds,
    Time,
    List,
    Share,
    Days,
}

/// The facts that have a name for people, in the order in which they are shown. One that is not here is shown last, under its own name.
const FACTS: [(&str, &str, &str, Kind); 48] = [
    ("host", "Servidor", "Host", Kind::Text),
    ("job", "Tarefa", "Job", Kind::Text),
    ("action", "Ação", "Action", Kind::Text),
    ("due", "Previsto para", "Due", Kind::Time),
    ("since", "Desde", "Since", Kind::Time),
    ("recovered_since", "Resolve o problema de", "Solves the problem of", Kind::Time),
    ("started", "Data início", "Started", Kind::Time),
    ("finished", "Data fim", "Finished", Kind::Time),
    ("seconds", "Duração", "Duration", Kind::Seconds),
    ("databases", "Bancos processados", "Databases", Kind::Text),
    ("directories", "Diretórios processados", "Directories", Kind::Text),
    ("plain", "Tamanho total", "Total size", Kind::Bytes),
    ("stored", "Tamanho comprimido", "Compressed size", Kind::Bytes),
    ("set", "Conjunto", "Set", Kind::Text),
    ("copies", "Cópias verificadas", "Copies verified", Kind::Text),
    ("bytes", "Bytes lidos", "Bytes read", Kind::Bytes),
    ("removed", "Cópias removidas", "Copies removed", Kind::Text),
    ("freed", "Espaço liberado", "Space freed", Kind::Bytes),
    ("from", "Copiado de", "Copied from", Kind::Text),
    ("to", "Reparado em", "Repaired at", Kind::Text),
    ("schemas", "Bancos restaurados", "Databases restored", Kind::Text),
    ("tables", "Tabelas comparadas", "Tables compared", Kind::Text),
    ("rows", "Linhas comparadas", "Rows compared", Kind::Text),
    ("files", "Arquivos comparados", "Files compared", Kind::Text),
    ("recovery_seconds", "Tempo de recuperação medido", "Measured recovery time", Kind::Seconds),
    ("check", "Verificação", "Check", Kind::Text),
    ("subject", "Alvo", "Target", Kind::Text),
    ("value", "Valor", "Value", Kind::Text),
    ("threshold", "Limite", "Threshold", Kind::Text),
    ("path", "Caminho", "Path", Kind::Text),
    ("free", "Espaço livre", "Free space", Kind::Bytes),
    ("free_share", "Espaço livre", "Free space", Kind::Share),
    ("days_until_full", "Dias até encher", "Days until full", Kind::Days),
    ("expires", "Validade", "Expires", Kind::Time),
    ("destination", "Destino", "Destination", Kind::Text),
    ("newest", "Backup mais novo", "Newest backup", Kind::Text),
    ("age_seconds", "Idade", "Age", Kind::Seconds),
    ("tenant", "Cliente", "Tenant", Kind::Text),
    ("recipient", "Destinatário", "Recipient", Kind::Text),
    ("requested_by", "Solicitado por", "Requested by", Kind::Text),
    ("way", "Entrega", "Delivery", Kind::Text),
    ("size", "Tamanho", "Size", Kind::Bytes),
    ("file", "Arquivo", "File", Kind::Text),
    ("month", "Mês", "Month", Kind::Text),
    ("detail", "Detalhes", "Details", Kind::Text),
    ("missing", "Faltando", "Missing", Kind::List),
    ("notifier", "Notificador", "Notifier", Kind::Text),
    ("warnings", "Avisos", "Warnings", Kind::Text),
];

/// Facts that are shown in a way of their own, or only counted.
const SPECIAL: [&str; 5] = ["places", "problems", "problems_total", "warning_list", "of"];

/// An alert in words, with times in `zone`.
pub fn alert_text(alert: &Alert, zone: &TimeZone, locale: Locale) -> AlertText {
    let host = alert.facts.get("host").and_then(Value::as_str);
    let letter = letter(alert, zone, locale);
    AlertText { subject: letter.subject(host), text: letter.plain(), html: letter.html() }
}

fn letter(alert: &Alert, zone: &TimeZone, locale: Locale) -> Letter {
    let (mark, title) = title(alert, locale);
    let mut letter = Letter::new(alert.severity, (mark, &title), locale);
    if let Some(host) = alert.facts.get("host").and_then(Value::as_str) {
        letter.host(host);
    }
    let mut facts = Vec::new();
    if !alert.facts.contains_key("started") {
        facts.push(Fact::new(locale.pick("Data", "Date"), &moment(&alert.at.to_zoned_datetime(zone.clone()), locale)));
    }
    facts.extend(known(alert, zone, locale));
    facts.extend(places(alert, locale));
    facts.extend(strange(alert));
    letter.facts(facts);
    problems(alert, &mut letter, locale);
    let warnings: Vec<String> = texts(alert.facts.get("warning_list")).collect();
    if !warnings.is_empty() {
        letter.heading(locale.pick("Avisos", "Warnings"));
        letter.notes(warnings);
    }
    if let Some(text) = sentence(alert.event, locale) {
        letter.text(text);
    }
    letter
}

/// The title of an alert; one that comes back to an earlier one names that.
fn title(alert: &Alert, locale: Locale) -> (&'static str, String) {
    let of = alert.facts.get("of").and_then(Value::as_str).and_then(Event::named);
    let (mark, title) = words(alert.event, locale);
    let mark = match (alert.severity, mark) {
        // As when a verification found its copies sound, and has warnings all the same.
        (Severity::Warning, "✅") => "⚠️",
        (_, mark) => mark,
    };
    match of {
        Some(of) => (mark, format!("{title}: {}", words(of, locale).1.trim_end_matches('!'))),
        None => (mark, title.to_owned()),
    }
}

fn words(event: Event, locale: Locale) -> (&'static str, &'static str) {
    let (mark, portuguese, english) = match event {
        Event::RunStarted => ("▶️", "BACKUP INICIADO", "BACKUP STARTED"),
        Event::RunDone => ("✅", "BACKUP COMPLETADO COM SUCESSO!", "BACKUP COMPLETED SUCCESSFULLY!"),
        Event::RunWarnings => ("⚠️", "BACKUP COMPLETADO COM AVISOS", "BACKUP COMPLETED WITH WARNINGS"),
        Event::RunFailed => ("❌", "FALHA NO BACKUP!", "BACKUP FAILED!"),
        Event::VerifyDone => ("✅", "VERIFICAÇÃO DE INTEGRIDADE CONCLUÍDA", "INTEGRITY VERIFICATION COMPLETED"),
        Event::VerifyFailed => ("❌", "PROBLEMA NA VERIFICAÇÃO DE INTEGRIDADE!", "INTEGRITY VERIFICATION FAILED!"),
        Event::PruneDone => ("✅", "LIMPEZA CONCLUÍDA", "CLEAN-UP COMPLETED"),
        Event::PruneFailed => ("⚠️", "FALHA NA LIMPEZA", "CLEAN-UP FAILED"),
        Event::DrillDone => ("✅", "TESTE DE RESTAURAÇÃO CONCLUÍDO", "RESTORE DRILL COMPLETED"),
        Event::DrillFailed => ("❌", "FALHA NO TESTE DE RESTAURAÇÃO!", "RESTORE DRILL FAILED!"),
        Event::RepairDone => ("✅", "CÓPIA REPARADA", "COPY REPAIRED"),
        Event::RepairFailed => ("❌", "FALHA NO REPARO DE UMA CÓPIA!", "COPY COULD NOT BE REPAIRED!"),
        Event::CheckFailed => ("❌", "ALERTA DE DISPONIBILIDADE!", "AVAILABILITY ALERT!"),
        Event::CheckRecovered => ("✅", "DISPONIBILIDADE NORMALIZADA", "AVAILABLE AGAIN"),
        Event::WatchFailed => ("❌", "OS BACKUPS DE OUTRO SERVIDOR PRECISAM DE ATENÇÃO!", "BACKUPS OF ANOTHER MACHINE NEED ATTENTION!"),
        Event::WatchRecovered => ("✅", "OS BACKUPS DE OUTRO SERVIDOR ESTÃO EM DIA", "BACKUPS OF ANOTHER MACHINE ARE UP TO DATE"),
        Event::JobMissed => ("⚠️", "TAREFA NÃO EXECUTADA NO HORÁRIO", "A JOB WAS MISSED"),
        Event::JobFailed => ("❌", "FALHA EM UMA TAREFA!", "A JOB FAILED!"),
        Event::ProblemPersists => ("❌", "O PROBLEMA PERSISTE", "THE PROBLEM PERSISTS"),
        Event::ProblemRecovered => ("✅", "PROBLEMA RESOLVIDO", "PROBLEM SOLVED"),
        Event::ConfigRefused => ("⚠️", "NOVA CONFIGURAÇÃO RECUSADA", "NEW CONFIGURATION REFUSED"),
        Event::TenantDelivered => ("✅", "BACKUP INDIVIDUAL ENTREGUE", "TENANT BACKUP DELIVERED"),
        Event::TenantFailed => ("⚠️", "BACKUP INDIVIDUAL NÃO ENTREGUE", "TENANT BACKUP NOT DELIVERED"),
        Event::ReportMonthly => ("📊", "RELATÓRIO DE BACKUP", "BACKUP REPORT"),
        Event::Test => ("✅", "TESTE DE NOTIFICAÇÃO", "NOTIFICATION TEST"),
    };
    (mark, locale.pick(portuguese, english))
}

/// What an event means, where its title does not say it.
fn sentence(event: Event, locale: Locale) -> Option<&'static str> {
    let (portuguese, english) = match event {
        Event::JobMissed => (
            "Nada estava em execução neste horário, e a tarefa está configurada para não ser recuperada (`catch_up = false`).",
            "Nothing ran at that time, and the job is not to be made good (`catch_up = false`).",
        ),
        Event::ConfigRefused => (
            "A configuração anterior continua valendo até que a nova seja corrigida.",
            "The old configuration stays in force until the new one is mended.",
        ),
        Event::Test => ("Se você lê isto, as notificações chegam.", "If you read this, notifications arrive."),
        _ => return None,
    };
    Some(locale.pick(portuguese, english))
}

fn known(alert: &Alert, zone: &TimeZone, locale: Locale) -> Vec<Fact> {
    let value = |value: &Value, name: &str, kind| match kind {
        Kind::List => list(value, alert.facts.get(&format!("{name}_total")), locale),
        kind => written(value, kind, zone, locale),
    };
    let worth_it = |name: &str, value: &Value| !(name == "warnings" && value.as_u64() == Some(0));
    let fact = |(name, portuguese, english, kind): &(&str, &str, &str, Kind)| {
        let found = alert.facts.get(*name).filter(|found| worth_it(name, found))?;
        Some(Fact::new(locale.pick(portuguese, english), &value(found, name, *kind)))
    };
    FACTS.iter().filter_map(fact).collect()
}

fn written(value: &Value, kind: Kind, zone: &TimeZone, locale: Locale) -> String {
    let plain = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match kind {
        Kind::Bytes => value.as_u64().map_or_else(plain, format_size),
        // A measurement of seconds may have a fraction.
        Kind::Seconds => value.as_f64().map_or_else(plain, |seconds| duration(whole(seconds), locale)),
        Kind::Share => value.as_f64().map_or_else(plain, |share| format!("{:.0} %", share * 100.0)),
        Kind::Days => value.as_f64().map_or_else(plain, |days| format!("{days:.0}")),
        Kind::Time => match value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
            Some(at) => moment(&at.to_zoned_datetime(zone.clone()), locale),
            None => plain(),
        },
        Kind::Text | Kind::List => plain(),
    }
}

fn list(value: &Value, total: Option<&Value>, locale: Locale) -> String {
    let entries: Vec<String> = texts(Some(value)).collect();
    let total = total.and_then(Value::as_u64).and_then(|total| usize::try_from(total).ok()).unwrap_or(entries.len());
    let shown = entries.iter().take(LIST_TOLD).cloned().collect::<Vec<_>>().join(", ");
    match (total - entries.len().min(LIST_TOLD).min(total), locale) {
        (0, _) => shown,
        (more, Locale::PtBr) => format!("{shown} e mais {more}"),
        (more, Locale::En) => format!("{shown} and {more} more"),
    }
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = String> + '_ {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

/// One line for each destination.
fn places(alert: &Alert, locale: Locale) -> Vec<Fact> {
    let entries = alert.facts.get("places").and_then(Value::as_array).into_iter().flatten();
    entries.map(|place| self::place(place, locale)).collect()
}

fn place(place: &Value, locale: Locale) -> Fact {
    let text = |name: &str| place.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let good = place.get("good").and_then(Value::as_bool);
    let mut parts: Vec<String> = [text("name"), text("set"), text("detail")].into_iter().flatten().map(str::to_owned).collect();
    // Of a copy that is not good, how much of it there is says nothing.
    if let Some(bytes) = place.get("bytes").and_then(Value::as_u64).filter(|bytes| *bytes > 0 && good != Some(false)) {
        parts.push(format_size(bytes));
    }
    if let Some(removed) = place.get("removed").and_then(Value::as_u64) {
        parts.push(match locale {
            Locale::PtBr => format!("{removed} removidas"),
            Locale::En => format!("{removed} removed"),
        });
    }
    if text("held") == Some("not-granted") {
        parts.push(locale.pick("somente para acrescentar", "append-only").to_owned());
    }
    let tone = match good {
        Some(true) => Tone::Good,
        Some(false) => Tone::Bad,
        None => Tone::Plain,
    };
    Fact::toned(locale.pick("Local", "Place"), &parts.join(" · "), tone)
}

/// Facts without a name for people, under their own.
fn strange(alert: &Alert) -> Vec<Fact> {
    let is_told = |name: &str| {
        SPECIAL.contains(&name) || FACTS.iter().any(|(known, ..)| *known == name || name.strip_suffix("_total") == Some(known))
    };
    let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    alert.facts.iter().filter(|(name, _)| !is_told(name)).map(|(name, found)| Fact::new(name, &value(found))).collect()
}

/// What is wrong, in the mission's manner: the error, its details, and what is to be done.
fn problems(alert: &Alert, letter: &mut Letter, locale: Locale) {
    let problems = alert.problems();
    for problem in problems.iter().take(PROBLEMS_TOLD) {
        let title = advice_title(&problem.advice, locale);
        let error = match (&problem.advice, problem.subject.as_str()) {
            (_, "") => title.to_owned(),
            (Advice::Unknown, subject) => subject.to_owned(),
            (_, subject) => format!("{title}: {subject}"),
        };
        letter.facts(vec![
            Fact::toned(locale.pick("Erro", "Error"), &error, if alert.severity == Severity::Critical { Tone::Bad } else { Tone::Warn }),
            Fact::new(locale.pick("Detalhes", "Details"), &problem.message),
        ]);
    }
    let total = alert
        .facts
        .get("problems_total")
        .and_then(Value::as_u64)
        .map_or(problems.len(), |total| usize::try_from(total).unwrap_or(usize::MAX));
    if total > PROBLEMS_TOLD {
        let more = total - PROBLEMS_TOLD;
        letter.text(&match locale {
            Locale::PtBr => format!("E mais {more} problemas: ver o log."),
            Locale::En => format!("And {more} more problems: see the log."),
        });
    }
    letter.actions(actions_of(&problems, locale));
}

/// What to do about an alert, chosen for what went wrong, each thing once.
pub fn alert_actions(alert: &Alert, locale: Locale) -> Vec<String> {
    actions_of(&alert.problems(), locale)
}

/// What an alert is about, in one line among others: without the capitals and the mark of a letter. What a check saw says more than its event.
pub fn alert_title(alert: &Alert, locale: Locale) -> String {
    if matches!(alert.event, Event::CheckFailed | Event::WatchFailed) {
        return alert.title.clone();
    }
    let (_, title) = title(alert, locale);
    let mut letters = title.trim_end_matches('!').chars();
    let first = letters.next().map(String::from).unwrap_or_default();
    first + &letters.as_str().to_lowercase()
}

fn actions_of(problems: &[Problem], locale: Locale) -> Vec<String> {
    let mut actions: Vec<String> = Vec::new();
    for action in problems.iter().flat_map(|problem| advice_actions(&problem.advice, &problem.subject, locale)) {
        if actions.len() < ACTIONS_TOLD && !actions.contains(&action) {
            actions.push(action);
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("{text}-03:00").parse().expect("a time")
    }

    fn zone() -> TimeZone {
        TimeZone::get("America/Sao_Paulo").expect("a zone")
    }

    fn new(event: Event) -> Alert {
        Alert::new(event, at("2024-03-15T02:15:23"), "x").with("host", "erp01")
    }

    fn run(event: Event) -> Alert {
        new(event)
            .with("set", "backup_2024_03_15_02_00_15")
            .with("started", at("2024-03-15T02:00:15").to_string())
            .with("finished", at("2024-03-15T02:47:32").to_string())
            .with("seconds", 2_837)
            .with("databases", 15)
            .with("directories", 3)
            .with("plain", 2_469_606_195_u64)
            .with("stored", 510_656_512)
            .with("warnings", 0)
    }

    fn places(bad: bool) -> Value {
        json!([{ "name": "disco", "good": true, "bytes": 510_656_512 }, { "name": "nuvem", "good": !bad, "bytes": 510_656_512, "seconds": 12.5 }])
    }

    /// One of each event, as its sender makes it.
    fn all() -> Vec<Alert> {
        let set = "backup_2024_03_15_02_00_15";
        let since = at("2024-03-14T02:15:23");
        let damaged = Advice::Damaged { set: Some(set.into()), good: vec!["disco".into()] };
        let failed = run(Event::RunFailed).with("places", places(true)).with_problem(
            "nuvem",
            "Connection timeout after 30 seconds",
            Advice::Unreachable,
        );
        let full = Advice::DiskFull { path: "/var/lib/cofre/spool".into(), free: 1 << 30, needed: Some(5 << 30) };
        let check = |event| {
            new(event)
                .with("check", "disco-raiz")
                .with("path", "/")
                .with("free", 3_221_225_472_u64)
                .with("free_share", 0.04)
                .with("threshold", "10 %")
                .with("days_until_full", 6.4)
        };
        let tenant =
            |event| new(event).with("tenant", "empresa1").with("recipient", "contato@empresa1.example").with("requested_by", "maria");
        vec![
            new(Event::RunStarted).with("job", "backup"),
            run(Event::RunDone).with("places", places(false)),
            run(Event::RunWarnings).with("places", places(false)).with("warnings", 2).with_list("warning_list", ["/var/www/a: changed while it was read".to_owned(), "erp.log: skipped".to_owned()]),
            failed.clone(),
            new(Event::RunFailed).with_problem("", "not enough space in `/var/lib/cofre/spool`: 1073741824 bytes free, 5368709120 needed beside the reserve", full),
            new(Event::VerifyDone).with("copies", 2).with("bytes", 1_021_313_024).with("places", json!([{ "name": "disco", "set": set, "good": true, "bytes": 510_656_512 }])),
            new(Event::VerifyFailed).with("copies", 2).with("bytes", 510_656_512).with_problem(&format!("{set} · nuvem"), "`sql/empresa1.sql.tar.gz.enc` on destination `nuvem` is damaged: its SHA-256 is another one", damaged),
            new(Event::PruneDone).with("removed", 3).with("freed", 1_531_969_536).with("places", json!([{ "name": "disco", "good": true, "removed": 3 }, { "name": "nuvem", "good": true, "removed": 0, "held": "not-granted" }])),
            new(Event::PruneFailed).with("removed", 0).with("freed", 0).with_problem(&format!("{set} · nuvem"), "AccessDenied: the object is locked", Advice::AppendOnly),
            new(Event::DrillDone).with("set", set).with("destination", "disco").with("schemas", 15).with("tables", 412).with("rows", 1_234_567).with("recovery_seconds", 1_325.4),
            new(Event::DrillFailed).with("set", set).with("destination", "disco").with_problem("empresa1", "the restored data is not what the backup says: pedidos has 3 rows instead of 4", Advice::Differs),
            new(Event::RepairDone).with("set", set).with("from", "disco").with("to", "nuvem").with("bytes", 510_656_512),
            new(Event::RepairFailed).with("set", set).with("to", "nuvem").with_problem("nuvem", "507 Insufficient Storage", Advice::DestinationFull),
            check(Event::CheckFailed).with_problem("/", "only 4 % are free", Advice::DiskFull { path: "/".into(), free: 3_221_225_472, needed: None }),
            check(Event::CheckRecovered),
            new(Event::WatchFailed).with("destination", "nuvem").with("newest", set).with("age_seconds", 100_800).with_problem("nuvem", "the newest complete set is 28 hours old, at most 26 are allowed", Advice::Stale),
            new(Event::WatchRecovered).with("destination", "nuvem").with("newest", set).with("age_seconds", 3_600),
            new(Event::JobMissed).with("job", "backup").with("action", "run").with("due", at("2024-03-15T02:00:00").to_string()),
            new(Event::JobFailed).with("job", "backup").with("action", "run").with_problem("backup", "it was begun 3 times and never ended", Advice::Unknown),
            failed.persists(since, at("2024-03-16T08:00:00")),
            failed.recovered(since, at("2024-03-16T02:47:32")),
            new(Event::ConfigRefused).with("file", "/etc/cofre/cofre.toml").with_problem("", "/etc/cofre/cofre.toml:12: job.schedule: `61 * * * *` is no schedule", Advice::Settings),
            tenant(Event::TenantDelivered).with("way", "attachment").with("size", 7_340_032),
            tenant(Event::TenantFailed).with_problem("empresa1", "no destination can share a link", Advice::Settings),
            new(Event::ReportMonthly).with("month", "2024-03"),
            new(Event::Test).with("notifier", "email"),
        ]
    }

    #[test]
    fn a_title_among_others_does_not_shout_and_a_check_speaks_for_itself() {
        let failed = Alert::new(Event::RunFailed, at("2026-03-15T02:00:00"), "the set is not whole");
        assert_eq!(alert_title(&failed, Locale::PtBr), "Falha no backup");
        assert_eq!(alert_title(&failed, Locale::En), "Backup failed");
        let check = Alert::new(Event::CheckFailed, at("2026-03-15T02:00:00"), "o disco /srv está cheio");
        assert_eq!(alert_title(&check, Locale::En), "o disco /srv está cheio");
    }

    #[test]
    fn every_event_has_its_words_in_both_languages() {
        let told: std::collections::BTreeSet<_> = all().iter().map(|alert| alert.event).collect();
        assert_eq!(told.len(), Event::ALL.len());
        for (locale, name) in [(Locale::PtBr, "pt"), (Locale::En, "en")] {
            let told = |alert: &Alert| {
                let told = alert_text(alert, &zone(), locale);
                format!("### {}\nSubject: {}\n\n{}", alert.event.name(), told.subject, told.text)
            };
            insta::assert_snapshot!(format!("alerts_{name}"), all().iter().map(told).collect::<Vec<_>>().join("\n"));
        }
    }

    #[test]
    fn the_same_stands_in_the_mail() {
        for (locale, name) in [(Locale::PtBr, "pt"), (Locale::En, "en")] {
            for (which, alert) in [("done", &all()[1]), ("failed", &all()[3])] {
                insta::assert_snapshot!(format!("alert_html_{which}_{name}"), alert_text(alert, &zone(), locale).html);
            }
        }
    }

    #[test]
    fn a_fact_that_nobody_knows_is_shown_all_the_same() {
        let told = alert_text(&new(Event::CheckFailed).with("status", 503), &zone(), Locale::En);
        assert!(told.text.contains("status: 503"), "{}", told.text);
    }

    #[test]
    fn what_comes_from_outside_stays_text() {
        let evil = "<script>alert(1)</script>\r\nBcc: x@example.com";
        let told = alert_text(
            &run(Event::RunFailed).with("host", evil).with_list("missing", [evil.to_owned()]).with_problem(evil, evil, Advice::Unknown),
            &zone(),
            Locale::En,
        );
        assert!(!told.html.contains("<script") && told.html.contains("&#60;script") || told.html.contains("&lt;script"));
        assert!(!told.subject.contains('\n') && !told.text.contains("\nBcc"));
    }
}
