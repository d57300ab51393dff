//! The records of `examples/orders`, by the rules of its catalog.

use std::{fs, path::PathBuf};

use carillon_domain::{Catalog, TenantId};
use serde_json::{Value, json};

use crate::support::{Written, of, on_source};

const TOPIC: &str = "shop.public.orders";

fn example(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/orders");
    fs::read_to_string(folder.join(name)).unwrap()
}

#[tokio::test]
async fn the_rows_of_the_orders_table_become_orders_that_are_shipped() {
    on_source(async |setting| {
        let mut catalog: Catalog = serde_yaml_ng::from_str(&example("catalog.yaml")).unwrap();
        let rules = catalog.sources.shift_remove(TOPIC).unwrap();
        catalog.sources.insert(setting.topic.to_string(), rules);
        setting.put_catalog(&TenantId::default(), catalog).await;
        for line in example("records/debezium.tsv").lines() {
            let (key, value) = line.split_once('\t').unwrap();
            let value = if value == "NULL" { "" } else { value };
            setting.publish(key, value.to_owned(), &[]).await;
        }
        let mut written = Written::of(setting);
        let sources = setting.start();
        written
            .until("three events", |written| {
                written.events.len() + written.dead.len() >= 3
            })
            .await;
        sources.end().await;
        assert!(written.dead.is_empty(), "{:?}", written.dead);
        let mut data: Vec<Value> = written
            .events
            .iter()
            .map(|record| {
                let event = of(record);
                assert_eq!(event["type"], "OrderShipped");
                assert_eq!(event["recipients"], json!(["c-42"]));
                event["data"].clone()
            })
            .collect();
        data.sort_by_key(|data| data["order_id"].as_i64());
        assert_eq!(
            data,
            [
                json!({"order_id": 1001, "carrier": "DHL", "tracking_url": "https://dhl.example/t/1001"}),
                json!({"order_id": 1002, "carrier": "UPS"}),
                json!({"order_id": 1003, "carrier": "DPD"}),
            ]
        );
    })
    .await;
}
