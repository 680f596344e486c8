//! Who gets in: users with their roles, tokens with their scopes.

use askama::Template;
use jiff::Timestamp;

use super::frame::{Frame, Section};
use super::login::PASSWORD_MIN;
use super::part::{Choice, Tone};
use super::written;

/// What `/users` shows.
///
/// Its forms post to `/users`: `action` = `add` (`name`, `role`, `password`, `repeated`), `role` (`name`, `role`), `remove` (`name`).
#[derive(Debug, Clone)]
pub struct Users {
    /// The users.
    pub users: Vec<User>,
    /// Roles to choose from, with what each may do.
    pub roles: Vec<Choice>,
    /// What is wrong with what was filled in.
    pub fault: Option<String>,
}

/// One user.
#[derive(Debug, Clone)]
pub struct User {
    /// Name.
    pub name: String,
    /// Role, as it is posted.
    pub role: String,
    /// Whether there is a second factor.
    pub totp: bool,
    /// Since when.
    pub created: Timestamp,
    /// Last login.
    pub last_login: Option<Timestamp>,
    /// Whether it is who looks: nobody removes themselves.
    pub own: bool,
}

/// What `/tokens` shows.
///
/// Its forms post to `/tokens`: `action` = `create` (`name`, `scope` (many), `tenants` (one a line), `days` (empty: no end)), `revoke`
/// (`id`). The answer to `create` is this page with `made`, and is never kept by a browser.
#[derive(Clone)]
pub struct Tokens {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// Scopes to choose from: what each allows, in words.
    pub scopes: Vec<Choice>,
    /// The token that was just made; shown once.
    pub made: Option<String>,
    /// What is wrong with what was filled in.
    pub fault: Option<String>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

/// One token.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// Its scopes, as they are written.
    pub scopes: Vec<String>,
    /// The tenants that it is for; `None`: all.
    pub tenants: Option<Vec<String>>,
    /// Since when.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// When it was used last.
    pub last_used: Option<Timestamp>,
    /// Whether it was revoked.
    pub revoked: bool,
}

#[derive(Template)]
#[template(path = "page/users.html")]
struct UsersPage<'a> {
    frame: &'a Frame,
    view: &'a Users,
    title: &'a str,
}

#[derive(Template)]
#[template(path = "page/tokens.html")]
struct TokensPage<'a> {
    frame: &'a Frame,
    view: &'a Tokens,
    title: &'a str,
}

/// `/users` as HTML.
pub fn render_users(frame: &Frame, view: &Users) -> String {
    written(&UsersPage { frame, view, title: Section::Users.title(frame.locale) })
}

/// `/tokens` as HTML.
pub fn render_tokens(frame: &Frame, view: &Tokens) -> String {
    written(&TokensPage { frame, view, title: Section::Tokens.title(frame.locale) })
}

impl User {
    fn is(&self, role: &Choice) -> bool {
        self.role == role.value
    }
}

impl Token {
    fn state(&self, frame: &Frame) -> super::Html {
        match self.expires {
            _ if self.revoked => frame.badge(Tone::Plain, frame.t("revogado", "revoked")),
            Some(expires) if expires <= frame.now => frame.badge(Tone::Plain, frame.t("expirado", "ended")),
            _ => frame.badge(Tone::Good, frame.t("ativo", "active")),
        }
    }
}
