//! Words of a command, quoted so that a shell takes each as one.

/// Characters that no shell takes for its own.
const PLAIN: &str = "-_./:@%+=,";

/// The words of a command.
pub(super) fn words(all: &[&str]) -> String {
    let quoted: Vec<String> = all.iter().map(|word| quoted(word)).collect();
    quoted.join(" ")
}

/// One word.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || PLAIN.contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(words(&["cofre", "a b", "it's", "", "$(x)", "~root", "*"]), "cofre 'a b' 'it'\\''s' '' '$(x)' '~root' '*'");
    }
}
