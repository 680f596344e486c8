//! What is left out, and what is not.

use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;

use super::*;
use crate::pipeline::tar::TarReader;

fn tree(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    fs::create_dir(&root).expect("made");
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, b"12345").expect("written");
    }
    (directory, root)
}

/// Paths in the archive, relative to the root.
fn kept(settings: &DirectorySettings) -> (Vec<String>, DirectoryPassport, Vec<String>) {
    let (tar, passport, warnings) = archived(settings);
    let top = format!("{}/", settings.path.strip_prefix("/").expect("absolute").display());
    let names = TarReader::new(tar.as_slice()).entries().map(|entry| String::from_utf8(entry.expect("sound").path).expect("UTF-8"));
    (
        names.map(|name| name.strip_prefix(&top).expect("below the root").to_owned()).filter(|name| !name.is_empty()).collect(),
        passport,
        warnings,
    )
}

#[test]
fn patterns_are_those_of_gitignore_and_relative_to_the_root() {
    let (_directory, root) = tree(&["a.log", "keep.log", "b/c.log", "cache/x", "b/cache/y", "top", "b/top", "f/g/h", "f/other"]);
    let exclude = ["*.log", "!keep.log", "cache/", "/top", "f/**/h"].map(str::to_owned).to_vec();
    let (names, passport, warnings) = kept(&DirectorySettings { exclude, ..settings(&root) });
    assert_eq!(names, ["b/", "b/top", "f/", "f/g/", "f/other", "keep.log"]);
    assert_eq!((passport.excluded, warnings.len()), (6, 0));
}

#[test]
fn a_malformed_pattern_is_an_error() {
    let (_directory, root) = tree(&["a"]);
    let settings = DirectorySettings { exclude: vec!["{a,b".to_owned()], ..settings(&root) };
    let (warnings, meter) = (Warnings::default(), Meter::default());
    let error = archive(&settings, &mut TarWriter::new(Vec::new()), (&warnings, &meter), &CancellationToken::new()).expect_err("malformed");
    assert!(error.to_string().contains("pattern"), "{error}");
}

#[test]
fn only_a_valid_cache_tag_empties_a_directory_and_the_tag_itself_stays() {
    let (_directory, root) = tree(&["cache/big", "fake/big", "plain/big"]);
    fs::write(root.join("cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# more").expect("written");
    fs::write(root.join("fake/CACHEDIR.TAG"), "Signature: something else").expect("written");
    let all = kept(&settings(&root)).0;
    assert_eq!(all.len(), 8);
    let (names, passport, _) = kept(&DirectorySettings { exclude_caches: true, ..settings(&root) });
    assert_eq!(names, ["cache/", "cache/CACHEDIR.TAG", "fake/", "fake/CACHEDIR.TAG", "fake/big", "plain/", "plain/big"]);
    assert_eq!(passport.excluded, 1);
}

#[test]
fn a_root_that_is_a_cache_is_not_emptied_in_silence() {
    let (_directory, root) = tree(&["big"]);
    fs::write(root.join("CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55").expect("written");
    let (names, _, warnings) = kept(&DirectorySettings { exclude_caches: true, ..settings(&root) });
    assert_eq!(names, ["CACHEDIR.TAG"]);
    assert!(warnings.len() == 1 && warnings[0].contains("CACHEDIR.TAG"), "{warnings:?}");
}

#[test]
fn files_above_the_limit_are_left_out_and_counted() {
    let (_directory, root) = tree(&["five"]);
    fs::write(root.join("six"), b"123456").expect("written");
    let (names, passport, _) = kept(&DirectorySettings { max_file_size: Some(5), ..settings(&root) });
    assert_eq!((names, passport.excluded), (vec!["five".to_owned()], 1));
}

#[test]
fn another_file_system_is_an_empty_directory() {
    if !Path::new("/dev/shm").is_dir()
        || rustix::fs::stat("/dev").ok().map(|s| s.st_dev) == rustix::fs::stat("/dev/shm").ok().map(|s| s.st_dev)
    {
        eprintln!("NO SECOND FILE SYSTEM below /dev: not tested");
        return;
    }
    let inside = tempfile::NamedTempFile::new_in("/dev/shm").expect("a file");
    let name = inside.path().file_name().expect("a name").to_str().expect("UTF-8").to_owned();
    let exclude = ["/*", "!/shm", "/shm/*"].map(str::to_owned).into_iter().chain([format!("!/shm/{name}")]).collect();
    let settings = DirectorySettings { exclude, ..settings(Path::new("/dev")) };
    assert_eq!(kept(&settings).0, ["shm/".to_owned(), format!("shm/{name}")]);
    let (names, _, warnings) = kept(&DirectorySettings { one_file_system: true, ..settings });
    assert_eq!((names, warnings), (vec!["shm/".to_owned()], Vec::new()), "what lies in memory below /dev is missed by nobody");
}

/// Mounting needs a name space of mounts, so this test runs itself once more in one of its own.
#[test]
fn a_file_system_that_is_mounted_below_and_left_out_is_named() {
    const INSIDE: &str = "COFRE_TEST_MOUNTED";
    if let Some(root) = std::env::var_os(INSIDE).map(PathBuf::from) {
        let one = DirectorySettings { one_file_system: true, exclude: vec!["left-out/".to_owned()], ..settings(&root) };
        let (names, passport, warnings) = kept(&one);
        assert_eq!((names, passport.excluded), (vec!["data/".to_owned(), "file".to_owned()], 2));
        assert!(warnings.len() == 1 && warnings[0].contains("data: NOT IN THE BACKUP") && warnings[0].contains("(tmpfs)"), "{warnings:?}");
        assert_eq!(crate::source::files::skipped_mounts(&one), [(root.join("data"), "tmpfs".to_owned())]);
        let all = DirectorySettings { one_file_system: false, ..one };
        assert_eq!(kept(&all).0, ["data/", "data/inside", "file"]);
        assert!(crate::source::files::skipped_mounts(&all).is_empty());
        return;
    }
    let (_directory, root) = tree(&["file", "data/below", "left-out/below"]);
    let script = "mount -t tmpfs none \"$COFRE_TEST_MOUNTED/data\" && mount -t tmpfs none \"$COFRE_TEST_MOUNTED/left-out\" || exit 77; \
                  echo x > \"$COFRE_TEST_MOUNTED/data/inside\"; exec \"$0\" a_file_system_that_is_mounted_below_and_left_out_is_named";
    let mut again = Command::new("unshare");
    again.args(["-m", "sh", "-c", script]).arg(std::env::current_exe().expect("this test")).env(INSIDE, &root);
    match again.output() {
        Ok(done) if done.status.code() == Some(77) || String::from_utf8_lossy(&done.stderr).contains("unshare failed") => {
            eprintln!("NOT TESTED: nothing can be mounted here: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(done) => assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)),
        Err(error) => eprintln!("NOT TESTED: there is no unshare: {error}"),
    }
}

#[test]
fn a_socket_is_left_out_without_a_warning() {
    let (_directory, root) = tree(&["a"]);
    let _listener = UnixListener::bind(root.join("socket")).expect("bound");
    let (names, passport, warnings) = kept(&settings(&root));
    assert_eq!((names, passport.excluded, warnings.len()), (vec!["a".to_owned()], 1, 0));
}

#[test]
fn the_passport_counts_what_is_in_the_archive() {
    let (_directory, root) = tree(&["a", "d/b"]);
    symlink("a", root.join("s")).expect("made");
    fs::hard_link(root.join("a"), root.join("h")).expect("linked");
    let (_, passport, _) = kept(&settings(&root));
    assert_eq!((passport.files, passport.directories, passport.others, passport.bytes), (2, 2, 2, 10));
    assert_eq!(passport.path, root.display().to_string());
}

/// Root may read everything, so as root this test runs itself once more as somebody else.
#[test]
fn what_may_not_be_read_is_left_out_and_named() {
    const NOBODY: u32 = 65_534;
    if rustix::process::geteuid().is_root() {
        let name = "what_may_not_be_read_is_left_out_and_named";
        let mut again = Command::new(std::env::current_exe().expect("this test"));
        match again.arg(name).gid(NOBODY).uid(NOBODY).output() {
            Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout)),
            Err(error) => eprintln!("NOT TESTED: the tests cannot be started as another user: {error}"),
        }
        return;
    }
    let (_directory, root) = tree(&["a", "b-secret", "c-closed/inside", "d"]);
    for name in ["b-secret", "c-closed"] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o000)).expect("set");
    }
    let (names, passport, warnings) = kept(&settings(&root));
    fs::set_permissions(root.join("c-closed"), fs::Permissions::from_mode(0o700)).expect("set");
    assert_eq!(names, ["a", "d"]);
    assert_eq!((passport.unreadable, passport.unstable), (2, 0));
    assert_eq!(passport.unreadable_paths, [root.join("b-secret").display().to_string(), root.join("c-closed").display().to_string()]);
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("b-secret: it could not be read") && warnings[0].contains("Permission denied"), "{warnings:?}");
    assert!(warnings[1].contains("c-closed: it could not be read"), "{warnings:?}");
}
