//! Files with several names: under which of them each was archived first, so that the others become hard links to it.
//!
//! A file is forgotten once all its names were seen. What is held is bounded: beyond it, files are archived whole under each of their
//! names, which is larger and never wrong.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use rustix::fs::{Stat, Statx, StatxFlags};

/// Memory for files whose other names are still to come, about 400,000 of them.
const HELD_MAX: usize = 64 << 20;
/// What an entry takes beside its name: the table's slot at its emptiest, and what the allocator adds.
const ENTRY: usize = 128;

/// The first names of files that have further ones.
#[derive(Default)]
pub(super) struct Links {
    first: HashMap<(u64, u64), First>,
    /// The directory of the name that came last, shared by its entries.
    directory: Rc<[u8]>,
    held: usize,
}

struct First {
    directory: Rc<[u8]>,
    name: Box<[u8]>,
    /// Names to come.
    left: u32,
    /// Tells the file from another that got its number after it was deleted.
    life: u64,
}

/// What tells two files apart that had one number after the other: the moment of their birth, or, where the file system does not know that,
/// their last change and size.
pub(super) fn life(status: &Stat, born: Option<&Statx>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let born = born.filter(|born| born.stx_mask & StatxFlags::BTIME.bits() != 0).map(|born| born.stx_btime);
    match born {
        Some(born) => (born.tv_sec, born.tv_nsec).hash(&mut hasher),
        None => (status.st_ctime, status.st_ctime_nsec, status.st_size).hash(&mut hasher),
    }
    hasher.finish()
}

impl Links {
    /// The path under which this file was archived already.
    pub(super) fn second_name(&mut self, status: &Stat, life: impl FnOnce() -> u64) -> Option<Vec<u8>> {
        let inode = (status.st_dev, status.st_ino);
        let known = self.first.get_mut(&inode)?;
        if status.st_nlink < 2 || known.life != life() {
            // Another file, with the number of one that is gone.
            self.forget(inode);
            return None;
        }
        known.left = known.left.saturating_sub(1);
        let (path, done) = ([&known.directory[..], &known.name[..]].concat(), known.left == 0);
        if done {
            self.forget(inode);
        }
        Some(path)
    }

    /// Remembers a file under the path that it was archived with, if it has further names. Says `false` where there is no room to.
    pub(super) fn remember(&mut self, status: &Stat, path: &[u8], life: impl FnOnce() -> u64) -> bool {
        let further = u32::try_from(status.st_nlink.saturating_sub(1)).unwrap_or(u32::MAX);
        if further == 0 {
            return true;
        }
        let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (directory, name) = path.split_at(start);
        if *self.directory != *directory {
            self.held += directory.len();
            let left = std::mem::replace(&mut self.directory, directory.into());
            self.release(left);
        }
        if self.held + ENTRY + name.len() > HELD_MAX {
            return false;
        }
        let inode = (status.st_dev, status.st_ino);
        self.forget(inode);
        self.held += ENTRY + name.len();
        self.first.insert(inode, First { directory: Rc::clone(&self.directory), name: name.into(), left: further, life: life() });
        true
    }

    fn forget(&mut self, inode: (u64, u64)) {
        if let Some(old) = self.first.remove(&inode) {
            self.held -= ENTRY + old.name.len();
            self.release(old.directory);
        }
    }

    fn release(&mut self, directory: Rc<[u8]>) {
        if Rc::strong_count(&directory) == 1 {
            self.held -= directory.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(inode: u64, names: u64) -> Stat {
        let mut status = rustix::fs::stat("/").expect("there is a root");
        (status.st_ino, status.st_nlink) = (inode, names);
        status
    }

    #[test]
    fn every_name_but_the_first_is_a_second_one_until_all_were_seen() {
        let mut links = Links::default();
        let file = status(7, 3);
        assert_eq!(links.second_name(&file, || 1), None);
        assert!(links.remember(&file, b"a/b/one", || 1));
        assert_eq!(links.second_name(&file, || 1).as_deref(), Some(b"a/b/one".as_slice()));
        assert!(links.remember(&status(8, 2), b"a/c/other", || 2));
        assert_eq!(links.second_name(&file, || 1).as_deref(), Some(b"a/b/one".as_slice()));
        assert_eq!(links.second_name(&file, || 1), None, "all were seen");
        assert_eq!(links.second_name(&status(8, 2), || 2).as_deref(), Some(b"a/c/other".as_slice()));
        assert!(links.first.is_empty() && links.held == links.directory.len(), "{}", links.held);
    }

    #[test]
    fn a_file_that_got_the_number_of_one_that_is_gone_is_no_link_to_it() {
        let mut links = Links::default();
        links.remember(&status(7, 2), b"gone", || 1);
        assert_eq!(links.second_name(&status(7, 2), || 2), None, "born at another time");
        links.remember(&status(7, 2), b"gone", || 1);
        assert_eq!(links.second_name(&status(7, 1), || 1), None, "it has no other name");
        assert!(links.first.is_empty());
    }

    #[test]
    fn memory_stays_bounded_however_many_files_have_several_names() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
            text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4_096
        };
        let before = resident();
        let mut links = Links::default();
        let mut kept = 0_u64;
        for number in 0..3_000_000_u64 {
            let path = format!("srv/archive/{:05}/a-name-as-long-as-mail-has-{number:024}", number / 1_000);
            kept += u64::from(links.remember(&status(number, 2), path.as_bytes(), || number));
        }
        let grown = (resident() - before) >> 20;
        assert!((200_000..1_000_000).contains(&kept), "{kept}");
        assert!(grown < 128, "{grown} MiB for {kept} files");
        // There is room again once some were seen to their last name.
        assert!(links.second_name(&status(1, 2), || 1).is_some());
        assert!(links.remember(&status(9_999_999, 2), b"srv/new", || 1));
    }
}
