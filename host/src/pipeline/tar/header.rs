//! The 512-byte ustar header (POSIX.1-1988) and the `length key=value` records of pax headers.

use super::{BLOCK, EntryKind, FileTime};

/// One header block.
pub(super) struct Header(pub(super) [u8; BLOCK]);

const MODE: std::ops::Range<usize> = 100..108;
const UID: std::ops::Range<usize> = 108..116;
const GID: std::ops::Range<usize> = 116..124;
const SIZE: std::ops::Range<usize> = 124..136;
const MTIME: std::ops::Range<usize> = 136..148;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;
const MAGIC: std::ops::Range<usize> = 257..265;
const USER: std::ops::Range<usize> = 265..297;
const GROUP: std::ops::Range<usize> = 297..329;
const DEVICE_MAJOR: std::ops::Range<usize> = 329..337;
const DEVICE_MINOR: std::ops::Range<usize> = 337..345;
const PREFIX: std::ops::Range<usize> = 345..500;

impl Header {
    pub(super) fn new(kind: u8) -> Self {
        let mut header = Self([0; BLOCK]);
        header.0[TYPE] = kind;
        header.0[MAGIC].copy_from_slice(b"ustar\x0000");
        header
    }

    /// Writes what fits; the caller puts the rest into a pax header.
    pub(super) fn set_path(&mut self, path: &[u8]) {
        let count = path.len().min(100);
        self.0[..count].copy_from_slice(&path[..count]);
    }

    pub(super) fn set_link(&mut self, link: &[u8]) {
        let count = link.len().min(100);
        self.0[LINK][..count].copy_from_slice(&link[..count]);
    }

    pub(super) fn set_mode(&mut self, mode: u32) {
        octal(&mut self.0[MODE], u64::from(mode & 0o7777));
    }

    pub(super) fn set_owner(&mut self, uid: u32, gid: u32) {
        octal(&mut self.0[UID], u64::from(uid));
        octal(&mut self.0[GID], u64::from(gid));
    }

    /// Names of owner and group; one that is too long for its field is left out, and the number stands alone.
    pub(super) fn set_owner_names(&mut self, user: &[u8], group: &[u8]) {
        for (range, name) in [(USER, user), (GROUP, group)] {
            if name.len() < range.len() {
                self.0[range][..name.len()].copy_from_slice(name);
            }
        }
    }

    pub(super) fn set_size(&mut self, size: u64) {
        octal(&mut self.0[SIZE], size);
    }

    pub(super) fn set_mtime(&mut self, seconds: i64) {
        octal(&mut self.0[MTIME], u64::try_from(seconds).unwrap_or(0));
    }

    pub(super) fn set_device(&mut self, device: (u32, u32)) {
        octal(&mut self.0[DEVICE_MAJOR], u64::from(device.0));
        octal(&mut self.0[DEVICE_MINOR], u64::from(device.1));
    }

    pub(super) fn seal(&mut self) {
        let sum = self.sum();
        let text = format!("{sum:06o}\0 ");
        self.0[CHECKSUM].copy_from_slice(text.as_bytes());
    }

    fn sum(&self) -> u64 {
        self.0.iter().enumerate().map(|(at, byte)| if CHECKSUM.contains(&at) { 32 } else { u64::from(*byte) }).sum()
    }

    pub(super) fn is_sound(&self) -> bool {
        number(&self.0[CHECKSUM]) == Some(self.sum())
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[TYPE]
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = text(&self.0[PREFIX]);
        if &self.0[MAGIC][..6] == b"ustar\0" && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[LINK]).to_vec()
    }

    pub(super) fn user(&self) -> &[u8] {
        if self.has_magic() { text(&self.0[USER]) } else { &[] }
    }

    pub(super) fn group(&self) -> &[u8] {
        if self.has_magic() { text(&self.0[GROUP]) } else { &[] }
    }

    fn has_magic(&self) -> bool {
        self.0[MAGIC].starts_with(b"ustar")
    }

    pub(super) fn size(&self) -> Option<u64> {
        number(&self.0[SIZE])
    }

    pub(super) fn mode(&self) -> Option<u32> {
        number(&self.0[MODE]).and_then(|mode| u32::try_from(mode & 0o7777).ok())
    }

    pub(super) fn uid(&self) -> Option<u32> {
        number(&self.0[UID]).and_then(|id| u32::try_from(id).ok())
    }

    pub(super) fn gid(&self) -> Option<u32> {
        number(&self.0[GID]).and_then(|id| u32::try_from(id).ok())
    }

    pub(super) fn mtime(&self) -> Option<i64> {
        signed_number(&self.0[MTIME])
    }

    pub(super) fn device(&self) -> (u32, u32) {
        let field = |range| number(&self.0[range]).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        (field(DEVICE_MAJOR), field(DEVICE_MINOR))
    }
}

/// Type letter of an entry.
pub(super) fn type_letter(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::File => b'0',
        EntryKind::HardLink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::CharDevice => b'3',
        EntryKind::BlockDevice => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    }
}

// Too large numbers are written as zero: the pax header carries them then.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let mut rest = value;
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest & 7).expect("below 8");
        rest >>= 3;
    }
    if rest > 0 {
        field[..digits].fill(b'0');
    }
}

/// Whether `value` fits a field of `digits` octal digits.
pub(super) fn fits(value: u64, digits: u32) -> bool {
    value < 1 << (3 * digits)
}

/// Octal digits, or GNU's base-256 form.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let mut value = u64::from(field[0] & 0x7f);
        for byte in &field[1..] {
            value = value.checked_mul(256)?.checked_add(u64::from(*byte))?;
        }
        return Some(value);
    }
    let digits = text(field);
    let digits = digits.trim_ascii();
    if digits.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// As [`number`], and the negative numbers of GNU's base-256 form.
fn signed_number(field: &[u8]) -> Option<i64> {
    if field[0] != 0xff {
        return number(field).and_then(|value| i64::try_from(value).ok());
    }
    field.iter().try_fold(-1_i64, |value, byte| value.checked_mul(256)?.checked_add(i64::from(*byte)))
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Appends one pax record: its own length in decimal, a space, `key=value`, a line feed.
pub(super) fn pax_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Key and value of the next record, which `bytes` then begins after; `None` where it is malformed.
pub(super) fn next_pax_record<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let whole = *bytes;
    let space = whole.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&whole[..space]).ok()?.parse().ok()?;
    if length <= space + 1 || length > whole.len() || whole[length - 1] != b'\n' {
        return None;
    }
    let record = &whole[space + 1..length - 1];
    let equals = record.iter().position(|byte| *byte == b'=')?;
    *bytes = &whole[length..];
    Some((&record[..equals], &record[equals + 1..]))
}

/// An attribute's name as part of a key: GNU tar writes `%` and `=` as `%25` and `%3D`.
pub(super) fn escape_attribute(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'%' => escaped.extend_from_slice(b"%25"),
            b'=' => escaped.extend_from_slice(b"%3D"),
            other => escaped.push(*other),
        }
    }
    escaped
}

/// The reverse of [`escape_attribute`].
pub(super) fn unescape_attribute(mut escaped: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(escaped.len());
    while let Some((first, rest)) = escaped.split_first() {
        let (byte, rest) = match rest {
            [b'2', b'5', after @ ..] if *first == b'%' => (b'%', after),
            [b'3', b'D', after @ ..] if *first == b'%' => (b'=', after),
            _ => (*first, rest),
        };
        name.push(byte);
        escaped = rest;
    }
    name
}

/// Seconds with a fraction, as pax writes times.
pub(super) fn pax_time(time: FileTime) -> String {
    if time.seconds < 0 && time.nanoseconds > 0 {
        return format!("-{}.{:09}", -(time.seconds + 1), 1_000_000_000 - time.nanoseconds);
    }
    format!("{}.{:09}", time.seconds, time.nanoseconds)
}

/// Reads what [`pax_time`] writes, and shorter fractions.
pub(super) fn parse_pax_time(text: &[u8]) -> Option<FileTime> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some(FileTime { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds });
    }
    Some(FileTime { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_reads_back(key in "[a-zA-Z.]{1,40}", value in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let mut records = Vec::new();
            pax_record(&mut records, key.as_bytes(), &value);
            pax_record(&mut records, b"next", b"1");
            let mut rest = records.as_slice();
            prop_assert_eq!(next_pax_record(&mut rest), Some((key.as_bytes(), value.as_slice())));
            prop_assert_eq!(next_pax_record(&mut rest), Some((b"next".as_slice(), b"1".as_slice())));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn an_attributes_name_reads_back_and_has_no_equals_sign(name in proptest::collection::vec(any::<u8>(), 1..60)) {
            let escaped = escape_attribute(&name);
            prop_assert!(!escaped.contains(&b'='));
            prop_assert_eq!(unescape_attribute(&escaped), name);
        }

        #[test]
        fn a_number_reads_back_from_its_field(value in 0_u64..(1 << 33)) {
            let mut field = [0; 12];
            octal(&mut field, value);
            prop_assert_eq!(number(&field), Some(value));
            prop_assert_eq!(signed_number(&field), i64::try_from(value).ok());
        }

        #[test]
        fn a_time_reads_back(seconds in -10_000_000_000_i64..100_000_000_000, nanoseconds in 0_u32..1_000_000_000) {
            let time = FileTime { seconds, nanoseconds };
            prop_assert_eq!(parse_pax_time(pax_time(time).as_bytes()), Some(time));
        }

        #[test]
        fn reading_anything_as_records_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = next_pax_record(&mut bytes.as_slice());
            let _ = parse_pax_time(&bytes);
        }
    }
    #[test]
    fn negative_numbers_of_gnu_are_read() {
        let mut field = [0xff; 12];
        assert_eq!(signed_number(&field), Some(-1));
        field[10] = 0;
        assert_eq!(signed_number(&field), Some(-1 - 0xff00));
    }
}
