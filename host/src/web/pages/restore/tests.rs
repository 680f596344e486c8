//! The wizard step by step, and what begins nothing.

use axum::http::StatusCode;

use super::super::stage::{SET, Stage};

const SCHEMA: &str = "sql/acme_erp.sql.tar.gz.enc";
const DIRECTORY: &str = "config/_etc_.tar.gz.enc";

fn address(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::for_suffix("/restore?".to_owned(), 9).extend_pairs(fields).finish()
}

#[tokio::test]
async fn each_step_asks_for_the_next_and_carries_what_was_chosen() {
    let stage = Stage::with_set();
    let sets = stage.get("olga", "/restore").await;
    assert!(sets.status == StatusCode::OK && sets.text.contains(SET) && sets.text.contains("value=\"disk\""), "{}", sets.text);
    let what = stage.get("olga", &address(&[("step", "what"), ("set", SET), ("from", "disk")])).await.text;
    assert!(what.contains("acme_erp") && what.contains("/etc") && what.contains("accounts and grants of main"), "{what}");
    assert!(!what.contains("_cofre_"), "its own is not offered: {what}");
    assert!(what.contains("name=\"from\" value=\"disk\""), "{what}");
    let found = stage.get("olga", &address(&[("step", "what"), ("set", SET), ("q", "twin")])).await.text;
    assert!(found.contains("twin_a") && !found.contains("acme_erp"), "{found}");
    let place = stage.get("olga", &address(&[("step", "where"), ("set", SET), ("artifact", SCHEMA)])).await.text;
    assert!(place.contains("acme_erp_restored") && place.contains("value=\"main\" selected"), "{place}");
    let fields = [("step", "plan"), ("set", SET), ("artifact", SCHEMA), ("target", "schema"), ("schema", "copy"), ("server", "main")];
    let plan = stage.get("olga", &address(&fields)).await.text;
    assert!(plan.contains(&format!("cofre restore {SET} --artifact {SCHEMA} --database main --into copy")), "{plan}");
    // The destination of this configuration cannot be opened: it is said, and nothing is offered to confirm.
    assert!(plan.contains("It cannot be done like this") && !plan.contains("name=\"confirm\""), "{plan}");
}

#[tokio::test]
async fn what_cannot_be_chosen_leads_back_to_where_it_is_chosen() {
    let stage = Stage::with_set();
    for (fields, told) in [
        (vec![("set", "x")], "no set of that name"),
        (vec![("set", "backup_2026_01_01_02_00_00")], "no set of that name"),
        (vec![("set", SET), ("from", "cloud")], "no complete copy"),
        (vec![("set", SET), ("artifact", "sql/none")], "Choose what to restore"),
        (vec![("set", SET), ("artifact", "config/_cofre_.tar.gz.enc")], "Choose what to restore"),
        (vec![("set", SET), ("artifact", DIRECTORY), ("item", "/var/x")], "not in this artifact"),
        (vec![("set", SET), ("artifact", DIRECTORY), ("path", "/etc/../root/x")], "not in this artifact"),
        (vec![("set", SET), ("artifact", "sql/twin_a.sql.tar.gz.enc"), ("item", "t")], "more than one schema of that name"),
        (vec![("set", SET), ("artifact", SCHEMA)], "Choose where to restore to"),
        (vec![("set", SET), ("artifact", SCHEMA), ("target", "schema"), ("server", "none"), ("schema", "a")], "not in the configuration"),
        (vec![("set", SET), ("artifact", DIRECTORY), ("target", "directory"), ("directory", "srv")], "begins with /"),
    ] {
        let fields: Vec<_> = fields.into_iter().chain([("step", "plan")]).collect();
        let answer = stage.get("olga", &address(&fields)).await;
        assert!(answer.status == StatusCode::OK && answer.text.contains(told), "{fields:?}: {}", answer.text);
        assert!(!answer.text.contains("name=\"confirm\""), "{fields:?}");
    }
    assert_eq!(stage.tasks(), 0);
}

#[tokio::test]
async fn an_archive_that_cannot_be_had_is_a_fault_and_a_path_can_be_typed() {
    let stage = Stage::with_set();
    let inside = stage.get("olga", &address(&[("step", "what"), ("set", SET), ("artifact", DIRECTORY), ("at", "/etc/apache2")])).await;
    assert_eq!(inside.status, StatusCode::OK);
    assert!(inside.text.contains("role=\"alert\"") && inside.text.contains("placeholder=\"/etc/apache2/\""), "{}", inside.text);
    let nothing = [("step", "where"), ("set", SET), ("artifact", DIRECTORY), ("at", "/etc")];
    assert!(stage.get("olga", &address(&nothing)).await.text.contains("Choose something"));
    let typed = [("step", "where"), ("set", SET), ("artifact", DIRECTORY), ("at", "/etc"), ("path", "/etc/hosts")];
    let place = stage.get("olga", &address(&typed)).await.text;
    assert!(place.contains(&format!("cofre restore {SET} --path /etc/hosts")) && !place.contains("value=\"schema\""), "{place}");
    assert!(place.contains("name=\"path\" value=\"/etc/hosts\""), "{place}");
}

#[tokio::test]
async fn only_the_name_of_the_target_begins_a_restore() {
    let stage = Stage::with_set();
    let right = [("set", SET), ("artifact", SCHEMA), ("target", "schema"), ("schema", "copy"), ("server", "main"), ("confirm", "copy")];
    for wrong in ["", "acme_erp", "Copy", "copy2"] {
        let fields: Vec<_> = right.iter().map(|(name, value)| (*name, if *name == "confirm" { wrong } else { *value })).collect();
        let answer = stage.post("olga", "/restore", &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(answer.text.contains("Nothing was restored"), "{}", answer.text);
    }
    assert_eq!(stage.tasks(), 0);
    let forged = stage.post_without_word("olga", "/restore", &right).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN, "{}", forged.text);
    assert_eq!(stage.tasks(), 0);
    let begun = stage.post("olga", "/restore", &right).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text);
    let task = begun.location().strip_prefix("/runs/").expect("a task").to_owned();
    let shown = stage.get("olga", &format!("/runs/{task}")).await;
    assert!(shown.status == StatusCode::OK && shown.text.contains(SET), "{}", shown.text);
}

#[tokio::test]
async fn a_viewer_restores_nothing() {
    let stage = Stage::with_set();
    assert_eq!(stage.get("vera", "/restore").await.status, StatusCode::FORBIDDEN);
    let fields = [("set", SET), ("artifact", SCHEMA), ("target", "schema"), ("schema", "copy"), ("server", "main"), ("confirm", "copy")];
    assert_eq!(stage.post("vera", "/restore", &fields).await.status, StatusCode::FORBIDDEN);
    assert_eq!(stage.tasks(), 0);
}

#[tokio::test]
async fn a_download_begins_no_task() {
    let stage = Stage::with_set();
    let fields = [("set", SET), ("artifact", DIRECTORY), ("path", "/etc/hosts"), ("target", "download"), ("confirm", "")];
    let answer = stage.post("olga", "/restore", &fields).await;
    assert!(answer.status == StatusCode::UNPROCESSABLE_ENTITY && answer.text.contains("A download is not confirmed"), "{}", answer.text);
    assert_eq!(stage.tasks(), 0);
}
