//! Directories to tar and back, with ourselves and with GNU tar on either side.
//!
//! Devices, foreign owners and `trusted.*` attributes need root; without it those parts of the trees are left out, and the
//! tests say so.

mod attacks;
mod changes;
mod damage;
mod prove;
mod replace;
mod round_trip;
mod rules;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use tokio_util::sync::CancellationToken;

use super::{ExtractOptions, archive, compare_trees, extract};
use crate::pipeline::tar::TarWriter;
use crate::ports::{DirectoryPassport, DirectorySettings, Meter, Warnings};

/// Whether this process may make devices and give files away; says loudly when not.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("NOT ROOT: devices, owners and trusted attributes are not tested");
    }
    root
}

fn settings(path: &Path) -> DirectorySettings {
    DirectorySettings { path: path.to_path_buf(), exclude: Vec::new(), exclude_caches: false, max_file_size: None, one_file_system: false }
}

/// Archives and returns the tar, what it held, and the warnings as `subject: message`.
fn archived(settings: &DirectorySettings) -> (Vec<u8>, DirectoryPassport, Vec<String>) {
    let (warnings, meter) = (Warnings::default(), Meter::default());
    let mut tar = TarWriter::new(Vec::new());
    let passport = archive(settings, &mut tar, (&warnings, &meter), &CancellationToken::new()).expect("archived");
    (tar.finish().expect("whole"), passport, texts(&warnings))
}

fn texts(warnings: &Warnings) -> Vec<String> {
    warnings.snapshot().0.iter().map(|warning| format!("{}: {}", warning.subject, warning.message)).collect()
}

fn extracted(tar: &[u8], target: &Path, options: &ExtractOptions) -> Vec<String> {
    let (warnings, meter) = (Warnings::default(), Meter::default());
    extract(tar, target, options, (&warnings, &meter), &CancellationToken::new()).expect("extracted");
    texts(&warnings)
}

/// Where an archived path lies below the place it was restored to.
fn below(target: &Path, path: &Path) -> PathBuf {
    target.join(path.strip_prefix("/").expect("absolute"))
}

fn assert_same(a: &Path, b: &Path) {
    let differences: Vec<_> = compare_trees(a, b).expect("compared").iter().map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

fn run(command: &mut Command) {
    let done = command.output().expect("the program is installed");
    assert!(done.status.success() && done.stderr.is_empty(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("times are set");
}

fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).expect("the file system has extended attributes");
}

fn make_special(path: &Path, kind: FileType, device: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).expect("made");
}

/// Bytes that do not repeat soon.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// A tree with one of everything that section 3 of the promises names.
fn tree_of_everything(root: &Path) {
    fs::create_dir_all(root).expect("made");
    sizes_and_names(root);
    modes_and_times(root);
    links(root);
    sparse(root);
    attributes(root);
    make_special(&root.join("fifo"), FileType::Fifo, 0);
    set_time(&root.join("fifo"), 1_700_000_003, 3);
    if is_root() {
        privileged(root);
    }
    set_time(root, 1_600_000_000, 123_456_789);
}

fn sizes_and_names(root: &Path) {
    fs::create_dir(root.join("empty")).expect("made");
    for size in [0, 1, 511, 512, 513, 300_000] {
        fs::write(root.join(format!("size-{size}")), noise(size)).expect("written");
    }
    let raw = root.join(OsStr::from_bytes(b"caf\xe9-\xff\n \\name"));
    fs::create_dir(&raw).expect("made");
    fs::write(raw.join(OsStr::from_bytes(b"\x80")), b"raw").expect("written");
    for length in [99, 100, 101, 155, 200, 255] {
        fs::write(root.join("n".repeat(length)), b"long").expect("written");
    }
    let mut deep = root.join("deep");
    for _ in 0..10 {
        deep.push("d".repeat(100));
    }
    fs::create_dir_all(&deep).expect("made");
    fs::write(deep.join("bottom"), b"1,000 bytes below").expect("written");
}

fn modes_and_times(root: &Path) {
    let unreadable = is_root().then_some(0o000);
    for mode in unreadable.into_iter().chain([0o400, 0o644, 0o755, 0o4755, 0o2755, 0o7777]) {
        let path = root.join(format!("mode-{mode:o}"));
        fs::write(&path, b"m").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
    }
    let sticky = root.join("sticky");
    fs::create_dir(&sticky).expect("made");
    fs::set_permissions(&sticky, fs::Permissions::from_mode(0o3777)).expect("set");
    let read_only = root.join("read-only");
    fs::create_dir(&read_only).expect("made");
    fs::write(read_only.join("inside"), b"x").expect("written");
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o555)).expect("set");
    set_time(&read_only, 1_500_000_000, 999_999_999);
    for (name, seconds, nanoseconds) in
        [("before-1970", -1_000, 1), ("at-minus-half", -1, 500_000_000), ("far", 8_589_934_592, 7), ("whole", 1_000, 0)]
    {
        let path = root.join(name);
        fs::write(&path, name).expect("written");
        set_time(&path, seconds, nanoseconds);
    }
}

fn links(root: &Path) {
    symlink("size-512", root.join("link")).expect("made");
    symlink("/nowhere/at/all", root.join("dangling")).expect("made");
    symlink("t".repeat(1_000), root.join("long-target")).expect("made");
    symlink(OsStr::from_bytes(b"\xff\xfe"), root.join("raw-target")).expect("made");
    for name in ["link", "dangling", "long-target", "raw-target"] {
        set_time(&root.join(name), 1_234_567_890, 42);
    }
    fs::create_dir(root.join("z")).expect("made");
    fs::hard_link(root.join("size-513"), root.join("hard-a")).expect("linked");
    fs::hard_link(root.join("size-513"), root.join("z/hard-b")).expect("linked");
    fs::hard_link(root.join("n".repeat(255)), root.join("z/hard-long")).expect("linked");
}

fn sparse(root: &Path) {
    let file = |name: &str, size: u64, data: &[(u64, usize)]| {
        let file = File::create(root.join(name)).expect("made");
        for (offset, length) in data {
            file.write_all_at(&noise(*length), *offset).expect("written");
        }
        file.set_len(size).expect("set");
    };
    file("sparse-middle", 10 << 20, &[(1 << 20, 5_000), (5 << 20, 100_000)]);
    file("sparse-all-hole", 3 << 20, &[]);
    file("sparse-ends-in-data", (4 << 20) + 17, &[(0, 4_096), (4 << 20, 17)]);
    let many: Vec<(u64, usize)> = (0..300).map(|n| (n * 16_384, 4_096)).collect();
    file("sparse-many", 8 << 20, &many);
    set_time(&root.join("sparse-middle"), 1_111_111_111, 222_222_222);
}

fn attributes(root: &Path) {
    let path = root.join("attributes");
    fs::write(&path, b"a").expect("written");
    set_attribute(&path, "user.plain", b"value");
    set_attribute(&path, "user.binary", b"\0\xff\n=%");
    set_attribute(&path, "user.empty", b"");
    set_attribute(&path, "user.odd=50%3D", b"1");
    set_attribute(&path, "user.long", &noise(2_000));
    let acl = root.join("acl");
    fs::create_dir(&acl).expect("made");
    fs::write(root.join("acl-file"), b"a").expect("written");
    run(Command::new("setfacl").arg("-m").arg("u:1234:rwx,g:4321:r-x").arg(root.join("acl-file")));
    run(Command::new("setfacl").arg("-m").arg("u:1234:rwx,d:u:77:r-x,d:g::---").arg(&acl));
    fs::write(acl.join("inherits"), b"a").expect("written");
    fs::write(acl.join("does-not-inherit"), b"a").expect("written");
    run(Command::new("setfacl").arg("-b").arg(acl.join("does-not-inherit")));
}

fn privileged(root: &Path) {
    make_special(&root.join("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    make_special(&root.join("block"), FileType::BlockDevice, rustix::fs::makedev(259, 70_000));
    let owned = root.join("owned");
    fs::write(&owned, b"o").expect("written");
    let own = |path: &Path, uid, gid| {
        rustix::fs::chownat(CWD, path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW).expect("given away");
    };
    own(&owned, 1_234, 4_321);
    fs::write(root.join("large-ids"), b"o").expect("written");
    own(&root.join("large-ids"), 3_000_000_000, (1 << 21) + 5);
    fs::write(root.join("named"), b"o").expect("written");
    own(&root.join("named"), 33, 8);
    own(&root.join("dangling"), 33, 33);
    let setuid = root.join("setuid-of-another");
    fs::write(&setuid, b"s").expect("written");
    own(&setuid, 33, 33);
    fs::set_permissions(&setuid, fs::Permissions::from_mode(0o6755)).expect("set");
    set_attribute(&root.join("size-1"), "trusted.of-root", b"t");
    // cap_net_bind_service+ep, as setcap writes it.
    set_attribute(&root.join("size-0"), "security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    set_attribute(&root.join("link"), "trusted.of-a-link", b"l");
    set_attribute(&root.join("fifo"), "trusted.of-a-fifo", b"f");
    for name in ["dangling", "link", "fifo"] {
        set_time(&root.join(name), 1_234_567_890, 42);
    }
}
