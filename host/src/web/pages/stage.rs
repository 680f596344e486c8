//! For tests: the pages behind their router, without a network, with a configuration and a catalogue of their own.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::super::caller::Peer;
use super::super::state::State;
use crate::access::{Access, NewUser, Role};
use crate::catalog::CopyState;
use crate::config::Config;
use crate::job::{self, Context};
use crate::set::{ArtifactKind, ArtifactRecord, CompressionRecord, EncryptionRecord, Manifest, SetName};

/// Its set.
pub(super) const SET: &str = "backup_2026_03_15_02_00_00";

/// A directory, a database, two tenants, and whoever is asked for.
pub(super) struct Stage {
    router: axum::Router,
    pub state: State,
    _directory: tempfile::TempDir,
}

/// What came back.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// Where it leads to.
    pub(super) fn location(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |value| value.to_str().expect("a text"))
    }
}

impl Stage {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("data")).expect("made");
        let text = format!(
            "[storage]\nstate_dir = \"{}\"\n[passphrase]\nenv = \"COFRE_TEST_PASSPHRASE\"\n[[directory]]\npath = \"{}\"\ntenant = \"acme\"\n\
             [[mysql]]\nname = \"main\"\nuser = \"u\"\ntenants = {{ beta = [\"beta_*\"] }}\n[[destination]]\nname = \"disk\"\nplugin = \"local\"\n\
             [web]\ntrusted_proxies = [\"10.0.0.1\"]\nuser_header = \"X-Remote-User\"\n",
            path("state").display(),
            path("data").display()
        );
        std::fs::write(path("cofre.toml"), text).expect("written");
        let config = Config::load(&path("cofre.toml")).expect("holds");
        let settings = config.web.clone().unwrap_or_default();
        let stop = CancellationToken::new();
        let context = Context::open(config, job::actor(true), stop.clone()).expect("opens");
        let access = Access::open(&path("state")).expect("opens");
        for (name, role) in [("vera", Role::Viewer), ("olga", Role::Operator)] {
            access.add_user(NewUser { name, role, password: "uma senha comprida" }, "test").expect("added");
        }
        let state = State::new(watch::Sender::new(context).subscribe(), access, settings, stop).expect("begins");
        Self { router: super::super::router(&state, super::router()), state, _directory: directory }
    }

    /// The same with a set of two schemas, a directory and grants, complete at `disk`.
    pub(super) fn with_set() -> Self {
        let stage = Self::new();
        let catalog = stage.state.context().catalog;
        let set: SetName = SET.parse().expect("a name");
        catalog.record_set(&manifest(set)).expect("recorded");
        catalog.record_copy(set, "disk", CopyState::Complete, "").expect("recorded");
        stage
    }

    pub(super) async fn get(&self, user: &str, address: &str) -> Answer {
        self.ask(user, Method::GET, address, Body::empty()).await
    }

    /// Sends a form, with the user's own word.
    pub(super) async fn post(&self, user: &str, address: &str, fields: &[(&str, &str)]) -> Answer {
        let word = self.state.word_for(user);
        let fields: Vec<_> = fields.iter().copied().chain([("csrf", word.as_str())]).collect();
        self.post_without_word(user, address, &fields).await
    }

    pub(super) async fn post_without_word(&self, user: &str, address: &str, fields: &[(&str, &str)]) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask(user, Method::POST, address, Body::from(form)).await
    }

    /// How many tasks there are, or were.
    pub(super) fn tasks(&self) -> u64 {
        self.state.context().catalog.runs(100).expect("read").len() as u64 + self.state.tasks().at_work() as u64
    }

    async fn ask(&self, user: &str, method: Method, address: &str, body: Body) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(address)
            .header(header::HOST, "127.0.0.1:8743")
            .header("x-remote-user", user)
            .header(header::ACCEPT_LANGUAGE, "en")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut request = request.body(body).expect("a request");
        request.extensions_mut().insert(Peer { address: "10.0.0.1:1".parse().expect("an address"), secure: false });
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.expect("a body");
        Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }
}

fn manifest(set: SetName) -> Manifest {
    let record = |key: &str, kind, name: &str, source: Option<&str>| ArtifactRecord {
        key: key.into(),
        kind,
        name: name.into(),
        source: source.map(str::to_owned),
        tenant: None,
        plain: 3 << 20,
        compressed: 1 << 20,
        size: 1 << 20,
        sha256: String::new(),
        md5: String::new(),
        read: None,
    };
    Manifest {
        format: Manifest::format_name(),
        set,
        cofre: "0.1.0".into(),
        host: "erp".into(),
        started: jiff::Timestamp::UNIX_EPOCH,
        finished: jiff::Timestamp::UNIX_EPOCH,
        encryption: EncryptionRecord { cipher: String::new(), kdf: String::new(), iterations: None, digest: String::new() },
        compression: CompressionRecord { algorithm: "gzip".into(), level: 6 },
        artifacts: vec![
            record("config/_cofre_.tar.gz.enc", ArtifactKind::Own, "cofre", None),
            record("config/_etc_.tar.gz.enc", ArtifactKind::Directory, "/etc", None),
            record("sql/acme_erp.sql.tar.gz.enc", ArtifactKind::Schema, "acme_erp", Some("main")),
            record("sql/grants.sql.tar.gz.enc", ArtifactKind::Grants, "main", Some("main")),
            record("sql/twin_a.sql.tar.gz.enc", ArtifactKind::Schema, "twin", Some("main")),
            record("sql/twin_b.sql.tar.gz.enc", ArtifactKind::Schema, "twin", Some("other")),
        ],
        missing: Vec::new(),
        files: Vec::new(),
        warnings: 0,
        selection: Vec::new(),
        tags: Vec::new(),
    }
}
