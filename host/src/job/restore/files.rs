//! Into files, or to standard output.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::find::matcher;
use super::{Restore, RestoreTarget, What};
use crate::job::context::JobError;
use crate::job::fetch::VerifiedArtifact;
use crate::set::ArtifactKind;
use crate::source::files::{Cat, ExtractOptions, ExtractReport, Selection, cat_entry, extract_with_links};

impl Restore<'_> {
    fn selection(&self) -> Result<Selection, JobError> {
        Ok(match &self.request.what {
            What::Path(path) => Selection::Below(path.strip_prefix("/").unwrap_or(path).to_path_buf()),
            What::Glob(pattern) => Selection::Glob(matcher(pattern.trim_start_matches('/'), true)?),
            _ => Selection::All,
        })
    }

    pub(in crate::job) async fn unpack(&self, artifact: Arc<VerifiedArtifact>, target: &Path) -> Result<ExtractReport, JobError> {
        let is_directory = artifact.record().kind == ArtifactKind::Directory;
        let options = ExtractOptions {
            selection: if is_directory { self.selection()? } else { Selection::All },
            overwrite: self.request.force,
            owners: rustix::process::geteuid().is_root(),
            owner_names: false,
            xattrs: true,
        };
        let (passphrase, threads, target) = (self.passphrase.clone(), self.context.config.threads, target.to_path_buf());
        let (warnings, meter, cancel) = (Arc::clone(&self.warnings), Arc::clone(&self.meter), self.context.cancel.clone());
        let work = move || -> Result<_, JobError> {
            // Opened a second time only where a file is wanted whose content is stored under a name that is not.
            let open = || artifact.open(&passphrase, threads).map_err(std::io::Error::from);
            Ok(extract_with_links(open, &target, &options, (&warnings, &meter), &cancel)?)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| JobError::Cancelled)?
    }

    /// The content of one file, or the tar of an artifact.
    pub(super) async fn print(&self, artifact: VerifiedArtifact) -> Result<String, JobError> {
        let (passphrase, threads, what) = (self.passphrase.clone(), self.context.config.threads, self.request.what.clone());
        let cancel = self.context.cancel.clone();
        let out: Box<dyn Write + Send> = match &self.request.target {
            RestoreTarget::Stream(outlet) => outlet.take().ok_or_else(|| JobError::Failed("it was written there before".to_owned()))?,
            _ => Box::new(std::io::stdout()),
        };
        let work = move || -> Result<u64, JobError> {
            let failed = |error: std::io::Error| JobError::Failed(format!("cannot write it out: {error}"));
            let mut out = std::io::BufWriter::with_capacity(256 << 10, out);
            let count = if let What::Path(path) = &what {
                let inner = path.strip_prefix("/").unwrap_or(path);
                let found = match cat_entry(artifact.open(&passphrase, threads)?, inner, &mut out, &cancel)? {
                    // The content stands under the file's first name.
                    Cat::LinkTo(first) => cat_entry(artifact.open(&passphrase, threads)?, &first, &mut out, &cancel)?,
                    found => found,
                };
                written(path, &found)?
            } else {
                std::io::copy(&mut artifact.open(&passphrase, threads)?, &mut out).map_err(failed)?
            };
            out.flush().map_err(failed)?;
            Ok(count)
        };
        let count = tokio::task::spawn_blocking(work).await.map_err(|_| JobError::Cancelled)??;
        Ok(format!("{count} bytes"))
    }
}

fn written(path: &Path, found: &Cat) -> Result<u64, JobError> {
    match found {
        Cat::Written(count) => Ok(*count),
        Cat::NotFound => Err(JobError::Request(format!("the backup holds no `{}`", path.display()))),
        Cat::NoFile(_) | Cat::LinkTo(_) => Err(JobError::Request(format!("`{}` is not a file; restore it with --to DIR", path.display()))),
    }
}
