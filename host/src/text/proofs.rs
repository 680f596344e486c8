//! Repairs and drills in words: what was mended, and how long it takes to have everything back.

use std::fmt::Write as _;

use super::{Locale, duration};
use crate::config::format_size;

/// How a repair ended for one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairState {
    /// Nothing was wrong.
    Sound,
    /// Whole again.
    Mended,
    /// It could be mended.
    WouldMend,
    /// It stays damaged.
    Unrepairable,
    /// It could not be tried.
    Failed,
}

/// What the summary of a repaired copy tells.
#[derive(Debug, Clone)]
pub struct RepairFacts {
    /// Set.
    pub set: String,
    /// The destination that was mended.
    pub destination: String,
    /// How it ended.
    pub state: RepairState,
    /// Key, bytes, whether it was missing, and the destination that it came from (empty where the sealed manifest says it all).
    pub objects: Vec<(String, u64, bool, String)>,
    /// Why it is not whole.
    pub problems: Vec<String>,
}

/// What a repair did for one copy.
pub fn repair_summary(facts: &RepairFacts, locale: Locale) -> String {
    let RepairFacts { set, destination, state, objects, problems } = facts;
    let state = match state {
        RepairState::Sound => locale.pick("✅ {}: íntegra, nada a consertar", "✅ {}: sound, nothing to mend"),
        RepairState::Mended => locale.pick("✅ {}: CONSERTADA, relida e íntegra", "✅ {}: MENDED, read back and sound"),
        RepairState::WouldMend => locale.pick("➜ {}: seria consertada", "➜ {}: would be mended"),
        RepairState::Unrepairable => locale.pick("❌ {}: CONTINUA DANIFICADA", "❌ {}: STAYS DAMAGED"),
        RepairState::Failed => locale.pick("❌ {}: não foi possível tentar", "❌ {}: could not be tried"),
    };
    let mut text = state.replace("{}", &format!("{set} · {destination}"));
    for (key, bytes, missing, from) in objects {
        let was = if *missing { locale.pick("faltava", "was missing") } else { locale.pick("estava errado", "was wrong") };
        let _ = write!(text, "\n   - {key}: {was}, {}", format_size(*bytes));
        if !from.is_empty() {
            let _ = write!(text, ", {} {from}", locale.pick("de", "from"));
        }
    }
    for problem in problems {
        let _ = write!(text, "\n   - {problem}");
    }
    text
}

/// What is said where there is nothing to mend.
pub fn nothing_to_repair(locale: Locale) -> &'static str {
    locale.pick(
        "✅ Nenhuma cópia conhecida está danificada ou incompleta. Para procurar: cofre verify all",
        "✅ No copy is known to be damaged or incomplete. To look for damage: cofre verify all",
    )
}

/// What the summary of a drill tells.
#[derive(Debug, Clone)]
pub struct DrillFacts {
    /// Set.
    pub set: String,
    /// Artifacts.
    pub parts: usize,
    /// Bytes that were downloaded.
    pub stored: u64,
    /// Plain bytes.
    pub plain: u64,
    /// How long it takes to have everything back.
    pub recovery_seconds: f64,
    /// Of these, downloading.
    pub download_seconds: f64,
    /// Of these, decrypting and loading.
    pub restore_seconds: f64,
    /// Comparing, beside that.
    pub compare_seconds: f64,
    /// The last good drill before took so long.
    pub previous_seconds: Option<f64>,
    /// What did not come back as it was.
    pub problems: Vec<String>,
    /// How many warnings there were.
    pub warnings: u64,
    /// Scratch of killed drills, which was removed.
    pub swept: Vec<String>,
}

/// What came of a drill.
pub fn drill_summary(facts: &DrillFacts, locale: Locale) -> String {
    let own = |portuguese: &'static str, english: &'static str| locale.pick(portuguese, english);
    let took = |seconds: f64| duration(whole(seconds), locale);
    let mut text = if facts.problems.is_empty() {
        own("✅ ENSAIO DE RESTAURAÇÃO COMPLETADO: tudo voltou como era", "✅ RESTORE DRILL COMPLETED: everything came back as it was")
            .to_owned()
    } else {
        own("❌ FALHA NO ENSAIO DE RESTAURAÇÃO!", "❌ RESTORE DRILL FAILED!").to_owned()
    };
    let _ = write!(text, "\n\n{}: {}", own("Conjunto", "Set"), facts.set);
    let _ = write!(text, "\n{}: {}", own("Artefatos", "Artifacts"), facts.parts);
    let _ = write!(text, "\n{}: {}", own("Tamanho total", "Total size"), format_size(facts.plain));
    let _ = write!(text, "\n{}: {}", own("Tamanho comprimido", "Compressed size"), format_size(facts.stored));
    let _ = write!(text, "\n{}: {}", own("Tempo de recuperação", "Recovery time"), took(facts.recovery_seconds));
    let _ = write!(text, "\n   {}: {}", own("download", "download"), took(facts.download_seconds));
    let _ = write!(text, "\n   {}: {}", own("decifrar e carregar", "decrypt and load"), took(facts.restore_seconds));
    let _ = write!(text, "\n{}: {}", own("Comparação", "Comparison"), took(facts.compare_seconds));
    if let Some(previous) = facts.previous_seconds {
        let _ = write!(text, "\n{}: {}", own("Ensaio anterior", "The drill before"), took(previous));
    }
    for swept in &facts.swept {
        let _ = write!(text, "\n{}: {swept}", own("Resto de um ensaio interrompido, removido", "Left by a drill that was killed, removed"));
    }
    if facts.warnings > 0 {
        let _ = write!(text, "\n⚠️ {}: {}", own("Avisos", "Warnings"), facts.warnings);
    }
    for problem in &facts.problems {
        let _ = write!(text, "\n   - {problem}");
    }
    if !facts.problems.is_empty() {
        let what = own(
            "1. Confira as cópias: `cofre verify all --deep`\n2. Conserte as danificadas: `cofre repair`\n3. Se todas estão íntegras, faça um backup novo e ensaie de novo: `cofre run`, `cofre drill`",
            "1. Look at the copies: `cofre verify all --deep`\n2. Mend those that are damaged: `cofre repair`\n3. If all of them are sound, make a new backup and drill again: `cofre run`, `cofre drill`",
        );
        let _ = write!(text, "\n\n{}:\n{what}", own("Ação necessária", "What to do"));
    }
    text
}

/// Seconds, rounded up: what took half a second took time.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no drill comes near the limits, and none takes less than nothing"
)]
fn whole(seconds: f64) -> u64 {
    seconds.max(0.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = "backup_2024_03_15_02_00_15";

    #[test]
    fn a_mended_copy_names_what_was_wrong_and_where_the_good_one_came_from() {
        let facts = RepairFacts {
            set: SET.into(),
            destination: "nuvem".into(),
            state: RepairState::Mended,
            objects: vec![
                ("sql/empresa1.sql.tar.gz.enc".into(), 510_656_512, false, "disco".into()),
                ("manifest.json.seal".into(), 200, true, String::new()),
            ],
            problems: Vec::new(),
        };
        insta::assert_snapshot!(repair_summary(&facts, Locale::PtBr));
        insta::assert_snapshot!(repair_summary(&facts, Locale::En));
        let stays = RepairFacts { state: RepairState::Unrepairable, problems: vec!["no copy has it".into()], ..facts };
        insta::assert_snapshot!(repair_summary(&stays, Locale::PtBr));
    }

    #[test]
    fn a_drill_tells_how_long_it_takes_to_have_everything_back() {
        let facts = DrillFacts {
            set: SET.into(),
            parts: 18,
            stored: 510_656_512,
            plain: 2_469_606_195,
            recovery_seconds: 762.4,
            download_seconds: 120.2,
            restore_seconds: 642.2,
            compare_seconds: 61.0,
            previous_seconds: Some(700.0),
            problems: Vec::new(),
            warnings: 1,
            swept: vec!["cofre_drill_0a1b2c3d_empresa1".into()],
        };
        insta::assert_snapshot!(drill_summary(&facts, Locale::PtBr));
        let failed = DrillFacts {
            problems: vec!["`sql/empresa1.sql.tar.gz.enc`: pedidos: its rows differ".into()],
            previous_seconds: None,
            warnings: 0,
            swept: Vec::new(),
            ..facts
        };
        insta::assert_snapshot!(drill_summary(&failed, Locale::PtBr));
        insta::assert_snapshot!(drill_summary(&failed, Locale::En));
    }
}
