//! Where each file of a set lies: `backup_…/{sql,config}/….tar.gz.enc` and the files beside them, as the mission draws it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::SetName;

/// The run's log, artifact by artifact.
pub const BACKUP_LOG: &str = "backup_log.txt";
/// What the set holds.
pub const MANIFEST: &str = "manifest.json";
/// The seal over the manifest; the last file to arrive, so that its presence means a complete set.
pub const SEAL: &str = "manifest.json.seal";
/// Digests that `sha256sum -c` reads.
pub const SHA256SUMS: &str = "SHA256SUMS";
/// Digests that `md5sum -c` reads.
pub const MD5SUMS: &str = "MD5SUMS";
/// The commands that open this very set without cofre.
pub const RESTORE_NOTES: &str = "RESTORE.md";

/// Present where a person said that the set stays, whatever the policy; not of the set itself, and not sealed.
pub const PINNED: &str = "PINNED";

/// Stem of the artifact with cofre's own files: no directory may have it.
const OWN_STEM: &str = "_cofre_";
/// Longest stem of an artifact's file name, in bytes: names stay below 255 with every suffix.
const STEM_MAX: usize = 180;

/// What a set is to be made from.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// Absolute paths of directories.
    pub directories: &'a [&'a Path],
    /// Names of database servers.
    pub servers: &'a [&'a str],
    /// Server and name of each schema.
    pub schemas: &'a [(&'a str, &'a str)],
}

/// Keys of all artifacts of a set, in the order of its [`Contents`]. They are made together, so that no two are equal, in any letter case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactKeys {
    /// Of the directories: `config/_etc_apache2_.tar.gz.enc`.
    pub directories: Vec<String>,
    /// Of each server's users and grants: `sql/main@grants.sql.tar.gz.enc`.
    pub grants: Vec<String>,
    /// Of the schemas: `sql/empresa1.sql.tar.gz.enc`.
    pub schemas: Vec<String>,
}

impl ArtifactKeys {
    /// Names everything; `extension` is that of the compression, `gz` or `zst`.
    pub fn of(contents: Contents<'_>, extension: &str) -> Self {
        let sql = |stem: String| format!("sql/{stem}.sql.tar.{extension}.enc");
        let mut taken = Stems::default();
        // Before the schemas, one of which may be called `grants`.
        let grants = contents.servers.iter().map(|server| taken.claim(server, &[format!("{server}@grants")])).map(sql).collect();
        let schemas = contents.schemas.iter().map(|(server, schema)| schema_stem(server, schema, &mut taken)).map(sql).collect();
        let directories = directory_stems(contents.directories);
        Self { directories: directories.into_iter().map(|stem| format!("config/{stem}.tar.{extension}.enc")).collect(), grants, schemas }
    }
}

/// Key of the artifact with cofre's own configuration and the passport of the set.
pub fn own_key(extension: &str) -> String {
    format!("config/{OWN_STEM}.tar.{extension}.enc")
}

/// The stem in an artifact's key; a schema's dump has it as the name of its folder, and of its first file without the `.sql`.
pub fn stem_of(key: &str) -> &str {
    let file = key.rsplit('/').next().unwrap_or(key);
    let stem = file.rsplit_once(".tar.").map_or(file, |(stem, _)| stem);
    stem.strip_suffix(".sql").unwrap_or(stem)
}

/// Key of a file of a set on a destination.
pub fn set_key(set: SetName, file: &str) -> String {
    format!("{set}/{file}")
}

/// Stems that are given away, in lower case.
#[derive(Debug, Default)]
struct Stems(BTreeSet<String>);

impl Stems {
    /// The first candidate that is free; else a numbered one, of which there is no end.
    fn claim(&mut self, identity: &str, candidates: &[String]) -> String {
        let numbered = (0_u64..).map(|number| digested(identity, &format!("{identity}\0{number}")));
        let mut all = candidates.iter().cloned().chain(numbered);
        all.find(|stem| self.0.insert(stem.to_lowercase())).unwrap_or_default()
    }
}

/// The name itself where it is plain, else its safe part and a digest. A schema whose name another has already gets its server's name in front.
fn schema_stem(server: &str, schema: &str, taken: &mut Stems) -> String {
    let plain = schema.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) && !schema.starts_with(['.', '-']);
    let plain = plain && schema.len() <= STEM_MAX && !schema.is_empty();
    let stem = if plain { schema.to_owned() } else { digested(schema, schema) };
    let identity = format!("{server}\0{schema}");
    let candidates = [stem.clone(), format!("{server}@{stem}"), digested(schema, &identity)];
    taken.claim(&identity, &candidates)
}

/// Stems for several paths. Where two would be equal, or one is cofre's own, each of them gets a digest of its own path, so that
/// the name of a path does not depend on the order of the configuration.
fn directory_stems(paths: &[&Path]) -> Vec<String> {
    let mut counts = BTreeMap::from([(OWN_STEM.to_owned(), 1)]);
    for path in paths {
        *counts.entry(directory_stem(path).to_lowercase()).or_insert(0) += 1;
    }
    let mut taken = Stems(BTreeSet::from([OWN_STEM.to_owned()]));
    let mut stem = |path: &Path| {
        let stem = directory_stem(path);
        let alone = counts.get(&stem.to_lowercase()) == Some(&1) && stem.to_lowercase() != OWN_STEM;
        let stem = if alone { stem } else { format!("{stem}~{}", digest(path.as_os_str().as_bytes())) };
        taken.claim(&path.to_string_lossy(), &[stem])
    };
    paths.iter().map(|path| stem(path)).collect()
}

/// As the mission draws it: every slash and every character that is not safe in a file name becomes `_`.
fn directory_stem(path: &Path) -> String {
    let text = path.to_string_lossy();
    let safe: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' }).collect();
    let stem = format!("_{}_", safe.trim_matches('_'));
    if stem.len() <= STEM_MAX { stem } else { format!("{}~{}", &stem[..STEM_MAX - 20], digest(path.as_os_str().as_bytes())) }
}

fn digested(name: &str, identity: &str) -> String {
    let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).take(60).collect();
    format!("{safe}~{}", digest(identity.as_bytes()))
}

fn digest(identity: &[u8]) -> String {
    hex::encode(Sha256::digest(identity))[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(directories: &[&str], servers: &[&str], schemas: &[(&str, &str)]) -> ArtifactKeys {
        let directories: Vec<&Path> = directories.iter().map(Path::new).collect();
        ArtifactKeys::of(Contents { directories: &directories, servers, schemas }, "gz")
    }

    #[test]
    fn the_missions_names_come_out() {
        let keys = keys(&["/etc/apache2", "/var/www/data/"], &["main"], &[("main", "empresa1")]);
        assert_eq!(keys.directories, ["config/_etc_apache2_.tar.gz.enc", "config/_var_www_data_.tar.gz.enc"]);
        assert_eq!(keys.schemas, ["sql/empresa1.sql.tar.gz.enc"]);
        assert_eq!(keys.grants, ["sql/main@grants.sql.tar.gz.enc"]);
    }

    #[test]
    fn no_two_artifacts_share_a_file_even_where_case_does_not_count() {
        let schemas = [("a", "empresa"), ("b", "empresa"), ("a", "Empresa"), ("a", "../x"), ("a", "é"), ("a", ".."), ("b", "Empresa")];
        let grants = [("a", "grants"), ("b", "grants"), ("b", "GRANTS"), ("B", "grants")];
        let directories = ["/cofre", "/Cofre/", "/_cofre", "/etc/a_b", "/etc/a/b", "/srv", "/srv"];
        let found = keys(&directories, &["a", "b", "B"], &[&schemas[..], &grants[..]].concat());
        let all: Vec<String> = [found.directories.clone(), found.grants, found.schemas.clone(), vec![own_key("gz")]].concat();
        let lower: BTreeSet<_> = all.iter().map(|key| key.to_lowercase()).collect();
        assert_eq!(lower.len(), all.len(), "{all:#?}");
        assert!(all.iter().all(|key| key.matches('/').count() == 1 && !key.contains("/.")), "{all:#?}");
        assert_eq!(found.schemas[0], "sql/empresa.sql.tar.gz.enc");
    }

    #[test]
    fn the_name_of_a_directory_does_not_depend_on_the_order_of_the_others() {
        let (one, two) =
            (keys(&["/etc/a_b", "/etc/a/b", "/srv", "/cofre"], &[], &[]), keys(&["/cofre", "/srv", "/etc/a/b", "/etc/a_b"], &[], &[]));
        assert_eq!(one.directories, two.directories.into_iter().rev().collect::<Vec<_>>());
        assert_eq!(one.directories[2], "config/_srv_.tar.gz.enc");
    }

    #[test]
    fn the_stem_of_a_key_is_what_the_key_was_made_of() {
        let names = ["empresa1", "a.tar.b", "x.sql", "dados.tar.gz"];
        for (schema, key) in names.iter().zip(keys(&[], &[], &names.map(|name| ("main", name))).schemas) {
            assert_eq!(stem_of(&key), *schema);
        }
    }
}
