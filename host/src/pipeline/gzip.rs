//! gzip members (RFC 1952) of one block each. Every member carries its own compressed length in an extra field, so that
//! our decoder can find the next one without decompressing; every other gzip reads an ordinary multi-member file.

use libdeflater::{CompressionLvl, Compressor, Crc, Decompressor};

use super::PipelineError;

/// Plain bytes in one member. At 1 MiB the loss against one long stream stays below 1 %.
pub(super) const BLOCK_SIZE: usize = 1 << 20;
/// Fixed header, FEXTRA length, and one subfield `CF` of eight bytes: length of the member, length of its content.
pub(super) const HEADER_SIZE: usize = 10 + 2 + 4 + 8;
const TRAILER_SIZE: usize = 8;
/// Members larger than this are not ours: incompressible data grows by far less.
const MEMBER_MAX: usize = BLOCK_SIZE + (BLOCK_SIZE >> 3);

/// Compresses one block into one member.
pub(super) struct BlockCompressor {
    compressor: Compressor,
}

impl BlockCompressor {
    pub(super) fn new(level: u8) -> Self {
        let level = CompressionLvl::new(i32::from(level.clamp(1, 12))).unwrap_or_default();
        Self { compressor: Compressor::new(level) }
    }

    /// Appends nothing to what `output` held: it is replaced.
    pub(super) fn compress(&mut self, plain: &[u8], output: &mut Vec<u8>) -> Result<(), PipelineError> {
        let bound = self.compressor.deflate_compress_bound(plain.len());
        output.clear();
        output.resize(HEADER_SIZE + bound + TRAILER_SIZE, 0);
        let length = self
            .compressor
            .deflate_compress(plain, &mut output[HEADER_SIZE..HEADER_SIZE + bound])
            .map_err(|error| PipelineError::Damaged(format!("a block could not be compressed: {error:?}")))?;
        let total = HEADER_SIZE + length + TRAILER_SIZE;
        output.truncate(total);
        output[..HEADER_SIZE].copy_from_slice(&header(total, plain.len()));
        let mut crc = Crc::new();
        crc.update(plain);
        output[total - 8..total - 4].copy_from_slice(&crc.sum().to_le_bytes());
        output[total - 4..].copy_from_slice(&length_field(plain.len()));
        Ok(())
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

/// Decompresses one member.
pub(super) fn decompress(member: &[u8], plain: usize, output: &mut Vec<u8>) -> Result<(), PipelineError> {
    output.clear();
    output.resize(plain, 0);
    let length = Decompressor::new()
        .gzip_decompress(member, output)
        .map_err(|error| PipelineError::Damaged(format!("a gzip member does not decompress: {error}")))?;
    if length == plain { Ok(()) } else { Err(PipelineError::Damaged("a gzip member is shorter than it says".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_member_reads_back(plain in proptest::collection::vec(any::<u8>(), 0..5_000), level in 1_u8..=12) {
            let mut member = Vec::new();
            BlockCompressor::new(level).compress(&plain, &mut member).expect("compressed");
            let header = parse_header(&member[..HEADER_SIZE]).expect("ours");
            prop_assert_eq!(header, MemberHeader { member: member.len(), plain: plain.len() });
            let mut back = Vec::new();
            decompress(&member, header.plain, &mut back).expect("decompressed");
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
