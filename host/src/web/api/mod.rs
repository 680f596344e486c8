//! The API's operations, one file a noun. Each calls a use case of `job` and answers with what the command line's JSON has.

mod access;
mod alerts;
mod audit;
mod config;
mod destinations;
mod download;
mod plugins;
mod sets;
mod status;
mod tasks;
pub(super) mod tenants;
pub(super) mod work;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::problem::{Kind, Problem};
use crate::set::SetName;

/// Lines of a page unless asked otherwise, and at most.
const PAGE: u32 = 50;
const PAGE_MAX: u32 = 500;

/// Every operation.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let of_each = [
        status::endpoints(),
        sets::endpoints(),
        work::endpoints(),
        tasks::endpoints(),
        tenants::endpoints(),
        destinations::endpoints(),
        alerts::endpoints(),
        plugins::endpoints(),
        audit::endpoints(),
        access::endpoints(),
        config::endpoints(),
    ];
    of_each.into_iter().flatten().collect()
}

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
struct Page<T> {
    /// The lines.
    items: Vec<T>,
    /// What to give as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<T> Page<T> {
    /// Of one line more than was asked for, where there is another page.
    fn of(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

/// Which page.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    /// Lines of a page: 1 to 500, 50 unless given.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// How many lines.
fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked.unwrap_or(PAGE) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        _ => Err(Problem::new(Kind::Invalid, format!("`limit` is 1 to {PAGE_MAX}"))),
    }
}

/// A cursor that is a number.
fn number(cursor: Option<&str>) -> Result<Option<i64>, Problem> {
    let wrong = || Problem::new(Kind::Invalid, "`cursor` is no `next` of this list; leave it out to begin anew");
    cursor.map(|text| text.parse().map_err(|_| wrong())).transpose()
}

/// A set by its name.
pub(super) fn set_named(name: &str) -> Result<SetName, Problem> {
    name.parse().map_err(|error: crate::set::SetNameError| Problem::new(Kind::NotFound, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_only_where_there_is_one() {
        let page = |count: u32, limit| Page::of((0..count).collect(), limit, u32::to_string);
        assert_eq!((page(3, 2).items, page(3, 2).next), (vec![0, 1], Some("1".to_owned())));
        assert_eq!(page(2, 2).next, None);
        assert!(limit(Some(0)).is_err() && limit(Some(501)).is_err() && limit(None).is_ok_and(|limit| limit == PAGE));
        assert!(number(Some("x")).is_err() && number(None).is_ok_and(|number| number.is_none()));
    }
}
