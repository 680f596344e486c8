//! Users, roles and grants of a server as one script. It holds password hashes: it only ever leaves this machine encrypted.
//!
//! Accounts and roles are all made first, so that no grant names one that is not there yet.

use std::fmt::Write as _;

use super::connection::Session;
use super::definitions::string;
use super::error::MysqlError;
use super::tokens::{Dialect, Kind, tokens};
use crate::ports::Warnings;

/// Accounts that every server makes for itself.
const INTERNAL: [&str; 4] = ["mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema"];
/// MariaDB's role of everybody: it is always there, and only has grants.
const PUBLIC: &str = "PUBLIC";
const HEAD: &str = "-- Read this before you run it: it makes accounts, with the password hashes that they had.\n\
                    -- Restore the schemas first: a grant on one table or routine needs it to be there. With --force the client goes on after an error.\n\
                    SET NAMES utf8mb4;\n";

struct Account {
    user: String,
    host: String,
    is_role: bool,
}

impl Account {
    /// As SQL names it.
    fn name(&self) -> String {
        match (self.is_role, self.user.as_str()) {
            (true, PUBLIC) => PUBLIC.to_owned(),
            (true, user) => string(user),
            (false, user) => format!("{}@{}", string(user), string(&self.host)),
        }
    }
}

/// The script, and the accounts that could not be read and are not in it, or not whole.
pub(super) async fn read(session: &mut Session, warnings: &Warnings) -> Result<(String, Vec<String>), MysqlError> {
    // MySQL prints hashes with bytes that are no text, unless it is told to.
    match session.run("SET SESSION print_identified_with_as_hex = 1", || "ask for readable hashes".to_owned()).await {
        Err(error) if error.code().is_none() => return Err(error),
        _ => {}
    }
    let (mut makes, mut grants, mut after, mut unreadable) = (String::new(), String::new(), String::new(), Vec::new());
    for account in accounts(session).await? {
        let name = account.name();
        let mut failed = |error: MysqlError| {
            if error.code().is_none() {
                return Err(error);
            }
            warnings.push(&name, format!("NOT IN THE BACKUP: {error}"));
            if !unreadable.contains(&name) {
                unreadable.push(name.clone());
            }
            Ok(())
        };
        match made(session, &account).await {
            Ok((make, role)) => {
                makes.push_str(&make);
                after.push_str(&role);
            }
            Err(error) => failed(error)?,
        }
        match granted(session, &name).await {
            Ok(lines) => grants.push_str(&lines),
            Err(error) => failed(error)?,
        }
    }
    Ok((format!("{HEAD}{makes}{grants}{after}"), unreadable))
}

async fn accounts(session: &mut Session) -> Result<Vec<Account>, MysqlError> {
    let doing = || "list the accounts".to_owned();
    let mariadb = "SELECT User, Host, is_role FROM mysql.user ORDER BY is_role DESC, User, Host";
    let found: Vec<(String, String, String)> = match session.all(mariadb, doing).await {
        // MySQL has no such column: its roles are accounts.
        Err(error) if error.code() == Some(1054) => {
            session.all("SELECT User, Host, 'N' FROM mysql.user ORDER BY User, Host", doing).await?
        }
        found => found?,
    };
    let account = |(user, host, role): (String, String, String)| Account { user, host, is_role: role.eq_ignore_ascii_case("Y") };
    Ok(found.into_iter().map(account).filter(|account| !INTERNAL.contains(&account.user.as_str())).collect())
}

/// Makes the account; and what gives it its default role, which must have been granted before.
async fn made(session: &mut Session, account: &Account) -> Result<(String, String), MysqlError> {
    let name = account.name();
    if account.is_role {
        let make = if name == PUBLIC { String::new() } else { format!("CREATE ROLE IF NOT EXISTS {name};\n") };
        return Ok((make, String::new()));
    }
    let create: Option<String> = session.first(&format!("SHOW CREATE USER {name}"), || format!("read the account {name}")).await?;
    let create = create.ok_or_else(|| MysqlError::Read(format!("the account {name} has no definition")))?;
    let (create, role) = without_default_role(&create);
    let make = format!("{};\n", create.replacen("CREATE USER ", "CREATE USER IF NOT EXISTS ", 1));
    Ok((make, role.map_or_else(String::new, |role| format!("SET DEFAULT ROLE {role} TO {name};\n"))))
}

/// Takes MySQL's clause out of `CREATE USER`: the roles may not be there, and are not granted, when it runs.
fn without_default_role(create: &str) -> (String, Option<String>) {
    let all = tokens(create, Dialect::default());
    let is_clause = |at: &usize| {
        let next = all[*at + 1..].iter().find(|token| token.kind != Kind::Blank);
        all[*at].is_word("DEFAULT") && next.is_some_and(|token| token.is_word("ROLE"))
    };
    let Some(start) = (0..all.len()).find(is_clause) else { return (create.to_owned(), None) };
    let role = (start + 1..all.len()).find(|at| all[*at].is_word("ROLE")).map_or(all.len(), |at| at + 1);
    // Roles are names, hosts and commas; the next clause begins with a word.
    let end = (role..all.len()).find(|at| all[*at].kind == Kind::Word).unwrap_or(all.len());
    let text = |range: std::ops::Range<usize>| all[range].iter().map(|token| token.text).collect::<String>();
    (format!("{}{}", text(0..start), text(end..all.len())), Some(text(role..end).trim().to_owned()))
}

async fn granted(session: &mut Session, name: &str) -> Result<String, MysqlError> {
    let lines: Vec<String> = session.all(&format!("SHOW GRANTS FOR {name}"), || format!("read the grants of {name}")).await?;
    let mut grants = String::new();
    for line in lines {
        let _ = writeln!(grants, "{line};");
    }
    Ok(grants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_role_comes_after_its_grant() {
        let create = "CREATE USER `lim`@`localhost` IDENTIFIED WITH 'caching_sha2_password' AS 0x24 DEFAULT ROLE `a`@`%`,`b c`@`%` REQUIRE NONE PASSWORD EXPIRE DEFAULT";
        let (rest, role) = without_default_role(create);
        assert_eq!(
            rest,
            "CREATE USER `lim`@`localhost` IDENTIFIED WITH 'caching_sha2_password' AS 0x24 REQUIRE NONE PASSWORD EXPIRE DEFAULT"
        );
        assert_eq!(role.as_deref(), Some("`a`@`%`,`b c`@`%`"));
        assert_eq!(without_default_role("CREATE USER `x`@`%`"), ("CREATE USER `x`@`%`".to_owned(), None));
    }
}
