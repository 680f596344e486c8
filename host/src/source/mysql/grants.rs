//! Users, roles and grants of a server as one script. It holds password hashes: it only ever leaves this machine encrypted.

use std::fmt::Write as _;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::connection::MysqlError;
use super::definitions::string;
use crate::ports::Warnings;

/// Accounts that every server makes for itself.
const INTERNAL: [&str; 4] = ["mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema"];

pub(super) async fn script(connection: &mut Conn, warnings: &Warnings, source: &str) -> Result<String, MysqlError> {
    let mut script =
        String::from("-- Read this before you run it: it makes accounts, with the password hashes that they had.\nSET NAMES utf8mb4;\n");
    let mariadb = "SELECT User, Host, is_role FROM mysql.user ORDER BY is_role DESC, User, Host";
    let mut users: Result<Vec<(String, String, String)>, _> = connection.query(mariadb).await;
    if users.is_err() {
        users = connection.query("SELECT User, Host, 'N' FROM mysql.user ORDER BY User, Host").await;
    }
    let users = match users {
        Ok(users) => users,
        Err(mysql_async::Error::Server(error)) => {
            warnings.push(source, format!("users and grants are not in the backup: {}; GRANT SELECT ON mysql.* mends it", error.message));
            return Ok(script);
        }
        Err(cause) => return Err(MysqlError::Query { action: "list the accounts".to_owned(), cause }),
    };
    for (user, host, role) in users {
        if user.is_empty() || INTERNAL.contains(&user.as_str()) {
            continue;
        }
        let is_role = role.eq_ignore_ascii_case("Y");
        let account = if is_role { string(&user) } else { format!("{}@{}", string(&user), string(&host)) };
        let _ = writeln!(script, "-- {}", account.replace(['\n', '\r'], " "));
        if is_role {
            let _ = writeln!(script, "CREATE ROLE IF NOT EXISTS {account};");
        } else if let Ok(Some(create)) = connection.query_first::<String, _>(format!("SHOW CREATE USER {account}")).await {
            let _ = writeln!(script, "{};", create.replacen("CREATE USER ", "CREATE USER IF NOT EXISTS ", 1));
        } else {
            warnings.push(source, format!("the account {account} could not be read and is not in the backup"));
        }
        let grants: Result<Vec<String>, _> = connection.query(format!("SHOW GRANTS FOR {account}")).await;
        for grant in grants.unwrap_or_default() {
            let _ = writeln!(script, "{grant};");
        }
    }
    Ok(script)
}
