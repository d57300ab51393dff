//! The errors of a preview, as the author of a template meets them.

use crate::support::House;
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn an_error_of_a_preview_points_at_the_part_unless_the_data_itself_is_at_fault() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let data = json!({"order_id": "1001", "carrier": "DHL", "sku": "S-1", "list": [{"at": "soon"}]});
    for (text, pointer, code, says) in [
        (
            "Hello\n{{#each list}}{{sku}}{{/each}}",
            "/parts/text",
            "template-missing-variable",
            "OrderShipped/sms (text line 2) needs the variable sku, which is not in the item of list; write ../sku or @root.sku",
        ),
        (
            "{{date carrier}}",
            "/data/carrier",
            "template-bad-value",
            "OrderShipped/sms (text line 1) expects carrier to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{#each list}}{{date at}}{{/each}}",
            "/data/list/0/at",
            "template-bad-value",
            "OrderShipped/sms (text line 1) expects at to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{eta}}",
            "/data/eta",
            "template-missing-variable",
            "OrderShipped/sms (text line 1) needs the variable eta, which the event does not carry",
        ),
        (
            "{{#if eta}}x{{/if}}",
            "/parts/text",
            "template-blank",
            "OrderShipped/sms: the text is blank; expected at least one visible character",
        ),
        (
            "{{#each list}}{{#each @root.list}}{{#each @root.many}}{{#each @root.many}}{{/each}}{{/each}}{{/each}}{{/each}}x",
            "/parts/text",
            "template-budget",
            "OrderShipped/sms (text line 1) takes more than 500000 steps, which is the most that one message may",
        ),
    ] {
        let mut data = data.clone();
        data["many"] = vec![Value::from(1); 3_000].into();
        let asked = json!({"data": data, "parts": {"text": text}});
        let refused = admin.post("/v1/templates/OrderShipped/sms/preview", &asked).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{text}: {}",
            refused.body
        );
        let expected = json!([{"pointer": pointer, "code": code, "message": says}]);
        assert_eq!(refused.body["errors"], expected, "{text}");
        assert_eq!(refused.body["detail"], says);
    }
}

#[tokio::test]
async fn a_preview_shows_a_subject_that_its_data_cannot_turn_round_and_refuses_a_blank_one() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let preview = async |name: &str| {
        let asked = json!({"data": {"name": name}, "parts": {"subject": "{{name}}", "text": "x"}});
        admin
            .post("/v1/templates/OrderShipped/email/preview", &asked)
            .await
    };
    let shown = preview("\u{202e}gpj.exe\u{2066}").await;
    assert_eq!(shown.body["content"]["subject"], "gpj.exe", "{}", shown.body);
    let refused = preview("\u{202e}\u{200b}").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.body["errors"][0]["pointer"], "/parts/subject");
    assert_eq!(refused.body["errors"][0]["code"], "template-blank");
}

#[tokio::test]
async fn a_template_that_always_fails_is_refused_at_publishing_with_its_part_and_line() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    for (text, code, says) in [
        (
            "Hello\n{{date \"2026-02-30\"}}",
            "bad-literal",
            "OrderShipped/sms text line 2: expected \"2026-02-30\" to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{money total \"E\"}}",
            "bad-literal",
            "OrderShipped/sms text line 1: expected \"E\" to be an ISO 4217 code such as EUR",
        ),
        (
            "Hello {{items}}\n{{#each items}}{{this}}{{/each}}{{data}}",
            "object-as-text",
            "OrderShipped/sms text line 2: data is an object by the schema of OrderShipped: expected one of its fields",
        ),
        (
            " \n ",
            "blank",
            "OrderShipped/sms text: it is always blank: expected at least one visible character",
        ),
        (
            "Hello {{user.name}}",
            "unknown-variable",
            "OrderShipped/sms text line 1: user.name never has a value: user has only the fields id; write \
             data.user.name for a field of the event's data",
        ),
        (
            "{{event}}",
            "object-as-text",
            "OrderShipped/sms text line 1: event is an object: expected one of its fields",
        ),
        (
            "{{@index}}",
            "unknown-variable",
            "OrderShipped/sms text line 1: @index never has a value: it is set only inside {{#each}}",
        ),
        (
            "{{carrier.x}}",
            "unknown-variable",
            "OrderShipped/sms text line 1: carrier.x never has a value by the schema of OrderShipped: carrier is a \
             text, which has no field x",
        ),
        (
            "{{number order_id 2}}",
            "misused-helper",
            "OrderShipped/sms text line 1: the helper number takes at most 1 parameter(s), not 2",
        ),
    ] {
        let path = "/v1/templates/OrderShipped/sms";
        let draft = admin.put(path, None, &json!({"parts": {"text": text}})).await;
        assert_eq!(draft.status, StatusCode::OK, "{}", draft.body);
        let expected = json!([{"pointer": "/parts/text", "code": code, "message": says}]);
        assert_eq!(draft.body["errors"], expected);
        let refused = admin.post(&format!("{path}/publish"), &json!({})).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(refused.body["errors"], expected);
    }
}

#[tokio::test]
async fn a_locale_of_a_template_is_the_same_however_a_caller_spells_it() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let parts = json!({"parts": {"text": "Bonjour"}});
    let put = admin
        .put("/v1/templates/OrderShipped/sms?locale=fr_ca", None, &parts)
        .await;
    assert_eq!(
        (put.status, &put.body["locale"]),
        (StatusCode::OK, &json!("fr-CA"))
    );
    let got = admin.get("/v1/templates/OrderShipped/sms?locale=fr-CA").await;
    assert_eq!(got.body["draft"]["parts"], parts["parts"]);
}
