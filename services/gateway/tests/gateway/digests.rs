//! Catalogs with digests and overflows, and their simulation.

use carillon_domain::{
    Channel, TenantId,
    catalog::{LimitDef, LimitScope},
    decide::{LimitCheck, LimitVerdict},
};
use carillon_store::templates::{TemplateDraft, TemplateName};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Ask, Setting, on_gateway};

fn catalog(digest: &Value) -> Value {
    let of = |order: &[&str]| json!({"category": "alerts", "channels": {"order": order}});
    json!({
        "types": {"PriceDrop": of(&["email", "sms"]), "Roundup": of(&["email"]),
            "Offer": {"category": "offers", "channels": {"mode": "fallback", "order": ["email", "sms"]}}},
        "categories": {"alerts": {"digest": digest},
            "offers": {"overflow": "downgrade", "limits": [{"channel": "email", "max": 1, "per": "1h"}]}},
    })
}

async fn put(setting: &Setting, catalog: &Value) -> Answer {
    setting.ask(Ask::put("/v1/catalog").json(catalog)).await
}

async fn publish(setting: &Setting, id: &str) {
    let draft = TemplateDraft {
        name: TemplateName {
            id: id.to_owned(),
            locale: None,
        },
        parts: [("subject", "{{count}}"), ("text", "{{count}}")]
            .map(|(part, text)| (part.to_owned(), text.to_owned()))
            .into(),
    };
    let templates = setting.env.store.templates();
    templates
        .apply(&TenantId::default(), &[draft], &[].into())
        .await
        .unwrap();
}

async fn simulated(setting: &Setting, event_type: &str) -> Value {
    let event = json!({"event": {"type": event_type, "recipients": [{"user_id": "u-42"}], "data": {}},
        "at": "2026-11-24T10:20:00Z"});
    let answer = setting.ask(Ask::post("/v1/simulate").json(&event)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["decisions"].clone()
}

#[tokio::test]
async fn a_digest_without_a_template_is_refused_with_its_field() {
    on_gateway(async |setting| {
        let digest = json!({"type": "Roundup", "every": "1h"});
        let refused = put(setting, &catalog(&digest)).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!(
            refused.json()["errors"],
            json!([{"pointer": "/categories/alerts/digest/type", "code": "missing-template",
                "message": "expected a type whose template Roundup/email is published"}])
        );
        publish(setting, "Roundup/email").await;
        assert_eq!(put(setting, &catalog(&digest)).await.status, 200);
        let read = setting.get("/v1/catalog").await.json();
        assert_eq!(
            read["categories"]["alerts"]["digest"],
            json!({"type": "Roundup", "every": "1h", "max": 50})
        );
    })
    .await;
}

#[tokio::test]
async fn a_catalog_with_a_digest_or_limit_that_cannot_be_meant_is_refused_with_its_fields() {
    on_gateway(async |setting| {
        let mut wrong = catalog(&json!({"type": "Offer", "every": "0s", "max": 0}));
        wrong["categories"]["offers"]["limits"][0]["max"] = json!(0);
        let refused = put(setting, &wrong).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        let pointers: Vec<Value> = refused.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["pointer"].clone())
            .collect();
        let expected = [
            "/categories/alerts/digest/every",
            "/categories/alerts/digest/max",
            "/categories/alerts/digest/type",
            "/categories/offers/limits/0/max",
        ];
        assert_eq!(pointers, expected);
        let mut unknown = catalog(&json!(null));
        unknown["categories"]["offers"]["overflow"] = json!("queue");
        let refused = put(setting, &unknown).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        let error = &refused.json()["errors"][0];
        assert_eq!(error["pointer"], "/categories/offers/overflow");
        assert_eq!(
            error["message"],
            "expected drop, defer, downgrade or digest, not \"queue\""
        );
    })
    .await;
}

#[tokio::test]
async fn a_simulation_explains_digests_and_downgrades_and_counts_nothing() {
    on_gateway(async |setting| {
        publish(setting, "Roundup/email").await;
        let catalog = catalog(&json!({"type": "Roundup", "every": "1h"}));
        assert_eq!(put(setting, &catalog).await.status, 200);
        let decisions = simulated(setting, "PriceDrop").await;
        let email = &decisions[0];
        assert_eq!(
            (&email["outcome"], &email["reason"]),
            (&json!("digest"), &json!("digest"))
        );
        assert_eq!(email["until"], "2026-11-24T11:00:00Z");
        let digest = email["digest_id"].as_str().unwrap();
        let sentence = email["sentence"].as_str().unwrap();
        assert!(sentence.starts_with("Collected until "), "{sentence}");
        assert!(
            sentence.ends_with(&format!(", in digest {digest}.")),
            "{sentence}"
        );
        assert_eq!(decisions[1]["outcome"], "send");
        assert_eq!(
            simulated(setting, "PriceDrop").await[0]["digest_id"],
            email["digest_id"]
        );

        let limit = LimitDef {
            channel: Channel::Email,
            max: 1,
            per: std::time::Duration::from_hours(1),
        };
        let id = Uuid::now_v7();
        let taken = LimitCheck {
            id,
            message: id,
            key: "default|u-42|offers|email|0".to_owned(),
            scope: LimitScope::Category,
            limit,
        };
        assert_eq!(simulated(setting, "Offer").await[0]["outcome"], "send");
        let at = "2026-11-24T10:00:00Z".parse().unwrap();
        assert_eq!(setting.quotas.take(&[taken], at).await, [LimitVerdict::Allowed]);
        for _ in 0..2 {
            let decisions = simulated(setting, "Offer").await;
            let word = |index: usize, name: &str| decisions[index][name].as_str().unwrap().to_owned();
            assert_eq!(
                (word(0, "outcome"), word(0, "reason")),
                ("drop".into(), "over_limit".into())
            );
            assert!(
                word(0, "sentence").ends_with("so sms is used instead."),
                "{decisions}"
            );
            assert_eq!(
                (word(1, "outcome"), word(1, "reason")),
                ("send".into(), "downgraded".into())
            );
        }
    })
    .await;
}
