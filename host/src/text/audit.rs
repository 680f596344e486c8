//! The audit log in words. What stands in the log itself is the same in every language.

use super::Locale;
use crate::audit::{Entry, Findings};

/// One entry, in columns: when, number, who, what, to what, how it ended.
pub fn audit_entry(entry: &Entry, locale: Locale) -> Vec<String> {
    let at = super::moment(&entry.at.to_zoned_datetime(jiff::tz::TimeZone::system()), locale);
    let facts: Vec<String> = entry.detail.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    vec![
        at,
        entry.seq.to_string(),
        entry.actor.to_string(),
        action(&entry.action, locale).to_owned(),
        entry.object.clone(),
        outcome(&entry.outcome, locale).to_owned(),
        facts.join("; "),
    ]
}

/// What was done; a word of a later cofre as it stands.
fn action(name: &str, locale: Locale) -> &str {
    match name {
        "run" => locale.pick("backup", "backup"),
        "resume" => locale.pick("retomada", "resumption"),
        "verify" => locale.pick("verificação", "verification"),
        "restore" => locale.pick("restauração", "restore"),
        "repair" => locale.pick("reparo", "repair"),
        "drill" => locale.pick("ensaio", "drill"),
        "prune" => locale.pick("limpeza", "clean-up"),
        "remove" => locale.pick("remoção", "removal"),
        "pin" => locale.pick("fixação", "pin"),
        "unpin" => locale.pick("fim da fixação", "pin taken away"),
        "plugin-approve" => locale.pick("plug-in aprovado", "plug-in approved"),
        "plugin-remove" => locale.pick("plug-in removido", "plug-in removed"),
        "configuration" => locale.pick("configuração alterada", "configuration changed"),
        "catalog-rebuild" => locale.pick("catálogo refeito", "catalogue rebuilt"),
        "daemon" => locale.pick("serviço", "service"),
        "access" => locale.pick("consulta", "access"),
        "access-change" => locale.pick("acesso alterado", "access changed"),
        "login" => locale.pick("entrada", "login"),
        "login-refused" => locale.pick("entrada recusada", "login refused"),
        "audit" => locale.pick("auditoria", "audit log"),
        other => other,
    }
}

fn outcome(name: &str, locale: Locale) -> &str {
    match name {
        "begun" => locale.pick("iniciou", "begun"),
        "done" => locale.pick("✅ concluiu", "✅ done"),
        "warnings" => locale.pick("⚠️ com avisos", "⚠️ with warnings"),
        "failed" => locale.pick("❌ falhou", "❌ failed"),
        other => other,
    }
}

/// Whether the log is what was written; the first line that is not.
pub fn audit_findings(findings: &Findings, locale: Locale) -> String {
    let Findings { head, files, healed, torn, fault } = findings;
    if let Some(fault) = fault {
        // The line after an altered one is what gives it away.
        let sound = head.count.min(fault.entry.saturating_sub(1));
        return match locale {
            Locale::PtBr => format!(
                "❌ LOG DE AUDITORIA ALTERADO\n   {fault}\n   Até ali são {sound} entradas íntegras. Guarde uma cópia dos arquivos antes de qualquer outra coisa."
            ),
            Locale::En => format!(
                "❌ THE AUDIT LOG WAS ALTERED\n   {fault}\n   Up to there, {sound} entries are as they were written. Keep a copy of the files before you do anything else."
            ),
        };
    }
    let mut lines = vec![match locale {
        Locale::PtBr => format!("✅ Log de auditoria íntegro: {} entradas em {files} arquivos\n   fim: {head}", head.count),
        Locale::En => format!("✅ The audit log is as it was written: {} entries in {files} files\n   head: {head}", head.count),
    }];
    if *healed > 0 {
        lines.push(match locale {
            Locale::PtBr => format!("em {healed} lugares um processo morreu no meio de uma linha, e a seguinte diz isso"),
            Locale::En => format!("at {healed} places a process died in the middle of a line, and the next one says so"),
        });
    }
    if *torn > 0 {
        lines.push(match locale {
            Locale::PtBr => format!("no fim há {torn} bytes de uma linha que um processo não terminou; a próxima dirá isso"),
            Locale::En => format!("at the end are {torn} bytes of a line that a process did not finish; the next one will say so"),
        });
    }
    lines.join("\n   ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Fault, Head};

    #[test]
    fn what_was_found_reads_as_it_was_written() {
        let head = Head { count: 812, hash: "9f".repeat(32) };
        let sound = Findings { head: head.clone(), files: 2, healed: 1, torn: 35, fault: None };
        let fault = Fault { file: "audit.log".to_owned(), line: 17, entry: 813, what: "it was altered".to_owned() };
        let altered = Findings { head, files: 2, healed: 0, torn: 0, fault: Some(fault) };
        let both = |locale| format!("{}\n\n{}", audit_findings(&sound, locale), audit_findings(&altered, locale));
        insta::assert_snapshot!(format!("{}\n\n{}", both(Locale::PtBr), both(Locale::En)));
    }
}
