//! The service's failures in the contract's terms ("Resolve errors", Drive API; RFC 6749 section 5.2 for tokens).

use std::time::Duration;

use cofre_sdk::http::Response;
use cofre_sdk::{Error, ErrorKind};
use serde::Deserialize;

/// Characters of the service's own words that are passed on.
const WORDS: usize = 300;

/// Bytes of an answer to a failure that are looked at.
const LONGEST_FAILURE: u64 = 64 << 10;

/// What an answer that is no success means. Reads its body.
pub(crate) fn from_answer(mut answer: Response) -> Error {
    // The status says enough where the answer to a failure cannot be read.
    let body = answer.body_to_vec(LONGEST_FAILURE).unwrap_or_default();
    let failure = serde_json::from_slice::<Envelope>(&body).map(|envelope| envelope.error).unwrap_or_default();
    let status = answer.status();
    let reason = failure.reason();
    let (kind, retryable) = meaning(status, reason);
    let words = if failure.message.is_empty() { format!("the service answered {status}") } else { clean(&failure.message) };
    let message = match mend(status, reason) {
        Some(mend) => format!("{words} ({mend})"),
        None => words,
    };
    let error = Error::new(kind, message).retryable(retryable).retry_after(wait(&answer)).with("status", status);
    if reason.is_empty() { error } else { error.with("reason", clean(reason)) }
}

/// What a refused request for an access token means.
pub(crate) fn from_token_answer(mut answer: Response) -> Error {
    let body = answer.body_to_vec(LONGEST_FAILURE).unwrap_or_default();
    let failure: TokenFailure = serde_json::from_slice(&body).unwrap_or_default();
    let status = answer.status();
    let (kind, mend) = match failure.error.as_str() {
        "invalid_grant" => (
            ErrorKind::AccessDenied,
            "the refresh token was revoked or has expired, or the service account's key was removed, or this machine's clock is wrong",
        ),
        "invalid_client" | "unauthorized_client" | "deleted_client" | "org_internal" | "admin_policy_enforced" => {
            (ErrorKind::AccessDenied, "check the secrets `client_id` and `client_secret`, or the service account's delegation")
        }
        "invalid_scope" | "access_denied" => (ErrorKind::AccessDenied, "the account may not be used for Drive"),
        "rate_limit_exceeded" => (ErrorKind::RateLimited, "the service asks to slow down"),
        _ if status < 500 && status != 429 => (ErrorKind::AccessDenied, "the service gives no access token for these credentials"),
        _ => (Error::from_http(status, b"").kind(), "the service gives no access token now"),
    };
    let words = [failure.error.as_str(), failure.error_description.as_str()].map(clean).join(" ");
    let error = Error::new(kind, format!("cannot get an access token: {} ({mend})", words.trim()));
    error.retry_after(wait(&answer)).with("status", status)
}

fn wait(answer: &Response) -> Option<Duration> {
    answer.header("retry-after").and_then(|value| value.trim().parse().ok()).map(Duration::from_secs)
}

#[derive(Debug, Default, Deserialize)]
struct Envelope {
    error: Failure,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Failure {
    message: String,
    errors: Vec<Item>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item {
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenFailure {
    error: String,
    error_description: String,
}

impl Failure {
    fn reason(&self) -> &str {
        self.errors.first().map_or("", |item| item.reason.as_str())
    }
}

/// Kind, and whether the same request may succeed later; by the status where the reason says nothing.
fn meaning(status: u16, reason: &str) -> (ErrorKind, bool) {
    use ErrorKind as Kind;
    match reason {
        "rateLimitExceeded" | "userRateLimitExceeded" | "sharingRateLimitExceeded" | "dailyLimitExceeded" => (Kind::RateLimited, true),
        "storageQuotaExceeded"
        | "quotaExceeded"
        | "teamDriveFileLimitExceeded"
        | "numChildrenInNonRootLimitExceeded"
        | "activeItemCreationLimitExceeded" => (Kind::OutOfSpace, false),
        "teamDriveHierarchyTooDeep" | "fileLocked" => (Kind::Unsupported, false),
        "backendError" | "internalError" | "transientError" => (Kind::Unavailable, true),
        _ if status == 400 => (Kind::InvalidConfig, false),
        _ => {
            let by_status = Error::from_http(status, b"");
            (by_status.kind(), by_status.is_retryable())
        }
    }
}

/// What the administrator can do about it.
fn mend(status: u16, reason: &str) -> Option<&'static str> {
    Some(match reason {
        "insufficientPermissions" => {
            "the credentials were granted less than is needed: log in again with the scope `drive.file` or `drive`"
        }
        "insufficientFilePermissions" | "insufficientParentPermissions" | "cannotAddChildren" | "teamDriveMembershipRequired" => {
            "the account may not do this here: make it an editor or content manager; without the right to delete, set `trash`"
        }
        "appNotAuthorizedToFile" => "with the scope `drive.file` only folders that cofre made itself can be used: leave out `folder_id`",
        "accessNotConfigured" => "enable the Google Drive API in the project of these credentials",
        "storageQuotaExceeded" => "make room, or buy some; a service account has none of its own: use a shared drive, or `impersonate`",
        _ if status == 401 => "the access token was refused",
        _ => return None,
    })
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response::from_reader(status, headers, std::io::Cursor::new(body.as_bytes().to_vec()))
    }

    #[test]
    fn each_reason_has_its_kind_and_says_whether_to_try_again() {
        for (status, reason, kind, retryable) in [
            (403, "userRateLimitExceeded", ErrorKind::RateLimited, true),
            (403, "rateLimitExceeded", ErrorKind::RateLimited, true),
            (429, "", ErrorKind::RateLimited, true),
            (403, "storageQuotaExceeded", ErrorKind::OutOfSpace, false),
            (403, "insufficientPermissions", ErrorKind::AccessDenied, false),
            (403, "", ErrorKind::AccessDenied, false),
            (401, "authError", ErrorKind::AccessDenied, false),
            (404, "notFound", ErrorKind::NotFound, false),
            (400, "invalid", ErrorKind::InvalidConfig, false),
            (500, "backendError", ErrorKind::Unavailable, true),
            (503, "", ErrorKind::Unavailable, true),
        ] {
            let body = format!(r#"{{"error": {{"code": {status}, "message": "words", "errors": [{{"reason": "{reason}"}}]}}}}"#);
            let error = from_answer(answer(status, &[("retry-after", "7")], &body));
            assert_eq!(
                (error.kind(), error.is_retryable(), error.wait()),
                (kind, retryable, Some(Duration::from_secs(7))),
                "{status} {reason}"
            );
            assert!(error.message().starts_with("words"), "{error}");
        }
    }

    #[test]
    fn a_refused_token_is_a_matter_of_access_and_an_answer_that_is_no_json_of_its_status() {
        let error =
            from_token_answer(answer(400, &[], r#"{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}"#));
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::AccessDenied, false));
        assert!(error.message().contains("Token has been expired or revoked."), "{error}");
        assert_eq!(from_token_answer(answer(503, &[], "<html>")).kind(), ErrorKind::Unavailable);
        assert_eq!(from_token_answer(answer(429, &[("retry-after", "2")], "")).wait(), Some(Duration::from_secs(2)));
        assert_eq!(from_answer(answer(403, &[], "deletion is not granted")).kind(), ErrorKind::AccessDenied);
    }
}
