//! What the account may see. A server shows less to an account without privileges and says nothing about it: no triggers without
//! TRIGGER, no events without EVENT, no tables without SELECT. A dump that is short in this way must not be called good.

use std::collections::BTreeSet;
use std::fmt;

use super::connection::{Session, quoted};
use super::definitions::string;
use super::error::MysqlError;
use crate::ports::ObjectKind;

/// Something that the account may not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What: `triggers`.
    pub what: &'static str,
    /// The statement that mends it.
    pub grant: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the account may not see {}; {} mends it", self.what, self.grant)
    }
}

/// Privileges of an account with its active roles.
#[derive(Debug, Default)]
pub(super) struct Rights {
    account: String,
    mariadb: bool,
    /// Whether the server told them at all; otherwise nothing is said about them.
    known: bool,
    granted: Vec<Grant>,
    revoked: Vec<Grant>,
}

#[derive(Debug, PartialEq, Eq)]
struct Grant {
    privileges: BTreeSet<String>,
    level: Level,
    /// The account, or one of its roles.
    to: String,
}

impl Grant {
    /// How little of a schema's name is fixed: smaller is narrower, as the servers sort them.
    fn breadth(&self) -> usize {
        let Level::Schema(pattern) = &self.level else { return usize::MAX };
        let mut letters = pattern.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => drop(letters.next()),
                '_' | '%' => return usize::MAX - at,
                _ => {}
            }
        }
        0
    }

    fn covers(&self, privileges: &[&str]) -> bool {
        let all = self.privileges.contains("ALL PRIVILEGES") || self.privileges.contains("ALL");
        all || privileges.iter().any(|privilege| self.privileges.contains(*privilege))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Level {
    Global,
    /// Schemas under a pattern of `LIKE`.
    Schema(String),
    Table(String, String),
}

impl Rights {
    /// Asks the server.
    pub(super) async fn read(session: &mut Session, mariadb: bool) -> Result<Self, MysqlError> {
        let doing = || "ask what the account may do".to_owned();
        let account: Option<String> = session.first("SELECT CURRENT_USER()", doing).await?;
        // Without FOR, both servers add what comes from roles that are active.
        let lines: Result<Vec<String>, MysqlError> = session.all("SHOW GRANTS", doing).await;
        let (lines, known) = match lines {
            Ok(lines) => (lines, true),
            // A server without privilege tables: everybody may do everything.
            Err(error) if error.code().is_some() => (Vec::new(), false),
            Err(error) => return Err(error),
        };
        Ok(Self::parse(&account.unwrap_or_default(), mariadb, known, &lines))
    }

    fn parse(account: &str, mariadb: bool, known: bool, lines: &[String]) -> Self {
        let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
        let of = |verb: &str| lines.iter().filter_map(|line| grant(line.strip_prefix(verb)?)).collect();
        Self { account: format!("{}@{}", string(user), string(host)), mariadb, known, granted: of("GRANT "), revoked: of("REVOKE ") }
    }

    /// Whether the account has one of `privileges` on a whole schema.
    fn has(&self, privileges: &[&str], schema: &str) -> bool {
        let of_schema = |grant: &&Grant| matches!(&grant.level, Level::Schema(pattern) if like(pattern, schema));
        let taken_away = self.revoked.iter().filter(of_schema).any(|grant| grant.covers(privileges));
        let global = self.granted.iter().filter(|grant| grant.level == Level::Global).any(|grant| grant.covers(privileges));
        // Of several patterns that a schema falls under, only the narrowest counts for an account or a role.
        let narrowest = |grant: &&Grant| {
            let others = self.granted.iter().filter(|other| other.to == grant.to).filter(of_schema);
            others.map(Grant::breadth).min() == Some(grant.breadth())
        };
        (global && !taken_away) || self.granted.iter().filter(of_schema).filter(narrowest).any(|grant| grant.covers(privileges))
    }

    fn has_on_table(&self, privilege: &str, schema: &str, table: &str) -> bool {
        let there = |grant: &Grant| {
            matches!(&grant.level, Level::Table(of, name) if of == schema && name == table) && grant.privileges.contains(privilege)
        };
        self.has(&[privilege], schema) || self.granted.iter().any(there)
    }

    /// Whether every routine's text is shown.
    fn sees_routines(&self, schema: &str) -> bool {
        if self.mariadb {
            self.has_on_table("SELECT", "mysql", "proc") || self.has(&["SHOW CREATE ROUTINE"], schema)
        } else {
            self.granted.iter().any(|grant| grant.level == Level::Global && grant.privileges.contains("SELECT"))
                || self.has(&["SHOW_ROUTINE"], "")
        }
    }

    /// What the account may not see of a schema.
    pub(super) fn lacks(&self, schema: &str) -> Vec<Lack> {
        if !self.known {
            return Vec::new();
        }
        let mut lacks = self.hidden(schema);
        if !self.has(&["SHOW VIEW"], schema) {
            lacks.push(self.views(schema));
        }
        if !self.sees_routines(schema) && !lacks.iter().any(|lack| lack.what == ROUTINES) {
            lacks.push(self.routines());
        }
        lacks
    }

    /// What the server would hide of a schema without a word, so that nobody can tell whether there is any of it.
    pub(super) fn hidden(&self, schema: &str) -> Vec<Lack> {
        if !self.known {
            return Vec::new();
        }
        let mut lacks = Vec::new();
        for (privilege, what) in [("SELECT", "tables"), ("TRIGGER", "triggers"), ("EVENT", "events")] {
            if !self.has(&[privilege], schema) {
                lacks.push(self.on_schema(what, privilege, schema));
            }
        }
        // Whoever may do anything with routines sees their names, and is told where a text is kept back.
        if !self.sees_routines(schema) && !self.has(&["EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE"], schema) {
            lacks.push(self.routines());
        }
        lacks
    }

    /// What the account may not see of other accounts.
    pub(super) fn lacks_accounts(&self) -> Option<Lack> {
        let lack = Lack { what: "users and grants", grant: format!("GRANT SELECT ON `mysql`.* TO {}", self.account) };
        (self.known && !self.has(&["SELECT"], "mysql")).then_some(lack)
    }

    /// What keeps the text of an object from the account.
    pub(super) fn lack(&self, kind: ObjectKind, schema: &str) -> Lack {
        match kind {
            ObjectKind::View => self.views(schema),
            ObjectKind::Trigger => self.on_schema("triggers", "TRIGGER", schema),
            ObjectKind::Event => self.on_schema("events", "EVENT", schema),
            ObjectKind::Procedure | ObjectKind::Function | ObjectKind::Package => self.routines(),
        }
    }

    fn views(&self, schema: &str) -> Lack {
        self.on_schema("views", "SHOW VIEW", schema)
    }

    fn routines(&self) -> Lack {
        let what = if self.mariadb { "SELECT ON `mysql`.`proc`" } else { "SHOW_ROUTINE ON *.*" };
        Lack { what: ROUTINES, grant: format!("GRANT {what} TO {}", self.account) }
    }

    fn on_schema(&self, what: &'static str, privilege: &str, schema: &str) -> Lack {
        let pattern = schema.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%");
        Lack { what, grant: format!("GRANT {privilege} ON {}.* TO {}", quoted(&pattern), self.account) }
    }
}

const ROUTINES: &str = "routines";

/// Reads what follows `GRANT` or `REVOKE`; `None` for roles and proxies.
fn grant(line: &str) -> Option<Grant> {
    if line.starts_with('`') || line.starts_with("PROXY ") {
        return None;
    }
    let (privileges, rest) = line.split_once(" ON ")?;
    let rest = rest.strip_prefix("TABLE ").unwrap_or(rest);
    let to = [" TO ", " FROM "].into_iter().find_map(|word| rest.split_once(word)).map_or("", |(_, to)| to);
    let to = to.split(' ').next().unwrap_or("").to_owned();
    let level = if rest.starts_with("*.*") {
        Level::Global
    } else {
        let (schema, rest) = name(rest)?;
        let rest = rest.strip_prefix('.')?;
        if rest.starts_with('*') { Level::Schema(schema) } else { Level::Table(schema, name(rest)?.0) }
    };
    Some(Grant { privileges: listed(privileges), level, to })
}

/// The privileges of a list; one that is granted for some columns only counts for nothing.
fn listed(text: &str) -> BTreeSet<String> {
    let (mut found, mut depth, mut start) = (BTreeSet::new(), 0_i32, 0);
    for (at, c) in text.char_indices().chain([(text.len(), ',')]) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth <= 0 => {
                let privilege = text[start..at].trim();
                if !privilege.contains('(') {
                    found.insert(privilege.to_uppercase());
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// A quoted name at the start of `text`, and what follows it.
fn name(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '`' | '"' | '\''))?;
    let mut found = String::new();
    let mut rest = &text[1..];
    loop {
        let end = rest.find(quote)?;
        found.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        if !rest.starts_with(quote) {
            return Some((found, rest));
        }
        found.push(quote);
        rest = &rest[1..];
    }
}

/// Whether `text` falls under a pattern of `LIKE`: `_` is one character, `%` any number, `\` takes their meaning away.
fn like(pattern: &str, text: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = pattern_rest.as_str();
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| like(rest, &text[at..]))
        }
        Some(first) => {
            let (first, any) = match (first, pattern_rest.clone().next()) {
                ('\\', Some(next @ ('_' | '%' | '\\'))) => {
                    pattern_rest.next();
                    (next, false)
                }
                ('_', _) => ('_', true),
                _ => (first, false),
            };
            let mut text_rest = text.chars();
            text_rest.next().is_some_and(|c| (any || c == first) && like(pattern_rest.as_str(), text_rest.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(mariadb: bool, lines: &[&str]) -> Vec<&'static str> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Rights::parse("cópia@%", mariadb, true, &lines).lacks("emp_1").into_iter().map(|lack| lack.what).collect()
    }

    #[test]
    fn privileges_come_from_every_level_and_from_roles() {
        let all: [&str; 0] = [];
        assert_eq!(lacks(true, &["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]), all);
        // As MariaDB shows an account with a role that has another role.
        let mariadb = [
            "GRANT `leitor` TO `lim`@`localhost`",
            "GRANT USAGE ON *.* TO `lim`@`localhost`",
            "GRANT EXECUTE, EVENT ON `emp\\_1`.* TO `lim`@`localhost`",
            "GRANT SHOW VIEW, TRIGGER ON `e%`.* TO `leitor`",
            "GRANT SELECT ON *.* TO `sub`",
            "SET DEFAULT ROLE `leitor` FOR `lim`@`localhost`",
        ];
        assert_eq!(lacks(true, &mariadb), all);
        assert_eq!(
            lacks(true, &["GRANT SELECT (`a`, `b`), TRIGGER ON `emp_1`.`t` TO `x`@`y`"]),
            ["tables", "triggers", "events", "routines", "views"]
        );
        assert_eq!(lacks(true, &["GRANT SELECT, TRIGGER, SHOW VIEW, EVENT ON `emp_1`.* TO `x`@`y`"]), ["routines"]);
        let proc = "GRANT SELECT ON `mysql`.`proc` TO `x`@`y`";
        assert_eq!(lacks(true, &["GRANT SELECT, TRIGGER, SHOW VIEW, EVENT ON `emp_1`.* TO `x`@`y`", proc]), all);
    }

    #[test]
    fn only_the_narrowest_pattern_counts_for_each_role() {
        let narrow = "GRANT SELECT, TRIGGER, EVENT, SHOW VIEW ON `emp\\_1`.* TO `a`";
        assert_eq!(
            lacks(true, &[narrow, "GRANT EXECUTE ON `emp_1`.* TO `a`", "GRANT SELECT ON `mysql`.`proc` TO `a`"]),
            Vec::<&str>::new()
        );
        let hidden = |to: &str| {
            let lines = [narrow.to_owned(), format!("GRANT EXECUTE ON `emp_1`.* TO {to}")];
            Rights::parse("x@y", true, true, &lines).hidden("emp_1").len()
        };
        assert_eq!((hidden("`a`"), hidden("`b`")), (1, 0));
        assert_eq!(lacks(true, &["GRANT TRIGGER ON `emp%`.* TO `a`", "GRANT SELECT ON `e%`.* TO `a`"])[0], "tables");
    }

    #[test]
    fn mysql_can_take_a_schema_out_of_a_global_privilege() {
        let granted = "GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON *.* TO `b`@`%`";
        assert_eq!(lacks(false, &[granted]), Vec::<&str>::new());
        assert_eq!(lacks(false, &[granted, "REVOKE SELECT ON `emp_1`.* FROM `b`@`%`"]), ["tables"]);
        let one = "GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON `emp\\_1`.* TO `b`@`%`";
        assert_eq!(lacks(false, &[one]), ["routines"]);
        assert_eq!(lacks(false, &[one, "GRANT SHOW_ROUTINE ON *.* TO `b`@`%`"]), Vec::<&str>::new());
    }

    #[test]
    fn what_is_lacking_comes_with_the_statement_that_mends_it() {
        let rights = Rights::parse("cópia@%", true, true, &[]);
        assert_eq!(
            rights.hidden("emp_1")[1].to_string(),
            "the account may not see triggers; GRANT TRIGGER ON `emp\\_1`.* TO 'cópia'@'%' mends it"
        );
    }

    #[test]
    fn patterns_of_schemas_mean_what_they_mean_to_the_server() {
        for (pattern, schema, falls) in [
            ("emp%", "empresa", true),
            ("%", "", true),
            ("a_b", "axb", true),
            ("a\\_b", "axb", false),
            ("a\\_b", "a_b", true),
            ("a", "ab", false),
            ("_", "é", true),
        ] {
            assert_eq!(like(pattern, schema), falls, "{pattern} {schema}");
        }
    }
}
