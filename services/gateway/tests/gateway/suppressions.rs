//! The suppression list over HTTP: people read it masked, change it with their key's name, and import files.

use carillon_domain::{Channel, DeliveryId, contact::mask, suppression::SuppressionReason};
use carillon_store::suppressions::Strike;
use serde_json::{Value, json};

use crate::{
    dashboard::{page, sign_in},
    support::{Ask, Setting, on_gateway},
};

const ADA: &str = "/v1/suppressions/email/ada%40example.com";

pub(crate) async fn stop(setting: &Setting, channel: Channel, address: &str) {
    let store = &setting.env.store;
    let strike = Strike {
        tenant: setting.tenant.clone(),
        channel,
        address_hash: store.address_key().hash(channel, address),
        masked: mask(channel, address),
        reason: SuppressionReason::OptedOut,
        code: "21610".to_owned(),
        provider: "twilio".into(),
        delivery_id: DeliveryId(uuid::Uuid::from_u128(7)),
        seen_at: "2099-01-01T00:00:00Z".parse().unwrap(),
    };
    store.suppressions().strike(&[strike]).await.unwrap();
}

fn put(path: &str, body: &Value) -> Ask {
    Ask::put(path).json(body)
}

#[tokio::test]
async fn an_operator_puts_an_address_on_the_list_changes_it_under_conditions_and_lifts_it() {
    on_gateway(async |setting| {
        setting.get(ADA).await.problem(404, "not-found");
        let made = setting
            .ask(put(ADA, &json!({"note": "by phone"})).key(&setting.operator))
            .await;
        assert_eq!(made.status, 201, "{made:?}");
        let etag = made.header("etag").unwrap().to_owned();
        let entry = made.json();
        assert_eq!(
            entry,
            json!({
                "channel": "email", "address_masked": "a…@example.com", "reason": "manual", "provider": null,
                "code": null, "delivery_id": null, "actor": "a test", "note": "by phone",
                "created_at": "2026-11-24T10:00:00Z", "expires_at": null,
            })
        );
        setting.advance(60);
        let again = setting.ask(put(ADA, &json!({"note": "by phone"}))).await;
        assert_eq!(
            (again.status, again.header("etag")),
            (200, Some(&*etag)),
            "the same wish changes nothing"
        );
        // Another spelling is the same address.
        let spelled = setting.get("/v1/suppressions/email/ADA%40Example.COM").await;
        assert_eq!(spelled.json(), entry);
        for empty in [put(ADA, &json!({})), put(ADA, &json!(null)), Ask::put(ADA)] {
            let same = setting.ask(empty).await;
            assert_eq!(
                (same.status, same.json()),
                (200, entry.clone()),
                "absent fields stay"
            );
        }
        let stale = put(ADA, &json!({})).header("if-match", "\"1\"");
        setting.ask(stale).await.problem(412, "precondition-failed");
        let fresh = put(ADA, &json!({"expires_at": "2026-11-24T12:00:00+01:00"})).header("if-match", &etag);
        let changed = setting.ask(fresh).await;
        assert_eq!(changed.status, 200);
        assert_eq!(changed.json()["expires_at"], "2026-11-24T11:00:00Z");
        assert_eq!(changed.json()["created_at"], "2026-11-24T10:00:00Z");
        assert_eq!(changed.json()["note"], "by phone");
        let cleared = setting
            .ask(put(ADA, &json!({"note": null, "expires_at": "2026-11-25"})))
            .await
            .json();
        assert_eq!(
            (&cleared["note"], &cleared["expires_at"]),
            (&json!(null), &json!("2026-11-25T00:00:00Z"))
        );
        setting
            .ask(put(ADA, &json!({})).header("if-none-match", "*"))
            .await
            .problem(412, "precondition-failed");
        setting
            .ask(Ask::delete(ADA).header("if-match", &etag))
            .await
            .problem(412, "precondition-failed");
        assert_eq!(
            setting.ask(Ask::delete(ADA).key(&setting.operator)).await.status,
            204
        );
        setting.ask(Ask::delete(ADA)).await.problem(404, "not-found");
        let missing = setting.get(ADA).await;
        assert_eq!(
            missing.json()["detail"],
            "the email address \"a…@example.com\" is not on the suppression list"
        );
    })
    .await;
}

#[tokio::test]
async fn an_expired_entry_is_not_shown() {
    on_gateway(async |setting| {
        let short = json!({"expires_at": "2026-11-24T10:01:00Z"});
        assert_eq!(setting.ask(put(ADA, &short)).await.status, 201);
        setting.advance(60);
        setting.get(ADA).await.problem(404, "not-found");
        assert_eq!(setting.get("/v1/suppressions").await.json()["items"], json!([]));
        assert_eq!(setting.ask(put(ADA, &json!({}))).await.status, 201);
    })
    .await;
}

#[tokio::test]
async fn wrong_fields_are_refused_by_name_and_viewers_change_nothing() {
    on_gateway(async |setting| {
        for (path, body, expected) in [
            (
                ADA,
                json!({"expires_at": "2026-11-24T10:00:00Z"}),
                "/expires_at range",
            ),
            (ADA, json!({"expires_at": "2026-11-24"}), "/expires_at range"),
            (ADA, json!({"expires_at": "soon"}), "/expires_at type"),
            (ADA, json!({"note": "x".repeat(501)}), "/note range"),
            (ADA, json!({"reason": "opted_out"}), "/reason unknown-field"),
            ("/v1/suppressions/fax/1", json!({}), "/channel type"),
            ("/v1/suppressions/email/nobody", json!({}), "/address format"),
            ("/v1/suppressions/sms/0151", json!({}), "/address format"),
            (
                "/v1/suppressions/email/a%E2%80%A6%40example.com",
                json!({}),
                "/address masked",
            ),
        ] {
            let refused = setting.ask(put(path, &body)).await;
            assert_eq!(refused.problem(422, "validation"), [expected], "{path} {body}");
        }
        let viewer = |ask: Ask| ask.key(&setting.viewer);
        for ask in [
            put(ADA, &json!({})),
            Ask::delete(ADA),
            Ask::post("/v1/suppressions/import").text("text/csv", "email,a@example.com\n".to_owned()),
        ] {
            setting.ask(viewer(ask)).await.problem(403, "forbidden");
        }
        assert_eq!(setting.get("/v1/suppressions").await.json()["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn no_role_ever_sees_the_address_in_the_list_the_user_or_the_audit_log() {
    on_gateway(async |setting| {
        stop(setting, Channel::Sms, "+4915112345678").await;
        let note = json!({"note": "ada@example.com asked for it"});
        assert_eq!(setting.ask(put(ADA, &note)).await.status, 201);
        let keys = [&setting.viewer, &setting.operator, &setting.admin];
        for key in keys {
            for path in ["/v1/suppressions", ADA, "/v1/users/u-42"] {
                let answer = setting.ask(Ask::get(path).key(key)).await;
                assert_eq!(answer.status, 200);
                let text = answer.json().to_string();
                assert!(
                    !text.contains("ada@") && !text.contains("+4915112345678"),
                    "{path}: {text}"
                );
            }
        }
        let user = setting
            .ask(Ask::get("/v1/users/u-42").key(&setting.viewer))
            .await
            .json();
        assert_eq!(user["phone_suppressed"]["reason"], "opted_out");
        assert_eq!(user["email_suppressed"]["reason"], "manual");
        assert_eq!(user["email_suppressed"]["note"], "a…@example.com asked for it");
        let log = setting.get("/v1/audit").await.json();
        assert_eq!(log["items"][0]["action"], "suppress");
        assert_eq!(log["items"][0]["route"], "/v1/suppressions/email/a…@example.com");
        let foreign = setting
            .ask(Ask::get("/v1/suppressions").key(&setting.foreign))
            .await;
        assert_eq!(foreign.json()["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn the_list_is_filtered_by_channel_and_reason_and_paged() {
    on_gateway(async |setting| {
        for n in 0..3 {
            setting.advance(1);
            stop(setting, Channel::Sms, &format!("+491511234567{n}")).await;
        }
        assert_eq!(setting.ask(put(ADA, &json!({}))).await.status, 201);
        let list = async |query: &str| setting.get(&format!("/v1/suppressions?{query}")).await.json();
        let first = list("channel=sms&limit=2").await;
        assert_eq!(first["items"].as_array().unwrap().len(), 2);
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = list(&format!("channel=sms&limit=2&cursor={cursor}")).await;
        assert_eq!(second["items"][0]["address_masked"], "+49…70");
        assert_eq!(second["next_cursor"], json!(null));
        let both = list("reason=manual&reason=complaint").await;
        assert_eq!(both["items"].as_array().unwrap().len(), 1);
        for query in ["channel=fax", "reason=gone", "limit=0", "cursor=x", "nonsense=1"] {
            setting
                .get(&format!("/v1/suppressions?{query}"))
                .await
                .problem(422, "validation");
        }
    })
    .await;
}

#[tokio::test]
async fn a_stop_keeps_its_note_and_its_cause_when_the_address_is_put_again_without_fields() {
    on_gateway(async |setting| {
        let number = "/v1/suppressions/sms/%2B4915112345678";
        stop(setting, Channel::Sms, "+4915112345678").await;
        let noted = setting
            .ask(put(number, &json!({"note": "also by phone"})))
            .await
            .json();
        assert_eq!(noted["reason"], "opted_out");
        for ask in [
            Ask::put(number),
            put(number, &json!({})),
            put(number, &json!({"expires_at": "2027-01-31"})),
        ] {
            let again = setting.ask(ask).await;
            assert_eq!((again.status, again.json()), (200, noted.clone()));
        }
        assert_eq!(
            (
                &noted["provider"],
                &noted["code"],
                &noted["note"],
                &noted["expires_at"]
            ),
            (
                &json!("twilio"),
                &json!("21610"),
                &json!("also by phone"),
                &json!(null)
            )
        );
    })
    .await;
}

#[tokio::test]
async fn a_wrong_time_is_refused_at_every_route_with_field_value_and_both_forms() {
    on_gateway(async |setting| {
        let says = "expected a time such as 2027-01-31T10:00:00Z, or a date such as 2027-01-31, which begins at 00:00 \
            UTC, not \"tomorrow\"";
        let filter = json!({"filter": {"from": "tomorrow"}});
        for ask in [
            put(ADA, &json!({"expires_at": "tomorrow"})),
            Ask::get("/v1/deliveries?from=tomorrow"),
            Ask::get("/v1/deliveries?to=tomorrow"),
            Ask::get("/v1/dlq?from=tomorrow"),
            Ask::get("/v1/dlq?to=tomorrow"),
            Ask::post("/v1/dlq/discard").json(&filter),
        ] {
            let refused = setting.ask(ask).await;
            let text = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
            assert!(refused.status == 422 && text.ends_with(says), "{text}");
        }
        let imported = setting
            .ask(Ask::post("/v1/suppressions/import").text("text/csv", "email,a@example.com,,tomorrow\n"))
            .await
            .json();
        assert_eq!(imported["errors"][0]["message"], says);
        for query in ["/v1/deliveries?from=2026-11-24", "/v1/dlq?to=2026-11-24"] {
            assert_eq!(setting.get(query).await.status, 200, "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_users_page_shows_each_address_masked_and_why_it_takes_no_messages() {
    on_gateway(async |setting| {
        stop(setting, Channel::Sms, "+4915112345678").await;
        for (token, platform) in [("token-of-ada-1", "android"), ("token-of-ada-2", "ios")] {
            let device = Ask::put(&format!("/v1/users/u-42/devices/{token}"));
            let put = setting.ask(device.json(&json!({"platform": platform}))).await;
            assert!(put.status < 300, "{put:?}");
        }
        let session = sign_in(setting, &setting.viewer).await;
        let shown = setting.ask(page("/users/u-42", &session)).await;
        assert_eq!(shown.status, 200);
        let text = shown.text();
        for part in [
            "a…@example.com",
            "+49…78",
            "opted_out",
            "twilio",
            "21610",
            "2026-11-24 10:00:00",
            "<small>android</small></td>",
            "<bdi>…da-1</bdi>",
            "<small>ios</small></td>",
            "<bdi>…da-2</bdi>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            !text.contains("ada@") && !text.contains("+4915112345678"),
            "{text}"
        );
        let unknown = setting.ask(page("/users/nobody", &session)).await;
        assert_eq!(unknown.status, 404);
    })
    .await;
}
