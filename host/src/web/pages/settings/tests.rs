//! A change is shown, then saved; what does not hold, is old, or comes from somebody who may not, changes nothing.

use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::super::super::state::State;
use crate::access::{Access, Login, LoginOutcome, NewToken, NewUser, Role, Scope};
use crate::config::Config;
use crate::job::{Context, actor, last_kept};

const SECRET: &str = "nobody-may-see-this";
const PASSWORD: &str = "uma senha comprida";

/// A configuration with comments, its page, and somebody who is in.
struct Place {
    router: Router,
    state: State,
    feed: Option<watch::Sender<Context>>,
    directory: tempfile::TempDir,
    cookie: String,
    csrf: String,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Place {
    fn new(role: Role) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["data", "plugins"] {
            std::fs::create_dir(path(name)).expect("made");
        }
        std::fs::write(path("password"), SECRET).expect("written");
        let text = format!(
            "# The ERP's backups.\nlocale = \"en\" # of the reports\n[storage]\nstate_dir = \"{0}/state\"\n[passphrase]\nfile = \"{0}/password\"\n\
             [plugins]\ndirectory = \"{0}/plugins\"\n[[mysql]] # the ERP\nname = \"main\"\nuser = \"u\" # may read only\n\
             password = {{ file = \"{0}/password\" }}\n[[directory]]\npath = \"{0}/data\"\n[[destination]]\nname = \"disk\"\nplugin = \"local\"\n\
             [destination.secrets]\nkey = {{ file = \"{0}/password\" }}\n",
            directory.path().display()
        );
        std::fs::write(path("cofre.toml"), text).expect("written");
        let stop = CancellationToken::new();
        let config = Config::load(&path("cofre.toml")).expect("holds");
        let context = Context::open(config, actor(true), stop.clone()).expect("opens");
        let access = Access::open(&path("state")).expect("opens");
        access.add_user(NewUser { name: "eva", role, password: PASSWORD }, "test").expect("added");
        let login = Login { name: "eva", password: PASSWORD, code: None, from: std::net::Ipv4Addr::LOCALHOST.into() };
        let LoginOutcome::Session(secret) = access.login(&login, Timestamp::now()).expect("looked at") else { panic!("not let in") };
        let cookie = secret.expose().to_owned();
        let csrf = access.by_session(&cookie, Timestamp::now()).expect("read").expect("in").csrf.as_str().to_owned();
        let feed = watch::Sender::new(context);
        let state = State::new(feed.subscribe(), access, crate::config::WebSettings::default(), stop).expect("begins");
        let router = crate::web::router(&state, crate::web::pages::router());
        Self { router, state, feed: Some(feed), directory, cookie: format!("cofre_session={cookie}"), csrf }
    }

    /// The same without anybody who reads the configuration again.
    fn unfed(role: Role) -> Self {
        Self { feed: None, ..Self::new(role) }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("cofre.toml")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).expect("read")
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.expect("a body");
        Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        Request::builder().method(method).uri(path).header(header::HOST, "localhost").header(header::COOKIE, &self.cookie)
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(self.request(Method::GET, path).header(header::ACCEPT_LANGUAGE, "en").body(Body::empty()).expect("a request")).await
    }

    async fn send(&self, path: &str, csrf: &str, fields: &[(&str, &str)]) -> Answer {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("csrf", csrf).extend_pairs(fields);
        let request = self.request(Method::POST, path).header(header::ACCEPT_LANGUAGE, "en");
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.ask(request.body(Body::from(body.finish())).expect("a request")).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(path, &self.csrf, fields).await
    }

    /// Sends what a difference carries.
    async fn write(&self, path: &str, shown: &Answer) -> Answer {
        let (changes, revision) = (shown.carried("changes"), shown.carried("revision"));
        self.post(path, &[("action", "write"), ("changes", &changes), ("revision", &revision)]).await
    }

    async fn api(&self, body: &Value) -> (StatusCode, Value) {
        let scopes = [Scope::ConfigWrite].into();
        let new = NewToken { name: "test".to_owned(), scopes, tenants: None, expires: None };
        let token = self.state.access().create_token(new, "test").expect("made").1.as_str().to_owned();
        let request = Request::builder().method(Method::PATCH).uri("/api/v1/config").header(header::HOST, "localhost");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}")).header(header::CONTENT_TYPE, "application/json");
        let answer = self.ask(request.body(Body::from(body.to_string())).expect("a request")).await;
        (answer.status, serde_json::from_str(&answer.text).expect("JSON"))
    }
}

impl Answer {
    /// What a hidden field carries.
    fn carried(&self, name: &str) -> String {
        let begin = format!("name=\"{name}\" value=\"");
        let rest = self.text.split_once(&begin).unwrap_or_else(|| panic!("no {name}: {}", self.text)).1;
        let value = rest.split('"').next().unwrap_or_default();
        [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
            .iter()
            .fold(value.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

const SERVER: [(&str, &str); 7] = [
    ("action", "save"),
    ("name", "main"),
    ("name", "main"),
    ("user", "u"),
    ("host", "db.example.com"),
    ("exclude_schemas", "information_schema\nperformance_schema\nsys\nmysql\nphpmyadmin"),
    ("password.kind", "file"),
];

/// The form of a job, as a browser sends it: the button comes last.
fn job<'a>((now, name): (&'a str, &'a str), action: &'a str, schedule: &'a str) -> [(&'a str, &'a str); 7] {
    [("name", now), ("name", name), ("action", action), ("schedule", schedule), ("catch_up", "on"), ("enabled", "on"), ("action", "save")]
}

impl Place {
    fn server<'a>(&self, password: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        SERVER.into_iter().chain([("password.place", password)]).chain(more.iter().copied()).collect()
    }

    fn password(&self) -> String {
        self.directory.path().join("password").display().to_string()
    }
}

#[tokio::test]
async fn a_change_is_shown_then_saved_and_the_file_before_lies_beside_it() {
    let place = Place::unfed(Role::Administrator);
    let before = place.text();
    let form = place.get("/settings/databases?name=main").await;
    assert!(form.status == StatusCode::OK && form.text.contains("value=\"u\""), "{}", form.text);
    let password = place.password();
    let shown = place.post("/settings/databases", &place.server(&password, &[])).await;
    assert!(shown.status == StatusCode::OK && shown.text.contains("+ host = &#34;db.example.com&#34;"), "{}", shown.text);
    assert_eq!(place.text(), before, "nothing is written before it was looked at");
    let saved = place.write("/settings/databases", &shown).await;
    assert_eq!(
        (saved.status, saved.headers[header::LOCATION].to_str().ok()),
        (StatusCode::SEE_OTHER, Some("/settings/databases")),
        "{}",
        saved.text
    );
    let after = place.text();
    assert_eq!(after.replace("host = \"db.example.com\"\n", ""), before, "{after}");
    let kept = last_kept(&place.file()).expect("kept");
    assert_eq!(std::fs::read_to_string(kept).expect("read"), before);
}

#[tokio::test]
async fn what_does_not_hold_is_named_at_its_field_and_nothing_is_saved() {
    let place = Place::new(Role::Administrator);
    let (before, password) = (place.text(), place.password());
    let port = place.post("/settings/databases", &place.server(&password, &[("port", "many")])).await;
    assert!(port.status == StatusCode::UNPROCESSABLE_ENTITY && port.text.contains("is not a whole number"), "{}", port.text);
    let wrong = place.post("/settings/schedules", &job(("backup", "backup"), "run", "61 * * * *")).await;
    assert!(wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.text.contains("id=\"schedule-fault\""), "{}", wrong.text);
    let sent = r#"[{"change":"entry","list":"mysql","id":"main","values":{"password":{"command":["id"]}}}]"#;
    let revision = crate::config::revision(&before);
    let forced = place.post("/settings/databases", &[("action", "write"), ("changes", sent), ("revision", &revision)]).await;
    assert!(forced.status == StatusCode::UNPROCESSABLE_ENTITY && forced.text.contains("mysql.password.command"), "{}", forced.text);
    assert_eq!(place.text(), before);
    assert_eq!(last_kept(&place.file()), None);
}

#[tokio::test]
async fn a_file_that_somebody_else_changed_meanwhile_is_not_saved_over() {
    let place = Place::new(Role::Administrator);
    let password = place.password();
    let shown = place.post("/settings/databases", &place.server(&password, &[])).await;
    let other = format!("# Somebody else.\n{}", place.text());
    std::fs::write(place.file(), &other).expect("written");
    let stale = place.write("/settings/databases", &shown).await;
    assert!(stale.status == StatusCode::CONFLICT && stale.text.contains("changed meanwhile"), "{}", stale.text);
    assert_eq!(place.text(), other);
}

#[tokio::test]
async fn only_who_may_change_the_configuration_does_and_only_from_its_own_page() {
    let viewer = Place::new(Role::Viewer);
    for path in ["/settings", "/settings/databases", "/plugins"] {
        assert_eq!(viewer.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(viewer.post(path, &[("action", "write"), ("changes", "[]")]).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let place = Place::new(Role::Administrator);
    let (before, password) = (place.text(), place.password());
    let shown = place.post("/settings/databases", &place.server(&password, &[])).await;
    let (changes, revision) = (shown.carried("changes"), shown.carried("revision"));
    for csrf in ["", "wrong"] {
        let fields = [("action", "write"), ("changes", changes.as_str()), ("revision", revision.as_str())];
        assert_eq!(place.send("/settings/databases", csrf, &fields).await.status, StatusCode::FORBIDDEN);
        assert_eq!(place.send("/plugins", csrf, &[("action", "remove"), ("name", "local")]).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(place.text(), before);
}

#[tokio::test]
async fn of_a_secret_only_its_place_is_shown() {
    let place = Place::new(Role::Administrator);
    let password = place.password();
    let form = place.get("/settings/databases?name=main").await.text;
    assert!(form.contains(&password), "{form}");
    let difference = place.post("/settings/databases", &place.server("/elsewhere", &[])).await.text;
    assert!(difference.contains("/elsewhere") && difference.contains("+ password"), "{difference}");
    let destination = place.get("/settings/destinations?name=disk").await.text;
    let mut pages = vec![form, difference, destination];
    for path in ["/settings", "/settings/directories", "/settings/notifiers", "/settings/schedules", "/settings/retention", "/plugins"] {
        let page = place.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        pages.push(page.text);
    }
    assert!(pages.iter().all(|page| !page.contains(SECRET)));
}

#[tokio::test]
async fn backups_are_switched_off_and_on_again() {
    let place = Place::unfed(Role::Administrator);
    let before = place.text();
    let shown = place.post("/settings", &[("action", "enable")]).await;
    assert_eq!(shown.text.matches("+ enabled = false").count(), 4, "{}", shown.text);
    assert_eq!(place.write("/settings", &shown).await.status, StatusCode::SEE_OTHER);
    let config = Config::load(&place.file()).expect("holds");
    assert_eq!((config.jobs.len(), config.jobs.iter().filter(|job| job.enabled).count()), (4, 0));
    let shown = place.post("/settings", &[("action", "enable"), ("enabled", "on")]).await;
    assert_eq!(place.write("/settings", &shown).await.status, StatusCode::SEE_OTHER, "{}", shown.text);
    assert!(Config::load(&place.file()).expect("holds").jobs.iter().all(|job| job.enabled));
    assert!(place.text().starts_with(&before));
}

#[tokio::test]
async fn one_job_is_changed_and_those_that_nobody_wrote_stay() {
    let place = Place::unfed(Role::Administrator);
    let shown = place.post("/settings/schedules", &job(("backup", "backup"), "run", "30 3 * * *")).await;
    assert!(shown.text.contains("03:30:00"), "the next times are told: {}", shown.text);
    assert_eq!(place.write("/settings/schedules", &shown).await.status, StatusCode::SEE_OTHER);
    let jobs = Config::load(&place.file()).expect("holds").jobs;
    let told: Vec<_> = jobs.iter().map(|job| (job.name.as_str(), job.schedule.text())).collect();
    assert_eq!(told[0], ("backup", "30 3 * * *"));
    assert_eq!(told.len(), 4);
    let taken = place.post("/settings/schedules", &job(("", "report"), "report", "@daily")).await;
    assert!(taken.status == StatusCode::UNPROCESSABLE_ENTITY && taken.text.contains("one of this name already"), "{}", taken.text);
}

#[tokio::test]
async fn retention_is_tried_before_it_is_saved() {
    let place = Place::new(Role::Administrator);
    let preview = place.post("/settings/retention", &[("action", "preview"), ("keep_last", "7")]).await;
    assert!(preview.status == StatusCode::OK && preview.text.contains("value=\"7\""), "{}", preview.text);
    let wrong = place.post("/settings/retention", &[("action", "save"), ("keep_within", "soon")]).await;
    assert!(wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.text.contains("id=\"keep-within-fault\""), "{}", wrong.text);
}

#[tokio::test]
async fn what_was_saved_is_read_again_by_whoever_takes_the_signal() {
    let place = Place::new(Role::Administrator);
    let mut hangups = signal(SignalKind::hangup()).expect("signals");
    let (file, feed) = (place.file(), place.feed.clone().expect("fed"));
    let reader = tokio::spawn(async move {
        hangups.recv().await;
        let old = feed.borrow().clone();
        let config = Config::load(&file).expect("holds");
        feed.send_replace(Context::open(config, old.audit.actor().clone(), old.cancel.clone()).expect("opens"));
    });
    let password = place.password();
    let shown = place.post("/settings/databases", &place.server(&password, &[])).await;
    assert_eq!(place.write("/settings/databases", &shown).await.status, StatusCode::SEE_OTHER);
    assert_eq!(place.state.context().config.text, place.text());
    reader.await.expect("ended");
}

#[tokio::test]
async fn the_api_changes_the_same_file_by_its_revision() {
    let place = Place::unfed(Role::Administrator);
    let before = place.text();
    let revision = crate::config::revision(&before);
    let change = |locale: &str, dry: bool| json!({ "revision": revision, "changes": [{ "change": "table", "values": { "locale": locale } }], "dry_run": dry });
    let (status, dry) = place.api(&change("pt-BR", true)).await;
    assert_eq!((status, dry["saved"].as_bool(), dry["revision"].as_str()), (StatusCode::OK, Some(false), Some(revision.as_str())), "{dry}");
    assert!(dry["difference"].as_array().is_some_and(|lines| lines.iter().any(|line| line["sign"] == "+")), "{dry}");
    let (status, dry) = place.api(&change("fr", true)).await;
    assert_eq!((status, dry["problems"][0]["key"].as_str()), (StatusCode::OK, Some("locale")), "{dry}");
    let (status, refused) = place.api(&change("fr", false)).await;
    assert_eq!((status, refused["type"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("/problems/invalid")), "{refused}");
    assert_eq!(place.text(), before);
    let (status, saved) = place.api(&change("pt-BR", false)).await;
    assert_eq!((status, saved["saved"].as_bool()), (StatusCode::OK, Some(true)), "{saved}");
    assert_eq!(place.text(), before.replace("\"en\"", "\"pt-BR\""));
    assert_eq!(saved["revision"], crate::config::revision(&place.text()));
    let (status, stale) = place.api(&change("en", false)).await;
    assert_eq!((status, stale["type"].as_str()), (StatusCode::CONFLICT, Some("/problems/conflict")), "{stale}");
}

#[tokio::test]
async fn a_plug_in_is_approved_only_as_it_was_looked_at() {
    let place = Place::new(Role::Administrator);
    std::fs::write(place.directory.path().join("plugins/strange.wasm"), "no plug-in").expect("written");
    let page = place.get("/plugins").await;
    assert!(page.text.contains("strange"), "{}", page.text);
    let other = place.post("/plugins", &[("action", "approve"), ("name", "strange"), ("sha256", "00")]).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "{}", other.text);
    let unknown = place.post("/plugins", &[("action", "approve"), ("name", "../x"), ("sha256", "00")]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(!place.directory.path().join("plugins.lock").exists());
}
