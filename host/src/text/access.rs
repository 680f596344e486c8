//! Users, tokens and what they may do, in words.

use jiff::Timestamp;

use super::{Locale, moment};
use crate::access::{NAME_MAX, PASSWORD_MAX, PASSWORD_MIN, Refusal, Role, Scope, TENANT_MAX, TENANTS_MAX, TokenRecord, UserRecord};

/// A role.
pub fn role_in_words(role: Role, locale: Locale) -> &'static str {
    match role {
        Role::Viewer => locale.pick("leitura", "viewer"),
        Role::Operator => locale.pick("operação", "operator"),
        Role::Administrator => locale.pick("administração", "administrator"),
    }
}

/// What a scope allows.
pub fn scope_in_words(scope: Scope, locale: Locale) -> &'static str {
    match scope {
        Scope::StatusRead => locale.pick("ver o estado dos backups", "see the state of the backups"),
        Scope::RunCreate => locale.pick("iniciar e cancelar backups e verificações", "begin and cancel backups and verifications"),
        Scope::TenantDeliver => locale.pick("enviar o backup de um cliente a alguém", "send the backup of a tenant to somebody"),
        Scope::RestoreRead => locale.pick("ver e baixar o que está nos backups", "see and download what is in backups"),
        Scope::RestoreWrite => locale.pick("restaurar em bancos e diretórios", "restore into databases and directories"),
        Scope::ConfigRead => locale.pick("ver a configuração", "see the configuration"),
        Scope::ConfigWrite => locale.pick("alterar a configuração", "change the configuration"),
        Scope::PluginWrite => locale.pick("aprovar e remover plug-ins", "approve and remove plug-ins"),
        Scope::AuditRead => locale.pick("ler o log de auditoria", "read the audit log"),
        Scope::AccessWrite => locale.pick("criar e remover usuários e tokens", "add and remove users and tokens"),
    }
}

/// Why something was refused.
pub fn refusal_in_words(refusal: &Refusal, locale: Locale) -> String {
    match locale {
        Locale::En => refusal.to_string(),
        Locale::PtBr => recusa(refusal),
    }
}

fn recusa(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UserName => format!("o nome de um usuário tem de 1 a {NAME_MAX} letras, dígitos, `.`, `_`, `-`, `+` ou `@`"),
        Refusal::TokenName => format!("o nome de um token tem de 1 a {NAME_MAX} caracteres, e nenhum de controle"),
        Refusal::UserExists(name) => format!("já existe o usuário `{name}`"),
        Refusal::NoUser(name) => format!("não existe o usuário `{name}`; veja: cofre user list"),
        Refusal::NoToken(id) => format!("não existe o token `{id}`; veja: cofre token list"),
        Refusal::PasswordShort => format!("uma senha tem pelo menos {PASSWORD_MIN} caracteres"),
        Refusal::PasswordLong => format!("uma senha tem no máximo {PASSWORD_MAX} bytes"),
        Refusal::PasswordIsName => "o nome não serve de senha".to_owned(),
        Refusal::LastAdministrator(name) => format!("`{name}` é o último administrador; antes, torne outro usuário administrador"),
        Refusal::SetUpAlready => {
            "o primeiro administrador já foi criado; um administrador cria os outros usuários, ou `cofre user add`".to_owned()
        }
        Refusal::SetupLink => {
            "o link já foi usado, tem mais de uma hora, ou um mais novo o substituiu; `cofre user setup-link` mostra outro".to_owned()
        }
        Refusal::TotpNotBegun => "nenhum segundo fator espera confirmação; comece de novo".to_owned(),
        Refusal::TotpCode => "o código está errado ou já foi usado; espere o próximo, e confira o relógio dos dois aparelhos".to_owned(),
        Refusal::NoScopes => "um token precisa de pelo menos um escopo".to_owned(),
        Refusal::NotOfTenants(scope) => format!("`{scope}` vale para o cofre inteiro: um token com ele não pode ser limitado a clientes"),
        Refusal::Tenants => {
            format!("um token limitado a clientes nomeia de 1 a {TENANTS_MAX} deles, cada um com no máximo {TENANT_MAX} caracteres")
        }
        Refusal::Expired => "um token não pode vencer no passado".to_owned(),
        Refusal::MoreThanOwn => "ninguém pode dar a um token mais direitos do que tem".to_owned(),
        Refusal::Full(_) => "já há tantos quantos podem existir; remova um que não faça falta".to_owned(),
        Refusal::Busy => "senhas demais estão sendo conferidas ao mesmo tempo; tente de novo em instantes".to_owned(),
    }
}

/// One token, in columns: name of its public part, name, scopes, tenants, until when, last use, state.
pub fn token_row(token: &TokenRecord, now: Timestamp, locale: Locale) -> Vec<String> {
    let state = match (token.revoked, token.is_good(now)) {
        (Some(_), _) => locale.pick("❌ revogado", "❌ revoked"),
        (None, false) => locale.pick("❌ vencido", "❌ expired"),
        (None, true) => locale.pick("✅ vale", "✅ good"),
    };
    let scopes = token.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ");
    let tenants = token.tenants.as_ref().map(|tenants| tenants.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    vec![
        token.id.clone(),
        token.name.clone(),
        scopes,
        tenants.unwrap_or_else(|| locale.pick("todos os clientes", "all tenants").to_owned()),
        labelled(locale.pick("vence", "expires"), token.expires, locale.pick("não vence", "never expires"), locale),
        labelled(locale.pick("usado", "used"), token.last_used, locale.pick("nunca usado", "never used"), locale),
        state.to_owned(),
    ]
}

/// One user, in columns: name, role, second factor, last login.
pub fn user_row(user: &UserRecord, locale: Locale) -> Vec<String> {
    let factor = match (user.totp, locale) {
        (false, _) => locale.pick("sem segundo fator", "no second factor").to_owned(),
        (true, Locale::PtBr) => format!("segundo fator, {} códigos de recuperação", user.recovery_codes),
        (true, Locale::En) => format!("second factor, {} recovery codes", user.recovery_codes),
    };
    let never = locale.pick("nunca entrou", "never logged in");
    let last = labelled(locale.pick("entrou", "logged in"), user.last_login, never, locale);
    vec![user.name.clone(), role_in_words(user.role, locale).to_owned(), factor, last]
}

/// What is said with a new token.
pub fn token_made(token: &TokenRecord, text: &str, locale: Locale) -> String {
    let id = &token.id;
    match locale {
        Locale::PtBr => format!(
            "✅ Token criado: {id} ({})\n\n    {text}\n\nEle só é mostrado agora, e o cofre não o guarda. Quem o tem pode o que ele pode; se vazar: cofre token revoke {id}",
            token.name
        ),
        Locale::En => format!(
            "✅ Token made: {id} ({})\n\n    {text}\n\nIt is shown only now, and cofre does not keep it. Whoever has it may do what it may; if it leaks: cofre token revoke {id}",
            token.name
        ),
    }
}

/// What is said with the link for the first administrator.
pub fn setup_link_made(link: &str, locale: Locale) -> String {
    match locale {
        Locale::PtBr => {
            format!("Para criar o primeiro administrador, abra, dentro de uma hora:\n\n    {link}\n\nO link vale uma vez, e só o último.")
        }
        Locale::En => {
            format!("To make the first administrator, open, within an hour:\n\n    {link}\n\nThe link is good once, and only the newest.")
        }
    }
}

fn labelled(label: &str, at: Option<Timestamp>, never: &str, locale: Locale) -> String {
    let when = at.map(|at| format!("{label} {}", moment(&at.to_zoned_datetime(jiff::tz::TimeZone::system()), locale)));
    when.unwrap_or_else(|| never.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_reads_as_it_was_written() {
        let refusals = [
            Refusal::UserName,
            Refusal::TokenName,
            Refusal::UserExists("maria".to_owned()),
            Refusal::NoUser("maria".to_owned()),
            Refusal::NoToken("ab12cd34".to_owned()),
            Refusal::PasswordShort,
            Refusal::PasswordLong,
            Refusal::PasswordIsName,
            Refusal::LastAdministrator("maria".to_owned()),
            Refusal::SetUpAlready,
            Refusal::SetupLink,
            Refusal::TotpNotBegun,
            Refusal::TotpCode,
            Refusal::NoScopes,
            Refusal::NotOfTenants(Scope::ConfigWrite),
            Refusal::Tenants,
            Refusal::Expired,
            Refusal::MoreThanOwn,
            Refusal::Full("1000 users"),
            Refusal::Busy,
        ];
        let both = |refusal| format!("{}\n{}", refusal_in_words(refusal, Locale::En), refusal_in_words(refusal, Locale::PtBr));
        insta::assert_snapshot!(refusals.iter().map(both).collect::<Vec<_>>().join("\n\n"));
    }

    #[test]
    fn roles_and_scopes_read_as_they_were_written() {
        let scope = |scope: Scope| format!("{scope}: {}; {}", scope_in_words(scope, Locale::En), scope_in_words(scope, Locale::PtBr));
        let role = |role: Role| format!("{role}: {}; {}", role_in_words(role, Locale::En), role_in_words(role, Locale::PtBr));
        let lines: Vec<_> = Role::ALL.into_iter().map(role).chain(Scope::ALL.into_iter().map(scope)).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_token_says_whether_it_is_good() {
        let at = |second| Timestamp::from_second(second).expect("a moment");
        let good = TokenRecord {
            id: "ab12cd34".to_owned(),
            name: "ERP".to_owned(),
            scopes: [Scope::StatusRead, Scope::TenantDeliver].into(),
            tenants: Some(["acme".to_owned(), "empresa1".to_owned()].into()),
            created: at(0),
            created_by: "root".to_owned(),
            expires: Some(at(1_000)),
            last_used: None,
            revoked: None,
        };
        let revoked = TokenRecord { revoked: Some(at(10)), expires: None, tenants: None, ..good.clone() };
        let state = |token, second| token_row(token, at(second), Locale::En).pop().unwrap_or_default();
        assert_eq!([state(&good, 999), state(&good, 1_000), state(&revoked, 20)], ["✅ good", "❌ expired", "❌ revoked"]);
        assert_eq!(token_row(&good, at(0), Locale::PtBr)[2..4], ["status:read tenant:deliver", "acme, empresa1"]);
        assert_eq!(token_row(&revoked, at(0), Locale::PtBr)[3..6], ["todos os clientes", "não vence", "nunca usado"]);
        let made = |locale| {
            format!(
                "{}\n\n{}",
                token_made(&good, "cofre_ab12cd34_…", locale),
                setup_link_made("http://127.0.0.1:8743/setup?secret=…", locale)
            )
        };
        insta::assert_snapshot!(format!("{}\n\n{}", made(Locale::PtBr), made(Locale::En)));
    }
}
