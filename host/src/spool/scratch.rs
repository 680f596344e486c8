//! A file without a name on the spool's disk, for what is sent away once: it is gone with its last handle, however the process ends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use super::set::Follower;
use super::{Spool, SpoolError};

/// Bytes written between two looks at the free space.
const SPACE_STEP: u64 = 4 << 20;

/// A file without a name that leaves the spool its reserve.
#[derive(Debug)]
pub struct ScratchFile {
    file: Arc<File>,
    spool: Spool,
    /// Bytes that may be written before the next look.
    room: u64,
    size: u64,
}

impl Spool {
    /// Begins one, whose size is not known yet.
    ///
    /// # Errors
    /// When there is no room beside the reserve, or it cannot be made.
    pub fn scratch_writer(&self) -> Result<ScratchFile, SpoolError> {
        Ok(ScratchFile { file: Arc::new(self.scratch_file(0)?), spool: self.clone(), room: 0, size: 0 })
    }
}

impl ScratchFile {
    /// Reads all of it; the caller has looked at its size.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.size).unwrap_or_default());
        (&*self.file).seek(SeekFrom::Start(0))?;
        (&*self.file).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Follows the file, which is whole.
    pub fn follower(&self) -> Follower {
        Follower::of_whole(Arc::clone(&self.file), self.size)
    }
}

impl Write for ScratchFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (bytes.len() as u64) > self.room {
            self.spool.check_scratch(SPACE_STEP.max(bytes.len() as u64)).map_err(io::Error::other)?;
            self.room = SPACE_STEP.max(bytes.len() as u64);
        }
        let written = (&*self.file).write(bytes)?;
        self.room = self.room.saturating_sub(written as u64);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.file).flush()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::super::{Available, SpaceRule};
    use super::*;

    #[tokio::test]
    async fn a_file_without_a_name_is_read_and_followed_and_leaves_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::open(&directory.path().join("spool"), SpaceRule::default()).expect("opens");
        let mut file = spool.scratch_writer().expect("room");
        file.write_all(b"cifrado").expect("written");
        assert_eq!(std::fs::read_dir(spool.directory().join("scratch")).expect("listed").count(), 0);
        assert_eq!(file.bytes().expect("read"), b"cifrado");
        let mut follower = file.follower();
        assert_eq!(follower.wait_for(100).await, Available::Whole(7));
        let mut part = String::new();
        follower.body(3, 4).await.expect("opened").read_to_string(&mut part).await.expect("read");
        assert_eq!(part, "rado");
    }

    #[test]
    fn the_reserve_stays_free_while_it_grows() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::open(&directory.path().join("spool"), SpaceRule::default()).expect("opens");
        let mut file = spool.scratch_writer().expect("room");
        file.write_all(b"a").expect("written");
        file.spool.rule.reserve = u64::MAX;
        file.write_all(b"b").expect("within what was looked at");
        file.room = 0;
        let error = file.write_all(b"c").expect_err("full");
        assert!(error.to_string().contains("not enough space"), "{error}");
    }
}
