//! Users, devices and preferences.

use carillon_domain::{Channel, DeliveryId, contact::mask, suppression::SuppressionReason};
use carillon_store::suppressions::Strike;
use serde_json::json;

use crate::support::{Ask, on_gateway};

#[tokio::test]
async fn a_user_is_made_read_replaced_and_erased() {
    on_gateway(async |setting| {
        let body = json!({
            "email": "bob@example.com", "phone": "+33612345678", "locale": "fr-CA", "timezone": "America/Montreal",
            "devices": [{"platform": "android", "token": "token-1"}],
        });
        let made = setting.ask(Ask::put("/v1/users/bob").key(&setting.operator).json(&body)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let read = setting.get("/v1/users/bob?reveal=true").await;
        assert_eq!(read.status, 200);
        assert_eq!(read.header("etag"), made.header("etag"));
        for field in ["email", "phone", "locale", "timezone", "devices"] {
            assert_eq!(read.json()[field], body[field], "{field}");
        }
        let replaced = setting.ask(Ask::put("/v1/users/bob").json(&json!({"email": "rob@example.com"}))).await;
        assert_eq!(replaced.status, 200);
        let read = setting.get("/v1/users/bob?reveal=true").await.json();
        assert_eq!((&read["email"], &read["phone"]), (&json!("rob@example.com"), &json!(null)));
        assert_eq!(read["devices"][0]["token"], "token-1", "absent devices stay");

        assert_eq!(setting.ask(Ask::delete("/v1/users/bob")).await.status, 204);
        setting.get("/v1/users/bob").await.problem(404, "not-found");
        setting.ask(Ask::delete("/v1/users/bob")).await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn a_stale_version_of_a_user_changes_nothing() {
    on_gateway(async |setting| {
        let etag = setting
            .get("/v1/users/u-42")
            .await
            .header("etag")
            .unwrap()
            .to_owned();
        let put = |etag: &str, email: &str| {
            Ask::put("/v1/users/u-42")
                .header("if-match", etag)
                .json(&json!({"email": email}))
        };
        assert_eq!(setting.ask(put(&etag, "new@example.com")).await.status, 200);
        setting
            .ask(put(&etag, "stale@example.com"))
            .await
            .problem(412, "precondition-failed");
        setting
            .ask(put("nonsense", "stale@example.com"))
            .await
            .problem(400, "malformed-header");
        assert_eq!(
            setting.get("/v1/users/u-42?reveal=true").await.json()["email"],
            "new@example.com"
        );
    })
    .await;
}

#[tokio::test]
async fn wrong_fields_of_a_user_are_named() {
    on_gateway(async |setting| {
        let put = async |body| setting.ask(Ask::put("/v1/users/bob").json(&body)).await;
        let body = json!({
            "email": "nobody", "phone": "12", "locale": "!", "timezone": "Mars/Base",
            "devices": [{"platform": "web", "token": ""}],
        });
        let expected = [
            "/email format",
            "/phone format",
            "/locale format",
            "/timezone format",
            "/devices/0/token format",
        ];
        assert_eq!(put(body).await.problem(422, "validation"), expected);
        for (body, expected) in [
            (json!({"mail": "a@b.example"}), "/mail unknown-field"),
            (json!({"email": 1}), "/email type"),
            (
                json!({"devices": [{"platform": "fridge", "token": "t"}]}),
                "/devices/0/platform type",
            ),
        ] {
            assert_eq!(put(body).await.problem(422, "validation"), [expected]);
        }
        setting
            .ask(Ask::put("/v1/users/bob").text("application/json", "{"))
            .await
            .problem(400, "malformed-json");
        let strange = Ask::put("/v1/users/a%07b").json(&json!({}));
        assert_eq!(
            setting.ask(strange).await.problem(422, "validation"),
            ["/id format"]
        );
        setting.get("/v1/users/bob").await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn devices_come_and_go_one_by_one() {
    on_gateway(async |setting| {
        let put = |user: &str| {
            Ask::put(&format!("/v1/users/{user}/devices/tok%3Aen")).json(&json!({"platform": "ios"}))
        };
        assert_eq!(setting.ask(put("u-42")).await.status, 201);
        assert_eq!(setting.ask(put("u-42")).await.status, 200);
        let user = setting.get("/v1/users/u-42?reveal=true").await.json();
        assert_eq!(user["devices"], json!([{"platform": "ios", "token": "tok:en"}]));
        setting.ask(put("nobody")).await.problem(404, "not-found");
        let wrong = Ask::put("/v1/users/u-42/devices/x").json(&json!({"platform": "fridge"}));
        assert_eq!(
            setting.ask(wrong).await.problem(422, "validation"),
            ["/platform type"]
        );
        let delete = || Ask::delete("/v1/users/u-42/devices/tok%3Aen");
        assert_eq!(setting.ask(delete()).await.status, 204);
        setting.ask(delete()).await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn a_suppressed_address_shows_its_cause_and_putting_it_again_lifts_a_providers_verdict() {
    on_gateway(async |setting| {
        let body = json!({
            "email": "bob@example.com", "phone": "+33612345678",
            "devices": [{"platform": "android", "token": "token-1"}],
        });
        let put = || Ask::put("/v1/users/bob").key(&setting.operator).json(&body);
        assert_eq!(setting.ask(put()).await.status, 201);
        let fresh = setting.get("/v1/users/bob").await.json();
        assert!(fresh.get("email_suppressed").is_none() && fresh["devices"][0].get("suppressed").is_none());

        let delivery_id = DeliveryId(uuid::Uuid::from_u128(7));
        let store = &setting.env.store;
        let strike = |channel, address: &str, provider: &str, code: &str, reason| Strike {
            tenant: setting.tenant.clone(),
            channel,
            address_hash: store.address_key().hash(channel, address),
            masked: mask(channel, address),
            code: code.to_owned(),
            reason,
            provider: provider.into(),
            delivery_id,
            seen_at: "2099-01-01T00:00:00Z".parse().unwrap(),
        };
        let all = [
            strike(
                Channel::Email,
                "bob@example.com",
                "smtp",
                "5.1.1",
                SuppressionReason::HardBounce,
            ),
            strike(
                Channel::Sms,
                "+33612345678",
                "twilio",
                "21610",
                SuppressionReason::OptedOut,
            ),
            strike(
                Channel::Push,
                "token-1",
                "fcm",
                "UNREGISTERED",
                SuppressionReason::DeadToken,
            ),
        ];
        store.suppressions().strike(&all).await.unwrap();
        let shown = setting.get("/v1/users/bob").await.json();
        for (entry, reason, code, provider) in [
            (&shown["email_suppressed"], "hard_bounce", "5.1.1", "smtp"),
            (&shown["phone_suppressed"], "opted_out", "21610", "twilio"),
            (
                &shown["devices"][0]["suppressed"],
                "dead_token",
                "UNREGISTERED",
                "fcm",
            ),
        ] {
            assert_eq!(
                (&entry["reason"], &entry["code"]),
                (&json!(reason), &json!(code)),
                "{shown}"
            );
            assert_eq!(entry["provider"], provider);
            assert_eq!(entry["delivery_id"], delivery_id.to_string());
            assert!(entry["created_at"].is_string(), "{entry}");
        }

        assert_eq!(setting.ask(put()).await.status, 200);
        let lifted = setting.get("/v1/users/bob").await.json();
        assert_eq!(
            (&lifted["email_suppressed"], &lifted["devices"][0]["suppressed"]),
            (&json!(null), &json!(null))
        );
        assert_eq!(
            lifted["phone_suppressed"]["reason"], "opted_out",
            "a profile does not undo a STOP"
        );
        let consent = |path: &str| Ask::delete(&format!("/v1/users/{path}")).key(&setting.operator);
        let viewer = Ask::delete("/v1/users/bob/opt-outs/sms").key(&setting.viewer);
        setting.ask(viewer).await.problem(403, "forbidden");
        setting
            .ask(consent("bob/opt-outs/fax"))
            .await
            .problem(422, "validation");
        setting
            .ask(consent("bob/opt-outs/email"))
            .await
            .problem(404, "not-found");
        setting
            .ask(consent("nobody/opt-outs/sms"))
            .await
            .problem(404, "not-found");
        assert_eq!(setting.ask(consent("bob/opt-outs/sms")).await.status, 204);
        assert_eq!(
            setting.get("/v1/users/bob").await.json()["phone_suppressed"],
            json!(null)
        );
    })
    .await;
}

#[tokio::test]
async fn preferences_are_replaced_merged_and_guarded() {
    on_gateway(async |setting| {
        const PATH: &str = "/v1/users/u-42/preferences";
        let fresh = setting.get(PATH).await;
        assert_eq!(fresh.status, 200);
        let unset = fresh.header("etag").unwrap();

        let body = json!({
            "global": {"email": true, "sms": false},
            "categories": {"marketing": {"email": false}},
            "quiet_hours": [{"days": ["mon"], "from": "22:00", "to": "07:00"}],
        });
        let put = setting
            .ask(Ask::put(PATH).header("if-match", unset).json(&body))
            .await;
        assert_eq!(
            put.status, 200,
            "what was read is written by that version: {put:?}"
        );
        setting
            .ask(Ask::put(PATH).header("if-match", unset).json(&body))
            .await
            .problem(412, "precondition-failed");

        let patch = json!({"global": {"sms": null, "push": true}, "types": {"OrderShipped": {"sms": true}}});
        let patched = setting.ask(Ask::patch(PATH).json(&patch)).await;
        assert_eq!(patched.status, 200, "{patched:?}");
        let read = setting.get(PATH).await;
        assert_eq!(
            read.json()["global"],
            json!({"email": true, "push": true}),
            "null inherits again"
        );
        assert_eq!(read.json()["categories"], body["categories"]);
        assert_eq!(read.json()["types"], patch["types"]);
        let stale = Ask::patch(PATH)
            .header("if-match", "\"1\"")
            .json(&json!({"types": null}));
        setting.ask(stale).await.problem(412, "precondition-failed");
    })
    .await;
}

#[tokio::test]
async fn wrong_preferences_and_those_of_an_unknown_user_are_refused() {
    on_gateway(async |setting| {
        for body in [
            json!({"global": {"fax": true}}),
            json!({"global": {"email": "yes"}}),
            json!({"everything": false}),
            json!({"quiet_hours": [{"days": ["someday"], "from": "22:00", "to": "07:00"}]}),
            json!({"quiet_hours": [{"days": ["mon"], "from": "25:00", "to": "07:00"}]}),
        ] {
            for method in [Ask::put, Ask::patch] {
                setting
                    .ask(method("/v1/users/u-42/preferences").json(&body))
                    .await
                    .problem(422, "validation");
            }
        }
        let path = "/v1/users/nobody/preferences";
        setting.get(path).await.problem(404, "not-found");
        setting
            .ask(Ask::put(path).json(&json!({})))
            .await
            .problem(404, "not-found");
        setting
            .ask(Ask::patch(path).json(&json!({})))
            .await
            .problem(404, "not-found");
    })
    .await;
}
