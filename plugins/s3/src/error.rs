//! The service's failures in the contract's terms. Only code, message and request identifier are passed on: an S3 error may also carry
//! the access key and the string that was signed.

use std::time::Duration;

use cofre_sdk::{Error, ErrorKind};

use crate::transport::Answer;
use crate::xml::{self, Failure};

/// Characters of the service's own words that are passed on.
const WORDS: usize = 300;

/// What an answer that is no success means.
pub(crate) fn from_answer(answer: &Answer, body: &[u8]) -> Error {
    let failure = xml::failure(body).unwrap_or_default();
    let mut error = from_failure(answer.status, &failure);
    if let Some(seconds) = answer.header("retry-after").and_then(|value| value.trim().parse().ok()) {
        error = error.retry_after(Some(Duration::from_secs(seconds)));
    }
    match failure.request_id.as_deref().or(answer.header("x-amz-request-id")) {
        Some(id) => error.with("request", clean(id)),
        None => error,
    }
}

/// What a failure's code means; the status where the code says nothing.
pub(crate) fn from_failure(status: u16, failure: &Failure) -> Error {
    let (kind, retryable) = if is_about_locks(failure) { (ErrorKind::InvalidConfig, false) } else { meaning(status, &failure.code) };
    let words = if failure.message.is_empty() { format!("the service answered {status}") } else { clean(&failure.message) };
    let message = match mend(failure) {
        Some(mend) => format!("{words} ({mend})"),
        None => words,
    };
    let error = Error::new(kind, message).retryable(retryable).with("status", status);
    if failure.code.is_empty() { error } else { error.with("code", clean(&failure.code)) }
}

/// Kind, and whether the same request may succeed later.
fn meaning(status: u16, code: &str) -> (ErrorKind, bool) {
    use ErrorKind as Kind;
    match code {
        "SlowDown" | "TooManyRequests" | "RequestLimitExceeded" | "ThrottlingException" | "Throttling" | "BandwidthLimitExceeded" => {
            (Kind::RateLimited, true)
        }
        "RequestTimeout" => (Kind::Timeout, true),
        "InternalError" | "ServiceUnavailable" | "OperationAborted" => (Kind::Unavailable, true),
        "NoSuchBucket"
        | "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "InvalidBucketName"
        | "InvalidStorageClass"
        | "EntityTooSmall"
        | "InvalidArgument"
        | "RequestTimeTooSkewed"
        | "KMS.NotFoundException"
        | "InvalidRange" => (Kind::InvalidConfig, false),
        "AccessDenied"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "AccountProblem"
        | "AllAccessDisabled"
        | "InvalidObjectState"
        | "NotSignedUp" => (Kind::AccessDenied, false),
        "NoSuchKey" | "NotFound" | "NoSuchObjectLockConfiguration" => (Kind::NotFound, false),
        "NoSuchUpload" | "InvalidPart" | "InvalidPartOrder" => (Kind::SessionLost, false),
        "QuotaExceeded" | "XMinioStorageFull" | "EntityTooLarge" | "XAmzQuotaExceeded" => (Kind::OutOfSpace, false),
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "IncompleteBody" => {
            (Kind::Integrity, true)
        }
        "PreconditionFailed" => (Kind::AlreadyExists, false),
        "NotImplemented" | "MethodNotAllowed" => (Kind::Unsupported, false),
        _ => {
            let by_status = Error::from_http(status, b"");
            match status {
                300..=399 => (Kind::InvalidConfig, false),
                _ => (by_status.kind(), by_status.is_retryable()),
            }
        }
    }
}

/// Whether the bucket has no Object Lock; the code alone says that of many things.
fn is_about_locks(failure: &Failure) -> bool {
    failure.code == "ObjectLockConfigurationNotFoundError"
        || (failure.code == "InvalidRequest" && failure.message.to_ascii_lowercase().contains("object lock"))
}

/// What the administrator can do about it.
fn mend(failure: &Failure) -> Option<String> {
    if is_about_locks(failure) {
        return Some("use a bucket that was made with Object Lock, or leave /object_lock and /legal_hold out".to_owned());
    }
    Some(match failure.code.as_str() {
        "NoSuchBucket" => "create the bucket, or correct /bucket".to_owned(),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => match &failure.region {
            Some(region) => format!("the bucket is in `{}`; correct /region", clean(region)),
            None => "the bucket is in another region; correct /region or /endpoint".to_owned(),
        },
        "RequestTimeTooSkewed" => "this machine's clock is wrong; set it".to_owned(),
        "InvalidAccessKeyId" => "the service does not know the secret `access_key_id`".to_owned(),
        "SignatureDoesNotMatch" => "check the secret `secret_access_key`, then /region".to_owned(),
        "ExpiredToken" | "InvalidToken" => "renew the secret `session_token`".to_owned(),
        "InvalidObjectState" => "the object is in an archive class; restore it at the service first".to_owned(),
        _ => return None,
    })
}

/// The service's words, fit for a line.
pub(crate) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Answer { status, headers, body: Box::new(std::io::empty()) }
    }

    fn coded(status: u16, code: &str) -> Error {
        from_answer(&answer(status, &[]), format!("<Error><Code>{code}</Code><Message>words</Message></Error>").as_bytes())
    }

    #[test]
    fn each_code_has_its_kind_and_says_whether_to_try_again() {
        for (status, code, kind, retryable) in [
            (503, "SlowDown", ErrorKind::RateLimited, true),
            (403, "RequestTimeTooSkewed", ErrorKind::InvalidConfig, false),
            (404, "NoSuchBucket", ErrorKind::InvalidConfig, false),
            (404, "NoSuchKey", ErrorKind::NotFound, false),
            (403, "InvalidAccessKeyId", ErrorKind::AccessDenied, false),
            (403, "SignatureDoesNotMatch", ErrorKind::AccessDenied, false),
            (403, "AccessDenied", ErrorKind::AccessDenied, false),
            (400, "EntityTooSmall", ErrorKind::InvalidConfig, false),
            (404, "NoSuchUpload", ErrorKind::SessionLost, false),
            (403, "QuotaExceeded", ErrorKind::OutOfSpace, false),
            (400, "BadDigest", ErrorKind::Integrity, true),
            (400, "RequestTimeout", ErrorKind::Timeout, true),
            (500, "InternalError", ErrorKind::Unavailable, true),
            (418, "Unheard", ErrorKind::Other, false),
            (502, "", ErrorKind::Unavailable, true),
        ] {
            let error = coded(status, code);
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{status} {code}");
        }
    }

    #[test]
    fn the_wait_that_the_service_asks_for_is_passed_on() {
        let error = from_answer(&answer(503, &[("retry-after", "7")]), b"<Error><Code>SlowDown</Code></Error>");
        assert_eq!(error.wait(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn what_was_signed_never_shows() {
        let body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><AWSAccessKeyId>AKSECRET</AWSAccessKeyId><StringToSign>AKSECRET</StringToSign></Error>";
        let text = from_answer(&answer(403, &[]), body).to_string();
        assert!(!text.contains("AKSECRET") && text.contains("secret_access_key"), "{text}");
    }

    #[test]
    fn a_wrong_region_names_the_right_one() {
        let body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong region</Message><Region>eu-west-3</Region></Error>";
        assert!(from_answer(&answer(400, &[]), body).message().contains("`eu-west-3`"));
    }
}
