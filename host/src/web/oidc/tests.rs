//! The logins under way: whose they are, how long, and how many. What a provider says is tried against a real one in `tests/tests/oidc.rs`.

use super::*;

fn oidc() -> Oidc {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cofre.toml");
    let text = "[passphrase]\nenv = \"X\"\n[[destination]]\nname = \"a\"\nplugin = \"local\"\n\
                [web.oidc]\nissuer = \"https://login.example\"\nclient_id = \"cofre\"\n";
    std::fs::write(&path, text).expect("written");
    let web = crate::config::Config::load(&path).expect("holds").web.expect("there");
    Oidc::new(web.oidc.expect("there"), "https://backup.example")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a moment")
}

fn pending(second: i64) -> Pending {
    Pending { nonce: "n".to_owned(), verifier: "v".to_owned(), next: "/sets".to_owned(), begun: at(second) }
}

fn returned(state: &str) -> Returned {
    Returned { code: "c".to_owned(), state: state.to_owned(), ..Returned::default() }
}

#[test]
fn a_login_ends_once_in_the_browser_that_began_it_and_in_time() {
    let oidc = oidc();
    oidc.remember("s".to_owned(), pending(0));
    assert!(oidc.take(&returned("s"), "other", at(1)).is_err(), "another browser");
    assert!(oidc.take(&returned(""), "", at(1)).is_err(), "no state at all");
    assert_eq!(oidc.take(&returned("s"), "s", at(1)).expect("there").next, "/sets");
    assert!(oidc.take(&returned("s"), "s", at(1)).is_err(), "a second time");
    oidc.remember("t".to_owned(), pending(0));
    assert!(oidc.take(&returned("t"), "t", at(PATIENCE.as_secs())).is_err(), "too late");
}

#[test]
fn whoever_begins_many_ends_the_oldest() {
    let oidc = oidc();
    for number in 0..=PENDING_MAX {
        oidc.remember(number.to_string(), pending(i64::try_from(number).unwrap_or(0) / 10));
    }
    let kept = oidc.pending.lock().expect("not poisoned").len();
    assert_eq!(kept, PENDING_MAX);
    assert!(oidc.take(&returned(&PENDING_MAX.to_string()), &PENDING_MAX.to_string(), at(101)).is_ok(), "the newest stays");
}

#[tokio::test]
async fn a_provider_that_says_no_is_not_asked_again() {
    let oidc = oidc();
    oidc.remember("s".to_owned(), pending(0));
    let no = Returned { error: Some("access_denied".to_owned()), error_description: Some("no\u{7} way".to_owned()), ..returned("s") };
    let error = oidc.finish(&no, "s", at(1)).await.expect_err("refused");
    assert_eq!(error.to_string(), "the provider of identities refused: no way");
}

#[test]
fn an_address_counts_only_where_the_provider_has_verified_it() {
    let claims = |verified| Claims { email: Some("a@b.c".to_owned()), email_verified: verified, ..Claims::default() };
    assert_eq!(named(&claims(Some(true)), Claim::Email).as_deref(), Some("a@b.c"));
    for unproven in [Some(false), None] {
        assert_eq!(named(&claims(unproven), Claim::Email), None);
    }
    assert_eq!(named(&claims(Some(true)), Claim::Username), None);
}
