//! Commands that speak to a gateway.
#![expect(clippy::print_stdout, reason = "a command's result")]

use std::io::Read as _;

use anyhow::{Context as _, bail};
use carillon_runtime::http::{ClientOptions, client};
use comfy_table::Table;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{DeliveriesCommand, DlqCommand, EventsCommand, Remote, SendArgs},
    dev::API_KEY_FILE,
};

impl Remote {
    fn key(&self) -> anyhow::Result<String> {
        if let Some(key) = &self.api_key {
            return Ok(key.clone());
        }
        let path = std::path::Path::new("carillon-data").join(API_KEY_FILE);
        let key = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "--api-key or CARILLON_API_KEY: expected a key ({} has none)",
                path.display()
            )
        })?;
        Ok(key.trim().to_owned())
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = client(&ClientOptions::default())?
            .request(method, &url)
            .bearer_auth(self.key()?);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("{url} does not answer"))?;
        let status = response.status();
        let answer: Value = response
            .json()
            .await
            .with_context(|| format!("{url} answered {status} without JSON"))?;
        if !status.is_success() {
            bail!("{}", problem(&answer));
        }
        Ok(answer)
    }
}

/// A problem document as people read it.
fn problem(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!("{}: {}", text(&answer["title"]), text(&answer["detail"]))];
    for error in answer["errors"].as_array().into_iter().flatten() {
        lines.push(format!(
            "  {} {}",
            text(&error["pointer"]),
            text(&error["message"])
        ));
    }
    for item in answer["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|item| !item["problem"].is_null())
    {
        lines.push(format!(
            "  event {}: {}",
            item["index"],
            problem(&item["problem"])
        ));
    }
    lines.join("\n")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

pub(super) async fn send(args: SendArgs) -> anyhow::Result<()> {
    let event = if let Some(path) = &args.file {
        let mut text = String::new();
        if path.as_os_str() == "-" {
            std::io::stdin().read_to_string(&mut text)?;
        } else {
            text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        }
        serde_json::from_str(&text).with_context(|| format!("{}: expected JSON", path.display()))?
    } else {
        let data: Value = serde_json::from_str(&args.data).context("--data: expected a JSON object")?;
        let recipients: Vec<Value> = args.users.iter().map(|user| json!({ "user_id": user })).collect();
        let mut event = json!({ "type": args.event_type, "recipients": recipients, "data": data });
        for (name, value) in [("id", &args.id), ("priority", &args.priority)] {
            if let Some(value) = value {
                event[name] = json!(value);
            }
        }
        if recipients.is_empty()
            && let Some(event) = event.as_object_mut()
        {
            event.remove("recipients");
        }
        event
    };
    let answer = args.remote.call(Method::POST, "/v1/events", Some(event)).await?;
    if args.remote.json {
        println!("{answer}");
    } else if let Some(items) = answer["items"].as_array() {
        let count = |status: &str| items.iter().filter(|item| item["status"] == status).count();
        println!(
            "{} accepted, {} duplicate, {} rejected",
            count("accepted"),
            count("duplicate"),
            count("rejected")
        );
    } else {
        println!("{} {}", cell(&answer["status"]), cell(&answer["event_id"]));
    }
    Ok(())
}

pub(super) async fn events(command: EventsCommand) -> anyhow::Result<()> {
    let EventsCommand::Get { id, source, remote } = command;
    let query = source.map_or_else(String::new, |source| format!("?source={}", encoded(&source)));
    let event = remote
        .call(Method::GET, &format!("/v1/events/{}{query}", encoded(&id)), None)
        .await?;
    if remote.json {
        println!("{event}");
        return Ok(());
    }
    println!(
        "{} {} from {}: {}",
        cell(&event["type"]),
        cell(&event["event_id"]),
        cell(&event["source"]),
        cell(&event["status"])
    );
    print_table(
        &event["decisions"],
        &["recipient", "channel", "outcome", "reason", "sentence"],
    );
    print_table(
        &event["deliveries"],
        &["id", "channel", "to_masked", "status", "provider"],
    );
    Ok(())
}

pub(super) async fn deliveries(command: DeliveriesCommand) -> anyhow::Result<()> {
    match command {
        DeliveriesCommand::List {
            status,
            channel,
            user,
            event_type,
            limit,
            remote,
        } => {
            let mut query = vec![format!("limit={limit}")];
            for (name, values) in [
                ("status", status),
                ("channel", channel),
                ("user", user),
                ("type", event_type),
            ] {
                query.extend(values.iter().map(|value| format!("{name}={}", encoded(value))));
            }
            let path = format!("/v1/deliveries?{}", query.join("&"));
            let list = remote.call(Method::GET, &path, None).await?;
            let columns = [
                "id",
                "type",
                "user_id",
                "channel",
                "to_masked",
                "status",
                "provider",
                "attempt",
                "created_at",
            ];
            print_list(&list, &columns, remote.json);
        }
        DeliveriesCommand::Get { id, remote } => {
            let delivery = remote
                .call(Method::GET, &format!("/v1/deliveries/{}", encoded(&id)), None)
                .await?;
            if remote.json {
                println!("{delivery}");
                return Ok(());
            }
            println!(
                "{} by {} to {}: {}",
                cell(&delivery["type"]),
                cell(&delivery["channel"]),
                cell(&delivery["to_masked"]),
                cell(&delivery["status"])
            );
            print_table(
                &delivery["timeline"],
                &["at", "status", "attempt", "provider", "code", "detail"],
            );
            println!("{}", serde_json::to_string_pretty(&delivery["content"])?);
        }
    }
    Ok(())
}

pub(super) async fn dlq(command: DlqCommand) -> anyhow::Result<()> {
    match command {
        DlqCommand::List { remote } => {
            let list = remote.call(Method::GET, "/v1/dlq", None).await?;
            print_list(
                &list,
                &[
                    "id", "channel", "class", "provider", "code", "reason", "attempts", "state", "dead_at",
                ],
                remote.json,
            );
        }
        DlqCommand::Show { id, remote } => {
            let letter = remote
                .call(Method::GET, &format!("/v1/dlq/{}", encoded(&id)), None)
                .await?;
            println!(
                "{}",
                if remote.json {
                    letter.to_string()
                } else {
                    serde_json::to_string_pretty(&letter)?
                }
            );
        }
    }
    Ok(())
}

fn print_list(list: &Value, columns: &[&str], json: bool) {
    if json {
        println!("{list}");
    } else {
        print_table(&list["items"], columns);
    }
}

fn print_table(rows: &Value, columns: &[&str]) {
    let mut table = Table::new();
    table.set_header(columns);
    for row in rows.as_array().into_iter().flatten() {
        table.add_row(columns.iter().map(|column| cell(&row[*column])));
    }
    println!("{table}");
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
