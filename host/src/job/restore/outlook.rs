//! What a dry run says: what was found where the restore would go, and what nobody knows before the download.

use crate::config::format_size;
use crate::text::Locale;

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub(in crate::job) struct Outlook {
    /// What a dry run says of every artifact.
    pub notes: Vec<Note>,
    /// What nobody knows before the download.
    pub unknown: Vec<Unknown>,
}

/// Something that was found. Names come as a list, ready to be read.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::job) enum Note {
    NothingInDatabase,
    Replaces(String),
    WritesInto(String),
    Room { needed: u64, free: u64, place: String },
}

/// Something that nobody knows yet.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::job) enum Unknown {
    RoomOfServer,
    InArchive(String),
    MatchesIn(String),
    RoomNeeded,
    RoomIn(String),
}

impl Outlook {
    /// In words, with what is to be fetched of one artifact, in bytes.
    pub(super) fn words(&self, size: u64, locale: Locale) -> String {
        let fetched = format_size(size);
        let mut text = match locale {
            Locale::PtBr => format!("simulação: nada foi gravado; {fetched} a baixar"),
            Locale::En => format!("dry run: nothing was written; {fetched} to download"),
        };
        for note in &self.notes {
            text = format!("{text}; {}", note.words(locale));
        }
        if !self.unknown.is_empty() {
            let unknown = self.unknown.iter().map(|unknown| unknown.words(locale)).collect::<Vec<_>>().join(", ");
            text = format!("{text}; {}: {unknown}", locale.pick("não foi visto", "not looked at"));
        }
        text
    }
}

impl Note {
    fn words(&self, locale: Locale) -> String {
        match (self, locale) {
            (Self::NothingInDatabase, Locale::PtBr) => "nada disso está ainda no banco".to_owned(),
            (Self::NothingInDatabase, Locale::En) => "nothing of it is in the database yet".to_owned(),
            (Self::Replaces(names), Locale::PtBr) => format!("substituiria {names}"),
            (Self::Replaces(names), Locale::En) => format!("would replace {names}"),
            (Self::WritesInto(names), Locale::PtBr) => format!("gravaria em {names} e substituiria o que há com o mesmo nome"),
            (Self::WritesInto(names), Locale::En) => format!("would write into {names} and replace what is there of the same name"),
            (Self::Room { needed, free, place }, _) => {
                let (needed, free) = (format_size(*needed), format_size(*free));
                match locale {
                    Locale::PtBr => format!("cerca de {needed} dos {free} livres em {place}"),
                    Locale::En => format!("about {needed} of {free} free in {place}"),
                }
            }
        }
    }
}

impl Unknown {
    fn words(&self, locale: Locale) -> String {
        match (self, locale) {
            (Self::RoomOfServer, Locale::PtBr) => "se o servidor tem espaço".to_owned(),
            (Self::RoomOfServer, Locale::En) => "whether the server has room for it".to_owned(),
            (Self::InArchive(path), Locale::PtBr) => format!("se `{path}` está no arquivo"),
            (Self::InArchive(path), Locale::En) => format!("whether `{path}` is in the archive"),
            (Self::MatchesIn(place), Locale::PtBr) => format!("se algo que corresponde já está em `{place}`"),
            (Self::MatchesIn(place), Locale::En) => format!("whether something that matches is in `{place}` already"),
            (Self::RoomNeeded, Locale::PtBr) => "quanto espaço ocupa".to_owned(),
            (Self::RoomNeeded, Locale::En) => "how much room it takes".to_owned(),
            (Self::RoomIn(place), Locale::PtBr) => format!("quanto espaço há em `{place}`"),
            (Self::RoomIn(place), Locale::En) => format!("how much room there is in `{place}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_comes_before_what_is_not_in_both_languages() {
        let outlook = Outlook {
            notes: vec![Note::Replaces("`a`".to_owned()), Note::Room { needed: 1 << 20, free: 1 << 30, place: "/x".to_owned() }],
            unknown: vec![Unknown::RoomOfServer, Unknown::InArchive("/etc/x".to_owned())],
        };
        assert_eq!(
            outlook.words(2_048, Locale::PtBr),
            "simulação: nada foi gravado; 2.00 KiB a baixar; substituiria `a`; cerca de 1.00 MiB dos 1.00 GiB livres em /x; \
             não foi visto: se o servidor tem espaço, se `/etc/x` está no arquivo"
        );
        assert_eq!(
            outlook.words(2_048, Locale::En),
            "dry run: nothing was written; 2.00 KiB to download; would replace `a`; about 1.00 MiB of 1.00 GiB free in /x; \
             not looked at: whether the server has room for it, whether `/etc/x` is in the archive"
        );
        assert_eq!(Outlook::default().words(0, Locale::En), "dry run: nothing was written; 0 B to download");
    }
}
