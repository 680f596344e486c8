//! The figures of a month, computed from what the catalogue remembers. Pure: the words are in `text`, and what is read is read in `job`.
//!
//! A run counts as a success only when everything that was to be read is at every destination. Means are of successes alone.

mod canvas;
mod forecast;
mod month;
mod monthly;
mod plot;

pub use forecast::{Forecast, Sample, forecast};
pub use month::{Month, MonthError};
pub use monthly::{Day, DestinationMonth, Failure, History, Monthly, Rehearsals};
pub use plot::{Plot, Series, Unit, whole};
