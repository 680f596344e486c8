//! What holds for every page: escaping, size, and what browsers and readers of screens need.

use proptest::prelude::*;

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
        ("tenants", tenants::render(&frame(Section::Tenants), &samples::tenants(w, 12, 2))),
        ("plugins", plugins::render(&frame(Section::Plugins), &samples::plugins(w))),
        ("reports", reports::render_list(&frame(Section::Reports), &samples::reports(w))),
        ("report", reports::render(&frame(Section::Reports), &samples::report(w))),
        ("audit", audit::render(&frame(Section::Audit), &samples::audit(w, true, 3))),
        ("audit-broken", audit::render(&frame(Section::Audit), &samples::audit(w, false, 3))),
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

/// What a browser makes of markup, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn shape(&self) -> (&str, Vec<&str>) {
        (&self.name, self.attributes.iter().map(|(key, _)| key.as_str()).collect())
    }
}

/// The tags of a page, those that end an element with `/` before their name.
fn tags(html: &str) -> Vec<Tag> {
    html.split('<').skip(1).map(tag).collect()
}

fn tag(text: &str) -> Tag {
    let name_end = text.find(|letter: char| letter.is_whitespace() || letter == '>').unwrap_or(text.len());
    let (name, mut rest) = text.split_at(name_end);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start();
        let end = rest.find(|letter: char| letter.is_whitespace() || matches!(letter, '=' | '>')).unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        let key = rest[..end].to_owned();
        rest = &rest[end..];
        let mut value = "";
        if let Some(quoted) = rest.strip_prefix("=\"") {
            (value, rest) = quoted.split_once('"').expect("a value that ends");
        } else {
            assert!(!rest.starts_with('='), "a value without quotes: {text}");
        }
        attributes.push((key, value.to_owned()));
    }
    Tag { name: name.trim_end_matches('/').to_owned(), attributes }
}

/// What is read of a page: one line for each piece of text.
fn text(html: &str) -> String {
    let body = &html[html.find("<main").expect("a main")..html.find("</main>").expect("its end")];
    let mut lines: Vec<String> = Vec::new();
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("&#34;", "\"").replace("&#39;", "'");
        let inline = ["b>", "/b>", "code", "/code", "time", "/time", "span", "/span", "svg", "/svg", "use", "a ", "/a>"];
        let goes_on = inline.iter().any(|name| piece.starts_with(name)) && !tag.contains("class=\"badge");
        match lines.last_mut().filter(|last| goes_on && !last.is_empty()) {
            Some(last) if !words.is_empty() => {
                last.push(' ');
                last.push_str(&words);
            }
            Some(_) => {}
            None => lines.push(words),
        }
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

fn harmless(locale: Locale) -> Vec<(&'static str, String)> {
    pages(Words { locale, hostile: None })
}

/// Pages whose words are kept as they were written.
const MAIN: [&str; 14] = [
    "overview",
    "sets",
    "set",
    "runs",
    "run-live",
    "run-done",
    "restore-where",
    "restore-plan",
    "tenants",
    "settings",
    "settings-databases",
    "settings-schedules",
    "plugins",
    "login-refused",
];

#[test]
fn the_main_pages_read_as_they_were_written() {
    for (locale, language) in [(Locale::PtBr, "pt-BR"), (Locale::En, "en")] {
        for (name, html) in harmless(locale).iter().filter(|(name, _)| MAIN.contains(name)) {
            insta::assert_snapshot!(format!("{name}.{language}"), text(html));
        }
    }
}

#[test]
fn every_page_is_in_both_languages() {
    for ((name, portuguese), (_, english)) in harmless(Locale::PtBr).iter().zip(&harmless(Locale::En)) {
        assert!(portuguese.contains("<html lang=\"pt-BR\"") && english.contains("<html lang=\"en\""), "{name}");
        assert_ne!(text(portuguese), text(english), "{name}");
    }
}

#[test]
fn every_page_keeps_to_the_policy_of_content() {
    for (name, html) in harmless(Locale::PtBr) {
        for tag in tags(&html) {
            let handler = tag.attributes.iter().find(|(key, _)| key.starts_with("on") || key == "style");
            assert_eq!(handler, None, "{name}: {}", tag.name);
            for address in ["href", "src", "action", "data-refresh", "data-events"].iter().filter_map(|key| tag.get(key)) {
                let is_local = address.starts_with(['/', '?', '#']) && !address.starts_with("//");
                assert!(is_local, "{name}: {address}");
            }
        }
        assert!(!html.contains("<style") && html.matches("<script").count() == 1, "{name}");
        assert!(html.contains(" defer></script>"), "{name}: the script has text");
    }
}

#[test]
fn every_form_that_changes_something_has_the_hidden_field() {
    for (name, html) in harmless(Locale::En) {
        let forms: Vec<&str> = html.split("<form").skip(1).map(|form| form.split("</form>").next().expect("its end")).collect();
        assert!(!forms.is_empty(), "{name}");
        for form in forms {
            let posts = form.split('>').next().expect("its tag").contains("method=\"post\"");
            assert_eq!(posts, form.contains("name=\"csrf\" value=\"f3a1c0de\""), "{name}: {form}");
        }
    }
}

#[test]
fn every_page_can_be_read_without_being_seen() {
    for (name, html) in harmless(Locale::PtBr) {
        let tags = tags(&html);
        let count = |wanted: &str| tags.iter().filter(|tag| tag.name == wanted).count();
        assert_eq!([count("h1"), count("main"), count("title"), count("header"), count("footer")], [1; 5], "{name}");
        assert!(html.contains("<a class=\"skip\" href=\"#main\">"), "{name}");
        let title = html.split("<title>").nth(1).and_then(|rest| rest.split(" · ").next()).expect("a title");
        assert!(!title.trim().is_empty(), "{name}");
        headings_in_order(name, &tags);
        references_hold(name, &tags);
        fields_are_labelled(name, &html);
    }
}

fn headings_in_order(name: &str, tags: &[Tag]) {
    let levels = tags.iter().filter_map(|tag| tag.name.strip_prefix('h')?.parse::<u8>().ok());
    let mut last = 0;
    for level in levels {
        assert!(level <= last + 1, "{name}: h{level} after h{last}");
        last = level;
    }
}

/// Identifiers are there once, and whatever refers to one finds it.
fn references_hold(name: &str, tags: &[Tag]) {
    let mut ids: Vec<&str> = tags.iter().filter_map(|tag| tag.get("id")).collect();
    ids.sort_unstable();
    for pair in ids.windows(2) {
        assert_ne!(pair[0], pair[1], "{name}");
    }
    for tag in tags {
        let wanted =
            ["for", "aria-labelledby", "aria-describedby", "list"].iter().filter_map(|key| tag.get(key)).flat_map(str::split_whitespace);
        for id in wanted {
            assert!(ids.contains(&id), "{name}: nothing has the id {id}");
        }
    }
}

fn fields_are_labelled(name: &str, html: &str) {
    for (at, piece) in html.match_indices('<') {
        let found = tag(&html[at + piece.len()..]);
        let is_field = matches!(found.name.as_str(), "input" | "select" | "textarea") && found.get("type") != Some("hidden");
        if !is_field {
            continue;
        }
        let before = &html[..at];
        let inside_label = before.rfind("<label").is_some_and(|open| before.rfind("</label>").is_none_or(|close| close < open));
        let named = found.get("aria-label").is_some() || found.get("id").is_some_and(|id| html.contains(&format!("for=\"{id}\"")));
        assert!(inside_label || named, "{name}: {found:?}");
    }
}

#[test]
fn no_page_is_large_with_a_year_of_sets_and_500_tenants() {
    for locale in [Locale::PtBr, Locale::En] {
        let w = Words { locale, hostile: None };
        let frame = samples::framed(w, Section::Sets);
        let large = [
            ("sets", sets::render(&frame, &samples::sets(w, 366, 500))),
            ("set", set::render(&frame, &samples::set(w, 100))),
            ("tenants", tenants::render(&frame, &samples::tenants(w, 500, 50))),
            ("audit", audit::render(&frame, &samples::audit(w, true, 100))),
        ];
        for (name, html) in large.into_iter().chain(pages(w)) {
            assert!(html.len() < 200_000, "{name} has {} bytes", html.len());
        }
    }
}

/// Compares the tags and the names of their attributes: so nothing that came in opened, closed or changed a tag.
fn gets_no_markup_through(hostile: &str) {
    let of = |text| pages(Words { locale: Locale::PtBr, hostile: Some(text) });
    for ((name, html), (_, plain)) in of(hostile).iter().zip(&of("x")) {
        let (found, expected) = (tags(html), tags(plain));
        let shapes = |tags: &[Tag]| tags.iter().map(|tag| format!("{:?}", tag.shape())).collect::<Vec<_>>();
        assert_eq!(shapes(&found), shapes(&expected), "{name} with {hostile:?}");
        for tag in &found {
            for address in ["href", "src", "action", "data-refresh", "data-events"].iter().filter_map(|key| tag.get(key)) {
                let is_local = address.starts_with(['/', '?', '#']) && !address.starts_with("//") && !address.starts_with("/\\");
                assert!(is_local, "{name} with {hostile:?}: {address}");
            }
        }
    }
}

#[test]
fn what_attackers_write_gets_no_markup_through() {
    let texts = [
        "<script>alert(1)</script>",
        "\" onx=\"1",
        "' onx='1",
        "</textarea><script>x</script>",
        "--><svg/onload=x>",
        "javascript:alert(1)",
        "//elsewhere.example/",
        "/\\elsewhere.example/",
        "&lt;b&gt; &amp; &#60;b>",
        "a\r\nSet-Cookie: b",
    ];
    texts.into_iter().for_each(gets_no_markup_through);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    // Backticks become code where a sentence has commands in it, so the tags may differ; what is between them is escaped all the same.
    #[test]
    fn no_text_gets_markup_through(text in "(?s)[^`]{1,40}|[<>&\"'a-z/=! -]{1,40}") {
        gets_no_markup_through(&text);
    }

    #[test]
    fn commands_in_sentences_are_escaped(text in "(?s).{0,40}|[<>&\"'`a-z ]{0,40}") {
        let html = samples::frame(Locale::En).ticked(&text).to_string();
        let rest = html.replace("<code>", "").replace("</code>", "");
        prop_assert!(!rest.contains(['<', '>', '"']));
    }
}
