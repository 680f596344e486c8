//! One artifact, or one file of it, decrypted and handed over as it is read. It is verified before its first byte is sent; what breaks off
//! later breaks off the answer, so that nobody takes a part for the whole.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::endpoint::{Ask, Look, Reply};
use super::super::problem::{Kind, Problem};
use super::set_named;
use crate::job::{self, Context, JobError, Outlet, RestoreRequest, RestoreTarget, SetChoice, What};
use crate::ports::{Meter, Warnings};
use crate::set::stem_of;

/// Blocks that are read before whoever downloads has taken the first.
const AHEAD: usize = 4;
/// Longest name of a file that is told.
const NAME_MAX: usize = 120;

/// Which file of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ArtifactQuery {
    /// Absolute path of one file in it; without it, the whole as a tar.
    path: Option<PathBuf>,
    /// Only from this destination.
    from: Option<String>,
}

/// A file on its way.
pub(super) struct Download {
    name: String,
    body: Body,
}

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let named = format!("attachment; filename=\"{}\"", self.name);
        ([(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, named)], self.body).into_response()
    }
}

impl Reply for Download {
    fn look(_: &mut SchemaGenerator) -> Look {
        let schema = schemars::json_schema!({ "type": "string", "contentMediaType": "application/octet-stream" });
        Look { status: axum::http::StatusCode::OK, body: Some(("application/octet-stream", schema)), located: false }
    }
}

/// Writes into the answer; who takes it away ends the writing.
struct Sender(mpsc::Sender<Bytes>);

impl io::Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "whoever downloads is gone");
        self.0.blocking_send(Bytes::copy_from_slice(bytes)).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is being sent: blocks, then how it ended.
struct Sending {
    first: Option<Bytes>,
    blocks: mpsc::Receiver<Bytes>,
    end: Option<tokio::task::JoinHandle<Result<Vec<job::Restored>, JobError>>>,
    _guard: DropGuard,
}

pub(super) async fn artifact(ask: Ask<(), ArtifactQuery>) -> Result<Download, Problem> {
    let (set, key) = (set_named(ask.name("set"))?, ask.name("key").to_owned());
    let known = ask.aside(move |context| Ok(context.catalog.artifacts_of(set)?)).await?;
    let Some(line) = known.into_iter().find(|line| line.key == key) else {
        return Err(Problem::not_found(format!("artifact `{key}` of {set} in the catalogue")));
    };
    if line.kind == "own" && ask.query.path.is_none() {
        return Err(Problem::new(Kind::Invalid, "cofre's own artifact holds the passport of all; restore it with: cofre restore"));
    }
    let what = match &ask.query.path {
        Some(path) if line.kind == "directory" && path.starts_with(&line.name) => What::Path(path.clone()),
        Some(_) => return Err(Problem::new(Kind::Invalid, format!("`path` is an absolute path at or below `{}`", line.name))),
        None => What::Artifact(key.clone()),
    };
    let name = match &ask.query.path {
        Some(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        None => format!("{}.tar", stem_of(&key).rsplit('/').next().unwrap_or_default()),
    };
    let cancel = ask.context.cancel.child_token();
    let context = Context { cancel: cancel.clone(), ..ask.context.clone() };
    let body = begin(context, (set, what, ask.query.from.clone()), cancel).await?;
    Ok(Download { name: plain(&name), body })
}

/// Begins, and waits for the first block: what cannot be had is a problem, and no empty file.
async fn begin(
    context: Context,
    (set, what, from): (crate::set::SetName, What, Option<String>),
    cancel: CancellationToken,
) -> Result<Body, Problem> {
    let (sender, mut blocks) = mpsc::channel(AHEAD);
    let target = RestoreTarget::Stream(Outlet::new(Sender(sender)));
    let request = RestoreRequest { set: SetChoice::Named(set), from, what, target, force: false, dry_run: false };
    let guard = cancel.drop_guard();
    let work = async move { job::restore(&context, &request, (Arc::new(Warnings::default()), Arc::new(Meter::default()))).await };
    let end = tokio::spawn(work);
    let Some(first) = blocks.recv().await else {
        let ended = end.await.map_err(|_| Problem::new(Kind::Failed, "the download ended unexpectedly; see the log"))?;
        ended?;
        return Ok(Body::empty());
    };
    let sending = Sending { first: Some(first), blocks, end: Some(end), _guard: guard };
    Ok(Body::from_stream(stream::unfold(sending, |mut sending| async move {
        let block = match sending.first.take() {
            Some(first) => Some(first),
            None => sending.blocks.recv().await,
        };
        if let Some(block) = block {
            return Some((Ok(block), sending));
        }
        match sending.end.take()?.await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a download broke off");
                Some((Err(io::Error::other("the download broke off")), sending))
            }
            Err(_) => Some((Err(io::Error::other("the download ended unexpectedly")), sending)),
        }
    })))
}

/// A name that no header and no file system takes amiss.
fn plain(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || ".-_".contains(letter) { letter } else { '_' };
    let name: String = name.chars().take(NAME_MAX).map(letter).collect();
    if name.trim_matches('.').is_empty() { "download".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_header_or_its_folder() {
        assert_eq!(plain("nota fiscal\".pdf"), "nota_fiscal_.pdf");
        assert_eq!(plain("../x\r\ny"), ".._x__y");
        assert_eq!(plain(".."), "download");
        assert_eq!(plain(&"x".repeat(500)).len(), NAME_MAX);
    }
}
