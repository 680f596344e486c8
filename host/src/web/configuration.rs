//! A change of the configuration that comes over the page or the API: what it would do, and saving it. Both say the same of it.

use std::path::PathBuf;
use std::sync::Arc;

use super::problem::{Kind, Problem};
use super::state::State;
use crate::config::{Change, Config, ConfigError, DiffLine, revision};
use crate::job::{CheckedDraft, Context, Draft};

/// What a change would do; nothing is written yet.
pub(super) struct Proposed {
    /// Which version of the file it changes.
    pub revision: String,
    /// What is different.
    pub lines: Vec<DiffLine>,
    /// Why it cannot be saved: a key and what is wrong there.
    pub faults: Vec<(String, String)>,
    /// What is yet to be done for it to work.
    pub notes: Vec<String>,
    /// Where the file as it is now will lie.
    pub kept_as: String,
    /// What the file will mean, where it holds.
    pub config: Option<Arc<Config>>,
    checked: Option<CheckedDraft>,
}

/// What was saved.
pub(super) struct Saved {
    /// The file as it was; nothing where nothing was different.
    pub kept: Option<PathBuf>,
    /// Which version of the file there is now.
    pub revision: String,
    /// Whether it is in force already.
    pub in_force: bool,
}

/// Looks at a change.
pub(super) async fn propose(context: &Context, changes: Vec<Change>) -> Result<Proposed, Problem> {
    let asked = changes.clone();
    let (draft, checked) = super::endpoint::aside(context, move |context| {
        let draft = Draft::of(context, &asked)?;
        let told = (draft.revision(), draft.difference(), draft.kept_as());
        Ok((told, draft.check()))
    })
    .await?;
    let (revision, lines, kept_as) = draft;
    let mut proposed = Proposed { revision, lines, kept_as, faults: Vec::new(), notes: Vec::new(), config: None, checked: None };
    match checked {
        Err(error) => proposed.faults = faults(error),
        Ok(checked) => {
            let review = checked.review(context, &changes).await;
            proposed.faults = review.problems.into_iter().map(|problem| (problem.key, problem.message)).collect();
            proposed.notes = review.notes;
            proposed.config = Some(Arc::clone(checked.config()));
            proposed.checked = Some(checked);
        }
    }
    Ok(proposed)
}

fn faults(error: ConfigError) -> Vec<(String, String)> {
    error.problems.into_iter().map(|problem| (problem.key, problem.message)).collect()
}

impl Proposed {
    /// Saves it as a change of the version `expected`, and has it read.
    pub(super) async fn save(self, state: &State, context: &Context, expected: &str) -> Result<Saved, Problem> {
        if self.revision != expected {
            return Err(Problem::new(Kind::Conflict, "the configuration was changed meanwhile, and nothing was saved: look at it again"));
        }
        let Some(checked) = self.checked.filter(|_| self.faults.is_empty()) else {
            let told: Vec<String> = self.faults.iter().map(|(key, message)| format!("{key}: {message}")).collect();
            return Err(Problem::new(Kind::Invalid, told.join("\n")));
        };
        let (text, expected) = (checked.draft().text().to_owned(), expected.to_owned());
        let kept = super::endpoint::aside(context, move |context| Ok(checked.save(context, &expected)?)).await?;
        let in_force = state.context().config.text == text || state.reread(&text).await;
        Ok(Saved { kept, revision: revision(&text), in_force })
    }
}
