//! `carillon suppressions`: the suppression list, through a gateway.

mod parts;

use std::{
    fs::File,
    io::{BufRead, BufReader, IsTerminal as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use carillon_domain::{Channel, visible::visible};
use carillon_runtime::text_pieces::TextReader;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Value, json};

use self::parts::Parts;
use super::remote::{encoded, print_list};
use crate::{
    cli::{ChannelArg, Expiry, Remote, SuppressionsCommand},
    output::{self, cell},
};

/// The most refused lines that are printed.
const MAX_PRINTED: usize = 20;

pub(super) async fn run(command: SuppressionsCommand) -> anyhow::Result<ExitCode> {
    match command {
        SuppressionsCommand::List {
            channel,
            reason,
            limit,
            remote,
        } => {
            let mut query = vec![format!("limit={limit}")];
            query.extend(
                channel
                    .into_iter()
                    .map(|channel| format!("channel={}", Channel::from(channel))),
            );
            query.extend(reason.iter().map(|reason| format!("reason={}", encoded(reason))));
            let path = format!("/v1/suppressions?{}", query.join("&"));
            let list = remote.call(Method::GET, &path, None).await?;
            let columns = [
                "channel",
                "address_masked",
                "reason",
                "provider",
                "code",
                "actor",
                "note",
                "created_at",
                "expires_at",
            ];
            print_list(&list, &columns, remote.json)?;
        }
        SuppressionsCommand::Add {
            channel,
            address,
            note,
            expires_at,
            remote,
        } => {
            let mut body = json!({});
            if let Some(note) = note {
                body["note"] = json!((!note.is_empty()).then_some(note));
            }
            match expires_at {
                Some(Expiry::Never) => body["expires_at"] = Value::Null,
                Some(Expiry::At(time)) => body["expires_at"] = json!(time),
                None => {}
            }
            let entry = remote
                .call(Method::PUT, &path(channel, &address), Some(body))
                .await?;
            if remote.json {
                output::json(&entry)?;
            } else {
                output::say(&added(&entry, matches!(expires_at, Some(Expiry::At(_)))))?;
            }
        }
        SuppressionsCommand::Remove {
            channel,
            address,
            remote,
        } => {
            remote
                .call(Method::DELETE, &path(channel, &address), None)
                .await?;
            if remote.json {
                output::json(&json!({ "removed": true }))?;
            } else {
                output::say("Removed: the address takes messages again.")?;
            }
        }
        SuppressionsCommand::Import { file, remote } => return import(&file, &remote).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// The sentence about an entry that was written.
fn added(entry: &Value, is_to_expire: bool) -> String {
    let [address, channel, reason] = ["address_masked", "channel", "reason"].map(|name| cell(&entry[name]));
    let until = match &entry["expires_at"] {
        Value::Null if is_to_expire => "; it does not expire, because the recipient asked for it".to_owned(),
        Value::Null => String::new(),
        time => format!(", until {}", cell(time)),
    };
    format!("{address} takes no messages by {channel}: {reason}{until}")
}

fn path(channel: ChannelArg, address: &str) -> String {
    format!("/v1/suppressions/{}/{}", Channel::from(channel), encoded(address))
}

/// Sends a file in parts, and adds up the answers.
async fn import(file: &Path, remote: &Remote) -> anyhow::Result<ExitCode> {
    let name = file.display().to_string();
    let (size, opened): (u64, Box<dyn BufRead + Send>) = if file.as_os_str() == "-" {
        (0, Box::new(BufReader::new(TextReader::new(std::io::stdin()))))
    } else {
        let opened = File::open(file).with_context(|| name.clone())?;
        (
            opened.metadata().with_context(|| name.clone())?.len(),
            Box::new(BufReader::new(TextReader::new(opened))),
        )
    };
    let progress = progress(size, remote.json);
    let mut parts = Parts::of(opened);
    let mut total = json!({ "read": 0, "added": 0, "present": 0, "refused": 0, "errors": [] });
    while let Some(part) = parts.next().with_context(|| name.clone())? {
        let answer = remote.import(part.body).await.with_context(|| {
            format!(
                "{name}: line {} and those after it were not imported",
                part.first_line
            )
        })?;
        add(&mut total, &answer, part.lines_before);
        progress.inc(part.size);
    }
    progress.finish_and_clear();
    if total["read"] == 0 {
        let expected = if parts.has_heading() {
            "expected lines with addresses after the heading"
        } else {
            "expected lines such as email,ada@example.com, not an empty file"
        };
        bail!("{name}: {expected}");
    }
    let refused = total["refused"].as_u64().unwrap_or_default();
    if remote.json {
        output::json(&total)?;
    } else {
        report(&total)?;
    }
    Ok(if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A bar on a terminal.
fn progress(size: u64, json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Adds a part's answer to the total. `before` is added to its line numbers.
fn add(total: &mut Value, answer: &Value, before: i64) {
    for name in ["read", "added", "present", "refused"] {
        let sum = total[name].as_u64().unwrap_or_default() + answer[name].as_u64().unwrap_or_default();
        total[name] = json!(sum);
    }
    let Some(errors) = total["errors"].as_array_mut() else {
        return;
    };
    for error in answer["errors"].as_array().into_iter().flatten() {
        let mut error = error.clone();
        error["line"] = json!(error["line"].as_i64().unwrap_or_default() + before);
        errors.push(error);
    }
}

fn report(total: &Value) -> anyhow::Result<()> {
    output::say(&format!(
        "{} lines read: {} added, {} already on the list, {} refused.",
        cell(&total["read"]),
        cell(&total["added"]),
        cell(&total["present"]),
        cell(&total["refused"])
    ))?;
    let errors = total["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    for error in errors.iter().take(MAX_PRINTED) {
        let message = visible(error["message"].as_str().unwrap_or_default());
        output::say(&format!(
            "  line {} {}: {message}",
            cell(&error["line"]),
            cell(&error["field"])
        ))?;
    }
    if errors.len() > MAX_PRINTED {
        output::say("  Further errors are shown by --json.")?;
    }
    Ok(())
}
