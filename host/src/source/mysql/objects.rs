//! Loads the scripts of routines, triggers, events and views. A view that cannot be made, because it reads from a schema that
//! is not there or was broken where it came from, keeps nothing else from being loaded. Under another name than the one that
//! they came from, events that name a schema are made disabled: a copy must not do the work of the live schema once more.

use serde::Serialize;

use super::connection::Session;
use super::error::MysqlError;
use super::events::{ASLEEP, asleep, awake};
use super::load::{not_text, run};
use super::names::{EVENTS, VIEWS};
use super::own_name::{OwnName, others_named_in};
use super::script::{sections, statements};
use super::tokens::{Dialect, Token, tokens};
use crate::ports::{ObjectKind, SchemaPassport};

/// What a person should know of the objects that were loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Remarks {
    /// Views that could not be made, and why.
    pub views: Vec<(String, String)>,
    /// Events that were enabled and are not now.
    pub asleep: Vec<String>,
    /// Routines and triggers that may still name the schema that they came from.
    pub doubtful: Vec<String>,
}

impl Remarks {
    /// What a restored schema must be equal to: its passport without what is known to be otherwise.
    pub fn expected(&self, passport: &SchemaPassport) -> SchemaPassport {
        let mut expected = passport.clone();
        expected.objects.retain(|object| match object.kind {
            ObjectKind::View => !self.views.iter().any(|(view, _)| *view == object.name),
            ObjectKind::Event => !self.asleep.contains(&object.name),
            _ => true,
        });
        expected
    }

    /// Each with what it is about.
    pub fn warnings(&self) -> Vec<(String, String)> {
        let views = self.views.iter().map(|(view, why)| {
            (view.clone(), format!("NOT RESTORED: this view could not be made; the rest is there. Restore what it reads from, then make it with its statement in {VIEWS} of the dump: {why}"))
        });
        let asleep = self.asleep.iter().map(|event| {
            let message = "this event is disabled, because it names a schema and would do the work of the live one once more: look at it, then ALTER EVENT … ENABLE";
            (event.clone(), message.to_owned())
        });
        let doubtful = self.doubtful.iter().map(|object| {
            let message =
                "it may name the schema that it came from, and then it reads and writes there and not here: look at it before it is used";
            (object.clone(), message.to_owned())
        });
        views.chain(asleep).chain(doubtful).collect()
    }
}

/// Where objects came from and where they go.
pub(super) struct Place<'a> {
    pub(super) origin: &'a str,
    pub(super) schema: &'a str,
}

impl Place<'_> {
    fn is_elsewhere(&self) -> bool {
        self.origin != self.schema
    }

    /// Whether a body names the schema that it came from, or, where `others` count, any other.
    fn is_named_in(&self, body: &str, dialect: Dialect, others: bool) -> bool {
        let origin = OwnName { schema: self.origin, ignores_case: true };
        origin.may_be_named_in(body, dialect) || (others && !others_named_in(body, dialect).is_empty())
    }
}

/// Runs one script of objects; returns the number of statements.
pub(super) async fn load_objects(
    session: &mut Session,
    (name, data): (&str, &[u8]),
    place: &Place<'_>,
    chosen: impl Fn(Option<&str>) -> bool,
    remarks: &mut Remarks,
) -> Result<u64, MysqlError> {
    let script = std::str::from_utf8(data).map_err(|_| not_text(name))?;
    let file = name.rsplit('/').next().unwrap_or(name);
    let mut count = 0;
    for (_, section) in sections(script).into_iter().filter(|(key, _)| chosen(*key)) {
        let mut dialect = Dialect::default();
        for statement in statements(section) {
            if let Some(mode) = statement.strip_prefix("SET sql_mode=") {
                dialect = Dialect::of(mode);
            }
            let changed = match file {
                EVENTS => event(statement, (section, dialect), place, remarks),
                VIEWS => None,
                _ => {
                    body(statement, dialect, place, remarks);
                    None
                }
            };
            match run(session, name, changed.as_deref().unwrap_or(statement)).await {
                Err(error) if file == VIEWS && error.code().is_some() && is_create(statement) => {
                    remarks.views.push((created(statement, "VIEW"), error.to_string()));
                }
                done => done?,
            }
            count += 1;
        }
    }
    Ok(count)
}

fn is_create(statement: &str) -> bool {
    statement.starts_with("CREATE ")
}

/// What an event's definition becomes; `None` where it stays.
fn event(statement: &str, (section, dialect): (&str, Dialect), place: &Place<'_>, remarks: &mut Remarks) -> Option<String> {
    if !is_create(statement) {
        return None;
    }
    let was_awake = section.trim_start().starts_with(ASLEEP);
    if !place.is_elsewhere() {
        return if was_awake { awake(statement) } else { None };
    }
    let off = if was_awake {
        Some(statement.to_owned())
    } else if place.is_named_in(statement, dialect, true) {
        asleep(statement)
    } else {
        None
    };
    if off.is_some() {
        remarks.asleep.push(created(statement, "EVENT"));
    }
    off
}

fn body(statement: &str, dialect: Dialect, place: &Place<'_>, remarks: &mut Remarks) {
    if is_create(statement) && place.is_elsewhere() && place.is_named_in(statement, dialect, false) {
        let kind =
            ["FUNCTION", "PROCEDURE", "TRIGGER", "PACKAGE"].into_iter().find(|kind| position(&tokens(statement, dialect), kind).is_some());
        remarks.doubtful.push(created(statement, kind.unwrap_or("PROCEDURE")));
    }
}

fn position(all: &[Token<'_>], word: &str) -> Option<usize> {
    all.iter().position(|token| token.is_word(word))
}

/// The name that a statement makes something under.
fn created(statement: &str, kind: &str) -> String {
    let all = tokens(statement, Dialect::default());
    let start = position(&all, kind).map_or(0, |at| at + 1);
    let skipped = ["BODY", "IF", "NOT", "EXISTS"];
    let name = all[start..].iter().filter(|token| !skipped.iter().any(|word| token.is_word(word))).find_map(Token::name);
    name.unwrap_or_else(|| "?".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "CREATE DEFINER=`root`@`localhost` EVENT `limpar` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLE DO ";

    fn made(body: &str, section: &str, schema: &str) -> (Option<String>, Vec<String>) {
        let mut remarks = Remarks::default();
        let place = Place { origin: "loja", schema };
        let made = event(&format!("{EVENT}{body}"), (section, Dialect::default()), &place, &mut remarks);
        (made, remarks.asleep)
    }

    #[test]
    fn an_event_sleeps_where_it_could_do_the_work_of_another_schema() {
        assert_eq!(made("DELETE FROM totais", "", "copia"), (None, vec![]));
        for body in ["INSERT INTO contabil.lancamentos SELECT 1", "CALL executar('DELETE FROM loja.totais')"] {
            let (text, asleep) = made(body, "", "copia");
            assert!(text.is_some_and(|text| text.contains("PRESERVE DISABLE DO")) && asleep == ["limpar"], "{body}");
            assert_eq!(made(body, "", "loja"), (None, vec![]), "{body}");
        }
    }

    #[test]
    fn an_event_that_the_dump_put_to_sleep_wakes_at_home_only() {
        let section = format!("{ASLEEP} …\nSET sql_mode='';");
        let off = |schema| {
            let mut remarks = Remarks::default();
            let statement = format!("{EVENT}CALL x('loja.y')").replace("ENABLE", "DISABLE");
            let made = event(&statement, (&section, Dialect::default()), &Place { origin: "loja", schema }, &mut remarks);
            (made.unwrap_or(statement).contains("PRESERVE ENABLE"), remarks.asleep.len())
        };
        assert_eq!((off("loja"), off("copia")), ((true, 0), (false, 1)));
    }

    #[test]
    fn what_a_statement_makes_is_named() {
        assert_eq!(created("CREATE ALGORITHM=UNDEFINED DEFINER=`VIEW`@`x` SQL SECURITY DEFINER VIEW `a``b` AS select 1", "VIEW"), "a`b");
        let mut remarks = Remarks::default();
        let place = Place { origin: "loja", schema: "copia" };
        body("CREATE DEFINER=`r`@`h` PROCEDURE `p`() EXECUTE IMMEDIATE 'DROP TABLE loja.x'", Dialect::default(), &place, &mut remarks);
        body("CREATE DEFINER=`r`@`h` PROCEDURE `q`() SELECT 1", Dialect::default(), &place, &mut remarks);
        assert_eq!(remarks.doubtful, ["p"]);
    }
}
