//! The commands of sources, and the refusal of a catalog that takes Carillon's own topics for sources.

use std::{fs, path::Path, process::Output};

use serde_json::Value;

use crate::command_line::{carillon, run, stderr, stdout};

const ORDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/orders");

/// Tries the rules of the example on a file of it.
fn tried(folder: &Path, file: &str, topic: &str, json: bool) -> Output {
    let mut args = vec!["source", "try", ORDERS, file, "--topic", topic];
    args.extend(json.then_some("--json"));
    run(folder, &args)
}

#[test]
fn the_rules_of_a_folder_are_tried_on_the_records_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let told = |records: &str, topic: &str| -> Vec<Value> {
        let file = format!("{ORDERS}/records/{records}");
        let output = stdout(&tried(folder.path(), &file, topic, true));
        output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let changes = told("debezium.tsv", "shop.public.orders");
    let summary: Vec<String> = changes
        .iter()
        .map(|change| match change["skipped"].as_str() {
            Some(why) => why.to_owned(),
            None => change["events"][0]["data"]["order_id"].to_string(),
        })
        .collect();
    assert_eq!(
        summary,
        [
            "no_rule",
            "no_rule",
            "1001",
            "no_rule",
            "1002",
            "deleted_row",
            "tombstone",
            "1003"
        ]
    );
    let events = told("outbox.tsv", "shop.outbox.order");
    assert_eq!(
        events[0]["events"][0]["id"],
        "OrderShipped:4d47e190-0402-4048-bc2c-89dd54343cdc"
    );
    assert_eq!(events[1]["skipped"], "no_rule");
}

#[test]
fn a_record_that_cannot_be_converted_and_a_topic_without_rules_are_told_with_a_code_of_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records");
    let update = r#"{"op":"u","before":null,"after":{"id":1,"status":"shipped"}}"#;
    fs::write(&file, format!("no JSON\n\n{update}\n")).unwrap();
    let file = file.to_str().unwrap();
    let output = tried(folder.path(), file, "shop.public.orders", false);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("Line 1 would be a dead letter:") && lines[0].contains("expected JSON"),
        "{said}"
    );
    assert!(
        lines[1].starts_with("Line 3 would be a dead letter: /before:"),
        "{said}"
    );
    let said = stderr(&tried(folder.path(), file, "orders", false));
    assert!(
        said.contains("expected a topic for which the catalog has rules (shop.public.orders, shop.outbox.order), not \"orders\""),
        "{said}"
    );
    let said = stderr(&tried(folder.path(), "no such file", "shop.public.orders", false));
    assert!(
        said.contains("no such file: expected a file of records"),
        "{said}"
    );
}

#[test]
fn a_folder_whose_sources_are_carillons_own_topics_is_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = "types: { A: { category: c, channels: { order: [webhook] } } }\ncategories: { c: {} }\n\
                   sources: { own.events: { rules: [{ type: A }] } }\n";
    fs::write(folder.path().join("catalog.yaml"), catalog).unwrap();
    let apply = |prefix: &str| {
        carillon(folder.path())
            .args([
                "catalog",
                "apply",
                ".",
                "--set",
                "database.url=sqlite://store.db",
                "--set",
            ])
            .arg(format!("bus.prefix={prefix}"))
            .output()
            .unwrap()
    };
    let said = stderr(&apply("own"));
    assert!(
        said.contains("catalog.yaml")
            && said.contains("/sources/own.events: expected a topic of another system"),
        "{said}"
    );
    let said = stdout(&apply("notifications"));
    assert!(said.contains("The catalog is at version 1."), "{said}");
}

#[test]
fn the_statements_of_the_outbox_table_are_printed_for_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let said = stdout(&run(
        folder.path(),
        &["source", "outbox", "--ddl", "--table", "shop.events_out"],
    ));
    for expected in [
        "CREATE TABLE \"shop\".\"events_out\" (",
        "pg_notify('events_out', '')",
        "failed_at timestamptz",
    ] {
        assert!(said.contains(expected), "{expected} is not in: {said}");
    }
    let outbox = |args: &[&str]| stderr(&run(folder.path(), &[&["source", "outbox"], args].concat()));
    let said = outbox(&[]);
    assert!(said.contains("--database-url"), "{said}");
    let said = outbox(&["--ddl", "--table", "a;drop"]);
    assert!(
        said.contains("expected a table's name") && said.contains("a;drop"),
        "{said}"
    );
    let said = outbox(&["--ddl", "--poll-interval", "1d"]);
    assert!(said.contains("expected a duration of 100ms to 1h"), "{said}");
    let said = outbox(&[
        "--database-url",
        "mysql://x",
        "--key",
        "k",
        "--url",
        "http://127.0.0.1:1",
    ]);
    assert!(said.contains("--database-url: expected postgres://"), "{said}");
}

#[test]
fn sources_beside_the_embedded_log_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let check = |args: &[&str]| stdout(&run(folder.path(), &[&["config", "check"], args].concat()));
    let said = check(&["--set", "sources.topics=shop.public.orders"]);
    assert!(
        said.contains("# Warning: sources.topics: no other system can write to the embedded log"),
        "{said}"
    );
    assert!(said.contains("topics = [\"shop.public.orders\"]"), "{said}");
    assert!(!check(&[]).contains("sources.topics"));
}
