//! zstd frames (RFC 8878) of one block each, every one behind a skippable frame with its length, as `pzstd` writes them:
//! our decoder and pzstd work in parallel, every other zstd reads an ordinary stream of frames.

use ::zstd::bulk;
use ::zstd::zstd_safe::CParameter;

use super::PipelineError;

/// Plain bytes in one frame.
pub(super) const BLOCK_SIZE: usize = 2 << 20;
/// Magic and length of the skippable frame, and the length of the frame that follows.
pub(super) const HEADER_SIZE: usize = 12;
const SKIPPABLE: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0];
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const FRAME_MAX: usize = BLOCK_SIZE + (BLOCK_SIZE >> 3);

/// Compresses one block into one frame.
pub(super) struct BlockCompressor {
    compressor: bulk::Compressor<'static>,
}

impl BlockCompressor {
    pub(super) fn new(level: i32) -> Result<Self, PipelineError> {
        let mut compressor = bulk::Compressor::new(level.clamp(1, 19))?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { compressor })
    }

    /// Replaces what `output` held.
    pub(super) fn compress(&mut self, plain: &[u8], output: &mut Vec<u8>) -> Result<(), PipelineError> {
        // Not cleared first: what is there needs no zeroing.
        output.resize(HEADER_SIZE + ::zstd::zstd_safe::compress_bound(plain.len()), 0);
        let length = self.compressor.compress_to_buffer(plain, &mut output[HEADER_SIZE..])?;
        output.truncate(HEADER_SIZE + length);
        output[..8].copy_from_slice(&SKIPPABLE);
        output[8..HEADER_SIZE].copy_from_slice(&u32::try_from(length).expect("frames are of 2 MiB").to_le_bytes());
        Ok(())
    }
}

/// Length of the frame behind one of our headers; `None` for any other zstd.
pub(super) fn parse_header(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(bytes.get(8..HEADER_SIZE)?.try_into().ok()?) as usize;
    (bytes.starts_with(&SKIPPABLE) && length <= FRAME_MAX).then_some(length)
}

/// Whether these are the first bytes of any zstd.
pub(super) fn is_zstd(bytes: &[u8]) -> bool {
    bytes.starts_with(&FRAME_MAGIC) || (bytes.len() >= 4 && bytes[0] & 0xf0 == 0x50 && bytes[1..4] == SKIPPABLE[1..4])
}

/// Decompresses one frame after the other.
pub(super) struct BlockDecompressor(bulk::Decompressor<'static>);

impl BlockDecompressor {
    pub(super) fn new() -> Result<Self, PipelineError> {
        Ok(Self(bulk::Decompressor::new()?))
    }

    /// Replaces what `output` held.
    pub(super) fn decompress(&mut self, frame: &[u8], output: &mut Vec<u8>) -> Result<(), PipelineError> {
        output.resize(BLOCK_SIZE, 0);
        let length = self
            .0
            .decompress_to_buffer(frame, output.as_mut_slice())
            .map_err(|error| PipelineError::Damaged(format!("a zstd frame does not decompress: {error}")))?;
        output.truncate(length);
        Ok(())
    }
}
