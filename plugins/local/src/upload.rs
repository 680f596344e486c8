//! An upload: a partial file that grows at its end, and one rename.
//!
//! The token carries the offset that was last made durable, because after a power cut a file may be longer than what of it is true.

use std::io;
use std::rc::Rc;

use cofre_sdk::files::File;
use cofre_sdk::{Body, Context as _, Error, Object, Result, Upload};

use crate::key::{self, PARTIAL};
use crate::store::{Folder, object};

/// An unfinished object.
#[derive(Debug)]
pub struct LocalUpload {
    folder: Rc<Folder>,
    key: String,
    partial: String,
    /// `None` once it was finished or aborted.
    file: Option<File>,
    offset: u64,
}

impl LocalUpload {
    pub(crate) fn begin(folder: Rc<Folder>, key: &str) -> Result<Self> {
        key::check(key)?;
        let beginning = || format!("cannot begin {key}");
        let partials = folder.path(PARTIAL);
        folder.dir.create_dirs(&partials).with_context(beginning)?;
        let partial = key::join(&partials, &key::partial_name(key));
        let mut file = folder.dir.create(&partial).with_context(beginning)?;
        file.set_size(0).with_context(beginning)?;
        Ok(Self { folder, key: key.to_owned(), partial, file: Some(file), offset: 0 })
    }

    pub(crate) fn resume(folder: Rc<Folder>, key: &str, token: &str) -> Result<Self> {
        key::check(key)?;
        let resuming = || format!("cannot resume {key}");
        let lost = |why: &str| Error::session_lost(format!("cannot resume {key}: {why}"));
        let (name, offset) = token.split_once(':').ok_or_else(|| lost("its token is not one of this plug-in"))?;
        let offset: u64 = offset.parse().map_err(|_| lost("its token is not one of this plug-in"))?;
        if name != key::partial_name(key) {
            return Err(lost("its token is one of another key"));
        }
        let partial = key::join(&folder.path(PARTIAL), name);
        let file = match folder.dir.open_to_write(&partial) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(lost("its partial file is gone")),
            opened => opened.with_context(resuming)?,
        };
        if file.metadata().with_context(resuming)?.size < offset {
            return Err(lost("its partial file is shorter than what was made durable"));
        }
        Ok(Self { folder, key: key.to_owned(), partial, file: Some(file), offset })
    }

    fn file(&mut self) -> Result<&mut File> {
        self.file.as_mut().ok_or_else(|| Error::session_lost(format!("the upload of {} has ended", self.key)))
    }

    /// Makes the object's name durable, and those of the folders above it, which may be new.
    fn sync_folders(&self, path: &str) -> io::Result<()> {
        let mut folder = path;
        while !folder.is_empty() {
            folder = key::parent(folder);
            self.folder.dir.sync_dir(folder)?;
        }
        Ok(())
    }
}

impl Upload for LocalUpload {
    fn token(&self) -> String {
        format!("{}:{}", key::partial_name(&self.key), self.offset)
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, body: &mut Body) -> Result<u64> {
        let (offset, fsync) = (self.offset, self.folder.settings.fsync);
        let writing = format!("cannot write {} at {offset}", self.key);
        let file = self.file()?;
        let count = file.write_body(offset, body).context(&writing)?;
        if fsync {
            file.sync().context(&writing)?;
        }
        self.offset = offset + count;
        Ok(self.offset)
    }

    fn finish(&mut self) -> Result<Object> {
        let (offset, fsync) = (self.offset, self.folder.settings.fsync);
        let finishing = format!("cannot finish {}", self.key);
        let file = self.file()?;
        // A write that failed may have left bytes beyond.
        file.set_size(offset).context(&finishing)?;
        if fsync {
            file.sync().context(&finishing)?;
        }
        let path = self.folder.path(&self.key);
        let dir = &self.folder.dir;
        dir.create_dirs(key::parent(&path)).context(&finishing)?;
        match dir.rename(&self.partial, &path) {
            // Removing the last object of the folder may just have taken the folder with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                dir.create_dirs(key::parent(&path)).context(&finishing)?;
                dir.rename(&self.partial, &path).context(&finishing)?;
            }
            renamed => renamed.context(&finishing)?,
        }
        if fsync {
            self.sync_folders(&path).context(&finishing)?;
        }
        let metadata = dir.metadata(&path).context(&finishing)?;
        if metadata.size != offset {
            return Err(Error::integrity(format!("{finishing}: the file has {} bytes instead of {offset}", metadata.size)));
        }
        self.file = None;
        Ok(object(&self.key, &metadata))
    }

    fn abort(&mut self) -> Result<()> {
        if self.file.take().is_none() {
            return Ok(());
        }
        match self.folder.dir.remove_file(&self.partial) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("cannot remove what was stored of {}", self.key)),
        }
    }
}
