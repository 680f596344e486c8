//! The cases, one file a verb.

mod abort;
mod delete;
mod keys;
mod list;
mod memory;
mod pacing;
mod parallel;
mod probe;
mod put;
mod read;
mod refusal;
mod resume;
mod stat;

pub(crate) use refusal::refusal;

use crate::stage::{Stage, Verdict};

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Stage<'_>) -> Verdict,
}

const fn case(name: &'static str, run: fn(&Stage<'_>) -> Verdict) -> Case {
    Case { name, run }
}

/// All of them but the refusals. Memory is looked at last, after everything that could have used some.
pub(crate) const CASES: &[Case] = &[
    case("probe/limits", probe::limits),
    case("probe/leaves-nothing", probe::leaves_nothing),
    case("put/empty", put::empty),
    case("put/one-byte", put::one_byte),
    case("put/part-minus-one", put::part_minus_one),
    case("put/part", put::part),
    case("put/part-plus-one", put::part_plus_one),
    case("put/several-parts", put::several_parts),
    case("put/unseen-until-finished", put::unseen_until_finished),
    case("put/replaces", put::replaces),
    case("put/large", put::large),
    case("resume/at-every-part", resume::at_every_part),
    case("resume/inside-a-part", resume::inside_a_part),
    case("resume/short-body", resume::short_body),
    case("resume/one-part", resume::one_part),
    case("resume/older-token", resume::older_token),
    case("resume/finished", resume::finished),
    case("resume/unknown-token", resume::unknown_token),
    case("abort/twice", abort::twice),
    case("abort/keeps-what-was-there", abort::keeps_what_was_there),
    case("read/ranges", read::ranges),
    case("read/beyond", read::beyond),
    case("read/empty-object", read::empty_object),
    case("read/nothing", read::nothing),
    case("stat/nothing", stat::nothing),
    case("list/pages", list::pages),
    case("list/prefix", list::prefix),
    case("list/no-temporaries", list::no_temporaries),
    case("list/nothing", list::nothing),
    case("keys/odd", keys::odd),
    case("keys/long", keys::long),
    case("keys/deep", keys::deep),
    case("keys/twins", keys::twins),
    case("delete/twice", delete::twice),
    case("delete/folder", delete::folder),
    case("parallel/interleaved", parallel::interleaved),
    case("parallel/at-once", parallel::at_once),
    case("pacing", pacing::pacing),
    case("memory", memory::memory),
];
