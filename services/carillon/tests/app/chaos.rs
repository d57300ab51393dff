use std::time::Duration;

use carillon_testkit::installation::{Installation, is_distributed};
use serde_json::{Value, json};

use crate::with_installation;

const EVENTS: usize = 2_000;
const BATCH: usize = 100;

fn batch(from: usize) -> Value {
    let events = (from..from + BATCH).map(|n| {
        json!({"id": format!("c-{n}"), "type": "OrderShipped",
            "recipients": [{"email": format!("guest-{n}@example.com"), "phone": format!("+1514555{n:04}")}],
            "data": {"order_id": n.to_string(), "carrier": "DHL"}})
    });
    Value::Array(events.collect())
}

/// Asserts that the timeline of each delivery that arrived twice has an uncertain step.
async fn doubled_deliveries_say_so(carillon: &Installation) {
    let doubled = carillon.simulator_get("/v1/duplicates?limit=500").await;
    for item in doubled["items"].as_array().unwrap() {
        let id = item["delivery_id"].as_str().unwrap();
        let delivery = carillon.get(&format!("/v1/deliveries/{id}")).await;
        let steps = delivery["timeline"].as_array().unwrap();
        assert!(
            steps.iter().any(|step| step["status"] == "uncertain"),
            "doubled without a word: {delivery}"
        );
    }
}

#[test]
fn nothing_is_lost_and_nothing_doubled_in_silence_while_processes_are_killed() {
    with_installation(|mut carillon| async move {
        for round in 0..EVENTS / BATCH {
            carillon.post_until_accepted(&batch(round * BATCH)).await;
            match round {
                5 if is_distributed() => {
                    carillon.kill("router-1");
                    carillon.kill("email-2");
                }
                8 if is_distributed() => flush_redis().await,
                12 if is_distributed() => {
                    carillon.start_role("router-1");
                    carillon.start_role("email-2");
                }
                6 | 13 if !is_distributed() => carillon.kill_and_restart(),
                _ => {}
            }
        }
        carillon.settle(EVENTS as u64).await;
        let stats = carillon.get("/v1/stats").await;
        assert_eq!(stats["routed"], EVENTS, "{stats}");
        assert_eq!(stats["ended"], 2 * EVENTS, "{stats}");
        let received = carillon.simulator_get("/v1/stats").await;
        assert_eq!(received["delivery_ids"], 2 * EVENTS, "{received}");
        doubled_deliveries_say_so(&carillon).await;
    });
}

/// Empties Redis: limits may be forgotten, messages may not.
async fn flush_redis() {
    let url = carillon_testkit::redis_url().unwrap();
    let address = url
        .trim_start_matches("redis://")
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let flush = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"FLUSHALL\r\n").await.unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"+OK\r\n");
    };
    tokio::time::timeout(Duration::from_secs(5), flush).await.unwrap();
}
