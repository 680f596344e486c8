//! Who may ask for what, and what begins nothing.

use axum::http::StatusCode;

use super::super::stage::Stage;

#[tokio::test]
async fn a_delivery_is_a_task_and_its_page_has_no_passphrase() {
    let stage = Stage::new();
    let page = stage.get("olga", "/tenants").await;
    assert_eq!(page.status, StatusCode::OK);
    for part in ["value=\"acme\"", "value=\"beta\"", "beta_*", "value=\"disk\"", "cofre tenant backup TENANT --email ADDRESS"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let begun = stage.post("olga", "/tenants", &[("tenant", "acme"), ("email", "ana@example.com"), ("via", "")]).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text);
    assert!(begun.location().starts_with("/runs/"), "{}", begun.location());
    let task = begun.location().trim_start_matches("/runs/").to_owned();
    let shown = stage.get("olga", &format!("/runs/{task}")).await;
    assert!(shown.status == StatusCode::OK && shown.text.contains("acme"), "{}", shown.text);
}

#[tokio::test]
async fn a_tenant_that_is_not_there_or_an_address_that_is_none_begins_nothing() {
    let stage = Stage::new();
    for (tenant, email, told) in [
        ("nobody", "ana@example.com", "no tenant of that name"),
        ("", "ana@example.com", "Choose a tenant"),
        ("acme", "ana", "no address of a mailbox"),
        ("acme", "", "no address of a mailbox"),
    ] {
        let answer = stage.post("olga", "/tenants", &[("tenant", tenant), ("email", email)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{tenant} {email}");
        assert!(answer.text.contains(told), "{tenant} {email}: {}", answer.text);
    }
    let fields = [("tenant", "acme"), ("email", "ana@example.com"), ("via", "nowhere")];
    assert!(stage.post("olga", "/tenants", &fields).await.status.is_client_error());
    let forged = stage.post_without_word("olga", "/tenants", &fields[..2]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert_eq!(stage.tasks(), 0);
}

#[tokio::test]
async fn a_viewer_delivers_nothing() {
    let stage = Stage::new();
    assert_eq!(stage.get("vera", "/tenants").await.status, StatusCode::FORBIDDEN);
    let answer = stage.post("vera", "/tenants", &[("tenant", "acme"), ("email", "ana@example.com")]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(stage.tasks(), 0);
}
