//! What the log must find, and what it must survive.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// Set for the process that the kill test kills: where it writes.
const WRITER: &str = "COFRE_TEST_AUDIT_WRITER";

fn actor() -> Actor {
    Actor::new(0, Some("root"), Some("ana"))
}

fn add(log: &AuditLog, object: &str) -> Head {
    log.append(&actor(), &Event::new(Action::Run, object, Outcome::Done).with("copies", "disk: complete"), None).expect("appended")
}

fn written(lines: usize) -> (TempDir, AuditLog) {
    let directory = tempfile::tempdir().expect("a directory");
    let log = AuditLog::new(directory.path());
    for number in 0..lines {
        add(&log, &format!("set {number}"));
    }
    (directory, log)
}

fn found(directory: &Path) -> Findings {
    AuditLog::new(directory).verify(Vec::new()).expect("read")
}

fn bytes(directory: &Path) -> Vec<u8> {
    fs::read(directory.join("audit.log")).expect("read")
}

fn put(directory: &Path, bytes: &[u8]) {
    fs::write(directory.join("audit.log"), bytes).expect("written");
}

/// The lines, each with its newline.
fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn blamed(directory: &Path) -> Option<u64> {
    found(directory).fault.map(|fault| fault.line)
}

#[test]
fn who_asked_over_the_page_is_named_and_a_line_of_before_is_read_as_it_is() {
    let daemon = Actor { daemon: true, ..actor() };
    let asked = daemon.clone().asked_by("page:maria\u{1b}[2J");
    assert_eq!((daemon.to_string(), asked.to_string()), ("daemon".to_owned(), "page:maria\u{fffd}[2J".to_owned()));
    let line = serde_json::to_string(&asked).expect("written");
    assert_eq!(serde_json::from_str::<Actor>(&line).expect("read"), asked);
    let before = r#"{"uid":0,"user":"root","sudo_user":"ana"}"#;
    assert_eq!(serde_json::from_str::<Actor>(before).expect("read"), actor());
    assert_eq!(serde_json::to_string(&actor()).expect("written"), before);
}

#[test]
fn what_was_written_holds_and_is_read_again() {
    let (directory, log) = written(3);
    let findings = found(directory.path());
    assert_eq!((findings.head.count, findings.files, findings.healed, findings.torn, findings.fault), (3, 1, 0, 0, None));
    let mut entries = Vec::new();
    log.entries(|entry| entries.push(entry)).expect("read");
    let objects: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.object.as_str(), entry.actor.to_string())).collect();
    let who = || "root (sudo: ana)".to_owned();
    assert_eq!(objects, [(1, "set 0", who()), (2, "set 1", who()), (3, "set 2", who())]);
}

#[test]
fn the_first_bad_line_is_named() {
    let (directory, _) = written(5);
    let sound = bytes(directory.path());
    for number in 0..5 {
        let text = String::from_utf8(sound.clone()).expect("text");
        put(directory.path(), text.replace(&format!("\"set {number}\""), "\"another\"").as_bytes());
        assert_eq!(blamed(directory.path()), Some(number + 1), "altered");
        let mut fewer = lines(&sound);
        fewer.remove(usize::try_from(number).expect("small"));
        put(directory.path(), &fewer.concat());
        assert_eq!(blamed(directory.path()), Some(number + 1), "removed");
        let mut more = lines(&sound);
        more.insert(usize::try_from(number).expect("small"), more[usize::try_from(number).expect("small")].clone());
        put(directory.path(), &more.concat());
        // Of the last line, there is no telling which of the two came later; it is not blamed, as every entry is there.
        let second = if number == 4 { None } else { Some(number + 2) };
        assert_eq!(blamed(directory.path()), second, "written twice");
    }
    put(directory.path(), &sound);
    assert_eq!(blamed(directory.path()), None);
}

#[test]
fn a_line_whose_link_was_altered_is_blamed_itself() {
    let (directory, _) = written(4);
    let mut all = lines(&bytes(directory.path()));
    let text = String::from_utf8(all[2].clone()).expect("text");
    let at = text.find("previous\":\"").expect("a link") + "previous\":\"".len();
    let other = if text.as_bytes()[at] == b'0' { b'1' } else { b'0' };
    all[2][at] = other;
    put(directory.path(), &all.concat());
    assert_eq!(blamed(directory.path()), Some(3));
}

#[test]
fn lines_cut_off_at_the_end_are_missed_by_every_head() {
    let (directory, log) = written(4);
    let head = found(directory.path()).head;
    let all = lines(&bytes(directory.path()));
    put(directory.path(), &all[..3].concat());
    assert_eq!(blamed(directory.path()), Some(4));
    // Without its own head, somebody else's still tells.
    fs::remove_file(directory.path().join("audit.head")).expect("removed");
    assert!(found(directory.path()).fault.expect("a fault").what.contains("audit.head is missing"));
    let fault = log.verify(vec![("the catalogue".to_owned(), head.clone())]).expect("read").fault.expect("a fault");
    assert_eq!((fault.line, fault.entry), (4, 4));
    // All of it.
    fs::remove_file(directory.path().join("audit.log")).expect("removed");
    let fault = log.verify(vec![("the catalogue".to_owned(), head)]).expect("read").fault.expect("a fault");
    assert_eq!(fault.entry, 1);
}

#[test]
fn a_log_that_was_cut_goes_on_and_the_gap_stays_in_sight() {
    let (directory, log) = written(4);
    let all = lines(&bytes(directory.path()));
    put(directory.path(), &all[..2].concat());
    add(&log, "later");
    assert_eq!(blamed(directory.path()), Some(3));
    let mut problems = Vec::new();
    log.entries(|entry| problems.extend(entry.detail.get("problem").cloned())).expect("read");
    assert_eq!(problems.len(), 1, "the log itself says that it was shorter: {problems:?}");
    add(&log, "later still");
    assert_eq!(blamed(directory.path()), Some(3));
    // A log of which nothing is left goes on where the catalogue saw it last.
    for name in ["audit.log", "audit.head"] {
        fs::remove_file(directory.path().join(name)).expect("removed");
    }
    let known = Head { count: 7, hash: "ab".repeat(32) };
    let event = Event::new(Action::Run, "x", Outcome::Done);
    assert_eq!(log.append(&actor(), &event, Some(known)).expect("appended").count, 8);
    assert_eq!(found(directory.path()).fault.expect("a fault").entry, 1);
}

/// Every state that a crash can leave between two steps of an append.
#[test]
fn whatever_a_crash_leaves_is_healed() {
    let (directory, log) = written(2);
    let path = directory.path();
    let (before, head) = (bytes(path), fs::read(path.join("audit.head")).expect("read"));
    add(&log, "the line that a crash cuts");
    let after = bytes(path);
    for cut in before.len()..=after.len() {
        put(path, &after[..cut]);
        fs::write(path.join("audit.head"), &head).expect("written");
        let findings = found(path);
        assert_eq!(findings.fault, None, "cut at {cut}");
        let whole = cut == after.len();
        assert_eq!((findings.head.count, findings.torn == 0), if whole { (3, true) } else { (2, cut == before.len()) });
        let count = add(&log, "the next").count;
        // Short of nothing but its newline, it is a line.
        let whole = cut + 1 >= after.len();
        assert_eq!(count, if whole { 4 } else { 3 });
        let findings = found(path);
        assert_eq!((findings.fault, findings.torn), (None, 0), "healed at {cut}");
        assert_eq!(findings.healed, u64::from(!whole && cut > before.len()));
        assert!(bytes(path).starts_with(&after[..cut]), "nothing of the log was taken away");
    }
}

#[test]
fn half_lines_upon_half_lines_are_healed_and_what_no_crash_explains_is_not() {
    let (directory, log) = written(2);
    let path = directory.path();
    let before = bytes(path);
    put(path, &[&before, b"{\"seq\":3,\"a\0\0\n\n{\"seq\":3".as_slice()].concat());
    add(&log, "the next");
    let findings = found(path);
    assert_eq!((findings.fault, findings.healed, findings.head.count), (None, 1, 3));
    // One byte of what was named as torn.
    let mut all = bytes(path);
    all[before.len() + 2] ^= 1;
    put(path, &all);
    assert_eq!(blamed(path), Some(3));
    put(path, &[&before, vec![b'x'; 400 << 10].as_slice()].concat());
    fs::write(path.join("audit.head"), format!("{} {}\n", AuditLog::new(path).verify(Vec::new()).expect("read").head, before.len()))
        .expect("written");
    add(&log, "the next");
    assert_eq!(blamed(path), Some(3));
}

#[test]
fn a_half_line_that_a_head_names_is_damage() {
    let (directory, _) = written(3);
    let all = bytes(directory.path());
    for cut in [all.len() - 1, all.len() - 20] {
        put(directory.path(), &all[..cut]);
        assert_eq!(blamed(directory.path()), Some(3));
    }
}

#[test]
fn the_very_first_line_can_die_too() {
    let (directory, log) = written(1);
    let all = bytes(directory.path());
    for cut in [1, all.len() - 1, all.len()] {
        fs::remove_file(directory.path().join("audit.head")).expect("removed");
        put(directory.path(), &all[..cut]);
        assert_eq!(found(directory.path()).fault, None);
        add(&log, "the next");
        assert_eq!(found(directory.path()).fault, None, "cut at {cut}");
    }
}

#[test]
fn the_chain_goes_on_over_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let log = AuditLog::turning_at(path, 600);
    for number in 0..20 {
        add(&log, &format!("set {number}"));
    }
    let findings = found(path);
    assert_eq!((findings.head.count, findings.fault), (20, None));
    assert!(findings.files > 5, "{} files", findings.files);
    let mut seen = Vec::new();
    log.entries(|entry| seen.push(entry.seq)).expect("read");
    assert!(seen.iter().copied().eq(1..=20), "{seen:?}");
    // It died between the new name and the new head.
    let newest = path.join(format!("audit.log.{}", findings.files));
    fs::rename(path.join("audit.log"), &newest).expect("renamed");
    assert_eq!(found(path).fault, None);
    add(&log, "the next");
    assert_eq!((found(path).fault, found(path).head.count), (None, 21));
    // A file that is gone.
    fs::remove_file(path.join("audit.log.2")).expect("removed");
    let fault = found(path).fault.expect("a fault");
    assert_eq!((fault.file.as_str(), fault.line), ("audit.log.3", 1));
}

#[test]
fn several_processes_write_one_chain() {
    let (directory, _) = written(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..10 {
                    add(&AuditLog::new(directory.path()), &format!("set {number}"));
                }
            });
        }
    });
    assert_eq!((found(directory.path()).head.count, found(directory.path()).fault), (40, None));
}

/// Entries, as the head has them.
fn count(directory: &Path) -> u64 {
    let head = fs::read_to_string(directory.join("audit.head")).expect("read");
    head.split_once(' ').and_then(|(count, _)| count.parse().ok()).expect("a number")
}

/// The process that is killed. By itself it does nothing.
#[test]
fn writer_of_the_kill_test() {
    let Some(directory) = std::env::var_os(WRITER) else { return };
    let log = AuditLog::turning_at(Path::new(&directory), 20_000);
    for number in 0_u64.. {
        add(&log, &format!("set {number}"));
    }
}

#[test]
fn a_writer_may_be_killed_at_any_moment() {
    const KILLS: u64 = 25;
    let (directory, log) = written(1);
    for kill in 0..KILLS {
        let mut writer = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "audit::tests::writer_of_the_kill_test"])
            .env(WRITER, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let before = count(directory.path());
        while count(directory.path()) < before + 1 + kill % 3 {
            assert!(writer.try_wait().expect("asked").is_none(), "the writer ended by itself");
        }
        writer.kill().expect("killed");
        writer.wait().expect("ended");
        let findings = found(directory.path());
        assert_eq!(findings.fault, None, "after {kill} kills");
        add(&log, "after a kill");
        assert_eq!((found(directory.path()).fault, found(directory.path()).torn), (None, 0), "after {kill} kills");
    }
    assert!(found(directory.path()).head.count > 2 * KILLS);
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("audit.log")).expect("made");
    let event = Event::new(Action::Prune, "x", Outcome::Begun);
    let error = AuditLog::new(directory.path()).append(&actor(), &event, None).expect_err("it is a directory").to_string();
    assert!(error.contains("audit.log"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_altered_byte_goes_unseen(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let (directory, _) = written(4);
        let mut all = bytes(directory.path());
        let at = at.index(all.len());
        all[at] ^= flip;
        put(directory.path(), &all);
        prop_assert!(found(directory.path()).fault.is_some());
    }

    #[test]
    fn no_moved_or_missing_line_goes_unseen(order in Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle(), keep in 1..=5_usize) {
        let (directory, _) = written(5);
        let all = lines(&bytes(directory.path()));
        let order = &order[..keep];
        put(directory.path(), &order.iter().map(|at| all[*at].clone()).collect::<Vec<_>>().concat());
        prop_assert_eq!(found(directory.path()).fault.is_none(), order == [0, 1, 2, 3, 4]);
    }

    #[test]
    fn whatever_the_files_hold_they_are_read(
        log in prop::collection::vec(any::<u8>(), 0..3_000),
        head in prop::collection::vec(any::<u8>(), 0..100),
        lines in 0..3_usize,
    ) {
        let (directory, writer) = written(lines);
        let before = if lines == 0 { Vec::new() } else { bytes(directory.path()) };
        put(directory.path(), &[before, log].concat());
        fs::write(directory.path().join("audit.head"), head).expect("written");
        found(directory.path());
        writer.entries(drop).expect("read");
        add(&writer, "it goes on");
    }

    #[test]
    fn a_line_is_one_line_and_bounded(object in any::<String>(), fact in ".{0,2000}") {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"];
        let event = names.iter().fold(Event::new(Action::Run, &object.repeat(20), Outcome::Done), |event, name| event.with(name, &fact));
        let (line, head) = Head::beginning().next(&actor(), &event, None).expect("a line");
        prop_assert!(line.len() <= entry::LINE_MAX, "{} bytes", line.len());
        prop_assert!(!line.contains(&b'\n'));
        prop_assert_eq!(head.to_string().parse::<Head>(), Ok(head));
    }
}
