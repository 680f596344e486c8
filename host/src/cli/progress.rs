//! Progress on standard error: a bar with a line for every artifact and destination on a terminal, and elsewhere, for a log,
//! one plain line now and then.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::config::format_size;
use crate::ports::{Meter, PartKind};
use crate::text::{Locale, duration};

/// Between two looks at the meter on a terminal.
const TICK: Duration = Duration::from_millis(200);
/// Between two plain lines: a night's log stays readable.
const LINE: Duration = Duration::from_secs(30);
/// Artifacts and destinations that a bar lists; more are counted.
const PARTS_MAX: usize = 8;

/// Shows a meter until it is dropped.
pub(super) struct Progress {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Nothing to see.
    pub(super) fn none() -> Self {
        Self { stop: Arc::default(), thread: None }
    }

    /// Starts showing `meter` on standard error under the name of what is being done.
    pub(super) fn start(label: &str, meter: &Arc<Meter>, locale: Locale) -> Self {
        let words = Words { label: label.to_owned(), locale };
        if std::io::stderr().is_terminal() {
            let bar = bar(label, meter);
            Self::every(TICK, meter, move |meter, ended| if ended { bar.finish_and_clear() } else { draw(&bar, &words, meter) })
        } else {
            Self::lines(words, meter, LINE, std::io::stderr())
        }
    }

    fn lines(words: Words, meter: &Arc<Meter>, pause: Duration, out: impl Write + Send + 'static) -> Self {
        let (started, out, mut first) = (Instant::now(), Mutex::new(out), true);
        Self::every(pause, meter, move |meter, ended| {
            // Not at once and not at the end: what is short needs no progress, and the result tells the end.
            if !std::mem::take(&mut first) && !ended {
                let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = writeln!(out, "{}", words.line(meter, started.elapsed()));
            }
        })
    }

    /// Calls `show` now, at every pause, and once more at the end.
    fn every(pause: Duration, meter: &Arc<Meter>, mut show: impl FnMut(&Meter, bool) + Send + 'static) -> Self {
        let (meter, stop) = (Arc::clone(meter), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                show(&meter, false);
                let next = Instant::now() + pause;
                // A thread may wake up for nothing.
                while !stopped.load(Ordering::Relaxed)
                    && let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
                {
                    std::thread::park_timeout(left);
                }
            }
            show(&meter, true);
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn bar(label: &str, meter: &Meter) -> ProgressBar {
    let bar = ProgressBar::new(meter.expected().unwrap_or(0));
    bar.set_prefix(label.to_owned());
    bar
}

fn draw(bar: &ProgressBar, words: &Words, meter: &Meter) {
    let template = if meter.expected().is_some() {
        "{spinner} {prefix} {elapsed} {bar:30} {percent:>3} % {msg}"
    } else {
        "{spinner} {prefix} {elapsed} {msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let expected = meter.expected().unwrap_or(0);
    bar.set_length(expected);
    bar.set_position(meter.plain().min(expected));
    let mut message = words.totals(meter);
    for part in Words::parts(meter) {
        let _ = write!(message, "\n    {part}");
    }
    bar.set_message(message);
    bar.tick();
}

/// What is shown, in words.
struct Words {
    label: String,
    locale: Locale,
}

impl Words {
    fn totals(&self, meter: &Meter) -> String {
        let (read, items) = (self.locale.pick("lidos", "read"), self.locale.pick("itens", "items"));
        let mut text = format!("{} {read}", format_size(meter.plain()));
        if meter.cipher() > 0 {
            let _ = write!(text, ", {} {}", format_size(meter.cipher()), self.locale.pick("gravados", "stored"));
        }
        if meter.items() > 0 {
            let _ = write!(text, ", {} {items}", meter.items());
        }
        text
    }

    fn parts(meter: &Meter) -> Vec<String> {
        let parts = meter.parts();
        let one = |part: &crate::ports::PartProgress| match part.kind {
            PartKind::Artifact => format!("{}: {}", part.label, format_size(part.plain)),
            PartKind::Destination => format!("→ {}: {}", part.label, format_size(part.cipher)),
            PartKind::Download => format!("← {}: {}", part.label, format_size(part.cipher)),
        };
        let mut texts: Vec<String> = parts.iter().take(PARTS_MAX).map(one).collect();
        if parts.len() > PARTS_MAX {
            texts.push(format!("… +{}", parts.len() - PARTS_MAX));
        }
        texts
    }

    fn line(&self, meter: &Meter, elapsed: Duration) -> String {
        let share = meter.expected().map_or_else(String::new, |expected| {
            let percent = u128::from(meter.plain().min(expected)) * 100 / u128::from(expected);
            format!("{percent} % ")
        });
        let mut text = format!("cofre {} ({}): {share}{}", self.label, duration(elapsed.as_secs(), self.locale), self.totals(meter));
        for part in Self::parts(meter) {
            let _ = write!(text, "; {part}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn meter() -> (Arc<Meter>, [Arc<Meter>; 2]) {
        let run = Arc::new(Meter::default());
        run.expect(4 << 30);
        let (artifact, copy) = (run.artifact("sql/erp.sql.tar.gz.enc"), Arc::new(Meter::default()));
        run.destination("nas", &copy);
        artifact.add_plain(1 << 30);
        artifact.add_cipher(200 << 20);
        artifact.add_items(5_000);
        copy.add_cipher(150 << 20);
        (run, [artifact, copy])
    }

    #[test]
    fn a_line_tells_the_whole_and_every_part() {
        let (meter, _parts) = meter();
        let line = |locale| Words { label: "run".to_owned(), locale }.line(&meter, Duration::from_secs(61));
        insta::assert_snapshot!(line(Locale::En), @"cofre run (1 minute and 1 second): 25 % 1.00 GiB read, 200 MiB stored, 5000 items; sql/erp.sql.tar.gz.enc: 1.00 GiB; → nas: 150 MiB");
        insta::assert_snapshot!(line(Locale::PtBr), @"cofre run (1 minuto e 1 segundo): 25 % 1.00 GiB lidos, 200 MiB gravados, 5000 itens; sql/erp.sql.tar.gz.enc: 1.00 GiB; → nas: 150 MiB");
    }

    #[test]
    fn a_log_gets_lines_while_work_goes_on_and_none_for_what_is_short() {
        let (meter, _parts) = meter();
        let words = || Words { label: "run".to_owned(), locale: Locale::En };
        let log = Log::default();
        drop(Progress::lines(words(), &meter, Duration::from_secs(3_600), log.clone()));
        assert!(log.0.lock().expect("no panic").is_empty());
        let progress = Progress::lines(words(), &meter, Duration::from_millis(1), log.clone());
        let deadline = Instant::now() + Duration::from_secs(60);
        while String::from_utf8_lossy(&log.0.lock().expect("no panic")).lines().count() < 2 {
            assert!(Instant::now() < deadline, "no lines");
            std::thread::yield_now();
        }
        drop(progress);
    }
}
