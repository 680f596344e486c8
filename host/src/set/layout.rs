//! Where each file of a set lies: `backup_…/{sql,config}/….tar.gz.enc` and the files beside them, as the mission draws it.

use std::collections::BTreeSet;

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

/// Longest stem of an artifact's file name, in bytes: names stay below 255 with every suffix.
const STEM_MAX: usize = 180;

/// Key of a schema's artifact, from its stem (see [`schema_stems`]).
pub fn schema_key(stem: &str, compression: &str) -> String {
    format!("sql/{stem}.sql.tar.{compression}.enc")
}

/// Key of the artifact with a server's users and grants.
pub fn grants_key(source: &str, compression: &str) -> String {
    format!("sql/{source}@grants.sql.tar.{compression}.enc")
}

/// Key of a directory's artifact, from its stem (`_etc_apache2_`).
pub fn directory_key(stem: &str, compression: &str) -> String {
    format!("config/{stem}.tar.{compression}.enc")
}

/// Key of the artifact with cofre's own configuration and the passport of the set.
pub fn own_key(compression: &str) -> String {
    format!("config/_cofre_.tar.{compression}.enc")
}

/// Key of a file of a set on a destination.
pub fn set_key(set: SetName, file: &str) -> String {
    format!("{set}/{file}")
}

/// File name stems for schemas: the name itself where it is plain, else its safe part and a digest. Schemas of a second
/// server that share a name with one of another get the source's name in front, so no two stems are equal, in any letter case.
pub fn schema_stems(schemas: &[(&str, &str)]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    schemas
        .iter()
        .map(|(source, schema)| {
            let candidates = [stem(schema), format!("{source}@{}", stem(schema)), digested(schema, &format!("{source}\0{schema}"))];
            let free = candidates.into_iter().find(|candidate| !taken.contains(&candidate.to_lowercase()));
            let stem = free.unwrap_or_else(|| digested(schema, &format!("{source}\0{schema}\0{}", taken.len())));
            taken.insert(stem.to_lowercase());
            stem
        })
        .collect()
}

fn stem(schema: &str) -> String {
    let plain = schema.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) && !schema.starts_with(['.', '-']);
    if plain && schema.len() <= STEM_MAX && !schema.is_empty() { schema.to_owned() } else { digested(schema, schema) }
}

fn digested(schema: &str, identity: &str) -> String {
    let safe: String = schema.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).take(60).collect();
    let digest = hex::encode(Sha256::digest(identity.as_bytes()));
    format!("{safe}~{}", &digest[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missions_names_come_out() {
        assert_eq!(schema_key("empresa1", "gz"), "sql/empresa1.sql.tar.gz.enc");
        assert_eq!(directory_key("_etc_apache2_", "gz"), "config/_etc_apache2_.tar.gz.enc");
    }

    #[test]
    fn no_two_schemas_share_a_file_even_where_case_does_not_count() {
        let stems =
            schema_stems(&[("a", "empresa"), ("b", "empresa"), ("a", "Empresa"), ("a", "../x"), ("a", "é"), ("a", ".."), ("b", "Empresa")]);
        let lower: BTreeSet<_> = stems.iter().map(|s| s.to_lowercase()).collect();
        assert_eq!(lower.len(), stems.len(), "{stems:?}");
        assert!(stems.iter().all(|s| !s.contains('/') && !s.starts_with('.')), "{stems:?}");
        assert_eq!(stems[0], "empresa");
    }
}
