//! What a plug-in reaches, and what not, with a resolver that counts.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{granted, hostile, report, settings};
use crate::plugin::WasmDestination;
use crate::plugin::dns::Resolver;
use crate::ports::{Destination, DestinationErrorKind, DestinationSettings, PluginLimits};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Knows a few names, and writes down what it was asked.
#[derive(Default)]
struct Book {
    names: HashMap<&'static str, IpAddr>,
    asked: Mutex<Vec<String>>,
}

impl Book {
    fn with(names: &[(&'static str, IpAddr)]) -> Arc<Self> {
        Arc::new(Self { names: names.iter().copied().collect(), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("whole").clone()
    }
}

#[async_trait::async_trait]
impl Resolver for Book {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().expect("whole").push(host.to_owned());
        self.names.get(host).map(|address| vec![*address]).ok_or_else(|| io::Error::other("no such name"))
    }
}

/// A hostile guest that tries `mode` on `target`, or on `http://target/`, with the grants.
fn tries(mode: &str, target: &str, grants: &[&str]) -> DestinationSettings {
    let settings_of = json!({"mode": mode, "target": target, "url": format!("http://{target}/")});
    DestinationSettings { grants: granted(grants), ..settings(settings_of, PluginLimits::default()) }
}

async fn seen(settings: DestinationSettings, book: &Arc<Book>) -> String {
    let destination = WasmDestination::with_resolver(hostile().await, settings, book.clone()).expect("good settings");
    report(&destination).await.to_string()
}

/// A listener, its port, and how many connections it got.
async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

/// Answers every request with `answer`; returns its port and the count of connections.
async fn server(answer: String) -> (u16, Arc<AtomicUsize>) {
    let (listener, port) = listener().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer_all(stream, answer.clone()));
        }
    });
    (port, connections)
}

async fn answer_all(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: String) -> io::Result<()> {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..length]);
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn without_a_grant_no_name_is_looked_up() {
    let book = Book::with(&[("inner.example", LOOPBACK)]);
    for mode in ["resolve-denied-name", "connect", "http-get"] {
        let said = seen(tries(mode, "inner.example:443", &[]), &book).await;
        assert!(!said.contains("=ok") && said.contains("which is not granted; if that is right, add \"inner.example:"), "{mode}: {said}");
    }
    for grant in ["inner.example:80", "*.inner.example:443", "other.example:*"] {
        let said = seen(tries("resolve", "inner.example:443", &[grant]), &book).await;
        assert!(!said.contains("=ok"), "{grant}: {said}");
    }
    assert_eq!(book.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_granted_name_and_port_are_reached() {
    let (listener, port) = listener().await;
    let book = Book::with(&[("inner.example", LOOPBACK)]);
    let target = format!("inner.example:{port}");
    let said = seen(tries("connect", &target, &[&target]), &book).await;
    assert!(said.contains("connect=ok"), "{said}");
    listener.accept().await.expect("it connected");
    assert_eq!(book.asked(), ["inner.example"]);
}

#[tokio::test]
async fn another_port_of_a_granted_name_is_not_reached() {
    let (_listener, port) = listener().await;
    let book = Book::with(&[("inner.example", LOOPBACK)]);
    let said = seen(tries("connect-denied", &format!("inner.example:{port}"), &["inner.example:1"]), &book).await;
    assert!(!said.contains("=ok") && said.contains("not granted"), "{said}");
    let said = seen(tries("http-get", &format!("inner.example:{port}"), &["inner.example:1"]), &book).await;
    assert!(said.contains(&format!("`inner.example:{port}`, which is not granted")), "{said}");
}

/// The address of a granted name, without the name: what a name that is made to point elsewhere later would come to.
#[tokio::test]
async fn a_bare_address_is_not_reached() {
    let (_listener, port) = listener().await;
    let book = Book::with(&[("inner.example", LOOPBACK)]);
    for target in
        [format!("127.0.0.1:{port}"), format!("[::ffff:127.0.0.1]:{port}"), format!("[::1]:{port}"), "169.254.169.254:80".to_owned()]
    {
        for mode in ["connect-bare-address", "http-get"] {
            let said = seen(tries(mode, &target, &[&format!("inner.example:{port}")]), &book).await;
            assert!(!said.contains("=ok") && !said.contains("status=200"), "{mode} {target}: {said}");
        }
    }
    let literal = format!("127.0.0.1:{port}");
    let said = seen(tries("connect", &literal, &[&literal]), &book).await;
    assert!(said.contains("connect=ok"), "a granted address counts as itself: {said}");
    assert_eq!(book.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn listening_and_udp_are_shut() {
    let book = Book::with(&[]);
    for mode in ["listen", "udp"] {
        let said = seen(tries(mode, "127.0.0.1:9", &["127.0.0.1:*"]), &book).await;
        assert!(said.contains(&format!("{mode}=failed")), "{said}");
    }
}

#[tokio::test]
async fn http_asks_once_for_a_name_and_connects_where_that_says() {
    let (port, connections) = server(ok("hello")).await;
    let book = Book::with(&[("inner.example", LOOPBACK)]);
    let target = format!("inner.example:{port}");
    let destination =
        WasmDestination::with_resolver(hostile().await, tries("http-get", &target, &[&target]), book.clone()).expect("good settings");
    for _ in 0..3 {
        let said = report(&destination).await;
        assert_eq!(said.message, "report: status=200 body=hello");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "a connection is used again");
    assert_eq!(book.asked(), ["inner.example"]);
}

#[tokio::test]
async fn what_crosses_the_wall_is_counted_over_sockets_and_http() {
    let book = Book::with(&[("inner.example", LOOPBACK)]);
    let destination = async |mode: &str, target: &str, grants: &[&str]| {
        WasmDestination::with_resolver(hostile().await, tries(mode, target, grants), book.clone()).expect("good settings")
    };
    let (listener, port) = listener().await;
    let answer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.read_exact(&mut [0; 4]).await?;
        stream.write_all(b"pong!").await
    });
    let target = format!("inner.example:{port}");
    let socket = destination("tcp-exchange", &target, &[&target]).await;
    assert!(report(&socket).await.message.contains("pong!"));
    answer.await.expect("no panic").expect("answered");
    assert_eq!(socket.traffic(), Some((4, 5)));
    assert!(socket.memory_peak() > 0);

    let (port, _) = server(ok("hello")).await;
    let target = format!("inner.example:{port}");
    let http = destination("http-get", &target, &[&target]).await;
    report(&http).await;
    assert_eq!(http.traffic(), Some((0, 5)), "bodies are counted, and a request to get something has none");
    assert_eq!(destination("http-get", &target, &[]).await.traffic(), None, "nothing can be reached");
}

#[tokio::test]
async fn a_deletion_leaves_only_with_its_grant_or_to_abort_an_upload() {
    let (port, connections) = server(ok("gone")).await;
    let book = Book::with(&[("inner.example", LOOPBACK)]);
    let target = format!("inner.example:{port}");
    let instance = async |mode: &str, at: &str, delete: bool| {
        let mut settings = tries(mode, &target, &[&target]);
        settings.settings["at"] = json!(at);
        settings.grants.delete = delete;
        WasmDestination::with_resolver(hostile().await, settings, book.clone()).expect("good settings")
    };
    for mode in ["http-delete", "http-delete-in-disguise"] {
        let error = instance(mode, "stat", false).await.stat("a").await.expect_err("a report").to_string();
        assert!(error.contains("status=403 body=deletion is not granted"), "{error}");
        assert!(error.contains("while it was asked to stat") && error.contains("`grants.delete`"), "{error}");
        let error = instance(mode, "probe", false).await.probe().await.expect_err("a report").to_string();
        assert!(error.contains("status=403") && !error.contains("grants.delete"), "{error}");
        assert_eq!(connections.load(Ordering::SeqCst), 0, "something left");
        let upload = instance(mode, "abort", false).await.begin("a", None).await.expect("begun");
        let error = upload.abort().await.expect_err("a report").to_string();
        assert!(error.contains("status=200 body=gone"), "{error}");
        let error = instance(mode, "stat", true).await.stat("a").await.expect_err("a report").to_string();
        assert!(error.contains("status=200 body=gone"), "{error}");
        connections.store(0, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn without_the_grant_the_plug_in_is_not_even_asked_to_delete() {
    let mut settings = tries("trap", "inner.example:1", &[]);
    settings.settings["at"] = json!("delete");
    settings.grants.delete = false;
    let destination = WasmDestination::new(hostile().await, settings).expect("good settings");
    let error = destination.delete("a").await.expect_err("not granted");
    assert_eq!(error.kind, DestinationErrorKind::AccessDenied, "{error}");
    assert!(!destination.may_delete() && error.to_string().contains("grants.delete"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (port, _) = server("HTTP/1.1 302 Found\r\nlocation: http://evil.example/\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let book = Book::with(&[("inner.example", LOOPBACK), ("evil.example", LOOPBACK)]);
    let target = format!("inner.example:{port}");
    let said = seen(tries("http-get", &target, &[&target]), &book).await;
    assert!(said.contains("status=302"), "{said}");
    let followed = seen(tries("http-get", "evil.example:80", &[&target]), &book).await;
    assert!(followed.contains("which is not granted"), "{followed}");
    assert_eq!(book.asked(), ["inner.example"]);
}

#[tokio::test]
async fn the_sandbox_has_no_environment_and_no_files() {
    let book = Book::with(&[]);
    let said = seen(tries("environment", "", &[]), &book).await;
    assert!(said.contains("variables=0 arguments=0"), "{said}");
    for mode in ["filesystem", "write-file", "escape-directory"] {
        let said = seen(tries(mode, "", &[]), &book).await;
        assert!(!said.contains("=ok"), "{mode}: {said}");
    }
}

#[tokio::test]
async fn the_clocks_are_coarse() {
    let said = seen(tries("clock", "", &[]), &Book::with(&[])).await;
    let step = |clock: &str| -> u64 {
        let text = said.split(clock).nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a step");
        text.parse().expect("nanoseconds")
    };
    assert!(step("monotonic=") >= 1_000_000 && step("wall=") >= 1_000_000, "{said}");
}

#[tokio::test]
async fn one_call_remembers_nothing_of_another() {
    let destination = super::doing("remember", "probe").await;
    for _ in 0..3 {
        let said = super::report(&destination).await.message;
        assert!(said.contains("calls before=0"), "{said}");
    }
}

#[tokio::test]
async fn text_that_is_none_is_a_broken_plug_in() {
    let error = super::doing("malformed-text", "probe").await.probe().await.expect_err("no text");
    assert!(error.kind == DestinationErrorKind::Plugin && error.message.contains("`probe` failed"), "{error}");
}

#[tokio::test]
async fn a_secret_is_given_by_its_name_only() {
    let book = Book::with(&[]);
    let mut with_secret = tries("secret-echo", "token", &[]);
    with_secret.secrets.insert("token".to_owned(), "abc".into());
    assert!(seen(with_secret.clone(), &book).await.contains("secret=ok \"abc\""));
    with_secret.settings["target"] = json!("other");
    assert!(seen(with_secret, &book).await.contains("secret=failed"));
}

fn openssl(directory: &Path, arguments: &str) {
    let done = Command::new("openssl").current_dir(directory).args(arguments.split(' ')).output().expect("openssl is installed");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn tls_server(directory: &Path) -> SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    openssl(
        directory,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=inner.example -addext subjectAltName=DNS:inner.example -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem",
    );
    let certificate = CertificateDer::from_pem_file(directory.join("cert.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they fit");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { answer_all(acceptor.accept(stream).await?, ok("secure")).await });
        }
    });
    SocketAddr::new(LOOPBACK, port)
}

#[tokio::test]
async fn https_trusts_the_ca_file_and_checks_the_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let port = tls_server(directory.path()).await.port();
    let book = Book::with(&[("inner.example", LOOPBACK), ("other.example", LOOPBACK)]);
    let https = |host: &str, trusted: bool| DestinationSettings {
        grants: granted(&["*.example:*"]),
        ca_file: trusted.then(|| directory.path().join("cert.pem")),
        ..settings(json!({"mode": "http-get", "url": format!("https://{host}:{port}/")}), PluginLimits::default())
    };
    let said = seen(https("inner.example", true), &book).await;
    assert!(said.contains("status=200 body=secure"), "{said}");
    let said = seen(https("inner.example", false), &book).await;
    assert!(!said.contains("status=200"), "an unknown root was trusted: {said}");
    let said = seen(https("other.example", true), &book).await;
    assert!(!said.contains("status=200"), "a certificate of another name was taken: {said}");
    std::fs::write(directory.path().join("cert.pem"), "nothing").expect("written");
    let error = WasmDestination::new(hostile().await, https("inner.example", true)).err().expect("refused");
    assert!(error.to_string().contains("there is no certificate in it"), "{error}");
}
