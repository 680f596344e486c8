//! Retention in words: why each set stays or goes.

use std::fmt::Write as _;

use super::Locale;
use crate::config::format_size;
use crate::retention::{Held, Pruned, PrunedSet, Reason};

/// Every set of every destination, with what becomes of it and why.
pub fn prune_summary(places: &[Pruned], dry_run: bool, locale: Locale) -> String {
    let mut text = String::new();
    for place in places {
        let _ = writeln!(text, "{}:", place.destination);
        if let Some(error) = &place.error {
            let _ = writeln!(text, "  ❌ {error}");
        }
        if let Some(held) = &place.held {
            let _ = writeln!(text, "  ⚠️ {}", held_in_words(held, locale));
        }
        for set in &place.sets {
            let why: Vec<String> = set.reasons.iter().map(|reason| reason_in_words(reason, locale)).collect();
            let _ = writeln!(
                text,
                "  {} {} {:>9}  {}",
                mark(set, dry_run || place.held.is_some(), locale),
                set.set,
                format_size(set.bytes),
                why.join("; ")
            );
            if let Some(error) = &set.error {
                let _ = writeln!(text, "     - {error}");
            }
        }
        let _ = writeln!(text, "  {}", total(place, dry_run, locale));
    }
    text
}

fn mark(set: &PrunedSet, only_said: bool, locale: Locale) -> &'static str {
    match (set.keep, set.removed) {
        (true, _) => locale.pick("fica  ", "stays "),
        (false, true) => locale.pick("saiu  ", "gone  "),
        (false, false) if only_said && set.error.is_none() => locale.pick("sairia", "goes  "),
        (false, false) => locale.pick("FALHOU", "FAILED"),
    }
}

fn total(place: &Pruned, dry_run: bool, locale: Locale) -> String {
    let sum = |wanted: &dyn Fn(&PrunedSet) -> bool| -> (usize, u64) {
        let of = || place.sets.iter().filter(|set| wanted(set));
        (of().count(), of().map(|set| set.bytes).sum())
    };
    let (kept, kept_bytes) = sum(&|set| set.keep || !(dry_run || set.removed));
    let (gone, gone_bytes) = sum(&|set| !set.keep && (dry_run || set.removed));
    let (kept_bytes, gone_bytes) = (format_size(kept_bytes), format_size(gone_bytes));
    match (locale, dry_run) {
        (Locale::PtBr, true) => format!("ficariam {kept} conjuntos, {kept_bytes}; sairiam {gone}, {gone_bytes}"),
        (Locale::PtBr, false) => format!("ficam {kept} conjuntos, {kept_bytes}; saíram {gone}, {gone_bytes}"),
        (Locale::En, true) => format!("{kept} sets would stay, {kept_bytes}; {gone} would go, {gone_bytes}"),
        (Locale::En, false) => format!("{kept} sets stay, {kept_bytes}; {gone} went, {gone_bytes}"),
    }
}

fn held_in_words(held: &Held, locale: Locale) -> String {
    match held {
        Held::NotGranted => locale
            .pick(
                "nada é removido aqui: falta a concessão `grants.delete = true` (destino somente para acrescentar)",
                "nothing is removed here: `grants.delete = true` is not granted (an append-only destination)",
            )
            .to_owned(),
        Held::TooSoon { until } => {
            let until = super::moment(&until.to_zoned_datetime(jiff::tz::TimeZone::system()), locale);
            match locale {
                Locale::PtBr => format!("nada é removido aqui antes de {until}: a última remoção foi há pouco (retention.min_interval)"),
                Locale::En => {
                    format!("nothing is removed here before {until}: the last removal was only just now (retention.min_interval)")
                }
            }
        }
    }
}

/// Why a set stays or goes, in a few words.
pub fn reason_in_words(reason: &Reason, locale: Locale) -> String {
    let own = |portuguese: &str, english: &str| locale.pick(portuguese, english).to_owned();
    let of = |portuguese: &str, english: &str, what: &str| format!("{} {what}", locale.pick(portuguese, english));
    match reason {
        Reason::Pinned => own("fixado", "pinned"),
        Reason::Tag(tag) => of("etiqueta", "tag", tag),
        Reason::NewestGood => own("o mais novo que está bom", "the newest good one"),
        Reason::NewestVerified => own("o mais novo verificado", "the newest verified one"),
        Reason::NothingBetter => own("não há um bom mais novo", "no good one is newer"),
        Reason::Unfinished => own("cópia em andamento", "its copy is still going on"),
        Reason::InTheFuture => own("é do futuro: algum relógio está errado", "it is of the future: a clock is wrong"),
        Reason::Strange => own("não é desta instalação, ou o selo está danificado", "not of this installation, or its seal is damaged"),
        Reason::Last(number) => of("últimos:", "last:", &number.to_string()),
        Reason::Hourly(hour) => of("da hora", "of the hour", hour),
        Reason::Daily(day) => of("do dia", "of the day", day),
        Reason::Weekly(week) => of("da semana", "of the week", week),
        Reason::Monthly(month) => of("do mês", "of the month", month),
        Reason::Yearly(year) => of("do ano", "of the year", year),
        Reason::Within(hours) if hours % 24 == 0 => match locale {
            Locale::PtBr => format!("mais novo que {} dias", hours / 24),
            Locale::En => format!("younger than {} days", hours / 24),
        },
        Reason::Within(hours) => match locale {
            Locale::PtBr => format!("mais novo que {hours} horas"),
            Locale::En => format!("younger than {hours} hours"),
        },
        Reason::NoRule => own("nenhuma regra o mantém", "no rule keeps it"),
        Reason::NotAVersion => own("incompleto ou danificado, e há um bom mais novo", "partial or damaged, and a good one is newer"),
        Reason::Orphan => own("resto de uma cópia que ninguém completa", "what is left of a copy that nobody completes"),
        Reason::NoRoom(max) => of("não cabe no limite de", "does not fit into", &format_size(*max)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_says_why_it_stays_or_goes() {
        let set = |day: &str, keep: bool, reasons: Vec<Reason>| PrunedSet {
            set: format!("backup_2026_03_{day}_02_00_00").parse().expect("a name"),
            bytes: 510_656_512,
            keep,
            reasons,
            removed: false,
            error: None,
        };
        let places = [
            Pruned {
                destination: "disco".into(),
                sets: vec![
                    set("30", true, vec![Reason::NewestGood, Reason::Last(1), Reason::Within(720)]),
                    set("01", false, vec![Reason::NoRule]),
                ],
                held: None,
                error: None,
            },
            Pruned {
                destination: "nuvem".into(),
                sets: vec![set("01", false, vec![Reason::Orphan])],
                held: Some(Held::NotGranted),
                error: None,
            },
        ];
        insta::assert_snapshot!(prune_summary(&places, true, Locale::PtBr));
        insta::assert_snapshot!(prune_summary(&places, true, Locale::En));
    }
}
