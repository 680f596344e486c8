//! `cofre notify`: tries notifiers out, and shows the alerts on their way and what is wrong right now.

use super::Exit;
use super::args::NotifyCommand;
use super::render::{Renderer, table};
use crate::job::tell::{self, Sent, Trouble};
use crate::job::{Context, JobError};
use crate::text::Locale;

/// Runs one of the commands.
pub(super) async fn run(command: NotifyCommand, context: &Context, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    match command {
        NotifyCommand::Test { notifier } => test(context, notifier.as_deref(), (renderer, locale)).await,
        NotifyCommand::List { count } => {
            let letters = tell::letters(context, count.into())?;
            show(&letters, (renderer, locale));
            Ok(Exit::Done)
        }
        NotifyCommand::Problems => problems(context, (renderer, locale)),
    }
}

async fn test(context: &Context, name: Option<&str>, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    let letters = tell::trial(context, name).await?;
    show(&letters, (renderer, locale));
    Ok(if letters.iter().all(|sent| sent.letter.state == "delivered") { Exit::Done } else { Exit::Failed })
}

fn show(letters: &[Sent], (renderer, locale): (Renderer, Locale)) {
    renderer.result("notify", &letters, || {
        if letters.is_empty() {
            return locale.pick("Nenhum alerta.", "No alerts.").to_owned();
        }
        let row = |Sent { letter, event }: &Sent| {
            let mark = match letter.state.as_str() {
                "delivered" => "✅",
                "waiting" => "⏳",
                _ => "❌",
            };
            let error = letter.error.clone().unwrap_or_default();
            vec![mark.to_owned(), letter.created.clone(), letter.notifier.clone(), event.clone(), letter.state.clone(), error]
        };
        table(&letters.iter().map(row).collect::<Vec<_>>())
    });
}

fn problems(context: &Context, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    let troubles = tell::troubles(context)?;
    renderer.result("notify", &troubles, || {
        if troubles.is_empty() {
            return locale.pick("Nada está errado.", "Nothing is wrong.").to_owned();
        }
        let row = |one: &Trouble| vec!["❌".to_owned(), one.since.to_string(), one.problem.clone(), one.title.clone()];
        table(&troubles.iter().map(row).collect::<Vec<_>>())
    });
    Ok(if troubles.is_empty() { Exit::Done } else { Exit::Warnings })
}
