//! The rows of an outbox table, on PostgreSQL; where none is configured, these tests say so and do nothing.

use std::time::Duration;

use axum::{Json, http::StatusCode, response::IntoResponse as _};
use carillon_runtime::{
    Secret,
    http::{ClientOptions, Readiness, client},
};
use carillon_sources::outbox::{OutboxConfig, OutboxError, OutboxSource};
use carillon_testkit::eventually;
use serde_json::json;
use sqlx::Row as _;

use crate::outbox_setting::{TABLE, accept, on_outbox, order, problem};

#[tokio::test]
async fn rows_become_events_in_their_order_and_are_deleted_after_the_answer() {
    on_outbox(async |setting| {
        for number in 0..450 {
            setting.insert(&order(number)).await;
        }
        let running = setting.start().await;
        setting.until_empty().await;
        eventually("readiness", || async { running.readiness.is_ready() }).await;
        // A notification wakes the source.
        setting.insert(&order(450)).await;
        setting.until_empty().await;
        running.end().await;
        let events = setting.gateway.events();
        let numbers: Vec<i64> = events
            .iter()
            .map(|event| event["data"]["order_id"].as_i64().unwrap())
            .collect();
        assert_eq!(numbers, (0..451).collect::<Vec<_>>());
        assert_eq!(events[0]["source"], "/outbox/carillon_outbox");
        assert_eq!(events[0]["id"].as_str().unwrap().len(), 36);
        assert!(events[0]["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(setting.gateway.told.keys.lock()[0], "Bearer key");
    })
    .await;
}

#[tokio::test]
async fn a_row_that_the_gateway_refuses_is_set_aside_with_the_reason_and_blocks_no_other() {
    on_outbox(async |setting| {
        setting.gateway.answers(|events| {
            accept(events, |event| match event["data"]["order_id"].as_i64() {
                Some(2) => {
                    json!({"status": "rejected", "problem": problem(422, "the data break the schema")})
                }
                Some(3) => json!({"status": "duplicate"}),
                _ => json!({"status": "accepted"}),
            })
        });
        for number in 1..=4 {
            setting.insert(&order(number)).await;
        }
        setting.insert(&json!(["no event"])).await;
        let running = setting.start().await;
        eventually("two rows aside", || async {
            setting.count("failed_at IS NOT NULL").await == 2 && setting.count("true").await == 2
        })
        .await;
        let rows = sqlx::query("SELECT error, claimed_until FROM carillon_outbox ORDER BY position")
            .fetch_all(&setting.pool)
            .await
            .unwrap();
        let error = |row: usize| rows[row].get::<String, _>("error");
        assert_eq!(
            error(0),
            "The event breaks a rule: the data break the schema; /data/carrier: expected a string"
        );
        assert!(
            error(1).starts_with("the column event: expected a JSON object"),
            "{}",
            error(1)
        );
        // Once it is mended, it is posted.
        setting
            .gateway
            .answers(|events| accept(events, |_| json!({"status": "accepted"})));
        let mend = "UPDATE carillon_outbox SET event = '{\"type\":\"A\"}', failed_at = NULL, error = NULL";
        sqlx::query(mend).execute(&setting.pool).await.unwrap();
        setting.insert(&order(5)).await;
        setting.until_empty().await;
        running.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_refused_as_a_whole_is_divided_until_the_row_at_fault_is_found() {
    on_outbox(async |setting| {
        setting.gateway.answers(|events| {
            if events.iter().any(|event| event["data"]["order_id"] == 5) {
                (StatusCode::PAYLOAD_TOO_LARGE, Json(problem(413, "too large"))).into_response()
            } else {
                accept(events, |_| json!({"status": "accepted"}))
            }
        });
        for number in 0..9 {
            setting.insert(&order(number)).await;
        }
        let running = setting.start().await;
        eventually("one row aside", || async {
            setting.count("failed_at IS NOT NULL").await == 1 && setting.count("true").await == 1
        })
        .await;
        running.end().await;
        let error: String = sqlx::query_scalar("SELECT error FROM carillon_outbox")
            .fetch_one(&setting.pool)
            .await
            .unwrap();
        assert!(error.starts_with("the gateway answered 413"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn while_the_gateway_takes_nothing_rows_wait_and_are_posted_once_it_does() {
    on_outbox(async |setting| {
        for refusal in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED] {
            setting
                .gateway
                .answers(move |_| (refusal, Json(problem(refusal.as_u16(), "later"))).into_response());
            setting.insert(&order(1)).await;
            let running = setting.start().await;
            let before = setting.gateway.requests().len();
            eventually("tries", || async {
                setting.gateway.requests().len() >= before + 2
            })
            .await;
            assert_eq!(setting.count("failed_at IS NULL").await, 1);
            let cause = running.readiness.report().parts["outbox"].cause.clone().unwrap();
            assert!(cause.contains(&format!("answered {refusal}")), "{cause}");
            setting
                .gateway
                .answers(|events| accept(events, |_| json!({"status": "accepted"})));
            setting.until_empty().await;
            running.end().await;
        }
        // An event that another request is publishing waits as well, and its neighbours do not.
        setting.gateway.answers(|events| {
            accept(events, |event| match event["data"]["order_id"].as_i64() {
                Some(2) => json!({"status": "rejected", "problem": problem(409, "in progress")}),
                _ => json!({"status": "accepted"}),
            })
        });
        setting.insert(&order(2)).await;
        setting.insert(&order(3)).await;
        let running = setting.start().await;
        eventually("one row", || async { setting.count("true").await == 1 }).await;
        setting
            .gateway
            .answers(|events| accept(events, |_| json!({"status": "duplicate"})));
        setting.until_empty().await;
        running.end().await;
    })
    .await;
}

#[tokio::test]
async fn rows_of_a_source_that_died_are_posted_after_their_lease_and_not_before() {
    on_outbox(async |setting| {
        setting.insert(&order(1)).await;
        setting.insert(&order(2)).await;
        let claim = "UPDATE carillon_outbox SET claimed_until = now() + interval '1 hour' WHERE position = \
                     (SELECT min(position) FROM carillon_outbox)";
        sqlx::query(claim).execute(&setting.pool).await.unwrap();
        let running = setting.start().await;
        eventually("the free row", || async { setting.count("true").await == 1 }).await;
        let expire = "UPDATE carillon_outbox SET claimed_until = now() - interval '1 second'";
        sqlx::query(expire).execute(&setting.pool).await.unwrap();
        setting.insert(&order(3)).await;
        setting.until_empty().await;
        running.end().await;
        assert_eq!(setting.gateway.events().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn two_sources_share_a_table_and_post_each_row_once() {
    on_outbox(async |setting| {
        for number in 0..1_000 {
            setting.insert(&order(number)).await;
        }
        let (one, other) = (setting.start().await, setting.start().await);
        setting.until_empty().await;
        one.end().await;
        other.end().await;
        let mut ids: Vec<String> = setting
            .gateway
            .events()
            .iter()
            .map(|event| event["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids.len(), 1_000);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 1_000);
    })
    .await;
}

#[tokio::test]
async fn without_a_trigger_rows_are_found_by_polling() {
    on_outbox(async |setting| {
        sqlx::query("DROP TRIGGER carillon_outbox_wake ON carillon_outbox")
            .execute(&setting.pool)
            .await
            .unwrap();
        let mut config = setting.config(TABLE);
        config.poll = Duration::from_millis(50);
        let running = setting.start_with(config).await;
        eventually("readiness", || async { running.readiness.is_ready() }).await;
        setting.insert(&order(1)).await;
        setting.until_empty().await;
        running.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_missing_table_or_column_and_an_address_of_another_database_are_told_at_the_start() {
    on_outbox(async |setting| {
        let connect = async |config: OutboxConfig| {
            let client = client(&ClientOptions::default()).unwrap();
            let connected =
                OutboxSource::connect(config, client, Readiness::default().register("outbox")).await;
            connected.err().unwrap()
        };
        for table in ["no_such_table", "no_such_schema.carillon_outbox"] {
            let error = connect(setting.config(table)).await;
            assert!(
                matches!(&error, OutboxError::NoTable(name) if name == table),
                "{error:?}"
            );
            assert!(
                error.to_string().contains("carillon source outbox --ddl"),
                "{error}"
            );
        }
        sqlx::query("ALTER TABLE carillon_outbox DROP COLUMN error")
            .execute(&setting.pool)
            .await
            .unwrap();
        assert!(matches!(
            connect(setting.config(TABLE)).await,
            OutboxError::NoTable(_)
        ));
        let mut config = setting.config(TABLE);
        config.database_url = Secret::from("mysql://db/shop");
        let error = connect(config).await;
        assert!(
            error
                .to_string()
                .starts_with("--database-url: expected postgres://"),
            "{error}"
        );
    })
    .await;
}
