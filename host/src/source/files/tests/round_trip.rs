//! What goes in comes out, on both sides with ourselves and with GNU tar.

use super::*;
use crate::pipeline::tar::TarReader;
use crate::source::files::{Cat, Selection, cat_entry, extract_with_links};

fn gnu_extract(tar: &Path, target: &Path, options: &[&str]) {
    fs::create_dir_all(target).expect("made");
    run(Command::new("tar")
        .args(["--warning=no-timestamp", "--xattrs", "--xattrs-include=*", "-xpf"])
        .arg(tar)
        .arg("-C")
        .arg(target)
        .args(options));
}

/// Everything, once, in a folder of its own.
fn everything() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("everything");
    tree_of_everything(&root);
    (directory, root)
}

#[test]
fn everything_comes_back_by_our_own_hand() {
    let (directory, root) = everything();
    let (tar, passport, warnings) = archived(&settings(&root));
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(passport.unstable, 0);
    let target = directory.path().join("ours");
    assert_eq!(extracted(&tar, &target, &ExtractOptions::default()), Vec::<String>::new());
    assert_same(&root, &below(&target, &root));
    assert!(tar.len() < 4 << 20, "holes are not in the archive: {}", tar.len());
}

#[test]
fn everything_comes_back_by_gnu_tar_with_and_without_its_acl_option() {
    let (directory, root) = everything();
    let (tar, _, _) = archived(&settings(&root));
    let file = directory.path().join("x.tar");
    fs::write(&file, &tar).expect("written");
    for (name, options) in [("acls", ["--acls"].as_slice()), ("plain", &[])] {
        let target = directory.path().join(name);
        gnu_extract(&file, &target, options);
        assert_same(&root, &below(&target, &root));
    }
}

#[test]
fn archives_of_gnu_tar_come_back_by_our_hand() {
    let (directory, root) = everything();
    let relative = root.strip_prefix("/").expect("absolute");
    for options in
        [["--format=pax", "--sparse-version=1.0"], ["--format=pax", "--sparse-version=0.1"], ["--format=pax", "--sparse-version=0.0"]]
    {
        let file = directory.path().join("gnu.tar");
        run(Command::new("tar")
            .args(options)
            .args(["--sparse", "--xattrs", "--xattrs-include=*", "-cf"])
            .arg(&file)
            .arg("-C")
            .arg("/")
            .arg(relative));
        let target = directory.path().join(options[1]);
        assert_eq!(extracted(&fs::read(&file).expect("read"), &target, &ExtractOptions::default()), Vec::<String>::new());
        assert_same(&root, &below(&target, &root));
    }
}

/// The GNU format knows whole seconds and no attributes, so the tree has none.
#[test]
fn the_old_gnu_format_with_its_sparse_files_comes_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("old");
    fs::create_dir(&root).expect("made");
    sizes_and_names(&root);
    sparse(&root);
    links(&root);
    run(Command::new("find").arg(&root).args(["-exec", "touch", "-h", "-d", "@1234567890", "{}", "+"]));
    set_time(&root.join("size-0"), -5, 0);
    set_time(&root, 1_000, 0);
    let file = directory.path().join("gnu.tar");
    run(Command::new("tar")
        .args(["--format=gnu", "--sparse", "-cf"])
        .arg(&file)
        .arg("-C")
        .arg("/")
        .arg(root.strip_prefix("/").expect("absolute")));
    let target = directory.path().join("ours");
    extracted(&fs::read(&file).expect("read"), &target, &ExtractOptions::default());
    assert_same(&root, &below(&target, &root));
}

#[test]
fn a_file_over_8_gib_comes_back_by_both() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("large");
    fs::create_dir(&root).expect("made");
    let file = File::create(root.join("nine-gib")).expect("made");
    file.write_all_at(b"start", 0).expect("written");
    file.write_all_at(b"end", (9 << 30) - 3).expect("written");
    let (tar, passport, _) = archived(&settings(&root));
    assert!(passport.bytes < 1 << 20, "{}", passport.bytes);
    let path = directory.path().join("x.tar");
    fs::write(&path, &tar).expect("written");
    gnu_extract(&path, &directory.path().join("gnu"), &[]);
    assert_same(&root, &below(&directory.path().join("gnu"), &root));
    extracted(&tar, &directory.path().join("ours"), &ExtractOptions::default());
    assert_same(&root, &below(&directory.path().join("ours"), &root));
}

/// The size does not fit the header's octal field; content without holes of this length is only pretended.
#[test]
fn a_header_of_a_dense_file_over_8_gib_reads_back() {
    let mut tar = TarWriter::new(Vec::new());
    let entry = crate::pipeline::tar::Entry::file(b"dense", 0o644, 9 << 30);
    tar.begin(&entry).expect("a Vec takes all");
    assert!(tar.end().is_err(), "the content is missing");
    assert_eq!(tar.missing(), 9 << 30);
    let mut head = Vec::new();
    let mut tar = TarWriter::new(&mut head);
    tar.begin(&entry).expect("a Vec takes all");
    assert_eq!(TarReader::new(head.as_slice()).next_entry().expect("sound").expect("an entry"), entry);
}

#[test]
fn a_tree_deeper_than_descriptors_and_path_max_comes_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("deep");
    fs::create_dir(&root).expect("made");
    let name = "d".repeat(40);
    let mut at = rustix::fs::open(&root, rustix::fs::OFlags::DIRECTORY, Mode::empty()).expect("opened");
    for level in 0..300 {
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).expect("made");
        let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        let file = rustix::fs::openat(&at, "z", flags, Mode::RWXU).expect("opened");
        File::from(file).write_all(format!("level {level}").as_bytes()).expect("written");
        at = rustix::fs::openat(&at, &name, rustix::fs::OFlags::DIRECTORY, Mode::empty()).expect("opened");
    }
    let (tar, passport, warnings) = archived(&settings(&root));
    assert_eq!((passport.directories, passport.files, warnings), (301, 300, Vec::new()));
    let target = directory.path().join("ours");
    extracted(&tar, &target, &ExtractOptions::default());
    let (again, passport, _) = archived(&settings(&below(&target, &root)));
    assert_eq!((passport.directories, passport.files), (301, 300));
    let contents = |tar: &[u8]| {
        let mut reader = TarReader::new(tar);
        let mut all = Vec::new();
        while let Some(entry) = reader.next_entry().expect("sound") {
            all.push((entry.mode, entry.mtime, reader.content(1 << 20).expect("its content")));
        }
        all
    };
    assert_eq!(contents(&tar), contents(&again));
    // The folder is too deep for the removal of TempDir in one path; rm goes down step by step.
    run(Command::new("rm").arg("-rf").arg(directory.path()));
}

#[test]
fn a_single_file_is_a_root_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("one");
    fs::write(&root, b"content").expect("written");
    let (tar, passport, _) = archived(&settings(&root));
    assert_eq!((passport.files, passport.directories), (1, 0));
    let target = directory.path().join("ours");
    extracted(&tar, &target, &ExtractOptions::default());
    assert_same(&root, &below(&target, &root));
}

#[test]
fn the_same_tree_gives_the_same_bytes_and_paths_as_the_mission_writes_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("etc/apache2");
    fs::create_dir_all(root.join("sites")).expect("made");
    for name in ["b", "a", "sites/c"] {
        fs::write(root.join(name), name).expect("written");
    }
    let (tar, _, _) = archived(&settings(&root));
    assert_eq!(tar, archived(&settings(&root)).0);
    let top = root.strip_prefix("/").expect("absolute").display().to_string();
    let paths: Vec<_> =
        TarReader::new(tar.as_slice()).entries().map(|entry| String::from_utf8(entry.expect("sound").path).expect("UTF-8")).collect();
    assert_eq!(paths, [format!("{top}/"), format!("{top}/a"), format!("{top}/b"), format!("{top}/sites/"), format!("{top}/sites/c")]);
    let doubled = settings(Path::new(&format!("/{top}//./sites/..").replace("/sites/..", "/")));
    assert_eq!(archived(&doubled).0, tar);
}

#[test]
fn a_selected_hard_link_to_an_unselected_file_has_its_content() {
    let (directory, root) = everything();
    let (tar, _, _) = archived(&settings(&root));
    let z = root.join("z").strip_prefix("/").expect("absolute").to_path_buf();
    let options = ExtractOptions { selection: Selection::Below(z.clone()), ..ExtractOptions::default() };
    let target = directory.path().join("two");
    let (warnings, meter) = (Warnings::default(), Meter::default());
    let report =
        extract_with_links(|| Ok(tar.as_slice()), &target, &options, (&warnings, &meter), &CancellationToken::new()).expect("extracted");
    assert_eq!((report.entries, texts(&warnings)), (3, Vec::new()));
    assert_eq!(fs::read(target.join(&z).join("hard-b")).expect("there"), noise(513));
    assert_eq!(fs::read(target.join(&z).join("hard-long")).expect("there"), b"long");
    let time = |path: &Path| rustix::fs::stat(path).map(|status| (status.st_mtime, status.st_mtime_nsec)).expect("there");
    assert_eq!(time(&target.join(&z)), time(&root.join("z")), "the directory keeps its time");
    let warned = extracted(&tar, &directory.path().join("one"), &options);
    assert_eq!(warned.len(), 2);
    assert!(warned[0].contains("hard-b") && warned[0].contains("hard-a"), "{warned:?}");
}

#[test]
fn one_file_or_glob_comes_alone() {
    let (directory, root) = everything();
    let (tar, _, _) = archived(&settings(&root));
    let glob = globset::Glob::new("**/size-5*2").expect("a glob").compile_matcher();
    let one = root.join("mode-644").strip_prefix("/").expect("absolute").to_path_buf();
    for (number, (selection, expected)) in
        [(Selection::Glob(glob), "size-512"), (Selection::Below(one), "mode-644")].into_iter().enumerate()
    {
        let target = directory.path().join(number.to_string());
        extracted(&tar, &target, &ExtractOptions { selection, ..ExtractOptions::default() });
        let names: Vec<_> = fs::read_dir(below(&target, &root)).expect("there").map(|entry| entry.expect("read").file_name()).collect();
        assert_eq!(names, [expected]);
        assert_same(&root.join(expected), &below(&target, &root).join(expected));
    }
}

#[test]
fn one_file_goes_to_an_output_with_its_holes_as_zeros() {
    let (_directory, root) = everything();
    let (tar, _, _) = archived(&settings(&root));
    let cat = |name: &str| {
        let mut out = Vec::new();
        let path = root.join(name);
        let found =
            cat_entry(tar.as_slice(), path.strip_prefix("/").expect("absolute"), &mut out, &CancellationToken::new()).expect("read");
        (found, out)
    };
    for name in ["sparse-middle", "sparse-all-hole", "size-300000", "size-0"] {
        let content = fs::read(root.join(name)).expect("read");
        assert_eq!(cat(name), (Cat::Written(content.len() as u64), content), "{name}");
    }
    assert!(matches!(cat("size-513").0, Cat::LinkTo(first) if first.ends_with("hard-a")));
    assert!(matches!(cat("fifo").0, Cat::NoFile(_)));
    assert_eq!(cat("absent").0, Cat::NotFound);
}

#[test]
fn a_directory_with_a_default_acl_gives_nothing_to_what_is_restored_into_it() {
    let (directory, root) = everything();
    let (tar, _, _) = archived(&settings(&root));
    let target = directory.path().join("acl");
    fs::create_dir(&target).expect("made");
    run(Command::new("setfacl").arg("-m").arg("d:u:99:rwx").arg(&target));
    extracted(&tar, &target, &ExtractOptions::default());
    assert_same(&root, &below(&target, &root));
}

type Change = fn(&Path);

#[test]
fn the_comparison_sees_every_kind_of_difference() {
    let (directory, root) = everything();
    let (tar, _, _) = archived(&settings(&root));
    let changes: [(&str, Change); 10] = [
        ("content", |root| {
            fs::OpenOptions::new().write(true).open(root.join("size-300000")).expect("open").write_all_at(b"?", 299_999).expect("written");
        }),
        ("mode", |root| fs::set_permissions(root.join("size-512"), fs::Permissions::from_mode(0o600)).expect("set")),
        ("changed at", |root| set_time(&root.join("whole"), 1_000, 1)),
        ("extended attributes", |root| set_attribute(&root.join("attributes"), "user.plain", b"other")),
        ("first tree only", |root| fs::remove_file(root.join("size-511")).expect("removed")),
        ("second tree only", |root| drop(File::create(root.join("new")).expect("made"))),
        ("target", |root| {
            fs::remove_file(root.join("link")).expect("removed");
            symlink("other", root.join("link")).expect("made");
        }),
        ("exactly these names", |root| {
            fs::remove_file(root.join("hard-a")).expect("removed");
            fs::write(root.join("hard-a"), noise(513)).expect("written");
        }),
        ("holes", |root| {
            let file = fs::OpenOptions::new().write(true).custom_flags(0).open(root.join("sparse-all-hole")).expect("open");
            file.write_all_at(&vec![0; 3 << 20], 0).expect("written");
        }),
        ("extended attributes", |root| run(Command::new("setfacl").arg("-b").arg(root.join("acl-file")))),
    ];
    for (number, (expected, change)) in changes.iter().enumerate() {
        let target = directory.path().join(number.to_string());
        extracted(&tar, &target, &ExtractOptions::default());
        let copy = below(&target, &root);
        change(&copy);
        let found = compare_trees(&root, &copy).expect("compared");
        assert!(found.iter().any(|difference| difference.what.contains(expected)), "{expected}: {found:?}");
    }
}
