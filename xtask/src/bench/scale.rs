//! How long what stands beside the data takes where there are many tenants and many sets. There is no rival in these rows: each is held
//! against the time that a person, or a run, may be kept waiting.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::middle;
use crate::process::{cargo, timed};

/// Seconds that each may take.
const BARS: [(&str, f64); 6] =
    [("schedule-500", 1.0), ("manifest-500", 1.0), ("prune-500", 1.0), ("list-500", 1.0), ("list-year", 0.3), ("page-year", 0.2)];

/// Medians of what the test `scale` measures.
pub(super) fn scale(root: &Path, runs: usize) -> Result<Vec<Value>> {
    let mut seconds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..runs {
        let measured = tempfile::NamedTempFile::new()?;
        // The whole workspace, so that its features are those of every other build.
        timed(
            cargo(root)
                .args(["test", "--release", "--quiet", "--workspace", "--bins", "--test", "scale", "five_hundred_tenants"])
                .env("COFRE_SCALE_JSON", measured.path()),
        )?;
        for line in std::fs::read_to_string(measured.path())?.lines() {
            let row: Value = serde_json::from_str(line)?;
            let name = row["row"].as_str().context("a row has no name")?;
            seconds.entry(name.to_owned()).or_default().push(row["seconds"].as_f64().context("a row has no time")?);
        }
    }
    BARS.iter()
        .map(|(name, most)| {
            let middle = middle(seconds.remove(*name).with_context(|| format!("the test `scale` did not measure {name}"))?);
            Ok(json!({ "row": name, "ours_s": middle, "peer": "the time allowed", "peer_s": most, "ratio": middle / most, "bar": 1.0, "rss_mb": null }))
        })
        .collect()
}
