//! The service's failures in the contract's terms, by its code in `x-ms-error-code` ("Blob Service REST API error codes"), which HEAD has too.
//! Only code and request identifier are passed on: the message of a refused signature holds the text that was signed.

use std::time::Duration;

use cofre_sdk::http::Response;
use cofre_sdk::{Error, ErrorKind};

/// What an answer that is no success means.
pub(crate) fn from_answer(answer: &Response) -> Error {
    let code = clean(answer.header("x-ms-error-code").unwrap_or_default());
    let (kind, retryable) = meaning(answer.status(), &code);
    let words = if code.is_empty() { format!("the service answered {}", answer.status()) } else { format!("the service answered {code}") };
    let message = match mend(answer.status(), &code) {
        Some(mend) => format!("{words} ({mend})"),
        None => words,
    };
    let wait = answer.header("retry-after").and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
    let error = Error::new(kind, message).retryable(retryable).retry_after(wait).with("status", answer.status()).with("code", code);
    match answer.header("x-ms-request-id") {
        Some(id) => error.with("request", clean(id)),
        None => error,
    }
}

/// Kind, and whether the same request may succeed later.
fn meaning(status: u16, code: &str) -> (ErrorKind, bool) {
    use ErrorKind as Kind;
    match code {
        "ServerBusy" | "TooManyRequests" => (Kind::RateLimited, true),
        "OperationTimedOut" => (Kind::Timeout, true),
        "InternalError" | "ContainerBeingDeleted" | "ContainerDisabled" => (Kind::Unavailable, true),
        "AuthenticationFailed"
        | "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "AuthorizationProtocolMismatch"
        | "AuthorizationResourceTypeMismatch"
        | "AuthorizationServiceMismatch"
        | "AuthorizationSourceIPMismatch"
        | "AccountIsDisabled"
        | "InsufficientAccountPermissions"
        | "InvalidAuthenticationInfo"
        | "NoAuthenticationInformation"
        | "PublicAccessNotPermitted"
        | "KeyBasedAuthenticationNotPermitted"
        | "BlobArchived"
        | "BlobBeingRehydrated" => (Kind::AccessDenied, false),
        "BlobNotFound" => (Kind::NotFound, false),
        "ContainerNotFound"
        | "ResourceNotFound"
        | "InvalidResourceName"
        | "InvalidUri"
        | "InvalidHeaderValue"
        | "InvalidRange"
        | "OutOfRangeInput"
        | "UnsupportedHeader"
        | "AccountNotFound"
        | "InvalidBlobTier"
        | "BlobTierInadequateForContentLength" => (Kind::InvalidConfig, false),
        "InvalidBlockList" | "InvalidBlockId" => (Kind::SessionLost, false),
        "Md5Mismatch" | "InvalidMd5" | "Crc64Mismatch" => (Kind::Integrity, true),
        // Azurite's word for a wrong digest; the service itself says so of snapshots alone, which are not written here.
        "InvalidOperation" if status == 400 => (Kind::Integrity, true),
        "BlobAlreadyExists" | "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" | "LeaseIdMissing" | "ConditionNotMet" => {
            (Kind::AlreadyExists, false)
        }
        "FeatureNotSupportedByStorageAccount"
        | "FeatureVersionMismatch"
        | "UnsupportedHttpVerb"
        | "NotImplemented"
        | "APINotImplemented"
        | "BlockCountExceedsLimit"
        | "BlockListTooLong"
        | "RequestBodyTooLarge"
        | "InvalidBlobOrBlock"
        | "InvalidBlobType" => (Kind::Unsupported, false),
        _ if status == 413 => (Kind::Unsupported, false),
        _ if (300..400).contains(&status) || status == 416 => (Kind::InvalidConfig, false),
        _ => {
            let usual = Error::from_http(status, b"");
            (usual.kind(), usual.is_retryable())
        }
    }
}

/// What the administrator can do about it.
fn mend(status: u16, code: &str) -> Option<&'static str> {
    Some(match code {
        "ContainerNotFound" => "create the container, or correct /container",
        "AuthenticationFailed" => "check the secret and /account; an expired token and a wrong clock are refused so too",
        "AuthorizationPermissionMismatch" | "AuthorizationFailure" => "the account key or token may not do this",
        "AuthorizationResourceTypeMismatch" => "the token is for another container, or not for objects and containers",
        "AuthorizationSourceIPMismatch" => "the token is for other addresses than this machine's",
        "AuthorizationProtocolMismatch" => "the token is for https only",
        "KeyBasedAuthenticationNotPermitted" => "the account forbids keys; use a token signed by a user's delegation key",
        "BlobArchived" | "BlobBeingRehydrated" => "the object is in the archive tier; bring it back at the service first",
        "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" => "it is protected",
        "LeaseIdMissing" => "another program holds a lease on it",
        "InvalidBlobOrBlock" => "blocks of another program wait under this name; the service forgets them after a week",
        "InvalidHeaderValue" | "InvalidBlobTier" => "does the account have /access_tier?",
        _ if (300..400).contains(&status) => "it is somewhere else; correct /endpoint, as redirections are not followed",
        _ => return None,
    })
}

fn clean(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, code: &str) -> Error {
        let headers = vec![("x-ms-error-code".to_owned(), code.to_owned()), ("retry-after".to_owned(), "7".to_owned())];
        from_answer(&Response::from_reader(
            status,
            headers,
            &b"<Error><AuthenticationErrorDetail>hunter2</AuthenticationErrorDetail></Error>"[..],
        ))
    }

    #[test]
    fn each_code_has_its_kind_and_says_whether_to_try_again() {
        for (status, code, kind, retryable) in [
            (503, "ServerBusy", ErrorKind::RateLimited, true),
            (500, "OperationTimedOut", ErrorKind::Timeout, true),
            (403, "AuthenticationFailed", ErrorKind::AccessDenied, false),
            (403, "AuthorizationPermissionMismatch", ErrorKind::AccessDenied, false),
            (404, "BlobNotFound", ErrorKind::NotFound, false),
            (404, "ContainerNotFound", ErrorKind::InvalidConfig, false),
            (400, "InvalidBlockList", ErrorKind::SessionLost, false),
            (400, "Md5Mismatch", ErrorKind::Integrity, true),
            (409, "BlobImmutableDueToPolicy", ErrorKind::AlreadyExists, false),
            (409, "BlobArchived", ErrorKind::AccessDenied, false),
            (400, "Unheard", ErrorKind::Other, false),
            (502, "", ErrorKind::Unavailable, true),
        ] {
            let error = error(status, code);
            assert_eq!(
                (error.kind(), error.is_retryable(), error.wait()),
                (kind, retryable, Some(Duration::from_secs(7))),
                "{status} {code}"
            );
        }
    }

    #[test]
    fn what_was_signed_never_shows() {
        let text = error(403, "AuthenticationFailed").to_string();
        assert!(!text.contains("hunter2") && text.contains("AuthenticationFailed"), "{text}");
    }
}
