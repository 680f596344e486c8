//! Files as servers have them, for measurements: logs, tables, JSON, programs of this machine, and a quarter that is compressed already.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::sample::Random;

/// Programs larger than this are left out, so that no single file decides a measurement.
const LARGEST_PROGRAM: u64 = 32 << 20;

/// Makes about `bytes` of files below `root`. The same seed gives the same files on the same machine: programs come from `/usr/lib`.
///
/// # Errors
/// When the file system refuses.
pub fn realistic(root: &Path, bytes: u64, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    let mut programs = programs()?.into_iter();
    let (mut made, mut number) = (0_u64, 0_u64);
    while made < bytes {
        let folder = root.join(format!("d{:03}", number / 50));
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let program = if number % 5 < 2 { programs.next() } else { None };
        let (name, content) = match (program, number % 5) {
            (Some(program), _) => {
                (format!("p{number:06}.so"), fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?)
            }
            (None, 4) => (format!("f{number:06}.jpg"), compressed(&mut random)),
            (None, kind) => (format!("f{number:06}.txt"), lines(&mut random, kind, 1_200_000)),
        };
        let path = folder.join(name);
        fs::write(&path, &content).with_context(|| format!("cannot write {}", path.display()))?;
        made += content.len() as u64;
        number += 1;
    }
    Ok(())
}

/// Shared libraries and programs, in a stable order that mixes sizes.
fn programs() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from("/usr/lib")];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
            let entry = entry?;
            let status = entry.metadata()?;
            if status.is_dir() {
                waiting.push(entry.path());
            } else if status.is_file() && (50_000..LARGEST_PROGRAM).contains(&status.len()) {
                found.push((entry.file_name(), entry.path()));
            }
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// A length from a tenth of `most` up to `most`.
fn length(random: &mut Random, most: usize) -> usize {
    most / 10 + usize::try_from(random.draw() % (most as u64 * 9 / 10)).unwrap_or(0)
}

/// What a photo or an archive is to a compressor.
fn compressed(random: &mut Random) -> Vec<u8> {
    let size = length(random, 1_500_000);
    random.bytes(size)
}

/// Lines of a log, of a table or of JSON.
fn lines(random: &mut Random, kind: u64, most: usize) -> Vec<u8> {
    const NAMES: [&str; 8] =
        ["João Araújo", "Maria Conceição", "Ana Souza", "Pedro Álvares", "Inês Brandão", "Luís Otávio", "Zoë Müller", "Carlos Lima"];
    const PATHS: [&str; 6] = ["/api/v1/pedidos", "/api/v1/notas", "/login", "/static/app.js", "/clientes/busca?q=", "/relatorios/mensal"];
    let size = length(random, most);
    let mut text = String::with_capacity(size + 400);
    let mut second = 1_700_000_000 + random.draw() % 10_000_000;
    while text.len() < size {
        let (a, b) = (random.draw(), random.draw());
        second += a % 7;
        let (name, path) = (NAMES[usize::try_from(b % 8).unwrap_or(0)], PATHS[usize::try_from(b / 8 % 6).unwrap_or(0)]);
        let written = match kind {
            0 | 2 => writeln!(
                text,
                "10.{}.{}.{} - - [{second}] \"GET {path}{} HTTP/1.1\" {} {}",
                a % 4,
                a / 4 % 16,
                a / 64 % 250,
                b % 5000,
                [200, 200, 200, 304, 404][usize::try_from(a % 5).unwrap_or(0)],
                b % 90_000
            ),
            1 => writeln!(
                text,
                "{};{name};{};{}.{:02};{second};{}",
                a % 1_000_000,
                PATHS[usize::try_from(a % 6).unwrap_or(0)],
                b % 100_000,
                a % 100,
                if b % 3 == 0 { "pago" } else { "aberto" }
            ),
            _ => writeln!(
                text,
                "{{\"id\":{},\"cliente\":\"{name}\",\"total\":{}.{:02},\"itens\":[{{\"sku\":\"P{:05}\",\"qtd\":{}}}],\"chave\":\"{:016x}\"}}",
                a % 10_000_000,
                b % 10_000,
                a % 100,
                b % 9_973,
                a % 12,
                a ^ b
            ),
        };
        if written.is_err() {
            break; // a String never refuses
        }
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare;

    #[test]
    fn the_same_seed_makes_the_same_files_and_about_as_many_bytes_as_asked() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for directory in [&one, &two] {
            realistic(directory.path(), 3_000_000, 4).unwrap();
        }
        let contents = |directory: &Path| {
            compare::inventory(directory)
                .unwrap()
                .into_values()
                .filter_map(|facts| facts.split(" size ").nth(1).map(str::to_owned))
                .collect::<Vec<_>>()
        };
        assert_eq!(contents(one.path()), contents(two.path()));
        assert!(contents(one.path()).len() > 2);
    }
}
