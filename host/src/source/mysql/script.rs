//! Splits SQL scripts into statements as the client does.

use super::tokens::{Dialect, first};

/// Statements of a script, without delimiters; understands quotes, comments and `DELIMITER`.
pub(super) fn statements(script: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), script);
    while !rest.is_empty() {
        rest = after_comments(rest);
        let (statement, after) = match rest.strip_prefix("DELIMITER ") {
            Some(line) => {
                let (delimiter, after) = line.split_once('\n').unwrap_or((line, ""));
                match delimiter.trim() {
                    "" | ";" => ("", after),
                    // It was chosen so that it does not occur in the statement, in whatever dialect that is.
                    delimiter => after.split_once(delimiter).unwrap_or((after, "")),
                }
            }
            None => to_semicolon(rest),
        };
        if !statement.trim().is_empty() {
            found.push(statement.trim());
        }
        rest = after;
    }
    found
}

/// The statement at the start of `script`, and what follows its semicolon.
fn to_semicolon(script: &str) -> (&str, &str) {
    let mut at = 0;
    while at < script.len() {
        let rest = &script[at..];
        // A comment's end is the client's business: code for some servers only is sent whole.
        let length = match rest.strip_prefix("/*") {
            Some(comment) => comment.find("*/").map_or(rest.len(), |end| end + 4),
            None => first(rest, Dialect::default()).1,
        };
        if let Some(after) = rest.strip_prefix(';') {
            return (&script[..at], after);
        }
        at += length;
    }
    (script, "")
}

/// What follows comments of whole lines: those before a statement are ours.
fn after_comments(script: &str) -> &str {
    let mut rest = script.trim_start();
    while rest.starts_with("-- ") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest.trim_start());
    }
    rest
}

/// A body with a delimiter that does not occur in it, as the client reads it.
pub(super) fn delimited(body: &str) -> String {
    let delimiter = delimiter_for(body);
    // A comment would swallow what stands behind it in the same line.
    let last = body.lines().next_back().unwrap_or("");
    let end = if last.contains("--") || last.contains('#') { "\n" } else { "" };
    format!("DELIMITER {delimiter}\n{body}{end}{delimiter}\nDELIMITER ;")
}

/// A delimiter that does not occur in `body`, nor where it meets its end.
fn delimiter_for(body: &str) -> String {
    let more = (0..).flat_map(|number| [format!("//{number}//"), format!("$${number}$$")]);
    let candidates = [";;", "$$", "//"].map(str::to_owned).into_iter().chain(more);
    let fits = |candidate: &String| !body.contains(candidate.as_str()) && !body.ends_with(&candidate[..1]);
    candidates.into_iter().find(fits).unwrap_or_else(|| ";;".to_owned())
}

/// Sections of a script that begin with the line `-- cofre:KEY`; the first, without a key, comes before any such line.
pub(super) fn sections(script: &str) -> Vec<(Option<&str>, &str)> {
    let mut found = Vec::new();
    let (mut key, mut start, mut at) = (None, 0, 0);
    for line in script.split_inclusive('\n') {
        if let Some(next) = line.strip_prefix("-- cofre:") {
            found.push((key, &script[start..at]));
            key = Some(next.trim_end());
            start = at + line.len();
        }
        at += line.len();
    }
    found.push((key, &script[start..]));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn statements_end_where_the_client_ends_them() {
        let script = "-- head\nSET a = ';';\nDELIMITER ;;\nCREATE TRIGGER t BEGIN x; y -- don't;\n; END;;\nDELIMITER ;\nSELECT `a;b`, \"c;\" /* ; */;\n";
        assert_eq!(statements(script), ["SET a = ';'", "CREATE TRIGGER t BEGIN x; y -- don't;\n; END", "SELECT `a;b`, \"c;\" /* ; */"]);
    }

    #[test]
    fn a_body_ends_at_its_delimiter_in_whatever_dialect_it_is() {
        let script =
            "SET sql_mode='NO_BACKSLASH_ESCAPES';\nDELIMITER ;;\nCREATE PROCEDURE p() SELECT '\\'; SELECT 1;;\nDELIMITER ;\nSELECT 2;\n";
        assert_eq!(statements(script), ["SET sql_mode='NO_BACKSLASH_ESCAPES'", "CREATE PROCEDURE p() SELECT '\\'; SELECT 1", "SELECT 2"]);
    }

    #[test]
    fn a_body_keeps_its_last_comment_and_its_last_sign() {
        for body in
            ["CREATE PROCEDURE p() SELECT 1 -- fim", "CREATE PROCEDURE p() SELECT 1;", "CREATE PROCEDURE p() SELECT ';;', '$$' # //"]
        {
            assert_eq!(statements(&delimited(body)), [body]);
        }
        assert!(delimited("SELECT 1 -- fim").contains("fim\n;;"));
    }

    proptest! {
        #[test]
        fn splitting_anything_never_panics(script in "[ -~\n`'é;]{0,200}") {
            let _ = statements(&script);
            let _ = sections(&script);
        }
    }
}
