//! Both directions against each other and against openssl, gzip and zstd: what is written opens with the standard tools,
//! what they write opens here, and nothing damaged or cut ever reads as a whole stream.

use std::io::{self, Cursor, Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::{CipherKey, Compression, Decoder, Encoder, EncoderSettings, Kdf, Passphrase, PipelineError, Totals};

const GZIP: Compression = Compression::Gzip { level: 1 };
const ZSTD: Compression = Compression::Zstd { level: 1 };
const PBKDF2: Kdf = Kdf::Pbkdf2 { iterations: 1_000 };

fn passphrase() -> Passphrase {
    Passphrase::from_bytes(b"segredo")
}

fn encoder<W: Write + Send>(compression: Compression, kdf: Kdf, sink: W) -> Encoder<W> {
    let key = CipherKey::fresh(&passphrase(), kdf).expect("random");
    Encoder::start(EncoderSettings { compression, threads: 2, meter: None }, move || Ok(key), sink).expect("threads")
}

fn encode(compression: Compression, kdf: Kdf, plain: &[u8]) -> (Vec<u8>, Totals) {
    let mut encoder = encoder(compression, kdf, Vec::new());
    encoder.write_all(plain).expect("written");
    encoder.finish().expect("finished")
}

fn decode(compression: Compression, kdf: Kdf, artifact: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    Decoder::open(Cursor::new(artifact.to_vec()), &passphrase(), kdf, compression, 2)?.read_to_end(&mut plain)?;
    Ok(plain)
}

/// Half text, half noise.
fn mixed(size: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let noise = std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    });
    noise.enumerate().map(|(at, byte)| if at / 5_000 % 2 == 0 { b"INSERT INTO t VALUES "[at % 21] } else { byte }).take(size).collect()
}

fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect(program);
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect(program);
    feeder.join().expect("fed").expect("taken");
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

fn openssl(kdf: Kdf, decrypt: bool, input: &[u8]) -> Vec<u8> {
    let mut arguments = vec!["enc", "-aes-256-cbc", "-md", "sha256", "-k", "segredo"];
    arguments.push(if decrypt { "-d" } else { "-salt" });
    if kdf == PBKDF2 {
        arguments.extend(["-pbkdf2", "-iter", "1000"]);
    }
    piped("openssl", &arguments, input)
}

#[test]
fn every_size_around_a_block_reads_back_with_us_and_with_the_standard_tools() {
    for (compression, tool) in [(GZIP, "gzip"), (ZSTD, "zstd")] {
        for size in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20, (9 << 20) + 13] {
            for kdf in [PBKDF2, Kdf::Legacy] {
                let plain = mixed(size);
                let (artifact, totals) = encode(compression, kdf, &plain);
                assert_eq!((totals.plain, totals.cipher.size), (size as u64, artifact.len() as u64));
                assert!(decode(compression, kdf, &artifact).expect("opens") == plain, "{tool} {size}");
                assert!(piped(tool, &["-dc"], &openssl(kdf, true, &artifact)) == plain, "{tool} {size}");
            }
        }
    }
}

#[test]
fn what_the_standard_tools_wrote_opens() {
    let plain = mixed(3 << 20);
    for (compression, tool) in [(GZIP, "gzip"), (ZSTD, "zstd")] {
        for kdf in [PBKDF2, Kdf::Legacy] {
            let artifact = openssl(kdf, false, &piped(tool, &["-c"], &plain));
            assert!(decode(compression, kdf, &artifact).expect("opens") == plain);
            assert!(decode(compression, kdf, &artifact[..artifact.len() - 16]).is_err(), "a cut {tool} stream");
        }
    }
}

#[test]
fn a_wrong_passphrase_is_told_at_once() {
    for compression in [GZIP, ZSTD] {
        let (artifact, _) = encode(compression, PBKDF2, &mixed(100_000));
        let opened = Decoder::open(Cursor::new(artifact), &Passphrase::from_bytes(b"outro"), PBKDF2, compression, 2);
        assert!(matches!(opened, Err(PipelineError::WrongPassphrase)));
    }
    let opened = Decoder::open(Cursor::new(b"no artifact at all".to_vec()), &passphrase(), PBKDF2, GZIP, 2);
    assert!(matches!(opened, Err(PipelineError::NotAnArtifact)));
}

#[test]
fn a_cut_artifact_is_called_truncated_and_never_reads_as_whole() {
    for compression in [GZIP, ZSTD] {
        let (artifact, _) = encode(compression, PBKDF2, &mixed((4 << 20) + 5));
        let size = artifact.len();
        for length in [64, 65, 1_024, size / 2, size / 2 / 16 * 16, size - 17, size - 16, size - 1] {
            let error = decode(compression, PBKDF2, &artifact[..length]).expect_err("cut");
            assert!(error.to_string().contains("truncated"), "{length} of {size}: {error}");
        }
        for length in [0, 7, 8, 15, 16, 17, 32] {
            assert!(decode(compression, PBKDF2, &artifact[..length]).is_err(), "{length}");
        }
    }
}

#[test]
fn after_a_failure_a_decoder_gives_out_nothing_more() {
    for compression in [GZIP, ZSTD] {
        let (mut artifact, _) = encode(compression, PBKDF2, &mixed(8 << 20));
        artifact[400_000] ^= 1;
        let mut decoder = Decoder::open(Cursor::new(artifact), &passphrase(), PBKDF2, compression, 2).expect("opens");
        assert!(io::copy(&mut decoder, &mut io::sink()).is_err());
        assert!(decoder.read(&mut [0; 100]).is_err(), "a second read must not skip the damaged block");
    }
}

/// A disk that is full after some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::from(io::ErrorKind::StorageFull))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_surfaces_with_its_cause_and_never_hangs() {
    let plain = mixed(1 << 20);
    for room in [0, 16, 1 << 20, 5 << 20] {
        let mut encoder = encoder(GZIP, PBKDF2, Full(room));
        let error = (0..40).find_map(|_| encoder.write_all(&plain).err()).expect("surfaces while writing");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(encoder.finish().is_err());
    }
    let mut short = encoder(GZIP, PBKDF2, Full(20));
    short.write_all(b"short").expect("buffered");
    assert!(matches!(short.finish(), Err(PipelineError::Io(error)) if error.kind() == io::ErrorKind::StorageFull));
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("sound").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_dropped_encoder_ends_its_threads_and_leaves_nothing_that_opens() {
    for compression in [GZIP, ZSTD] {
        let sink = Shared::default();
        let mut dropped = encoder(compression, PBKDF2, sink.clone());
        dropped.write_all(&mixed(6 << 20)).expect("written");
        drop(dropped);
        assert_eq!(Arc::strong_count(&sink.0), 1, "the writer thread has let go of the sink");
        let left = sink.0.lock().expect("sound").clone();
        assert!(decode(compression, PBKDF2, &left).is_err());
    }
}

/// A source that tells when it is let go.
struct Watched(Cursor<Vec<u8>>, #[allow(dead_code, reason = "held for its count only")] Arc<()>);

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

#[test]
fn a_decoder_dropped_mid_way_ends_its_threads() {
    let (artifact, _) = encode(GZIP, PBKDF2, &mixed(16 << 20));
    let alive = Arc::new(());
    let source = Watched(Cursor::new(artifact), Arc::clone(&alive));
    let mut decoder = Decoder::open(source, &passphrase(), PBKDF2, GZIP, 2).expect("opens");
    decoder.read_exact(&mut [0; 1_000]).expect("the first bytes");
    drop(decoder);
    assert_eq!(Arc::strong_count(&alive), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_behind_the_first_blocks_never_reads_as_whole(at in 64_usize.., bit in 0_u8..8, zstd: bool) {
        let compression = if zstd { ZSTD } else { GZIP };
        let plain = mixed(300_000);
        let (mut artifact, _) = encode(compression, Kdf::Legacy, &plain);
        let at = 64 + at % (artifact.len() - 64);
        artifact[at] ^= 1 << bit;
        prop_assert!(decode(compression, Kdf::Legacy, &artifact).is_err());
    }
}
