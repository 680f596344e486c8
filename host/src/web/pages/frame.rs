//! What every page needs before it can be filled: who looks, in which language and colours, and what there is to say of the last thing that
//! was asked for.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{FromRequestParts, Request, State as Extract};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::super::caller::{Caller, Peer, REFRESH_HEADER};
use super::super::endpoint::Ask;
use super::super::problem::{Kind, Problem};
use super::super::state::State;
use super::form::Form;
use crate::access::{PrincipalKind, Role, Scope};
use crate::job::Context;
use crate::page::error::{self, ErrorView, Fault};
use crate::page::{Frame, Notice, Section, Theme, Tone, UserBadge};
use crate::text::Locale;

const LOCALE_COOKIE: &str = "cofre_locale";
const THEME_COOKIE: &str = "cofre_theme";
const NOTICE_COOKIE: &str = "cofre_notice";
/// How long a choice is remembered.
const YEAR: u64 = 365 * 86_400;
/// How long a notice waits for its page.
const NOTICE_KEPT: u64 = 60;
/// Longest notice, in characters.
const NOTICE_MAX: usize = 1_000;

/// Somebody who looks at a page.
pub(in super::super) struct Visit {
    /// What every request finds.
    pub state: State,
    /// The configuration, opened for whoever looks.
    pub context: Context,
    /// Who looks.
    pub caller: Caller,
    /// What surrounds the page.
    pub frame: Frame,
    peer: IpAddr,
    secure: bool,
    part: bool,
    had_notice: bool,
}

/// What a page answers, also where something is wrong.
pub(in super::super) type Answer = Result<Response, Wrong>;

/// A problem, as a page.
pub(in super::super) struct Wrong {
    problem: Problem,
    frame: Box<Frame>,
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let view = ErrorView { fault: fault(self.problem.kind), detail: Some(self.problem.detail), trace: None };
        let html = error::render(&self.frame, &view);
        (self.problem.kind.status(), Html(html)).into_response()
    }
}

/// What a kind of problem is to a person.
fn fault(kind: Kind) -> Fault {
    match kind {
        Kind::Scope | Kind::Tenant | Kind::Unauthenticated => Fault::Forbidden,
        Kind::NotFound => Fault::NotFound,
        Kind::Method => Fault::Method,
        Kind::Conflict | Kind::KeyReused | Kind::KeyInUse | Kind::Cancelled => Fault::Conflict,
        Kind::TooLarge => Fault::TooLarge,
        Kind::TooMany => Fault::TooMany,
        Kind::Busy => Fault::Busy,
        Kind::Csrf | Kind::Host | Kind::Malformed | Kind::MediaType | Kind::Invalid => Fault::Request,
        Kind::Unreachable | Kind::Damage | Kind::Configuration | Kind::Late | Kind::Failed => Fault::Internal,
    }
}

impl FromRequestParts<State> for Visit {
    type Rejection = Response;

    /// Whoever is not known yet is asked who they are, and comes back.
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Response> {
        let Some(caller) = parts.extensions.get::<Caller>().cloned() else { return Err(to_login(state, parts)) };
        let context = state.context_for(&caller);
        let mut frame = plain(&context, &parts.headers);
        frame.user = Some(badge(&caller, frame.locale));
        caller.csrf().unwrap_or_default().clone_into(&mut frame.csrf);
        frame.host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        frame.open = Section::ALL.into_iter().filter(|section| may_see(&caller, *section)).collect();
        frame.problems = context.catalog.problems().map_or(0, |open| u32::try_from(open.len()).unwrap_or(u32::MAX));
        let notice = cookie(&parts.headers, NOTICE_COOKIE).and_then(read_notice);
        let had_notice = notice.is_some();
        frame.notice = notice;
        let secure = is_secure(state, parts);
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip());
        let part = parts.headers.contains_key(REFRESH_HEADER);
        Ok(Self { state: state.clone(), context, caller, frame, peer, secure, part, had_notice })
    }
}

impl Visit {
    /// The place in the navigation; refuses whoever may not see it.
    pub(super) fn at(mut self, section: Section) -> Result<Self, Wrong> {
        self.frame.active = section;
        if may_see(&self.caller, section) { Ok(self) } else { Err(self.wrong(refusal(section))) }
    }

    /// Whether they have a right.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.caller.principal.may(scope)
    }

    /// Refuses whoever has a right not.
    pub(super) fn demand(&self, scope: Scope) -> Result<(), Wrong> {
        if self.may(scope) { Ok(()) } else { Err(self.wrong(Problem::missing(scope))) }
    }

    /// The other end of the connection.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Whether the page's script asks for a newer part of a page, and nobody for the page itself.
    pub(super) fn is_part(&self) -> bool {
        self.part
    }

    /// Whether the browser's connection is under TLS.
    pub(super) fn secure(&self) -> bool {
        self.secure
    }

    /// The same request as the API's, whose right was looked at.
    pub(super) fn ask<B>(&self, body: B) -> Ask<B> {
        Ask::of(self.state.clone(), (self.context.clone(), self.caller.clone()), body)
    }

    /// One of two texts.
    pub(super) fn t<'a>(&self, portuguese: &'a str, english: &'a str) -> &'a str {
        self.frame.locale.pick(portuguese, english)
    }

    /// A problem, as a page.
    pub(super) fn wrong(&self, problem: impl Into<Problem>) -> Wrong {
        Wrong { problem: problem.into(), frame: Box::new(self.frame.clone()) }
    }

    /// Does what reads files or the catalogue for longer on a thread that may wait.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Context) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Wrong> {
        super::super::endpoint::aside(&self.context, work).await.map_err(|problem| self.wrong(problem))
    }

    /// Reads a form, and refuses one without the word of whoever sends it.
    pub(super) async fn sent(&self, request: Request) -> Result<Form, Wrong> {
        let (parts, body) = request.into_parts();
        let form = Form::read(&parts.headers, body).await.map_err(|problem| self.wrong(problem))?;
        if self.caller.may_change(Some(form.text("csrf"))) {
            return Ok(form);
        }
        let detail = self.t("O formulário é antigo: abra a página novamente.", "The form is old: open the page again.");
        Err(self.wrong(Problem::new(Kind::Csrf, detail)))
    }

    /// The page.
    pub(super) fn page(&self, html: String) -> Response {
        let mut response = Html(html).into_response();
        if self.had_notice {
            set(&mut response, &bake((NOTICE_COOKIE, ""), 0, self.secure));
        }
        response
    }

    /// To another page, which says what came of this.
    pub(super) fn on(&self, address: &str, (tone, text): (Tone, &str)) -> Response {
        let mut response = see(address);
        let text: String = text.chars().take(NOTICE_MAX).collect();
        let written = URL_SAFE_NO_PAD.encode(format!("{}{text}", letter(tone)));
        set(&mut response, &bake((NOTICE_COOKIE, &written), NOTICE_KEPT, self.secure));
        response
    }
}

/// To another page.
pub(in super::super) fn see(address: &str) -> Response {
    Redirect::to(address).into_response()
}

/// The frame of a page for somebody who is not known: language and colours.
pub(super) fn plain(context: &Context, headers: &HeaderMap) -> Frame {
    let chosen = cookie(headers, LOCALE_COOKIE).and_then(named_locale);
    let asked = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).and_then(asked_locale);
    let configured = || Locale::choose(None, context.config.locale.as_deref());
    Frame {
        locale: chosen.or(asked).unwrap_or_else(configured),
        theme: cookie(headers, THEME_COOKIE).and_then(Theme::named).unwrap_or_default(),
        user: None,
        csrf: String::new(),
        active: Section::Outside,
        nonce: String::new(),
        problems: 0,
        host: String::new(),
        zone: context.config.zone.clone(),
        now: Timestamp::now(),
        open: Vec::new(),
        notice: None,
    }
}

fn named_locale(name: &str) -> Option<Locale> {
    match name {
        "pt-BR" => Some(Locale::PtBr),
        "en" => Some(Locale::En),
        _ => None,
    }
}

/// The first language of ours that a browser asks for, in the order that it names them.
fn asked_locale(header: &str) -> Option<Locale> {
    header.split(',').find_map(|part| {
        let tag = part.split(';').next().unwrap_or_default().trim();
        match tag.split('-').next().unwrap_or_default() {
            "pt" => Some(Locale::PtBr),
            "en" => Some(Locale::En),
            _ => None,
        }
    })
}

/// What is posted to `/preferences`: a language, or colours.
pub(super) async fn prefer(Extract(state): Extract<State>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let secure = is_secure(&state, &parts);
    let back = back_to(&parts.headers);
    // It changes nothing but this browser's own cookies, and whoever logs in may choose too.
    let form = match Form::read(&parts.headers, body).await {
        Ok(form) => form,
        Err(problem) => return problem.into_response(),
    };
    let mut response = see(&back);
    if let Some(locale) = form.some("locale").filter(|name| named_locale(name).is_some()) {
        set(&mut response, &bake((LOCALE_COOKIE, locale), YEAR, secure));
    }
    if let Some(theme) = form.some("theme").and_then(Theme::named) {
        set(&mut response, &bake((THEME_COOKIE, theme.name()), YEAR, secure));
    }
    response
}

/// The page that a form was sent from, as far as it is one of ours.
fn back_to(headers: &HeaderMap) -> String {
    let from = headers.get(header::REFERER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<axum::http::Uri>().ok());
    let path = from.as_ref().and_then(|from| from.path_and_query()).map_or("/", |path| path.as_str());
    local(path).unwrap_or("/").to_owned()
}

/// An address of this site alone.
pub(super) fn local(address: &str) -> Option<&str> {
    // A browser takes tabs and line ends out of an address before it reads it.
    let is_local =
        address.starts_with('/') && !address.starts_with("//") && !address.contains(|letter: char| letter == '\\' || letter.is_control());
    is_local.then_some(address)
}

fn to_login(state: &State, parts: &Parts) -> Response {
    if state.access().needs_setup().unwrap_or(false) {
        return see("/login");
    }
    let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if parts.method == axum::http::Method::GET && wanted != "/" {
        let mut address = "/login?next=".to_owned();
        let _ = write!(address, "{}", form_urlencoded::byte_serialize(wanted.as_bytes()).collect::<String>());
        return see(&address);
    }
    see("/login")
}

/// Whether the browser's own connection is under TLS, here or at the proxy.
pub(super) fn is_secure(state: &State, parts: &Parts) -> bool {
    let here = parts.extensions.get::<Peer>().is_some_and(|peer| peer.secure);
    here || state.settings().public.as_ref().is_some_and(|public| public.text.starts_with("https:"))
}

fn badge(caller: &Caller, locale: Locale) -> UserBadge {
    let role = match &caller.principal.kind {
        PrincipalKind::User { role } | PrincipalKind::Proxy { role } => role_word(*role, locale),
        PrincipalKind::Token { .. } => "token",
    };
    UserBadge { name: caller.principal.name.clone(), role: role.to_owned() }
}

/// A role in words.
pub(super) fn role_word(role: Role, locale: Locale) -> &'static str {
    match role {
        Role::Viewer => locale.pick("Visualizador", "Viewer"),
        Role::Operator => locale.pick("Operador", "Operator"),
        Role::Administrator => locale.pick("Administrador", "Administrator"),
    }
}

fn may_see(caller: &Caller, section: Section) -> bool {
    let principal = &caller.principal;
    let whole = principal.tenants().is_none();
    match section {
        Section::Overview | Section::Runs | Section::Sets | Section::Checks | Section::Reports => whole && principal.may(Scope::StatusRead),
        Section::Restore => whole && principal.may(Scope::RestoreRead),
        Section::Tenants => principal.may(Scope::TenantDeliver),
        Section::Audit => whole && principal.may(Scope::AuditRead),
        Section::Settings | Section::Plugins => whole && principal.may(Scope::ConfigRead),
        Section::Users | Section::Tokens => whole && principal.may(Scope::AccessWrite),
        Section::Account => matches!(principal.kind, PrincipalKind::User { .. }),
        Section::Outside => true,
    }
}

fn refusal(section: Section) -> Problem {
    let scope = match section {
        Section::Restore => Scope::RestoreRead,
        Section::Tenants => Scope::TenantDeliver,
        Section::Audit => Scope::AuditRead,
        Section::Settings | Section::Plugins => Scope::ConfigRead,
        Section::Users | Section::Tokens => Scope::AccessWrite,
        _ => Scope::StatusRead,
    };
    Problem::missing(scope)
}

pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

fn bake((name, value): (&str, &str), age: u64, secure: bool) -> String {
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{}", if secure { "; Secure" } else { "" })
}

/// Adds a cookie to an answer.
pub(super) fn set(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// What has a secret in it is kept by no browser.
pub(super) fn keep_nowhere(response: &mut Response) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn letter(tone: Tone) -> char {
    match tone {
        Tone::Plain | Tone::Busy => 'p',
        Tone::Good => 'g',
        Tone::Warn => 'w',
        Tone::Bad => 'b',
    }
}

fn read_notice(written: &str) -> Option<Notice> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(written).ok()?).ok()?;
    let mut letters = text.chars();
    let tone = match letters.next()? {
        'g' => Tone::Good,
        'w' => Tone::Warn,
        'b' => Tone::Bad,
        _ => Tone::Plain,
    };
    Some(Notice { tone, text: letters.take(NOTICE_MAX).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_first_language_of_ours() {
        assert_eq!(asked_locale("fr-CH, pt;q=0.9, en;q=0.8"), Some(Locale::PtBr));
        assert_eq!(asked_locale("en-GB"), Some(Locale::En));
        assert_eq!(asked_locale("de, *;q=0.5"), None);
    }

    #[test]
    fn a_notice_comes_back_as_it_was_and_a_strange_one_not() {
        let written = URL_SAFE_NO_PAD.encode("wAtenção: <b>");
        let notice = read_notice(&written).expect("a notice");
        assert_eq!((notice.tone, notice.text.as_str()), (Tone::Warn, "Atenção: <b>"));
        assert!(read_notice("%%%").is_none() && read_notice("").is_none());
    }

    #[test]
    fn nobody_is_led_to_another_site() {
        for strange in ["/\t/evil.example", "/\u{7f}x", "https://x.example/", "//x.example", "/\\x.example", "x", "/a\r\nb: c"] {
            assert_eq!(local(strange), None, "{strange}");
        }
        assert_eq!(local("/sets?state=good"), Some("/sets?state=good"));
    }
}
