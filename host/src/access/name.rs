//! Names of users and tokens: short, and printing one does nothing to a terminal, a page or a log.

use super::error::Refusal;

/// Characters of a name.
pub const NAME_MAX: usize = 64;
/// Characters of a tenant's name.
pub const TENANT_MAX: usize = 255;

/// A user's name, in lower case: `Maria` and `maria` are one person.
pub(super) fn user(text: &str) -> Result<String, Refusal> {
    let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-' | '+' | '@');
    let name = text.trim().to_lowercase();
    if name.is_empty() || name.chars().nth(NAME_MAX).is_some() || !name.chars().all(fits) || name.starts_with('-') {
        return Err(Refusal::UserName);
    }
    Ok(name)
}

/// A token's name: any words.
pub(super) fn token(text: &str) -> Result<String, Refusal> {
    let name = text.trim();
    if is_plain(name, NAME_MAX) { Ok(name.to_owned()) } else { Err(Refusal::TokenName) }
}

/// Whether it is a name that can be shown on one line, as it is written.
pub(super) fn is_plain(text: &str, most: usize) -> bool {
    // Marks that turn the direction of writing make a name look like another one.
    let turns = |letter: char| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    !text.is_empty() && text.chars().nth(most).is_none() && !text.chars().any(|letter| letter.is_control() || turns(letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!(user(" Márcia.Souza@example.com ").as_deref(), Ok("márcia.souza@example.com"));
        for name in ["", " ", "a b", "a\nb", "a\u{7}", "-maria", "a/b", "a:b", "<b>", &"a".repeat(65)] {
            assert_eq!(user(name), Err(Refusal::UserName), "{name:?}");
        }
        assert_eq!(token("ERP, nightly").as_deref(), Ok("ERP, nightly"));
        for name in ["", "a\u{1b}[2J", "a\u{202e}b", &"a".repeat(65)] {
            assert_eq!(token(name), Err(Refusal::TokenName), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_taken_stays_what_it_is(text in "\\PC{0,70}") {
            if let Ok(name) = user(&text) {
                prop_assert_eq!(user(&name), Ok(name.clone()));
                prop_assert!(name.chars().count() <= NAME_MAX);
            }
        }
    }
}
