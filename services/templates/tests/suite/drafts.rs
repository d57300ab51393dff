//! Drafts beside published versions: conditions, the end of a draft, and drafts that `catalog apply` has overtaken.

use std::fs;

use axum::http::{Method, StatusCode};
use carillon_domain::TenantId;
use carillon_templates::catalog_folder::{apply, load};
use serde_json::{Value, json};

use crate::support::{Client, House, copy, shop};

const SMS: &str = "/v1/templates/OrderShipped/sms";

/// Applies the shop with another text of the message about a shipped order.
async fn apply_text(house: &House, text: &str) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    copy(&shop(), place.path());
    fs::write(place.path().join("templates/OrderShipped/sms.text.hbs"), text).unwrap();
    let folder = load(place.path()).unwrap();
    let applied = apply(&house.store, &TenantId::default(), &folder).await.unwrap();
    applied.outdated_drafts
}

async fn publish(admin: &Client, if_match: Option<&str>) -> (StatusCode, Value) {
    let answer = admin
        .send(Method::POST, &format!("{SMS}/publish"), if_match, "")
        .await;
    (answer.status, answer.body)
}

async fn preview(admin: &Client) -> Value {
    let sample = json!({"data": {"order_id": "1", "carrier": "DHL"}});
    admin.post(&format!("{SMS}/preview"), &sample).await.body
}

#[tokio::test]
async fn a_condition_fails_if_the_published_version_or_the_draft_has_changed() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let draft = json!({"parts": {"text": "mine"}});
    let written = admin.put(SMS, None, &draft).await.etag;
    apply_text(&house, "theirs").await;
    let (status, refused) = publish(&admin, written.as_deref()).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{refused}");
    let present = admin.get(SMS).await.etag.unwrap();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains(&present), "{detail}");
    assert_eq!(
        admin.put(SMS, written.as_deref(), &draft).await.status,
        StatusCode::PRECONDITION_FAILED
    );
    let discard = format!("{SMS}/draft");
    let refused = admin.send(Method::DELETE, &discard, written.as_deref(), "").await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(admin.get(SMS).await.body["published"]["parts"]["text"], "theirs");
    let (status, published) = publish(&admin, Some(&present)).await;
    assert_eq!(status, StatusCode::OK, "{published}");
    assert_eq!(admin.get(SMS).await.body["published"]["parts"]["text"], "mine");
}

#[tokio::test]
async fn a_draft_that_another_publication_has_overtaken_stays_and_is_shown_as_outdated_everywhere() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    admin.put(SMS, None, &json!({"parts": {"text": "mine"}})).await;
    let fresh = admin.get(SMS).await.body["draft"].clone();
    assert_eq!((&fresh["base"], &fresh["outdated"]), (&json!(1), &json!(false)));
    assert_eq!(preview(&admin).await["warnings"], json!([]));
    assert_eq!(apply_text(&house, "theirs").await, ["OrderShipped/sms"]);
    let draft = admin.get(SMS).await.body["draft"].clone();
    assert_eq!(
        draft,
        json!({"version": 1, "parts": {"text": "mine"}, "base": 1, "outdated": true})
    );
    let list = admin.get("/v1/templates?limit=500").await.body;
    let items = list["items"].as_array().unwrap();
    let entry = items
        .iter()
        .find(|item| item["id"] == "OrderShipped/sms")
        .unwrap();
    assert_eq!((&entry["version"], &entry["outdated"]), (&json!(2), &json!(true)));
    let shown = preview(&admin).await;
    assert_eq!(
        (&shown["shows"], &shown["content"]["text"]),
        (&json!("draft"), &json!("mine"))
    );
    assert_eq!(shown["warnings"][0]["code"], "outdated-draft");
    assert_eq!(
        shown["warnings"][0]["message"],
        "the draft of OrderShipped/sms was written beside version 1, and version 2 is published since: read it, and \
         write or discard the draft"
    );
    let (status, published) = publish(&admin, None).await;
    assert_eq!((status, &published["version"]), (StatusCode::OK, &json!(3)));
    assert_eq!(published["warnings"][0]["code"], "outdated-draft", "{published}");
}

#[tokio::test]
async fn a_draft_ends_with_the_publication_of_its_text_and_previews_then_show_the_version_in_use() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    for by_route in [true, false] {
        let text = format!("text {by_route}");
        admin.put(SMS, None, &json!({"parts": {"text": text}})).await;
        if by_route {
            assert_eq!(publish(&admin, None).await.0, StatusCode::OK);
        } else {
            assert_eq!(apply_text(&house, &text).await, Vec::<String>::new());
        }
        assert_eq!(admin.get(SMS).await.body["draft"], Value::Null);
        let shown = preview(&admin).await;
        assert_eq!(
            (&shown["shows"], &shown["content"]["text"]),
            (&json!("published"), &json!(text))
        );
        assert_eq!(publish(&admin, None).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_draft_is_discarded_and_the_published_version_stays() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let discard = async || {
        admin
            .send(Method::DELETE, &format!("{SMS}/draft"), None, "")
            .await
    };
    let refused = discard().await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert_eq!(refused.body["detail"], "there is no draft of OrderShipped/sms");
    let before = admin.get(SMS).await;
    admin.put(SMS, None, &json!({"parts": {"text": "mine"}})).await;
    assert_eq!(discard().await.status, StatusCode::NO_CONTENT);
    let after = admin.get(SMS).await;
    assert_eq!((after.body, after.etag), (before.body, before.etag));
}
