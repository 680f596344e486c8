//! What went wrong, as a program reads it (RFC 9457): a kind whose address never changes, and a sentence that names the mend.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::access::{AccessError, Refusal, Scope};
use crate::audit::AuditError;
use crate::catalog::CatalogError;
use crate::job::{FetchError, JobError};
use crate::spool::SpoolError;

/// Media type of a problem.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// What programs are told to come with.
const CHALLENGE: &str = "Bearer realm=\"cofre\"";
/// Longest sentence, in characters.
const DETAIL_MAX: usize = 4_000;

/// What kind of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nobody knows who asks.
    Unauthenticated,
    /// Whoever asks has not the right.
    Scope,
    /// Whoever asks is limited to tenants, and this is about others, or about everything.
    Tenant,
    /// A session asks for a change without its own word for that.
    Csrf,
    /// The request names another host.
    Host,
    /// It is not there.
    NotFound,
    /// It cannot be asked this way.
    Method,
    /// It cannot be read.
    Malformed,
    /// It is larger than it may be.
    TooLarge,
    /// It is of another media type.
    MediaType,
    /// It can be read, and makes no sense here.
    Invalid,
    /// Other work is in the way.
    Busy,
    /// It does not fit what is there.
    Conflict,
    /// The idempotency key was used for something else.
    KeyReused,
    /// The first request with this idempotency key has not ended, or showed a secret.
    KeyInUse,
    /// There is too much of it.
    TooMany,
    /// A destination or a server is out of reach, or refused.
    Unreachable,
    /// A copy is damaged.
    Damage,
    /// The configuration, or something that belongs to it, is of no use.
    Configuration,
    /// It took too long.
    Late,
    /// It was cancelled.
    Cancelled,
    /// Anything else.
    Failed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Unauthenticated,
        Self::Scope,
        Self::Tenant,
        Self::Csrf,
        Self::Host,
        Self::NotFound,
        Self::Method,
        Self::Malformed,
        Self::TooLarge,
        Self::MediaType,
        Self::Invalid,
        Self::Busy,
        Self::Conflict,
        Self::KeyReused,
        Self::KeyInUse,
        Self::TooMany,
        Self::Unreachable,
        Self::Damage,
        Self::Configuration,
        Self::Late,
        Self::Cancelled,
        Self::Failed,
    ];

    /// Its name, which never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Scope => "scope",
            Self::Tenant => "tenant",
            Self::Csrf => "csrf",
            Self::Host => "host",
            Self::NotFound => "not-found",
            Self::Method => "method",
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::MediaType => "media-type",
            Self::Invalid => "invalid",
            Self::Busy => "busy",
            Self::Conflict => "conflict",
            Self::KeyReused => "key-reused",
            Self::KeyInUse => "key-in-use",
            Self::TooMany => "too-many",
            Self::Unreachable => "unreachable",
            Self::Damage => "damage",
            Self::Configuration => "configuration",
            Self::Late => "late",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Its address.
    pub fn address(self) -> String {
        format!("/problems/{}", self.name())
    }

    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Scope | Self::Tenant | Self::Csrf => StatusCode::FORBIDDEN,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy | Self::Conflict | Self::KeyInUse | Self::Cancelled => StatusCode::CONFLICT,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Unreachable => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Damage | Self::Configuration | Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What it means, in one line.
    pub fn title(self) -> &'static str {
        match self {
            Self::Unauthenticated => "A token or a session is needed",
            Self::Scope => "The right for this is missing",
            Self::Tenant => "This is not of the tenants that the token is limited to",
            Self::Csrf => "The header X-CSRF-Token of this session is missing",
            Self::Host => "The request is for another host",
            Self::NotFound => "There is no such thing",
            Self::Method => "It cannot be asked this way",
            Self::Malformed => "The request cannot be read",
            Self::TooLarge => "The request is too large",
            Self::MediaType => "The body must be JSON",
            Self::Invalid => "The request makes no sense here",
            Self::Busy => "Other work is in the way",
            Self::Conflict => "It does not fit what is there",
            Self::KeyReused => "The idempotency key was used for another request",
            Self::KeyInUse => "The first request with this idempotency key cannot be repeated now",
            Self::TooMany => "There is too much at once",
            Self::Unreachable => "A destination or a server does not answer as it should",
            Self::Damage => "A copy is damaged",
            Self::Configuration => "The configuration does not hold",
            Self::Late => "It took too long",
            Self::Cancelled => "It was cancelled",
            Self::Failed => "It could not be done",
        }
    }
}

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind it is.
    pub kind: Kind,
    /// What happened to what, why, and the mend.
    pub detail: String,
    /// The right that is missing.
    pub scope: Option<Scope>,
}

/// A problem, as it is sent.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct ProblemView {
    /// Its kind, which never changes.
    #[serde(rename = "type")]
    kind: String,
    /// What the kind means.
    title: &'static str,
    /// The status.
    status: u16,
    /// What happened to what, why, and the mend.
    detail: String,
    /// The right that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(DETAIL_MAX) {
            detail.truncate(end);
        }
        Self { kind, detail, scope: None }
    }

    /// Whoever asks has not this right.
    pub fn missing(scope: Scope) -> Self {
        let detail = format!("this needs the scope `{scope}`; ask an administrator for a token, or a role, that has it");
        Self { scope: Some(scope), ..Self::new(Kind::Scope, detail) }
    }

    /// It is not there.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what}"))
    }

    pub(super) fn view(&self) -> ProblemView {
        ProblemView {
            kind: self.kind.address(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: self.detail.clone(),
            scope: self.scope.map(Scope::name),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.kind.status().is_server_error() {
            tracing::warn!(problem = self.kind.name(), "{}", self.detail);
        }
        let body = serde_json::to_vec(&self.view()).unwrap_or_default();
        let mut response = (self.kind.status(), [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if self.kind == Kind::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let error = match error {
            JobError::Access(error) => return error.into(),
            other => other,
        };
        let kind = match &error {
            JobError::Request(_) => Kind::Invalid,
            JobError::Spool(SpoolError::Busy { .. }) => Kind::Busy,
            JobError::Config(_) | JobError::Plugin(_) | JobError::Catalog(_) | JobError::Audit(_) => Kind::Configuration,
            JobError::Destination { .. } | JobError::Mysql(_) => Kind::Unreachable,
            // One that is still being written is as incomplete as one whose end never came.
            JobError::Fetch(FetchError::Incomplete { .. }) => Kind::Conflict,
            JobError::Cancelled => Kind::Cancelled,
            error if error.is_damage() => Kind::Damage,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        Self::new(Kind::Configuration, error.to_string())
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        Self::new(Kind::Configuration, error.to_string())
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let kind = match &error {
            AccessError::Refused(Refusal::NoUser(_) | Refusal::NoToken(_)) => Kind::NotFound,
            AccessError::Refused(Refusal::UserExists(_) | Refusal::LastAdministrator(_) | Refusal::SetUpAlready) => Kind::Conflict,
            AccessError::Refused(Refusal::MoreThanOwn) => Kind::Scope,
            AccessError::Refused(Refusal::Busy | Refusal::Full(_)) => Kind::TooMany,
            AccessError::Refused(_) => Kind::Invalid,
            _ => Kind::Configuration,
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_an_address_of_its_own() {
        let addresses: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.address()).collect();
        assert_eq!(addresses.len(), Kind::ALL.len());
    }

    #[test]
    fn who_is_unknown_is_told_how_to_come_and_who_lacks_a_right_which() {
        let response = Problem::new(Kind::Unauthenticated, "x").into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], CHALLENGE);
        let view = serde_json::to_value(Problem::missing(Scope::RunCreate).view()).expect("JSON");
        assert_eq!((view["type"].as_str(), view["scope"].as_str()), (Some("/problems/scope"), Some("run:create")));
    }

    #[test]
    fn a_run_that_is_active_is_a_conflict_that_names_it() {
        let busy = Problem::from(JobError::Spool(SpoolError::Busy { holder: "process 7".to_owned() }));
        assert_eq!(busy.kind.status(), StatusCode::CONFLICT);
        assert!(busy.detail.contains("process 7"));
    }
}
