//! What is replaced stays until its successor is whole (trap 2), and nothing that is not whole keeps a name.

use std::io::{self, Read};

use super::*;
use crate::source::files::ExtractError;

/// An archive that looks at the target each time something is read from it.
struct Looking<'a> {
    tar: &'a [u8],
    look: &'a mut dyn FnMut(),
}

impl Read for Looking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.look)();
        self.tar.read(buffer)
    }
}

const FORCE: ExtractOptions =
    ExtractOptions { selection: super::super::Selection::All, overwrite: true, owners: false, owner_names: false, xattrs: true };

fn extract_from(tar: impl Read, target: &Path, options: &ExtractOptions) -> Result<(), ExtractError> {
    let (warnings, meter) = (Warnings::default(), Meter::default());
    extract(tar, target, options, (&warnings, &meter), &CancellationToken::new()).map(drop)
}

/// Names below a directory that an extraction gives to what is not whole.
fn temporaries(directory: &Path) -> Vec<PathBuf> {
    let found = Command::new("find").arg(directory).args(["-name", ".cofre-restore~*"]).output().expect("find").stdout;
    String::from_utf8_lossy(&found).lines().map(PathBuf::from).collect()
}

fn small_tree(root: &Path) {
    fs::create_dir_all(root.join("d")).expect("made");
    fs::write(root.join("d/file"), noise(900_000)).expect("written");
    symlink("file", root.join("d/link")).expect("made");
    fs::hard_link(root.join("d/file"), root.join("d/second")).expect("linked");
    make_special(&root.join("d/fifo"), FileType::Fifo, 0);
    fs::create_dir(root.join("d/was-a-file")).expect("made");
}

#[test]
fn the_old_file_stays_until_the_new_one_is_whole_and_a_new_one_has_no_name_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    small_tree(&root);
    let (tar, _, _) = archived(&settings(&root));
    let target = directory.path().join("target");
    let file = below(&target, &root).join("d/file");
    let whole = noise(900_000);
    let mut seen = Vec::new();
    let mut look = || seen.push(fs::read(&file).ok());
    extract_from(Looking { tar: &tar, look: &mut look }, &target, &FORCE).expect("extracted");
    assert!(seen.iter().flatten().all(|content| *content == whole), "a part of a new file had its name");
    assert!(seen.len() > 5 && seen[0].is_none(), "the test looked {} times", seen.len());
    fs::write(&file, b"old").expect("written");
    let mut seen = Vec::new();
    let mut look = || seen.push(fs::read(&file).expect("it never goes"));
    extract_from(Looking { tar: &tar, look: &mut look }, &target, &FORCE).expect("extracted");
    assert!(seen.iter().all(|content| *content == whole || content == b"old"), "a part of the new file took its place");
    assert!(seen.iter().filter(|content| *content == b"old").count() > 3);
    assert_same(&root, &below(&target, &root));
    assert_eq!(temporaries(&target), Vec::<PathBuf>::new());
}

#[test]
fn a_failure_in_the_middle_of_a_file_leaves_the_old_one_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    small_tree(&root);
    let (tar, _, _) = archived(&settings(&root));
    let target = directory.path().join("target");
    let file = below(&target, &root).join("d/file");
    fs::create_dir_all(file.parent().expect("above")).expect("made");
    fs::write(&file, b"old").expect("written");
    let cut = tar.len() / 2;
    extract_from(&tar[..cut], &target, &FORCE).expect_err("the archive is cut");
    assert_eq!(fs::read(&file).expect("it is there"), b"old");
    assert_eq!(temporaries(&target), Vec::<PathBuf>::new());
}

#[test]
fn whatever_is_there_is_replaced_by_what_was_archived() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    small_tree(&root);
    let (tar, _, _) = archived(&settings(&root));
    let target = directory.path().join("target");
    let place = below(&target, &root).join("d");
    fs::create_dir_all(&place).expect("made");
    // A file for each, and all names of one file.
    for name in ["file", "link", "second", "was-a-file"] {
        fs::write(place.join("all"), b"old").expect("written");
        fs::hard_link(place.join("all"), place.join(name)).expect("linked");
    }
    symlink("/etc/passwd", place.join("fifo")).expect("made");
    fs::remove_file(place.join("all")).expect("removed");
    extract_from(tar.as_slice(), &target, &FORCE).expect("extracted");
    assert_same(&root, &below(&target, &root));
    // And once more over what is the same already: a hard link to itself.
    extract_from(tar.as_slice(), &target, &FORCE).expect("extracted");
    assert_same(&root, &below(&target, &root));
    assert_eq!(temporaries(&target), Vec::<PathBuf>::new());
}

#[test]
fn what_a_killed_restore_left_goes_with_the_next_and_nothing_else_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    small_tree(&root);
    let (tar, _, _) = archived(&settings(&root));
    for selection in
        [super::super::Selection::All, super::super::Selection::Below(root.join("d/file").strip_prefix("/").expect("absolute").into())]
    {
        let target = tempfile::tempdir().expect("a directory");
        let place = below(target.path(), &root).join("d");
        fs::create_dir_all(&place).expect("made");
        for name in [".cofre-restore~0123456789abcdef", ".cofre-restore~0123456789abcdeg", ".cofre-restore~notes"] {
            fs::write(place.join(name), b"x").expect("written");
        }
        extract_from(tar.as_slice(), target.path(), &ExtractOptions { selection, ..FORCE }).expect("extracted");
        let mut left: Vec<_> = temporaries(target.path()).iter().map(|path| path.file_name().expect("a name").to_owned()).collect();
        left.sort();
        assert_eq!(left, [".cofre-restore~0123456789abcdeg", ".cofre-restore~notes"]);
    }
}
