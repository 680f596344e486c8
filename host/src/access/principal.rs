//! Who asks for something, once that is known: a person, a token, or whom a proxy vouches for.

use std::collections::BTreeSet;

use super::role::{Role, Scope};

/// Somebody who got in, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Name of the user, or of the token.
    pub name: String,
    /// How they got in.
    pub kind: PrincipalKind,
    scopes: BTreeSet<Scope>,
    tenants: Option<BTreeSet<String>>,
}

/// How somebody got in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A person with a session.
    User {
        /// What they are trusted with.
        role: Role,
    },
    /// A program with a token.
    Token {
        /// Its public part.
        id: String,
    },
    /// A person whom a proxy vouches for.
    Proxy {
        /// What they are trusted with.
        role: Role,
    },
}

impl Principal {
    /// A person with a session.
    pub(super) fn user(name: String, role: Role) -> Self {
        Self { name, kind: PrincipalKind::User { role }, scopes: role.scopes(), tenants: None }
    }

    /// A program with a token.
    pub(super) fn token(id: &str, name: String, scopes: BTreeSet<Scope>, tenants: Option<BTreeSet<String>>) -> Self {
        Self { name, kind: PrincipalKind::Token { id: id.to_owned() }, scopes, tenants }
    }

    /// A person whom a proxy vouches for: whoever calls this trusts the address that says so.
    pub fn proxy(name: String, role: Role) -> Self {
        Self { name, kind: PrincipalKind::Proxy { role }, scopes: role.scopes(), tenants: None }
    }

    /// Whether they have a right. Where it is about a tenant, [`Self::may_tenant`] is to be asked, too.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether they may have to do with this tenant.
    pub fn may_tenant(&self, tenant: &str) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }

    /// Their rights.
    pub fn scopes(&self) -> &BTreeSet<Scope> {
        &self.scopes
    }

    /// The tenants they are limited to; `None`: all, and what belongs to none.
    pub fn tenants(&self) -> Option<&BTreeSet<String>> {
        self.tenants.as_ref()
    }

    /// Whether they may do all that these scopes and tenants allow.
    pub fn covers(&self, scopes: &BTreeSet<Scope>, tenants: Option<&BTreeSet<String>>) -> bool {
        let of_tenants = match (&self.tenants, tenants) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(wanted)) => wanted.is_subset(own),
        };
        of_tenants && scopes.is_subset(&self.scopes)
    }

    /// As the audit log names them: `page:maria`, `token:ab12cd34`, `proxy:maria`.
    pub fn via(&self) -> String {
        match &self.kind {
            PrincipalKind::User { .. } => format!("page:{}", self.name),
            PrincipalKind::Token { id } => format!("token:{id}"),
            PrincipalKind::Proxy { .. } => format!("proxy:{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_token_is_held_to_its_scopes_and_tenants() {
        let scopes = BTreeSet::from([Scope::TenantDeliver]);
        let token = Principal::token("ab12cd34", "erp".to_owned(), scopes.clone(), Some(set(&["empresa1", "empresa2"])));
        assert!(token.may(Scope::TenantDeliver) && !token.may(Scope::StatusRead));
        assert!(token.may_tenant("empresa1") && !token.may_tenant("empresa10"));
        assert!(token.covers(&scopes, Some(&set(&["empresa2"]))) && !token.covers(&scopes, None));
        assert!(!token.covers(&scopes, Some(&set(&["empresa3"]))) && !token.covers(&Role::Viewer.scopes(), Some(&set(&["empresa1"]))));
        assert_eq!(token.via(), "token:ab12cd34");
    }

    #[test]
    fn a_person_is_limited_to_no_tenant() {
        let person = Principal::user("maria".to_owned(), Role::Operator);
        assert!(person.may_tenant("any") && person.may(Scope::RestoreWrite) && !person.may(Scope::AccessWrite));
        assert!(person.covers(&Role::Viewer.scopes(), None) && !person.covers(&Role::Administrator.scopes(), None));
        assert_eq!((person.via(), Principal::proxy("ana".to_owned(), Role::Viewer).via()), ("page:maria".into(), "proxy:ana".into()));
    }
}
