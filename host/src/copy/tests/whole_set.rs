//! A whole set to several destinations, and what a kill at any moment leaves of it.

use std::io::Write;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::fake::{Fake, Fault, Journal, Verb, expected};
use super::{content, lane, policy};
use crate::copy::{CleanedUp, DestinationOutcome, Expected, Lane, SetCopies, clean_up};
use crate::ports::DestinationErrorKind as Kind;
use crate::set::{SEAL, SetName};
use crate::spool::{LeftOver, SpaceRule, Spool, SpoolSet};

const SET: &str = "backup_2026_01_01_00_00_00";
const ARTIFACTS: [(&str, usize); 3] = [("sql/one", 23), ("sql/two", 5), ("config/three", 0)];
const CLOSING: [(&str, usize); 3] = [("SHA256SUMS", 7), ("manifest.json", 12), (SEAL, 6)];

fn name() -> SetName {
    SET.parse().expect("valid")
}

fn at(key: &str) -> String {
    format!("{SET}/{key}")
}

fn seal() -> String {
    at(SEAL)
}

fn described(files: &[(&str, usize)]) -> Vec<(String, Expected)> {
    files.iter().map(|(key, size)| ((*key).to_owned(), expected(&content(*size)))).collect()
}

fn spool() -> (tempfile::TempDir, Spool) {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = Spool::open(&directory.path().join("spool"), SpaceRule::default()).expect("opens");
    (directory, spool)
}

fn fake(name: &str) -> Arc<Fake> {
    Arc::new(Fake::new(name, Some(5)))
}

fn produce(set: &SpoolSet, copies: &SetCopies, (key, size): (&str, usize)) {
    let mut writer = set.create(key).expect("made");
    copies.artifact_started(key);
    for piece in content(size).chunks(4) {
        writer.write_all(piece).expect("written");
    }
    writer.finish().expect("finished");
    copies.artifact_finished(key, expected(&content(size)));
}

fn seal_in_spool(set: &SpoolSet) {
    for (key, size) in CLOSING {
        set.put(key, &content(size)).expect("written");
    }
    set.seal().expect("sealed");
}

/// A whole run.
async fn run(spool: &Spool, lanes: Vec<Lane>, cancel: &CancellationToken) -> Vec<DestinationOutcome> {
    let set = spool.create_set(name()).expect("made");
    let copies = SetCopies::start(set.clone(), lanes, 0, false, cancel);
    for artifact in ARTIFACTS {
        produce(&set, &copies, artifact);
    }
    seal_in_spool(&set);
    copies.close(described(&ARTIFACTS), &described(&CLOSING)).await
}

/// What the use case does with a sealed set after a restart.
async fn go_on(spool: &Spool, lanes: Vec<Lane>) -> Vec<DestinationOutcome> {
    let set = spool.open_set(name());
    let copies = SetCopies::start(set.clone(), lanes, 0, true, &CancellationToken::new());
    for (key, expected) in described(&ARTIFACTS) {
        if set.adopt(&key).is_some() {
            copies.artifact_started(&key);
            copies.artifact_finished(&key, expected);
        }
    }
    for (key, _) in CLOSING {
        set.adopt(key);
    }
    copies.close(described(&ARTIFACTS), &described(&CLOSING)).await
}

/// The one promise: where the seal is, everything is.
fn sealed_only_when_whole(fake: &Fake) -> bool {
    let sealed = fake.object(&seal()).is_some();
    for (key, size) in ARTIFACTS.iter().chain(&CLOSING) {
        let object = fake.object(&at(key));
        assert!(object.as_ref().is_none_or(|object| *object == content(*size)), "{key} is wrong");
        assert!(!sealed || object.is_some(), "{key} is missing from a sealed set");
    }
    sealed
}

#[tokio::test]
async fn the_seal_is_the_last_thing_sent_and_the_spool_is_empty_then() {
    let (_directory, spool) = spool();
    let (disk, journal) = (fake("disk"), Arc::new(Journal::default()));
    let outcomes = run(&spool, vec![lane(&disk, &journal, policy())], &CancellationToken::new()).await;
    assert!(outcomes[0].complete && outcomes[0].error.is_none() && outcomes[0].bytes == 23 + 5 + 7 + 12 + 6, "{outcomes:?}");
    assert!(sealed_only_when_whole(&disk));
    let finished = disk.called(Verb::Finish);
    assert_eq!(finished[3..], CLOSING.map(|(key, _)| at(key)), "{finished:?}");
    let set = spool.open_set(name());
    assert!(ARTIFACTS.iter().all(|(key, _)| set.adopt(key).is_none()), "copied artifacts have left the spool");
}

#[tokio::test]
async fn a_stalled_destination_delays_nobody() {
    let (_directory, spool) = spool();
    let (disk, stalled, journal) = (fake("disk"), fake("stalled"), Arc::new(Journal::default()));
    stalled.queue(Verb::Write, [Fault::Hang, Fault::Hang]);
    let cancel = CancellationToken::new();
    let lanes = vec![lane(&stalled, &Arc::default(), policy()), lane(&disk, &journal, policy())];
    let watch = async {
        disk.wait_for(Verb::Finish, &seal()).await;
        cancel.cancel();
    };
    let (outcomes, ()) = tokio::join!(run(&spool, lanes, &cancel), watch);
    assert!(sealed_only_when_whole(&disk) && !sealed_only_when_whole(&stalled));
    assert_eq!(outcomes[0].error.as_deref(), Some("cancelled"), "it was still stalled when the other was done");
    assert!(spool.open_set(name()).adopt("sql/one").is_some(), "what the stalled one lacks stays");
}

#[tokio::test]
async fn a_spool_file_goes_as_soon_as_it_is_copied_while_others_still_grow() {
    let (_directory, spool) = spool();
    let (disk, journal, cancel) = (fake("disk"), Arc::new(Journal::default()), CancellationToken::new());
    let set = spool.create_set(name()).expect("made");
    let copies = SetCopies::start(set.clone(), vec![lane(&disk, &journal, policy())], 0, false, &cancel);
    produce(&set, &copies, ARTIFACTS[0]);
    let path = set.follow("sql/one").map(|file| file.path().to_path_buf()).expect("there");
    let _growing = set.create("sql/two").expect("made");
    copies.artifact_started("sql/two");
    while path.exists() {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    copies.abandon().await;
}

#[tokio::test]
async fn a_failed_artifact_withholds_the_seal_and_the_others_are_tried() {
    let (_directory, spool) = spool();
    let (disk, journal) = (fake("disk"), Arc::new(Journal::default()));
    disk.queue(Verb::Begin, [Fault::Before(Kind::Other, false)]);
    let outcomes = run(&spool, vec![lane(&disk, &journal, policy())], &CancellationToken::new()).await;
    assert!(!outcomes[0].complete && outcomes[0].error.as_deref().is_some_and(|error| error.contains("sql/one")), "{outcomes:?}");
    assert_eq!(disk.keys(), [at("config/three"), at("sql/two")]);
    // The next run sends what is missing, and only that.
    let outcomes = go_on(&spool, vec![lane(&disk, &journal, policy())]).await;
    assert!(outcomes[0].complete && sealed_only_when_whole(&disk), "{outcomes:?}");
    assert_eq!(disk.called(Verb::Finish).iter().filter(|key| **key == at("sql/two")).count(), 1);
}

#[tokio::test]
async fn a_destination_that_refuses_access_is_not_pestered() {
    let (_directory, spool) = spool();
    let (disk, journal) = (fake("disk"), Arc::new(Journal::default()));
    disk.queue(Verb::Probe, [Fault::Before(Kind::AccessDenied, false)]);
    let outcomes = run(&spool, vec![lane(&disk, &journal, policy())], &CancellationToken::new()).await;
    assert!(!outcomes[0].complete && outcomes[0].error.is_some());
    assert!(disk.called(Verb::Begin).is_empty());
}

#[tokio::test]
async fn a_destination_whose_code_dies_is_a_failed_copy_with_a_name() {
    for verb in [Verb::Probe, Verb::Write] {
        let (_directory, spool) = spool();
        let (disk, good, journal) = (fake("disk"), fake("good"), Arc::new(Journal::default()));
        disk.queue(verb, [Fault::Panic]);
        let lanes = vec![lane(&disk, &journal, policy()), lane(&good, &Arc::default(), policy())];
        let outcomes = run(&spool, lanes, &CancellationToken::new()).await;
        assert!(outcomes[0].name == "disk" && !outcomes[0].complete && outcomes[0].error.is_some(), "{outcomes:?}");
        assert!(outcomes[1].complete && sealed_only_when_whole(&good) && !sealed_only_when_whole(&disk));
    }
}

#[tokio::test]
async fn what_the_manifest_lists_must_be_there_before_the_seal() {
    // Nobody told the copies about the artifact, the spool has lost it, or it was given up: the manifest decides.
    let (_directory, spool) = spool();
    let (disk, journal) = (fake("disk"), Arc::new(Journal::default()));
    let set = spool.create_set(name()).expect("made");
    let copies = SetCopies::start(set.clone(), vec![lane(&disk, &journal, policy())], 0, false, &CancellationToken::new());
    produce(&set, &copies, ARTIFACTS[0]);
    drop(set.create("sql/two").expect("made"));
    copies.artifact_started("sql/two");
    copies.artifact_aborted("sql/two");
    seal_in_spool(&set);
    let outcomes = copies.close(described(&ARTIFACTS[..2]), &described(&CLOSING)).await;
    assert!(!outcomes[0].complete && disk.keys() == [at("sql/one")], "{outcomes:?}");
}

#[tokio::test]
async fn a_closing_file_that_is_nowhere_and_a_missing_seal_are_no_complete_set() {
    for lost in [SEAL, "manifest.json"] {
        let (_directory, spool) = spool();
        let (disk, journal) = (fake("disk"), Arc::new(Journal::default()));
        let set = spool.create_set(name()).expect("made");
        seal_in_spool(&set);
        set.remove(lost);
        let copies = SetCopies::start(set, vec![lane(&disk, &journal, policy())], 0, false, &CancellationToken::new());
        let outcomes = copies.close(Vec::new(), &described(&CLOSING)).await;
        assert!(!outcomes[0].complete && outcomes[0].error.is_some() && disk.object(&seal()).is_none(), "{lost}: {outcomes:?}");
    }
    let (_directory, spool) = spool();
    let (disk, journal) = (fake("disk"), Arc::new(Journal::default()));
    let set = spool.create_set(name()).expect("made");
    let copies = SetCopies::start(set, vec![lane(&disk, &journal, policy())], 0, false, &CancellationToken::new());
    assert!(!copies.close(Vec::new(), &[]).await[0].complete);
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_nothing_and_completes_nothing_wrongly() {
    for lose_journal in [false, true] {
        for moment in 1.. {
            let (_directory, spool) = spool();
            let (disk, journal, cancel) = (fake("disk"), Arc::new(Journal::default()), CancellationToken::new());
            disk.kill_at(moment, &cancel);
            let ended = run(&spool, vec![lane(&disk, &journal, policy())], &cancel).await;
            let sealed = sealed_only_when_whole(&disk);
            assert!(!ended[0].complete || sealed, "moment {moment}");
            if !cancel.is_cancelled() {
                assert!(moment > 20, "the kills reach into every verb");
                break;
            }
            assert_eq!(spool.left_overs().expect("listed"), [(name(), LeftOver::Sealed)]);
            if lose_journal {
                journal.lose();
            }
            let disk = Arc::new(disk.reopened());
            let outcomes = go_on(&spool, vec![lane(&disk, &journal, policy())]).await;
            assert!(outcomes[0].complete && sealed_only_when_whole(&disk), "moment {moment}: {outcomes:?}");
        }
    }
}

#[tokio::test]
async fn what_a_dead_run_left_is_removed() {
    let (disk, journal) = (fake("disk"), Arc::new(Journal::default()));
    let (_directory, spool) = spool();
    disk.queue(Verb::Write, [Fault::Pass, Fault::Before(Kind::OutOfSpace, false)]);
    run(&spool, vec![lane(&disk, &journal, policy())], &CancellationToken::new()).await;
    disk.put(&at("sql/two"), b"x");
    disk.put(&at("sql/x"), b"x");
    disk.put(&at("z"), b"x");
    disk.put("backup_2026_01_01_00_00_00_other", b"x");
    assert!(disk.sessions() > 0);
    let lane = lane(&disk, &journal, policy());
    disk.queue(Verb::Delete, [Fault::Before(Kind::AccessDenied, false)]);
    let error = clean_up(&lane, &format!("{SET}/"), &journal.all()).await.expect_err("denied");
    assert_eq!(error.kind, Kind::AccessDenied);
    clean_up(&lane, &format!("{SET}/"), &journal.all()).await.expect("removed");
    assert_eq!((disk.keys(), disk.sessions(), journal.all().len()), (vec!["backup_2026_01_01_00_00_00_other".to_owned()], 0, 0));
}

#[tokio::test]
async fn without_the_grant_sessions_end_and_objects_stay_and_are_named() {
    let mut disk = Fake::new("disk", Some(5));
    disk.delete = false;
    let (disk, journal) = (Arc::new(disk), Arc::new(Journal::default()));
    let (_directory, spool) = spool();
    disk.queue(Verb::Write, [Fault::Pass, Fault::Before(Kind::OutOfSpace, false)]);
    run(&spool, vec![lane(&disk, &journal, policy())], &CancellationToken::new()).await;
    let mut keys: Vec<String> = ["a", "b", "c"].map(at).to_vec();
    for key in &keys {
        disk.put(key, b"x");
    }
    assert!(disk.sessions() > 0);
    let left = clean_up(&lane(&disk, &journal, policy()), &format!("{SET}/"), &journal.all()).await.expect("nothing fails");
    keys.extend(disk.keys().into_iter().filter(|key| !keys.contains(key)).collect::<Vec<_>>());
    keys.sort();
    assert_eq!(left, CleanedUp::Left { count: keys.len() as u64, keys: keys.clone() });
    assert_eq!((disk.keys(), disk.sessions(), journal.all().len()), (keys, 0, 0));
    assert_eq!(disk.called(Verb::Delete).len(), 0);
}

#[tokio::test]
async fn a_session_that_could_not_be_aborted_is_not_forgotten() {
    let (disk, journal) = (fake("disk"), Arc::new(Journal::default()));
    let (_directory, spool) = spool();
    disk.queue(Verb::Write, [Fault::Before(Kind::OutOfSpace, false)]);
    run(&spool, vec![lane(&disk, &journal, policy())], &CancellationToken::new()).await;
    let (lane, kept) = (lane(&disk, &journal, policy()), journal.all());
    disk.queue(Verb::Abort, [Fault::Before(Kind::Unavailable, true)]);
    clean_up(&lane, &format!("{SET}/"), &kept).await.expect_err("unavailable");
    assert_eq!(journal.all().len(), kept.len());
}

#[tokio::test]
async fn a_complete_set_is_never_taken_for_what_a_dead_run_left() {
    let (disk, journal) = (fake("disk"), Arc::new(Journal::default()));
    let (_directory, spool) = spool();
    run(&spool, vec![lane(&disk, &journal, policy())], &CancellationToken::new()).await;
    clean_up(&lane(&disk, &journal, policy()), &format!("{SET}/"), &[]).await.expect_err("complete");
    assert!(sealed_only_when_whole(&disk));
}
