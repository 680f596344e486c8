//! One file to one destination.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fake::{Fake, Fault, Journal, Verb, expected};
use super::{content, policy};
use crate::copy::{CopyContext, CopyError, CopyJob, Expected, RetryPolicy, UploadJournal, copy_file};
use crate::ports::{DestinationErrorKind as Kind, Meter, Object};
use crate::spool::{SpaceRule, Spool, SpoolSet};

const KEY: &str = "backup_2026_01_01_00_00_00/a";

struct Bench {
    _directory: tempfile::TempDir,
    set: SpoolSet,
    fake: Arc<Fake>,
    journal: Journal,
    meter: Meter,
    policy: RetryPolicy,
    cancel: CancellationToken,
}

impl Bench {
    fn new(fake: Fake) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::open(&directory.path().join("spool"), SpaceRule::default()).expect("opens");
        let set = spool.create_set("backup_2026_01_01_00_00_00".parse().expect("valid")).expect("made");
        let (journal, meter, cancel) = (Journal::default(), Meter::default(), CancellationToken::new());
        Self { _directory: directory, set, fake: Arc::new(fake), journal, meter, policy: policy(), cancel }
    }

    fn in_parts_of(size: u64) -> Self {
        Self::new(Fake::new("disk", Some(size)))
    }

    fn job(&self, expected: Option<Expected>, look_first: bool) -> (CopyJob, watch::Sender<Option<Expected>>) {
        let sender = watch::Sender::new(expected);
        let file = self.set.follow("a").expect("there");
        (CopyJob { key: KEY.to_owned(), file, expected: sender.subscribe(), look_first }, sender)
    }

    async fn run(&self, job: CopyJob) -> Result<Object, CopyError> {
        let Self { fake, journal, meter, cancel, policy, .. } = self;
        let context = CopyContext { destination: fake.as_ref(), limits: fake.limits, policy: *policy, journal, meter, cancel };
        copy_file(&context, job).await
    }

    /// Copies a finished file.
    async fn copy(&self, bytes: &[u8]) -> Result<Object, CopyError> {
        self.set.put("a", bytes).expect("written");
        let (job, _expected) = self.job(Some(expected(bytes)), false);
        self.run(job).await
    }

    /// Copies it and proves that it arrived.
    async fn arrives(&self, bytes: &[u8]) {
        self.copy(bytes).await.expect("copied");
        assert_eq!(self.fake.object(KEY).as_deref(), Some(bytes));
        assert_eq!(self.fake.sessions(), 0, "no session is left behind");
        assert!(self.journal.all().is_empty());
        assert_eq!(self.meter.cipher(), bytes.len() as u64, "every byte counts once");
    }
}

fn kind(error: CopyError) -> Kind {
    match error {
        CopyError::Destination { source, .. } => source.kind,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_cut_upload_resumes_at_its_durable_offset() {
    let bytes = content(23);
    for part in [1, 5, 23, 24] {
        let parts = bytes.len().div_ceil(part);
        for cut in 0..parts {
            for fault in
                [Fault::Cut(0), Fault::Cut(part as u64 / 2), Fault::After(0), Fault::After(part as u64 / 2), Fault::After(part as u64)]
            {
                let bench = Bench::in_parts_of(part as u64);
                bench.fake.queue(Verb::Write, std::iter::repeat_n(Fault::Pass, cut).chain([fault]));
                bench.arrives(&bytes).await;
                assert_eq!(bench.fake.called(Verb::Begin).len(), 1, "nothing is sent anew");
                assert_eq!(bench.fake.called(Verb::Resume).len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart_of_the_host() {
    let bytes = content(23);
    let mut bench = Bench::in_parts_of(5);
    bench.policy.attempts = 1;
    bench.fake.queue(Verb::Write, [Fault::Pass, Fault::Pass, Fault::After(3)]);
    bench.copy(&bytes).await.expect_err("cut");
    bench.meter = Meter::default();
    bench.arrives(&bytes).await;
    assert_eq!(bench.fake.called(Verb::Begin).len(), 1);
}

#[tokio::test]
async fn a_lost_session_begins_anew_and_only_so_often() {
    let bench = Bench::in_parts_of(5);
    bench.fake.queue(Verb::Write, [Fault::Pass, Fault::Before(Kind::SessionLost, true)]);
    bench.copy(&content(23)).await.expect("copied");
    assert_eq!(bench.fake.object(KEY), Some(content(23)));

    // Each of these sessions makes progress before it is lost: that must not keep the copy going for ever.
    let bench = Bench::in_parts_of(5);
    for _ in 0..4 {
        bench.fake.queue(Verb::Write, [Fault::Pass, Fault::Before(Kind::SessionLost, true)]);
    }
    assert_eq!(kind(bench.copy(&content(23)).await.expect_err("lost too often")), Kind::SessionLost);
    assert_eq!(bench.fake.object(KEY), None);
}

#[tokio::test]
async fn a_token_that_the_service_refuses_in_other_words_begins_anew() {
    for refusal in [Kind::NotFound, Kind::Other, Kind::InvalidConfig] {
        let bench = Bench::in_parts_of(5);
        bench.journal.remember(KEY, "5 of a service that has forgotten");
        bench.fake.queue(Verb::Resume, [Fault::Before(refusal, false)]);
        bench.arrives(&content(23)).await;
    }
    let bench = Bench::in_parts_of(5);
    bench.journal.remember(KEY, "5 token");
    bench.fake.queue(Verb::Resume, [Fault::Before(Kind::AccessDenied, false)]);
    assert_eq!(kind(bench.copy(&content(23)).await.expect_err("denied")), Kind::AccessDenied);
}

#[tokio::test]
async fn a_write_that_lies_about_its_offset_ends_the_copy() {
    for by in [1, -1, 1_000, -5] {
        let bench = Bench::in_parts_of(5);
        bench.fake.queue(Verb::Write, [Fault::Pass, Fault::Lie(by)]);
        assert_eq!(kind(bench.copy(&content(23)).await.expect_err("a lie")), Kind::Plugin);
        assert_eq!(bench.fake.object(KEY), None);
    }
}

#[tokio::test]
async fn bytes_that_nobody_sent_are_not_believed_to_be_durable() {
    let bench = Bench::in_parts_of(5);
    bench.fake.queue(Verb::Offset, [Fault::Lie(1)]);
    assert_eq!(kind(bench.copy(&content(23)).await.expect_err("a lie")), Kind::Plugin);
    // After a cut, with 5 bytes stored and 10 sent: 11 would leave a hole of one byte.
    let bench = Bench::in_parts_of(5);
    bench.fake.queue(Verb::Write, [Fault::Pass, Fault::Cut(0)]);
    bench.fake.queue(Verb::Offset, [Fault::Pass, Fault::Lie(6)]);
    assert_eq!(kind(bench.copy(&content(23)).await.expect_err("a lie")), Kind::Plugin);
    // After a restart the journal may be behind: such a session is left, and the copy begins anew.
    let mut bench = Bench::in_parts_of(5);
    bench.policy.attempts = 1;
    bench.fake.queue(Verb::Write, [Fault::Pass, Fault::Cut(0)]);
    bench.copy(&content(23)).await.expect_err("cut");
    bench.fake.queue(Verb::Offset, [Fault::Lie(6)]);
    bench.copy(&content(23)).await.expect("copied");
    assert_eq!((bench.fake.object(KEY), bench.fake.sessions()), (Some(content(23)), 0));
}

/// The second part begins one byte too late, and the sizes come out right: only leaving the session tells.
#[tokio::test]
async fn a_session_that_was_lied_about_is_not_resumed_by_the_next_run() {
    let mut fake = Fake::new("disk", Some(5));
    fake.checksum = None;
    let bench = Bench::new(fake);
    bench.fake.queue(Verb::Write, [Fault::Pass, Fault::Cut(0)]);
    bench.fake.queue(Verb::Offset, [Fault::Pass, Fault::Lie(1)]);
    assert_eq!(kind(bench.copy(&content(23)).await.expect_err("a lie")), Kind::Plugin);
    assert!(bench.journal.all().is_empty() && bench.fake.sessions() == 0);
    bench.copy(&content(23)).await.expect("copied");
    assert_eq!(bench.fake.object(KEY), Some(content(23)));
}

#[tokio::test]
async fn an_offset_that_fell_back_is_sent_again() {
    let bench = Bench::in_parts_of(5);
    bench.fake.queue(Verb::Write, [Fault::Pass, Fault::Pass, Fault::Cut(1)]);
    bench.fake.queue(Verb::Offset, [Fault::Pass, Fault::Lie(-3)]);
    bench.arrives(&content(23)).await;
}

#[tokio::test]
async fn a_short_object_is_no_copy() {
    let bench = Bench::in_parts_of(5);
    bench.fake.queue(Verb::Finish, [Fault::Short]);
    bench.copy(&content(23)).await.expect("the second time");
    assert_eq!(bench.fake.object(KEY), Some(content(23)));

    let bench = Bench::in_parts_of(5);
    bench.fake.queue(Verb::Finish, std::iter::repeat_n(Fault::Short, 4));
    assert_eq!(kind(bench.copy(&content(23)).await.expect_err("always short")), Kind::Integrity);
    assert_eq!(bench.fake.object(KEY), None, "what is wrong is removed");
}

#[tokio::test]
async fn a_wrong_object_stays_and_is_told_where_deletion_is_not_granted() {
    let mut fake = Fake::new("disk", Some(5));
    fake.delete = false;
    let bench = Bench::new(fake);
    bench.fake.queue(Verb::Finish, std::iter::repeat_n(Fault::Short, 4));
    let error = bench.copy(&content(23)).await.expect_err("always wrong");
    assert!(error.to_string().contains("the wrong object stays"), "{error}");
    assert!(bench.fake.object(KEY).is_some());
    assert_eq!(bench.fake.called(Verb::Delete).len(), 0);
}

#[tokio::test]
async fn a_wrong_checksum_is_no_copy() {
    let bench = Bench::in_parts_of(5);
    bench.fake.queue(Verb::Finish, std::iter::repeat_n(Fault::WrongChecksum, 4));
    assert_eq!(kind(bench.copy(&content(23)).await.expect_err("always wrong")), Kind::Integrity);
    assert_eq!(bench.fake.object(KEY), None);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_sent_again() {
    let bench = Bench::in_parts_of(5);
    bench.fake.queue(Verb::Finish, [Fault::After(0)]);
    bench.arrives(&content(23)).await;
    assert_eq!(bench.fake.called(Verb::Write).len(), 5);
}

#[tokio::test]
async fn a_destination_that_hangs_runs_into_its_deadline_in_every_verb() {
    for verb in [Verb::Begin, Verb::Token, Verb::Offset, Verb::Write, Verb::Finish] {
        let mut bench = Bench::in_parts_of(5);
        bench.policy.call = Duration::from_millis(20);
        bench.policy.attempts = 2;
        bench.fake.queue(verb, [Fault::Hang, Fault::Hang]);
        assert_eq!(kind(bench.copy(&content(23)).await.expect_err("late")), Kind::Timeout, "{verb:?}");
    }
}

#[tokio::test]
async fn a_trickle_does_not_outlive_the_deadline_and_silence_does_not_reach_it() {
    let mut bench = Bench::in_parts_of(1_000_000);
    bench.policy.attempts = 1;
    bench.policy.call = Duration::from_millis(100);
    bench.fake.queue(Verb::Write, [Fault::Trickle]);
    assert_eq!(kind(bench.copy(&content(1_000_000)).await.expect_err("late")), Kind::Timeout);

    bench.policy.call = Duration::from_secs(3_600);
    bench.policy.idle = Duration::from_millis(20);
    bench.fake.queue(Verb::Write, [Fault::Hang]);
    assert_eq!(kind(bench.copy(&content(1_000_000)).await.expect_err("silent")), Kind::Timeout);
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    let bench = Bench::in_parts_of(5);
    bench.fake.queue(Verb::Write, [Fault::Before(Kind::OutOfSpace, false)]);
    assert_eq!(kind(bench.copy(&content(23)).await.expect_err("full")), Kind::OutOfSpace);
    let mut bench = Bench::in_parts_of(5);
    Arc::get_mut(&mut bench.fake).expect("only one").limits.max_object_size = Some(22);
    assert_eq!(kind(bench.copy(&content(23)).await.expect_err("too large")), Kind::Unsupported);
}

#[tokio::test]
async fn attempts_end_without_progress_and_begin_again_with_it() {
    let bench = Bench::in_parts_of(5);
    bench.fake.queue(Verb::Write, std::iter::repeat_n(Fault::Cut(2), 4));
    assert_eq!(kind(bench.copy(&content(23)).await.expect_err("no progress")), Kind::Unavailable);
    let bench = Bench::in_parts_of(1);
    bench.fake.queue(Verb::Write, std::iter::repeat_n([Fault::Cut(0), Fault::Cut(0), Fault::Pass], 20).flatten());
    bench.arrives(&content(23)).await;
}

#[tokio::test]
async fn an_artifact_that_its_source_gives_up_leaves_nothing() {
    let bench = Bench::in_parts_of(5);
    let mut writer = bench.set.create("a").expect("made");
    writer.write_all(&content(12)).expect("written");
    let (job, sender) = bench.job(None, false);
    let copy = bench.run(job);
    let abort = async {
        bench.fake.wait_for_call(7).await;
        drop(writer);
        drop(sender);
    };
    let (copied, ()) = tokio::join!(copy, abort);
    assert!(matches!(copied, Err(CopyError::Aborted { .. })), "{copied:?}");
    assert_eq!((bench.fake.object(KEY), bench.fake.sessions(), bench.journal.all().len()), (None, 0, 0));
}

#[tokio::test]
async fn a_growing_file_is_followed_to_its_end() {
    let bytes = content(57);
    let bench = Bench::in_parts_of(5);
    let mut writer = bench.set.create("a").expect("made");
    let (job, sender) = bench.job(None, false);
    let write = async {
        for piece in bytes.chunks(7) {
            writer.write_all(piece).expect("written");
            tokio::task::yield_now().await;
        }
        writer.finish().expect("finished");
        tokio::task::yield_now().await;
        sender.send_replace(Some(expected(&bytes)));
    };
    let (copied, ()) = tokio::join!(bench.run(job), write);
    copied.expect("copied");
    assert_eq!(bench.fake.object(KEY), Some(bytes));
}

#[tokio::test]
async fn a_spool_that_cannot_be_read_is_not_the_destinations_fault() {
    let bench = Bench::in_parts_of(5);
    bench.set.put("a", &content(23)).expect("written");
    let (job, _sender) = bench.job(Some(expected(&content(23))), false);
    std::fs::OpenOptions::new().write(true).open(job.file.path()).and_then(|file| file.set_len(12)).expect("cut");
    let error = bench.run(job).await.expect_err("short");
    assert!(matches!(error, CopyError::Spool { .. }), "{error}");
    assert_eq!(bench.fake.object(KEY), None);
}

#[tokio::test]
async fn an_object_that_is_there_is_verified_before_it_is_believed() {
    let bytes = content(23);
    let bench = Bench::in_parts_of(5);
    bench.set.put("a", &bytes).expect("written");
    bench.fake.put(KEY, &bytes);
    bench.run(bench.job(Some(expected(&bytes)), true).0).await.expect("there");
    assert!(bench.fake.called(Verb::Begin).is_empty());
    for wrong in [content(22), vec![0; 23]] {
        bench.fake.put(KEY, &wrong);
        bench.run(bench.job(Some(expected(&bytes)), true).0).await.expect("sent");
        assert_eq!(bench.fake.object(KEY).as_ref(), Some(&bytes));
    }
}

#[tokio::test]
async fn a_cancelled_copy_ends_at_once_wherever_it_is() {
    for verb in [Verb::Begin, Verb::Offset, Verb::Write, Verb::Finish] {
        let bench = Bench::in_parts_of(5);
        bench.fake.queue(verb, [Fault::Hang]);
        let cancel = async {
            bench.fake.wait_for(verb, KEY).await;
            bench.cancel.cancel();
        };
        let bytes = content(23);
        let (copied, ()) = tokio::join!(bench.copy(&bytes), cancel);
        assert!(matches!(copied, Err(CopyError::Cancelled)), "{verb:?}: {copied:?}");
    }
}

fn fault() -> impl Strategy<Value = (Verb, Fault)> {
    let verb =
        prop_oneof![Just(Verb::Begin), Just(Verb::Resume), Just(Verb::Token), Just(Verb::Offset), Just(Verb::Stat), Just(Verb::Abort)];
    let kinds =
        prop_oneof![Just(Kind::Unavailable), Just(Kind::SessionLost), Just(Kind::Integrity), Just(Kind::RateLimited), Just(Kind::NotFound)];
    let body = prop_oneof![
        2 => Just(Fault::Pass),
        2 => (0_u64..12).prop_map(Fault::Cut),
        4 => (0_u64..12).prop_map(Fault::After),
        1 => (-3_i64..4).prop_map(Fault::Lie),
        1 => kinds.clone().prop_map(|kind| Fault::Before(kind, true)),
    ];
    let end =
        prop_oneof![Just(Fault::Pass), Just(Fault::After(0)), Just(Fault::Short), kinds.clone().prop_map(|kind| Fault::Before(kind, true))];
    prop_oneof![
        3 => body.prop_map(|fault| (Verb::Write, fault)),
        1 => end.prop_map(|fault| (Verb::Finish, fault)),
        1 => (verb, kinds, any::<bool>()).prop_map(|(verb, kind, retryable)| (verb, Fault::Before(kind, retryable))),
        1 => (-6_i64..6).prop_map(|by| (Verb::Offset, Fault::Lie(by))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// A failing case is printed and kept by proptest. Restarts of the host are part of it: the copy is called up to three times.
    #[test]
    fn whatever_goes_wrong_the_object_is_whole_or_absent(
        size in 0_usize..60, part in 1_u64..17, parts in any::<bool>(), checksum in any::<bool>(), journal_lost in any::<bool>(),
        faults in proptest::collection::vec(fault(), 0..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut fake = Fake::new("disk", parts.then_some(part));
            fake.checksum = checksum.then_some("sha256");
            let bench = Bench::new(fake);
            for (verb, fault) in faults {
                bench.fake.queue(verb, [fault]);
            }
            let bytes = content(size);
            let mut copied = bench.copy(&bytes).await;
            for _ in 0..2 {
                if copied.is_err() {
                    if journal_lost { bench.journal.lose(); }
                    copied = bench.run(bench.job(Some(expected(&bytes)), true).0).await;
                }
            }
            bench.fake.forget_faults();
            let object = bench.fake.object(KEY);
            assert!(copied.is_err() || object.is_some());
            assert!(object.is_none_or(|object| object == bytes));
        });
    }
}
