//! `RESTORE.md`: the commands that open this very set with `openssl`, `tar` and `mariadb` alone, in both languages.
//!
//! It is read on the worst day, perhaps by somebody who never heard of cofre: so it starts from nothing and names every file.

use std::fmt::Write as _;

use super::layout::stem_of;
use super::manifest::{ArtifactKind, ArtifactRecord, Manifest, Period};

/// Writes the notes for one set.
pub fn restore_notes(manifest: &Manifest) -> String {
    let mut text = format!("# {}\n\n", manifest.set);
    let _ = writeln!(text, "[Português](#português) · [English](#english)\n");
    for words in [&PORTUGUESE, &ENGLISH] {
        section(&mut text, words, manifest);
    }
    text
}

struct Words {
    heading: &'static str,
    intro: &'static str,
    absent: &'static str,
    unread: &'static str,
    selection: &'static str,
    databases_moment: &'static str,
    directories_moment: &'static str,
    moments: &'static str,
    need: &'static str,
    check: &'static str,
    check_note: &'static str,
    passphrase: &'static str,
    databases: &'static str,
    databases_note: &'static str,
    grants: &'static str,
    directories: &'static str,
    own: &'static str,
    seal: &'static str,
    with_cofre: &'static str,
}

const PORTUGUESE: Words = Words {
    heading: "Português",
    intro: "Este conjunto abre sem o cofre. Copie a pasta inteira para a máquina de restauração, abra um terminal dentro dela e siga os passos.",
    absent: "NÃO ESTÁ NESTE CONJUNTO",
    unread: "não pôde ser lido",
    selection: "tudo o mais: a execução foi limitada a",
    databases_moment: "Bancos de dados: como eram em um momento entre",
    directories_moment: "Diretórios: lidos entre",
    moments: "Um arquivo apagado entre os dois momentos não está aqui, mesmo que um banco de dados ainda o mencione; um arquivo criado nesse tempo pode estar aqui sem que um banco de dados o mencione. Diferença máxima",
    need: "Você precisa de: esta pasta, a senha do backup, e os programas",
    check: "1. Confira os arquivos",
    check_note: "Toda linha deve terminar em `OK` (`SUCESSO`). Um arquivo que falha está danificado: use a cópia de outro destino.",
    passphrase: "2. Coloque a senha do backup em um arquivo que só você lê (uma linha; o texto não aparece no terminal)",
    databases: "3. Bancos de dados",
    databases_note: "Cada bloco cria o banco de dados e o carrega. Para restaurar com outro nome, troque o nome nas duas últimas linhas. O servidor precisa aceitar valores do tamanho do maior campo (`max_allowed_packet`).",
    grants: "4. Usuários e permissões (leia `grants.sql` antes de executar)",
    directories: "5. Diretórios (extraídos em `restaurado/`; depois mova para o lugar)",
    own: "6. A configuração do cofre e o passaporte do conjunto (contagem de linhas e digest de cada tabela)",
    seal: "7. Opcional: confira o selo do manifesto (prova que o conjunto inteiro é autêntico)",
    with_cofre: "Com o cofre instalado, o mesmo se faz com",
};

const ENGLISH: Words = Words {
    heading: "English",
    intro: "This set opens without cofre. Copy the whole folder to the machine that restores, open a terminal inside it and follow the steps.",
    absent: "NOT IN THIS SET",
    unread: "could not be read",
    selection: "everything else: the run was told to take only",
    databases_moment: "Databases: as they were at one moment between",
    directories_moment: "Directories: read between",
    moments: "A file that was deleted between the two is not here, even where a database still names it; a file that was made meanwhile may be here without a database naming it. Furthest apart",
    need: "You need: this folder, the backup passphrase, and the programs",
    check: "1. Check the files",
    check_note: "Every line must end in `OK`. A file that fails is damaged: take the copy of another destination.",
    passphrase: "2. Put the backup passphrase into a file that only you can read (one line; what you type is not shown)",
    databases: "3. Databases",
    databases_note: "Each block creates the database and loads it. To restore under another name, change the name in the last two lines. The server must accept values as large as the largest field (`max_allowed_packet`).",
    grants: "4. Users and grants (read `grants.sql` before you run it)",
    directories: "5. Directories (unpacked into `restored/`; move them into place afterwards)",
    own: "6. cofre's configuration and the passport of the set (row count and digest of every table)",
    seal: "7. Optional: check the manifest's seal (it proves the whole set authentic)",
    with_cofre: "With cofre installed, the same is done by",
};

fn section(text: &mut String, words: &Words, manifest: &Manifest) {
    let zstd = if manifest.compression.algorithm == "zstd" { ", `zstd`" } else { "" };
    let _ = writeln!(text, "## {}\n\n{}\n\n{} `openssl` (1.1.1+), `tar`{zstd}, `mariadb`.\n", words.heading, words.intro, words.need);
    absences(text, words, manifest);
    moments(text, words, manifest);
    block(text, words.check, "sha256sum -c SHA256SUMS");
    let _ = writeln!(text, "{}\n", words.check_note);
    block(text, words.passphrase, "umask 077; read -rs -p 'passphrase: ' P; printf '%s\\n' \"$P\" > ../passphrase.txt; unset P");
    let of = |kind| manifest.artifacts.iter().filter(move |artifact| artifact.kind == kind);
    let commands: Vec<String> = of(ArtifactKind::Schema).map(|artifact| schema_commands(manifest, artifact)).collect();
    blocks(text, words.databases, Some(words.databases_note), &commands);
    let commands: Vec<String> = of(ArtifactKind::Grants)
        .map(|artifact| format!("{} | tar {} -\nless grants.sql", decrypt(manifest, artifact), tar_extract(manifest)))
        .collect();
    blocks(text, words.grants, None, &commands);
    let folder = if words.heading == ENGLISH.heading { "restored" } else { "restaurado" };
    let commands: Vec<String> = of(ArtifactKind::Directory)
        .map(|artifact| {
            let options = format!("--numeric-owner --xattrs --xattrs-include='*' --acls -p {} -", tar_extract(manifest));
            format!("# {}\nmkdir -p {folder}\n{} | tar -C {folder} {options}", printable(&artifact.name), decrypt(manifest, artifact))
        })
        .collect();
    blocks(text, words.directories, None, &commands);
    let commands: Vec<String> = of(ArtifactKind::Own)
        .map(|artifact| format!("mkdir -p cofre\n{} | tar -C cofre {} -", decrypt(manifest, artifact), tar_extract(manifest)))
        .collect();
    blocks(text, words.own, None, &commands);
    block(text, words.seal, SEAL_CHECK);
    let _ = writeln!(text, "{} `cofre restore {}`.\n", words.with_cofre, manifest.set);
}

const SEAL_CHECK: &str = "SALT=$(sed -n 's/^salt: //p' manifest.json.seal); ITER=$(sed -n 's/^iterations: //p' manifest.json.seal)
K=$(openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:\"$(head -n1 ../passphrase.txt)\" -kdfopt hexsalt:$SALT -kdfopt iter:$ITER PBKDF2 | tr -d ':\\n')
K=$(openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:$K -kdfopt info:cofre/seal/1 HKDF | tr -d ':\\n')
openssl dgst -sha256 -mac HMAC -macopt hexkey:$K manifest.json; tail -n1 manifest.json.seal";

/// What the set does not hold: nobody may learn it only when something is looked for in vain.
fn absences(text: &mut String, words: &Words, manifest: &Manifest) {
    for missing in &manifest.missing {
        let _ = writeln!(text, "- **{}**: `{}` ({})", words.absent, printable(&missing.described()).replace('`', "'"), words.unread);
    }
    if !manifest.selection.is_empty() {
        let only = printable(&manifest.selection.join(", ")).replace('`', "'");
        let _ = writeln!(text, "- **{}**: {} `{only}`", words.absent, words.selection);
    }
    if !manifest.missing.is_empty() || !manifest.selection.is_empty() {
        text.push('\n');
    }
}

/// Files and databases are not of one moment: how far apart they are decides what a database may name in vain (trap 6).
fn moments(text: &mut String, words: &Words, manifest: &Manifest) {
    let of = |kind| Period::around(manifest.artifacts.iter().filter(|artifact| artifact.kind == kind).filter_map(|artifact| artifact.read));
    let (Some(databases), Some(directories)) = (of(ArtifactKind::Schema), of(ArtifactKind::Directory)) else { return };
    let moment = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let _ = writeln!(text, "- {} {} / {}.", words.databases_moment, moment(databases.from), moment(databases.to));
    let _ = writeln!(text, "- {} {} / {}.", words.directories_moment, moment(directories.from), moment(directories.to));
    let apart =
        (directories.to.as_second() - databases.from.as_second()).max(databases.to.as_second() - directories.from.as_second()).max(0);
    let _ = writeln!(text, "- {}: {}:{:02}:{:02}.\n", words.moments, apart / 3_600, apart / 60 % 60, apart % 60);
}

fn block(text: &mut String, title: &str, commands: &str) {
    blocks(text, title, None, &[commands.to_owned()]);
}

fn blocks(text: &mut String, title: &str, note: Option<&str>, commands: &[String]) {
    if commands.is_empty() {
        return;
    }
    let _ = writeln!(text, "### {title}\n");
    if let Some(note) = note {
        let _ = writeln!(text, "{note}\n");
    }
    for command in commands {
        let _ = writeln!(text, "```sh\n{command}\n```\n");
    }
}

fn schema_commands(manifest: &Manifest, artifact: &ArtifactRecord) -> String {
    let name = &artifact.name;
    format!(
        "# {}\n{} | tar {} -\nmariadb -e {}\nmariadb {} < {}",
        printable(name),
        decrypt(manifest, artifact),
        tar_extract(manifest),
        quote(&format!("CREATE DATABASE `{}`", name.replace('`', "``"))),
        quote(name),
        quote(&dump_file(artifact)),
    )
}

/// The file at the top of a schema's archive: the artifact's own stem.
fn dump_file(artifact: &ArtifactRecord) -> String {
    format!("{}.sql", stem_of(&artifact.key))
}

fn decrypt(manifest: &Manifest, artifact: &ArtifactRecord) -> String {
    let kdf = match manifest.encryption.iterations {
        Some(iterations) => format!("-pbkdf2 -iter {iterations} "),
        None => String::new(),
    };
    format!("openssl enc -d -aes-256-cbc {kdf}-md sha256 -pass file:../passphrase.txt -in {}", quote(&artifact.key))
}

fn tar_extract(manifest: &Manifest) -> &'static str {
    if manifest.compression.algorithm == "zstd" { "--zstd -xf" } else { "-xzf" }
}

fn quote(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./~@:".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

// A name goes into a comment of a shell script: a line feed in it must not start a command.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;

    #[test]
    fn the_notes_name_every_artifact_in_both_languages() {
        let notes = restore_notes(&sample());
        let command = "openssl enc -d -aes-256-cbc -pbkdf2 -iter 600000 -md sha256 -pass file:../passphrase.txt -in sql/empresa1.sql.tar.gz.enc | tar -xzf -";
        assert_eq!(notes.matches(command).count(), 2, "{notes}");
        assert_eq!(notes.matches("mariadb empresa1 < empresa1.sql").count(), 2, "{notes}");
    }

    #[test]
    fn a_legacy_set_is_opened_without_pbkdf2() {
        let mut manifest = sample();
        manifest.encryption.kdf = "legacy".into();
        manifest.encryption.iterations = None;
        assert!(restore_notes(&manifest).contains("openssl enc -d -aes-256-cbc -md sha256 -pass"));
    }

    #[test]
    fn what_is_not_in_the_set_stands_at_the_top_in_both_languages() {
        use super::super::manifest::MissingRecord;
        let mut manifest = sample();
        let missing = |name: &str, parts| MissingRecord { kind: ArtifactKind::Directory, name: name.into(), source: None, parts };
        manifest.missing = vec![missing("/srv", None), missing("/etc", Some(3))];
        manifest.selection = vec!["config".into()];
        let notes = restore_notes(&manifest);
        for line in [
            "- **NOT IN THIS SET**: `/srv` (could not be read)",
            "- **NOT IN THIS SET**: `/etc (3 of its parts)`",
            "told to take only `config`",
        ] {
            assert!(notes.contains(line), "{line}: {notes}");
        }
        assert_eq!(notes.matches("NÃO ESTÁ NESTE CONJUNTO").count(), 3, "{notes}");
        assert!(!restore_notes(&sample()).contains("NOT IN THIS SET"));
    }

    #[test]
    fn how_far_files_and_databases_are_apart_is_said() {
        let mut manifest = sample();
        let at = |second: i64| jiff::Timestamp::from_second(1_710_468_000 + second).expect("valid");
        let mut directory = manifest.artifacts[0].clone();
        (directory.kind, directory.key) = (ArtifactKind::Directory, "config/_srv_.tar.gz.enc".into());
        manifest.artifacts[0].read = Some(Period { from: at(0), to: at(2) });
        directory.read = Some(Period { from: at(3), to: at(3_723) });
        manifest.artifacts.push(directory);
        let notes = restore_notes(&manifest);
        assert!(
            notes.contains("Databases: as they were at one moment between 2024-03-15 02:00:00 UTC / 2024-03-15 02:00:02 UTC"),
            "{notes}"
        );
        assert!(notes.contains("Directories: read between 2024-03-15 02:00:03 UTC / 2024-03-15 03:02:03 UTC"), "{notes}");
        assert!(notes.contains("Furthest apart: 1:02:03.") && notes.contains("Diferença máxima: 1:02:03."), "{notes}");
        assert!(!restore_notes(&sample()).contains("Furthest apart"));
    }

    #[test]
    fn a_hostile_schema_name_cannot_run_a_command() {
        let mut manifest = sample();
        manifest.artifacts[0].name = "x'; rm -rf ~ #\nrm -rf /".into();
        let notes = restore_notes(&manifest);
        assert!(!notes.contains("\nrm -rf /\n"), "{notes}");
        assert!(notes.contains(r"'x'\''; rm -rf ~ #"), "{notes}");
    }
}
