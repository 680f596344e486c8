//! The demo holds, and fails where one byte differs: its comparison is real.

use anyhow::Result;
use cofre_tests::demo::{Damage, Demo, Show};

fn demo(corrupt: Option<Damage>) -> Result<Vec<String>> {
    let mut show = Show::default();
    Demo { database: 500_000, files: 2_000_000, corrupt }.run(&mut show)?;
    Ok(show.steps.into_iter().map(|step| step.what).collect())
}

#[track_caller]
fn fails_at(corrupt: Damage, step: &str, reason: &str) {
    let error = format!("{:#}", demo(Some(corrupt)).expect_err("something was damaged"));
    assert!(error.contains(&format!("the demo failed at: {step}")) && error.contains(reason), "{error}");
}

#[test]
fn the_demo_holds() {
    let steps = demo(None).expect("nothing was damaged");
    assert_eq!(steps.len(), 7, "{steps:?}");
}

#[test]
fn a_flipped_byte_of_an_artifact_fails_it() {
    fails_at(Damage::Artifact, "cofre list, verify --deep", "empresa1");
}

#[test]
fn a_changed_value_in_a_restored_table_fails_it() {
    fails_at(Damage::Row, "restore every schema under another name and compare", "pedidos");
}

#[test]
fn a_flipped_byte_of_a_restored_file_fails_it() {
    fails_at(Damage::File, "restore the directories and compare", "a/b/binario");
}
