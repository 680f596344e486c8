//! What holds for every page: escaping, size, and what browsers and readers of screens need.

use super::frame::{Frame, Section};
use super::samples::{self, Words};
use super::{account, audit, checks, error, login, overview, people, plugins, reports, restore, run, set, sets, settings, tenants};
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
    let settings = [
        ("settings", settings::render(&frame(Section::Settings), &samples::settings_overview(w))),
        ("settings-databases", settings::render_editor(&frame(Section::Settings), &samples::databases(w))),
        ("settings-directories", settings::render_editor(&frame(Section::Settings), &samples::directories(w))),
        ("settings-destinations", settings::render_editor(&frame(Section::Settings), &samples::destinations(w))),
        ("settings-schedules", settings::render_schedules(&frame(Section::Settings), &samples::schedules(w))),
        ("settings-retention", settings::render_retention(&frame(Section::Settings), &samples::retention(w))),
        ("settings-difference", settings::render_difference(&frame(Section::Settings), &samples::difference(w))),
    ];
    pages.extend(settings);
    let others = [
        ("tenants", tenants::render(&frame(Section::Tenants), &samples::tenants(w, 12))),
        ("plugins", plugins::render(&frame(Section::Plugins), &samples::plugins(w))),
        ("reports", reports::render_list(&frame(Section::Reports), &samples::reports(w))),
        ("report", reports::render(&frame(Section::Reports), &samples::report(w))),
        ("audit", audit::render(&frame(Section::Audit), &samples::audit(w, true))),
        ("audit-broken", audit::render(&frame(Section::Audit), &samples::audit(w, false))),
        ("checks", checks::render(&frame(Section::Checks), &samples::checks(w))),
    ];
    pages.extend(others);
    let outside = samples::outside(w);
    pages.extend(samples::logins(w).into_iter().map(|(name, view)| (name, login::render(&outside, &view))));
    pages.extend(samples::setups(w).into_iter().map(|(name, view)| (name, login::render_setup(&outside, &view))));
    pages.extend(samples::accounts(w).into_iter().map(|(name, view)| (name, account::render(&frame(Section::Account), &view))));
    pages.push(("users", people::render_users(&frame(Section::Users), &samples::users(w))));
    pages.push(("tokens", people::render_tokens(&frame(Section::Tokens), &samples::tokens(w))));
    pages.extend(samples::errors(w).into_iter().map(|(name, view)| (name, error::render(&frame(Section::Outside), &view))));
    pages.push(("error-outside", error::render(&outside, &samples::errors(w)[2].1)));
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
