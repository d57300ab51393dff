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
            "OrderShipped/sms (text line 1) expects carrier to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z), not \"DHL\"",
        ),
        (
            "{{#each list}}{{date at}}{{/each}}",
            "/data/list/0/at",
            "template-bad-value",
            "OrderShipped/sms (text line 1) expects at to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z), not \"soon\"",
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
            "OrderShipped/sms (text line 1) takes more than 500000 steps, the limit of one message",
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
async fn a_preview_shows_a_subject_whose_direction_data_cannot_change_and_refuses_a_blank_one() {
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
            "OrderShipped/sms text line 1: the helper number takes 1 parameter, such as {{number count}}, not 2",
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
async fn all_spellings_of_a_locale_name_the_same_template() {
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

#[tokio::test]
async fn the_parts_of_a_preview_are_shown_or_their_locale_is_refused_and_never_another_text() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let (general, french) = (
        "/v1/templates/OrderShipped/sms/preview",
        "/v1/templates/OrderShipped/sms/preview?locale=fr",
    );
    let ask = async |path: &str, locale: Option<&str>, parts: bool| {
        let mut asked = json!({"data": {"order_id": "1", "carrier": "DHL"}, "locale": locale});
        if parts {
            asked["parts"] = json!({"text": "given"});
        }
        admin.post(path, &asked).await
    };
    assert_eq!(
        ask(general, Some("fr"), true).await.body["content"]["text"],
        "given"
    );
    assert_eq!(ask(french, None, false).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        ask(french, Some("fr-CA"), true).await.body["content"]["text"],
        "given"
    );
    let template = "/v1/templates/OrderShipped/sms?locale=fr";
    admin
        .put(template, None, &json!({"parts": {"text": "Bonjour"}}))
        .await;
    admin
        .post("/v1/templates/OrderShipped/sms/publish?locale=fr", &json!({}))
        .await;
    for (path, locale, parts, says) in [
        (
            general,
            "fr-CA",
            true,
            "expected a locale that OrderShipped/sms serves, not fr-CA, whose readers get OrderShipped/sms (fr): \
             preview that one with ?locale=fr",
        ),
        (
            general,
            "fr",
            false,
            "expected a locale that OrderShipped/sms serves, not fr, whose readers get OrderShipped/sms (fr): \
             preview that one with ?locale=fr",
        ),
        (
            french,
            "de",
            true,
            "expected a locale that OrderShipped/sms (fr) serves, not de, whose readers get OrderShipped/sms: \
             preview that one without ?locale=",
        ),
    ] {
        let refused = ask(path, Some(locale), parts).await;
        let expected = json!([{"pointer": "/locale", "code": "not-served", "message": says}]);
        assert_eq!(refused.body["errors"], expected, "{}", refused.body);
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let shown = ask(french, None, false).await;
    assert_eq!(
        (
            &shown.body["content"]["text"],
            &shown.body["locale"],
            &shown.body["shows"]
        ),
        (&json!("Bonjour"), &json!("fr"), &json!("published"))
    );
}

#[tokio::test]
async fn a_preview_takes_locale_timezone_time_and_user_by_the_rules_of_events_and_users() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    for (field, value, pointer, code, says) in [
        (
            "timezone",
            json!("Mars/Olympus"),
            "/timezone",
            "format",
            "expected an IANA timezone, such as Europe/Berlin, not \"Mars/Olympus\"",
        ),
        (
            "locale",
            json!("english"),
            "/locale",
            "format",
            "expected a BCP 47 language tag of at most 100 characters, such as fr-CA; got \"english\"",
        ),
        (
            "time",
            json!("1999-12-31T00:00:00Z"),
            "/time",
            "range",
            "expected a time between 2000-01-01T00:00:00Z and a day from now, not 1999-12-31T00:00:00Z",
        ),
        (
            "time",
            json!("9999-01-01T00:00:00Z"),
            "/time",
            "range",
            "expected a time between 2000-01-01T00:00:00Z and a day from now, not 9999-01-01T00:00:00Z",
        ),
        (
            "time",
            json!("2026-11-24"),
            "/time",
            "type",
            "expected an RFC 3339 timestamp, such as 2026-11-24T10:00:00Z, not \"2026-11-24\"",
        ),
        (
            "time",
            json!(1_795_000_000),
            "/time",
            "type",
            "expected an RFC 3339 timestamp, such as 2026-11-24T10:00:00Z, not 1795000000",
        ),
        (
            "user",
            json!({"id": ""}),
            "/user/id",
            "format",
            "expected 1 to 255 bytes without control characters, not \"\"",
        ),
        (
            "user",
            json!({"name": "Ada"}),
            "/user/name",
            "unknown-field",
            "there is no field name; expected only id",
        ),
        ("user", json!({}), "/user", "required", "expected the field id"),
        (
            "usr",
            json!({}),
            "/usr",
            "unknown-field",
            "there is no field usr; expected only data, parts, locale, timezone, time, user",
        ),
    ] {
        let mut asked = json!({"data": {}, "parts": {"text": "x"}});
        asked[field] = value;
        let refused = admin.post("/v1/templates/OrderShipped/sms/preview", &asked).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{asked}");
        let expected = json!([{"pointer": pointer, "code": code, "message": says}]);
        assert_eq!(refused.body["errors"], expected, "{asked}");
        assert_eq!(refused.body["detail"], says);
    }
    let asked = json!({"data": {}, "parts": {"text": "x"}, "locale": "??", "timezone": "x", "time": null, "user": {"id": "\n"}});
    let refused = admin.post("/v1/templates/OrderShipped/sms/preview", &asked).await;
    assert_eq!(
        refused.body["errors"].as_array().unwrap().len(),
        3,
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn a_preview_has_a_recipient_whose_id_the_caller_may_choose_or_leave_out() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let text = "{{#if user.id}}{{user.id}}{{else}}guest{{/if}} {{timezone}} {{locale}}";
    for (sample, expected) in [
        (json!({}), "sample-user UTC en"),
        (json!({"user": {"id": "auth0|5f7c8e"}}), "auth0|5f7c8e UTC en"),
        (json!({"user": null}), "guest UTC en"),
        (
            json!({"timezone": "Europe/Berlin", "locale": "de-AT"}),
            "sample-user Europe/Berlin de",
        ),
    ] {
        let mut asked = sample;
        asked["data"] = json!({});
        asked["parts"] = json!({ "text": text });
        let shown = admin.post("/v1/templates/OrderShipped/sms/preview", &asked).await;
        assert_eq!(shown.body["content"]["text"], expected, "{}", shown.body);
    }
    let asked =
        json!({"data": {}, "parts": {"text": "{{user.id}} {{delivery.id}} {{event.id}} {{event.time}}"}});
    let shown = admin.post("/v1/templates/OrderShipped/sms/preview", &asked).await;
    assert_eq!(
        shown.body["content"]["text"],
        "sample-user 00000000-0000-5000-8000-000000000000 preview 2026-01-01T00:00:00Z",
        "{}",
        shown.body
    );
}

#[tokio::test]
async fn a_mail_or_a_push_that_shows_nothing_is_refused_at_publishing_and_at_rendering() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    for (channel, parts) in [
        (
            "email",
            json!({"subject": "s", "text": "\u{200b}", "html": "<style>p { color: red }</style>"}),
        ),
        (
            "email",
            json!({"subject": "s", "text": " ", "html": "<script>x</script><title>x</title>"}),
        ),
        (
            "email",
            json!({"subject": "s", "text": "x", "html": "<p>&nbsp;</p>"}),
        ),
        (
            "email",
            json!({"subject": "s", "text": "x", "html": "<p>&#8203;&zwnj;</p><!-- x -->"}),
        ),
        ("sms", json!({"text": "\u{200b}\u{2060}\u{feff}"})),
        ("sms", json!({"text": "\u{2800} \u{a0}"})),
        (
            "push",
            json!({"title": "\u{3164}", "body": "\u{ad}", "data.x": "y"}),
        ),
    ] {
        let path = format!("/v1/templates/OrderShipped/{channel}");
        admin.put(&path, None, &json!({ "parts": parts })).await;
        let refused = admin.post(&format!("{path}/publish"), &json!({})).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{parts}");
        let errors = refused.body["errors"].as_array().unwrap();
        assert_eq!(
            (errors.len(), &errors[0]["code"]),
            (1, &json!("blank")),
            "{parts} {errors:?}"
        );
    }
    for (channel, parts, pointer) in [
        (
            "email",
            json!({"subject": "s", "text": "{{carrier}}", "html": "<p>{{carrier}}</p>"}),
            "/parts/text",
        ),
        (
            "email",
            json!({"subject": "s", "text": "{{carrier}}"}),
            "/parts/text",
        ),
        (
            "push",
            json!({"title": "{{carrier}}", "body": "{{carrier}}"}),
            "/parts/body",
        ),
    ] {
        let asked = json!({"data": {"carrier": "\u{200b}"}, "parts": parts});
        let refused = admin
            .post(&format!("/v1/templates/OrderShipped/{channel}/preview"), &asked)
            .await;
        let error = &refused.body["errors"][0];
        assert_eq!(
            (&error["code"], &error["pointer"]),
            (&json!("template-blank"), &json!(pointer)),
            "{}",
            refused.body
        );
    }
    let image =
        json!({"subject": "s", "text": " ", "html": "<img src=\"https://shop.example/a.png\" alt=\"\">"});
    let asked = json!({"data": {}, "parts": image});
    let shown = admin
        .post("/v1/templates/OrderShipped/email/preview", &asked)
        .await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
}
