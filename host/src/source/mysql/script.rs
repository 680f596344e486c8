//! Splits SQL scripts into statements as the client does, and takes a schema's own name out of definitions.

/// Statements of a script, without delimiters; understands quotes, comments and `DELIMITER`.
pub(super) fn statements(script: &str) -> Vec<&str> {
    let (mut found, mut delimiter, mut start, mut at) = (Vec::new(), ";", 0, 0);
    let bytes = script.as_bytes();
    while at < bytes.len() {
        let rest = &script[at..];
        let line_start = at == 0 || bytes[at - 1] == b'\n';
        if line_start && script[start..at].trim().is_empty() && rest.starts_with("DELIMITER ") {
            let end = rest.find('\n').unwrap_or(rest.len());
            delimiter = rest["DELIMITER ".len()..end].trim();
            at += end;
            start = at;
        } else if rest.starts_with(delimiter) {
            push(&mut found, &script[start..at]);
            at += delimiter.len();
            start = at;
        } else {
            at += token(rest);
        }
    }
    push(&mut found, &script[start..]);
    found
}

fn push<'a>(found: &mut Vec<&'a str>, statement: &'a str) {
    let mut statement = statement.trim();
    // Comments of whole lines before a statement are ours.
    while statement.starts_with("-- ") || statement == "--" {
        statement = statement.split_once('\n').map_or("", |(_, rest)| rest.trim_start());
    }
    if !statement.is_empty() {
        found.push(statement);
    }
}

/// Length of the token at the start of `text`: a quoted string or name, a comment, or one character.
fn token(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes[0] {
        quote @ (b'\'' | b'"' | b'`') => {
            let mut at = 1;
            while at < bytes.len() {
                if bytes[at] == b'\\' && quote != b'`' {
                    at += 2;
                } else if bytes[at] == quote {
                    if bytes.get(at + 1) != Some(&quote) {
                        return at + 1;
                    }
                    at += 2;
                } else {
                    at += 1;
                }
            }
            bytes.len()
        }
        b'#' => text.find('\n').unwrap_or(text.len()),
        b'-' if text.starts_with("-- ") || text.starts_with("--\n") => text.find('\n').unwrap_or(text.len()),
        // Versioned comments hold code; the delimiter does not occur in what the server prints there.
        b'/' if text.starts_with("/*") => text.find("*/").map_or(text.len(), |end| end + 2),
        _ => text.chars().next().map_or(1, char::len_utf8),
    }
}

/// Takes `` `schema`. `` out of a definition, outside strings and comments, so that it can be restored under another name.
pub(super) fn without_schema(definition: &str, schema: &str) -> String {
    let own = super::connection::quoted(schema);
    let mut clean = String::with_capacity(definition.len());
    let (mut at, mut after_dot) = (0, false);
    while at < definition.len() {
        let rest = &definition[at..];
        let length = token(rest);
        let word = &rest[..length];
        if word == own && !after_dot && rest[length..].starts_with('.') {
            at += length + 1;
            continue;
        }
        after_dot = word == ".";
        clean.push_str(word);
        at += length;
    }
    clean
}

/// A delimiter that does not occur in `body`.
pub(super) fn delimiter_for(body: &str) -> String {
    let candidates = [";;", "$$", "//"].map(str::to_owned).into_iter().chain((0..).map(|number| format!("//{number}//")));
    candidates.into_iter().find(|candidate| !body.contains(candidate.as_str())).unwrap_or_else(|| ";;".to_owned())
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
    fn the_schemas_own_name_goes_and_others_stay() {
        let view = "select `emp`.`t`.`a` AS `emp`,'`emp`.`t`' from `emp`.`t` join `other`.`emp` on `x`.`emp`.`y`";
        assert_eq!(without_schema(view, "emp"), "select `t`.`a` AS `emp`,'`emp`.`t`' from `t` join `other`.`emp` on `x`.`emp`.`y`");
    }

    proptest! {
        #[test]
        fn splitting_anything_never_panics(script in "[ -~\n`'é;]{0,200}") {
            let _ = statements(&script);
            let _ = sections(&script);
            let _ = without_schema(&script, "a");
        }
    }
}
