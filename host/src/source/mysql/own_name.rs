//! Takes a schema's own name out of definitions, so that they can be restored under another one (trap 3), and tells where that
//! cannot be done for sure.
//!
//! Servers print tables and views anew, with the name in backquotes; bodies of routines, triggers and events stay as somebody
//! typed them: `loja.totais`, `` Loja . `totais` ``, `"loja"."totais"`. Where the name means something else as well in a body (an
//! alias, a variable), only what can be nothing but the schema is taken out. What is left, and what a string may hide from us,
//! is a doubt, and a doubt is told.

use super::tokens::{Dialect, Kind, Token, tokens};

/// Words after which `a.b` is the table or routine `b` of schema `a`, never a column of `a`.
const BEFORE_TABLES: [&str; 18] = [
    "INTO",
    "UPDATE",
    "TABLE",
    "TABLES",
    "CALL",
    "TRUNCATE",
    "EXISTS",
    "IGNORE",
    "INSERT",
    "REPLACE",
    "DELETE",
    "VIEW",
    "REFERENCES",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "EVENT",
    "DESCRIBE",
];
/// The same, with brackets between.
const BEFORE_JOINS: [&str; 3] = ["FROM", "JOIN", "STRAIGHT_JOIN"];
/// Functions in whose brackets `FROM` stands before a value.
const WITH_FROM: [&str; 5] = ["EXTRACT", "TRIM", "SUBSTRING", "SUBSTR", "MID"];

/// The name that is to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnName<'a> {
    pub(super) schema: &'a str,
    /// Whether the server takes names in either case for the same.
    pub(super) ignores_case: bool,
}

/// A definition without its schema's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unnamed {
    pub(super) text: String,
    /// Whether it may still name the schema that it came from.
    pub(super) doubtful: bool,
}

impl OwnName<'_> {
    fn is(&self, token: &Token<'_>) -> bool {
        token.name().is_some_and(|name| self.same(&name))
    }

    fn same(&self, name: &str) -> bool {
        if self.ignores_case { name.to_lowercase() == self.schema.to_lowercase() } else { name == self.schema }
    }

    /// Out of what the server printed anew: tables, sequences, views. Quoted and before a dot, it is the schema.
    pub(super) fn out_of_printed(&self, definition: &str) -> String {
        let all = tokens(definition, Dialect::default());
        let own = |at: usize| all[at].kind == Kind::Quoted && self.is(&all[at]);
        without(&all, |at| own(at) && qualifies(&all, at).is_some())
    }

    /// Out of the body of a routine, trigger or event.
    pub(super) fn out_of_body(&self, definition: &str, dialect: Dialect) -> Unnamed {
        let all = tokens(definition, dialect);
        let means_more = (0..all.len()).any(|at| self.is(&all[at]) && qualifies(&all, at).is_none() && !after_dot(&all, at));
        let goes = |at: usize| self.is(&all[at]) && qualifies(&all, at).is_some() && (!means_more || is_surely_a_schema(&all, at));
        let text = without(&all, goes);
        Unnamed { doubtful: self.may_be_named_in(&text, dialect), text }
    }

    /// Whether a body that went through [`Self::out_of_body`] may still name the schema.
    pub(super) fn may_be_named_in(&self, body: &str, dialect: Dialect) -> bool {
        let all = tokens(body, dialect);
        let left = (0..all.len()).any(|at| self.is(&all[at]) && qualifies(&all, at).is_some());
        let makes_sql = all.iter().any(|token| token.is_word("PREPARE") || token.is_word("IMMEDIATE"));
        left || all.iter().any(|token| token.kind == Kind::Text && self.is_hidden_in(token.text, makes_sql))
    }

    /// Whether a string holds the name before a dot, or anywhere where strings become SQL.
    fn is_hidden_in(&self, text: &str, anywhere: bool) -> bool {
        let (text, name) = (text.to_lowercase(), self.schema.to_lowercase());
        let of_a_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
        text.match_indices(&name).any(|(at, _)| {
            let (before, after) = (text[..at].chars().next_back(), &text[at + name.len()..]);
            let whole = !before.is_some_and(of_a_word) && !after.chars().next().is_some_and(of_a_word);
            whole && (anywhere || after.trim_start_matches(['`', '"', ' ']).starts_with('.'))
        })
    }
}

/// Schemas that a body reads from, writes to or calls into by name; the own one is out already.
pub(super) fn others_named_in(body: &str, dialect: Dialect) -> Vec<String> {
    let all = tokens(body, dialect);
    let named =
        |at: &usize| all[*at].name().is_some() && qualifies(&all, *at).is_some() && !after_dot(&all, *at) && is_surely_a_schema(&all, *at);
    let mut found: Vec<String> = (0..all.len()).filter(named).filter_map(|at| all[at].name()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// All tokens but those that go, each with the dot behind it.
fn without(all: &[Token<'_>], goes: impl Fn(usize) -> bool) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < all.len() {
        match qualifies(all, at) {
            Some(next) if !after_dot(all, at) && goes(at) => at = next,
            _ => {
                text.push_str(all[at].text);
                at += 1;
            }
        }
    }
    text
}

fn next(all: &[Token<'_>], at: usize) -> Option<usize> {
    (at + 1..all.len()).find(|at| all[*at].kind != Kind::Blank)
}

fn before<'a>(all: &'a [Token<'a>], at: usize) -> Option<&'a Token<'a>> {
    previous(all, at).map(|at| &all[at])
}

/// Where the name begins that the name at `at` stands before with a dot.
fn qualifies(all: &[Token<'_>], at: usize) -> Option<usize> {
    let dot = next(all, at).filter(|at| all[*at].is_sign("."))?;
    next(all, dot).filter(|at| matches!(all[*at].kind, Kind::Quoted | Kind::Word))
}

fn after_dot(all: &[Token<'_>], at: usize) -> bool {
    before(all, at).is_some_and(|token| token.is_sign("."))
}

/// Whether a name before a dot is a schema by where it stands: before two more names, where tables and routines are named, or
/// where a trigger names its table.
fn is_surely_a_schema(all: &[Token<'_>], at: usize) -> bool {
    let Some(table) = qualifies(all, at) else { return false };
    let is_before = |start: usize, words: &[&str]| before(all, start).is_some_and(|token| words.iter().any(|word| token.is_word(word)));
    let bracket = (0..at).rev().find(|at| all[*at].kind != Kind::Blank && !all[*at].is_sign("("));
    let joined = bracket.is_some_and(|word| is_before(word + 1, &BEFORE_JOINS) && !is_of_a_function(all, word));
    let duplicate = previous(all, at).is_some_and(|word| all[word].is_word("UPDATE") && is_before(word, &["KEY"]));
    let of_a_trigger = || is_before(at, &["ON"]) && next(all, table).is_some_and(|at| all[at].is_word("FOR"));
    qualifies(all, table).is_some() || joined || (is_before(at, &BEFORE_TABLES) && !duplicate) || of_a_trigger()
}

fn previous(all: &[Token<'_>], at: usize) -> Option<usize> {
    (0..at).rev().find(|at| all[*at].kind != Kind::Blank)
}

/// Whether the word at `at` stands in the brackets of a function that takes `FROM`.
fn is_of_a_function(all: &[Token<'_>], at: usize) -> bool {
    let mut depth = 0_usize;
    for start in (0..at).rev() {
        if all[start].is_sign(")") {
            depth += 1;
        } else if all[start].is_sign("(") && depth == 0 {
            return before(all, start).is_some_and(|token| WITH_FROM.iter().any(|word| token.is_word(word)));
        } else if all[start].is_sign("(") {
            depth -= 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOJA: OwnName<'_> = OwnName { schema: "loja", ignores_case: false };

    fn body(text: &str) -> (String, bool) {
        let unnamed = LOJA.out_of_body(text, Dialect::default());
        (unnamed.text, unnamed.doubtful)
    }

    #[test]
    fn the_schemas_own_name_goes_and_others_stay() {
        let own = OwnName { schema: "emp", ignores_case: false };
        let view = "select `emp`.`t`.`a` AS `emp`,'`emp`.`t`' from `emp`.`t` join `other`.`emp` on `x`.`emp`.`y`";
        assert_eq!(own.out_of_printed(view), "select `t`.`a` AS `emp`,'`emp`.`t`' from `t` join `other`.`emp` on `x`.`emp`.`y`");
    }

    #[test]
    fn it_goes_from_a_body_however_it_was_typed() {
        for (typed, clean) in [
            ("DELETE FROM loja.totais WHERE n < 0", "DELETE FROM totais WHERE n < 0"),
            ("UPDATE loja . `totais` SET loja.totais.n = 1", "UPDATE `totais` SET totais.n = 1"),
            ("SELECT `loja`./* x */totais.n FROM `loja`.totais", "SELECT totais.n FROM totais"),
            ("CALL loja.fechar(loja.dobro(2))", "CALL fechar(dobro(2))"),
            ("SELECT outra.loja FROM outra WHERE @loja.x = 'loja'", "SELECT outra.loja FROM outra WHERE @loja.x = 'loja'"),
            ("SELECT Loja.x FROM Loja", "SELECT Loja.x FROM Loja"),
        ] {
            assert_eq!(body(typed), (clean.to_owned(), false), "{typed}");
        }
        let ansi = LOJA.out_of_body("DELETE FROM \"loja\".\"totais\"", Dialect::of("ANSI_QUOTES"));
        assert_eq!(ansi, Unnamed { text: "DELETE FROM \"totais\"".to_owned(), doubtful: false });
        let other_case = OwnName { ignores_case: true, ..LOJA }.out_of_body("DELETE FROM LOJA.totais", Dialect::default());
        assert_eq!(other_case.text, "DELETE FROM totais");
    }

    #[test]
    fn what_may_be_something_else_stays_and_is_told() {
        let alias = "SELECT loja.x FROM outra AS loja; DELETE FROM loja.totais";
        assert_eq!(body(alias), ("SELECT loja.x FROM outra AS loja; DELETE FROM totais".to_owned(), true));
        for hidden in [
            "PREPARE s FROM CONCAT('DELETE FROM ', 'loja', '.totais')",
            "EXECUTE IMMEDIATE 'DROP TABLE `loja`'",
            "CALL executar('DELETE FROM `loja`.totais')",
        ] {
            assert_eq!(body(hidden), (hidden.to_owned(), true));
        }
        for plain in ["SELECT 'loja'", "SELECT 'a loja fechou'", "PREPARE s FROM 'SELECT 1 FROM lojas'", "SELECT 'minhaloja.x'"] {
            assert_eq!(body(plain), (plain.to_owned(), false));
        }
    }

    #[test]
    fn other_schemas_are_known_by_where_they_stand() {
        let text = "INSERT INTO contabil.lancamentos SELECT t.a FROM totais t JOIN `rh`.folha f ON f.x = t.x; CALL fechar(t.y)";
        assert_eq!(others_named_in(text, Dialect::default()), ["contabil", "rh"]);
        assert_eq!(others_named_in("SELECT 1 FROM ((contabil.a JOIN b))", Dialect::default()), ["contabil"]);
        for own in [
            "SELECT EXTRACT(YEAR FROM t.d), TRIM(BOTH (1) FROM t.x), REPLACE(t.n, 'a', 'b') FROM t WHERE t.n LIKE t.m",
            "INSERT INTO t SELECT 1 ON DUPLICATE KEY UPDATE t.n = 1",
            "SELECT a.b FROM a ORDER BY a.b",
        ] {
            assert_eq!(others_named_in(own, Dialect::default()), Vec::<String>::new(), "{own}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_is_left_that_is_surely_the_schema(text in "(FROM |loja|\\.|`loja`|'|\"|x|@| |\n|-- |/\\*|\\*/){0,40}") {
            let unnamed = LOJA.out_of_body(&text, Dialect::default());
            prop_assert!(!others_named_in(&unnamed.text, Dialect::default()).iter().any(|name| name == "loja" && !unnamed.doubtful));
            let _ = LOJA.out_of_printed(&text);
        }
    }
}
