//! What the notifiers over HTTP share: reading an answer without letting a secret into an error, addresses that are secrets themselves,
//! texts cut to what a service takes, files in a form, and what a service that knows no people or no files says to them.

mod address;
mod answer;
mod cut;
mod form;
mod refuse;
mod shown;
#[cfg(feature = "testing")]
pub mod testing;

pub use address::{SecretAddress, endpoint, refuse_setting};
pub use answer::{Answer, Hidden, exchange, post_json};
pub use cut::cut;
pub use form::Form;
pub use refuse::{files_beside_the_text, no_files, no_recipients};
pub use shown::{colour, rfc3339};
