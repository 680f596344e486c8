//! Views as a small company has them, for the tests: in harmless words, or with one text in the place of every word that comes from
//! outside.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::account::{Account, Session, Totp};
use super::audit::{self, Audit};
use super::checks::{self, Checks};
use super::error::{ErrorView, Fault};
use super::form::{Field, Input, Keeper, Kept, schema_form, secret_fields};
use super::frame::{Frame, Notice, Section, Theme, UserBadge};
use super::login::{Login, LoginFault, Setup};
use super::overview::{self, Light, Overview, Reason};
use super::part::{Alert, Choice, Fact, Html, LogLine, Pager, Plot, Tone};
use super::people::{Token, Tokens, User, Users};
use super::plugins::{self, Capability, Plugins};
use super::reports::{self, Report, Reports};
use super::restore::{self, Restore, Step};
use super::run::{self, Runs, Task};
use super::set::{self, Set};
use super::sets::{self, Sets};
use super::settings::{self, Area};
use super::tenants::{self, Tenants};
use crate::text::Locale;

/// Words of the samples.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) locale: Locale,
    /// What stands in the place of every text from outside.
    pub(super) hostile: Option<&'a str>,
}

impl Words<'_> {
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
        notice: w.hostile.map(|text| Notice { tone: Tone::Bad, text: text.to_owned() }),
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
    let labels = (0..5)
        .map(|nth| {
            let y = 20 + nth * 36;
            format!(
                "<line opacity=\"1\" stroke=\"#E1E6EA\" stroke-width=\"1\" x1=\"84\" y1=\"{y}\" x2=\"404\" y2=\"{y}\"/>\
                 <text x=\"75\" y=\"{y}\" dy=\"0.5ex\" text-anchor=\"end\" font-family=\"sans-serif\" \
                 font-size=\"9.7\" opacity=\"1\" fill=\"#3B4550\">{} GiB</text>",
                10 - 2 * nth
            )
        })
        .collect::<Vec<_>>()
        .concat();
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
        tone: if back == 17 {
            Tone::Bad
        } else if back == 31 {
            Tone::Warn
        } else {
            Tone::Good
        },
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
        next: Some(overview::Next {
            at: at("2026-03-16T02:00:00"),
            job: w.s("backup"),
            schedule: w.p("todos os dias às 02:00", "every day at 02:00"),
        }),
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

pub(super) fn choices(w: Words, all: &str, names: &[&str]) -> Vec<Choice> {
    let first = Choice { value: String::new(), label: all.to_owned(), chosen: false };
    let rest = names.iter().enumerate().map(|(index, name)| Choice { value: w.s(name), label: w.s(name), chosen: index == 0 });
    [first].into_iter().chain(rest).collect()
}

pub(super) fn pager(w: Words) -> Pager {
    let address = w.hostile.unwrap_or("?cursor=abc").to_owned();
    Pager { previous: Some(address.clone()), next: Some(address), total: Some(1_365) }
}

pub(super) fn fact(w: Words, label: &str, value: &str) -> Fact {
    Fact { label: label.to_owned(), value: w.s(value), tone: Tone::Plain }
}

/// The sets of so many days.
pub(super) fn sets(w: Words, days: i64, tenants: u32) -> Sets {
    let date = |back: i64| jiff::civil::date(2026, 3, 15).checked_sub(back.days()).expect("a day");
    let day = |back: i64| sets::Day {
        date: date(back),
        tone: if back == 17 {
            Tone::Bad
        } else if back % 31 == 5 {
            Tone::Warn
        } else {
            Tone::Good
        },
        sets: 1,
    };
    let row = |back: i64| sets::Row {
        name: w.s(&format!("backup_{}_02_00_15", date(back).strftime("%Y_%m_%d"))),
        started: at(&format!("{}T02:00:15", date(back))),
        only: if back == 9 { w.s("sql") } else { String::new() },
        tone: if back == 5 { Tone::Warn } else { Tone::Good },
        word: if back == 5 { w.p("com avisos", "with warnings") } else { w.p("completo", "complete") },
        plain: 2_469_606_195,
        stored: 510_656_512,
        artifacts: 18,
        copies: ["disco", "nuvem", "google-drive"]
            .iter()
            .map(|name| sets::Copy {
                destination: w.s(name),
                tone: if back == 5 && *name == "nuvem" { Tone::Bad } else { Tone::Good },
                word: w.p("completa", "complete"),
            })
            .collect(),
        pinned: back == 14,
        tags: if back == 14 { vec![w.s("fechamento")] } else { Vec::new() },
    };
    let tenants: Vec<String> = (1..=tenants).map(|number| format!("empresa{number}")).collect();
    let mut view = Sets {
        jobs: choices(w, w.locale.pick("todas", "all"), &["noite", "semana"]),
        tenants: choices(w, w.locale.pick("todos", "all"), &tenants.iter().map(String::as_str).collect::<Vec<_>>()),
        destinations: choices(w, w.locale.pick("todos", "all"), &["disco", "nuvem", "google-drive"]),
        states: choices(w, w.locale.pick("todos", "all"), &["completo", "com avisos", "incompleto"]),
        day: None,
        days: (0..days).map(day).collect(),
        rows: (0..days.min(50)).map(row).collect(),
        pager: pager(w),
    };
    for choices in [&mut view.jobs, &mut view.tenants, &mut view.destinations, &mut view.states] {
        choices[1].chosen = false;
    }
    view
}

pub(super) fn log(w: Words) -> Vec<LogLine> {
    let line = |time: &str, tone, text: &str| LogLine { at: at(&format!("2026-03-15T{time}")), tone, text: w.s(text) };
    vec![
        line("02:00:15", Tone::Plain, "run started: 15 schemas, 3 directories, 3 destinations"),
        line("02:00:16", Tone::Plain, "snapshot of principal: binlog.000231:48112, GTID 0-1-998211"),
        line("02:14:03", Tone::Warn, "/var/www/data/cache/session_9f: changed while it was read"),
        line("02:31:00", Tone::Bad, "disco: No space left on device (os error 28); trying again in 30 s"),
        line("02:47:32", Tone::Plain, "set complete at nuvem"),
    ]
}

pub(super) fn digest(nth: u64) -> String {
    format!("{:016x}{:016x}{:016x}{:016x}", nth * 0x9e37_79b9, nth * 0x85eb_ca6b, nth * 0xc2b2_ae35, nth * 0x27d4_eb2f)
}

pub(super) fn set(w: Words, artifacts: u64) -> Set {
    let artifact = |nth: u64| set::Artifact {
        path: w.s(&format!("sql/empresa{nth}.sql.tar.gz.enc")),
        source: w.s(&format!("principal / empresa{nth}")),
        tone: if nth == 2 { Tone::Warn } else { Tone::Good },
        plain: 161_606_195 * nth % 900_000_000,
        stored: 30_656_512 * nth % 190_000_000,
    };
    let copy = |name: &str, tone, word: String| set::Copy {
        destination: w.s(name),
        tone,
        word,
        bytes: 510_656_512,
        verified: Some(at("2026-03-15T03:30:00")),
    };
    let proof = |time: &str, kind: String, tone, detail: String| set::Proof { at: at(time), kind, tone, detail };
    Set {
        name: w.s("backup_2026_03_15_02_00_15"),
        tone: Tone::Warn,
        word: w.p("com avisos", "with warnings"),
        started: at("2026-03-15T02:00:15"),
        finished: Some(at("2026-03-15T02:47:32")),
        plain: 2_469_606_195,
        stored: 510_656_512,
        facts: vec![
            fact(w, w.locale.pick("Tarefa", "Job"), "backup"),
            fact(w, w.locale.pick("Compressão", "Compression"), "gzip 5"),
            fact(w, w.locale.pick("Criptografia", "Encryption"), "AES-256-CBC, PBKDF2-SHA256 × 600000"),
            fact(w, "Binlog", "binlog.000231:48112"),
        ],
        problems: vec![alert(w)],
        artifacts: (1..=artifacts).map(artifact).collect(),
        pager: pager(w),
        query: w.hostile.unwrap_or("").to_owned(),
        copies: vec![
            copy("disco", Tone::Bad, w.p("danificada", "damaged")),
            copy("nuvem", Tone::Good, w.p("completa", "complete")),
            copy("google-drive", Tone::Good, w.p("completa", "complete")),
        ],
        history: vec![
            proof(
                "2026-03-15T03:30:00",
                w.p("verificação", "verification"),
                Tone::Good,
                w.p("487 MiB lidos e conferidos", "487 MiB read and found right"),
            ),
            proof("2026-03-15T03:12:00", w.p("verificação", "verification"), Tone::Bad, w.s("sql/empresa3.sql.tar.gz.enc: sha256 differs")),
        ],
        may_run: true,
        may_restore: true,
        command: w.s("cofre show backup_2026_03_15_02_00_15"),
    }
}

pub(super) fn runs(w: Words) -> Runs {
    let row = |kind, object: &str, state, started: &str, finished: Option<&str>| run::Row {
        task: w.s("t42"),
        kind,
        object: w.s(object),
        state,
        started: at(started),
        finished: finished.map(at),
        by: w.s("daemon"),
    };
    Runs {
        start: Some(run::Start {
            sources: choices(w, "principal", &["/var/www/data", "/etc"]),
            destinations: choices(w, "disco", &["nuvem", "google-drive"]),
            command: w.s("cofre run"),
        }),
        active: vec![row(run::Kind::Verify, "backup_2026_03_15_02_00_15", run::State::Running, "2026-03-15T07:40:00", None)],
        past: vec![
            row(run::Kind::Run, "backup_2026_03_15_02_00_15", run::State::Warnings, "2026-03-15T02:00:15", Some("2026-03-15T02:47:32")),
            row(run::Kind::Tenant, "empresa1", run::State::Done, "2026-03-14T16:10:00", Some("2026-03-14T16:11:30")),
            row(run::Kind::Restore, "empresa1_teste", run::State::Failed, "2026-03-14T15:00:00", Some("2026-03-14T15:00:12")),
            row(run::Kind::Drill, "", run::State::Cancelled, "2026-03-13T15:00:00", Some("2026-03-13T15:00:12")),
        ],
        pager: pager(w),
    }
}

pub(super) fn task(w: Words, state: run::State) -> Task {
    let part = |name: &str, tone, stage: String, done, total, pace: Option<(u64, u64)>| run::Part {
        name: w.s(name),
        tone,
        stage,
        done,
        total,
        rate: pace.map(|(rate, _)| rate),
        left: pace.map(|(_, left)| left),
    };
    let over = state == run::State::Done;
    Task {
        task: w.s("t42"),
        kind: if over { run::Kind::Restore } else { run::Kind::Run },
        object: w.s("backup_2026_03_15_07_30_02"),
        state,
        started: at("2026-03-15T07:30:02"),
        finished: over.then(|| at("2026-03-15T07:41:10")),
        by: w.s("maria"),
        share: Some(0.624),
        artifacts: vec![
            part("sql/empresa1.sql.tar.gz.enc", Tone::Good, w.p("completo", "complete"), 161_606_195, Some(161_606_195), None),
            part("sql/empresa2.sql.tar.gz.enc", Tone::Busy, w.p("lendo", "reading"), 91_606_195, Some(161_606_195), Some((24 << 20, 3))),
            part("config/_var_www_data_.tar.gz.enc", Tone::Plain, w.p("na fila", "queued"), 0, None, None),
        ],
        destinations: vec![
            part("disco", Tone::Busy, w.p("copiando", "copying"), 161_606_195, Some(510_656_512), Some((180 << 20, 2))),
            part(
                "nuvem",
                Tone::Warn,
                w.p("tentando de novo em 30 s", "trying again in 30 s"),
                71_606_195,
                Some(510_656_512),
                Some((5 << 20, 84)),
            ),
        ],
        log: log(w),
        problems: if over { Vec::new() } else { vec![alert(w)] },
        result: if over { vec![fact(w, w.locale.pick("Banco restaurado", "Restored schema"), "empresa1_teste")] } else { Vec::new() },
        digests: if over {
            let digest =
                |name: &str, matches| run::Digest { name: w.s(name), algorithm: w.s("CHECKSUM TABLE"), value: w.s("2887312990"), matches };
            vec![digest("empresa1_teste.pedidos", true), digest("empresa1_teste.sessoes", false)]
        } else {
            Vec::new()
        },
        set: over.then(|| w.s("backup_2026_03_15_02_00_15")),
        download: over.then(|| w.s("/runs/t42/file")),
        may_cancel: true,
        events: w.s("/api/v1/tasks/t42/events"),
        command: w.s("cofre run"),
    }
}

fn thing(w: Words, kind: restore::Thing, label: &str, detail: &str, open: bool) -> restore::Choosable {
    restore::Choosable {
        value: w.s(label),
        label: w.s(label),
        detail: w.s(detail),
        kind,
        chosen: label == "empresa1",
        open: open.then(|| w.s("?step=what&artifact=empresa1")),
    }
}

/// The wizard at each of its steps.
pub(super) fn restores(w: Words) -> Vec<(&'static str, Restore)> {
    let set = "backup_2026_03_15_02_00_15";
    let candidate = |day: u8, tone, word: String| restore::Candidate {
        name: w.s(&format!("backup_2026_03_{day}_02_00_15")),
        started: at(&format!("2026-03-{day}T02:00:15")),
        tone,
        word,
        content: w.p("15 bancos, 3 diretórios · disco, nuvem", "15 databases, 3 directories · disco, nuvem"),
        chosen: day == 15,
    };
    let pick_set = restore::PickSet {
        sets: vec![
            candidate(15, Tone::Good, w.p("completo", "complete")),
            candidate(14, Tone::Good, w.p("completo", "complete")),
            candidate(13, Tone::Warn, w.p("com avisos", "with warnings")),
        ],
        pager: pager(w),
        sources: choices(w, w.locale.pick("a melhor cópia", "the best copy"), &["disco", "nuvem"]),
    };
    let artifacts = restore::PickWhat {
        artifacts: vec![
            thing(w, restore::Thing::Schema, "empresa1", "213 tabelas, 154 MiB", true),
            thing(w, restore::Thing::Schema, "empresa2", "213 tabelas, 308 MiB", true),
            thing(w, restore::Thing::Directory, "/var/www/data", "48.112 arquivos, 1,20 GiB", true),
        ],
        pager: Pager::default(),
        query: w.hostile.unwrap_or("").to_owned(),
        inside: None,
    };
    let inside = restore::Inside {
        path: vec![(w.s("/var/www/data"), w.s("?path=")), (w.s("uploads"), w.s("?path=uploads"))],
        entries: vec![
            thing(w, restore::Thing::Directory, "2026", "1.204 arquivos", true),
            thing(w, restore::Thing::File, "contrato-0412.pdf", "412 KiB · 12/03/2026 18:40", false),
            thing(w, restore::Thing::File, "logo.png", "18,2 KiB · 02/01/2026 09:12", false),
        ],
        many: true,
        typed: Some(w.s("/var/www/data/uploads/")),
        pager: pager(w),
    };
    let pick_where = restore::PickWhere {
        servers: choices(w, "principal", &["homologacao"]),
        schema: Some(w.s("empresa1_restaurado")),
        directory: Some(w.s("/var/lib/cofre/restore")),
        replace: false,
        download: Ok(()),
        target: "schema".to_owned(),
    };
    let plan = restore::Plan {
        actions: vec![
            w.p("Baixar 29,2 MiB de disco e conferir o SHA-256", "Fetch 29.2 MiB from disco, and compare its SHA-256"),
            w.p("Criar o banco empresa1_restaurado em principal", "Create the schema empresa1_restaurado at principal"),
            w.p(
                "Gravar 213 tabelas, 12 views e 4 rotinas, e conferir cada soma",
                "Write 213 tables, 12 views and 4 routines, and compare each checksum",
            ),
        ],
        facts: vec![fact(w, w.locale.pick("Tempo esperado", "Time expected"), "2 min")],
        warnings: Vec::new(),
        target: w.s("empresa1_restaurado"),
        download: None,
        possible: true,
    };
    let view = |step, chosen: usize, command: &str| Restore {
        step,
        carried: vec![("set".to_owned(), w.s(set)), ("from".to_owned(), w.s("disco"))],
        chosen: [
            fact(w, w.locale.pick("Conjunto", "Set"), set),
            fact(w, w.locale.pick("O que", "What"), "empresa1"),
            fact(w, w.locale.pick("Para onde", "Where to"), "empresa1_restaurado @ principal"),
        ]
        .into_iter()
        .take(chosen)
        .collect(),
        faults: w.hostile.map(str::to_owned).into_iter().collect(),
        command: w.s(command),
    };
    let files = restore::PickWhat { inside: Some(inside), ..artifacts.clone() };
    let mut warned = plan.clone();
    warned.warnings.push(alert(w));
    let fetched = restore::Plan { download: Some(w.s("/api/v1/sets/backup_2026_03_15_02_00_15/artifacts/sql/empresa1")), ..plan.clone() };
    let restore_command = "cofre restore backup_2026_03_15_02_00_15 --only empresa1 --as empresa1_restaurado";
    let refused =
        restore::PickWhere { download: Err(w.s("too large")), schema: None, target: "directory".to_owned(), ..pick_where.clone() };
    vec![
        ("restore-set", view(Step::Set(pick_set), 0, "cofre restore")),
        ("restore-what", view(Step::What(artifacts), 1, "cofre restore backup_2026_03_15_02_00_15")),
        ("restore-files", view(Step::What(files), 1, "cofre restore backup_2026_03_15_02_00_15 --only /var/www/data")),
        ("restore-where", view(Step::Where(pick_where), 2, "cofre restore backup_2026_03_15_02_00_15 --only empresa1")),
        ("restore-where-files", view(Step::Where(refused), 2, "cofre restore backup_2026_03_15_02_00_15 --only empresa1")),
        ("restore-plan", view(Step::Plan(plan), 3, restore_command)),
        ("restore-plan-warned", view(Step::Plan(warned), 3, restore_command)),
        ("restore-plan-download", view(Step::Plan(fetched), 3, restore_command)),
    ]
}

/// A schema as schemars derives it of a destination's settings.
pub(super) fn schema() -> serde_json::Value {
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings",
        "type": "object",
        "additionalProperties": false,
        "required": ["bucket"],
        "properties": {
            "endpoint": { "description": "Address of the service, `https://host[:port]`. Left out: Amazon's in `region`.", "type": ["string", "null"], "default": null },
            "region": { "description": "Region of the bucket; services without regions take any.", "type": "string", "default": "us-east-1" },
            "bucket": { "description": "Name of the bucket, which must be there.", "type": "string", "maxLength": 63 },
            "path_style": { "description": "Whether the bucket stands in the path.", "type": ["boolean", "null"] },
            "server_side_encryption": {
                "description": "Encryption by the service, beside cofre's own.",
                "anyOf": [{ "$ref": "#/$defs/Encryption" }, { "type": "null" }]
            },
            "object_lock": {
                "description": "Keeps each new object from being removed or overwritten for a time.",
                "anyOf": [{ "$ref": "#/$defs/ObjectLock" }, { "type": "null" }]
            },
            "legal_hold": { "description": "Puts each new object under a legal hold.", "type": "boolean", "default": false },
            "part_size": {
                "description": "Bytes of one part: 5 to 64 MiB.", "type": "integer", "format": "uint64",
                "minimum": 5_242_880, "maximum": 67_108_864, "default": 16_777_216
            },
            "parallel": { "type": "integer", "minimum": 1, "maximum": 32, "default": 4 },
            "retries": { "type": "integer" },
            "tags": { "description": "Tags of each object.", "type": "array", "items": { "type": "string" }, "default": [] },
            "headers": { "description": "Further headers.", "type": "object", "additionalProperties": { "type": "string" } }
        },
        "$defs": {
            "Encryption": { "oneOf": [
                { "const": "AES256", "description": "Under a key of the service.", "type": "string" },
                { "const": "aws:kms", "description": "Under a key of the customer.", "type": "string" }
            ] },
            "ObjectLock": {
                "type": "object",
                "required": ["mode", "days"],
                "properties": {
                    "mode": { "description": "Who may lift it.", "type": "string", "enum": ["governance", "compliance"] },
                    "days": { "description": "For how long.", "type": "integer", "minimum": 1, "maximum": 36_500 }
                }
            }
        }
    })
}

/// Settings that hold to [`schema`].
pub(super) fn settings() -> serde_json::Value {
    serde_json::json!({
        "bucket": "minha-empresa-backup", "region": "sa-east-1", "server_side_encryption": "AES256",
        "object_lock": { "mode": "governance", "days": 30 }, "tags": ["erp", "producao"], "headers": { "x-team": "ti" }
    })
}

/// Every text of fields as `w` has it.
fn worded(w: Words, fields: &mut [Field]) {
    let Some(text) = w.hostile else { return };
    for field in fields {
        (field.name, field.label, field.help) = (text.to_owned(), text.to_owned(), text.to_owned());
        field.fault = Some(text.to_owned());
        match &mut field.input {
            Input::Text { value, default, .. } | Input::Number { value, default, .. } => {
                (*value, *default) = (text.to_owned(), text.to_owned());
            }
            Input::Choice { choices } => {
                for choice in choices {
                    (choice.value, choice.label) = (text.to_owned(), text.to_owned());
                }
            }
            Input::Lines { values } => *values = vec![text.to_owned(), text.to_owned()],
            Input::Group { fields, .. } => worded(w, fields),
            Input::Secret { kept } => *kept = Some(Kept { keeper: Keeper::File, place: text.to_owned() }),
            Input::Json { value } => text.clone_into(value),
            Input::Flag { .. } => {}
        }
    }
}

fn editor(w: Words, area: Area, (name, plugin): (&str, &str), mut fields: Vec<Field>) -> settings::Editor {
    worded(w, &mut fields);
    let item = |name: &str, summary: &str, tone, word: String| settings::Item { name: w.s(name), summary: w.s(summary), tone, word };
    let (items, plugins, trial) = match area {
        Area::Databases => {
            (vec![item("principal", "localhost:3306, backup_user", Tone::Good, w.p("conecta", "connects"))], Vec::new(), None)
        }
        Area::Directories => (vec![item("/var/www/data", "cache/, *.tmp", Tone::Good, w.p("em ordem", "good"))], Vec::new(), None),
        Area::Destinations | Area::Notifiers => (
            vec![
                item("nuvem", "s3: minha-empresa-backup, sa-east-1", Tone::Good, w.p("em dia", "up to date")),
                item("disco", "local: /var/backups/cofre", Tone::Warn, w.p("quase cheio", "nearly full")),
            ],
            choices(w, "s3", &["sftp", "local", "gdrive"]),
            Some(settings::Trial {
                tone: Tone::Good,
                text: w.p("Escrita, leitura e exclusão funcionam.", "Writing, reading and removing work."),
                facts: vec![fact(w, w.locale.pick("Tempo", "Time"), "412 ms")],
                actions: w.hostile.map(str::to_owned).into_iter().collect(),
            }),
        ),
        Area::Schedules | Area::Retention => (Vec::new(), Vec::new(), None),
    };
    let form = settings::Form {
        name: w.s(name),
        plugin: if plugin.is_empty() { String::new() } else { w.s(plugin) },
        fields,
        faults: w.hostile.map(str::to_owned).into_iter().collect(),
        can_test: matches!(area, Area::Databases | Area::Destinations | Area::Notifiers),
        trial,
    };
    settings::Editor { area, items, plugins, form: Some(form), may_write: true }
}

fn file(place: &str) -> Kept {
    Kept { keeper: Keeper::File, place: place.to_owned() }
}

pub(super) fn databases(w: Words) -> settings::Editor {
    let now = settings::Database {
        name: "principal".to_owned(),
        host: "localhost".to_owned(),
        port: "3306".to_owned(),
        user: "backup_user".to_owned(),
        password: Some(file("/etc/cofre/mysql-password")),
        exclude_schemas: ["phpmyadmin", "mysql", "information_schema"].map(str::to_owned).to_vec(),
        ..settings::Database::default()
    };
    editor(w, Area::Databases, ("principal", ""), settings::database_fields(&now, w.locale))
}

pub(super) fn directories(w: Words) -> settings::Editor {
    let exclude = vec!["cache/".to_owned(), "*.tmp".to_owned()];
    let now = settings::Directory { path: "/var/www/data".to_owned(), exclude, one_file_system: true, ..settings::Directory::default() };
    editor(w, Area::Directories, ("/var/www/data", ""), settings::directory_fields(&now, w.locale))
}

pub(super) fn destinations(w: Words) -> settings::Editor {
    let mut fields = schema_form(&schema(), &settings(), w.locale);
    let needs = [
        ("access_key_id", "Identifier of the key", false),
        ("secret_access_key", "The key itself", false),
        ("session_token", "Token", true),
    ];
    let needs = needs.map(|(name, summary, optional)| (name.to_owned(), summary.to_owned(), optional));
    fields.extend(secret_fields(&needs, |name| (name != "session_token").then(|| file("/etc/cofre/s3-key"))));
    if let Some(field) = fields.iter_mut().find(|field| field.name == "settings.part_size") {
        field.fault = Some("must be at least 5242880".to_owned());
    }
    editor(w, Area::Destinations, ("nuvem", "s3"), fields)
}

pub(super) fn schedules(w: Words) -> settings::Schedules {
    let now = settings::Job {
        name: "backup".to_owned(),
        action: "run".to_owned(),
        schedule: "0 2 * * *".to_owned(),
        catch_up: true,
        ..settings::Job::default()
    };
    let job = |name: &str, action: String, schedule: &str, words: String, next: &[&str]| settings::Scheduled {
        name: w.s(name),
        action,
        schedule: w.s(schedule),
        words,
        next: next.iter().map(|time| at(time)).collect(),
        tone: Tone::Good,
        last: Some(at("2026-03-15T02:47:32")),
    };
    let daily = ["2026-03-16T02:00:00", "2026-03-17T02:00:00", "2026-03-18T02:00:00", "2026-03-19T02:00:00", "2026-03-20T02:00:00"];
    settings::Schedules {
        editor: editor(w, Area::Schedules, ("backup", ""), settings::job_fields(&now, w.locale)),
        jobs: vec![
            job("backup", w.p("Backup Principal", "Backup"), "0 2 * * *", w.p("todos os dias às 02:00", "every day at 02:00"), &daily),
            job("limpeza", w.p("Limpeza de Arquivos", "Clean-up"), "0 4 * * 0", w.p("domingo às 04:00", "Sundays at 04:00"), &daily[..2]),
        ],
    }
}

pub(super) fn retention(w: Words) -> settings::Retention {
    let now = settings::RetentionRules {
        keep_last: "2".to_owned(),
        keep_within: "30d".to_owned(),
        keep_monthly: "12".to_owned(),
        ..settings::RetentionRules::default()
    };
    let kept = |day: u8, stays, reason: String| settings::Kept {
        set: w.s(&format!("backup_2026_02_{day:02}_02_00_15")),
        destination: w.s("nuvem"),
        started: at(&format!("2026-02-{day:02}T02:00:15")),
        bytes: 510_656_512,
        stays,
        reason,
    };
    settings::Retention {
        editor: editor(w, Area::Retention, ("retention", ""), settings::retention_fields(&now, w.locale)),
        preview: vec![
            kept(14, true, w.p("menos de 30 dias", "younger than 30 days")),
            kept(13, false, w.p("nenhuma regra o mantém", "no rule keeps it")),
            kept(1, true, w.p("o primeiro de fevereiro", "the newest of its month")),
        ],
        kept: 43,
        removed: 1,
        freed: 510_656_512,
    }
}

pub(super) fn settings_overview(w: Words) -> settings::Overview {
    let summary = |area| match area {
        Area::Databases => w.p("principal: localhost:3306, todos os bancos", "principal: localhost:3306, all databases"),
        Area::Directories => w.s("/etc, /var/www/data"),
        Area::Destinations => w.s("disco (local), nuvem (s3), google-drive (gdrive)"),
        Area::Notifiers => w.s("admins (email): admin@suaempresa.com, ti@suaempresa.com"),
        Area::Schedules => w.p("backup às 02:00, limpeza, verificação", "backup at 02:00, clean-up, verification"),
        Area::Retention => w.p("as 2 últimas sempre, 30 dias, 12 mensais", "the newest 2 always, 30 days, 12 monthly"),
    };
    settings::Overview {
        enabled: true,
        areas: Area::ALL
            .into_iter()
            .map(|area| (area, summary(area), if area == Area::Destinations { Tone::Warn } else { Tone::Good }))
            .collect(),
        facts: vec![
            fact(w, w.locale.pick("Arquivo", "File"), "/etc/cofre/cofre.toml"),
            fact(w, w.locale.pick("Alterado", "Changed"), "12/03/2026 10:12, maria"),
        ],
        faults: w.hostile.map(str::to_owned).into_iter().collect(),
        may_write: true,
    }
}

pub(super) fn difference(w: Words) -> settings::Difference {
    use settings::LineKind::{Added, Place, Removed, Same};
    let line = |kind, text: &str| settings::Line { kind, text: w.s(text) };
    settings::Difference {
        address: w.s("/settings/destinations"),
        file: w.s("/etc/cofre/cofre.toml"),
        kept_as: w.s("/etc/cofre/cofre.toml.2026-03-15T07-42-10"),
        lines: vec![
            line(Place, "@@ 31 @@"),
            line(Same, "[[destination]]"),
            line(Same, "name = \"nuvem\"    # fora do prédio"),
            line(Removed, "settings = { region = \"us-east-1\", bucket = \"copias\" }"),
            line(Added, "settings = { region = \"sa-east-1\", bucket = \"copias\" }"),
        ],
        faults: w.hostile.map(str::to_owned).into_iter().collect(),
        consequences: vec![w.p(
            "O plug-in `s3` precisará de acesso a `copias.s3.sa-east-1.amazonaws.com:443`.",
            "The plug-in `s3` will need to reach `copias.s3.sa-east-1.amazonaws.com:443`.",
        )],
        carried: vec![("proposal".to_owned(), w.s("9f3c"))],
    }
}

pub(super) fn tenants(w: Words, number: u32, deliveries: usize) -> Tenants {
    let delivery = |time: &str, tenant: &str, tone, word: String| tenants::Delivery {
        at: at(time),
        tenant: w.s(tenant),
        recipient: w.s("contato@empresa1.example"),
        by: w.s("maria"),
        tone,
        word,
        task: Some(w.s("t41")),
    };
    let mut ways = choices(w, w.locale.pick("anexo, se couber", "attached, where it fits"), &["nuvem"]);
    ways[1].chosen = false;
    Tenants {
        tenants: (1..=number).map(|nth| (w.s(&format!("empresa{nth}")), w.s(&format!("empresa{nth}_erp, empresa{nth}_loja")))).collect(),
        filled: tenants::Filled {
            tenant: w.s("empresa1"),
            email: w.s("contato@empresa1.example"),
            tenant_fault: w.hostile.map(str::to_owned),
            email_fault: w.hostile.map(str::to_owned),
        },
        ways,
        minutes: 15,
        deliveries: [
            delivery("2026-03-14T16:10:00", "empresa1", Tone::Good, w.p("entregue", "delivered")),
            delivery("2026-03-10T09:02:00", "empresa7", Tone::Warn, w.p("na fila de envio", "waiting to be sent")),
        ]
        .into_iter()
        .cycle()
        .take(deliveries)
        .collect(),
        pager: pager(w),
        may_deliver: true,
        command: w.s("cofre tenant backup empresa1 --email contato@empresa1.example"),
    }
}

pub(super) fn plugins(w: Words) -> Plugins {
    let plugin = |name: &str, state, may| plugins::Plugin {
        name: w.s(name),
        version: w.s("0.1.0"),
        kind: w.p("destino", "destination"),
        summary: w.s("Buckets of S3 and of services that speak its protocol"),
        state,
        sha256: if w.hostile.is_some() { w.s("") } else { digest(7) },
        signed_by: (state == plugins::State::Approved).then(|| w.p("assinado pelo cofre", "signed by cofre")),
        approved: (state == plugins::State::Approved).then(|| at("2026-01-02T10:00:00")),
        may,
        differences: if state == plugins::State::Changed {
            vec![w.p("pede também `*.example.net:443`", "also asks for `*.example.net:443`")]
        } else {
            Vec::new()
        },
        used_by: vec![w.s("nuvem")],
        problem: (state == plugins::State::Changed).then(|| w.s("plug-in is not the file that was approved")),
        another_signer: state == plugins::State::Changed,
    };
    let network = |granted| Capability::Network {
        target: w.s("minha-empresa-backup.s3.sa-east-1.amazonaws.com:443"),
        reason: w.s("the bucket's address"),
        granted,
    };
    let secret = |optional| Capability::Secret { name: w.s("secret_access_key"), summary: w.s("the key itself"), optional };
    let directory = |path: Option<&str>| Capability::Directory { path: path.map(|path| w.s(path)) };
    Plugins {
        plugins: vec![
            plugin("webdav", plugins::State::Changed, vec![network(false), secret(true)]),
            plugin("s3", plugins::State::Approved, vec![network(true), secret(false), Capability::Delete]),
            plugin("local", plugins::State::Approved, vec![directory(Some("/var/backups/cofre")), directory(None)]),
        ],
        directory: w.s("/usr/lib/cofre/plugins"),
        may_write: true,
    }
}

pub(super) fn reports(w: Words) -> Reports {
    let row = |month, tone, successes| reports::MonthRow {
        month: reports::Month { year: 2026, month },
        tone,
        successes,
        executions: 31,
        mean_plain: Some(2_254_857_830),
        mean_seconds: Some(2_520),
    };
    let _ = w;
    Reports { months: vec![row(3, Tone::Good, 31), row(2, Tone::Warn, 27), row(1, Tone::Good, 31)] }
}

pub(super) fn report(w: Words) -> Report {
    let good = |label: &str, value: &str| Fact { label: w.s(label), value: w.s(value), tone: Tone::Good };
    Report {
        month: reports::Month { year: 2026, month: 3 },
        tone: Tone::Good,
        sentence: w.p("31 de 31 execuções com sucesso", "31 of 31 runs succeeded"),
        summary: vec![
            fact(w, w.locale.pick("Execuções", "Executions"), "31/31 (100%)"),
            fact(w, w.locale.pick("Tamanho médio", "Mean size"), "2,10 GiB"),
            fact(w, w.locale.pick("Tempo médio", "Mean time"), "42 minutos"),
            fact(w, w.locale.pick("Economia de espaço", "Space saved"), "78% (compressão)"),
        ],
        destinations: vec![good("Google Drive", "31/31"), good("AWS S3", "31/31"), good("Backup Local", "31/31")],
        rehearsals: vec![good(w.locale.pick("Verificações", "Verifications"), "4/4")],
        failures: w.hostile.map(|_| alert(w)).into_iter().collect(),
        plots: vec![plot(w, w.locale.pick("Crescimento dos Dados", "Data growth")), plot(w, w.locale.pick("Uso de Banda", "Bandwidth"))],
        analysis: vec![w.p("O crescimento é de 1,2 GiB por mês.", "It grows by 1.2 GiB a month.")],
    }
}

pub(super) fn audit(w: Words, whole: bool, entries: usize) -> Audit {
    let entry = |number, time: &str, action: String, object: &str, tone, outcome: String| audit::Entry {
        number,
        at: at(time),
        by: w.s("maria (sudo: root)"),
        action,
        object: w.s(object),
        tone,
        outcome,
        detail: w.s("from 192.0.2.7"),
    };
    Audit {
        chain: if whole {
            audit::Chain::Whole {
                entries: 10_482,
                head: if w.hostile.is_some() { w.s("") } else { digest(11) },
                checked: at("2026-03-15T07:00:00"),
            }
        } else {
            audit::Chain::Broken { findings: vec![w.p("o registro 311 não é o que foi escrito", "entry 311 is not what was written")] }
        },
        actions: choices(w, w.locale.pick("todas", "all"), &["restore", "tenant-delivery"]),
        by: w.hostile.unwrap_or("").to_owned(),
        day: None,
        entries: vec![
            entry(
                10_482,
                "2026-03-15T07:30:02",
                w.p("backup", "backup"),
                "backup_2026_03_15_07_30_02",
                Tone::Busy,
                w.p("iniciado", "begun"),
            ),
            entry(10_481, "2026-03-14T16:11:30", w.p("entrega a cliente", "tenant delivery"), "empresa1", Tone::Good, w.p("feito", "done")),
            entry(10_480, "2026-03-14T15:00:12", w.p("restauração", "restore"), "empresa1_teste", Tone::Bad, w.p("falhou", "failed")),
        ]
        .into_iter()
        .cycle()
        .take(entries)
        .collect(),
        pager: pager(w),
        command: w.s("cofre audit list"),
    }
}

pub(super) fn checks(w: Words) -> Checks {
    let check = |name: &str, kind: String, tone, value: &str, detail: String| checks::Check {
        name: w.s(name),
        kind,
        tone,
        value: w.s(value),
        detail,
        last: Some(at("2026-03-15T07:41:40")),
        since: Some(at("2026-03-15T05:12:00")),
    };
    Checks {
        alerts: vec![alert(w)],
        checks: vec![
            check("apache", w.p("serviço", "service"), Tone::Bad, "failed", w.p("não está rodando", "does not run")),
            check("principal", w.p("banco de dados", "database"), Tone::Good, "12 ms", w.s("10.11.6-MariaDB")),
            check(
                "disco-raiz",
                w.p("espaço livre", "free space"),
                Tone::Warn,
                "21 %",
                w.p("21,0 GiB livres de 98,0 GiB", "21.0 GiB free of 98.0 GiB"),
            ),
        ],
    }
}

/// A frame for whoever is not logged in.
pub(super) fn outside(w: Words) -> Frame {
    Frame { user: None, host: String::new(), open: Vec::new(), problems: 0, ..framed(w, Section::Outside) }
}

pub(super) fn logins(w: Words) -> Vec<(&'static str, Login)> {
    let login = |fault, code_needed| Login { name: w.s("maria"), next: w.s("/sets"), fault, code_needed, provider: None };
    let provider = Some(w.s("Empresa"));
    vec![
        ("login", login(None, false)),
        ("login-refused", login(Some(LoginFault::Refused), true)),
        ("login-throttled", login(Some(LoginFault::Throttled { until: at("2026-03-15T07:50:00") }), false)),
        ("login-ended", login(Some(LoginFault::Ended), false)),
        (
            "login-provider",
            Login { provider: provider.clone(), ..login(Some(LoginFault::Stranger { name: w.s("rui@empresa.example") }), false) },
        ),
        ("login-provider-fails", Login { provider, ..login(Some(LoginFault::Provider { why: w.s("access denied") }), false) }),
    ]
}

pub(super) fn setups(w: Words) -> Vec<(&'static str, Setup)> {
    let fault = w.p("As senhas não são iguais.", "The passwords are not the same.");
    vec![("setup", Setup { secret: w.s("3kq8"), name: w.s("admin"), fault: Some(fault) }), ("setup-ended", Setup::default())]
}

fn qr() -> Html {
    let dots = (0..441_u32)
        .filter(|dot| (dot.wrapping_mul(2_654_435_761) >> 7).is_multiple_of(3))
        .map(|dot| format!("<rect x=\"{}\" y=\"{}\" width=\"1\" height=\"1\"/>", dot % 21, dot / 21))
        .collect::<Vec<_>>()
        .concat();
    Html::drawing(format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 21 21\" fill=\"#000\">{dots}</svg>"))
}

pub(super) fn accounts(w: Words) -> Vec<(&'static str, Account)> {
    let account = |totp, recovery: &[&str], fault: Option<&str>| Account {
        name: w.s("maria"),
        role: w.p("administradora", "administrator"),
        totp,
        recovery: recovery.iter().map(|code| w.s(code)).collect(),
        sessions: vec![
            Session {
                id: w.s("0011223344556677"),
                from: w.s("192.0.2.7"),
                since: at("2026-03-15T07:30:00"),
                seen: at("2026-03-15T08:00:00"),
                this: true,
            },
            Session {
                id: w.s("8899aabbccddeeff"),
                from: w.s("2001:db8::17"),
                since: at("2026-03-15T06:10:00"),
                seen: at("2026-03-15T07:40:00"),
                this: false,
            },
        ],
        fault: fault.map(|action| (action.to_owned(), w.p("A senha atual não confere.", "The current password is wrong."))),
    };
    let codes = ["7fk2-m9qx", "x3vd-p8ta", "h5rn-2wce", "b6yj-4gzs"];
    vec![
        ("account", account(Totp::Off, &[], Some("password"))),
        ("account-begun", account(Totp::Begun { qr: qr(), secret: w.s("JBSWY3DPEHPK3PXP") }, &[], Some("totp-confirm"))),
        ("account-on", account(Totp::On { recovery_left: 4 }, &codes, Some("totp-disable"))),
    ]
}

pub(super) fn users(w: Words) -> Users {
    let role = |value: &str, label: String, chosen| Choice { value: value.to_owned(), label, chosen };
    let user = |name: &str, role: &str, totp, last: Option<&str>, own| User {
        name: w.s(name),
        role: role.to_owned(),
        totp,
        created: at("2026-01-02T10:00:00"),
        last_login: last.map(at),
        own,
    };
    Users {
        users: vec![user("maria", "administrator", true, Some("2026-03-15T07:30:00"), true), user("joao", "operator", false, None, false)],
        roles: vec![
            role("viewer", w.p("leitura", "viewer"), true),
            role("operator", w.p("operação", "operator"), false),
            role("administrator", w.p("administração", "administrator"), false),
        ],
        fault: w.hostile.map(str::to_owned),
    }
}

pub(super) fn tokens(w: Words) -> Tokens {
    let token = |name: &str, tenants: Option<&[&str]>, expires: Option<&str>, revoked| Token {
        id: w.s("k3v9q2ma"),
        name: w.s(name),
        scopes: vec![w.s("status:read"), w.s("tenant:deliver")],
        tenants: tenants.map(|names| names.iter().map(|name| w.s(name)).collect()),
        created: at("2026-01-02T10:00:00"),
        created_by: w.s("maria"),
        expires: expires.map(at),
        last_used: Some(at("2026-03-15T07:12:00")),
        revoked,
    };
    let scope = |value: &str, label: String| Choice { value: w.s(value), label, chosen: value == "status:read" };
    Tokens {
        tokens: vec![
            token("erp", Some(&["empresa1", "empresa2"]), Some("2027-01-02T10:00:00"), false),
            token("prometheus", None, None, true),
            token("antigo", None, Some("2026-02-01T10:00:00"), false),
        ],
        scopes: vec![
            scope("status:read", w.p("ver o estado", "see the state")),
            scope("run:create", w.p("executar backups", "run backups")),
            scope("tenant:deliver", w.p("entregar a clientes", "deliver to tenants")),
            scope("restore:write", w.p("restaurar", "restore")),
        ],
        made: Some(w.s("cofre_k3v9q2ma_x7tq4n2m5w8y3z6b9c1d4f7g0h2j5k8l")),
        fault: w.hostile.map(str::to_owned),
    }
}

pub(super) fn errors(w: Words) -> Vec<(&'static str, ErrorView)> {
    let view = |fault| ErrorView {
        fault,
        detail: Some(w.p("Falta a permissão `config:write`.", "The scope `config:write` is missing.")),
        trace: Some(w.s("5f3a")),
    };
    vec![
        ("error-400", view(Fault::Request)),
        ("error-403", view(Fault::Forbidden)),
        ("error-404", view(Fault::NotFound)),
        ("error-405", view(Fault::Method)),
        ("error-409", view(Fault::Conflict)),
        ("error-413", view(Fault::TooLarge)),
        ("error-429", view(Fault::TooMany)),
        ("error-500", view(Fault::Internal)),
        ("error-503", view(Fault::Busy)),
    ]
}
