//! gzip members (RFC 1952). Every member carries its own compressed length in an extra field, so that our decoder can find
//! the next one without decompressing; every other gzip reads an ordinary multi-member file.
//!
//! A block becomes one member, or several where parts of it are compressed already: photos, archives and PDFs would cost
//! more time than all the rest and gain nothing, so they are stored.

use libdeflater::{CompressionLvl, Compressor, Crc, Decompressor};

use super::PipelineError;

/// Plain bytes in one member. At 1 MiB the loss against one long stream stays below 1 %.
pub(super) const BLOCK_SIZE: usize = 1 << 20;
/// Fixed header, FEXTRA length, and one subfield `CF` of eight bytes: length of the member, length of its content.
pub(super) const HEADER_SIZE: usize = 10 + 2 + 4 + 8;
const TRAILER_SIZE: usize = 8;
/// Members larger than this are not ours: incompressible data grows by far less.
const MEMBER_MAX: usize = BLOCK_SIZE + (BLOCK_SIZE >> 3);

/// What is judged as a whole: compressible or not.
const PIECE: usize = 64 << 10;
/// Bytes in the middle of a piece by which it is judged.
const SAMPLE: usize = 16 << 10;
/// A member of its own costs a header and the matches across its start; fewer stored pieces than these in a row do not earn it.
const STORED_PIECES_MIN: usize = 2;

/// Compresses one block into members.
pub(super) struct BlockCompressor {
    compressor: Compressor,
    store: Compressor,
    judge: Judge,
    /// Always as long as the largest member of a block: making room for each anew would zero it each time.
    scratch: Vec<u8>,
}

impl BlockCompressor {
    pub(super) fn new(level: u8) -> Self {
        let at = |level: i32| Compressor::new(CompressionLvl::new(level).unwrap_or_default());
        let mut compressor = at(i32::from(level.clamp(1, 12)));
        let scratch = vec![0; compressor.deflate_compress_bound(BLOCK_SIZE)];
        Self { compressor, store: at(0), judge: Judge::new(), scratch }
    }

    /// Appends nothing to what `output` held: it is replaced.
    pub(super) fn compress(&mut self, plain: &[u8], output: &mut Vec<u8>) -> Result<(), PipelineError> {
        output.clear();
        let mut rest = plain;
        for (length, incompressible) in self.judge.runs(plain) {
            let (run, after) = rest.split_at(length);
            rest = after;
            let compressor = if incompressible { &mut self.store } else { &mut self.compressor };
            append_member(compressor, run, &mut self.scratch, output)?;
        }
        Ok(())
    }
}

/// Appends `plain` as one member.
fn append_member(compressor: &mut Compressor, plain: &[u8], scratch: &mut [u8], output: &mut Vec<u8>) -> Result<(), PipelineError> {
    let length = compressor
        .deflate_compress(plain, scratch)
        .map_err(|error| PipelineError::Damaged(format!("a block could not be compressed: {error:?}")))?;
    let mut crc = Crc::new();
    crc.update(plain);
    output.extend_from_slice(&header(HEADER_SIZE + length + TRAILER_SIZE, plain.len()));
    output.extend_from_slice(&scratch[..length]);
    output.extend_from_slice(&crc.sum().to_le_bytes());
    output.extend_from_slice(&length_field(plain.len()));
    Ok(())
}

/// Tells what is compressed already. It errs on the side of compressing.
struct Judge {
    quick: Compressor,
    scratch: Vec<u8>,
}

impl Judge {
    fn new() -> Self {
        let mut quick = Compressor::new(CompressionLvl::new(1).unwrap_or_default());
        let scratch = vec![0; quick.deflate_compress_bound(SAMPLE)];
        Self { quick, scratch }
    }

    /// Cuts `plain` into runs of pieces: length, and whether to store it. The lengths add up to that of `plain`; no bytes are one run.
    fn runs(&mut self, plain: &[u8]) -> Vec<(usize, bool)> {
        let mut runs: Vec<(usize, bool)> = Vec::new();
        for piece in plain.chunks(PIECE) {
            let incompressible = self.is_incompressible(piece);
            match runs.last_mut() {
                Some((length, before)) if *before == incompressible => *length += piece.len(),
                _ => runs.push((piece.len(), incompressible)),
            }
        }
        let mut merged: Vec<(usize, bool)> = Vec::new();
        for (length, incompressible) in runs {
            let incompressible = incompressible && length >= STORED_PIECES_MIN * PIECE;
            match merged.last_mut() {
                Some((before, kind)) if *kind == incompressible => *before += length,
                _ => merged.push((length, incompressible)),
            }
        }
        if merged.is_empty() { vec![(0, false)] } else { merged }
    }

    /// Two looks at a sample: whether every byte value is about as frequent (cheap, and rare in anything but compressed or
    /// encrypted data), and then whether the fastest compressor gains 2 % on it.
    fn is_incompressible(&mut self, piece: &[u8]) -> bool {
        if piece.len() < SAMPLE {
            return false;
        }
        let start = (piece.len() - SAMPLE) / 2;
        let sample = &piece[start..start + SAMPLE];
        let mut counts = [0_u64; 256];
        for byte in sample {
            counts[usize::from(*byte)] += 1;
        }
        // The sum of squares is n²/256 where all values are equally frequent; text has about ten times that, JPEG at most a fifth more.
        let squares: u64 = counts.iter().map(|count| count * count).sum();
        if squares > (SAMPLE as u64).pow(2) / 256 * 5 / 4 {
            return false;
        }
        self.quick.deflate_compress(sample, &mut self.scratch).is_ok_and(|length| length >= SAMPLE / 100 * 98)
    }
}

fn length_field(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("blocks are of 1 MiB").to_le_bytes()
}

fn header(member: usize, plain: usize) -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    // magic, deflate, FLG.FEXTRA, no time, no extra flags, Unix; XLEN 12; subfield `CF`, 8 bytes.
    header[..16].copy_from_slice(&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 3, 12, 0, b'C', b'F', 8, 0]);
    header[16..20].copy_from_slice(&length_field(member));
    header[20..].copy_from_slice(&length_field(plain));
    header
}

/// Lengths that one of our members announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemberHeader {
    /// Bytes of the whole member.
    pub(super) member: usize,
    /// Bytes of its content.
    pub(super) plain: usize,
}

/// Reads the header of one of our members; `None` for any other gzip.
pub(super) fn parse_header(bytes: &[u8]) -> Option<MemberHeader> {
    let bytes: &[u8; HEADER_SIZE] = bytes.try_into().ok()?;
    let field = |at: usize| Some(u32::from_le_bytes(bytes[at..at + 4].try_into().ok()?) as usize);
    let found = MemberHeader { member: field(16)?, plain: field(20)? };
    let ours = bytes[..16] == header(0, 0)[..16];
    let sane = found.member >= HEADER_SIZE + TRAILER_SIZE && found.member <= MEMBER_MAX && found.plain <= BLOCK_SIZE;
    (ours && sane).then_some(found)
}

/// Whether these are the first bytes of any gzip.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8])
}

/// Decompresses one member after the other.
pub(super) struct BlockDecompressor(Decompressor);

impl BlockDecompressor {
    pub(super) fn new() -> Self {
        Self(Decompressor::new())
    }

    /// Replaces what `output` held; `plain` is what the member announces.
    pub(super) fn decompress(&mut self, member: &[u8], plain: usize, output: &mut Vec<u8>) -> Result<(), PipelineError> {
        // Not cleared first: what is there needs no zeroing.
        output.resize(plain, 0);
        let length = self
            .0
            .gzip_decompress(member, output)
            .map_err(|error| PipelineError::Damaged(format!("a gzip member does not decompress: {error}")))?;
        if length == plain { Ok(()) } else { Err(PipelineError::Damaged("a gzip member is shorter than it says".to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        getrandom::fill(&mut bytes).expect("random");
        bytes
    }

    #[test]
    fn what_is_compressed_already_is_stored_and_what_stands_beside_it_is_not() {
        let text = b"2026-11-24 GET /api/v1/pedidos 200\n".repeat(10_000);
        let mut block = text[..300_000].to_vec();
        block.extend(noise(400_000));
        block.extend(&text[..300_000]);
        let runs = Judge::new().runs(&block);
        assert_eq!(runs.iter().map(|(_, stored)| *stored).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(runs.iter().map(|(length, _)| length).sum::<usize>(), block.len());
        let mut packed = Vec::new();
        BlockCompressor::new(6).compress(&block, &mut packed).expect("compressed");
        assert!(packed.len() < 420_000 + 2 * PIECE, "{}", packed.len());
        let (mut rest, mut back) = (&packed[..], Vec::new());
        while !rest.is_empty() {
            let found = parse_header(&rest[..HEADER_SIZE]).expect("ours");
            let mut plain = Vec::new();
            BlockDecompressor::new().decompress(&rest[..found.member], found.plain, &mut plain).expect("decompressed");
            back.extend(plain);
            rest = &rest[found.member..];
        }
        assert!(back == block);
    }

    #[test]
    fn noise_that_repeats_and_text_in_base64_are_compressed() {
        let once = noise(4_000);
        assert_eq!(Judge::new().runs(&once.repeat(100)), [(400_000, false)]);
        let letters: Vec<u8> = noise(400_000).iter().map(|byte| b'0' + byte % 64).collect();
        assert_eq!(Judge::new().runs(&letters), [(400_000, false)]);
    }

    proptest! {
        #[test]
        fn a_member_reads_back(plain in proptest::collection::vec(any::<u8>(), 0..5_000), level in 1_u8..=12) {
            let mut member = Vec::new();
            BlockCompressor::new(level).compress(&plain, &mut member).expect("compressed");
            let header = parse_header(&member[..HEADER_SIZE]).expect("ours");
            prop_assert_eq!(header, MemberHeader { member: member.len(), plain: plain.len() });
            let mut back = Vec::new();
            BlockDecompressor::new().decompress(&member, header.plain, &mut back).expect("decompressed");
            prop_assert_eq!(back, plain);
        }

        #[test]
        fn no_header_makes_us_allocate_more_than_a_block(bytes in proptest::collection::vec(any::<u8>(), HEADER_SIZE)) {
            let mut bytes = bytes;
            bytes[..16].copy_from_slice(&header(0, 0)[..16]);
            if let Some(found) = parse_header(&bytes) {
                prop_assert!(found.member <= MEMBER_MAX && found.plain <= BLOCK_SIZE);
            }
        }
    }
}
