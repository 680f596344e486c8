//! Texts for services that take only so much of one.

use std::borrow::Cow;

/// Where something was left out.
const MARK: char = '…';

/// As much of `text` as has the size `limit`, where a character has the size that `size` says: `char::len_utf8` for bytes,
/// `char::len_utf16` for what most chat services count. What is cut ends with `…`, which is within the limit.
pub fn cut(text: &str, limit: usize, size: fn(char) -> usize) -> Cow<'_, str> {
    let room = limit.saturating_sub(size(MARK));
    let (mut used, mut end) = (0, 0);
    for (at, letter) in text.char_indices() {
        used += size(letter);
        if used > limit {
            let kept = text[..end].trim_end();
            return Cow::Owned(if limit < size(MARK) { String::new() } else { format!("{kept}{MARK}") });
        }
        if used <= room {
            end = at + letter.len_utf8();
        }
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("cópia", 6, char::len_utf8), "cópia");
        assert_eq!(cut("cópias", 6, char::len_utf8), "có…");
        assert_eq!(cut("🛟🛟🛟", 5, char::len_utf16), "🛟🛟…");
        assert_eq!(cut("🛟🛟🛟", 4, char::len_utf16), "🛟…");
        assert_eq!(cut("one two three", 8, char::len_utf16), "one two…");
        assert_eq!(cut("é", 1, char::len_utf8), "");
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_its_limit_and_nothing_shorter_is_touched(text in "\\PC*", limit in 0_usize..40) {
            for size in [char::len_utf8, char::len_utf16] as [fn(char) -> usize; 2] {
                let length = |text: &str| text.chars().map(size).sum::<usize>();
                let shown = cut(&text, limit, size);
                prop_assert!(length(&shown) <= limit);
                prop_assert_eq!(length(&text) <= limit, matches!(shown, Cow::Borrowed(_)));
                prop_assert!(text.starts_with(shown.trim_end_matches(MARK)) || shown == text);
            }
        }
    }
}
