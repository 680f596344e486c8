//! What holds for every page: escaping, size, and what browsers and readers of screens need.

use super::frame::{Frame, Section};
use super::samples::{self, Words};
use super::{overview, restore, run, set, sets};
use crate::text::Locale;

/// Every page with its name, as `w` words it.
fn pages(w: Words) -> Vec<(&'static str, String)> {
    let frame = |section| -> Frame { samples::framed(w, section) };
    let mut pages = vec![
        ("overview", overview::render(&frame(Section::Overview), &samples::overview(w))),
        ("sets", sets::render(&frame(Section::Sets), &samples::sets(w, 60, 12))),
        ("set", set::render(&frame(Section::Sets), &samples::set(w, 15))),
        ("runs", run::render_list(&frame(Section::Runs), &samples::runs(w))),
        ("run-live", run::render(&frame(Section::Runs), &samples::task(w, run::State::Running))),
        ("run-done", run::render(&frame(Section::Runs), &samples::task(w, run::State::Done))),
    ];
    pages.extend(samples::restores(w).into_iter().map(|(name, view)| (name, restore::render(&frame(Section::Restore), &view))));
    pages
}

#[test]
fn write_all() {
    let Ok(folder) = std::env::var("PAGES") else { return };
    for (locale, name) in [(Locale::PtBr, "pt"), (Locale::En, "en")] {
        for (page, html) in pages(Words { locale, hostile: None }) {
            std::fs::write(format!("{folder}/{page}.{name}.html"), html).expect("written");
        }
    }
}
