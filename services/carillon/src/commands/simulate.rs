//! `carillon simulate`.

use anyhow::anyhow;
use carillon_domain::json::fault;
use carillon_templates::catalog_folder;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::remote::{encoded, print_table};
use crate::{
    cli::SimulateArgs,
    output::{self, cell},
};

pub(super) async fn run(args: SimulateArgs) -> anyhow::Result<()> {
    let event = args.event.read()?;
    let mut as_if = Map::new();
    if let Some(text) = &args.as_if_preferences {
        let preferences: Value = serde_json::from_str(text)
            .map_err(|error| anyhow!("--as-if-preferences: expected a JSON object: {}", fault(&error)))?;
        as_if.insert("preferences".to_owned(), preferences);
    }
    if let Some(folder) = &args.as_if_catalog {
        let catalog = catalog_folder::load(folder)?.catalog;
        as_if.insert("catalog".to_owned(), serde_json::to_value(catalog)?);
    }
    // A file may hold an envelope itself, so an event without further conditions is posted as it is.
    let body = if as_if.is_empty() {
        event
    } else {
        json!({ "event": event, "as_if": as_if })
    };
    let at = args
        .at
        .map_or_else(String::new, |at| format!("&at={}", encoded(&at)));
    let path = format!("/v1/simulate?reveal={}{at}", args.reveal);
    let told = args.remote.call(Method::POST, &path, Some(body)).await?;
    if args.remote.json {
        return output::json(&told);
    }
    let reason = match &told["reason"] {
        Value::Null => String::new(),
        reason => format!(" ({})", cell(reason)),
    };
    output::say(&format!(
        "{} at {}: {}{reason}",
        cell(&told["type"]),
        cell(&told["at"]),
        cell(&told["status"])
    ))?;
    if told["duplicate"] == true {
        output::say("An event of this source and id was accepted before: a post of it would send nothing.")?;
    }
    print_table(
        &told["decisions"],
        &["recipient", "channel", "outcome", "reason", "sentence"],
    )?;
    let decisions = told["decisions"].as_array().into_iter().flatten();
    for decision in decisions.filter(|decision| !decision["message"].is_null()) {
        let message = &decision["message"];
        let error = &message["error"];
        if !error.is_null() {
            output::say(&format!(
                "{} to {}: {} ({})",
                cell(&decision["channel"]),
                cell(&decision["to_masked"]),
                cell(&error["detail"]),
                cell(&error["code"])
            ))?;
        } else if args.messages {
            output::say(&format!(
                "{} to {}, in {}:",
                cell(&decision["channel"]),
                cell(&decision["to_masked"]),
                cell(&message["template"]["locale"])
            ))?;
            output::pretty(&message["content"])?;
        }
    }
    Ok(())
}
