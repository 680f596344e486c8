//! What surrounds every page: language, theme, who is logged in, navigation; and how times and sizes are written in it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Given;
use super::part::{Html, Tone, escaped};
use crate::text::{Locale, duration, format_size};

/// Colours of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// As the browser prefers.
    #[default]
    Auto,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// As it is kept and posted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Auto, Self::Light, Self::Dark].into_iter().find(|theme| theme.name() == name)
    }
}

/// Who is logged in.
#[derive(Debug, Clone)]
pub struct UserBadge {
    /// Name.
    pub name: String,
    /// Role in the page's language.
    pub role: String,
}

/// What came of the last thing that was asked for, above the page.
#[derive(Debug, Clone)]
pub struct Notice {
    /// How it went.
    pub tone: Tone,
    /// In a sentence.
    pub text: String,
}

impl Notice {
    /// What went wrong is read out at once, the rest when there is a pause.
    pub(super) fn role(&self) -> &'static str {
        if self.tone == Tone::Bad { "alert" } else { "status" }
    }
}

/// A place of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// `/`
    Overview,
    /// `/runs`
    Runs,
    /// `/sets`
    Sets,
    /// `/restore`
    Restore,
    /// `/tenants`
    Tenants,
    /// `/reports`
    Reports,
    /// `/checks`
    Checks,
    /// `/audit`
    Audit,
    /// `/settings`
    Settings,
    /// `/plugins`
    Plugins,
    /// `/users`
    Users,
    /// `/tokens`
    Tokens,
    /// `/account`
    Account,
    /// None of them: login, set-up, errors.
    Outside,
}

impl Section {
    /// All that the navigation shows, in its order.
    pub const ALL: [Self; 13] = [
        Self::Overview,
        Self::Runs,
        Self::Sets,
        Self::Restore,
        Self::Tenants,
        Self::Checks,
        Self::Reports,
        Self::Audit,
        Self::Settings,
        Self::Plugins,
        Self::Users,
        Self::Tokens,
        Self::Account,
    ];

    /// Its path.
    pub fn address(self) -> &'static str {
        match self {
            Self::Overview | Self::Outside => "/",
            Self::Runs => "/runs",
            Self::Sets => "/sets",
            Self::Restore => "/restore",
            Self::Tenants => "/tenants",
            Self::Reports => "/reports",
            Self::Checks => "/checks",
            Self::Audit => "/audit",
            Self::Settings => "/settings",
            Self::Plugins => "/plugins",
            Self::Users => "/users",
            Self::Tokens => "/tokens",
            Self::Account => "/account",
        }
    }

    /// Its name.
    pub fn title(self, locale: Locale) -> &'static str {
        let (portuguese, english) = match self {
            Self::Overview => ("Visão geral", "Overview"),
            Self::Runs => ("Execuções", "Runs"),
            Self::Sets => ("Conjuntos", "Sets"),
            Self::Restore => ("Restauração", "Restore"),
            Self::Tenants => ("Backup individual", "Tenant backup"),
            Self::Reports => ("Relatórios", "Reports"),
            Self::Checks => ("Disponibilidade", "Availability"),
            Self::Audit => ("Auditoria", "Audit"),
            Self::Settings => ("Configurações", "Settings"),
            Self::Plugins => ("Plug-ins", "Plug-ins"),
            Self::Users => ("Usuários", "Users"),
            Self::Tokens => ("Tokens de API", "API tokens"),
            Self::Account => ("Minha conta", "My account"),
            Self::Outside => ("cofre", "cofre"),
        };
        locale.pick(portuguese, english)
    }

    fn icon(self) -> &'static str {
        match self {
            Self::Overview | Self::Outside => "home",
            Self::Runs => "play",
            Self::Sets => "stack",
            Self::Restore => "restore",
            Self::Tenants => "mail",
            Self::Reports => "chart",
            Self::Checks => "pulse",
            Self::Audit => "list",
            Self::Settings => "gear",
            Self::Plugins => "plug",
            Self::Users => "users",
            Self::Tokens => "key",
            Self::Account => "user",
        }
    }

    /// Whether the navigation draws a line above it: what follows is for administrators.
    fn begins_group(self) -> bool {
        matches!(self, Self::Checks | Self::Settings | Self::Account)
    }
}

/// What surrounds a page.
///
/// The forms of language and theme post `locale` (`pt-BR`, `en`) or `theme` (`auto`, `light`, `dark`) to `/preferences`, and the button
/// that ends the session posts to `/logout`; both with `csrf`. What asks for itself again (`data-refresh`) sends the header `X-Refresh: 1`:
/// nobody is at the keyboard, so it does not keep a session from ending.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Language.
    pub locale: Locale,
    /// Colours.
    pub theme: Theme,
    /// Who is logged in; without one there is no navigation.
    pub user: Option<UserBadge>,
    /// What each form posts as `csrf`.
    pub csrf: String,
    /// The page's place in the navigation.
    pub active: Section,
    /// The nonce of the script's tag.
    pub nonce: String,
    /// Open alerts, told beside the navigation.
    pub problems: u32,
    /// The machine's name; empty where nobody is logged in.
    pub host: String,
    /// Where times are shown.
    pub zone: TimeZone,
    /// When the page is made.
    pub now: Timestamp,
    /// What the navigation offers: the sections that the user may see.
    pub open: Vec<Section>,
    /// What came of the last thing that was asked for.
    pub notice: Option<Notice>,
}

/// One line of the navigation.
pub(super) struct Entry {
    pub(super) address: &'static str,
    pub(super) title: &'static str,
    pub(super) icon: &'static str,
    pub(super) current: bool,
    pub(super) group: bool,
    pub(super) problems: u32,
}

impl Frame {
    /// One of two texts.
    pub(super) fn t<'a>(&self, portuguese: &'a str, english: &'a str) -> &'a str {
        self.locale.pick(portuguese, english)
    }

    /// The navigation: what the user may see of it.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let entry = |section: Section| Entry {
            address: section.address(),
            title: section.title(self.locale),
            icon: section.icon(),
            current: section == self.active,
            group: section.begins_group(),
            problems: if section == Section::Overview { self.problems } else { 0 },
        };
        Section::ALL.into_iter().filter(|section| self.open.contains(section)).map(entry).collect()
    }

    /// The colour schemes that the page is made for.
    pub(super) fn scheme(&self) -> &'static str {
        match self.theme {
            Theme::Auto => "light dark",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// The `lang` of the page.
    pub(super) fn lang(&self) -> &'static str {
        self.locale.pick("pt-BR", "en")
    }

    /// A number of things, each word in singular and plural: `conjunto|conjuntos`.
    pub(super) fn count(&self, number: impl Given<u64>, portuguese: &str, english: &str) -> String {
        let words = self.t(portuguese, english);
        let (one, many) = words.split_once('|').unwrap_or((words, words));
        format!("{} {}", self.number(number), if number.get() == 1 { one } else { many })
    }

    /// As [`Frame::count`], of the length of a list.
    pub(super) fn many(&self, number: usize, portuguese: &str, english: &str) -> String {
        self.count(u64::try_from(number).unwrap_or(u64::MAX), portuguese, english)
    }

    /// A whole number, in groups of three.
    pub(super) fn number(&self, number: impl Given<u64>) -> String {
        let digits = number.get().to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push_str(self.t(".", ","));
            }
            text.push(digit);
        }
        text
    }

    /// A size, in the language's own decimal mark.
    pub fn size(&self, bytes: impl Given<u64>) -> String {
        self.decimal(format_size(bytes.get()))
    }

    pub(super) fn decimal(&self, text: String) -> String {
        match self.locale {
            Locale::PtBr => text.replace('.', ","),
            Locale::En => text,
        }
    }

    /// A duration in words.
    pub fn duration(&self, seconds: impl Given<u64>) -> String {
        duration(seconds.get(), self.locale)
    }

    /// A duration in few letters: `47 min`, `2 h 05 min`.
    pub(super) fn short(&self, seconds: impl Given<u64>) -> String {
        let seconds = seconds.get();
        match seconds {
            0..60 => format!("{seconds} s"),
            60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
            3_600..172_800 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
            _ => self.count(seconds / 86_400, "dia|dias", "day|days"),
        }
    }

    /// A share as percent. What is not all is never told as 100 %, nor what is something as 0 %.
    pub fn percent(&self, share: impl Given<f64>) -> String {
        let share = share.get();
        let rounded = (share * 1_000.0).round() / 10.0;
        let told = match rounded {
            full if full >= 100.0 && share < 1.0 => 99.9,
            none if none <= 0.0 && share > 0.0 => 0.1,
            rounded => rounded,
        };
        self.decimal(format!("{told}")) + " %"
    }

    /// Day, hour and minute.
    pub(super) fn at(&self, at: impl Given<Timestamp>) -> Html {
        self.time(at.get(), self.t("%d/%m/%Y %H:%M", "%Y-%m-%d %H:%M"))
    }

    /// Also the second.
    pub(super) fn exactly(&self, at: impl Given<Timestamp>) -> Html {
        self.time(at.get(), self.t("%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S"))
    }

    /// Hour, minute, second.
    pub(super) fn clock(&self, at: impl Given<Timestamp>) -> Html {
        self.time(at.get(), "%H:%M:%S")
    }

    /// How long ago, or how far ahead, with the moment itself in its title.
    pub(super) fn ago(&self, at: impl Given<Timestamp>) -> Html {
        let at = at.get();
        let seconds = self.now.as_second() - at.as_second();
        let near = self.near(seconds.unsigned_abs());
        let text = match (seconds, self.locale) {
            (-29..=29, Locale::PtBr) => "agora".to_owned(),
            (-29..=29, Locale::En) => "now".to_owned(),
            (0.., Locale::PtBr) => format!("há {near}"),
            (0.., Locale::En) => format!("{near} ago"),
            (_, Locale::PtBr) => format!("em {near}"),
            (_, Locale::En) => format!("in {near}"),
        };
        let local = at.to_zoned_datetime(self.zone.clone());
        let title = local.strftime(self.t("%d/%m/%Y %H:%M:%S %Z", "%Y-%m-%d %H:%M:%S %Z"));
        Html(format!("<time datetime=\"{at:.0}\" title=\"{}\">{text}</time>", escaped(&title.to_string())))
    }

    /// How old something is: `5 horas`.
    pub(super) fn age(&self, at: impl Given<Timestamp>) -> String {
        self.near((self.now.as_second() - at.get().as_second()).unsigned_abs())
    }

    /// A day.
    pub(super) fn date(&self, date: impl Given<Date>) -> String {
        date.get().strftime(self.t("%d/%m/%Y", "%Y-%m-%d")).to_string()
    }

    /// Name of the zone that times are in.
    pub(super) fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// An address of this site; anything else leads nowhere.
    #[expect(clippy::unused_self, reason = "templates call it as they call the others")]
    pub(super) fn local<'a>(&self, address: &'a str) -> &'a str {
        let is_local = (address.starts_with('/') && !address.starts_with("//") && !address.starts_with("/\\")) || address.starts_with('?');
        if is_local { address } else { "#" }
    }

    fn near(&self, seconds: u64) -> String {
        match seconds {
            0..5_400 => self.count((seconds / 60).max(1), "minuto|minutos", "minute|minutes"),
            5_400..172_800 => self.count((seconds + 1_800) / 3_600, "hora|horas", "hour|hours"),
            _ => self.count(seconds / 86_400, "dia|dias", "day|days"),
        }
    }

    fn time(&self, at: Timestamp, format: &str) -> Html {
        let local = at.to_zoned_datetime(self.zone.clone());
        Html(format!("<time datetime=\"{at:.0}\">{}</time>", local.strftime(format)))
    }
}
