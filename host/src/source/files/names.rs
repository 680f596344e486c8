//! Names of directory artifacts, as the mission draws them: `/etc/apache2` gives `_etc_apache2_`.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Longest stem in bytes; with its suffixes a name stays below 255.
const STEM_MAX: usize = 180;

/// The stem of one path: every slash and every character that is not safe in a file name becomes `_`.
pub fn artifact_stem(path: &Path) -> String {
    let text = path.to_string_lossy();
    let safe: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' }).collect();
    let stem = format!("_{}_", safe.trim_matches('_'));
    if stem.len() <= STEM_MAX { stem } else { format!("{}~{}", &stem[..STEM_MAX - 20], digest(path)) }
}

/// Stems for several paths. Where two would be equal in any letter case, each of them gets a digest of its own path, so that
/// the name of a path does not depend on the order of the configuration.
pub fn artifact_stems(paths: &[&Path]) -> Vec<String> {
    let mut counts = BTreeMap::new();
    for path in paths {
        *counts.entry(artifact_stem(path).to_lowercase()).or_insert(0) += 1;
    }
    let stem = |path: &&Path| {
        let stem = artifact_stem(path);
        if counts.get(&stem.to_lowercase()) == Some(&1) { stem } else { format!("{stem}~{}", digest(path)) }
    };
    paths.iter().map(stem).collect()
}

fn digest(path: &Path) -> String {
    hex::encode(Sha256::digest(path.as_os_str().as_bytes()))[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_missions() {
        assert_eq!(artifact_stem(Path::new("/etc/apache2")), "_etc_apache2_");
        assert_eq!(artifact_stem(Path::new("/var/www/data/")), "_var_www_data_");
    }

    #[test]
    fn paths_that_would_collide_get_names_of_their_own_in_any_order() {
        let (a, b, c) = (Path::new("/etc/a_b"), Path::new("/etc/a/b"), Path::new("/srv"));
        let (one, two) = (artifact_stems(&[a, b, c]), artifact_stems(&[c, b, a]));
        assert_ne!(one[0], one[1]);
        assert_eq!(one[2], "_srv_");
        assert_eq!(one, two.into_iter().rev().collect::<Vec<_>>());
    }
}
