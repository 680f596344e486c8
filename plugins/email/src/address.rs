//! Addresses of people: what comes from outside is understood before any of it gets near a header or a command.

use lettre::Address;
use lettre::address::AddressError;
use lettre::message::Mailbox;

/// Understands `ana@example.com` or `Ana <ana@example.com>`; its domain becomes ASCII (RFC 5891), which every server takes.
///
/// lettre's own parser takes the first of several addresses and says nothing of the others.
///
/// # Errors
/// Why it is none.
pub(crate) fn parse(text: &str) -> Result<Mailbox, String> {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
    let refused = |why: &str| format!("`{shown}` is no address of one person: {why}; write `ana@example.com` or `Ana <ana@example.com>`");
    if text.chars().any(char::is_control) {
        return Err(refused("it has characters that no line can have"));
    }
    let (name, address) = match text.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) => (Some(name.trim()), address),
        None => (None, text.trim()),
    };
    let name = name.map(unquoted).transpose().map_err(|()| refused("its name must stand in quotes"))?;
    let email: Address = address.parse().map_err(|error: AddressError| refused(&error.to_string()))?;
    if email.domain().is_ascii() {
        return Ok(Mailbox::new(name, email));
    }
    let domain = idna::domain_to_ascii(email.domain()).map_err(|_| refused("its domain is none"))?;
    let email = Address::new(email.user(), domain).map_err(|error| refused(&error.to_string()))?;
    Ok(Mailbox::new(name, email))
}

/// A name as it is meant (RFC 5322, section 3.2.4).
fn unquoted(name: &str) -> Result<String, ()> {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => Ok(quoted.replace("\\\"", "\"").replace("\\\\", "\\")),
        None if name.contains(['<', '>', '@', ',', ';', ':', '"', '\\']) => Err(()),
        None => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_name_and_a_domain_of_any_letters() {
        for (text, name, address) in [
            ("ana@example.com", None, "ana@example.com"),
            ("Ana Sá <ana@example.com>", Some("Ana Sá"), "ana@example.com"),
            ("\"Sá, Ana\" <ana+x@mail.example.com>", Some("Sá, Ana"), "ana+x@mail.example.com"),
            ("ana@cópias.example", None, "ana@xn--cpias-0ta.example"),
            ("josé@example.com", None, "josé@example.com"),
        ] {
            let mailbox = parse(text).expect(text);
            assert_eq!((mailbox.name.as_deref(), mailbox.email.as_ref()), (name, address), "{text}");
        }
    }

    #[test]
    fn what_would_be_more_than_one_address_is_none() {
        for text in [
            "",
            "ana",
            "ana@",
            "@example.com",
            "ana@example.com, eva@example.com",
            "ana@example.com, Eva <eva@example.com>",
            "<ana@example.com> <eva@example.com>",
            "ana@example.com\r\nBcc: eva@example.com",
            "ana@example.com> SIZE=1 <x",
            "\"a\rb\"@example.com",
            "\"a\u{85}b\"@example.com",
        ] {
            parse(text).expect_err(text);
        }
    }
}
