//! A realistic ERP: tenant schemas with every column type, views, triggers, routines, events, foreign keys, BLOBs, history;
//! and a tree of files with everything a file system can hold. The same seed gives the same content.

use std::ffi::OsStr;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

use crate::servers::MariaDb;

/// A schema with every column type and every kind of object.
pub const FEATURES: &str = include_str!("features.sql");

/// Loads one tenant: about 2 KB for each of `rows` orders.
///
/// # Errors
/// When the server refuses.
pub fn tenant(server: &MariaDb, schema: &str, rows: u32) -> Result<()> {
    server.sql(&format!(
        "CREATE DATABASE `{schema}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci; USE `{schema}`;
CREATE TABLE clientes (id INT AUTO_INCREMENT PRIMARY KEY, nome VARCHAR(120) NOT NULL, email VARCHAR(120), cidade VARCHAR(60), limite DECIMAL(12,2), criado DATETIME(3), ativo BOOL, KEY(nome));
CREATE TABLE pedidos (id INT AUTO_INCREMENT PRIMARY KEY, cliente INT NOT NULL, data DATE, total DECIMAL(14,4), peso DOUBLE, estado ENUM('aberto','pago','cancelado'), observacao TEXT, FOREIGN KEY (cliente) REFERENCES clientes(id), KEY(data));
CREATE TABLE itens (pedido INT NOT NULL, linha SMALLINT NOT NULL, produto VARCHAR(80), quantidade DECIMAL(10,3), preco DECIMAL(12,4), PRIMARY KEY (pedido, linha), FOREIGN KEY (pedido) REFERENCES pedidos(id) ON DELETE CASCADE);
CREATE TABLE notas (id INT AUTO_INCREMENT PRIMARY KEY, pedido INT, xml MEDIUMTEXT, assinatura BLOB);
INSERT INTO clientes (nome,email,cidade,limite,criado,ativo) SELECT CONCAT('Cliente Ação ', seq), CONCAT('c', seq, '@empresa.com.br'), ELT(1+seq%5,'São Paulo','Rio de Janeiro','Belém','Curitiba','Goiânia'), seq*10.55, '2024-01-01' + INTERVAL seq MINUTE, seq%7>0 FROM seq_1_to_{clients};
INSERT INTO pedidos (cliente,data,total,peso,estado,observacao) SELECT 1+seq%{clients}, '2020-01-01' + INTERVAL seq%1500 DAY, seq*3.1415, SQRT(seq), 1+seq%3, REPEAT(CONCAT('Entrega no período da manhã, portão ', seq, '. '), 1+seq%8) FROM seq_1_to_{rows};
INSERT INTO itens SELECT p.seq, l.seq, CONCAT('Parafuso sextavado ', (p.seq*l.seq)%9973, ' mm'), l.seq*1.5, (p.seq%1000)/7 FROM seq_1_to_{rows} p, seq_1_to_5 l;
INSERT INTO notas (pedido,xml,assinatura) SELECT seq, CONCAT('<nfe>', REPEAT(CONCAT('<item numero=\"', seq, '\"><valor>', seq*7, '</valor></item>'), 12), '</nfe>'), RANDOM_BYTES(200) FROM seq_1_to_{rows};
CREATE VIEW vendas AS SELECT c.nome, SUM(p.total) AS total FROM clientes c JOIN pedidos p ON p.cliente=c.id GROUP BY c.id;
ANALYZE TABLE clientes, pedidos, itens, notas;",
        clients = (rows / 10).max(10)
    ))?;
    Ok(())
}

/// Loads the schema of features under a name.
///
/// # Errors
/// When the server refuses.
pub fn features(server: &MariaDb, schema: &str) -> Result<()> {
    server
        .sql(&format!("CREATE DATABASE `{schema}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci; USE `{schema}`;\n{FEATURES}"))
        .map(drop)
}

/// A generator of bytes that the same seed repeats (splitmix64).
pub struct Random(u64);

impl Random {
    /// A generator.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Bytes that no one can compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| self.draw().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }

    /// Text as logs and sources are: words of a small vocabulary.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        const WORDS: [&str; 24] = [
            "INFO",
            "pedido",
            "cliente",
            "2024-03-15",
            "fn",
            "let",
            "return",
            "valor",
            "erro",
            "timeout",
            "GET",
            "/api/v1/notas",
            "200",
            "empresa",
            "if",
            "else",
            "(",
            ")",
            "{",
            "}",
            "=",
            "produto",
            "São",
            "Paulo",
        ];
        let mut text = String::with_capacity(length + 40);
        while text.len() < length {
            let number = self.draw();
            text.push_str(WORDS[usize::try_from(number % 24).unwrap_or(0)]);
            if number & 0x700 == 0 {
                text.push_str(hex::encode((number >> 40).to_be_bytes()).trim_start_matches('0'));
            }
            text.push(if number & 0xf000 == 0 { '\n' } else { ' ' });
        }
        let mut bytes = text.into_bytes();
        bytes.truncate(length);
        bytes
    }
}

/// Makes a directory with everything that a file system can hold.
///
/// # Errors
/// When the file system refuses; needs root for owners and devices.
pub fn tree(root: &Path, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    for directory in ["a/b/c", "vazio", "com espaço/ünï"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(root.join("a/texto.conf"), random.text(10_000))?;
    fs::write(root.join("a/b/binario"), random.bytes(300_001))?;
    fs::write(root.join("a/b/c/vazio"), b"")?;
    fs::write(root.join("com espaço/ünï/arquivo"), random.text(700))?;
    fs::write(root.join(OsStr::from_bytes(b"n\xe3o-utf8 \xff")), b"latin1 name")?;
    let long = "x".repeat(200);
    fs::create_dir_all(root.join(&long).join(&long))?;
    fs::write(root.join(&long).join(&long).join("fundo"), b"a path over 255 bytes")?;
    fs::hard_link(root.join("a/b/binario"), root.join("a/ligado"))?;
    symlink("b/binario", root.join("a/simbolico"))?;
    symlink("/nao/existe", root.join("quebrado"))?;
    let mut sparse = fs::File::create(root.join("a/esparso"))?;
    sparse.seek(SeekFrom::Start(5 << 20))?;
    sparse.write_all(&random.bytes(5_000))?;
    sparse.set_len(20 << 20)?;
    rustix::fs::mknodat(CWD, root.join("fila"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).context("making a FIFO")?;
    xattr::set(root.join("a/texto.conf"), "user.origem", b"sistema \x00 bin")?;
    fs::set_permissions(root.join("a/texto.conf"), fs::Permissions::from_mode(0o4750))?;
    fs::set_permissions(root.join("vazio"), fs::Permissions::from_mode(0o1777))?;
    if rustix::process::geteuid().is_root() {
        rustix::fs::mknodat(CWD, root.join("nulo"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), rustix::fs::makedev(1, 3))
            .context("making a device")?;
        std::os::unix::fs::chown(root.join("a/b/binario"), Some(1_234), Some(5_678))?;
        std::os::unix::fs::lchown(root.join("a/simbolico"), Some(4_000_000), Some(4_000_000))?;
    }
    for (path, seconds, nanoseconds) in
        [("a/texto.conf", 1_600_000_000, 123_456_789), ("a/b/c/vazio", -86_400, 500_000_000), ("a/b", 1_500_000_000, 1)]
    {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        rustix::fs::utimensat(CWD, root.join(path), &Timestamps { last_access: time, last_modification: time }, AtFlags::empty())?;
    }
    Ok(())
}

/// Makes about `bytes` of mixed files: logs, sources, tables, and a quarter that is compressed already.
///
/// # Errors
/// When the file system refuses.
pub fn mixed(root: &Path, bytes: u64, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    let (mut made, mut number) = (0, 0);
    while made < bytes {
        let folder = root.join(format!("d{:03}", number / 100));
        fs::create_dir_all(&folder)?;
        let size = match number % 20 {
            0 => 16 << 20,
            1..=4 => 1 << 20,
            _ => usize::try_from(2_000 + random.draw() % 60_000).unwrap_or(2_000),
        };
        let content = if number % 20 == 2 || number % 60 == 0 { random.bytes(size) } else { random.text(size) };
        fs::write(folder.join(format!("f{number:06}")), &content)?;
        made += content.len() as u64;
        number += 1;
    }
    Ok(())
}
