//! The sets: a calendar and a list, with filters.

use askama::Template;
use jiff::Timestamp;
use jiff::civil::{Date, Weekday};

use super::frame::{Frame, Section};
use super::part::{Choice, Pager, Tone};
use super::written;
use crate::text::Locale;

/// What the page of the sets shows. The filters are asked for by GET as `job`, `tenant`, `destination`, `state`, `day` (2026-03-15).
#[derive(Debug, Clone)]
pub struct Sets {
    /// Jobs to choose from.
    pub jobs: Vec<Choice>,
    /// Tenants to choose from.
    pub tenants: Vec<Choice>,
    /// Destinations to choose from.
    pub destinations: Vec<Choice>,
    /// States to choose from.
    pub states: Vec<Choice>,
    /// The chosen day.
    pub day: Option<Date>,
    /// Days with sets; which months they make is the page's affair. At most a year.
    pub days: Vec<Day>,
    /// The sets, newest first; about fifty.
    pub rows: Vec<Row>,
    /// Links to the others.
    pub pager: Pager,
}

/// One day of the calendar.
#[derive(Debug, Clone)]
pub struct Day {
    /// The day.
    pub date: Date,
    /// The worst of its sets.
    pub tone: Tone,
    /// Its sets.
    pub sets: u64,
}

/// One set.
#[derive(Debug, Clone)]
pub struct Row {
    /// Name.
    pub name: String,
    /// When it began.
    pub started: Timestamp,
    /// What it was told to take alone; empty where it has everything.
    pub only: String,
    /// How it is.
    pub tone: Tone,
    /// In a word: "completo", "com avisos", "incompleto".
    pub word: String,
    /// Bytes before compression.
    pub plain: u64,
    /// Bytes stored, of one copy.
    pub stored: u64,
    /// Artifacts.
    pub artifacts: u64,
    /// Its copies.
    pub copies: Vec<Copy>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Its tags.
    pub tags: Vec<String>,
}

/// One copy of a set.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Destination.
    pub destination: String,
    /// How it is.
    pub tone: Tone,
    /// In a word.
    pub word: String,
}

impl Copy {
    fn label(&self) -> String {
        format!("{}: {}", self.destination, self.word)
    }
}

#[derive(Template)]
#[template(path = "page/sets.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Sets,
    title: &'a str,
    months: Vec<Month>,
    kept: String,
    weekdays: [(String, &'static str); 7],
}

/// A month as a table has it.
struct Month {
    name: String,
    weeks: Vec<[Cell; 7]>,
}

#[derive(Clone, Default)]
struct Cell {
    /// 0: not of this month.
    day: i8,
    link: Option<Link>,
}

#[derive(Clone)]
struct Link {
    date: Date,
    class: &'static str,
    label: String,
}

impl Sets {
    fn is_chosen(&self, link: &Link) -> bool {
        self.day == Some(link.date)
    }
}

/// The page of the sets as HTML.
pub fn render(frame: &Frame, view: &Sets) -> String {
    let weekdays = match frame.locale {
        Locale::PtBr => ["domingo", "segunda-feira", "terça-feira", "quarta-feira", "quinta-feira", "sexta-feira", "sábado"],
        Locale::En => ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"],
    };
    let weekdays = weekdays.map(|name| (name.chars().take(1).flat_map(char::to_uppercase).collect(), name));
    let title = Section::Sets.title(frame.locale);
    written(&Page { frame, view, title, months: months(frame, &view.days), kept: kept(view), weekdays })
}

/// The other filters as a query, for the links of the calendar.
fn kept(view: &Sets) -> String {
    let chosen = |name: &str, choices: &[Choice]| {
        let value = choices.iter().find(|choice| choice.chosen && !choice.value.is_empty());
        value.map(|choice| format!("&{name}={}", super::part::encoded(&choice.value))).unwrap_or_default()
    };
    [("job", &view.jobs), ("tenant", &view.tenants), ("destination", &view.destinations), ("state", &view.states)]
        .into_iter()
        .map(|(name, choices)| chosen(name, choices))
        .collect()
}

/// The months from the first day to the last, newest first.
fn months(frame: &Frame, days: &[Day]) -> Vec<Month> {
    let (Some(first), Some(last)) = (days.iter().map(|day| day.date).min(), days.iter().map(|day| day.date).max()) else {
        return Vec::new();
    };
    let (mut months, mut start) = (Vec::new(), last.first_of_month());
    while start >= first.first_of_month() && months.len() < 13 {
        months.push(month(frame, start, days));
        match start.yesterday() {
            Ok(before) => start = before.first_of_month(),
            Err(_) => break,
        }
    }
    months
}

fn month(frame: &Frame, start: Date, days: &[Day]) -> Month {
    let mut cells = vec![Cell::default(); usize::from(start.weekday().since(Weekday::Sunday).unsigned_abs())];
    for number in 1..=start.days_in_month() {
        let found =
            days.iter().find(|day| day.date.year() == start.year() && day.date.month() == start.month() && day.date.day() == number);
        cells.push(Cell { day: number, link: found.map(|day| link(frame, day)) });
    }
    cells.resize(cells.len().next_multiple_of(7), Cell::default());
    let weeks = cells.chunks_exact(7).filter_map(|week| <[Cell; 7]>::try_from(week.to_vec()).ok()).collect();
    Month { name: format!("{} {}", month_name(start.month(), frame.locale), start.year()), weeks }
}

fn link(frame: &Frame, day: &Day) -> Link {
    let class = match day.tone {
        Tone::Good => "g",
        Tone::Warn => "w",
        Tone::Bad => "b",
        Tone::Plain | Tone::Busy => "p",
    };
    let sets = frame.count(day.sets, "conjunto|conjuntos", "set|sets");
    // What is seen, the number of the day, stands in what is heard.
    let (number, month, year) = (day.date.day(), month_name(day.date.month(), frame.locale), day.date.year());
    let date = match frame.locale {
        Locale::PtBr => format!("{number} de {month} de {year}"),
        Locale::En => format!("{number} {month} {year}"),
    };
    Link { date: day.date, class, label: format!("{date}: {sets}, {}", day.tone.word(frame.locale)) }
}

/// Name of a month, 1 to 12.
pub(super) fn month_name(number: i8, locale: Locale) -> &'static str {
    const NAMES: [(&str, &str); 12] = [
        ("janeiro", "January"),
        ("fevereiro", "February"),
        ("março", "March"),
        ("abril", "April"),
        ("maio", "May"),
        ("junho", "June"),
        ("julho", "July"),
        ("agosto", "August"),
        ("setembro", "September"),
        ("outubro", "October"),
        ("novembro", "November"),
        ("dezembro", "December"),
    ];
    let index = usize::from(number.unsigned_abs()).saturating_sub(1).min(NAMES.len() - 1);
    locale.pick(NAMES[index].0, NAMES[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::samples;

    #[test]
    fn a_month_has_each_of_its_days_once_and_in_its_column() {
        let frame = samples::frame(Locale::En);
        let day = |date| Day { date, tone: Tone::Good, sets: 1 };
        let months = months(&frame, &[day(jiff::civil::date(2026, 1, 31)), day(jiff::civil::date(2026, 3, 1))]);
        assert_eq!(months.iter().map(|month| month.name.as_str()).collect::<Vec<_>>(), ["March 2026", "February 2026", "January 2026"]);
        // 1 March 2026 is a Sunday, 1 January a Thursday.
        assert_eq!((months[0].weeks[0][0].day, months[2].weeks[0][4].day, months[2].weeks[0][3].day), (1, 1, 0));
        for (month, length) in months.iter().zip([31, 28, 31]) {
            let days: Vec<i8> = month.weeks.iter().flatten().map(|cell| cell.day).filter(|day| *day > 0).collect();
            assert_eq!(days, (1..=length).collect::<Vec<_>>());
        }
        assert_eq!(months.iter().flat_map(|month| month.weeks.iter().flatten()).filter(|cell| cell.link.is_some()).count(), 2);
    }
}
