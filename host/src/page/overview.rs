//! The overview: one state with the sentence that explains it, and what an administrator asks next.

use askama::Template;
use jiff::Timestamp;
use jiff::civil::Date;

use super::Given;
use super::frame::{Frame, Section};
use super::part::{Alert, Html, Plot, Tone};
use super::written;
use crate::text::Locale;

/// Share of free space below which a destination's bar is a warning.
const LITTLE: f64 = 0.1;

/// What the overview shows.
///
/// With `may_run` it has a form that posts only `csrf` to `/runs`: a run of everything.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Why the state is what it is; the state follows from these. Empty: all is well.
    pub reasons: Vec<Reason>,
    /// What is at work.
    pub running: Option<Running>,
    /// The run that ended last.
    pub last: Option<Last>,
    /// What begins next.
    pub next: Option<Next>,
    /// Bytes stored at all destinations together.
    pub stored: u64,
    /// Sets, each counted once.
    pub sets: u64,
    /// Share that compression saves, 0 to 1.
    pub saving: Option<f64>,
    /// Runs of the last thirty days that were whole.
    pub successes: u64,
    /// Runs of the last thirty days.
    pub executions: u64,
    /// A strip of days, oldest first; about sixty.
    pub days: Vec<Day>,
    /// What is wrong now.
    pub alerts: Vec<Alert>,
    /// Where the sets go.
    pub destinations: Vec<Place>,
    /// Growth and duration.
    pub plots: Vec<Plot>,
    /// Whether the user may begin a run.
    pub may_run: bool,
}

/// Green, yellow, red.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Light {
    /// The backups are good.
    Green,
    /// Somebody should look.
    Yellow,
    /// If something is lost now, it may be lost for good.
    Red,
}

/// Why the state is not green, or what makes it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The newest backup is whole at so many destinations.
    Whole {
        /// Destinations.
        destinations: u32,
        /// When it ended.
        finished: Timestamp,
    },
    /// There is no backup yet.
    Never,
    /// "Habilitar Backup" is off: nothing runs by itself.
    Disabled,
    /// The newest good backup is older than it may be.
    Late {
        /// When it ended; none where there is none.
        newest: Option<Timestamp>,
    },
    /// The last run failed.
    Failed {
        /// When.
        at: Timestamp,
    },
    /// The last run lacks something.
    Incomplete {
        /// What could not be read.
        missing: Vec<String>,
    },
    /// The newest set is not at these destinations.
    NotAt {
        /// Their names.
        destinations: Vec<String>,
    },
    /// A verification found a damaged copy.
    Damaged {
        /// The destination.
        destination: String,
        /// Whether another copy of the set is good.
        other_copy: bool,
    },
    /// A destination is nearly full.
    LittleSpace {
        /// The destination.
        destination: String,
        /// Days until it is full, by its growth.
        days: Option<u32>,
    },
    /// Only one destination: a fire takes the data and its only copy.
    OneDestination,
    /// No restore was rehearsed within this many days.
    NoDrill {
        /// Days.
        days: u32,
    },
    /// Checks of availability that fail.
    Checks {
        /// How many.
        failing: u32,
    },
    /// The audit log's chain is broken.
    AuditBroken,
    /// Something else, in the page's language.
    Other {
        /// How grave.
        light: Light,
        /// A sentence.
        sentence: String,
    },
}

/// What is at work.
#[derive(Debug, Clone)]
pub struct Running {
    /// The task.
    pub task: String,
    /// What it is.
    pub title: String,
    /// Since when.
    pub started: Timestamp,
    /// How much is done, 0 to 1, where that is known.
    pub share: Option<f64>,
}

/// The run that ended last.
#[derive(Debug, Clone)]
pub struct Last {
    /// Begin.
    pub started: Timestamp,
    /// End.
    pub finished: Timestamp,
    /// How long it took.
    pub seconds: u64,
    /// How it ended.
    pub tone: Tone,
    /// In a word: "completo", "com avisos", "falhou".
    pub word: String,
}

/// What begins next.
#[derive(Debug, Clone)]
pub struct Next {
    /// When.
    pub at: Timestamp,
    /// The job.
    pub job: String,
    /// Its schedule in words.
    pub schedule: String,
}

/// One day of the strip.
#[derive(Debug, Clone)]
pub struct Day {
    /// The day.
    pub date: Date,
    /// How its backups are.
    pub tone: Tone,
    /// In words: "1 completo", "falhou".
    pub word: String,
}

/// One destination.
#[derive(Debug, Clone)]
pub struct Place {
    /// Name.
    pub name: String,
    /// Plug-in.
    pub plugin: String,
    /// How it is.
    pub tone: Tone,
    /// In a word: "em dia", "atrasado".
    pub word: String,
    /// End of the newest set there.
    pub newest: Option<Timestamp>,
    /// Sets there.
    pub sets: u64,
    /// Bytes there.
    pub stored: u64,
    /// Bytes free, where the service says.
    pub free: Option<u64>,
    /// Bytes in all, where the service says.
    pub total: Option<u64>,
    /// Days until it is full, by its growth.
    pub days_until_full: Option<u32>,
}

#[derive(Template)]
#[template(path = "page/overview.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Overview,
    title: &'a str,
    light: Light,
    sentences: Vec<String>,
    rate: f64,
}

/// The overview as HTML.
pub fn render(frame: &Frame, view: &Overview) -> String {
    let light = light(&view.reasons);
    let rate = if view.executions == 0 { 0.0 } else { view.successes as f64 / view.executions as f64 };
    let sentences = sentences(frame, &view.reasons);
    written(&Page { frame, view, title: Section::Overview.title(frame.locale), light, sentences, rate })
}

/// The state that follows from reasons: the gravest counts.
pub fn light(reasons: &[Reason]) -> Light {
    reasons.iter().map(Reason::light).max().unwrap_or(Light::Green)
}

/// Gravest first; never none.
fn sentences(frame: &Frame, reasons: &[Reason]) -> Vec<String> {
    let mut sorted: Vec<&Reason> = reasons.iter().collect();
    sorted.sort_by_key(|reason| std::cmp::Reverse(reason.light()));
    let mut sentences: Vec<String> = sorted.into_iter().map(|reason| reason.sentence(frame)).collect();
    if sentences.is_empty() {
        sentences.push(frame.t("Os backups estão em dia.", "The backups are up to date.").to_owned());
    }
    sentences
}

impl Light {
    fn class(self) -> &'static str {
        self.tone().class()
    }

    fn tone(self) -> Tone {
        match self {
            Self::Green => Tone::Good,
            Self::Yellow => Tone::Warn,
            Self::Red => Tone::Bad,
        }
    }

    fn big_icon(self, frame: &Frame) -> Html {
        frame.icon(match self {
            Self::Green => "check",
            Self::Yellow => "alert",
            Self::Red => "cross",
        })
    }

    fn word(self, locale: impl Given<Locale>) -> &'static str {
        let (portuguese, english) = match self {
            Self::Green => ("Verde: backups em ordem", "Green: the backups are good"),
            Self::Yellow => ("Amarelo: requer atenção", "Yellow: needs attention"),
            Self::Red => ("Vermelho: dados em risco", "Red: data is at risk"),
        };
        locale.get().pick(portuguese, english)
    }
}

impl Reason {
    fn light(&self) -> Light {
        match self {
            Self::Whole { .. } => Light::Green,
            Self::Never | Self::Late { .. } | Self::Failed { .. } | Self::Damaged { other_copy: false, .. } => Light::Red,
            Self::Disabled
            | Self::Incomplete { .. }
            | Self::NotAt { .. }
            | Self::Damaged { other_copy: true, .. }
            | Self::LittleSpace { .. }
            | Self::OneDestination
            | Self::NoDrill { .. }
            | Self::Checks { .. }
            | Self::AuditBroken => Light::Yellow,
            Self::Other { light, .. } => *light,
        }
    }

    fn sentence(&self, frame: &Frame) -> String {
        let own = |portuguese: &str, english: &str| frame.t(portuguese, english).to_owned();
        let pt = frame.locale == Locale::PtBr;
        match self {
            Self::Whole { destinations, finished } => {
                let places = frame.count(u64::from(*destinations), "destino|destinos", "destination|destinations");
                let age = frame.age(finished);
                if pt {
                    format!("O backup mais novo está completo em {places} e tem {age}.")
                } else {
                    format!("The newest backup is whole at {places}, and is {age} old.")
                }
            }
            Self::Never => own("Ainda não existe nenhum backup.", "There is no backup yet."),
            Self::Disabled => own(
                "O backup automático está desabilitado: nada é executado no horário.",
                "Automatic backup is disabled: nothing runs by itself.",
            ),
            Self::Late { newest: Some(newest) } => {
                let age = frame.age(newest);
                if pt {
                    format!("O backup bom mais novo tem {age}: mais do que deveria.")
                } else {
                    format!("The newest good backup is {age} old: more than it should be.")
                }
            }
            Self::Late { newest: None } => own("Não há nenhum backup bom.", "There is no good backup."),
            Self::Failed { at } => {
                let age = frame.age(at);
                if pt { format!("A última execução falhou, há {age}.") } else { format!("The last run failed, {age} ago.") }
            }
            Self::Incomplete { missing } => {
                let names = listed(frame, missing);
                if pt {
                    format!("O último backup está incompleto. Faltando: {names}.")
                } else {
                    format!("The last backup is not whole. Missing: {names}.")
                }
            }
            Self::NotAt { destinations } => {
                let names = listed(frame, destinations);
                if pt {
                    format!("O backup mais novo ainda não está em: {names}.")
                } else {
                    format!("The newest backup is not yet at: {names}.")
                }
            }
            other => other.of_the_house(frame),
        }
    }

    /// What is wrong beside the newest backup.
    fn of_the_house(&self, frame: &Frame) -> String {
        let own = |portuguese: &str, english: &str| frame.t(portuguese, english).to_owned();
        let pt = frame.locale == Locale::PtBr;
        match self {
            Self::Damaged { destination, other_copy } => {
                let rest = if *other_copy {
                    own("Há outra cópia boa.", "Another copy is good.")
                } else {
                    own("Não há outra cópia boa.", "No other copy is good.")
                };
                if pt {
                    format!("Uma cópia em {destination} está danificada. {rest}")
                } else {
                    format!("A copy at {destination} is damaged. {rest}")
                }
            }
            Self::LittleSpace { destination, days: Some(days) } => {
                if pt {
                    format!("O destino {destination} ficará cheio em cerca de {days} dias.")
                } else {
                    format!("The destination {destination} will be full in about {days} days.")
                }
            }
            Self::LittleSpace { destination, days: None } => {
                if pt {
                    format!("O destino {destination} tem pouco espaço livre.")
                } else {
                    format!("The destination {destination} has little space left.")
                }
            }
            Self::OneDestination => own(
                "Há um só destino: configure pelo menos dois locais diferentes.",
                "There is only one destination: set up at least two different places.",
            ),
            Self::NoDrill { days } => {
                if pt {
                    format!("Nenhuma restauração foi testada nos últimos {days} dias.")
                } else {
                    format!("No restore was rehearsed in the last {days} days.")
                }
            }
            Self::Checks { failing: 1 } => own("Uma verificação de disponibilidade falha.", "One availability check fails."),
            Self::Checks { failing } => {
                if pt {
                    format!("{failing} verificações de disponibilidade falham.")
                } else {
                    format!("{failing} availability checks fail.")
                }
            }
            Self::AuditBroken => {
                own("O registro de auditoria foi alterado: a cadeia não confere.", "The audit log was altered: its chain does not hold.")
            }
            Self::Other { sentence, .. } => sentence.clone(),
            _ => String::new(),
        }
    }
}

/// At most five names.
fn listed(frame: &Frame, names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(5) {
        0 => shown,
        more => format!("{shown} {} {more}", frame.t("e mais", "and more:")),
    }
}

impl Place {
    /// Free of all, with a bar.
    fn room(&self, frame: &Frame) -> Html {
        let Some(free) = self.free else {
            return Html(frame.t("o serviço não informa", "the service does not say").to_owned());
        };
        let soon = self.days_until_full.map(|days| match frame.locale {
            Locale::PtBr => format!(", cheio em cerca de {days} dias"),
            Locale::En => format!(", full in about {days} days"),
        });
        let Some(total) = self.total.filter(|total| *total > 0) else {
            return Html(format!("{}{}", frame.size(free), soon.unwrap_or_default()));
        };
        let share = free as f64 / total as f64;
        let tone = if share < LITTLE { Tone::Warn } else { Tone::Good };
        let text = match frame.locale {
            Locale::PtBr => format!("{} livres de {}", frame.size(free), frame.size(total)),
            Locale::En => format!("{} free of {}", frame.size(free), frame.size(total)),
        };
        Html(format!("{text}{}{}", soon.unwrap_or_default(), frame.meter(1.0 - share, &text, tone)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::samples;

    #[test]
    fn the_gravest_reason_decides_and_is_told_first() {
        let frame = samples::frame(Locale::En);
        let reasons = [Reason::OneDestination, Reason::Never, Reason::Checks { failing: 2 }];
        assert_eq!((light(&reasons), light(&reasons[..1]), light(&[])), (Light::Red, Light::Yellow, Light::Green));
        assert_eq!(sentences(&frame, &reasons)[0], "There is no backup yet.");
        assert_eq!(sentences(&frame, &[]).len(), 1);
    }

    #[test]
    fn every_reason_has_a_sentence_in_both_languages() {
        let text = |locale| {
            let frame = samples::frame(locale);
            samples::reasons()
                .iter()
                .map(|reason| format!("{:?}: {}", reason.light(), reason.sentence(&frame)))
                .collect::<Vec<_>>()
                .join("\n")
        };
        insta::assert_snapshot!(format!("{}\n\n{}", text(Locale::PtBr), text(Locale::En)));
    }
}
