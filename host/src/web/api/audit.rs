//! The audit log: page by page, and whether it is what was written.

use super::super::endpoint::{Ask, Endpoint, Json, Need};
use super::super::problem::Problem;
use super::{Page, PageQuery, limit, number};
use crate::access::Scope;
use crate::audit::{Entry, Findings};
use crate::job;

const READ: Need = Need::Whole(Scope::AuditRead);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/audit", READ, "Who did what, newest first", entries),
        Endpoint::get("/audit/verification", READ, "Whether a line was removed, altered or moved", verification).patient(),
    ]
}

async fn entries(ask: Ask<(), PageQuery>) -> Result<Json<Page<Entry>>, Problem> {
    let (limit, before) = (limit(ask.query.limit)?, number(ask.query.cursor.as_deref())?);
    let before = before.map(|before| u64::try_from(before).unwrap_or(0));
    ask.aside(move |context| {
        let entries = job::audit_page(context, before, limit as usize + 1)?;
        Ok(Json(Page::of(entries, limit, |entry| entry.seq.to_string())))
    })
    .await
}

async fn verification(ask: Ask) -> Result<Json<Findings>, Problem> {
    ask.aside(|context| Ok(Json(job::audit_verify(context, None)?))).await
}
