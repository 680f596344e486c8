//! Views as a small company has them, for the tests: in harmless words, or with one text in the place of every word that comes from outside.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::frame::{Frame, Section, Theme, UserBadge};
use super::overview::{self, Light, Overview, Reason};
use super::part::{Alert, Html, Plot, Tone};
use crate::text::Locale;

/// Words of the samples.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) locale: Locale,
    /// What stands in the place of every text from outside.
    pub(super) hostile: Option<&'static str>,
}

impl Words {
    pub(super) fn s(self, text: &str) -> String {
        self.hostile.unwrap_or(text).to_owned()
    }

    pub(super) fn p(self, portuguese: &str, english: &str) -> String {
        self.s(self.locale.pick(portuguese, english))
    }
}

pub(super) fn at(text: &str) -> Timestamp {
    format!("{text}-03:00").parse().expect("a time")
}

pub(super) fn now() -> Timestamp {
    at("2026-03-15T07:42:10")
}

pub(super) fn frame(locale: Locale) -> Frame {
    framed(Words { locale, hostile: None }, Section::Overview)
}

pub(super) fn framed(w: Words, active: Section) -> Frame {
    Frame {
        locale: w.locale,
        theme: Theme::Auto,
        user: Some(UserBadge { name: w.s("maria"), role: w.p("administradora", "administrator") }),
        csrf: w.s("f3a1c0de"),
        active,
        nonce: "bm9uY2U".to_owned(),
        problems: 1,
        host: w.s("erp01"),
        zone: TimeZone::get("America/Sao_Paulo").expect("a zone"),
        now: now(),
        open: Section::ALL.to_vec(),
        notice: None,
    }
}

pub(super) fn reasons() -> Vec<Reason> {
    let at = at("2026-03-14T02:47:32");
    vec![
        Reason::Whole { destinations: 3, finished: at },
        Reason::Never,
        Reason::Disabled,
        Reason::Late { newest: Some(at) },
        Reason::Late { newest: None },
        Reason::Failed { at },
        Reason::Incomplete { missing: (1..8).map(|nth| format!("empresa{nth}")).collect() },
        Reason::NotAt { destinations: vec!["nuvem".into()] },
        Reason::Damaged { destination: "nuvem".into(), other_copy: true },
        Reason::Damaged { destination: "nuvem".into(), other_copy: false },
        Reason::LittleSpace { destination: "disco".into(), days: Some(12) },
        Reason::LittleSpace { destination: "disco".into(), days: None },
        Reason::OneDestination,
        Reason::NoDrill { days: 90 },
        Reason::Checks { failing: 1 },
        Reason::Checks { failing: 2 },
        Reason::AuditBroken,
        Reason::Other { light: Light::Yellow, sentence: "x".into() },
    ]
}

pub(super) fn alert(w: Words) -> Alert {
    Alert {
        tone: Tone::Warn,
        title: w.p("Destino sem espaço: disco", "The destination is full: disco"),
        detail: w.s("cannot write sql/empresa1.sql.tar.gz.enc: No space left on device (os error 28)"),
        since: Some(at("2026-03-15T02:31:00")),
        actions: vec![
            w.p("Liberar espaço ou aumentar a cota do destino", "Free some space, or raise the quota of the destination"),
            w.p("Ver o que a retenção remove: `cofre prune --dry-run`", "See what retention removes: `cofre prune --dry-run`"),
        ],
        address: Some(w.s("/checks")),
    }
}

pub(super) fn plot(w: Words, title: &str) -> Plot {
    let points: Vec<String> = (0..60).map(|x| format!("{},{}", 84 + x * 5, 150 - x - (x * 37 % 11))).collect();
    let labels: String = (0..5)
        .map(|nth| {
            let y = 20 + nth * 36;
            format!(
                "<line opacity=\"1\" stroke=\"#E1E6EA\" stroke-width=\"1\" x1=\"84\" y1=\"{y}\" x2=\"404\" y2=\"{y}\"/>\
                 <text x=\"75\" y=\"{y}\" dy=\"0.5ex\" text-anchor=\"end\" font-family=\"sans-serif\" font-size=\"9.7\" opacity=\"1\" fill=\"#3B4550\">{} GiB</text>",
                10 - 2 * nth
            )
        })
        .collect();
    let svg = format!(
        "<svg width=\"420\" height=\"200\" viewBox=\"0 0 420 200\" xmlns=\"http://www.w3.org/2000/svg\">\
         <rect x=\"0\" y=\"0\" width=\"420\" height=\"200\" opacity=\"1\" fill=\"#FFFFFF\" stroke=\"none\"/>{labels}\
         <polyline fill=\"none\" opacity=\"1\" stroke=\"#1F6FB4\" stroke-width=\"2\" points=\"{}\"/></svg>",
        points.join(" ")
    );
    Plot {
        title: title.to_owned(),
        svg: Html::drawing(svg),
        summary: w.p("de 7,9 para 9,3 GiB em 60 dias", "from 7.9 to 9.3 GiB in 60 days"),
    }
}

pub(super) fn overview(w: Words) -> Overview {
    let place = |name: &str, plugin: &str, tone, word: String, free, total, days| overview::Place {
        name: w.s(name),
        plugin: w.s(plugin),
        tone,
        word,
        newest: Some(at("2026-03-15T02:47:32")),
        sets: 43,
        stored: 487_u64 << 25,
        free,
        total,
        days_until_full: days,
    };
    let good = || w.p("em dia", "up to date");
    let day = |back: i64| overview::Day {
        date: jiff::civil::date(2026, 3, 15).checked_sub(back.days()).expect("a day"),
        tone: if back == 17 { Tone::Bad } else if back == 31 { Tone::Warn } else { Tone::Good },
        word: w.p("1 conjunto", "1 set"),
    };
    Overview {
        reasons: vec![
            Reason::Whole { destinations: 3, finished: at("2026-03-15T02:47:32") },
            Reason::LittleSpace { destination: w.s("disco"), days: Some(12) },
        ],
        running: None,
        last: Some(overview::Last {
            started: at("2026-03-15T02:00:15"),
            finished: at("2026-03-15T02:47:32"),
            seconds: 2_837,
            tone: Tone::Good,
            word: w.p("completo", "complete"),
        }),
        next: Some(overview::Next { at: at("2026-03-16T02:00:00"), job: w.s("backup"), schedule: w.p("todos os dias às 02:00", "every day at 02:00") }),
        stored: 61_u64 << 30,
        sets: 43,
        saving: Some(0.784),
        successes: 29,
        executions: 30,
        days: (0..60).rev().map(day).collect(),
        alerts: vec![alert(w)],
        destinations: vec![
            place("disco", "local", Tone::Warn, w.p("quase cheio", "nearly full"), Some(21 << 30), Some(465 << 30), Some(12)),
            place("nuvem", "s3", Tone::Good, good(), None, None, None),
            place("google-drive", "gdrive", Tone::Good, good(), Some(1_430 << 30), Some(2_048 << 30), None),
        ],
        plots: vec![
            plot(w, w.locale.pick("Crescimento dos Dados", "Data growth")),
            plot(w, w.locale.pick("Tempo de Backup", "Backup time")),
        ],
        may_run: true,
    }
}
