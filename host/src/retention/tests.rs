//! The mission's rule, each other rule, and what must hold of any policy and any sets.

use proptest::prelude::*;

use super::*;

fn version(day: &str) -> Version {
    let moment: DateTime = format!("{day}T02:00:00").parse().expect("a day");
    Version {
        set: SetName::at(moment),
        bytes: 100,
        state: VersionState::Good,
        verified: false,
        pinned: false,
        tags: Vec::new(),
        selection: Vec::new(),
    }
}

fn nothing() -> Policy {
    Policy { last: 0, within_hours: None, ..Policy::default() }
}

fn now() -> DateTime {
    "2026-03-31T12:00:00".parse().expect("a moment")
}

fn all(policy: &Policy) -> Retention {
    Retention { policy: policy.clone(), ..Retention::default() }
}

fn kept(versions: &[Version], policy: &Policy) -> Vec<String> {
    kept_at(versions, &all(policy))
}

fn kept_at(versions: &[Version], retention: &Retention) -> Vec<String> {
    let decisions = decide(versions, retention, now());
    decisions.iter().filter(|decision| decision.keep).map(|decision| decision.set.moment().date().to_string()).collect()
}

#[test]
fn the_missions_rule_keeps_thirty_days_and_two_always() {
    let days: Vec<Version> = ["2026-03-31", "2026-03-02", "2026-03-01", "2026-02-28", "2025-01-01"].map(version).into();
    assert_eq!(kept(&days, &Policy::default()), ["2026-03-31", "2026-03-02"]);
    assert_eq!(kept(&days[2..], &Policy::default()), ["2026-03-01", "2026-02-28"]);
    let month: Vec<Version> = (1..=31).map(|day| version(&format!("2026-03-{day:02}"))).collect();
    assert_eq!(kept(&month, &Policy::default()).len(), 30);
}

#[test]
fn only_good_sets_are_versions() {
    let mut sets = ["2026-03-30", "2026-03-29", "2026-01-20", "2026-01-19", "2026-01-18"].map(version);
    sets[0].state = VersionState::Damaged;
    sets[1].state = VersionState::Partial;
    sets[3].state = VersionState::Damaged;
    // The two good ones are the last two, however old; the damaged one between them goes, those within 30 days stay.
    assert_eq!(kept(&sets, &Policy::default()), ["2026-03-30", "2026-03-29", "2026-01-20", "2026-01-18"]);
}

#[test]
fn the_newest_verified_set_stays_whatever_the_rules_say() {
    let mut sets = ["2026-03-30", "2026-03-29", "2024-03-28", "2024-03-27"].map(version);
    sets[2].verified = true;
    sets[3].verified = true;
    assert_eq!(kept(&sets, &Policy { last: 1, ..nothing() }), ["2026-03-30", "2024-03-28"]);
}

#[test]
fn what_nobody_completes_goes_and_what_somebody_completes_stays() {
    let mut sets = ["2026-03-30", "2026-03-29", "2026-03-28", "2026-03-27"].map(version);
    sets[1].state = VersionState::Unfinished;
    sets[2].state = VersionState::Incomplete;
    sets[3].state = VersionState::Strange;
    let decisions = decide(&sets, &Retention::default(), now());
    assert_eq!(decisions[1].reasons[0], Reason::Unfinished);
    assert_eq!((decisions[2].keep, &decisions[2].reasons[0]), (false, &Reason::Orphan));
    assert_eq!(decisions[3].reasons[0], Reason::Strange);
    // Without a good one that is newer, even the rest of one is something.
    assert_eq!(decide(&sets[2..3], &Retention::default(), now())[0].reasons, [Reason::NothingBetter]);
}

#[test]
fn periods_keep_the_newest_of_each() {
    let sets: Vec<Version> =
        ["2026-03-30", "2026-03-29", "2026-03-28", "2026-02-28", "2026-02-27", "2025-12-31", "2025-12-30"].map(version).into();
    assert_eq!(kept(&sets, &Policy { daily: 2, ..nothing() }), ["2026-03-30", "2026-03-29"]);
    // 30 March 2026 is a Monday: its week is another than that of the 29th.
    assert_eq!(kept(&sets, &Policy { weekly: 3, ..nothing() }), ["2026-03-30", "2026-03-29", "2026-02-28"]);
    assert_eq!(kept(&sets, &Policy { monthly: 3, ..nothing() }), ["2026-03-30", "2026-02-28", "2025-12-31"]);
    assert_eq!(kept(&sets, &Policy { yearly: 5, ..nothing() }), ["2026-03-30", "2025-12-31"]);
    assert_eq!(kept(&sets, &Policy { monthly: 2, daily: 2, ..nothing() }), ["2026-03-30", "2026-03-29", "2026-02-28"]);
}

#[test]
fn hours_are_counted_too() {
    let at = |time: &str| Version { set: SetName::at(format!("2026-03-31T{time}").parse().expect("a moment")), ..version("2026-03-31") };
    let sets = [at("11:30:00"), at("11:00:00"), at("10:59:59"), at("09:00:00")];
    let stay = |policy: &Policy| decide(&sets, &all(policy), now()).iter().map(|decision| decision.keep).collect::<Vec<_>>();
    assert_eq!(stay(&Policy { hourly: 2, ..nothing() }), [true, false, true, false]);
    assert_eq!(stay(&Policy { within_hours: Some(2), ..nothing() }), [true, true, true, false]);
}

#[test]
fn pins_and_tags_keep() {
    let mut sets = ["2026-03-30", "2020-01-02", "2020-01-01"].map(version);
    sets[1].tags = vec!["fechamento".to_owned()];
    sets[2].pinned = true;
    assert_eq!(kept(&sets, &nothing()), ["2026-03-30", "2020-01-01"]);
    let policy = Policy { tags: vec!["fechamento".to_owned()], ..nothing() };
    assert_eq!(kept(&sets, &policy), ["2026-03-30", "2020-01-02", "2020-01-01"]);
}

#[test]
fn a_part_that_was_taken_alone_counts_for_itself() {
    let mut sets = ["2026-03-30", "2026-03-29", "2026-01-20", "2026-01-19"].map(version);
    sets[0].selection = vec!["empresa1".to_owned()];
    sets[1].selection = vec!["empresa1".to_owned()];
    // Else the two parts would push out the only two sets of everything.
    assert_eq!(kept(&sets, &Policy { last: 2, ..nothing() }).len(), 4);
    assert_eq!(kept(&sets, &Policy { last: 1, ..nothing() }), ["2026-03-30", "2026-01-20"]);
    let own = Retention {
        policy: Policy { last: 1, ..nothing() },
        lines: vec![(vec!["empresa1".to_owned()], Policy { last: 2, ..nothing() })],
        max_bytes: None,
    };
    assert_eq!(kept_at(&sets, &own), ["2026-03-30", "2026-03-29", "2026-01-20"]);
}

#[test]
fn a_limit_on_the_space_takes_the_oldest_and_never_the_newest() {
    let mut sets = ["2026-03-30", "2026-03-29", "2026-03-28", "2026-03-27"].map(version);
    sets[3].pinned = true;
    let of = |max| Retention { max_bytes: Some(max), ..Retention::default() };
    let decisions = decide(&sets, &of(250), now());
    assert_eq!(kept_at(&sets, &of(250)), ["2026-03-30", "2026-03-27"]);
    assert_eq!(decisions[1].reasons, [Reason::NoRoom(250)]);
    assert_eq!(kept_at(&sets, &of(1)), ["2026-03-30", "2026-03-27"]);
}

#[test]
fn a_clock_that_went_back_deletes_nothing_that_is_ahead_of_it() {
    let sets = ["2026-04-02", "2026-04-01"].map(version);
    assert_eq!(kept(&sets, &nothing()), ["2026-04-02", "2026-04-01"]);
}

fn any_version() -> impl Strategy<Value = Version> {
    let state = prop_oneof![
        4 => Just(VersionState::Good),
        1 => Just(VersionState::Partial),
        1 => Just(VersionState::Damaged),
        1 => Just(VersionState::Incomplete),
        1 => Just(VersionState::Unfinished),
        1 => Just(VersionState::Strange),
    ];
    (0i64..900, 0i64..24, state, any::<bool>(), prop::bool::weighted(0.1), 0u64..1_000, prop::bool::weighted(0.2)).prop_map(
        |(day, hour, state, verified, pinned, bytes, part)| {
            let moment = now().checked_sub(jiff::Span::new().days(day).hours(hour)).expect("a moment");
            let selection = if part { vec!["erp".to_owned()] } else { Vec::new() };
            Version { set: SetName::at(moment), bytes, state, verified, pinned, tags: Vec::new(), selection }
        },
    )
}

fn any_retention() -> impl Strategy<Value = Retention> {
    let counts = (0u32..4, 0u32..4, 0u32..9, 0u32..6, 0u32..14, 0u32..3);
    (counts, prop::option::of(0u32..2_000), prop::option::of(0u64..4_000)).prop_map(
        |((last, hourly, daily, weekly, monthly, yearly), within_hours, max_bytes)| {
            let policy = Policy { last, hourly, daily, weekly, monthly, yearly, within_hours, tags: Vec::new() };
            Retention { policy, lines: Vec::new(), max_bytes }
        },
    )
}

proptest! {
    #[test]
    fn nothing_that_must_stay_ever_goes(mut versions in prop::collection::vec(any_version(), 0..60), retention in any_retention()) {
        versions.sort_by_key(|version| version.set);
        versions.dedup_by_key(|version| version.set);
        let decisions = decide(&versions, &retention, now());
        prop_assert_eq!(decisions.len(), versions.len());
        let stays = |version: &Version| decisions.iter().any(|decision| decision.set == version.set && decision.keep);
        for version in &versions {
            let firm = version.pinned || matches!(version.state, VersionState::Strange | VersionState::Unfinished);
            prop_assert!(!firm || stays(version), "{version:?}");
        }
        for part in [true, false] {
            let good: Vec<&Version> = versions.iter().filter(|v| v.state == VersionState::Good && v.selection.is_empty() != part).collect();
            let verified = good.iter().rev().find(|version| version.verified);
            for must in good.last().into_iter().chain(verified) {
                prop_assert!(stays(must), "{must:?}");
            }
            // The last N always, where space is not limited.
            if retention.max_bytes.is_none() {
                for must in good.iter().rev().take(retention.policy.last as usize) {
                    prop_assert!(stays(must), "{must:?}");
                }
            }
        }
        for decision in &decisions {
            prop_assert!(!decision.reasons.is_empty());
        }
    }

    #[test]
    fn deciding_again_over_what_stayed_takes_nothing_more(mut versions in prop::collection::vec(any_version(), 0..60), retention in any_retention()) {
        versions.sort_by_key(|version| version.set);
        versions.dedup_by_key(|version| version.set);
        let decisions = decide(&versions, &retention, now());
        let kept: Vec<Version> = versions.into_iter().filter(|version| decisions.iter().any(|decision| decision.set == version.set && decision.keep)).collect();
        let again = decide(&kept, &retention, now());
        prop_assert!(again.iter().all(|decision| decision.keep), "{again:?}");
    }
}
