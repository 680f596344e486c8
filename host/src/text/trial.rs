//! The conformance suite's results in words. Names of cases and reasons stay in English: they are for authors of plug-ins.

use std::fmt::Write as _;
use std::time::Duration;

use cofre_conformance::{CaseReport, Outcome, Report};

use super::{Locale, duration};

/// One line for a case that has ended.
pub fn case_line(case: &CaseReport, width: usize, locale: Locale) -> String {
    let (sign, word) = match &case.outcome {
        Outcome::Passed(_) => ("✅", locale.pick("passou", "passed")),
        Outcome::Failed(_) => ("❌", locale.pick("FALHOU", "FAILED")),
        Outcome::Skipped(_) => ("➖", locale.pick("pulado", "skipped")),
    };
    let detail = case.outcome.detail().unwrap_or_default();
    let line = format!("{sign} {:width$}  {word:7}  {:>7.1} s  {detail}", case.name, case.took.as_secs_f64());
    line.trim_end().to_owned()
}

/// What came of the whole suite.
pub fn trial_summary(plugin: &str, report: &Report, locale: Locale) -> String {
    let width = report.cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for case in &report.cases {
        let _ = writeln!(text, "{}", case_line(case, width, locale));
    }
    let took: Duration = report.cases.iter().map(|case| case.took).sum();
    let (passed, failed, skipped) = (report.passed(), report.failed(), report.skipped());
    let took = duration(took.as_secs(), locale);
    let verdict = match failed {
        0 => locale.pick("✅ EM CONFORMIDADE", "✅ CONFORMS"),
        _ => locale.pick("❌ NÃO ESTÁ EM CONFORMIDADE", "❌ DOES NOT CONFORM"),
    };
    let counts = match locale {
        Locale::PtBr => format!("{passed} casos passaram, {failed} falharam, {skipped} foram pulados, em {took}"),
        Locale::En => format!("{passed} cases passed, {failed} failed, {skipped} were skipped, in {took}"),
    };
    let _ = write!(text, "\n{verdict}: {plugin}\n{counts}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failed: bool) -> Report {
        let case =
            |name: &str, outcome, tenths: u64| CaseReport { name: name.to_owned(), outcome, took: Duration::from_millis(tenths * 100) };
        let mut cases = vec![
            case("probe/limits", Outcome::Passed(None), 1),
            case("put/large", Outcome::Passed(Some("83886087 bytes, 210 MB/s up and 480 MB/s down".to_owned())), 602),
            case("pacing", Outcome::Skipped("what leaves the sandbox cannot be counted here".to_owned()), 0),
        ];
        if failed {
            cases.push(case("list/no-temporaries", Outcome::Failed("beside an open upload the listing shows [\"a.part\"]".to_owned()), 12));
        }
        Report { prefix: "cofre-conformance-0/".to_owned(), cases }
    }

    #[test]
    fn a_destination_that_conforms_is_told_case_by_case() {
        insta::assert_snapshot!(trial_summary("s3 0.1.0", &report(false), Locale::En), @"
        ✅ probe/limits  passed       0.1 s
        ✅ put/large     passed      60.2 s  83886087 bytes, 210 MB/s up and 480 MB/s down
        ➖ pacing        skipped      0.0 s  what leaves the sandbox cannot be counted here

        ✅ CONFORMS: s3 0.1.0
        2 cases passed, 0 failed, 1 were skipped, in 1 minute
        ");
    }

    #[test]
    fn one_that_does_not_is_told_in_portuguese_too() {
        insta::assert_snapshot!(trial_summary("s3 0.1.0", &report(true), Locale::PtBr), @r#"
        ✅ probe/limits         passou       0.1 s
        ✅ put/large            passou      60.2 s  83886087 bytes, 210 MB/s up and 480 MB/s down
        ➖ pacing               pulado       0.0 s  what leaves the sandbox cannot be counted here
        ❌ list/no-temporaries  FALHOU       1.2 s  beside an open upload the listing shows ["a.part"]

        ❌ NÃO ESTÁ EM CONFORMIDADE: s3 0.1.0
        2 casos passaram, 1 falharam, 1 foram pulados, em 1 minuto e 1 segundo
        "#);
        insta::assert_snapshot!(trial_summary("s3 0.1.0", &report(true), Locale::En), @r#"
        ✅ probe/limits         passed       0.1 s
        ✅ put/large            passed      60.2 s  83886087 bytes, 210 MB/s up and 480 MB/s down
        ➖ pacing               skipped      0.0 s  what leaves the sandbox cannot be counted here
        ❌ list/no-temporaries  FAILED       1.2 s  beside an open upload the listing shows ["a.part"]

        ❌ DOES NOT CONFORM: s3 0.1.0
        2 cases passed, 1 failed, 1 were skipped, in 1 minute and 1 second
        "#);
    }
}
