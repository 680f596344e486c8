//! What must hold of the whole: who gets in and who does not, at given times, and what becomes of the file.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const PASSWORD: &str = "uma frase comprida";
const OTHER: &str = "outra frase comprida";

fn access() -> (TempDir, Access) {
    let directory = tempfile::tempdir().expect("a directory");
    let access = Access::open(directory.path()).expect("opens");
    (directory, access)
}

/// With an administrator `maria` and an operator `ana`.
fn peopled() -> (TempDir, Access) {
    let (directory, access) = access();
    for (name, role) in [("maria", Role::Administrator), ("ana", Role::Operator)] {
        access.add_user(NewUser { name, role, password: PASSWORD }, "root").expect("added");
    }
    (directory, access)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a moment")
}

fn from(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn login(access: &Access, name: &str, password: &str, now: Timestamp) -> LoginOutcome {
    access.login(&Login { name, password, code: None, from: from(1) }, now).expect("looked at")
}

fn with_code(access: &Access, code: &str, now: Timestamp) -> LoginOutcome {
    access.login(&Login { name: "maria", password: PASSWORD, code: Some(code), from: from(1) }, now).expect("looked at")
}

fn session(outcome: LoginOutcome) -> SessionSecret {
    match outcome {
        LoginOutcome::Session(secret) => secret,
        other => panic!("{other:?}"),
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, AccessError>) -> Refusal {
    match result.expect_err("refused") {
        AccessError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

fn new_token() -> NewToken {
    NewToken { name: "ERP".to_owned(), scopes: BTreeSet::from([Scope::StatusRead, Scope::TenantDeliver]), tenants: None, expires: None }
}

/// All bytes of the database and its journal.
fn stored(directory: &TempDir) -> Vec<u8> {
    let files = ["access.db", "access.db-wal"].map(|name| std::fs::read(directory.path().join(name)).unwrap_or_default());
    files.concat()
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_file_and_its_journal_are_private_also_when_a_copy_was_brought_back() {
    let (directory, access) = peopled();
    let modes = || {
        let mode = |name| directory.path().join(name).metadata().map(|status| status.permissions().mode() & 0o777);
        ["access.db", "access.db-wal", "access.db-shm"].map(|name| mode(name).expect("there"))
    };
    assert_eq!(modes(), [0o600; 3]);
    drop(access);
    let file = directory.path().join("access.db");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("set");
    let access = Access::open(directory.path()).expect("opens");
    access.logout_all("maria").expect("written");
    assert_eq!(modes(), [0o600; 3]);
}

#[test]
fn a_damaged_file_and_one_of_a_later_cofre_name_the_mend() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("access.db");
    std::fs::write(&file, "this is no database, and it never was one").expect("written");
    let error = Access::open(directory.path()).expect_err("damaged").to_string();
    assert!(error.contains("access.db") && error.contains("cofre user add") && error.contains("move it away"), "{error}");
    std::fs::remove_file(&file).expect("removed");
    drop(Access::open(directory.path()).expect("opens"));
    rusqlite::Connection::open(&file).expect("opens").pragma_update(None, "user_version", 99).expect("set");
    let error = Access::open(directory.path()).expect_err("later").to_string();
    assert!(error.contains("later cofre (schema 99") && error.contains("cofre user add"), "{error}");
}

#[test]
fn what_is_written_is_there_after_a_restart() {
    let (directory, access) = peopled();
    let cookie = session(login(&access, "maria", PASSWORD, at(0)));
    let (_, token) = access.create_token(new_token(), "root").expect("made");
    drop(access);
    let access = Access::open(directory.path()).expect("opens");
    assert!(access.by_session(cookie.expose(), at(1)).expect("read").is_some());
    assert!(access.by_token(&token, at(1)).expect("read").is_some());
    assert_eq!(access.users().expect("read").len(), 2);
}

#[test]
fn no_secret_is_in_the_file_but_that_of_the_second_factor() {
    let (directory, access) = peopled();
    let cookie = session(login(&access, "maria", PASSWORD, at(0)));
    let (_, token) = access.create_token(new_token(), "root").expect("made");
    let setup = access.begin_totp("maria", "server").expect("begun");
    let codes = access.confirm_totp("maria", &totp::code_now(&setup.secret, at(0)), at(0)).expect("confirmed");
    let bytes = stored(&directory);
    let csrf = access.by_session(cookie.expose(), at(1)).expect("read").expect("there").csrf;
    let secret = token::parse(&token).expect("a token").secret;
    for text in [PASSWORD, cookie.expose(), &csrf, secret, &token, &codes[0], &codes[0].replace('-', ""), &setup.secret] {
        assert!(!has(&bytes, text));
    }
    assert!(has(&bytes, "ERP") && has(&bytes, "$argon2id$"), "this test looks at the right files");
    for shown in [format!("{cookie:?}"), format!("{setup:?}"), format!("{:?}", access.by_session(cookie.expose(), at(1)))] {
        assert!(![cookie.expose(), &csrf, &setup.secret].iter().any(|secret| shown.contains(*secret)), "{shown}");
    }
}

#[test]
fn a_token_opens_what_it_was_made_for_until_it_is_revoked() {
    let (_directory, access) = access();
    let tenants = Some(BTreeSet::from(["empresa1".to_owned()]));
    let (record, text) = access.create_token(NewToken { tenants: tenants.clone(), ..new_token() }, "root (sudo: ana)").expect("made");
    assert!(text.starts_with(&format!("cofre_{}_", record.id)) && text.len() == 67, "{}", text.len());
    let now = Timestamp::now();
    let principal = access.by_token(&text, now).expect("read").expect("it opens");
    assert_eq!((principal.name.as_str(), principal.tenants()), ("ERP", tenants.as_ref()));
    assert!(principal.may(Scope::TenantDeliver) && !principal.may(Scope::RunCreate) && !principal.may_tenant("empresa2"));
    let listed = access.tokens().expect("read").remove(0);
    assert_eq!((listed.created_by.as_str(), listed.last_used.map(Timestamp::as_second)), ("root (sudo: ana)", Some(now.as_second())));
    assert!(access.revoke_token(&record.id).expect("revoked") && !access.revoke_token(&record.id).expect("no more"));
    assert_eq!(access.by_token(&text, now).expect("read"), None);
    assert!(access.tokens().expect("read")[0].revoked.is_some());
    assert!(!access.revoke_token("nonesuch").expect("none"));
}

#[test]
fn a_token_ends_when_it_was_said_to() {
    let (_directory, access) = access();
    let expires = Timestamp::now() + SignedDuration::from_hours(1);
    let (record, text) = access.create_token(NewToken { expires: Some(expires), ..new_token() }, "root").expect("made");
    let second = SignedDuration::from_secs(1);
    assert!(access.by_token(&text, expires - second - second).expect("read").is_some());
    assert_eq!(access.by_token(&text, expires).expect("read"), None);
    assert!(record.is_good(expires - second - second) && !record.is_good(expires));
    let late = NewToken { expires: Some(Timestamp::now() - second), ..new_token() };
    assert_eq!(refusal(access.create_token(late, "root")), Refusal::Expired);
}

#[test]
fn a_wrong_secret_of_a_real_token_opens_nothing_and_is_no_use_of_it() {
    let (_directory, access) = access();
    let (_, text) = access.create_token(new_token(), "root").expect("made");
    let (_, other) = access.create_token(new_token(), "root").expect("made");
    let (one, two) = (token::parse(&text).expect("a token"), token::parse(&other).expect("a token"));
    for wrong in [format!("cofre_{}_{}", one.id, two.secret), format!("cofre_aaaaaaaa_{}", one.secret), text.to_uppercase()] {
        assert_eq!(access.by_token(&wrong, at(0)).expect("read"), None);
    }
    assert!(access.tokens().expect("read").iter().all(|token| token.last_used.is_none()));
}

#[test]
fn a_use_is_noted_once_a_minute() {
    let (_directory, access) = access();
    let (_, text) = access.create_token(new_token(), "root").expect("made");
    let used = |second| {
        access.by_token(&text, at(second)).expect("read").expect("it opens");
        access.tokens().expect("read")[0].last_used
    };
    assert_eq!([used(0), used(59), used(60)], [Some(at(0)), Some(at(0)), Some(at(60))]);
}

#[test]
fn a_use_that_cannot_be_noted_keeps_nobody_out() {
    let (_directory, access) = peopled();
    let (_, text) = access.create_token(new_token(), "root").expect("made");
    let cookie = session(login(&access, "maria", PASSWORD, at(0)));
    access.connection().pragma_update(None, "query_only", true).expect("set");
    assert!(access.by_token(&text, at(600)).expect("read").is_some());
    assert!(access.by_session(cookie.expose(), at(600)).expect("read").is_some());
    access.revoke_token("any").expect_err("nothing can be written");
}

#[test]
fn a_token_that_makes_no_sense_is_refused() {
    let (_directory, access) = access();
    let tenants = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    let with = |scope, tenants| NewToken { scopes: BTreeSet::from([scope]), tenants, ..new_token() };
    for (new, why) in [
        (NewToken { scopes: BTreeSet::new(), ..new_token() }, Refusal::NoScopes),
        (NewToken { name: "a\nb".to_owned(), ..new_token() }, Refusal::TokenName),
        (with(Scope::StatusRead, tenants(&[])), Refusal::Tenants),
        (with(Scope::StatusRead, tenants(&["a\u{7}"])), Refusal::Tenants),
        (with(Scope::ConfigWrite, tenants(&["a"])), Refusal::NotOfTenants(Scope::ConfigWrite)),
        (with(Scope::AccessWrite, tenants(&["a"])), Refusal::NotOfTenants(Scope::AccessWrite)),
    ] {
        assert_eq!(refusal(access.create_token(new, "root")), why);
    }
    assert_eq!(access.tokens().expect("read"), []);
}

#[test]
fn a_full_table_of_tokens_forgets_those_that_are_over_and_no_other() {
    let (_directory, access) = access();
    let (first, _) = access.create_token(new_token(), "root").expect("made");
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
                INSERT INTO tokens (id, name, hash, scopes, created, created_by) SELECT 'id' || i, 'n', x'00', 'status:read', i, 'x' FROM n";
    access.connection().execute(fill, []).expect("filled");
    assert!(matches!(refusal(access.create_token(new_token(), "root")), Refusal::Full(_)));
    access.revoke_token(&first.id).expect("revoked");
    access.create_token(new_token(), "root").expect("made");
    let tokens = access.tokens().expect("read");
    assert!(tokens.len() == 1_000 && tokens.iter().all(|token| token.id != first.id));
}

proptest! {
    #[test]
    fn whatever_is_not_a_token_is_taken_for_none(text in "\\PC{0,100}") {
        prop_assert_eq!(token::parse(&text), None);
    }

    #[test]
    fn a_token_is_read_as_it_is_written(id in "[a-z2-7]{8}", secret in "[a-z2-7]{52}") {
        let text = format!("cofre_{id}_{secret}");
        prop_assert_eq!(token::parse(&text), Some(token::Parts { id: &id, secret: &secret }));
    }

    #[test]
    fn a_token_with_one_other_character_is_not_the_same(at in 0_usize..67, letter in any::<char>()) {
        let text = format!("cofre_{}_{}", "a".repeat(8), "a".repeat(52));
        let altered: String = text.chars().enumerate().map(|(place, own)| if place == at { letter } else { own }).collect();
        let same = token::parse(&altered) == token::parse(&text);
        prop_assert_eq!(same, altered == text);
    }
}

#[test]
fn a_person_with_the_right_password_gets_in_and_nobody_else() {
    let (_directory, access) = peopled();
    let cookie = session(login(&access, " Maria", PASSWORD, at(0)));
    let seen = access.by_session(cookie.expose(), at(1)).expect("read").expect("in");
    assert_eq!((seen.principal.name.as_str(), &seen.principal.kind), ("maria", &PrincipalKind::User { role: Role::Administrator }));
    assert!(seen.is_own(&seen.csrf) && !seen.is_own("") && !seen.is_own(cookie.expose()));
    assert_eq!(access.user("maria").expect("there").last_login, Some(at(0)));
    for (name, password) in [("maria", OTHER), ("nobody", PASSWORD), ("maria", ""), ("", PASSWORD), ("a b\n", PASSWORD)] {
        assert!(matches!(login(&access, name, password, at(2)), LoginOutcome::Refused), "{name:?} {password:?}");
    }
    for wrong in ["", "x", &"a".repeat(52), &cookie.expose().to_uppercase(), &cookie.expose()[1..]] {
        assert!(access.by_session(wrong, at(1)).expect("read").is_none());
    }
}

#[test]
fn an_unknown_user_costs_the_same_hash_as_a_known_one() {
    let (_directory, access) = peopled();
    let hashes = |name| {
        let before = access.0.hasher.hashed.load(Ordering::Relaxed);
        assert!(matches!(login(&access, name, OTHER, at(0)), LoginOutcome::Refused));
        access.0.hasher.hashed.load(Ordering::Relaxed) - before
    };
    assert_eq!([hashes("maria"), hashes("nobody"), hashes("no name\n")], [1, 1, 1]);
}

#[test]
fn a_session_ends_when_it_is_not_used_and_when_it_is_old() {
    let (_directory, access) = peopled();
    let (idle, longest) = (SESSION_IDLE.as_secs(), SESSION_LONGEST.as_secs());
    let is_in = |cookie: &SessionSecret, second| access.by_session(cookie.expose(), at(second)).expect("read");
    let unused = session(login(&access, "maria", PASSWORD, at(0)));
    assert!(is_in(&unused, idle).is_none() && is_in(&unused, 1).is_none(), "what has ended does not come back");
    let used = session(login(&access, "maria", PASSWORD, at(0)));
    let mut second = 0;
    while second + idle / 2 < longest {
        second += idle / 2;
        let seen = is_in(&used, second).expect("in use");
        assert_eq!(seen.expires, at((second + idle).min(longest)));
    }
    assert!(is_in(&used, longest).is_none());
}

#[test]
fn a_session_ends_with_logout_another_password_and_its_user() {
    let (_directory, access) = peopled();
    let is_in = |cookie: &SessionSecret| access.by_session(cookie.expose(), at(1)).expect("read").is_some();
    let [one, two, three] = [(); 3].map(|()| session(login(&access, "ana", PASSWORD, at(0))));
    let other = session(login(&access, "maria", PASSWORD, at(0)));
    assert_eq!(access.logout(one.expose()).expect("out").as_deref(), Some("ana"));
    assert_eq!(access.logout(one.expose()).expect("out"), None);
    assert!(!is_in(&one) && is_in(&two));
    assert_eq!(access.logout_all("Ana").expect("out"), 2);
    assert!(!is_in(&two) && !is_in(&three) && is_in(&other));
    let again = session(login(&access, "ana", PASSWORD, at(0)));
    access.set_password("ana", OTHER).expect("set");
    assert!(!is_in(&again));
    assert!(matches!(login(&access, "ana", PASSWORD, at(0)), LoginOutcome::Refused));
    let again = session(login(&access, "ana", OTHER, at(0)));
    access.remove_user("ana").expect("removed");
    assert!(!is_in(&again) && is_in(&other));
}

#[test]
fn a_new_session_ends_the_oldest_of_twenty() {
    let (_directory, access) = peopled();
    let cookies: Vec<_> = (0..21).map(|second| session(login(&access, "ana", PASSWORD, at(second)))).collect();
    let good = cookies.iter().filter(|cookie| access.by_session(cookie.expose(), at(30)).expect("read").is_some()).count();
    assert_eq!(good, 20);
    assert!(access.by_session(cookies[0].expose(), at(30)).expect("read").is_none());
}

#[test]
fn a_role_counts_from_the_next_request_on() {
    let (_directory, access) = peopled();
    let cookie = session(login(&access, "ana", PASSWORD, at(0)));
    let may = |scope| access.by_session(cookie.expose(), at(1)).expect("read").expect("in").principal.may(scope);
    assert!(may(Scope::RunCreate));
    access.set_role("ana", Role::Viewer).expect("set");
    assert!(!may(Scope::RunCreate) && may(Scope::StatusRead));
}

#[test]
fn an_administrator_always_stays() {
    let (_directory, access) = peopled();
    let last = Refusal::LastAdministrator("maria".to_owned());
    assert_eq!(refusal(access.remove_user("maria")), last);
    assert_eq!(refusal(access.set_role("maria", Role::Operator)), last);
    access.set_role("maria", Role::Administrator).expect("nothing changes");
    access.set_role("ana", Role::Administrator).expect("two now");
    access.set_role("maria", Role::Viewer).expect("one is left");
    assert_eq!(refusal(access.remove_user("ana")), Refusal::LastAdministrator("ana".to_owned()));
    access.remove_user("maria").expect("no administrator");
}

#[test]
fn users_are_checked_when_they_are_added_and_found_when_they_are_changed() {
    let (_directory, access) = peopled();
    let add = |name, password| access.add_user(NewUser { name, role: Role::Viewer, password }, "root");
    assert_eq!(refusal(add("MARIA", PASSWORD)), Refusal::UserExists("maria".to_owned()));
    assert_eq!(refusal(add("rui", "short")), Refusal::PasswordShort);
    assert_eq!(refusal(add("rui de souza", PASSWORD)), Refusal::UserName);
    let nobody = Refusal::NoUser("rui".to_owned());
    assert_eq!(refusal(access.set_password("rui", PASSWORD)), nobody);
    assert_eq!(refusal(access.set_role("rui", Role::Viewer)), nobody);
    assert_eq!(refusal(access.remove_user("rui")), nobody);
    assert_eq!(refusal(access.begin_totp("rui", "server")), nobody);
    assert_eq!(refusal(access.disable_totp("rui")), nobody);
    assert_eq!(refusal(access.set_password("maria", "short")), Refusal::PasswordShort);
    assert_eq!(access.users().expect("read").len(), 2);
}

#[test]
fn guessing_has_to_wait_twice_as_long_each_time_and_a_restart_forgets_nothing() {
    let (directory, access) = peopled();
    let guess = |access: &Access, second| login(access, "ana", OTHER, at(second));
    assert!((0..5).all(|_| matches!(guess(&access, 0), LoginOutcome::Refused)));
    for (second, until) in [(0, 1), (1, 3), (3, 7)] {
        assert!(second == 0 || matches!(guess(&access, second), LoginOutcome::Refused), "{second}");
        assert!(matches!(guess(&access, second), LoginOutcome::Throttled { until: is } if is == at(until)), "{second}");
    }
    let hashed = access.0.hasher.hashed.load(Ordering::Relaxed);
    assert!(matches!(login(&access, "ana", PASSWORD, at(6)), LoginOutcome::Throttled { .. }), "not even with the right one");
    assert_eq!(access.0.hasher.hashed.load(Ordering::Relaxed), hashed, "who waits costs nothing");
    drop(access);
    let access = Access::open(directory.path()).expect("opens");
    assert!(matches!(guess(&access, 6), LoginOutcome::Throttled { .. }));
    session(login(&access, "maria", PASSWORD, at(6)));
    session(login(&access, "ana", PASSWORD, at(7)));
    assert!(matches!(guess(&access, 8), LoginOutcome::Refused), "whoever got in begins anew");
    assert!(matches!(guess(&access, 8), LoginOutcome::Refused));
}

#[test]
fn an_unknown_account_is_throttled_as_a_known_one() {
    let (_directory, access) = peopled();
    let count = |name: &str| (0..30).take_while(|_| matches!(login(&access, name, OTHER, at(0)), LoginOutcome::Refused)).count();
    assert_eq!([count("ana"), count("nobody")], [5, 5]);
}

#[test]
fn an_address_that_tries_many_accounts_has_to_wait_and_others_need_not() {
    let (_directory, access) = peopled();
    let guess = |name: &str, last| access.login(&Login { name, password: OTHER, code: None, from: from(last) }, at(0)).expect("looked at");
    assert!((0..20).all(|number| matches!(guess(&format!("user{number}"), 9), LoginOutcome::Refused)));
    assert!(matches!(guess("another", 9), LoginOutcome::Throttled { .. }));
    assert!(matches!(guess("another", 10), LoginOutcome::Refused));
}

#[test]
fn a_new_password_ends_the_wait() {
    let (_directory, access) = peopled();
    while !matches!(login(&access, "ana", OTHER, at(0)), LoginOutcome::Throttled { .. }) {}
    access.set_password("ana", "ainda outra frase").expect("set");
    session(login(&access, "ana", "ainda outra frase", at(0)));
}

#[test]
fn confirming_a_password_is_throttled_with_the_logins() {
    let (_directory, access) = peopled();
    let confirm = |password| access.confirm_password("ana", password, from(1), at(0)).expect("looked at");
    assert!((0..40).all(|_| confirm(PASSWORD) == Confirmation::Right), "the right one never waits");
    assert!((0..5).all(|_| confirm(OTHER) == Confirmation::Wrong));
    assert_eq!(confirm(PASSWORD), Confirmation::Throttled { until: at(1) });
    assert!(matches!(login(&access, "ana", PASSWORD, at(0)), LoginOutcome::Throttled { .. }));
}

#[test]
fn the_table_of_failures_is_bounded_and_keeps_who_fails_most() {
    let (_directory, access) = peopled();
    while !matches!(login(&access, "ana", OTHER, at(0)), LoginOutcome::Throttled { .. }) {}
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                INSERT INTO throttle (key, failures, last, until) SELECT 'account ' || i, 1, ?1, 0 FROM n";
    access.connection().execute(fill, [at(0).as_second()]).expect("filled");
    assert!(matches!(login(&access, "new", OTHER, at(0)), LoginOutcome::Refused));
    let rows: i64 = access.connection().query_row("SELECT COUNT(*) FROM throttle", [], |row| row.get(0)).expect("counted");
    assert!(rows <= 20_000, "{rows}");
    assert!(matches!(login(&access, "ana", OTHER, at(0)), LoginOutcome::Throttled { .. }));
}

/// Turns the second factor of `maria` on; its secret and the recovery codes.
fn second_factor(access: &Access, now: Timestamp) -> (String, Vec<String>) {
    let setup = access.begin_totp("maria", "server 1").expect("begun");
    let codes = access.confirm_totp("maria", &totp::code_now(&setup.secret, now), now).expect("confirmed");
    (setup.secret.to_string(), codes.iter().map(|code| code.to_string()).collect())
}

#[test]
fn a_second_factor_is_asked_for_once_it_was_confirmed() {
    let (_directory, access) = peopled();
    let setup = access.begin_totp("maria", "server 1").expect("begun");
    let start = "otpauth://totp/server%201:maria?secret=";
    assert!(setup.uri.starts_with(start) && setup.uri.contains(&*setup.secret) && setup.secret.len() == 32, "{}", *setup.uri);
    session(login(&access, "maria", PASSWORD, at(0)));
    assert_eq!(refusal(access.confirm_totp("maria", "000000x", at(0))), Refusal::TotpCode);
    assert_eq!(refusal(access.confirm_totp("ana", "000000", at(0))), Refusal::TotpNotBegun);
    let code = totp::code_now(&setup.secret, at(0));
    assert_eq!(access.confirm_totp("maria", &code, at(0)).expect("confirmed").len(), 10);
    assert!(access.user("maria").expect("there").totp && access.user("maria").expect("there").recovery_codes == 10);
    assert!(matches!(login(&access, "maria", PASSWORD, at(30)), LoginOutcome::CodeNeeded));
    assert!(matches!(login(&access, "maria", OTHER, at(30)), LoginOutcome::Refused), "the password comes first");
    assert!(matches!(with_code(&access, "", at(30)), LoginOutcome::CodeNeeded));
    session(with_code(&access, &totp::code_now(&setup.secret, at(30)), at(30)));
    access.disable_totp("maria").expect("off");
    session(login(&access, "maria", PASSWORD, at(31)));
    assert_eq!(access.user("maria").expect("there").recovery_codes, 0);
}

#[test]
fn a_code_is_good_once_and_so_is_one_before_it() {
    let (_directory, access) = peopled();
    let (secret, _) = second_factor(&access, at(0));
    assert!(matches!(with_code(&access, &totp::code_now(&secret, at(0)), at(1)), LoginOutcome::Refused), "it confirmed the app");
    let code = totp::code_now(&secret, at(60));
    session(with_code(&access, &code, at(60)));
    for used in [code, totp::code_now(&secret, at(30))] {
        assert!(matches!(with_code(&access, &used, at(61)), LoginOutcome::Refused));
    }
    session(with_code(&access, &totp::code_now(&secret, at(90)), at(90)));
}

#[test]
fn a_recovery_code_is_good_once_and_new_ones_replace_all() {
    let (_directory, access) = peopled();
    let (_, codes) = second_factor(&access, at(0));
    session(with_code(&access, &codes[3].to_uppercase().replace('-', " "), at(1)));
    assert!(matches!(with_code(&access, &codes[3], at(2)), LoginOutcome::Refused));
    session(with_code(&access, &codes[4], at(3)));
    assert_eq!(access.user("maria").expect("there").recovery_codes, 8);
    let (_, newer) = second_factor(&access, at(60));
    assert!(matches!(with_code(&access, &codes[5], at(61)), LoginOutcome::Refused));
    session(with_code(&access, &newer[0], at(62)));
}

#[test]
fn guessing_codes_with_the_right_password_has_to_wait_too() {
    let (_directory, access) = peopled();
    second_factor(&access, at(0));
    for _ in 0..5 {
        // The question for the code, in between, makes nobody begin anew.
        assert!(matches!(login(&access, "maria", PASSWORD, at(0)), LoginOutcome::CodeNeeded));
        assert!(matches!(with_code(&access, "12345", at(0)), LoginOutcome::Refused));
    }
    assert!(matches!(with_code(&access, "12345", at(0)), LoginOutcome::Throttled { .. }));
    assert!(matches!(login(&access, "maria", PASSWORD, at(0)), LoginOutcome::Throttled { .. }));
}

#[test]
fn what_is_removed_of_a_second_factor_is_not_in_the_file_any_more() {
    let (directory, access) = peopled();
    let (secret, _) = second_factor(&access, at(0));
    let secret = data_encoding::BASE32_NOPAD.decode(secret.as_bytes()).expect("base32");
    let is_there = || {
        access.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
        stored(&directory).windows(secret.len()).any(|window| window == secret)
    };
    assert!(is_there());
    access.disable_totp("maria").expect("off");
    assert!(!is_there());
}

#[test]
fn the_first_administrator_is_set_up_once_and_within_the_hour() {
    let (_directory, access) = access();
    assert!(access.needs_setup().expect("read"));
    let finish = |secret: &str, second| access.finish_setup((secret, from(7)), ("Maria", PASSWORD), at(second));
    assert_eq!(refusal(finish("", 0)), Refusal::SetupLink);
    let first = access.setup_link(at(0)).expect("made");
    let second = access.setup_link(at(1)).expect("made");
    assert_eq!(refusal(finish(&first, 2)), Refusal::SetupLink, "a newer one replaced it");
    assert!(!access.is_setup_link(&second, at(3_601)).expect("read"));
    assert_eq!(refusal(finish(&second, 3_601)), Refusal::SetupLink, "too late");
    let weak = access.finish_setup((&second, from(7)), ("maria", "short"), at(3_600));
    assert_eq!(refusal(weak), Refusal::PasswordShort);
    let cookie = finish(&second, 3_600).expect("set up, also after a mistake");
    let seen = access.by_session(cookie.expose(), at(3_601)).expect("read").expect("in");
    assert_eq!(seen.principal.kind, PrincipalKind::User { role: Role::Administrator });
    assert!(!access.needs_setup().expect("read"));
    assert_eq!(refusal(finish(&second, 3_600)), Refusal::SetupLink);
    assert_eq!(refusal(access.setup_link(at(3_602))), Refusal::SetUpAlready);
}

#[test]
fn a_link_is_of_no_use_once_somebody_was_added_otherwise() {
    let (_directory, access) = access();
    let secret = access.setup_link(at(0)).expect("made");
    access.add_user(NewUser { name: "maria", role: Role::Administrator, password: PASSWORD }, "root").expect("added");
    assert_eq!(refusal(access.finish_setup((&secret, from(7)), ("eve", PASSWORD), at(1))), Refusal::SetUpAlready);
}

#[test]
fn attempts_at_once_are_all_counted() {
    let (_directory, access) = peopled();
    let refused = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(|| login(&access, "ana", OTHER, at(0)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("ended")).filter(|outcome| matches!(outcome, LoginOutcome::Refused)).count()
    });
    assert_eq!(refused, 5);
}

#[test]
fn somebody_sees_their_sessions_and_ends_one_of_them() {
    let (_directory, access) = peopled();
    let old = session(login(&access, "maria", PASSWORD, at(0)));
    let own = session(login(&access, "maria", PASSWORD, at(60)));
    let other = session(login(&access, "ana", PASSWORD, at(60)));
    let seen = access.sessions("maria", Some(own.expose()), at(61)).expect("read");
    assert_eq!(seen.iter().map(|one| (one.created, one.own)).collect::<Vec<_>>(), [(at(60), true), (at(0), false)]);
    assert!(seen.iter().all(|one| one.from.starts_with("192.0.2.") && !old.expose().contains(&one.id)), "{seen:?}");
    let strange = access.sessions("ana", None, at(61)).expect("read").remove(0);
    assert!(!access.end_session("maria", &strange.id).expect("stored"), "the session of somebody else");
    assert!(!access.end_session("maria", "").expect("stored"));
    assert!(access.end_session("maria", &seen[1].id).expect("stored") && !access.end_session("maria", &seen[1].id).expect("stored"));
    assert!(access.by_session(old.expose(), at(61)).expect("read").is_none());
    assert!(access.by_session(own.expose(), at(61)).expect("read").is_some());
    assert!(access.by_session(other.expose(), at(61)).expect("read").is_some());
    assert!(access.sessions("maria", None, at(60 + SESSION_IDLE.as_secs())).expect("read").is_empty(), "they have ended by themselves");
}

#[test]
fn a_page_that_only_refreshes_lets_its_session_end() {
    let (_directory, access) = peopled();
    let secret = session(login(&access, "maria", PASSWORD, at(0)));
    let idle = SESSION_IDLE.as_secs();
    let left = access.by_idle_session(secret.expose(), at(idle - 10)).expect("read").expect("still there");
    assert_eq!(left.expires, at(idle));
    assert!(access.by_idle_session(secret.expose(), at(idle)).expect("read").is_none());
    let used = session(login(&access, "maria", PASSWORD, at(0)));
    assert!(access.by_session(used.expose(), at(idle - 10)).expect("read").is_some());
    assert!(access.by_idle_session(used.expose(), at(idle)).expect("read").is_some());
}
