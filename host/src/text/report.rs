//! Results in words: of a run, a verification, a restore.

use std::fmt::Write as _;

use super::{Locale, duration, moment};
use crate::config::format_size;

/// What the summary of a run tells.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Set.
    pub set: String,
    /// Start, local time.
    pub started: jiff::ZonedDateTime,
    /// End, local time.
    pub finished: jiff::ZonedDateTime,
    /// Schemas.
    pub databases: usize,
    /// Directories.
    pub directories: usize,
    /// Bytes before compression.
    pub plain: u64,
    /// Bytes stored.
    pub stored: u64,
    /// Destinations: name, and what went wrong.
    pub destinations: Vec<(String, Option<String>)>,
    /// What could not be read.
    pub missing: Vec<String>,
    /// Warnings.
    pub warnings: u64,
}

/// The summary of a run, as the mission words it.
pub fn run_summary(facts: &RunFacts, locale: Locale) -> String {
    let failed = facts.destinations.iter().any(|(_, error)| error.is_some()) || !facts.missing.is_empty();
    let seconds = u64::try_from(facts.finished.timestamp().as_second() - facts.started.timestamp().as_second()).unwrap_or(0);
    let mut text = String::new();
    let title = match (failed, facts.warnings) {
        (true, _) => locale.pick("❌ FALHA NO BACKUP!", "❌ BACKUP FAILED!"),
        (false, 0) => locale.pick("✅ BACKUP COMPLETADO COM SUCESSO!", "✅ BACKUP COMPLETED SUCCESSFULLY!"),
        (false, _) => locale.pick("⚠️ BACKUP COMPLETADO COM AVISOS", "⚠️ BACKUP COMPLETED WITH WARNINGS"),
    };
    let _ = writeln!(text, "{title}\n");
    let mut line = |portuguese: &str, english: &str, value: String| {
        let _ = writeln!(text, "{}: {value}", locale.pick(portuguese, english));
    };
    line("Data início", "Started", moment(&facts.started, locale));
    line("Data fim", "Finished", moment(&facts.finished, locale));
    line("Duração", "Duration", duration(seconds, locale));
    line("Bancos processados", "Databases", facts.databases.to_string());
    line("Diretórios processados", "Directories", facts.directories.to_string());
    line("Tamanho total", "Total size", format_size(facts.plain));
    line("Tamanho comprimido", "Compressed size", format_size(facts.stored));
    line("Conjunto", "Set", facts.set.clone());
    for (name, error) in &facts.destinations {
        let state = error.as_ref().map_or_else(|| "OK".to_owned(), |error| format!("{}: {error}", locale.pick("FALHA", "FAILED")));
        line("Local", "Place", format!("{name}: {state}"));
    }
    for what in &facts.missing {
        line("Faltando", "Missing", what.clone());
    }
    if facts.warnings > 0 {
        line("Avisos", "Warnings", facts.warnings.to_string());
    }
    if failed {
        let action = locale.pick(
            "Ação necessária: veja a causa acima; corrija e execute `cofre resume` (cópias) ou `cofre run` (nova execução).",
            "What to do: see the cause above; mend it, then run `cofre resume` (copies) or `cofre run` (a new run).",
        );
        let _ = writeln!(text, "\n{action}");
    }
    text
}

/// What is said when no set could be made at all, as the mission words it.
pub fn run_failure(at: &jiff::ZonedDateTime, error: &str, locale: Locale) -> String {
    match locale {
        Locale::PtBr => format!(
            "❌ FALHA NO BACKUP!\n\nData: {}\nErro: {error}\n\nAção necessária:\n1. Corrija a causa acima\n2. Confira com `cofre check`\n3. Execute o backup manualmente: `cofre run`\n",
            moment(at, locale)
        ),
        Locale::En => format!(
            "❌ BACKUP FAILED!\n\nDate: {}\nError: {error}\n\nWhat to do:\n1. Mend the cause above\n2. Check with `cofre check`\n3. Run the backup by hand: `cofre run`\n",
            moment(at, locale)
        ),
    }
}

/// What the summary of a verified copy tells.
#[derive(Debug, Clone)]
pub struct VerifiedFacts {
    /// Set.
    pub set: String,
    /// Destination.
    pub destination: String,
    /// Bytes that were read and found right.
    pub bytes: u64,
    /// What is wrong with the copy.
    pub problems: Vec<String>,
    /// What else a person should know: above all what the set does not hold.
    pub warnings: Vec<String>,
    /// Whether the copy is damaged, rather than out of reach.
    pub damaged: bool,
    /// The destination whose copy is still good, and when that was last read and found sound.
    pub good: Option<(String, Option<String>)>,
    /// The command that mends the damaged one.
    pub mend: Option<String>,
}

/// One line for each copy that was verified, and one for everything about it that is not as it should be.
pub fn verify_summary(facts: &VerifiedFacts, locale: Locale) -> String {
    let VerifiedFacts { set, destination, bytes, problems, warnings, damaged, good, mend } = facts;
    let (mark, state) = match (problems.is_empty(), warnings.is_empty()) {
        (true, true) => ("✅", format!("{} {}", locale.pick("íntegro,", "sound,"), format_size(*bytes))),
        (true, false) => ("⚠️", format!("{} {}", locale.pick("íntegro, com avisos,", "sound, with warnings,"), format_size(*bytes))),
        (false, _) => ("❌", locale.pick("COM PROBLEMAS", "DAMAGED").to_owned()),
    };
    let mut text = format!("{mark} {set} · {destination}: {state}");
    for line in problems.iter().chain(warnings) {
        let _ = write!(text, "\n   - {line}");
    }
    match good {
        Some((place, Some(verified))) => {
            let _ =
                write!(text, "\n   {} {place} ({} {verified})", locale.pick("cópia boa:", "good copy:"), locale.pick("lida em", "read at"));
        }
        Some((place, None)) => {
            let _ = write!(
                text,
                "\n   {} {place} ({})",
                locale.pick("cópia boa:", "good copy:"),
                locale.pick("nunca relida", "never read back")
            );
        }
        None if *damaged => {
            let _ = write!(text, "\n   {}", locale.pick("nenhuma outra cópia boa é conhecida", "no other copy is known to be good"));
        }
        None => {}
    }
    if let Some(mend) = mend {
        let _ = write!(text, "\n   {} {mend}", locale.pick("para consertar:", "to mend it:"));
    }
    text
}

/// What the summary of a restored artifact tells.
#[derive(Debug, Clone)]
pub struct RestoredFacts {
    /// What it holds.
    pub what: String,
    /// Where it went.
    pub place: String,
    /// Counts.
    pub detail: String,
    /// Set that it came from.
    pub set: String,
    /// Destination that it came from.
    pub from: String,
}

/// What was restored, and from which set and destination: whoever asked for the latest must see which that was.
pub fn restore_summary(facts: &RestoredFacts, dry_run: bool, locale: Locale) -> String {
    let RestoredFacts { what, place, detail, set, from } = facts;
    let verb = if dry_run {
        locale.pick("➜ seria restaurado:", "➜ would be restored:")
    } else {
        locale.pick("✅ restaurado:", "✅ restored:")
    };
    format!("{verb} {what} → {place} ({detail}) {} {set} · {from}", locale.pick("de", "from"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> RunFacts {
        let at =
            |text: &str| text.parse::<jiff::civil::DateTime>().expect("valid").to_zoned_datetime(jiff::tz::TimeZone::UTC).expect("valid");
        RunFacts {
            set: "backup_2024_03_15_02_00_15".into(),
            started: at("2024-03-15T02:00:15"),
            finished: at("2024-03-15T02:47:32"),
            databases: 15,
            directories: 3,
            plain: 2_469_606_195,
            stored: 510_656_512,
            destinations: vec![("disco".into(), None)],
            missing: Vec::new(),
            warnings: 0,
        }
    }

    #[test]
    fn success_reads_as_the_mission_shows_it() {
        insta::assert_snapshot!(run_summary(&facts(), Locale::PtBr), @r"
        ✅ BACKUP COMPLETADO COM SUCESSO!

        Data início: 15/03/2024 02:00:15
        Data fim: 15/03/2024 02:47:32
        Duração: 47 minutos e 17 segundos
        Bancos processados: 15
        Diretórios processados: 3
        Tamanho total: 2.30 GiB
        Tamanho comprimido: 487 MiB
        Conjunto: backup_2024_03_15_02_00_15
        Local: disco: OK
        ");
    }

    #[test]
    fn a_run_that_made_no_set_says_so_in_the_missions_words() {
        insta::assert_snapshot!(run_failure(&facts().started, "cannot connect to database `principal`", Locale::PtBr), @r"
        ❌ FALHA NO BACKUP!

        Data: 15/03/2024 02:00:15
        Erro: cannot connect to database `principal`

        Ação necessária:
        1. Corrija a causa acima
        2. Confira com `cofre check`
        3. Execute o backup manualmente: `cofre run`
        ");
    }

    #[test]
    fn a_failed_copy_is_a_failure_in_both_languages() {
        let mut facts = facts();
        facts.destinations.push(("nuvem".into(), Some("time-out".into())));
        assert!(run_summary(&facts, Locale::PtBr).starts_with("❌ FALHA NO BACKUP!"));
        assert!(run_summary(&facts, Locale::En).contains("Place: nuvem: FAILED: time-out"));
    }

    #[test]
    fn a_restore_names_its_set_and_its_destination() {
        let facts = RestoredFacts {
            what: "empresa1".into(),
            place: "principal: copia".into(),
            detail: "12 files".into(),
            set: "backup_2024_03_15_02_00_15".into(),
            from: "disco".into(),
        };
        insta::assert_snapshot!(
            restore_summary(&facts, false, Locale::PtBr),
            @"✅ restaurado: empresa1 → principal: copia (12 files) de backup_2024_03_15_02_00_15 · disco"
        );
        assert!(restore_summary(&facts, true, Locale::En).starts_with("➜ would be restored: empresa1"));
    }

    #[test]
    fn a_copy_that_is_sound_and_not_whole_says_what_it_lacks() {
        let facts = VerifiedFacts {
            set: "backup_2024_03_15_02_00_15".into(),
            destination: "disco".into(),
            bytes: 1 << 20,
            problems: Vec::new(),
            warnings: vec!["NOT IN THE BACKUP: empresa2".into()],
            damaged: false,
            good: None,
            mend: None,
        };
        insta::assert_snapshot!(verify_summary(&facts, Locale::PtBr), @r"
        ⚠️ backup_2024_03_15_02_00_15 · disco: íntegro, com avisos, 1.00 MiB
           - NOT IN THE BACKUP: empresa2
        ");
    }

    #[test]
    fn a_damaged_copy_names_the_good_one_and_the_command_that_mends_it() {
        let facts = VerifiedFacts {
            set: "backup_2024_03_15_02_00_15".into(),
            destination: "nuvem".into(),
            bytes: 0,
            problems: vec!["`sql/empresa1.sql.tar.gz.enc` on destination `nuvem` is damaged".into()],
            warnings: Vec::new(),
            damaged: true,
            good: Some(("disco".into(), Some("2024-03-20T03:00:00Z".into()))),
            mend: Some("cofre repair backup_2024_03_15_02_00_15 --to nuvem".into()),
        };
        insta::assert_snapshot!(verify_summary(&facts, Locale::PtBr), @r"
        ❌ backup_2024_03_15_02_00_15 · nuvem: COM PROBLEMAS
           - `sql/empresa1.sql.tar.gz.enc` on destination `nuvem` is damaged
           cópia boa: disco (lida em 2024-03-20T03:00:00Z)
           para consertar: cofre repair backup_2024_03_15_02_00_15 --to nuvem
        ");
        let nowhere = VerifiedFacts { good: None, mend: None, ..facts };
        assert!(verify_summary(&nowhere, Locale::En).ends_with("no other copy is known to be good"));
    }
}
