//! The router without a network: who may what, and how errors, pages, tags, keys, hosts and bodies behave.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::caller::Peer;
use super::openapi::BASE;
use super::state::State;
use super::{Kind, body, router};
use crate::access::{Access, NewToken, NewUser, Role, Scope};
use crate::config::Config;
use crate::job::{self, Context};

/// A configuration with a directory, a tenant, and `further` sections, and what serves it.
struct Place {
    router: Router,
    state: State,
    directory: tempfile::TempDir,
}

impl Place {
    fn new(further: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("data")).expect("made");
        let text = format!(
            "[storage]\nstate_dir = \"{}\"\n[passphrase]\nenv = \"COFRE_TEST_PASSPHRASE\"\n[[directory]]\npath = \"{}\"\ntenant = \"acme\"\n\
             [[mysql]]\nname = \"main\"\nuser = \"u\"\ntenants = {{ beta = [\"beta_*\"] }}\n[[destination]]\nname = \"disk\"\nplugin = \"local\"\n{further}",
            path("state").display(),
            path("data").display()
        );
        std::fs::write(path("cofre.toml"), text).expect("written");
        let config = Config::load(&path("cofre.toml")).expect("holds");
        let settings = config.web.clone().unwrap_or_default();
        let stop = CancellationToken::new();
        let context = Context::open(config, job::actor(true), stop.clone()).expect("opens");
        let access = Access::open(&path("state")).expect("opens");
        let state = State::new(watch::Sender::new(context).subscribe(), access, settings, stop).expect("begins");
        Self { router: router(&state, Router::new()), state, directory }
    }

    fn token(&self, scopes: &[Scope], tenants: Option<&[&str]>) -> String {
        let tenants = tenants.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
        let new = NewToken { name: "test".to_owned(), scopes: scopes.iter().copied().collect(), tenants, expires: None };
        self.state.access().create_token(new, "test").expect("made").1.as_str().to_owned()
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.expect("a body");
        Answer {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.ask(request(Method::GET, path, token, None)).await
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.ask(request(Method::POST, path, Some(token), Some(body))).await
    }
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Value,
    text: String,
}

impl Answer {
    fn problem(&self) -> &str {
        self.body["type"]
            .as_str()
            .and_then(|address| address.strip_prefix("/problems/"))
            .unwrap_or_else(|| panic!("no problem: {}", self.text))
    }

    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }
}

fn request(method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:8743");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    request.header(header::CONTENT_TYPE, "application/json").body(body).expect("a request")
}

/// An address of the document with every name filled in.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Every operation of the document: method, address, scope.
fn operations(document: &Value) -> Vec<(Method, String, Option<Scope>)> {
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let scope = operation["security"][0]["token"][0].as_str().map(|name| name.parse().expect("a scope"));
            found.push((method.to_uppercase().parse().expect("a method"), filled(path), scope));
        }
    }
    assert!(found.len() > 40, "{} operations", found.len());
    found
}

#[tokio::test]
async fn every_operation_demands_a_token_its_scope_and_no_other_tenant() {
    let place = Place::new("");
    let document = place.get(&format!("{BASE}/openapi.json"), None).await.body;
    let foreign =
        place.token(&[Scope::StatusRead, Scope::RunCreate, Scope::TenantDeliver, Scope::RestoreRead, Scope::RestoreWrite], Some(&["acme"]));
    for (method, path, scope) in operations(&document) {
        let what = format!("{method} {path}");
        let without = place.ask(request(method.clone(), &path, None, Some(&json!({})))).await;
        assert_eq!((without.status, without.problem()), (StatusCode::UNAUTHORIZED, "unauthenticated"), "{what}");
        assert!(!without.header(header::WWW_AUTHENTICATE).is_empty(), "{what}");
        let wrong = place.ask(request(method.clone(), &path, Some("cofre_aaaaaaaa_wrong"), Some(&json!({})))).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{what}");
        let Some(scope) = scope else { continue };
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let small = place.ask(request(method.clone(), &path, Some(&place.token(&others, None)), Some(&json!({})))).await;
        assert_eq!((small.status, small.problem()), (StatusCode::FORBIDDEN, "scope"), "{what}");
        assert_eq!(small.body["scope"], scope.name(), "{what}");
        if path == format!("{BASE}/tenants") {
            continue;
        }
        let foreign = place.ask(request(method, &path, Some(&foreign), Some(&json!({ "recipient": "a@example.com" })))).await;
        assert_eq!(foreign.status, StatusCode::FORBIDDEN, "{what}: {}", foreign.text);
        assert!(matches!(foreign.problem(), "tenant" | "scope"), "{what}");
    }
}

#[tokio::test]
async fn who_is_limited_to_tenants_sees_and_delivers_only_those() {
    let place = Place::new("");
    let all = place.get(&format!("{BASE}/tenants"), Some(&place.token(&[Scope::StatusRead], None))).await.body;
    assert_eq!((all[0]["name"].as_str(), all[1]["name"].as_str()), (Some("acme"), Some("beta")));
    let own = place.token(&[Scope::StatusRead, Scope::TenantDeliver], Some(&["acme"]));
    let seen = place.get(&format!("{BASE}/tenants"), Some(&own)).await.body;
    assert_eq!((seen.as_array().map(Vec::len), seen[0]["name"].as_str()), (Some(1), Some("acme")));
    let recipient = json!({ "recipient": "a@example.com" });
    for other in ["beta", "nobody"] {
        let refused = place.post(&format!("{BASE}/tenants/{other}/deliveries"), &own, &recipient).await;
        assert_eq!((refused.status, refused.problem()), (StatusCode::FORBIDDEN, "tenant"), "{other}");
    }
    // There is no notifier: the task begins, and fails saying so. Nobody else's token sees it.
    let begun = place.post(&format!("{BASE}/tenants/acme/deliveries"), &own, &recipient).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text);
    let location = begun.header(header::LOCATION).to_owned();
    let ended = place.get(&format!("{location}/events"), Some(&own)).await;
    assert!(ended.text.contains("event: end") && ended.text.contains("\"state\":\"failed\""), "{}", ended.text);
    let task = place.get(&location, Some(&own)).await.body;
    assert!(task["problem"]["detail"].as_str().is_some_and(|detail| detail.contains("notifier")), "{task}");
    assert_eq!((task["by"].as_str().map(|by| by.starts_with("token:")), task["tenant"].as_str()), (Some(true), Some("acme")));
    let other = place.token(&[Scope::StatusRead, Scope::TenantDeliver], Some(&["beta"]));
    assert_eq!(place.get(&location, Some(&other)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(place.get(&format!("{BASE}/tasks"), Some(&other)).await.body, json!([]));
    assert_eq!(place.get(&location, Some(&place.token(&[Scope::StatusRead], None))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn errors_are_problems() {
    let place = Place::new("");
    let token = place.token(&Scope::ALL, None);
    for (path, kind) in [
        ("/sets?limit=0", "invalid"),
        ("/sets?limit=x", "malformed"),
        ("/sets?colour=red", "malformed"),
        ("/sets?state=odd", "invalid"),
        ("/sets?cursor=x", "invalid"),
        ("/sets/x", "not-found"),
        ("/sets/backup_2026_01_01_00_00_00", "not-found"),
        ("/reports/x", "not-found"),
        ("/tasks/x", "not-found"),
        ("/nothing", "not-found"),
        ("/plugins/..%2Fx", "not-found"),
    ] {
        let answer = place.get(&format!("{BASE}{path}"), Some(&token)).await;
        assert_eq!((answer.problem(), answer.header(header::CONTENT_TYPE)), (kind, "application/problem+json"), "{path}");
        assert_eq!(answer.body["status"], answer.status.as_u16(), "{path}");
    }
    let method = place.ask(request(Method::DELETE, &format!("{BASE}/status"), Some(&token), None)).await;
    assert_eq!((method.status, method.problem()), (StatusCode::METHOD_NOT_ALLOWED, "method"));
    let text = Request::builder().method(Method::POST).uri(format!("{BASE}/runs")).header(header::HOST, "localhost");
    let text = text.header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::from("only=x")).expect("a request");
    assert_eq!(place.ask(text).await.problem(), "media-type");
    let unknown = place.post(&format!("{BASE}/runs"), &token, &json!({ "onyl": [] })).await;
    assert!(unknown.problem() == "malformed" && unknown.body["detail"].as_str().is_some_and(|detail| detail.contains("onyl")));
    let tag = place.post(&format!("{BASE}/runs"), &token, &json!({ "tags": ["a b"] })).await;
    assert_eq!(tag.problem(), "invalid");
}

#[tokio::test]
async fn a_body_has_its_limit_and_the_host_is_one_of_ours() {
    let place = Place::new("[web]\npublic_url = \"https://backup.example.com\"\n");
    let token = place.token(&Scope::ALL, None);
    let large = place.post(&format!("{BASE}/runs"), &token, &json!({ "only": ["x".repeat(body::BODY_MAX)] })).await;
    assert_eq!((large.status, large.problem()), (StatusCode::PAYLOAD_TOO_LARGE, "too-large"));
    for (host, status) in [
        ("127.0.0.1:8743", StatusCode::OK),
        ("[::1]:8743", StatusCode::OK),
        ("localhost", StatusCode::OK),
        ("backup.example.com", StatusCode::OK),
        ("evil.example", StatusCode::MISDIRECTED_REQUEST),
    ] {
        let mut asked = request(Method::GET, &format!("{BASE}/me"), Some(&token), None);
        asked.headers_mut().insert(header::HOST, host.parse().expect("a header"));
        assert_eq!(place.ask(asked).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers_of_security() {
    let place = Place::new("");
    for path in ["/healthz", "/nothing", "/api/v1/status", "/api/v1/openapi.json"] {
        let answer = place.get(path, None).await;
        assert!(answer.header(header::CONTENT_SECURITY_POLICY).contains("default-src 'none'"), "{path}");
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(answer.header(header::REFERRER_POLICY), "no-referrer", "{path}");
        assert!(!answer.header(header::CACHE_CONTROL).is_empty(), "{path}");
        assert!(answer.headers.get(header::STRICT_TRANSPORT_SECURITY).is_none(), "{path}");
    }
    let mut secure = request(Method::GET, "/healthz", None, None);
    secure.extensions_mut().insert(Peer { address: "127.0.0.1:1".parse().expect("an address"), secure: true });
    assert!(!place.ask(secure).await.header(header::STRICT_TRANSPORT_SECURITY).is_empty());
}

#[tokio::test]
async fn a_known_tag_is_answered_without_a_body() {
    let place = Place::new("");
    let token = place.token(&[Scope::StatusRead], None);
    let path = format!("{BASE}/jobs");
    let first = place.get(&format!("{BASE}/me"), Some(&token)).await;
    let tag = first.header(header::ETAG).to_owned();
    assert!(tag.starts_with('"'), "{path}: {tag}");
    let mut again = request(Method::GET, &format!("{BASE}/me"), Some(&token), None);
    again.headers_mut().insert(header::IF_NONE_MATCH, tag.parse().expect("a header"));
    let again = place.ask(again).await;
    assert_eq!((again.status, again.text.as_str(), again.header(header::ETAG)), (StatusCode::NOT_MODIFIED, "", tag.as_str()));
}

#[tokio::test]
async fn a_request_that_comes_again_is_answered_again_and_does_nothing_twice() {
    let place = Place::new("");
    let token = place.token(&Scope::ALL, None);
    let keyed = |path: &str, key: &str, body: &Value| {
        let mut request = request(Method::POST, path, Some(&token), Some(body));
        request.headers_mut().insert("idempotency-key", key.parse().expect("a header"));
        request
    };
    let path = format!("{BASE}/checks");
    let first = place.ask(keyed(&path, "one", &json!({}))).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    let again = place.ask(keyed(&path, "one", &json!({}))).await;
    assert_eq!((again.status, &again.body["id"]), (StatusCode::ACCEPTED, &first.body["id"]));
    assert_eq!((again.header("idempotency-replayed"), again.header(header::LOCATION)), ("true", first.header(header::LOCATION)));
    assert_ne!(place.ask(keyed(&path, "two", &json!({}))).await.body["id"], first.body["id"]);
    let other = place.ask(keyed(&format!("{BASE}/verifications"), "one", &json!({}))).await;
    assert_eq!((other.status, other.problem()), (StatusCode::UNPROCESSABLE_ENTITY, "key-reused"));
    // A secret is shown once, and what failed may be tried again.
    let new = json!({ "name": "erp", "scopes": ["status:read"] });
    let made = place.ask(keyed(&format!("{BASE}/tokens"), "secret", &new)).await;
    assert!(made.status == StatusCode::CREATED && made.body["text"].as_str().is_some_and(|token| token.starts_with("cofre_")));
    assert_eq!(place.ask(keyed(&format!("{BASE}/tokens"), "secret", &new)).await.problem(), "key-in-use");
    let wrong = json!({ "name": "", "scopes": [] });
    for _ in 0..2 {
        assert_eq!(place.ask(keyed(&format!("{BASE}/tokens"), "wrong", &wrong)).await.problem(), "invalid");
    }
}

#[tokio::test]
async fn nobody_gives_more_than_they_have_and_no_secret_comes_back() {
    let place = Place::new("");
    let small = place.token(&[Scope::AccessWrite, Scope::StatusRead], None);
    let path = format!("{BASE}/tokens");
    let more = place.post(&path, &small, &json!({ "name": "x", "scopes": ["restore:write"] })).await;
    assert_eq!((more.status, more.problem()), (StatusCode::FORBIDDEN, "scope"));
    let admin = place
        .post(&format!("{BASE}/users"), &small, &json!({ "name": "eva", "role": "administrator", "password": "a long password" }))
        .await;
    assert_eq!((admin.status, admin.problem()), (StatusCode::FORBIDDEN, "scope"));
    let made = place.post(&path, &small, &json!({ "name": "x", "scopes": ["status:read"] })).await;
    let (id, secret) =
        (made.body["token"]["id"].as_str().expect("an id").to_owned(), made.body["text"].as_str().expect("a token").to_owned());
    let list = place.get(&path, Some(&small)).await;
    assert!(list.text.contains(&id) && !list.text.contains(&secret));
    assert_eq!(place.get(&format!("{BASE}/me"), Some(&secret)).await.status, StatusCode::OK);
    let revoked = place.ask(request(Method::DELETE, &format!("{path}/{id}"), Some(&small), None)).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(place.get(&format!("{BASE}/me"), Some(&secret)).await.status, StatusCode::UNAUTHORIZED);
    let log = place.get(&format!("{BASE}/audit"), Some(&place.token(&[Scope::AuditRead], None))).await;
    assert!(log.text.contains("token revoked") && log.text.contains(&id) && !log.text.contains(&secret), "{}", log.text);
}

#[tokio::test]
async fn a_session_needs_its_word_for_changes_and_a_proxy_is_believed_from_its_address_only() {
    let place = Place::new("[web]\ntrusted_proxies = [\"10.0.0.1\"]\nuser_header = \"X-Remote-User\"\n");
    place.state.access().add_user(NewUser { name: "maria", role: Role::Operator, password: "uma senha comprida" }, "test").expect("added");
    let from = |address: &str, user: &str, method: Method, path: &str| {
        let mut request = request(method, path, None, Some(&json!({})));
        request.headers_mut().insert("x-remote-user", user.parse().expect("a header"));
        request.extensions_mut().insert(Peer { address: format!("{address}:1").parse().expect("an address"), secure: false });
        request
    };
    let me = format!("{BASE}/me");
    let known = place.ask(from("10.0.0.1", "maria", Method::GET, &me)).await;
    assert_eq!((known.status, known.body["kind"].as_str()), (StatusCode::OK, Some("proxy")), "{}", known.text);
    assert_eq!(place.ask(from("10.0.0.2", "maria", Method::GET, &me)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(place.ask(from("10.0.0.1", "eva", Method::GET, &me)).await.status, StatusCode::UNAUTHORIZED);
    let checks = format!("{BASE}/checks");
    let forged = place.ask(from("10.0.0.1", "maria", Method::POST, &checks)).await;
    assert_eq!((forged.status, forged.problem()), (StatusCode::FORBIDDEN, "csrf"));
    let mut own = from("10.0.0.1", "maria", Method::POST, &checks);
    own.headers_mut().insert("x-csrf-token", place.state.word_for("maria").parse().expect("a header"));
    assert_eq!(place.ask(own).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn metrics_are_for_who_may_see_the_state_or_for_this_machine_where_that_is_configured() {
    let from = |address: &str| {
        let mut request = request(Method::GET, "/metrics", None, None);
        request.extensions_mut().insert(Peer { address: address.parse().expect("an address"), secure: false });
        request
    };
    let place = Place::new("");
    assert_eq!(place.ask(from("127.0.0.1:1")).await.status, StatusCode::UNAUTHORIZED);
    let seen = place.get("/metrics", Some(&place.token(&[Scope::StatusRead], None))).await;
    assert!(seen.status == StatusCode::OK && seen.text.ends_with("# EOF\n") && seen.text.contains("cofre_build_info"), "{}", seen.text);
    let open = Place::new("[web]\nmetrics_public = true\n");
    assert_eq!(open.ask(from("127.0.0.1:1")).await.status, StatusCode::OK);
    assert_eq!(open.ask(from("192.0.2.1:1")).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn it_is_ready_as_long_as_the_configuration_holds() {
    let place = Place::new("");
    assert_eq!(place.get("/healthz", None).await.status, StatusCode::OK);
    assert_eq!(place.get("/readyz", None).await.status, StatusCode::OK);
    std::fs::write(place.directory.path().join("cofre.toml"), "nonsense = 1\n").expect("written");
    let answer = place.get("/readyz", None).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.text.contains("nonsense"), "what is wrong is for the log");
}

#[tokio::test]
async fn a_task_that_is_cancelled_says_so_and_too_many_are_refused() {
    let place = Place::new("");
    let token = place.token(&Scope::ALL, None);
    let caller = super::Caller {
        principal: place.state.access().by_token(&token, jiff::Timestamp::now()).expect("read").expect("known"),
        credential: super::Credential::Token,
    };
    let context = place.state.context_for(&caller);
    let start = || {
        let order = super::tasks::Order { verb: "run", asked: Value::Null, caller: &caller, scope: Scope::RunCreate, tenant: None };
        place.state.tasks().start(order, &context, |context, _| async move {
            context.cancel.cancelled().await;
            Err(job::JobError::Failed("ended".to_owned()))
        })
    };
    let tasks: Vec<_> = (0..8).map(|_| start().expect("begins")).collect();
    assert_eq!(start().err().map(|problem| problem.kind), Some(Kind::TooMany));
    let path = format!("{BASE}/tasks/{}", tasks[0].id());
    let reader = place.token(&[Scope::StatusRead], None);
    let refused = place.ask(request(Method::DELETE, &path, Some(&reader), None)).await;
    assert_eq!((refused.status, refused.body["scope"].as_str()), (StatusCode::FORBIDDEN, Some("run:create")));
    assert_eq!(place.ask(request(Method::DELETE, &path, Some(&token), None)).await.status, StatusCode::NO_CONTENT);
    let events = place.get(&format!("{path}/events"), Some(&reader)).await.text;
    assert!(events.contains("event: end") && events.contains("\"state\":\"cancelled\""), "{events}");
    assert_eq!(place.ask(request(Method::DELETE, &path, Some(&token), None)).await.problem(), "conflict");
    assert!(start().is_ok());
}

#[tokio::test]
async fn a_passphrase_is_shown_once_and_only_to_who_asked() {
    let place = Place::new("");
    let (own, other) = (place.token(&Scope::ALL, None), place.token(&Scope::ALL, None));
    let caller = super::Caller {
        principal: place.state.access().by_token(&own, jiff::Timestamp::now()).expect("read").expect("known"),
        credential: super::Credential::Token,
    };
    let order = super::tasks::Order {
        verb: "tenant",
        asked: Value::Null,
        caller: &caller,
        scope: Scope::TenantDeliver,
        tenant: Some("acme".into()),
    };
    let task = place
        .state
        .tasks()
        .start(order, &place.state.context(), |_, _| async move {
            let secret = Some(zeroize::Zeroizing::new("palavra".to_owned()));
            Ok(super::tasks::Outcome { state: super::tasks::TaskState::Done, result: json!({}), secret })
        })
        .expect("begins");
    let path = format!("{BASE}/tasks/{}", task.id());
    let events = place.get(&format!("{path}/events"), Some(&own)).await.text;
    assert!(events.contains("event: end") && !events.contains("palavra"), "{events}");
    assert!(!place.get(&path, Some(&other)).await.text.contains("palavra"));
    assert!(!place.get(&format!("{BASE}/tasks"), Some(&own)).await.text.contains("palavra"));
    let shown = place.get(&path, Some(&own)).await;
    assert_eq!((shown.body["passphrase"].as_str(), shown.header(header::CACHE_CONTROL)), (Some("palavra"), "no-store"));
    assert!(!place.get(&path, Some(&own)).await.text.contains("palavra"));
}

#[test]
fn the_document_is_whole() {
    let document = super::openapi::document(&super::api::endpoints());
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for (at, _) in text.match_indices("#/components/schemas/") {
        let name = text[at + 21..].split('"').next().expect("a name");
        assert!(schemas.contains_key(name), "{name} is named and not there");
    }
    let mut names = BTreeSet::new();
    for (method, path, _) in operations(&document) {
        assert!(path.starts_with(BASE) && !path.contains(['{', '*']), "{method} {path}");
    }
    for operation in document["paths"].as_object().expect("paths").values().flat_map(|path| path.as_object().expect("operations").values())
    {
        assert!(names.insert(operation["operationId"].to_string()), "{operation}");
        assert!(operation["responses"]["401"]["content"]["application/problem+json"]["schema"]["$ref"].is_string());
    }
}
