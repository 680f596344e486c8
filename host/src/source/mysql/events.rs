//! Events that must not run where they were restored to: a copy beside the live schema would do the live one's work twice.

use super::tokens::{Dialect, tokens};

/// Begins the line in a dump that says that the event below was enabled, and is made disabled.
pub(super) const ASLEEP: &str = "-- cofre-asleep:";

/// The definition of an event, disabled; `None` where it is disabled already.
pub(super) fn asleep(create: &str) -> Option<String> {
    replaced(create, "ENABLE", "DISABLE")
}

/// The definition of an event that [`asleep`] made, enabled as it was.
pub(super) fn awake(create: &str) -> Option<String> {
    replaced(create, "DISABLE", "ENABLE")
}

/// Servers print the head of an event anew; its state is the only word of its kind before `DO`.
fn replaced(create: &str, state: &str, other: &str) -> Option<String> {
    let all = tokens(create, Dialect::default());
    let head = all.iter().take_while(|token| !token.is_word("DO"));
    let found = head.enumerate().find(|(_, token)| token.is_word(state))?.0;
    Some(all.iter().enumerate().map(|(at, token)| if at == found { other } else { token.text }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_state_of_an_event_changes() {
        let event = "CREATE DEFINER=`ENABLE`@`localhost` EVENT `x ENABLE` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLE COMMENT 'ENABLE' DO SET @x = 'DISABLE'";
        let off = asleep(event).expect("it was enabled");
        assert!(off.contains("PRESERVE DISABLE COMMENT 'ENABLE' DO SET @x = 'DISABLE'"), "{off}");
        assert_eq!(awake(&off).as_deref(), Some(event));
        assert_eq!(asleep(&off), None);
    }
}
