//! What a task logs, kept with the task: a layer of the log that is asked nothing and writes to whichever task is at work.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Lines that are kept of a task.
const LINES: usize = 500;
/// Longest line, in characters.
const LINE_MAX: usize = 1_000;

tokio::task_local! {
    static CURRENT: Arc<Lines>;
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// When, RFC 3339.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// `error`, `warn` or `info`.
    pub level: &'static str,
    /// What it says.
    pub text: String,
}

/// The log of one task: the newest lines.
pub(super) struct Lines {
    kept: Mutex<VecDeque<Line>>,
    count: watch::Sender<u64>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { kept: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Lines {
    fn push(&self, level: &'static str, text: String) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = kept.back().map_or(1, |line| line.number + 1);
        if kept.len() == LINES {
            kept.pop_front();
        }
        kept.push_back(Line { number, at: Timestamp::now(), level, text });
        drop(kept);
        self.count.send_replace(number);
    }

    /// All that are kept.
    pub(super) fn newest(&self) -> Vec<Line> {
        self.after(0)
    }

    /// Those after a number.
    pub(super) fn after(&self, number: u64) -> Vec<Line> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|line| line.number > number).cloned().collect()
    }

    /// Changes with every line.
    pub(super) fn count(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}

/// Does something whose log is kept.
pub(super) fn kept<F: Future>(lines: Arc<Lines>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(lines, work)
}

/// The layer, which belongs into the log of a process that has tasks.
#[derive(Debug, Clone, Copy, Default)]
pub struct TaskLines;

impl<S: Subscriber> Layer<S> for TaskLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            _ => return,
        };
        // Outside of tasks there is nobody to keep it for.
        let _ = CURRENT.try_with(|lines| {
            let mut text = Words::default();
            event.record(&mut text);
            lines.push(level, text.line());
        });
    }
}

/// The words of an event: its message, then its fields.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Words {
    fn line(self) -> String {
        let text = if self.fields.is_empty() { self.message } else { format!("{}{}", self.message, self.fields) };
        let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
        text.chars().take(LINE_MAX).map(plain).collect()
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = if field.name() == "message" { write!(self.message, "{value:?}") } else { write!(self.fields, " {field}={value:?}") };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[tokio::test]
    async fn a_task_keeps_its_own_lines_and_no_others() {
        let subscriber = tracing_subscriber::registry().with(TaskLines);
        let _guard = tracing::subscriber::set_default(subscriber);
        let lines: Arc<Lines> = Arc::default();
        tracing::info!("before");
        kept(Arc::clone(&lines), async {
            tracing::info!(set = "backup_x", "one\u{1b}[2J");
            tracing::debug!("details");
            tracing::warn!("two");
        })
        .await;
        tracing::info!("after");
        let kept: Vec<_> = lines.newest().into_iter().map(|line| (line.number, line.level, line.text)).collect();
        assert_eq!(kept, [(1, "info", "one [2J set=\"backup_x\"".to_owned()), (2, "warn", "two".to_owned())]);
        assert_eq!(lines.after(1).len(), 1);
    }

    #[test]
    fn lines_are_bounded_and_keep_their_numbers() {
        let lines = Lines::default();
        for _ in 0..LINES + 10 {
            lines.push("info", "x".to_owned());
        }
        let kept = lines.newest();
        assert_eq!((kept.len(), kept[0].number), (LINES, 11));
        assert_eq!(*lines.count().borrow(), (LINES + 10) as u64);
    }
}
