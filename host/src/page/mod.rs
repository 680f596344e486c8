//! The pages: views of plain texts, numbers and times go in, HTML comes out. Pure functions: no I/O, no request, nothing of the domain.
//!
//! Each page has a module with its view structs, which say what a form posts, and one `render`. What a page shows around its subject
//! (navigation, language, theme) is in [`Frame`]. All text is escaped by the templates; [`Html`] is what needs it no more.

pub mod account;
pub mod asset;
pub mod audit;
pub mod checks;
pub mod error;
pub mod form;
mod frame;
pub mod login;
pub mod overview;
pub mod part;
pub mod people;
pub mod plugins;
pub mod reports;
pub mod restore;
pub mod run;
pub mod set;
pub mod sets;
pub mod settings;
pub mod tenants;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use asset::{asset, asset_address};
pub use frame::{Frame, Notice, Section, Theme, UserBadge};
pub use part::{Html, Tone};

use askama::Template;

/// Writes a page.
fn written(page: &impl Template) -> String {
    // It writes into memory, and every value of it is a text.
    page.render().expect("writing into a String does not fail")
}

/// A value that a template hands over: as it is, or behind the references that the template engine puts before names.
pub trait Given<T: Copy>: Copy {
    /// The value itself.
    fn get(self) -> T;
}

impl<T: Copy> Given<T> for T {
    fn get(self) -> T {
        self
    }
}

impl<T: Copy> Given<T> for &T {
    fn get(self) -> T {
        *self
    }
}

impl<T: Copy> Given<T> for &&T {
    fn get(self) -> T {
        **self
    }
}
