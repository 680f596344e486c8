//! The words of SQL as the servers' own lexers cut them: strings, quoted names, comments, and everything between them.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Blanks and comments.
    Blank,
    /// A string.
    Text,
    /// A name in quotes.
    Quoted,
    /// A name or keyword without quotes; numbers too.
    Word,
    /// A variable with its `@`, or the host of an account.
    Variable,
    /// One other character.
    Sign,
}

/// Modes of SQL that change where strings and names end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dialect {
    /// `"` quotes names.
    pub(super) ansi_quotes: bool,
    /// `\` is a character like any other.
    pub(super) plain_backslash: bool,
}

impl Dialect {
    /// The dialect under a value of `sql_mode`.
    pub(super) fn of(sql_mode: &str) -> Self {
        let has = |mode: &str| sql_mode.split(',').any(|word| word.trim_matches([' ', '\'']).eq_ignore_ascii_case(mode));
        Self { ansi_quotes: has("ANSI_QUOTES") || has("ANSI"), plain_backslash: has("NO_BACKSLASH_ESCAPES") }
    }
}

/// One token and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

impl Token<'_> {
    /// The name that it is, without quotes; `None` where it is no name.
    pub(super) fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_owned()),
            Kind::Quoted if self.text.len() >= 2 => {
                let quote = &self.text[..1];
                Some(self.text[1..self.text.len() - 1].replace(&quote.repeat(2), quote))
            }
            _ => None,
        }
    }

    /// Whether it is this keyword.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this character.
    pub(super) fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }
}

/// Cuts `sql` into tokens; their texts in a row are `sql` again.
pub(super) fn tokens(sql: &str, dialect: Dialect) -> Vec<Token<'_>> {
    let (mut found, mut rest) = (Vec::new(), sql);
    while !rest.is_empty() {
        let (kind, length) = first(rest, dialect);
        let (text, after) = rest.split_at(length);
        found.push(Token { kind, text });
        rest = after;
    }
    found
}

/// Kind and length of the token at the start of `text`, which is not empty.
pub(super) fn first(text: &str, dialect: Dialect) -> (Kind, usize) {
    let bytes = text.as_bytes();
    match bytes[0] {
        quote if quote == b'\'' || (quote == b'"' && !dialect.ansi_quotes) => (Kind::Text, quoted(bytes, !dialect.plain_backslash)),
        b'"' | b'`' => (Kind::Quoted, quoted(bytes, false)),
        _ if bytes[0] == b'#' || is_dash_comment(bytes) => (Kind::Blank, text.find('\n').unwrap_or(text.len())),
        // Comments for some servers only hold code: their ends are signs, what is between them counts.
        b'/' if text.starts_with("/*!") || text.starts_with("/*M!") => {
            let mark = if bytes[2] == b'!' { 3 } else { 4 };
            (Kind::Blank, mark + bytes[mark..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count())
        }
        b'*' if text.starts_with("*/") => (Kind::Blank, 2),
        b'/' if text.starts_with("/*") => (Kind::Blank, text[2..].find("*/").map_or(text.len(), |end| end + 4)),
        b'@' => (Kind::Variable, variable(text, dialect)),
        byte if byte.is_ascii_whitespace() => (Kind::Blank, bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count()),
        byte if is_of_a_word(byte) => (Kind::Word, bytes.iter().take_while(|byte| is_of_a_word(**byte)).count()),
        _ => (Kind::Sign, text.chars().next().map_or(1, char::len_utf8)),
    }
}

/// `--` begins a comment only before a blank or the end.
fn is_dash_comment(bytes: &[u8]) -> bool {
    bytes.starts_with(b"--") && bytes.get(2).is_none_or(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
}

fn is_of_a_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

fn variable(text: &str, dialect: Dialect) -> usize {
    let bytes = text.as_bytes();
    let ats = bytes.iter().take_while(|byte| **byte == b'@').count();
    match bytes.get(ats) {
        Some(b'`') => ats + quoted(&bytes[ats..], false),
        Some(b'\'' | b'"') => ats + quoted(&bytes[ats..], !dialect.plain_backslash),
        _ => ats + bytes[ats..].iter().take_while(|byte| is_of_a_word(**byte) || **byte == b'.').count(),
    }
}

/// Length of what stands in the quotes that `bytes` begin with; a doubled quote is one of its characters.
fn quoted(bytes: &[u8], escapes: bool) -> usize {
    let quote = bytes[0];
    let mut at = 1;
    while at < bytes.len() {
        if bytes[at] == b'\\' && escapes {
            at += 2;
        } else if bytes[at] != quote {
            at += 1;
        } else if bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return at + 1;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strings_names_and_comments_end_where_the_server_ends_them() {
        let kinds = |sql: &str, dialect| {
            tokens(sql, dialect)
                .into_iter()
                .filter(|token| token.kind != Kind::Blank)
                .map(|token| (token.kind, token.text.to_owned()))
                .collect::<Vec<_>>()
        };
        let plain = Dialect::default();
        let of = |kind, text: &str| (kind, text.to_owned());
        assert_eq!(
            kinds("a.`b``.`-- x\n'it''s \\' /*' /* b */ \"d\" @u.v 1--2 # e", plain),
            [
                of(Kind::Word, "a"),
                of(Kind::Sign, "."),
                of(Kind::Quoted, "`b``.`"),
                of(Kind::Text, "'it''s \\' /*'"),
                of(Kind::Text, "\"d\""),
                of(Kind::Variable, "@u.v"),
                of(Kind::Word, "1"),
                of(Kind::Sign, "-"),
                of(Kind::Sign, "-"),
                of(Kind::Word, "2"),
            ]
        );
        assert_eq!(kinds("/*!50003 a */b", plain), [of(Kind::Word, "a"), of(Kind::Word, "b")]);
        let ansi = Dialect::of("REAL_AS_FLOAT,ANSI_QUOTES,NO_BACKSLASH_ESCAPES");
        assert_eq!(kinds("\"a\" '\\' b", ansi), [of(Kind::Quoted, "\"a\""), of(Kind::Text, "'\\'"), of(Kind::Word, "b")]);
        assert_eq!(tokens("`a``b`", plain)[0].name().as_deref(), Some("a`b"));
    }

    proptest! {
        #[test]
        fn tokens_are_the_text_again(sql in "[ -~\n`'\"é/*@.;-]{0,200}", ansi_quotes: bool, plain_backslash: bool) {
            let whole: String = tokens(&sql, Dialect { ansi_quotes, plain_backslash }).iter().map(|token| token.text).collect();
            prop_assert_eq!(whole, sql);
        }
    }
}
