//! One line of a listing: facts (RFC 3659, section 7.2), or what `LIST` gives for people to read, as Unix or as DOS has it.
//! Parsed here, since suppaftp keeps sizes in a `usize`, which in a component ends at 4 GiB.

use chrono::NaiveDateTime;

/// What a name on the server stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// A link, a device, or the directory itself in its own listing.
    Other,
}

/// One name on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Bytes, where the line says.
    pub(crate) size: Option<u64>,
    /// Unix milliseconds, where the line says and in a time zone that is known.
    pub(crate) modified_unix_ms: Option<u64>,
}

/// A line of `MLSD`, or the one of `MLST` without the space before it.
pub(crate) fn facts(line: &str) -> Option<Entry> {
    // No value holds a `;`, so that the first `; ` ends the facts; names may hold anything.
    let (facts, name) = match line.strip_prefix(' ') {
        Some(name) => ("", name),
        None => line.split_once("; ")?,
    };
    let mut entry = Entry { name: name.to_owned(), kind: Kind::Other, size: None, modified_unix_ms: None };
    for (fact, value) in facts.split(';').filter_map(|fact| fact.split_once('=')) {
        match fact.to_ascii_lowercase().as_str() {
            "type" if value.eq_ignore_ascii_case("file") => entry.kind = Kind::File,
            "type" if value.eq_ignore_ascii_case("dir") => entry.kind = Kind::Directory,
            "size" => entry.size = value.parse().ok(),
            "modify" => entry.modified_unix_ms = time(value),
            _ => {}
        }
    }
    Some(entry)
}

/// A line of `LIST`, in either way; `None` for lines that name nothing, as `total 12`.
pub(crate) fn listed(line: &str) -> Option<Entry> {
    unix(line).or_else(|| dos(line))
}

/// A time of RFC 3659, section 2.3: `YYYYMMDDHHMMSS[.fraction]` in UTC.
pub(crate) fn time(text: &str) -> Option<u64> {
    let time = NaiveDateTime::parse_from_str(text.trim(), "%Y%m%d%H%M%S%.f").ok()?;
    u64::try_from(time.and_utc().timestamp_millis()).ok()
}

/// `-rw-r--r--   1 user  group      1234 Nov  5 13:46 name`; some servers leave out the group. The time has no zone, and is left out.
fn unix(line: &str) -> Option<Entry> {
    let kind = match line.bytes().next()? {
        b'-' => Kind::File,
        b'd' => Kind::Directory,
        b'l' | b'b' | b'c' | b'p' | b's' => Kind::Other,
        _ => return None,
    };
    let words: Vec<(usize, &str)> = words(line).take(12).collect();
    let date = (3..words.len().saturating_sub(3)).find(|at| is_date(words[at - 1].1, &words[*at..]))?;
    let (start, last) = words[date + 2];
    // Exactly one space follows: a name may begin with more.
    let name = line.get(start + last.len() + 1..).filter(|name| !name.is_empty())?;
    let name = if kind == Kind::Other { name.split(" -> ").next()? } else { name };
    let kind = if matches!(name, "." | "..") { Kind::Other } else { kind };
    Some(Entry { name: name.to_owned(), kind, size: words[date - 1].1.parse().ok(), modified_unix_ms: None })
}

/// Whether a size stands before `month day time` or `month day year`.
fn is_date(size: &str, rest: &[(usize, &str)]) -> bool {
    let [(_, month), (_, day), (_, last), ..] = rest else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let ends = last.split_once(':').map_or(last.len() == 4 && is_number(last), |(hour, minute)| is_number(hour) && is_number(minute));
    is_number(size) && !is_number(month) && day.parse().is_ok_and(|day: u8| (1..=31).contains(&day)) && ends
}

/// `10-19-20  03:19PM       <DIR>          name`, or a size in its place.
fn dos(line: &str) -> Option<Entry> {
    let mut words = words(line);
    let ((_, date), (_, time), (start, what)) = (words.next()?, words.next()?, words.next()?);
    let is_date = date.bytes().all(|b| b.is_ascii_digit() || b == b'-') && date.matches('-').count() == 2;
    if !is_date || !time.contains(':') {
        return None;
    }
    let rest = line.get(start + what.len()..)?;
    if what.eq_ignore_ascii_case("<DIR>") {
        let name = rest.trim_start();
        let kind = if matches!(name, "" | "." | "..") { Kind::Other } else { Kind::Directory };
        return Some(Entry { name: name.to_owned(), kind, size: None, modified_unix_ms: None });
    }
    let size = what.replace(',', "").parse().ok()?;
    let name = rest.strip_prefix(' ').filter(|name| !name.is_empty())?;
    Some(Entry { name: name.to_owned(), kind: Kind::File, size: Some(size), modified_unix_ms: None })
}

/// The words of a line and where each begins.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    line.split_ascii_whitespace().map(move |word| (word.as_ptr().addr() - line.as_ptr().addr(), word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: Kind, size: Option<u64>) -> Entry {
        Entry { name: name.to_owned(), kind, size, modified_unix_ms: None }
    }

    #[test]
    fn facts_give_names_of_any_characters_and_sizes_beyond_32_bits() {
        let found = facts("modify=20251124083000.250;perm=adfr;size=5000000000;type=file;unique=1U2;  a; b=c ").expect("an entry");
        assert_eq!(found, Entry { modified_unix_ms: Some(1_763_973_000_250), ..entry(" a; b=c ", Kind::File, Some(5_000_000_000)) });
        assert_eq!(facts("Type=cdir;Modify=20251124083000; .").map(|found| found.kind), Some(Kind::Other));
        assert_eq!(facts("type=OS.unix=slink:/etc; link").map(|found| found.kind), Some(Kind::Other));
        assert_eq!(facts("type=dir; ação").map(|found| (found.name, found.kind)), Some(("ação".to_owned(), Kind::Directory)));
        assert_eq!(facts("no facts here"), None);
    }

    #[test]
    fn what_unix_servers_list_is_read() {
        for (line, wanted) in [
            ("-rw-r--r--   1 ftp      ftp      5000000000 Nov  5  2018  a b.enc", entry(" a b.enc", Kind::File, Some(5_000_000_000))),
            ("-rw-r--r-- 1 1000 1000 0 Nov 5 13:46 ação", entry("ação", Kind::File, Some(0))),
            ("-rw-r--r-- 1 user 12 Nov 15 13:46 no group", entry("no group", Kind::File, Some(12))),
            ("-rw-r--r--+ 1 u g 12 Nov 15 13:46 x -> y", entry("x -> y", Kind::File, Some(12))),
            ("drwxr-xr-x   2 2024     2024         4096 Jan 01 00:00 set", entry("set", Kind::Directory, Some(4096))),
            ("drwxr-xr-x   2 u g 4096 Jan 01 00:00 ..", entry("..", Kind::Other, Some(4096))),
            ("lrwxrwxrwx   1 u g 4 Jan 01 00:00 l -> /etc", entry("l", Kind::Other, Some(4))),
            ("-rw-r--r-- 1 u g 7 Nov 5 13:46 8 Nov 6 14:00", entry("8 Nov 6 14:00", Kind::File, Some(7))),
        ] {
            assert_eq!(listed(line), Some(wanted), "{line}");
        }
    }

    #[test]
    fn what_dos_servers_list_is_read() {
        for (line, wanted) in [
            ("10-19-20  03:19PM       <DIR>          pub dir", entry("pub dir", Kind::Directory, None)),
            ("04-08-2014  15:09           5,000,000,000 read me.txt", entry("read me.txt", Kind::File, Some(5_000_000_000))),
            ("04-08-14  03:09PM                    403  x", entry(" x", Kind::File, Some(403))),
        ] {
            assert_eq!(listed(line), Some(wanted), "{line}");
        }
        for line in ["total 12", "", "-", "garbage", "-rw-r--r-- 1 u g 7 Nov 5 13:46", "04-08-14  03:09PM <DIR>x"] {
            assert_eq!(listed(line), None, "{line}");
        }
    }
}
