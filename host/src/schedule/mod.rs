//! When jobs are due: cron expressions, clock changes, missed runs, closed hours, jitter. Pure: a function of the job, of what was done
//! last, and of the time.

mod cron;
mod gap;
mod job;

pub use cron::Schedule;
pub use gap::longest_gap;
pub use job::{Action, Due, JobSpec, Overlap, Window, opened};
