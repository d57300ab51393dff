//! Templates that take long, or produce much output from little input. If a template is refused, the attack
//! is over.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::attacker::Attacker;

const TYPE: &str = "Bomb";
/// The number of events of an attack, enough to keep each lane of a channel busy.
const EVENTS: usize = 40;
const LOOPS: &str = "{{#each a}}{{#each ../a}}{{#each ../../a}}{{/each}}{{/each}}{{/each}}x";

/// Adds the event type of the attacks, with all its channels.
async fn prepare(attacker: &Attacker) -> anyhow::Result<bool> {
    let definition =
        json!({"category": "transactional", "channels": {"mode": "fanout", "order": ["email", "sms"]}});
    attacker.add_type(TYPE, definition).await
}

/// Publishes a text on both channels; `false` if it is refused.
async fn publish(attacker: &Attacker, text: &str) -> anyhow::Result<bool> {
    if !prepare(attacker).await? {
        return Ok(false);
    }
    let sms = attacker
        .publish(&format!("{TYPE}/sms"), json!({ "text": text }))
        .await?;
    let email = json!({"subject": "A bomb", "text": text});
    Ok(attacker.publish(&format!("{TYPE}/email"), email).await? || sms)
}

async fn send(attacker: &Attacker, data: &Value) -> anyhow::Result<()> {
    for number in 0..EVENTS {
        let to = json!({"email": format!("mallory-{number}@example.com"), "phone": format!("+1438{:07}", 3_000_000 + number)});
        attacker
            .post(&json!({"type": TYPE, "recipients": [to], "data": data}))
            .await?;
    }
    Ok(())
}

async fn publish_and_send(attacker: Attacker, text: &str, data: Value) -> anyhow::Result<()> {
    if publish(&attacker, text).await? {
        send(&attacker, &data).await?;
    }
    Ok(())
}

pub(super) async fn nested_loops(attacker: Attacker) -> anyhow::Result<()> {
    publish_and_send(attacker, LOOPS, json!({"a": vec![1; 4_000]})).await
}

pub(super) async fn previews(attacker: Attacker) -> anyhow::Result<()> {
    publish(&attacker, LOOPS).await?;
    let sample = json!({"data": {"a": vec![1; 4_000]}}).to_string();
    let path = format!("/v1/templates/{TYPE}/sms/preview");
    let previews = (0..8).map(|_| async {
        loop {
            let (status, answer) = attacker.ask(Method::POST, &path, sample.clone()).await?;
            anyhow::ensure!(status.as_u16() != 500, "{status} {answer:.300}");
        }
    });
    futures::future::try_join_all(previews).await.map(|_: Vec<()>| ())
}

/// Hundreds of previews at a time, whose clients do not wait for the answer.
pub(super) async fn left_previews(attacker: Attacker) -> anyhow::Result<()> {
    publish(&attacker, LOOPS).await?;
    let sample = json!({"data": {"a": vec![1; 4_000]}}).to_string();
    let path = format!("/v1/templates/{TYPE}/sms/preview");
    let previews = (0..300).map(|_| async {
        loop {
            let preview = attacker.ask(Method::POST, &path, sample.clone());
            let _ = tokio::time::timeout(Duration::from_millis(100), preview).await;
        }
    });
    futures::future::join_all(previews).await;
    Ok(())
}

pub(super) async fn long_path(attacker: Attacker) -> anyhow::Result<()> {
    for path in [vec!["a"; 120_000].join("."), vec![".."; 120_000].join("/")] {
        publish_and_send(attacker.clone(), &format!("{{{{{path}}}}}"), json!({"a": 1})).await?;
    }
    Ok(())
}

pub(super) async fn recursive_partial(attacker: Attacker) -> anyhow::Result<()> {
    attacker
        .publish("partials/again", json!({"text": "{{> again}}{{> again}}"}))
        .await?;
    publish_and_send(attacker, "{{> again}}", json!({})).await
}

pub(super) async fn lookups(attacker: Attacker) -> anyhow::Result<()> {
    let text = "{{#each a}}{{#each ../a}}{{lookup ../../a @index}}{{#with (lookup ../../b this)}}{{x}}{{/with}}{{/each}}{{/each}}";
    publish_and_send(
        attacker,
        text,
        json!({"a": vec![1; 4_000], "b": [{"x": "x"}, {"x": "y".repeat(10_000)}]}),
    )
    .await
}

pub(super) async fn endless_output(attacker: Attacker) -> anyhow::Result<()> {
    let text = "{{#each a}}{{#each ../a}}{{../../long}}{{/each}}{{/each}}";
    publish_and_send(
        attacker,
        text,
        json!({"a": vec![1; 4_000], "long": "x".repeat(100_000)}),
    )
    .await
}

pub(super) async fn ten_megabytes(attacker: Attacker) -> anyhow::Result<()> {
    let text = "{{#if x}}x{{/if}} ".repeat(600_000);
    // This text is larger than a body may be, so the connection may be closed before it is sent.
    let _ = publish_and_send(attacker.clone(), &text, json!({"x": 1})).await;
    // This text is about as large as a body may be.
    publish_and_send(attacker, &text[..900_000], json!({"x": 1})).await
}

pub(super) async fn deep_nesting(attacker: Attacker) -> anyhow::Result<()> {
    let text = format!("{}x{}", "{{#if x}}".repeat(20_000), "{{/if}}".repeat(20_000));
    publish_and_send(attacker.clone(), &text, json!({"x": 1})).await?;
    let expression = format!(
        "{{{{#if {}x{}}}}}x{{{{/if}}}}",
        "(not ".repeat(20_000),
        ")".repeat(20_000)
    );
    publish_and_send(attacker, &expression, json!({"x": 1})).await
}
