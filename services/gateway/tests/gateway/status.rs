//! The views of events, deliveries and dead letters.

use carillon_domain::{Channel, Clock as _, DeliveryStatus};
use carillon_store::{audit::Acceptance, channel_holds::ChannelHold};
use serde_json::{Value, json};

use crate::{
    dashboard::{page, sign_in},
    seed::{dead_letter, delivery},
    support::{Ask, on_gateway, shipped},
};

const SENT: [(u32, DeliveryStatus); 3] = [
    (0, DeliveryStatus::Queued),
    (1, DeliveryStatus::Sending),
    (1, DeliveryStatus::Sent),
];
const DEAD: [(u32, DeliveryStatus); 3] = [
    (0, DeliveryStatus::Queued),
    (1, DeliveryStatus::Sending),
    (1, DeliveryStatus::DeadLettered),
];

fn each<'a>(list: &'a Value, field: &str) -> Vec<&'a Value> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item[field])
        .collect()
}

#[tokio::test]
async fn an_event_is_never_unknown_after_it_was_accepted() {
    on_gateway(async |setting| {
        setting.get("/v1/events/e-1").await.problem(404, "not-found");
        assert_eq!(setting.post(&shipped("e-1")).await.status, 202);
        let event = setting.get("/v1/events/e-1").await;
        assert_eq!(event.status, 200);
        let expected = json!({
            "event_id": "e-1", "source": "/shop/orders", "type": "OrderShipped", "status": "accepted",
            "event": null, "decisions": [], "deliveries": [], "masked": true,
        });
        assert_eq!(event.json(), expected);
        let foreign = Ask::get("/v1/events/e-1").key(&setting.foreign);
        setting.ask(foreign).await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn an_event_id_that_several_sources_use_needs_the_source() {
    on_gateway(async |setting| {
        assert_eq!(setting.post(&shipped("e-1")).await.status, 202);
        let mut other = shipped("e-1");
        other["source"] = json!("/elsewhere");
        assert_eq!(setting.post(&other).await.status, 202);
        setting
            .get("/v1/events/e-1")
            .await
            .problem(409, "ambiguous-event");
        let one = setting.get("/v1/events/e-1?source=%2Felsewhere").await;
        assert_eq!((one.status, &one.json()["source"]), (200, &json!("/elsewhere")));
    })
    .await;
}

#[tokio::test]
async fn a_decided_event_shows_its_deliveries() {
    on_gateway(async |setting| {
        let id = delivery(setting, 7, &SENT).await;
        let event = setting.get("/v1/events/order-7").await.json();
        assert_eq!(event["status"], "routed");
        assert_eq!(event["event"]["data"]["order_id"], "7");
        assert_eq!(event["deliveries"][0]["id"], json!(id));
        assert_eq!(event["deliveries"][0]["status"], "sent");
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_waits_for_another_attempt_shows_its_due_time_until_then() {
    use DeliveryStatus::{Queued, Retrying, Sending};

    on_gateway(async |setting| {
        let waiting = [(0, Queued), (1, Sending), (1, Retrying)];
        let id = delivery(setting, 1, &waiting).await.0;
        let shown = setting.get(&format!("/v1/deliveries/{id}")).await.json();
        let due = "2026-11-24T10:16:02Z";
        assert_eq!(
            (&shown["status"], &shown["next_attempt_at"]),
            (&json!("retrying"), &json!(due))
        );
        let steps = &shown["timeline"];
        assert_eq!(
            (&steps[2]["due_at"], &steps[1]["due_at"]),
            (&json!(due), &Value::Null)
        );
        let listed = setting.get("/v1/deliveries?status=retrying").await.json();
        assert_eq!(listed["items"][0]["next_attempt_at"], due, "{listed}");
        let event = setting.get("/v1/events/order-1").await.json();
        assert_eq!(event["deliveries"][0]["next_attempt_at"], due, "{event}");
        let cookie = sign_in(setting, &setting.viewer).await;
        for path in ["/deliveries", "/events/order-1"] {
            let shown = setting.ask(page(path, &cookie)).await.text();
            assert!(shown.contains("2026-11-24 10:16:02"), "{path}: {shown}");
        }
        let shown = setting
            .ask(page(&format!("/deliveries/{id}"), &cookie))
            .await
            .text();
        assert!(
            shown.contains("<dt>Next attempt</dt>") && shown.contains("2026-11-24 10:16:02"),
            "{shown}"
        );

        setting.advance(3_600);
        let overdue = setting.get(&format!("/v1/deliveries/{id}")).await.json();
        assert_eq!(
            (&overdue["status"], &overdue["next_attempt_at"]),
            (&json!("retrying"), &Value::Null),
            "a time that has passed is no time of the next attempt"
        );
        let listed = setting.get("/v1/deliveries?status=retrying").await.json();
        assert_eq!(listed["items"][0]["next_attempt_at"], Value::Null, "{listed}");
        let before = setting
            .get(&format!("/v1/deliveries/{id}?as_of=2026-11-24T10:16:01Z"))
            .await
            .json();
        assert_eq!(before["next_attempt_at"], due, "it was to come then");

        let under_way = [(0, Queued), (1, Sending), (1, Retrying), (2, Sending)];
        let id = delivery(setting, 2, &under_way).await.0;
        let shown = setting.get(&format!("/v1/deliveries/{id}")).await.json();
        assert_eq!(
            (&shown["status"], &shown["next_attempt_at"]),
            (&json!("sending"), &Value::Null)
        );
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_waits_for_a_closed_account_shows_the_cause_and_the_opening_time() {
    use DeliveryStatus::{Queued, Sending};

    on_gateway(async |setting| {
        let queued = delivery(setting, 1, &[(0, Queued)]).await.0;
        let sent = delivery(setting, 2, &[(0, Queued), (1, Sending)]).await.0;
        let holds = setting.env.store.channel_holds();
        let hold = |seconds: Option<i64>| ChannelHold {
            channel: Channel::Email,
            cause: "the provider account smtp is parked: the provider refuses the account".to_owned(),
            ends_at: seconds.map(|seconds| setting.clock.now() + chrono::TimeDelta::seconds(seconds)),
        };
        let process = uuid::Uuid::now_v7();
        holds.put(process, &hold(Some(90))).await.unwrap();
        let until = setting.clock.now() + chrono::TimeDelta::seconds(90);
        let until = until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let shown = setting.get(&format!("/v1/deliveries/{queued}")).await.json();
        let detail =
            format!("the provider account smtp is parked: the provider refuses the account until {until}");
        let waiting = (&json!("no_open_account"), &json!(detail));
        assert_eq!((&shown["reason"], &shown["detail"]), waiting);
        assert_eq!(shown["next_attempt_at"].as_str().unwrap()[..19], until[..19]);
        let other = setting.get(&format!("/v1/deliveries/{sent}")).await.json();
        assert_eq!(
            (&other["reason"], &other["next_attempt_at"]),
            (&Value::Null, &Value::Null)
        );
        let listed = setting.get("/v1/deliveries?status=queued").await.json();
        let listed = &listed["items"][0];
        assert_eq!((&listed["reason"], &listed["detail"]), waiting);
        assert_eq!(listed["next_attempt_at"], shown["next_attempt_at"]);
        let event = setting.get("/v1/events/order-1").await.json();
        let of_event = &event["deliveries"][0];
        assert_eq!((&of_event["reason"], &of_event["detail"]), waiting);
        let cookie = sign_in(setting, &setting.viewer).await;
        for path in ["/deliveries", &format!("/deliveries/{queued}")] {
            let shown = setting.ask(page(path, &cookie)).await.text();
            assert!(shown.contains(&detail), "{path}: {shown}");
        }

        holds.put(process, &hold(None)).await.unwrap();
        let shown = setting.get(&format!("/v1/deliveries/{queued}")).await.json();
        assert!(
            shown["detail"]
                .as_str()
                .unwrap()
                .ends_with("; one message goes first"),
            "{shown}"
        );
        assert_eq!(shown["next_attempt_at"], Value::Null);
        // The process has ended without a word.
        setting.advance(31);
        let shown = setting.get(&format!("/v1/deliveries/{queued}")).await.json();
        assert_eq!(
            (&shown["reason"], &shown["detail"]),
            (&json!("allowed"), &Value::Null)
        );
    })
    .await;
}

#[tokio::test]
async fn a_delivery_shows_its_timeline_its_content_and_its_state_at_an_earlier_time() {
    on_gateway(async |setting| {
        let id = delivery(setting, 1, &SENT).await.0;
        let shown = setting.get(&format!("/v1/deliveries/{id}")).await.json();
        assert_eq!(
            (&shown["status"], &shown["to_masked"]),
            (&json!("sent"), &json!("a***@example.com"))
        );
        assert_eq!(
            shown["template"],
            json!({"id": "OrderShipped/email", "version": 1, "locale": "en"})
        );
        let statuses: Vec<_> = shown["timeline"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| &step["status"])
            .collect();
        assert_eq!(statuses, ["queued", "sending", "sent"]);
        assert!(
            shown["content"]["html"].as_str().unwrap().contains("DHL"),
            "{shown}"
        );

        assert_eq!((&shown["reason"], &shown["detail"]), (&Value::Null, &Value::Null));

        let dead = delivery(setting, 2, &DEAD).await.0;
        let at = |query: &str| format!("/v1/deliveries/{dead}{query}");
        let last = setting.get(&at("")).await.json();
        let step = last["timeline"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["reason"], &last["detail"]),
            (&step["code"], &step["detail"])
        );
        assert!(last["reason"].is_string() && last["detail"].is_string(), "{last}");
        let queued = setting.get(&at("?as_of=2026-11-24T10:02:00Z")).await.json();
        assert_eq!(
            (&queued["status"], &queued["reason"], &queued["error_code"]),
            (&json!("queued"), &json!("allowed"), &Value::Null)
        );

        let before = setting
            .get(&format!("/v1/deliveries/{id}?as_of=2026-11-24T10:01:01Z"))
            .await
            .json();
        assert_eq!(
            (&before["status"], &before["attempt"]),
            (&json!("sending"), &json!(1))
        );
        assert_eq!(before["timeline"].as_array().unwrap().len(), 2);
        let too_early = setting
            .get(&format!("/v1/deliveries/{id}?as_of=2026-11-24T09:00:00Z"))
            .await;
        too_early.problem(404, "not-found");
        let foreign = Ask::get(&format!("/v1/deliveries/{id}")).key(&setting.foreign);
        setting.ask(foreign).await.problem(404, "not-found");
        setting
            .get("/v1/deliveries/nonsense")
            .await
            .problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn the_content_of_a_message_that_is_not_rendered_yet_is_in_the_language_of_its_user() {
    on_gateway(async |setting| {
        let id = delivery(setting, 1, &[(0, DeliveryStatus::Queued)]).await.0;
        let path = format!("/v1/deliveries/{id}");
        let text = async || {
            let shown = setting.get(&path).await.json();
            shown["content"]["text"].as_str().unwrap().to_owned()
        };
        let english = text().await;
        let user = json!({"email": "a@example.com", "locale": "fr"});
        let put = Ask::put("/v1/users/u-42").json(&user);
        assert!(setting.ask(put).await.status < 300);
        let french = text().await;
        assert_ne!(french, english);
        assert!(french.contains("commande"), "{french}");
    })
    .await;
}

#[tokio::test]
async fn deliveries_are_filtered_and_paged_newest_first() {
    on_gateway(async |setting| {
        for number in 1..=5 {
            delivery(setting, number, if number == 3 { &DEAD } else { &SENT }).await;
        }
        let all = setting.get("/v1/deliveries").await.json();
        assert_eq!(
            each(&all, "event_id"),
            ["order-5", "order-4", "order-3", "order-2", "order-1"]
        );
        assert_eq!(all["next_cursor"], Value::Null);

        let first = setting.get("/v1/deliveries?limit=2&status=sent").await.json();
        assert_eq!(each(&first, "event_id"), ["order-5", "order-4"]);
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = setting
            .get(&format!("/v1/deliveries?limit=2&status=sent&cursor={cursor}"))
            .await
            .json();
        assert_eq!(each(&second, "event_id"), ["order-2", "order-1"]);

        for (query, expected) in [
            ("status=dead_lettered", vec!["order-3"]),
            (
                "status=dead_lettered&status=sent&limit=500",
                vec!["order-5", "order-4", "order-3", "order-2", "order-1"],
            ),
            (
                "code=451&channel=email&type=OrderShipped&category=transactional&user=u-42&provider=smtp",
                vec!["order-3"],
            ),
            ("channel=sms", vec![]),
            ("q=order-4", vec!["order-4"]),
            ("from=2026-11-24T10:04:00Z", vec!["order-5", "order-4"]),
            (
                "from=2026-11-24T10:04:00Z&to=2026-11-24T10:05:00Z",
                vec!["order-4"],
            ),
        ] {
            let found = setting.get(&format!("/v1/deliveries?{query}")).await.json();
            assert_eq!(each(&found, "event_id"), expected, "{query}");
        }
        let foreign = setting
            .ask(Ask::get("/v1/deliveries").key(&setting.foreign))
            .await
            .json();
        assert_eq!(foreign, json!({"items": [], "next_cursor": null}));
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_listed_grouped_and_shown_whole() {
    on_gateway(async |setting| {
        for offset in 0..3 {
            dead_letter(setting, offset, Some(Channel::Email), "550").await;
        }
        dead_letter(setting, 3, None, "malformed-json").await;
        let all = setting.get("/v1/dlq").await.json();
        assert_eq!(each(&all, "code"), ["malformed-json", "550", "550", "550"]);
        let events = setting.get("/v1/dlq?channel=events&state=open").await.json();
        assert_eq!(each(&events, "code"), ["malformed-json"]);
        assert_eq!(events["items"][0]["value_base64"], Value::Null);
        let id = events["items"][0]["id"].as_str().unwrap();
        let whole = setting.get(&format!("/v1/dlq/{id}?reveal=true")).await.json();
        assert_eq!(whole["value_base64"], "ACBub3QgPGpzb24+");
        assert!(each(&setting.get("/v1/dlq?state=replayed").await.json(), "code").is_empty());

        let groups = setting.get("/v1/dlq/groups").await.json();
        let group = &groups["items"][0];
        assert_eq!(
            (&group["code"], &group["open"], &group["total"], &group["again"]),
            (&json!("550"), &json!(3), &json!(3), &json!(0))
        );
        let of_group = format!(
            "/v1/dlq?fingerprint={}&limit=2",
            group["fingerprint"].as_str().unwrap()
        );
        let page = setting.get(&of_group).await.json();
        assert_eq!(each(&page, "code").len(), 2);
        assert!(page["next_cursor"].is_string());

        let id = all["items"][1]["id"].as_str().unwrap();
        let one = setting.get(&format!("/v1/dlq/{id}")).await.json();
        assert_eq!(
            one["headers"],
            json!([
                ["kafka_dlt-original-topic", "notifications.email"],
                ["kafka_dlt-original-partition", "base64:AAAAAw=="],
                ["kafka_dlt-original-offset", "base64:AAAAAAAAAAc="],
                ["kafka_dlt-original-timestamp", "base64:AAABogz/fQA="],
                ["kafka_dlt-original-timestamp-type", "CreateTime"],
                ["carillon-attempts", "3"],
                ["carillon-first-failed-at", "1795514400000"],
                ["signature", "•••"],
            ])
        );
        for (role, key) in [
            ("viewer", &setting.viewer),
            ("operator", &setting.operator),
            ("admin", &setting.admin),
        ] {
            let one = setting
                .ask(Ask::get(&format!("/v1/dlq/{id}")).key(key))
                .await
                .json();
            let listed = setting.ask(Ask::get("/v1/dlq").key(key)).await.json()["items"][0].clone();
            for seen in [one, listed] {
                assert!(seen["hidden"].is_string(), "{role}: {seen}");
                assert_eq!(
                    (&seen["source_partition"], &seen["source_offset"]),
                    (&json!(3), &json!(7)),
                    "{role}: the place of a record that is hidden is shown"
                );
            }
        }
        assert_eq!(
            (&one["attempts"], &one["reason"]),
            (&json!(3), &json!("refused with <b>550</b>"))
        );
        let foreign = Ask::get(&format!("/v1/dlq/{id}")).key(&setting.foreign);
        setting.ask(foreign).await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn the_books_count_acknowledged_events() {
    on_gateway(async |setting| {
        setting.post(&shipped("e-1")).await;
        let stats = setting.get("/v1/stats").await.json();
        assert_eq!(stats["acknowledged"], 1, "{stats}");
        assert_eq!(stats["waiting"], 0, "{stats}");
        assert_eq!(
            stats["events_difference"], 1,
            "no router has said what became of it: {stats}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_accepted_difference_is_shown_with_its_reason_by_the_api_and_the_page() {
    on_gateway(async |setting| {
        setting.post(&shipped("e-1")).await;
        let acceptance = Acceptance {
            by: "Ada".to_owned(),
            reason: "restored <b>twice</b>".to_owned(),
            events: 1,
            deliveries: 0,
        };
        setting.env.store.audit().accept(&acceptance).await.unwrap();
        let stats = setting.get("/v1/stats").await.json();
        assert_eq!(
            (
                &stats["events_difference"],
                &stats["accepted_events"],
                &stats["acknowledged"]
            ),
            (&json!(0), &json!(1), &json!(1)),
            "{stats}"
        );
        let accepted = &stats["accepted"][0];
        assert_eq!(
            (&accepted["by"], &accepted["reason"], &accepted["events"]),
            (&json!("Ada"), &json!("restored <b>twice</b>"), &json!(1)),
            "{stats}"
        );
        let cookie = sign_in(setting, &setting.admin).await;
        let shown = setting.ask(page("/", &cookie)).await.text();
        assert!(shown.contains("Accepted differences"), "{shown}");
        assert!(
            shown.contains("restored") && shown.contains("twice") && !shown.contains("<b>twice"),
            "{shown}"
        );
    })
    .await;
}
