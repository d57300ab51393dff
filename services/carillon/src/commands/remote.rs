//! Commands that call a gateway.

use std::io::Read as _;

use anyhow::{Context as _, anyhow, bail};
use carillon_domain::{event::without_mark, json::fault, visible::visible};
use carillon_runtime::{
    causes,
    http::{ClientOptions, client},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::{
    cli::{DecisionsArgs, DeliveriesCommand, EventArgs, EventsCommand, Remote, SendArgs},
    output::{self, cell},
};

impl Remote {
    /// Calls a route. The answer without a body is null.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        self.request(method, path, |request| match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    /// Posts JSON, with its numbers as they are written.
    pub(super) async fn post(&self, path: &str, json: String) -> anyhow::Result<Value> {
        self.request(Method::POST, path, |request| {
            request.header("content-type", "application/json").body(json)
        })
        .await
    }

    /// Sends lines of CSV to the suppression list.
    pub(super) async fn import(&self, lines: Vec<u8>) -> anyhow::Result<Value> {
        self.request(Method::POST, "/v1/suppressions/import", |request| {
            request.header("content-type", "text/csv").body(lines)
        })
        .await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        with_body: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> anyhow::Result<Value> {
        let target = self.target()?;
        let url = format!("{}{path}", target.url);
        let request = client(&ClientOptions::default())?
            .request(method, &url)
            .bearer_auth(target.key);
        let response = with_body(request)
            .send()
            .await
            .map_err(|error| unanswered(&target.url, error))?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
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

/// The error of a gateway that does not answer, with the innermost cause, since the outer ones repeat the address.
fn unanswered(url: &str, error: reqwest::Error) -> anyhow::Error {
    let error = error.without_url();
    let mut cause: &(dyn std::error::Error + 'static) = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    anyhow::anyhow!("{url} does not answer: {}", causes(cause))
}

/// A problem document as text for people.
fn problem(answer: &Value) -> String {
    let text = |value: &Value| visible(value.as_str().unwrap_or_default()).into_owned();
    // The detail of a 404 repeats its title.
    let first = match answer["status"].as_u64() {
        Some(404) => text(&answer["detail"]),
        _ => format!("{}: {}", text(&answer["title"]), text(&answer["detail"])),
    };
    let mut lines = vec![first];
    for error in answer["errors"].as_array().into_iter().flatten() {
        // The detail of a problem with one error is that error's message.
        if error["message"] == answer["detail"] {
            lines[0] = format!("{} ({})", lines[0], place(&error["pointer"]));
            continue;
        }
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
            cell(&item["index"]),
            problem(&item["problem"])
        ));
    }
    lines.join("\n")
}

/// The place of an error: a JSON pointer, or the whole body.
fn place(pointer: &Value) -> String {
    match pointer.as_str() {
        None | Some("") => "the whole body".to_owned(),
        Some(pointer) => visible(pointer).into_owned(),
    }
}

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl EventArgs {
    /// The event, or the content of the file.
    pub(super) fn read(&self) -> anyhow::Result<Value> {
        if let Some(path) = &self.file {
            let mut text = String::new();
            if path.as_os_str() == "-" {
                std::io::stdin().read_to_string(&mut text)?;
            } else {
                text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            }
            return serde_json::from_slice(without_mark(text.as_bytes()))
                .map_err(|error| anyhow!("{}: expected JSON: {}", path.display(), fault(&error)));
        }
        let data: Value = serde_json::from_str(&self.data)
            .map_err(|error| anyhow!("--data: expected a JSON object: {}", fault(&error)))?;
        let recipients: Vec<Value> = self.users.iter().map(|user| json!({ "user_id": user })).collect();
        let mut event = json!({ "type": self.event_type, "recipients": recipients, "data": data });
        for (name, value) in [
            ("id", &self.id),
            ("priority", &self.priority),
            ("sendat", &self.sendat),
        ] {
            if let Some(value) = value {
                event[name] = json!(value);
            }
        }
        if recipients.is_empty()
            && let Some(event) = event.as_object_mut()
        {
            event.remove("recipients");
        }
        Ok(event)
    }
}

pub(super) async fn send(args: SendArgs) -> anyhow::Result<()> {
    let event = args.event.read()?;
    let answer = args.remote.call(Method::POST, "/v1/events", Some(event)).await?;
    if args.remote.json {
        output::json(&answer)?;
    } else if let Some(items) = answer["items"].as_array() {
        let count = |status: &str| items.iter().filter(|item| item["status"] == status).count();
        output::say(&format!(
            "{} accepted, {} duplicate, {} rejected",
            count("accepted"),
            count("duplicate"),
            count("rejected")
        ))?;
    } else {
        output::say(&format!(
            "{} {}",
            cell(&answer["status"]),
            cell(&answer["event_id"])
        ))?;
    }
    Ok(())
}

pub(super) async fn events(command: EventsCommand) -> anyhow::Result<()> {
    let (id, source, reveal, remote) = match command {
        EventsCommand::Get {
            id,
            source,
            reveal,
            remote,
        } => (id, source, reveal, remote),
        EventsCommand::Cancel { id, source, remote } => return cancel_event(&id, source, &remote).await,
    };
    let source = source.map_or_else(String::new, |source| format!("&source={}", encoded(&source)));
    let path = format!("/v1/events/{}?reveal={reveal}{source}", encoded(&id));
    let event = remote.call(Method::GET, &path, None).await?;
    if remote.json {
        return output::json(&event);
    }
    let until = match event["scheduled_for"].as_str() {
        Some(_) => format!(" for {}", cell(&event["scheduled_for"])),
        None => String::new(),
    };
    output::say(&format!(
        "{} {} from {}: {}{until}",
        cell(&event["type"]),
        cell(&event["event_id"]),
        cell(&event["source"]),
        cell(&event["status"])
    ))?;
    print_table(
        &event["decisions"],
        &["recipient", "channel", "outcome", "reason", "sentence"],
    )?;
    print_table(
        &event["deliveries"],
        &[
            "id",
            "channel",
            "to_masked",
            "status",
            "provider",
            "next_attempt_at",
        ],
    )
}

pub(super) async fn decisions(args: DecisionsArgs) -> anyhow::Result<()> {
    let mut query = vec![format!("limit={}", args.limit)];
    let (from, to): (Vec<_>, Vec<_>) = (args.from.into_iter().collect(), args.to.into_iter().collect());
    for (name, values) in [
        ("user", &args.user),
        ("event", &args.event),
        ("channel", &args.channel),
        ("outcome", &args.outcome),
        ("reason", &args.reason),
        ("from", &from),
        ("to", &to),
    ] {
        query.extend(values.iter().map(|value| format!("{name}={}", encoded(value))));
    }
    let path = format!("/v1/decisions?{}", query.join("&"));
    let list = args.remote.call(Method::GET, &path, None).await?;
    let columns = [
        "at",
        "type",
        "event_id",
        "recipient",
        "channel",
        "outcome",
        "reason",
        "sentence",
    ];
    print_list(&list, &columns, args.remote.json)
}

async fn cancel_event(id: &str, source: Option<String>, remote: &Remote) -> anyhow::Result<()> {
    let source = source.map_or_else(String::new, |source| format!("?source={}", encoded(&source)));
    let path = format!("/v1/events/{}/cancel{source}", encoded(id));
    let answer = remote.call(Method::POST, &path, None).await?;
    if remote.json {
        return output::json(&answer);
    }
    let deliveries = &answer["deliveries"];
    output::say(&format!(
        "{}: the event is {}; of its deliveries {} are cancelled, {} are being sent, {} had ended",
        cell(&answer["result"]),
        cell(&answer["status"]),
        cell(&deliveries["cancelled"]),
        cell(&deliveries["too_late"]),
        cell(&deliveries["already_final"])
    ))
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
                "attempts",
                "next_attempt_at",
                "created_at",
            ];
            print_list(&list, &columns, remote.json)?;
        }
        DeliveriesCommand::Get { id, reveal, remote } => {
            let path = format!("/v1/deliveries/{}?reveal={reveal}", encoded(&id));
            let delivery = remote.call(Method::GET, &path, None).await?;
            if remote.json {
                return output::json(&delivery);
            }
            output::say(&format!(
                "{} by {} to {}: {}",
                cell(&delivery["type"]),
                cell(&delivery["channel"]),
                cell(&delivery["to_masked"]),
                cell(&delivery["status"])
            ))?;
            if let Some(next) = delivery["next_attempt_at"].as_str() {
                output::say(&format!("The next attempt is due at {next}."))?;
            }
            print_table(
                &delivery["timeline"],
                &[
                    "at", "status", "attempt", "attempts", "provider", "code", "detail", "due_at",
                ],
            )?;
            output::pretty(&delivery["content"])?;
        }
        DeliveriesCommand::Acknowledge { id, remote } => {
            let path = format!("/v1/deliveries/{}/acknowledge", encoded(&id));
            let answer = remote.call(Method::POST, &path, None).await?;
            if remote.json {
                return output::json(&answer);
            }
            let fallbacks = &answer["fallbacks"];
            output::say(&format!(
                "{}: the delivery is {}; of those that follow it {} are stopped, {} are being sent, {} had ended",
                cell(&answer["result"]),
                cell(&answer["status"]),
                cell(&fallbacks["stopped"]),
                cell(&fallbacks["too_late"]),
                cell(&fallbacks["already_final"])
            ))?;
        }
        DeliveriesCommand::Cancel { id, remote } => {
            let path = format!("/v1/deliveries/{}/cancel", encoded(&id));
            let answer = remote.call(Method::POST, &path, None).await?;
            if remote.json {
                return output::json(&answer);
            }
            output::say(&format!(
                "{}: the delivery is {}",
                cell(&answer["result"]),
                cell(&answer["status"])
            ))?;
        }
    }
    Ok(())
}

pub(super) fn print_list(list: &Value, columns: &[&str], json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(list);
    }
    print_table(&list["items"], columns)
}

pub(super) fn print_table(rows: &Value, columns: &[&str]) -> anyhow::Result<()> {
    let rows = rows.as_array().into_iter().flatten();
    output::table(
        columns,
        rows.map(|row| columns.iter().map(|column| cell(&row[*column])).collect()),
    )
}
