//! Archives that were cut or hit (trap 1).

use super::*;
use crate::pipeline::tar::{TarError, TarReader};
use crate::source::files::{Cat, cat_entry};

fn small_archive() -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("d");
    fs::create_dir(&root).expect("made");
    fs::write(root.join("a"), noise(1_500)).expect("written");
    fs::write(root.join("m".repeat(150)), b"").expect("written");
    let sparse = File::create(root.join("s")).expect("made");
    sparse.write_all_at(b"data", 1 << 20).expect("written");
    symlink("t", root.join("z")).expect("made");
    archived(&settings(&root)).0
}

#[test]
fn an_archive_cut_anywhere_is_an_error_for_every_reader() {
    let whole = small_archive();
    TarReader::new(whole.as_slice()).walk_to_end().expect("it is whole");
    for length in (0..whole.len()).step_by(256).chain([1, whole.len() - 1]) {
        let cut = &whole[..length];
        assert!(matches!(TarReader::new(cut).walk_to_end(), Err(TarError::Truncated(_))), "walk, {length} of {}", whole.len());
        assert!(TarReader::new(cut).entries().any(|entry| matches!(entry, Err(TarError::Truncated(_)))), "list, {length}");
        let directory = tempfile::tempdir().expect("a directory");
        let (warnings, meter) = (Warnings::default(), Meter::default());
        let done = extract(cut, directory.path(), &ExtractOptions::default(), (&warnings, &meter), &CancellationToken::new());
        let error = done.expect_err("extract of a cut archive").to_string();
        assert!(error.contains("truncated"), "{length}: {error}");
    }
}

#[test]
fn a_listing_ends_after_its_first_error() {
    let whole = small_archive();
    assert_eq!(TarReader::new(&whole[..600]).entries().filter(Result::is_err).count(), 1);
    let mut hit = whole;
    hit[0] ^= 1;
    assert_eq!(TarReader::new(hit.as_slice()).entries().count(), 1);
}

#[test]
fn a_flipped_bit_in_any_header_is_an_error() {
    let whole = small_archive();
    let mut reader = TarReader::new(whole.as_slice());
    reader.next_entry().expect("sound");
    for byte in 0..512 {
        let mut hit = whole.clone();
        hit[byte] ^= 0x10;
        let found = TarReader::new(hit.as_slice()).walk_to_end();
        // Bits of the checksum's own terminators carry nothing.
        assert!(found.is_err() || (148..156).contains(&byte), "byte {byte}");
    }
}

#[test]
fn something_after_the_end_is_an_error() {
    let mut tar = small_archive();
    tar.extend_from_slice(&[0; 5_000]);
    TarReader::new(tar.as_slice()).walk_to_end().expect("zeros may follow");
    tar.push(1);
    assert!(TarReader::new(tar.as_slice()).walk_to_end().is_err());
}

#[test]
fn half_a_file_does_not_stay() {
    let whole = small_archive();
    let directory = tempfile::tempdir().expect("a directory");
    let (warnings, meter) = (Warnings::default(), Meter::default());
    let at = whole.windows(3).position(|window| window == b"/d/").expect("there");
    let cut = whole.windows(4).skip(at).position(|window| window == noise(4)).expect("the content") + at + 700;
    extract(&whole[..cut], directory.path(), &ExtractOptions::default(), (&warnings, &meter), &CancellationToken::new()).expect_err("cut");
    let left = Command::new("find").arg(directory.path()).args(["-type", "f"]).output().expect("find").stdout;
    assert_eq!(String::from_utf8_lossy(&left), "");
}

#[test]
fn a_file_that_is_cut_is_not_output_as_whole() {
    let whole = small_archive();
    let path = TarReader::new(whole.as_slice())
        .entries()
        .map(|entry| entry.expect("sound"))
        .find(|entry| entry.path.ends_with(b"/a"))
        .expect("there")
        .path;
    let path = Path::new(OsStr::from_bytes(&path));
    let mut out = Vec::new();
    assert_eq!(cat_entry(whole.as_slice(), path, &mut out, &CancellationToken::new()).expect("whole"), Cat::Written(1_500));
    let start = whole.windows(8).position(|window| window == noise(8)).expect("the content");
    cat_entry(&whole[..start + 1_000], path, &mut Vec::new(), &CancellationToken::new()).expect_err("cut");
}

proptest::proptest! {
    #[test]
    fn reading_a_hit_archive_never_panics(hits in proptest::collection::vec((0_usize..8_000, proptest::prelude::any::<u8>()), 1..20)) {
        thread_local!(static ARCHIVE: Vec<u8> = small_archive());
        let mut tar = ARCHIVE.with(Clone::clone);
        for (at, byte) in hits {
            let length = tar.len();
            tar[at % length] = byte;
            // The checksum is made right again, so that what lies behind it is reached.
            let block = at % length / 512 * 512;
            tar[block + 148..block + 156].fill(b' ');
            let sum: u64 = tar[block..block + 512].iter().map(|byte| u64::from(*byte)).sum();
            tar[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let mut reader = TarReader::new(tar.as_slice());
        while let Ok(Some(entry)) = reader.next_entry() {
            let _ = reader.content(1 << 16);
            proptest::prop_assert!(entry.xattrs.len() < 10_000);
        }
    }
}
