//! POSIX ACLs as text, beside the binary attribute: GNU tar with `--acls` reads only the text (`SCHILY.acl.*`) and removes
//! an ACL that comes as attribute alone, while without `--acls` it reads only the attribute. So an archive carries both.
//!
//! Binary form: `struct posix_acl_xattr_header` of Linux, version 2, little-endian.

/// Attribute with the ACL of a file.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// Attribute with the ACL that new files of a directory get.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: [u8; 4] = [2, 0, 0, 0];

/// The short text form with numeric ids, one entry a line; `None` where the attribute is not of the known form.
pub(super) fn text(attribute: &[u8]) -> Option<String> {
    let entries = attribute.strip_prefix(&VERSION)?;
    let mut text = String::new();
    for entry in entries.chunks(8) {
        let [tag_low, tag_high, permissions, 0, id @ ..] = entry else { return None };
        let id = u32::from_le_bytes(id.try_into().ok()?);
        let who = match u16::from_le_bytes([*tag_low, *tag_high]) {
            0x01 => "user:".to_owned(),
            0x02 => format!("user:{id}"),
            0x04 => "group:".to_owned(),
            0x08 => format!("group:{id}"),
            0x10 => "mask:".to_owned(),
            0x20 => "other:".to_owned(),
            _ => return None,
        };
        let letter = |bit: u8, letter: char| if permissions & bit == 0 { '-' } else { letter };
        text.push_str(&who);
        text.extend([':', letter(4, 'r'), letter(2, 'w'), letter(1, 'x'), '\n']);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_acl_is_written_as_getfacl_prints_it() {
        let entry = |tag: u8, permissions: u8, id: u32| [&[tag, 0, permissions, 0], id.to_le_bytes().as_slice()].concat();
        let all =
            [entry(1, 6, u32::MAX), entry(2, 7, 1234), entry(4, 4, u32::MAX), entry(8, 5, 42), entry(16, 7, 0), entry(32, 4, 0)].concat();
        let attribute = [VERSION.as_slice(), &all].concat();
        let expected = "user::rw-\nuser:1234:rwx\ngroup::r--\ngroup:42:r-x\nmask::rwx\nother::r--\n";
        assert_eq!(text(&attribute).as_deref(), Some(expected));
        assert_eq!(text(&attribute[..22]), None);
    }

    proptest! {
        #[test]
        fn reading_anything_as_an_acl_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = text(&bytes);
            let _ = text(&[VERSION.as_slice(), &bytes].concat());
        }
    }
}
