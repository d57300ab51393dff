//! The answer to an input with many errors is short and quick, and says how many errors it leaves out.

use serde_json::{Value, json};

use crate::support::{Answer, Ask, Setting, catalog, on_gateway, shipped};

/// The most bytes of the answer to one event.
const SHORT: usize = 32 << 10;

/// The catalog of the tests, with a type whose data may hold many wrong items.
async fn with_deals(setting: &Setting) {
    let mut catalog = catalog();
    catalog["types"]["WeeklyDeals"] = json!({
        "category": "marketing", "channels": {"order": ["email"]},
        "schema": {"properties": {"deals": {"items": {
            "type": "object", "required": ["title", "price"],
            "properties": {"title": {"type": "string", "maxLength": 40}, "price": {}}, "additionalProperties": false}}}},
    });
    let answer = setting.ask(Ask::put("/v1/catalog").json(&catalog)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn deals(id: &str, deals: &Value) -> Value {
    json!({"id": id, "source": "/shop", "type": "WeeklyDeals", "recipients": ["u-42"], "data": {"deals": deals}})
}

/// Asserts that a problem is short, repeats at most a hundred characters of any value, and lists at most 20 errors.
#[track_caller]
fn is_bounded(answer: &Answer, run: char) -> Value {
    assert!(answer.body.len() < SHORT, "{} bytes", answer.body.len());
    let text = answer.text();
    let longest = text.split(|c| c != run).map(str::len).max().unwrap();
    assert!(longest <= 100, "{longest}");
    let problem = answer.json();
    assert!(
        problem["errors"]
            .as_array()
            .is_none_or(|errors| errors.len() <= 20),
        "{problem}"
    );
    problem
}

#[tokio::test]
async fn a_batch_of_events_full_of_errors_gets_a_short_answer() {
    on_gateway(async |setting| {
        with_deals(setting).await;
        let event = |index: usize| deals(&index.to_string(), &json!(vec![json!({}); 80_000]));
        let batch: Vec<Value> = (0..30).map(event).collect();
        let answer = setting.post(&json!(batch)).await;
        assert_eq!(answer.status, 422, "{} bytes", answer.body.len());
        assert!(answer.body.len() < 64 << 10, "{} bytes", answer.body.len());
        let items = answer.json()["items"].as_array().unwrap().clone();
        assert_eq!(items.len(), 30);
        for (index, item) in items.iter().enumerate() {
            let problem = &item["problem"];
            assert_eq!(
                problem["errors"][0]["pointer"],
                format!("/{index}/data/deals/0"),
                "{item}"
            );
            assert!(
                problem["detail"]
                    .as_str()
                    .unwrap()
                    .contains("only the first error is listed"),
                "{item}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_of_a_thousand_events_with_twenty_errors_each_gets_a_bounded_answer_for_every_event() {
    on_gateway(async |setting| {
        with_deals(setting).await;
        let wrong = json!({"t".repeat(200): 1, "price": 1});
        let event = |index: usize| deals(&index.to_string(), &json!(vec![wrong.clone(); 20]));
        let batch: Vec<Value> = (0..1_000).map(event).collect();
        let answer = setting.post(&json!(batch)).await;
        assert_eq!(answer.status, 422);
        assert!(answer.body.len() < 1 << 20, "{} bytes", answer.body.len());
        let items = answer.json()["items"].as_array().unwrap().clone();
        assert_eq!(items.len(), 1_000);
        assert_eq!(items[0]["problem"]["errors"].as_array().unwrap().len(), 20);
        let last = &items[999]["problem"];
        assert!(
            last["errors"].is_null() && last["detail"].as_str().unwrap().contains("not listed"),
            "{last}"
        );
    })
    .await;
}

#[tokio::test]
async fn twenty_errors_are_listed_and_the_others_counted_in_data_of_moderate_size() {
    on_gateway(async |setting| {
        with_deals(setting).await;
        let answer = setting.post(&deals("1", &json!(vec![json!({}); 100]))).await;
        let problem = is_bounded(&answer, 'x');
        assert_eq!(problem["errors"].as_array().unwrap().len(), 20);
        assert!(
            problem["detail"].as_str().unwrap().ends_with("and 180 more)"),
            "{problem}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_error_repeats_a_bounded_part_of_the_input() {
    on_gateway(async |setting| {
        with_deals(setting).await;
        let long = "x".repeat(100_000);
        let mut events = vec![
            deals("1", &json!([{"title": long}])),
            deals("2", &json!([{&long: 1}])),
            deals("3", &json!([long])),
        ];
        for (field, value) in [
            ("type", json!(long)),
            (&*long, json!(1)),
            ("recipients", json!([{&long: 1}])),
            ("recipients", json!([{"user_id": "u-42", "locale": long}])),
            ("recipients", json!(vec![json!({&long[..100]: 1}); 900])),
            ("priority", json!(long)),
            ("data", json!(long)),
        ] {
            let mut event = shipped("bad");
            event[field] = value;
            events.push(event);
        }
        for event in &events {
            let answer = setting.post(event).await;
            assert_eq!(answer.status, 422, "{}", event["id"]);
            is_bounded(&answer, 'x');
        }
        let mut many = shipped("many");
        for index in 0..20_000 {
            many[format!("k{index}")] = json!(1);
        }
        let problem = is_bounded(&setting.post(&many).await, 'x');
        assert!(
            problem["detail"].as_str().unwrap().ends_with("and 19980 more)"),
            "{problem}"
        );
    })
    .await;
}

#[tokio::test]
async fn errors_of_catalogs_users_and_queries_repeat_a_bounded_part_of_the_input_too() {
    on_gateway(async |setting| {
        let long = "x".repeat(30_000);
        let mut bad = catalog();
        bad["types"]["OrderShipped"]["category"] = json!(long);
        bad["types"]["OrderShipped"]["schema"] = json!({"type": long});
        bad["types"][&long] = bad["types"]["Newsletter"].clone();
        let mut many = catalog();
        for index in 0..5_000 {
            many["categories"][format!("ü{index}")] = json!({});
        }
        let asks = [
            Ask::put("/v1/catalog").json(&bad),
            Ask::put("/v1/catalog").json(&many),
            Ask::put("/v1/catalog").json(&json!({"types": {&long: {&long: 1}}})),
            Ask::put("/v1/users/u-42").json(&json!({&long: 1})),
            Ask::put("/v1/users/u-42").json(&json!({"locale": long})),
            Ask::put("/v1/users/u-42/preferences").json(&json!({"categories": long})),
            Ask::get(&format!("/v1/deliveries?{long}=1")),
            Ask::get(&format!("/v1/deliveries?limit={long}")),
            Ask::get(&format!("/v1/deliveries?cursor={long}")),
        ];
        for ask in asks {
            let answer = setting.ask(ask).await;
            assert_eq!(answer.status, 422, "{:.300}", answer.text());
            is_bounded(&answer, 'x');
        }
    })
    .await;
}

#[tokio::test]
async fn data_that_a_schema_would_check_for_seconds_is_refused_with_the_permitted_size() {
    on_gateway(async |setting| {
        let mut catalog = catalog();
        let branches = vec![json!({"not": {"type": "string"}}); 900];
        catalog["types"]["Costly"] = json!({
            "category": "marketing", "channels": {"order": ["email"]},
            "schema": {"properties": {"list": {"items": {"allOf": branches}}}},
        });
        let answer = setting.ask(Ask::put("/v1/catalog").json(&catalog)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let event = |items: usize| {
            json!({"id": items.to_string(), "source": "/shop", "type": "Costly", "recipients": ["u-42"],
                "data": {"list": vec![1; items]}})
        };
        assert_eq!(setting.post(&event(100)).await.status, 202);
        let answer = setting.post(&event(50_000)).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        let error = &answer.json()["errors"][0];
        assert_eq!(
            (&error["pointer"], &error["code"]),
            (&json!("/data"), &json!("schema-work"))
        );
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("not 100010: the schema of \"Costly\""),
            "{message}"
        );
    })
    .await;
}
