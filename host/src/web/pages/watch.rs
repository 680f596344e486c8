//! `/checks`, `/reports` and `/audit`: what is looked at, what was, and who did it.

use std::str::FromStr as _;

use axum::extract::{Path, Query};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;

use super::super::problem::{Kind, Problem};
use super::frame::{Answer, Visit};
use super::overview::alerts;
use crate::audit::{Entry as Written, Findings};
use crate::job::{self, CheckStanding, Context, Standing};
use crate::page::audit::{self, Audit, Chain, Entry};
use crate::page::checks::{self, Check, Checks};
use crate::page::part::{Alert, Choice, Fact, Pager, Plot};
use crate::page::reports::{self, Month as Shown, MonthRow, Report, Reports};
use crate::page::{Html, Section, Tone};
use crate::report::{DestinationMonth, Forecast, Month, Monthly, Rehearsals, whole};
use crate::text::{Locale, fault_in_words};

/// Months of the list.
const MONTHS: usize = 13;
/// Entries of a page.
const ENTRIES: usize = 100;

pub(super) async fn checks(visit: Visit) -> Answer {
    let visit = visit.at(Section::Checks)?;
    let (status, mut standings) = visit.aside(|context| Ok((job::status(context)?, job::standings(context)?))).await?;
    standings.sort_by_key(|check| std::cmp::Reverse(tone(check.standing)));
    let view = Checks {
        alerts: alerts(&status, visit.frame.locale),
        checks: standings.iter().map(|check| one_check(check, visit.frame.locale)).collect(),
    };
    Ok(visit.page(checks::render(&visit.frame, &view)))
}

fn tone(standing: Standing) -> Tone {
    match standing {
        Standing::Good => Tone::Good,
        Standing::Failing | Standing::Recovering => Tone::Warn,
        Standing::Problem => Tone::Bad,
    }
}

fn one_check(check: &CheckStanding, locale: Locale) -> Check {
    let kind = match check.kind {
        "mysql" => locale.pick("banco de dados", "database"),
        "disk" => locale.pick("espaço em disco", "disk space"),
        "service" => locale.pick("serviço", "service"),
        "tcp" => locale.pick("porta TCP", "TCP port"),
        "http" => locale.pick("página web", "web page"),
        "backup" => locale.pick("idade do backup", "age of the backup"),
        other => other,
    };
    let value = match (check.problem, check.standing, check.looked) {
        (Some(fault), _, _) => fault_in_words(fault, locale),
        (None, _, None) => locale.pick("ainda não visto", "not looked at yet"),
        (None, Standing::Good, _) => locale.pick("em ordem", "good"),
        (None, _, _) => locale.pick("últimas tentativas falharam", "the last looks failed"),
    };
    Check {
        name: check.check.clone(),
        kind: kind.to_owned(),
        tone: if check.looked.is_none() { Tone::Plain } else { tone(check.standing) },
        value: value.to_owned(),
        detail: String::new(),
        last: check.looked,
        since: check.since,
    }
}

pub(super) async fn reports(visit: Visit) -> Answer {
    let visit = visit.at(Section::Reports)?;
    let months = visit.aside(|context| months(context)).await?;
    Ok(visit.page(reports::render_list(&visit.frame, &Reports { months })))
}

/// The months of the last year in which something ran.
fn months(context: &Context) -> Result<Vec<MonthRow>, Problem> {
    let mut month = Month::at(Timestamp::now(), &context.config.zone);
    let mut rows = Vec::new();
    for _ in 0..MONTHS {
        let figures = job::figures(context, month)?;
        if figures.executions > 0 {
            rows.push(MonthRow {
                month: shown(month),
                tone: month_tone(&figures),
                successes: figures.successes,
                executions: figures.executions,
                mean_plain: figures.mean_plain,
                mean_seconds: figures.mean_seconds.map(whole),
            });
        }
        month = month.previous();
    }
    Ok(rows)
}

fn shown(month: Month) -> Shown {
    Shown { year: month.year(), month: month.number() }
}

fn month_tone(figures: &Monthly) -> Tone {
    match (figures.executions, figures.successes) {
        (0, _) => Tone::Plain,
        (_, 0) => Tone::Bad,
        (all, good) if good < all => Tone::Warn,
        _ => Tone::Good,
    }
}

pub(super) async fn report(visit: Visit, Path(month): Path<String>) -> Answer {
    let visit = visit.at(Section::Reports)?;
    let month = Month::from_str(&month).map_err(|error| visit.wrong(Problem::new(Kind::NotFound, error.to_string())))?;
    let locale = visit.frame.locale;
    let (figures, trends) = visit.aside(move |context| Ok((job::figures(context, month)?, job::trends(context, month, locale)?))).await?;
    let plot = |(title, svg): (&str, String)| Plot { title: title.to_owned(), svg: Html::drawing(svg), summary: String::new() };
    let view = Report {
        month: shown(month),
        tone: month_tone(&figures),
        sentence: sentence(&figures, locale),
        summary: summary(&visit, &figures),
        destinations: figures.destinations.iter().map(|place| destination(place, locale)).collect(),
        rehearsals: [
            ("Verificações", "Verifications", &figures.verifications),
            ("Testes de restauração", "Restore drills", &figures.drills),
        ]
        .map(|(portuguese, english, these)| rehearsals(locale.pick(portuguese, english), these))
        .into(),
        failures: figures
            .failures
            .iter()
            .map(|failure| Alert {
                tone: Tone::Bad,
                title: super::runs::kind(&failure.verb).word(locale).to_owned(),
                detail: failure.detail.clone(),
                since: failure.at.parse().ok(),
                actions: Vec::new(),
                address: None,
            })
            .collect(),
        plots: trends.into_iter().map(plot).collect(),
        analysis: figures.destinations.iter().filter_map(|place| forecast(place, locale)).collect(),
    };
    Ok(visit.page(reports::render(&visit.frame, &view)))
}

fn sentence(figures: &Monthly, locale: Locale) -> String {
    let (good, all) = (figures.successes, figures.executions);
    match (all, locale) {
        (0, Locale::PtBr) => "Nenhum backup foi executado neste mês.".to_owned(),
        (0, Locale::En) => "No backup ran in this month.".to_owned(),
        (_, Locale::PtBr) => format!("{good} de {all} backups estão completos em todos os destinos."),
        (_, Locale::En) => format!("{good} of {all} backups are whole at every destination."),
    }
}

fn summary(visit: &Visit, figures: &Monthly) -> Vec<Fact> {
    let fact = |portuguese: &str, english: &str, value: Option<String>| {
        value.map(|value| Fact { label: visit.t(portuguese, english).to_owned(), value, tone: Tone::Plain })
    };
    let frame = &visit.frame;
    [
        fact("Execuções", "Runs", Some(format!("{}/{}", figures.successes, figures.executions))),
        fact("Taxa de sucesso", "Success rate", figures.success_rate.map(|rate| frame.percent(rate))),
        fact("Tamanho médio", "Mean size", figures.mean_plain.map(|size| frame.size(size))),
        fact("Tempo médio", "Mean time", figures.mean_seconds.map(|seconds| frame.duration(whole(seconds)))),
        fact("Economia de espaço", "Space saved", figures.saving.map(|saving| frame.percent(saving))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn destination(place: &DestinationMonth, locale: Locale) -> Fact {
    let later = match (place.later, locale) {
        (0, _) => String::new(),
        (later, Locale::PtBr) => format!(" ({later} concluídos depois)"),
        (later, Locale::En) => format!(" ({later} completed later)"),
    };
    Fact {
        label: place.name.clone(),
        value: format!("{}/{}{later}", place.complete, place.executions),
        tone: if place.complete < place.executions { Tone::Warn } else { Tone::Good },
    }
}

fn rehearsals(label: &str, these: &Rehearsals) -> Fact {
    let (good, all) = (these.good, these.good + these.failed);
    let tone = match (all, these.failed) {
        (0, _) => Tone::Plain,
        (_, 0) => Tone::Good,
        _ => Tone::Bad,
    };
    Fact { label: label.to_owned(), value: format!("{good}/{all}"), tone }
}

fn forecast(place: &DestinationMonth, locale: Locale) -> Option<String> {
    let Forecast::Full { days } = place.forecast else { return None };
    let (name, days) = (&place.name, whole(days));
    Some(match locale {
        Locale::PtBr => format!("{name} ficará cheio em cerca de {days} dias."),
        Locale::En => format!("{name} will be full in about {days} days."),
    })
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct AuditQuery {
    action: Option<String>,
    by: Option<String>,
    day: Option<String>,
    before: Option<u64>,
}

pub(super) async fn audit(visit: Visit, Query(query): Query<AuditQuery>) -> Answer {
    let visit = visit.at(Section::Audit)?;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (action, by) = (some(query.action), some(query.by));
    let day: Option<Date> = some(query.day).and_then(|day| day.parse().ok());
    let zone = visit.frame.zone.clone();
    let (wanted, who, before) = (action.clone(), by.clone(), query.before);
    let (findings, mut entries) = visit
        .aside(move |context| {
            let fits = |entry: &Written| {
                wanted.as_ref().is_none_or(|action| entry.action == *action)
                    && who.as_ref().is_none_or(|who| entry.actor.to_string().contains(who))
                    && day.is_none_or(|day| entry.at.to_zoned_datetime(zone.clone()).date() == day)
            };
            Ok((job::audit_verify(context, None)?, job::audit_found(context, before, ENTRIES + 1, fits)?))
        })
        .await?;
    let more = entries.len() > ENTRIES;
    entries.truncate(ENTRIES);
    let mut kept = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("action", &action), ("by", &by), ("day", &day.map(|day| day.to_string()))] {
        if let Some(value) = value {
            kept.append_pair(name, value);
        }
    }
    let kept = kept.finish();
    let next =
        entries.last().filter(|_| more).map(|entry| format!("?{kept}{}before={}", if kept.is_empty() { "" } else { "&" }, entry.seq));
    let view = Audit {
        chain: chain(&visit, &findings),
        actions: crate::audit::Action::ALL
            .into_iter()
            .map(|one| Choice { value: one.name().to_owned(), label: one.name().to_owned(), chosen: action.as_deref() == Some(one.name()) })
            .collect(),
        by: by.unwrap_or_default(),
        day,
        entries: entries.iter().map(|entry| line(&visit, entry)).collect(),
        pager: Pager { previous: query.before.map(|_| format!("?{kept}")), next, total: None },
        command: "cofre audit list".to_owned(),
    };
    Ok(visit.page(audit::render(&visit.frame, &view)))
}

fn chain(visit: &Visit, findings: &Findings) -> Chain {
    match &findings.fault {
        Some(fault) => Chain::Broken { findings: vec![fault.to_string()] },
        None => Chain::Whole { entries: findings.head.count, head: findings.head.hash.clone(), checked: visit.frame.now },
    }
}

fn line(visit: &Visit, entry: &Written) -> Entry {
    let (tone, outcome) = match entry.outcome.as_str() {
        "begun" => (Tone::Busy, visit.t("iniciado", "begun")),
        "done" => (Tone::Good, visit.t("feito", "done")),
        "warnings" => (Tone::Warn, visit.t("com avisos", "with warnings")),
        "failed" => (Tone::Bad, visit.t("falhou", "failed")),
        other => (Tone::Plain, other),
    };
    let detail = entry.detail.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}: {value}"));
    Entry {
        number: entry.seq,
        at: entry.at,
        by: entry.actor.to_string(),
        action: entry.action.clone(),
        object: entry.object.clone(),
        tone,
        outcome: outcome.to_owned(),
        detail: detail.collect::<Vec<_>>().join(" · "),
    }
}
