//! The measurements behind `cargo xtask bench`: one file through a plug-in, as a run copies it, and the same copy in native code.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::context::JobError;
use crate::config::TrialConfig;
use crate::copy::{CopyContext, CopyJob, Expected, RetryPolicy, UploadJournal, copy_file};
use crate::pipeline::Digester;
use crate::plugin::{PluginEngine, WasmDestination};
use crate::ports::{BodySource, Destination, Limits, Meter};
use crate::set::SetName;
use crate::spool::{Follower, SpaceRule, Spool};

/// Key of the object.
const KEY: &str = "bench.bin";
/// Bytes of a block of a file that is copied natively.
const BLOCK: usize = 1 << 20;
/// Bytes between two flushes of the native copy, as many as a write has where a plug-in names no part size.
const WINDOW: u64 = 16 << 20;

/// What to measure.
#[derive(Debug)]
pub struct Measure {
    /// File to copy.
    pub file: PathBuf,
    /// The component.
    pub plugin: PathBuf,
    /// The file with its settings, as `cofre plugin test` takes it.
    pub settings: PathBuf,
    /// Also copy natively to here.
    pub native: Option<PathBuf>,
}

/// What it took.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Bytes of the file.
    pub bytes: u64,
    /// Seconds through the plug-in, from the begin of the upload to its commit; a run probes once before all its files.
    pub plugin_s: f64,
    /// Seconds in native code.
    pub native_s: Option<f64>,
    /// Largest linear memory of an instance, in bytes.
    pub memory: u64,
}

/// Copies and measures. The spool lies beside the file.
///
/// # Errors
/// When the copy fails.
pub async fn measure(request: &Measure, cancel: &CancellationToken) -> Result<Measured, JobError> {
    let failed = |error: io::Error| JobError::Failed(format!("cannot measure: {error}"));
    let config = TrialConfig::load(&request.settings, &request.plugin)?;
    let destination = WasmDestination::new(PluginEngine::new(None)?.load(&request.plugin).await?, config.settings)?;
    let folder = tempfile::tempdir_in(request.file.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    let set = Spool::open(folder.path(), SpaceRule::default())?.create_set(SetName::at(jiff::ZonedDateTime::now().datetime()))?;
    let mut writer = set.create(KEY)?;
    let expected = fill(&request.file, &mut writer).map_err(failed)?;
    writer.finish().map_err(failed)?;
    let follower = set.follow(KEY).ok_or_else(|| JobError::Failed("the spool lost the file".to_owned()))?;
    let bytes = expected.size;
    let probed = destination.probe().await;
    let limits = probed.map_err(|source| JobError::Destination { name: destination.name().to_owned(), source })?;
    let started = Instant::now();
    copy((&destination, limits), (follower, expected), cancel).await?;
    let plugin_s = started.elapsed().as_secs_f64();
    let native_s = match &request.native {
        Some(target) => Some(natively(&request.file, target, bytes).await.map_err(failed)?),
        None => None,
    };
    set.remove_all()?;
    Ok(Measured { bytes, plugin_s, native_s, memory: destination.memory_peak() })
}

fn fill(file: &Path, writer: &mut impl Write) -> io::Result<Expected> {
    let (mut file, mut block, mut digester) = (std::fs::File::open(file)?, vec![0; BLOCK], Digester::default());
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            let digests = digester.finish();
            return Ok(Expected { size: digests.size, sha256: hex::encode(digests.sha256), md5: hex::encode(digests.md5) });
        }
        digester.update(&block[..length]);
        writer.write_all(&block[..length])?;
    }
}

async fn copy(
    (destination, limits): (&dyn Destination, Limits),
    (file, expected): (Follower, Expected),
    cancel: &CancellationToken,
) -> Result<(), JobError> {
    let (_sender, expected) = watch::channel(Some(expected));
    let (meter, policy) = (Meter::default(), RetryPolicy::default());
    let context = CopyContext { destination, limits, policy, journal: &NoJournal, meter: &meter, cancel };
    let job = CopyJob { key: KEY.to_owned(), file, expected, look_first: false };
    copy_file(&context, job).await.map(drop).map_err(|error| JobError::Failed(error.to_string()))
}

/// A measurement that is interrupted is made again.
struct NoJournal;

impl UploadJournal for NoJournal {
    fn token(&self, _: &str) -> Option<String> {
        None
    }

    fn remember(&self, _: &str, _: &str) {}

    fn forget(&self, _: &str) {}
}

/// The same in native code: the same windows, a flush to disk after each.
async fn natively(file: &Path, target: &Path, size: u64) -> io::Result<f64> {
    let started = Instant::now();
    let mut output = tokio::fs::File::create(target).await?;
    output.set_max_buf_size(BLOCK);
    let mut offset = 0;
    while offset < size {
        let mut source = part(file, offset, WINDOW.min(size - offset)).await?;
        offset += tokio::io::copy_buf(&mut tokio::io::BufReader::with_capacity(BLOCK, &mut source), &mut output).await?;
        output.sync_all().await?;
    }
    Ok(started.elapsed().as_secs_f64())
}

async fn part(file: &Path, offset: u64, length: u64) -> io::Result<BodySource> {
    let mut source = tokio::fs::File::open(file).await?;
    source.set_max_buf_size(BLOCK);
    source.seek(io::SeekFrom::Start(offset)).await?;
    Ok(Box::pin(source.take(length)))
}
