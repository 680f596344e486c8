//! `cofre notify`: tries notifiers out, and shows the alerts on their way and what is wrong right now.

use super::Exit;
use super::args::NotifyCommand;
use super::render::{Renderer, table};
use crate::catalog::Letter;
use crate::job::{Context, JobError, tell};
use crate::notify::Alert;
use crate::text::Locale;

/// Runs one of the commands.
pub(super) async fn run(command: NotifyCommand, context: &Context, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    match command {
        NotifyCommand::Test { notifier } => test(context, notifier.as_deref(), (renderer, locale)).await,
        NotifyCommand::List { count } => {
            let letters = context.catalog.letters(count.into())?;
            show(&letters, (renderer, locale));
            Ok(Exit::Done)
        }
        NotifyCommand::Problems => problems(context, (renderer, locale)),
    }
}

/// The message goes through the outbox as any other.
async fn test(context: &Context, name: Option<&str>, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    let count = tell::put_down_trial(context, name)?;
    let newest = context.catalog.letters(u32::try_from(count).unwrap_or(u32::MAX))?;
    tell::deliver_after_command(context).await;
    let tried: Vec<i64> = newest.iter().map(|letter| letter.id).collect();
    let letters: Vec<Letter> = context.catalog.letters(u32::MAX)?.into_iter().filter(|letter| tried.contains(&letter.id)).collect();
    show(&letters, (renderer, locale));
    Ok(if letters.iter().all(|letter| letter.state == "delivered") { Exit::Done } else { Exit::Failed })
}

fn show(letters: &[Letter], (renderer, locale): (Renderer, Locale)) {
    let event = |letter: &Letter| serde_json::from_str::<Alert>(&letter.alert).map_or(String::new(), |alert| alert.event.name().to_owned());
    let value: Vec<_> = letters
        .iter()
        .filter_map(|letter| {
            let mut value = serde_json::to_value(letter).ok()?;
            value["event"] = event(letter).into();
            Some(value)
        })
        .collect();
    renderer.result("notify", &value, || {
        if letters.is_empty() {
            return locale.pick("Nenhum alerta.", "No alerts.").to_owned();
        }
        let row = |letter: &Letter| {
            let mark = match letter.state.as_str() {
                "delivered" => "✅",
                "waiting" => "⏳",
                _ => "❌",
            };
            let error = letter.error.clone().unwrap_or_default();
            vec![mark.to_owned(), letter.created.clone(), letter.notifier.clone(), event(letter), letter.state.clone(), error]
        };
        table(&letters.iter().map(row).collect::<Vec<_>>())
    });
}

fn problems(context: &Context, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    let mut rows = Vec::new();
    for key in context.catalog.problems()? {
        let Some(open) = context.catalog.problem(&key)? else { continue };
        let title = serde_json::from_str::<Alert>(&open.alert).map_or(String::new(), |alert| alert.title);
        rows.push((key, open.since, title));
    }
    let value: Vec<_> =
        rows.iter().map(|(key, since, title)| serde_json::json!({ "problem": key, "since": since, "title": title })).collect();
    renderer.result("notify", &value, || {
        if rows.is_empty() {
            return locale.pick("Nada está errado.", "Nothing is wrong.").to_owned();
        }
        table(
            &rows
                .iter()
                .map(|(key, since, title)| vec!["❌".to_owned(), since.to_string(), key.clone(), title.clone()])
                .collect::<Vec<_>>(),
        )
    });
    Ok(if rows.is_empty() { Exit::Done } else { Exit::Warnings })
}
