//! `carillon dlq`: dead letters, and the jobs that work them off.

mod edit;
mod groups;

use std::{io::IsTerminal as _, time::Duration};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::remote::{encoded, print_list, print_table};
use crate::{
    cli::{DlqCommand, LetterFilter, Remote, SettleArgs},
    output::{self, cell},
};

/// The interval at which `--wait` asks for the job's progress.
const LOOK: Duration = Duration::from_millis(500);

const LETTERS: [&str; 9] = [
    "id", "channel", "class", "provider", "code", "reason", "attempts", "state", "dead_at",
];
const JOBS: [&str; 9] = [
    "id",
    "kind",
    "state",
    "processed",
    "total",
    "settled",
    "skipped",
    "key_name",
    "created_at",
];

pub(super) async fn run(command: DlqCommand) -> anyhow::Result<()> {
    match command {
        DlqCommand::List {
            state,
            fingerprint,
            filter,
            limit,
            remote,
        } => {
            let mut query = vec![format!("limit={limit}")];
            let state = state.iter().map(|state| ("state", state));
            let fingerprint = fingerprint.iter().map(|text| ("fingerprint", text));
            let lists = filter.lists().into_iter();
            let lists = lists.flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
            let all = state.chain(fingerprint).chain(lists);
            query.extend(all.map(|(name, value)| format!("{name}={}", encoded(value))));
            let times = filter.times().into_iter();
            let times = times.filter_map(|(name, time)| Some((name, time?.to_string())));
            query.extend(times.map(|(name, time)| format!("{name}={}", encoded(&time))));
            query.extend(filter.ignored.then(|| "ignored=true".to_owned()));
            let path = format!("/v1/dlq?{}", query.join("&"));
            let list = remote.call(Method::GET, &path, None).await?;
            print_list(&list, &LETTERS, remote.json)
        }
        DlqCommand::Get { id, reveal, remote } => {
            let path = format!("/v1/dlq/{}?reveal={reveal}", encoded(&id));
            let letter = remote.call(Method::GET, &path, None).await?;
            if remote.json {
                output::json(&letter)
            } else {
                output::pretty(&letter)
            }
        }
        DlqCommand::Groups(args) => groups::run(args).await,
        DlqCommand::Replay(args) => settle("replay", args).await,
        DlqCommand::Edit(args) => edit::run(args).await,
        DlqCommand::Discard(args) => settle("discard", args).await,
        DlqCommand::Jobs { id: None, remote } => {
            let list = remote.call(Method::GET, "/v1/dlq/jobs", None).await?;
            print_list(&list, &JOBS, remote.json)
        }
        DlqCommand::Jobs { id: Some(id), remote } => {
            let path = format!("/v1/dlq/jobs/{}", encoded(&id));
            let job = remote.call(Method::GET, &path, None).await?;
            if remote.json {
                output::json(&job)
            } else {
                output::pretty(&job)
            }
        }
        DlqCommand::Cancel { id, remote } => change(&remote, &id, "cancel").await,
        DlqCommand::Pause { id, remote } => change(&remote, &id, "pause").await,
        DlqCommand::Resume { id, remote } => change(&remote, &id, "resume").await,
    }
}

async fn settle(kind: &str, args: SettleArgs) -> anyhow::Result<()> {
    let mut body = selection(&args)?;
    body.insert("dry_run".to_owned(), json!(args.dry_run));
    if let Some(rate) = args.rate {
        body.insert("rate".to_owned(), json!(rate));
    }
    if let Some(note) = &args.note {
        body.insert("note".to_owned(), json!(note));
    }
    if let Some(letters) = args.canary {
        body.insert("canary".to_owned(), json!(letters));
    }
    if let Some(percent) = args.canary_tolerance {
        body.insert("canary_tolerance".to_owned(), json!(percent));
    }
    let remote = &args.remote;
    let path = format!("/v1/dlq/{kind}");
    let answer = remote
        .call(Method::POST, &path, Some(Value::Object(body)))
        .await?;
    if args.wait {
        return wait(remote, &answer).await;
    }
    if remote.json {
        return output::json(&answer);
    }
    if args.dry_run {
        return rehearsed(kind, &answer);
    }
    let (job, total) = (cell(&answer["job_id"]), cell(&answer["total"]));
    output::say(&format!(
        "job {job} with {total} letters; `carillon dlq jobs {job}` shows its progress"
    ))
}

/// The members of the request that select letters.
fn selection(args: &SettleArgs) -> anyhow::Result<Map<String, Value>> {
    let given = [
        !args.ids.is_empty(),
        args.fingerprint.is_some(),
        args.all || args.filter.is_given(),
    ];
    let mut body = Map::new();
    match given {
        [true, false, false] => body.insert("ids".to_owned(), json!(args.ids)),
        [false, true, false] => body.insert("fingerprint".to_owned(), json!(args.fingerprint)),
        [false, false, true] => body.insert("filter".to_owned(), filter(&args.filter)),
        [false, false, false] => {
            bail!("expected ids, --fingerprint, a filter such as --channel sms, or --all")
        }
        _ => bail!("expected only one of ids, --fingerprint and filters such as --channel"),
    };
    Ok(body)
}

fn filter(filter: &LetterFilter) -> Value {
    let lists = filter
        .lists()
        .into_iter()
        .filter(|(_, values)| !values.is_empty());
    let lists = lists.map(|(name, values)| (name.to_owned(), json!(values)));
    let times = filter.times().into_iter();
    let times = times.filter_map(|(name, time)| Some((name.to_owned(), json!(time?))));
    let ignored = filter.ignored.then(|| ("ignored".to_owned(), json!(true)));
    Value::Object(lists.chain(times).chain(ignored).collect())
}

/// Prints a dry run.
fn rehearsed(kind: &str, answer: &Value) -> anyhow::Result<()> {
    let would = &answer["would"];
    let counts = match kind {
        "replay" => format!(
            "{} put back, {} expired",
            cell(&would["send"]),
            cell(&would["expire"])
        ),
        _ => format!("{} discarded", cell(&would["discard"])),
    };
    output::say(&format!(
        "of {} letters ({} looked at): {counts}, {} unchanged",
        cell(&answer["total"]),
        cell(&answer["examined"]),
        cell(&would["unchanged"])
    ))?;
    print_table(&answer["samples"], &["id", "outcome", "code", "reason"])
}

/// Waits for the end of a job. Its progress is shown on a terminal's standard error.
async fn wait(remote: &Remote, made: &Value) -> anyhow::Result<()> {
    let path = format!("/v1/dlq/jobs/{}", cell(&made["job_id"]));
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(made["total"].as_u64().unwrap_or_default())
    } else {
        ProgressBar::hidden()
    };
    bar.set_style(ProgressStyle::with_template(
        "{wide_bar} {pos} of {len} letters, {elapsed} gone, {eta} left",
    )?);
    let job = loop {
        let job = remote.call(Method::GET, &path, None).await?;
        bar.set_position(job["processed"].as_u64().unwrap_or_default());
        // A job that its canary has stopped waits for a person.
        if job["state"] != "running" && job["state"] != "paused" {
            break job;
        }
        tokio::time::sleep(LOOK).await;
    };
    bar.finish_and_clear();
    if remote.json {
        output::json(&job)?;
    } else {
        let reasons = job["reasons"].as_object().into_iter().flatten();
        let reasons: Vec<String> = reasons
            .map(|(reason, count)| format!("{} {reason}", cell(count)))
            .collect();
        let skipped = if reasons.is_empty() {
            String::new()
        } else {
            format!(" ({})", reasons.join(", "))
        };
        output::say(&format!(
            "{}: {} of {} letters settled, {} unchanged{skipped}",
            cell(&job["state"]),
            cell(&job["settled"]),
            cell(&job["total"]),
            cell(&job["skipped"])
        ))?;
    }
    match job["state"].as_str() {
        Some("done") => {}
        Some("stopped") => {
            let (id, why) = (cell(&job["id"]), cell(&job["canary"]["sentence"]));
            bail!("{why}; `carillon dlq resume {id}` lets it go on");
        }
        _ => bail!("the job is {}", cell(&job["state"])),
    }
    Ok(())
}

/// Changes a job's state, and prints the result with the job's progress.
async fn change(remote: &Remote, id: &str, how: &str) -> anyhow::Result<()> {
    let path = format!("/v1/dlq/jobs/{}/{how}", encoded(id));
    let answer = remote.call(Method::POST, &path, None).await?;
    if remote.json {
        return output::json(&answer);
    }
    let job = &answer["job"];
    output::say(&format!(
        "{}: {} of {} letters are worked off",
        cell(&answer["result"]),
        cell(&job["processed"]),
        cell(&job["total"])
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn selected(words: &str) -> Result<Value, String> {
        let cli = Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        let Some(Command::Dlq(DlqCommand::Replay(args))) = cli.command else {
            panic!("{words}")
        };
        selection(&args)
            .map(Value::Object)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_job_has_ids_or_a_cause_or_a_filter() {
        for (words, expected) in [
            ("a b", json!({"ids": ["a", "b"]})),
            ("--fingerprint f", json!({"fingerprint": "f"})),
            ("--all", json!({"filter": {}})),
            ("--all --ignored", json!({"filter": {"ignored": true}})),
            (
                "--channel sms --channel email --type T --from 2026-11-24",
                json!({"filter": {"channel": ["sms", "email"], "type": ["T"], "from": "2026-11-24T00:00:00Z"}}),
            ),
        ] {
            assert_eq!(selected(&format!("carillon dlq replay {words}")), Ok(expected));
        }
        for words in [
            "",
            " a --channel sms",
            " a --fingerprint f",
            " --fingerprint f --code x",
            " a --all",
        ] {
            assert!(
                selected(&format!("carillon dlq replay{words}")).is_err(),
                "{words}"
            );
        }
    }
}
