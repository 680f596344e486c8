//! A form as a browser sends it: names and values, some names several times. Only one that carries the word of whoever sends it is taken.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use zeroize::Zeroizing;

use super::super::body;
use super::super::problem::{Kind, Problem};

/// Media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";
/// Fields of a form.
const FIELDS_MAX: usize = 5_000;

/// What was sent; it may hold a password, and is wiped when it is dropped.
pub(in super::super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads it.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
            return Err(Problem::new(Kind::MediaType, "send the form as a browser does"));
        }
        Self::parse(&body::read(body).await?)
    }

    /// The query of an address, in which names may come again.
    pub(super) fn of_query(query: Option<&str>) -> Result<Self, Problem> {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let mut fields = Vec::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            if fields.len() >= FIELDS_MAX {
                return Err(Problem::new(Kind::TooLarge, format!("a form has at most {FIELDS_MAX} fields")));
            }
            fields.push((name.into_owned(), Zeroizing::new(value.into_owned())));
        }
        Ok(Self(fields))
    }

    /// The first value of a name; empty where there is none.
    pub(in super::super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The first value of a name, where it says something.
    pub(in super::super) fn some(&self, name: &str) -> Option<&str> {
        Some(self.text(name).trim()).filter(|text| !text.is_empty())
    }

    /// All values of a name that say something.
    pub(in super::super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, value)| known == name && !value.trim().is_empty()).map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// Every field, in order.
    pub(in super::super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_names_that_come_again() {
        let form = Form::parse(b"only=sql&only=&only=%2Fetc&tag=a+b&tag=c").expect("a form");
        assert_eq!(form.all("only"), ["sql", "/etc"]);
        assert_eq!((form.text("tag"), form.some("none"), form.some("only")), ("a b", None, Some("sql")));
        let many = "a=b&".repeat(FIELDS_MAX + 1);
        assert_eq!(Form::parse(many.as_bytes()).err().map(|problem| problem.kind), Some(Kind::TooLarge));
    }
}
