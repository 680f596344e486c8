//! Values as SQL text, from what the text protocol sends.

/// How the values of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As the server sends it: integers, decimals, years.
    Number,
    /// With an exponent, so that it stays a floating-point literal and keeps the sign of zero.
    Float,
    /// In quotes.
    Text,
    /// As hexadecimal.
    Binary,
}

impl Form {
    /// The form for a type as `information_schema.COLUMNS.DATA_TYPE` names it.
    pub(super) fn of(data_type: &str) -> Self {
        match data_type {
            "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "decimal" | "numeric" | "year" => Self::Number,
            "float" | "double" | "real" => Self::Float,
            "bit" | "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry" | "point" | "linestring"
            | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection" | "geomcollection" | "vector" => {
                Self::Binary
            }
            _ => Self::Text,
        }
    }

    /// Appends a value.
    pub(super) fn write(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Number => out.extend_from_slice(value),
            Self::Float => {
                out.extend_from_slice(value);
                if !value.contains(&b'e') {
                    out.extend_from_slice(b"e0");
                }
            }
            Self::Text => {
                out.push(b'\'');
                escape(value, out);
                out.push(b'\'');
            }
            Self::Binary => {
                out.extend_from_slice(b"x'");
                hex(value, out);
                out.push(b'\'');
            }
        }
    }
}

const fn escapes() -> [u8; 256] {
    let mut table = [0; 256];
    table[0] = b'0';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[0x1a] = b'Z';
    table[b'\'' as usize] = b'\'';
    table[b'\\' as usize] = b'\\';
    table
}

const ESCAPES: [u8; 256] = escapes();
/// Bytes that are looked through at once.
const SCANNED: usize = 64;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends text with the characters escaped that end a string or a line. Bytes above 127 stand for themselves, so a piece
/// of a multi-byte character may be written alone.
pub(super) fn escape(text: &[u8], out: &mut Vec<u8>) {
    // Comparisons without a branch go through vector registers: several times the speed of the table below.
    let is_special = |found: bool, byte: &u8| found | matches!(*byte, 0 | b'\n' | b'\r' | 0x1a | b'\'' | b'\\');
    for piece in text.chunks(SCANNED) {
        if piece.iter().fold(false, is_special) {
            escape_piece(piece, out);
        } else {
            out.extend_from_slice(piece);
        }
    }
}

fn escape_piece(text: &[u8], out: &mut Vec<u8>) {
    let mut plain = 0;
    for (position, byte) in text.iter().enumerate() {
        let escaped = ESCAPES[usize::from(*byte)];
        if escaped != 0 {
            out.extend_from_slice(&text[plain..position]);
            out.extend_from_slice(&[b'\\', escaped]);
            plain = position + 1;
        }
    }
    out.extend_from_slice(&text[plain..]);
}

/// Appends bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    for (pair, byte) in out[start..].chunks_exact_mut(2).zip(bytes) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_text_never_ends_its_string_or_its_line(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            escape(&text, &mut out);
            prop_assert!(!out.contains(&b'\n') && !out.contains(&0));
            let mut bytes = out.iter();
            let mut back = Vec::new();
            while let Some(byte) = bytes.next() {
                prop_assert!(*byte != b'\'');
                back.push(match byte {
                    b'\\' => match bytes.next().expect("a pair") { b'0' => 0, b'n' => b'\n', b'r' => b'\r', b'Z' => 0x1a, other => *other },
                    other => *other,
                });
            }
            prop_assert_eq!(back, text);
        }
    }
}
