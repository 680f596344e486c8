//! What a service that knows no people by name, or takes no files, says to them: a message never goes to anybody else than it is meant
//! for, and no file is lost in silence.

use cofre_sdk::{Attachment, Error, Message, Result};

/// Refuses recipients; `who` says whom the service tells instead, as in `Slack tells the channel of its webhook`.
///
/// # Errors
/// `unsupported` where the message has any.
pub fn no_recipients(message: &Message, who: &str) -> Result<()> {
    if message.recipients.is_empty() {
        return Ok(());
    }
    Err(Error::unsupported(format!("{who}, and cannot be told to reach anybody else")))
}

/// Refuses files; one that only the message's HTML shows is left out, as no HTML is delivered.
///
/// # Errors
/// `unsupported` that names the first of them.
pub fn no_files(attachments: &[Attachment], service: &str) -> Result<()> {
    match attachments.iter().find(|file| file.content_id.is_none()) {
        Some(file) => Err(Error::unsupported(format!("{service} takes no files, and `{}` is one", file.name.escape_debug()))),
        None => Ok(()),
    }
}

/// Files that go with the text, without those that only the message's HTML shows.
pub fn files_beside_the_text(attachments: Vec<Attachment>) -> Vec<Attachment> {
    attachments.into_iter().filter(|file| file.content_id.is_none()).collect()
}
