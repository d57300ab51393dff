//! `GET /v1/decisions`, quiet hours over the API, and the decisions on a user's page.

use carillon_domain::{
    Channel,
    decide::{Decision, Outcome, Reason, Steps},
    status::EventVerdict,
};
use carillon_store::read_model::{EventRow, Projection};
use serde_json::json;

use crate::{
    dashboard::{page, sign_in},
    seed::{origin, start},
    support::{Ask, Setting, on_gateway},
};

pub(crate) async fn decided(setting: &Setting) {
    let decision = |user: Option<&str>, outcome, reason, sentence: &str| Decision {
        recipient: user.unwrap_or("guest@example.com").to_owned(),
        user_id: user.map(Into::into),
        channel: Channel::Email,
        category: "transactional".into(),
        outcome,
        reason,
        sentence: sentence.to_owned(),
        steps: Steps::default(),
        address_hash: None,
        to_masked: None,
        until: None,
        digest_id: None,
        after: Vec::new(),
        delivery_id: None,
    };
    let off = "Not sent: the user turned off OrderShipped by email.";
    let event = EventRow {
        origin: origin("notifications.events", 7),
        part: 0,
        tenant: setting.tenant.clone(),
        event_id: "e-7".into(),
        source: "/shop/orders".into(),
        event_type: "OrderShipped".into(),
        at: start(),
        verdict: EventVerdict::Routed,
        via_gateway: true,
        parts: 1,
        release: None,
        due: None,
        user_id: None,
        event: None,
        decisions: vec![
            decision(Some("u-42"), Outcome::Suppress, Reason::OptedOutType, off),
            decision(
                None,
                Outcome::Drop,
                Reason::OverLimit,
                "Dropped: guest@example.com has had enough.",
            ),
        ],
    };
    let projection = Projection {
        events: vec![event],
        ..Projection::default()
    };
    setting.env.store.read_model().apply(&projection).await.unwrap();
}

#[tokio::test]
async fn decisions_are_listed_with_reason_and_sentence_sent_or_not() {
    on_gateway(async |setting| {
        decided(setting).await;
        let all = setting.get("/v1/decisions").await.json();
        assert_eq!(all["items"].as_array().unwrap().len(), 2);
        assert_eq!(all["next_cursor"], json!(null));
        let of_user = setting
            .get("/v1/decisions?user=u-42&event=e-7&outcome=suppress&reason=opted_out_type")
            .await;
        let only = &of_user.json()["items"][0];
        assert_eq!(
            (
                &only["event_id"],
                &only["outcome"],
                &only["reason"],
                &only["delivery_id"]
            ),
            (
                &json!("e-7"),
                &json!("suppress"),
                &json!("opted_out_type"),
                &json!(null)
            )
        );
        assert_eq!(
            only["sentence"],
            "Not sent: the user turned off OrderShipped by email."
        );
        let guest = setting.get("/v1/decisions?reason=over_limit").await.text();
        assert!(!guest.contains("guest@example.com"), "{guest}");
        let none = setting.get("/v1/decisions?user=u-43").await.json();
        assert_eq!(none["items"], json!([]));
        let foreign = setting.ask(Ask::get("/v1/decisions").key(&setting.foreign)).await;
        assert_eq!(foreign.json()["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_wrong_filter_of_decisions_is_refused_with_its_place_and_value() {
    on_gateway(async |setting| {
        for (query, expected) in [
            ("outcome=sent", "/outcome"),
            ("reason=because", "/reason"),
            ("channel=fax", "/channel"),
            ("from=yesterday", "/from"),
            ("limit=0", "/limit"),
            ("cursor=x", "/cursor"),
            ("users=u-42", "/users"),
        ] {
            let refused = setting.get(&format!("/v1/decisions?{query}")).await;
            let errors = refused.problem(422, "validation");
            assert!(errors[0].starts_with(expected), "{query}: {errors:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_page_of_a_user_says_why_the_user_heard_nothing() {
    on_gateway(async |setting| {
        decided(setting).await;
        let cookie = sign_in(setting, &setting.viewer).await;
        let text = setting.ask(page("/users/u-42", &cookie)).await.text();
        assert!(
            text.contains("Not sent: the user turned off OrderShipped by email."),
            "{text}"
        );
        assert!(
            text.contains("/events/e%2D7?source=%2Fshop%2Forders") || text.contains("/events/e-7?source="),
            "{text}"
        );
        assert!(!text.contains("has had enough"));
    })
    .await;
}

#[tokio::test]
async fn quiet_hours_are_written_inherited_and_set_to_none() {
    on_gateway(async |setting| {
        const PATH: &str = "/v1/users/u-42/preferences";
        let night = json!([{"days": ["fri", "sat"], "from": "22:00", "to": "07:00"}]);
        let put = setting
            .ask(Ask::put(PATH).json(&json!({"quiet_hours": night})))
            .await;
        assert_eq!((put.status, &put.json()["quiet_hours"]), (200, &night));
        for (patch, expected) in [
            (json!({"global": {"sms": false}}), night.clone()),
            (json!({"quiet_hours": []}), json!([])),
            (json!({"quiet_hours": null}), json!(null)),
        ] {
            let patched = setting.ask(Ask::patch(PATH).json(&patch)).await;
            assert_eq!(patched.status, 200, "{patched:?}");
            assert_eq!(setting.get(PATH).await.json()["quiet_hours"], expected, "{patch}");
        }
    })
    .await;
}

#[tokio::test]
async fn quiet_hours_that_cannot_be_meant_are_refused_for_a_user_and_in_the_catalog() {
    on_gateway(async |setting| {
        for (windows, expected) in [
            (json!([{"from": "08:00", "to": "08:00"}]), "/quiet_hours/0 range"),
            (
                json!([{"days": ["mon"], "from": "22:00", "to": "07:00"}, {"days": ["tue"], "from": "06:00", "to": "08:00"}]),
                "/quiet_hours/1 overlap",
            ),
            (
                json!([{"days": ["mon", "mon"], "from": "22:00", "to": "07:00"}]),
                "/quiet_hours/0/days/1 duplicate",
            ),
            (
                json!([{"from": "00:00", "to": "12:00"}, {"from": "12:00", "to": "00:00"}]),
                "/quiet_hours range",
            ),
        ] {
            for method in [Ask::put, Ask::patch] {
                let body = json!({"quiet_hours": windows});
                let refused = setting.ask(method("/v1/users/u-42/preferences").json(&body)).await;
                assert_eq!(refused.problem(422, "validation"), [expected]);
            }
            let mut catalog = crate::support::catalog();
            catalog["quiet_hours"] = windows;
            let refused = setting.ask(Ask::put("/v1/catalog").json(&catalog)).await;
            assert_eq!(refused.problem(422, "validation"), [expected]);
        }
        let mut catalog = crate::support::catalog();
        catalog["timezone"] = json!("Europe/Bern");
        let refused = setting.ask(Ask::put("/v1/catalog").json(&catalog)).await;
        assert_eq!(refused.problem(422, "validation"), ["/timezone format"]);
        assert!(refused.text().contains("Europe/Bern"));
        catalog["timezone"] = json!("Europe/Berlin");
        catalog["quiet_hours"] = json!([{"from": "22:00", "to": "07:00"}]);
        let put = setting.ask(Ask::put("/v1/catalog").json(&catalog)).await;
        assert_eq!(put.status, 200, "{put:?}");
        assert_eq!(setting.get("/v1/catalog").await.json()["timezone"], "Europe/Berlin");
    })
    .await;
}

#[tokio::test]
async fn a_simulation_in_quiet_hours_says_until_when_the_message_waits() {
    on_gateway(async |setting| {
        let event = crate::support::shipped("e-1");
        let as_if = json!({"preferences": {"quiet_hours": [{"from": "22:00", "to": "07:00"}]}});
        let body = json!({"event": event, "at": "2026-11-27T23:00:00Z", "as_if": as_if});
        let told = setting.ask(Ask::post("/v1/simulate").json(&body)).await.json();
        let email = &told["decisions"][0];
        assert_eq!(
            (&email["outcome"], &email["reason"], &email["until"]),
            (
                &json!("defer"),
                &json!("quiet_hours"),
                &json!("2026-11-28T07:00:00Z")
            )
        );
        assert_eq!(
            email["sentence"],
            "Held back until 07:00, 28 Nov (UTC): quiet hours."
        );
        assert_eq!(
            email["steps"].as_array().unwrap().last().unwrap()["result"],
            "wait"
        );
    })
    .await;
}
