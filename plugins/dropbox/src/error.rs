//! The service's failures in the contract's terms ("Error handling", HTTP documentation): the status says whose fault it is, and for 409
//! the tags of `error_summary` say which one; the service itself offers its prefix for that.

use std::time::Duration;

use cofre_sdk::http::Response;
use cofre_sdk::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::Value;

/// Characters of the service's own words that are passed on.
const WORDS: usize = 300;

/// Bytes of an answer to a failure that are looked at.
const LONGEST_FAILURE: u64 = 64 << 10;

/// Detail of an error: the tags of the failure, from the outside in.
pub(crate) const TAGS: &str = "error";

/// Detail of an error: where the service's session is.
pub(crate) const CORRECT_OFFSET: &str = "correct offset";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Failure {
    error_summary: String,
    error: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenFailure {
    error: String,
    error_description: String,
}

/// What an answer that is no success means. Reads its body.
pub(crate) fn from_answer(mut answer: Response) -> Error {
    // The status says enough where the answer to a failure cannot be read.
    let body = answer.body_to_vec(LONGEST_FAILURE).unwrap_or_default();
    let failure: Failure = serde_json::from_slice(&body).unwrap_or_default();
    let status = answer.status();
    // `path/not_found/...`: the last part is a random number of dots.
    let tags = clean(failure.error_summary.trim_end_matches(['.', '/']));
    // Where a request is malformed, the answer is plain text.
    let text = if failure.error_summary.is_empty() { clean(&String::from_utf8_lossy(&body)) } else { String::new() };
    let (kind, retryable) = meaning(status, &tags, &text);
    let words = match (tags.as_str(), text.as_str()) {
        ("", "") => format!("the service answered {status}"),
        ("", text) => text.to_owned(),
        (tags, _) => format!("the service answered {tags}"),
    };
    let message = match mend(status, &tags) {
        Some(mend) => format!("{words} ({mend})"),
        None => words,
    };
    let in_body = failure.error.get("retry_after").and_then(Value::as_u64).map(Duration::from_secs);
    let error = Error::new(kind, message).retryable(retryable).retry_after(wait(&answer).or(in_body)).with("status", status);
    let error = if tags.is_empty() { error } else { error.with(TAGS, &tags) };
    match find(&failure.error, "correct_offset").and_then(Value::as_u64) {
        Some(offset) => error.with(CORRECT_OFFSET, offset),
        None => error,
    }
}

/// What a refused request for an access token means (RFC 6749 section 5.2).
pub(crate) fn from_token_answer(mut answer: Response) -> Error {
    let body = answer.body_to_vec(LONGEST_FAILURE).unwrap_or_default();
    let failure: TokenFailure = serde_json::from_slice(&body).unwrap_or_default();
    let status = answer.status();
    let (kind, mend) = match failure.error.as_str() {
        "invalid_grant" => {
            (ErrorKind::AccessDenied, "the refresh token was revoked, or is of another app; run `cofre login dropbox` again")
        }
        "invalid_client" | "unauthorized_client" => (ErrorKind::AccessDenied, "check the secrets `client_id` and `client_secret`"),
        _ if status < 500 && status != 429 => (ErrorKind::AccessDenied, "the service gives no access token for these credentials"),
        _ => (Error::from_http(status, b"").kind(), "the service gives no access token now"),
    };
    let words = [failure.error.as_str(), failure.error_description.as_str()].map(clean).join(" ");
    let error = Error::new(kind, format!("cannot get an access token: {} ({mend})", words.trim()));
    error.retry_after(wait(&answer)).with("status", status)
}

/// Whether the tags of an error have one of these.
pub(crate) fn has_tag(error: &Error, tags: &[&str]) -> bool {
    error.detail(TAGS).is_some_and(|found| found.split('/').any(|tag| tags.contains(&tag)))
}

fn wait(answer: &Response) -> Option<Duration> {
    answer.header("retry-after").and_then(|value| value.trim().parse().ok()).map(Duration::from_secs)
}

/// The value of a key, however deep.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|inner| find(inner, key))),
        _ => None,
    }
}

/// Kind, and whether the same request may succeed later.
fn meaning(status: u16, tags: &str, text: &str) -> (ErrorKind, bool) {
    use ErrorKind as Kind;
    if status == 409
        && let Some(meaning) = tags.split('/').rev().find_map(meaning_of_tag)
    {
        return meaning;
    }
    match status {
        // The app itself lacks a scope; there is no tag for that.
        400 if text.contains("required scope") => (Kind::AccessDenied, false),
        400 | 409 | 422 => (Kind::InvalidConfig, false),
        _ => {
            let by_status = Error::from_http(status, b"");
            (by_status.kind(), by_status.is_retryable())
        }
    }
}

/// What the innermost tag that says something says.
fn meaning_of_tag(tag: &str) -> Option<(ErrorKind, bool)> {
    use ErrorKind as Kind;
    Some(match tag {
        "not_found" | "not_file" | "not_folder" => (Kind::NotFound, false),
        "insufficient_space" | "insufficient_quota" => (Kind::OutOfSpace, false),
        "too_many_write_operations" | "too_many_requests" => (Kind::RateLimited, true),
        "no_write_permission" | "no_permission" | "restricted_content" | "operation_suppressed" | "email_not_verified" | "access_error" => {
            (Kind::AccessDenied, false)
        }
        "conflict" => (Kind::AlreadyExists, false),
        "content_hash_mismatch" => (Kind::Integrity, true),
        "incorrect_offset" | "internal_error" | "concurrent_session_data_not_allowed" | "reset" => (Kind::Unavailable, true),
        "closed" | "not_closed" => (Kind::SessionLost, false),
        "too_large" | "payload_too_large" | "unsupported_file" => (Kind::Unsupported, false),
        "malformed_path" | "disallowed_name" | "team_folder" | "invalid_root" => (Kind::InvalidConfig, false),
        _ => return None,
    })
}

/// What the administrator can do about it.
fn mend(status: u16, tags: &str) -> Option<&'static str> {
    let first = tags.split('/').next().unwrap_or_default();
    Some(match first {
        "missing_scope" => {
            "give the app the scopes `files.content.write`, `files.content.read`, `files.metadata.read` and `account_info.read`, then log in again"
        }
        "expired_access_token" | "invalid_access_token" => "the access token was refused",
        "invalid_select_user" => "correct /team_member_id",
        "invalid_root" => "correct /namespace_id",
        _ if tags.contains("insufficient_space") => "the account is full",
        _ if tags.contains("no_write_permission") => "the account may not write here",
        _ if tags.contains("team_folder") => "set /namespace_id to the team folder, or choose a folder inside one",
        _ if status == 422 => "correct /namespace_id",
        _ => return None,
    })
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(status: u16, headers: &[(&str, &str)], body: &str) -> Error {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        from_answer(Response::from_reader(status, headers, std::io::Cursor::new(body.as_bytes().to_vec())))
    }

    #[test]
    fn each_tag_has_its_kind_and_says_whether_to_try_again() {
        for (status, summary, kind, retryable) in [
            (409, "path/not_found/..", ErrorKind::NotFound, false),
            (409, "path/insufficient_space/", ErrorKind::OutOfSpace, false),
            (409, "path/reason/insufficient_space/...", ErrorKind::OutOfSpace, false),
            (409, "path/too_many_write_operations/.", ErrorKind::RateLimited, true),
            (409, "path/no_write_permission/.", ErrorKind::AccessDenied, false),
            (409, "path/conflict/file/.", ErrorKind::AlreadyExists, false),
            (409, "path/disallowed_name/", ErrorKind::InvalidConfig, false),
            (409, "content_hash_mismatch/", ErrorKind::Integrity, true),
            (409, "something/new/.", ErrorKind::InvalidConfig, false),
            (401, "expired_access_token/.", ErrorKind::AccessDenied, false),
            (401, "missing_scope/.", ErrorKind::AccessDenied, false),
            (422, "no_permission/.", ErrorKind::InvalidConfig, false),
            (429, "too_many_requests/.", ErrorKind::RateLimited, true),
            (500, "", ErrorKind::Unavailable, true),
        ] {
            let error = failed(status, &[], &format!(r#"{{"error_summary": "{summary}", "error": {{".tag": "x"}}}}"#));
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{status} {summary}");
        }
        let text = "Error in call to API function \"files/upload\": Your app is not permitted to access this endpoint because it does not have the required scope";
        assert_eq!(failed(400, &[], text).kind(), ErrorKind::AccessDenied);
    }

    #[test]
    fn the_wait_and_the_right_offset_are_found_wherever_they_are() {
        let body = r#"{"error_summary": "too_many_requests/.", "error": {"reason": {".tag": "too_many_requests"}, "retry_after": 300}}"#;
        assert_eq!(failed(429, &[], body).wait(), Some(Duration::from_mins(5)));
        assert_eq!(failed(429, &[("retry-after", "7")], body).wait(), Some(Duration::from_secs(7)));
        let body = r#"{"error_summary": "lookup_failed/incorrect_offset/..", "error": {".tag": "lookup_failed", "lookup_failed": {".tag": "incorrect_offset", "correct_offset": 4194304}}}"#;
        let error = failed(409, &[], body);
        assert_eq!((error.detail(CORRECT_OFFSET), error.is_retryable()), (Some("4194304"), true));
        assert!(has_tag(&error, &["incorrect_offset"]) && !has_tag(&error, &["not_found"]));
    }
}
