//! Names of owners and groups, from `/etc/passwd` and `/etc/group` alone (passwd(5), group(5)): a look-up over the network
//! could block a backup. An owner that is unknown there has its number only.

use std::collections::HashMap;
use std::path::Path;

/// Numbers and names of one machine's accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: Names,
    groups: Names,
}

#[derive(Debug, Default)]
struct Names {
    by_id: HashMap<u32, Vec<u8>>,
    by_name: HashMap<Vec<u8>, u32>,
}

impl Accounts {
    /// The accounts of this machine; none where the files cannot be read.
    pub(super) fn of_this_machine() -> Self {
        Self::read(Path::new("/etc/passwd"), Path::new("/etc/group"))
    }

    fn read(passwd: &Path, group: &Path) -> Self {
        let names = |path| std::fs::read(path).map(|text| Names::parse(&text)).unwrap_or_default();
        Self { users: names(passwd), groups: names(group) }
    }

    /// Name of an owner; empty where it has none.
    pub(super) fn user(&self, uid: u32) -> &[u8] {
        self.users.by_id.get(&uid).map_or(&[], Vec::as_slice)
    }

    /// Name of a group; empty where it has none.
    pub(super) fn group(&self, gid: u32) -> &[u8] {
        self.groups.by_id.get(&gid).map_or(&[], Vec::as_slice)
    }

    /// The owner with this name here, or the number where there is none.
    pub(super) fn uid(&self, name: &[u8], number: u32) -> u32 {
        self.users.by_name.get(name).copied().unwrap_or(number)
    }

    /// The group with this name here, or the number where there is none.
    pub(super) fn gid(&self, name: &[u8], number: u32) -> u32 {
        self.groups.by_name.get(name).copied().unwrap_or(number)
    }
}

/// Name of an account of this machine, where `/etc/passwd` has one for it.
pub fn user_name(uid: u32) -> Option<String> {
    let accounts = Accounts::of_this_machine();
    Some(accounts.user(uid)).filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).into_owned())
}

impl Names {
    /// Both files have the name first and the number third. The first line of a number or name counts, as in libc.
    fn parse(text: &[u8]) -> Self {
        let mut names = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b':');
            let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else { continue };
            let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse::<u32>().ok()) else { continue };
            if name.is_empty() || matches!(name[0], b'#' | b'+' | b'-') {
                continue;
            }
            names.by_id.entry(id).or_insert_with(|| name.to_vec());
            names.by_name.entry(name.to_vec()).or_insert(id);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_number_counts_and_odd_lines_do_not() {
        let names = Names::parse(b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0\n# no:x:1:\n+nis:x:5:\nwww-data:x:33:33\nbroken\n:x:7:\n");
        assert_eq!(names.by_id.get(&0).map(Vec::as_slice), Some(b"root".as_slice()));
        assert_eq!(names.by_name.get(b"toor".as_slice()), Some(&0));
        assert_eq!(names.by_name.get(b"www-data".as_slice()), Some(&33));
        assert_eq!(names.by_id.len(), 2);
    }
}
