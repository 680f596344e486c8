//! Archives that want to write elsewhere.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::pipeline::tar::{Entry, EntryKind, TarReader};
use crate::source::files::ExtractError;

fn tar_of(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (entry, content) in entries {
        tar.begin(entry).expect("a Vec takes all");
        tar.data(content).expect("announced");
        tar.end().expect("whole");
    }
    tar.finish().expect("whole")
}

fn file(path: &str) -> (Entry, &'static [u8]) {
    (Entry::file(path.as_bytes(), 0o644, 4), b"evil")
}

fn link(kind: EntryKind, path: &str, target: &str) -> (Entry, &'static [u8]) {
    (Entry { kind, link: target.as_bytes().to_vec(), ..Entry::file(path.as_bytes(), 0o777, 0) }, b"")
}

/// Extracts over a folder `target` beside a folder `outside` with one file, and proves that the outside is as it was.
fn attack(entries: &[(Entry, &[u8])], overwrite: bool, prepare: impl FnOnce(&Path)) -> Result<(), ExtractError> {
    let directory = tempfile::tempdir().expect("a directory");
    let (target, outside) = (directory.path().join("target"), directory.path().join("outside"));
    fs::create_dir(&target).expect("made");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("precious"), b"precious").expect("written");
    let before = fs::metadata(outside.join("precious")).expect("there").permissions();
    prepare(&target);
    let (warnings, meter) = (Warnings::default(), Meter::default());
    let options = ExtractOptions { overwrite, ..ExtractOptions::default() };
    let done = extract(tar_of(entries).as_slice(), &target, &options, (&warnings, &meter), &CancellationToken::new());
    let outside_now: Vec<_> = fs::read_dir(&outside).expect("there").map(|entry| entry.expect("read").file_name()).collect();
    assert_eq!(outside_now, ["precious"]);
    assert_eq!(fs::read(outside.join("precious")).expect("there"), b"precious");
    assert_eq!(fs::metadata(outside.join("precious")).expect("there").permissions(), before);
    assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 2, "nothing lies beside the target");
    done.map(drop)
}

#[test]
fn paths_that_climb_or_are_absolute_are_refused() {
    for path in ["../x", "a/../../x", "/tmp/cofre-absolute", "..", "a/..", "../outside/precious", "a/b/../../../outside/new"] {
        for overwrite in [false, true] {
            assert!(matches!(attack(&[file(path)], overwrite, |_| ()), Err(ExtractError::Outside(_))), "{path}");
        }
    }
}

#[test]
fn a_link_planted_by_the_archive_is_not_walked_through() {
    for target in ["../outside", "/", "."] {
        let entries = [link(EntryKind::Symlink, "door", target), file("door/precious")];
        assert!(attack(&entries, true, |_| ()).is_err(), "{target}");
        let entries = [link(EntryKind::Symlink, "a/door", target), file("a/door/deeper/precious")];
        assert!(attack(&entries, true, |_| ()).is_err(), "{target}");
    }
}

#[test]
fn a_link_that_is_there_already_is_not_walked_through_nor_written_through() {
    let plant = |target: &Path| symlink("../outside", target.join("door")).expect("made");
    assert!(attack(&[file("door/precious")], true, plant).is_err());
    let directory = (Entry { kind: EntryKind::Directory, ..Entry::file(b"door/", 0o700, 0) }, b"".as_slice());
    assert!(attack(&[directory.clone(), file("door/precious")], false, plant).is_err());
    attack(&[directory, file("door/precious")], true, plant).expect("the link is replaced by a directory");
    let plant = |target: &Path| symlink("../outside/precious", target.join("file")).expect("made");
    assert!(matches!(attack(&[file("file")], false, plant), Err(ExtractError::Exists(_))));
    attack(&[file("file")], true, plant).expect("the link is replaced, not followed");
}

#[test]
fn a_hard_link_to_the_outside_is_refused() {
    for target in ["../outside/precious", "/etc/passwd", "door/precious"] {
        let entries = [link(EntryKind::Symlink, "door", "../outside"), link(EntryKind::HardLink, "stolen", target), file("stolen")];
        assert!(attack(&entries, true, |_| ()).is_err(), "{target}");
    }
}

#[test]
fn a_hard_link_to_a_link_does_not_open_the_links_target() {
    let entries = [link(EntryKind::Symlink, "door", "../outside/precious"), link(EntryKind::HardLink, "second", "door"), file("second")];
    attack(&entries, true, |_| ()).expect("the second name is replaced");
}

#[test]
fn attributes_of_a_directory_do_not_go_through_a_link_that_took_its_place() {
    let directory = (Entry { kind: EntryKind::Directory, ..Entry::file(b"d/", 0o777, 0) }, b"".as_slice());
    let entries = [directory, link(EntryKind::Symlink, "d", "../outside"), file("d/precious")];
    assert!(matches!(attack(&entries, true, |_| ()), Err(ExtractError::Exists(_))));
}

#[test]
fn what_is_there_is_not_replaced_unless_told() {
    let entries = [file("there")];
    let plant = |target: &Path| fs::write(target.join("there"), b"mine").expect("written");
    let error = attack(&entries, false, plant).expect_err("there already").to_string();
    assert!(error.contains("there") && error.contains("--force"), "{error}");
    attack(&entries, true, plant).expect("replaced");
    let folder = |target: &Path| fs::create_dir(target.join("there")).expect("made");
    assert!(matches!(attack(&entries, true, folder), Err(ExtractError::Exists(_))), "a directory is never replaced by a file");
}

#[test]
fn without_owners_nothing_of_somebody_else_is_setuid() {
    let directory = tempfile::tempdir().expect("a directory");
    let tar = tar_of(&[(Entry { uid: 4_000, ..Entry::file(b"s", 0o6755, 4) }, b"evil")]);
    extracted(&tar, directory.path(), &ExtractOptions { owners: false, ..ExtractOptions::default() });
    assert_eq!(fs::metadata(directory.path().join("s")).expect("there").permissions().mode() & 0o7777, 0o755);
}

#[test]
fn an_owner_is_found_by_name_first_and_by_number_else() {
    if !is_root() {
        return;
    }
    let named = |path: &str, name: &str| {
        (Entry { uid: 54_321, user: name.as_bytes().to_vec(), ..Entry::file(path.as_bytes(), 0o644, 4) }, b"evil".as_slice())
    };
    let tar = tar_of(&[named("known", "daemon"), named("unknown", "no-such-account")]);
    for (names, known) in [(true, 1), (false, 54_321)] {
        let directory = tempfile::tempdir().expect("a directory");
        extracted(&tar, directory.path(), &ExtractOptions { owner_names: names, ..ExtractOptions::default() });
        let owner = |name: &str| fs::metadata(directory.path().join(name)).expect("there").uid();
        assert_eq!((owner("known"), owner("unknown")), (known, 54_321));
    }
}

#[test]
fn hostile_lengths_are_refused_before_memory_is_taken() {
    let mut reader_errors = Vec::new();
    let header = |kind: u8, size: &[u8]| {
        let mut tar = tar_of(&[file("x")]);
        tar[156] = kind;
        tar[124..124 + size.len()].copy_from_slice(size);
        tar[148..156].fill(b' ');
        let sum: u64 = tar[..512].iter().map(|byte| u64::from(*byte)).sum();
        tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar
    };
    for kind in [b'x', b'g', b'L', b'K'] {
        for size in [b"77777777777\0".as_slice(), &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[0xff; 12]] {
            reader_errors.push(TarReader::new(header(kind, size).as_slice()).walk_to_end().expect_err("far too large").to_string());
        }
    }
    assert!(reader_errors.iter().all(|error| error.contains("damaged")), "{reader_errors:?}");
    let sparse = |extents: Vec<(u64, u64)>, size| tar_of(&[(Entry { extents: Some(extents), ..Entry::file(b"s", 0o644, size) }, b"")]);
    assert!(TarReader::new(sparse(vec![(10, 0), (5, 0)], 100).as_slice()).walk_to_end().is_err());
    assert!(TarReader::new(sparse(vec![(u64::MAX, 0)], 100).as_slice()).walk_to_end().is_err());
}
