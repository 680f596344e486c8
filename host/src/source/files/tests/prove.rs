//! A tree is compared with its archive: the same passes, and whatever differs is found.

use super::*;
use crate::source::files::{TreeProof, prove_tree};

/// A tree, extracted; its archive, and what it held.
fn restored() -> (tempfile::TempDir, PathBuf, Vec<u8>, DirectoryPassport) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("everything");
    tree_of_everything(&root);
    let (tar, passport, _) = archived(&settings(&root));
    let target = directory.path().join("restored");
    extracted(&tar, &target, &ExtractOptions { owner_names: false, ..ExtractOptions::default() });
    (directory, target, tar, passport)
}

fn proof(tar: &[u8], target: &Path) -> TreeProof {
    prove_tree(tar, target, rustix::process::geteuid().is_root(), &CancellationToken::new()).expect("read")
}

#[test]
fn what_was_restored_is_what_the_archive_holds_and_what_was_read() {
    let (_directory, target, tar, passport) = restored();
    let proof = proof(&tar, &target);
    assert_eq!(proof.differences, []);
    assert_eq!(proof.against(&passport), Vec::<String>::new());
    assert!(proof.files > 5 && proof.directories > 1 && proof.others > 1);
    let more = DirectoryPassport { files: passport.files + 1, ..passport };
    assert_eq!(proof.against(&more).len(), 1);
}

#[test]
fn whatever_differs_is_found() {
    let (directory, target, tar, _) = restored();
    let place = below(&target, &directory.path().join("everything"));
    let file = place.join("size-300000");
    let good = fs::read(&file).expect("read");
    let time = fs::metadata(&file).expect("there").modified().expect("a time");
    let again = |content: &[u8]| {
        fs::write(&file, content).expect("written");
        File::options().write(true).open(&file).expect("opened").set_modified(time).expect("set");
    };
    let differences = || proof(&tar, &target).differences.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut flipped = good.clone();
    flipped[299_999] ^= 1;
    again(&flipped);
    assert!(differences().len() == 1 && differences()[0].contains("from byte 299999 on"), "{:?}", differences());
    again(&good[..299_999]);
    assert!(differences()[0].contains("299999 bytes instead of 300000"), "{:?}", differences());
    again(&good);
    assert_eq!(differences(), Vec::<String>::new());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("changed");
    fs::remove_file(place.join("size-1")).expect("removed");
    assert!(differences().len() >= 2, "{:?}", differences());
}
