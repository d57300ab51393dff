//! `carillon dlq groups`: causes of dead letters, how people handle them, and their planned replays.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    cli::{GroupsArgs, GroupsCommand, PlanArgs, Remote, SetArgs},
    commands::remote::{encoded, print_list},
    output::{self, cell},
};

const COLUMNS: [&str; 12] = [
    "fingerprint",
    "queue",
    "class",
    "provider",
    "code",
    "open",
    "again",
    "total",
    "last_hour",
    "last_day",
    "last_at",
    "owner",
];

pub(super) async fn run(args: GroupsArgs) -> anyhow::Result<()> {
    match args.command {
        None => list(&args).await,
        Some(GroupsCommand::Get { fingerprint, remote }) => {
            let group = remote.call(Method::GET, &path(&fingerprint), None).await?;
            show(&remote, &group)
        }
        Some(GroupsCommand::Set(args)) => {
            let body = Value::Object(patch(&args)?);
            let remote = &args.remote;
            let group = remote
                .call(Method::PATCH, &path(&args.fingerprint), Some(body))
                .await?;
            show(remote, &group)
        }
        Some(GroupsCommand::Plan(args)) => {
            let remote = &args.remote;
            let group = remote
                .call(Method::PUT, &plan_path(&args.fingerprint), Some(plan(&args)))
                .await?;
            if remote.json {
                return output::json(&group);
            }
            output::say(&cell(&group["planned_replay"]["sentence"]))
        }
        Some(GroupsCommand::CancelPlan { fingerprint, remote }) => {
            remote
                .call(Method::DELETE, &plan_path(&fingerprint), None)
                .await?;
            if remote.json {
                return output::json(&json!({"cancelled": true}));
            }
            output::say("Cancelled: nothing is replayed by itself.")
        }
    }
}

fn path(fingerprint: &str) -> String {
    format!("/v1/dlq/groups/{}", encoded(fingerprint))
}

fn plan_path(fingerprint: &str) -> String {
    format!("{}/planned-replay", path(fingerprint))
}

async fn list(args: &GroupsArgs) -> anyhow::Result<()> {
    let remote = &args.remote;
    let shown = match (args.ignored, args.all) {
        (true, _) => "true",
        (_, true) => "any",
        _ => "false",
    };
    let path = format!("/v1/dlq/groups?ignored={shown}");
    let list = remote.call(Method::GET, &path, None).await?;
    print_list(&list, &COLUMNS, remote.json)?;
    let hidden = &list["hidden"];
    if remote.json || hidden["causes"] == 0 {
        return Ok(());
    }
    let again = match hidden["again"].as_u64() {
        None | Some(0) => String::new(),
        Some(count) => format!(", {count} of them again since the last replay"),
    };
    output::say(&format!(
        "{} ignored causes with {} open letters{again}; `carillon dlq groups --ignored` shows them",
        cell(&hidden["causes"]),
        cell(&hidden["open"])
    ))
}

fn show(remote: &Remote, group: &Value) -> anyhow::Result<()> {
    if remote.json {
        output::json(group)
    } else {
        output::pretty(group)
    }
}

fn patch(args: &SetArgs) -> anyhow::Result<Map<String, Value>> {
    let mut body = Map::new();
    for (name, text) in [("note", &args.note), ("owner", &args.owner)] {
        if let Some(text) = text {
            let text = Some(text).filter(|text| !text.trim().is_empty());
            body.insert(name.to_owned(), json!(text));
        }
    }
    if args.ignore || args.unignore {
        body.insert("ignored".to_owned(), json!(args.ignore));
    }
    if body.is_empty() {
        anyhow::bail!("expected --note, --owner, --ignore or --unignore");
    }
    Ok(body)
}

fn plan(args: &PlanArgs) -> Value {
    let mut body = match (&args.template, &args.account) {
        (Some(id), _) => json!({"template": {"id": id}}),
        (None, account) => json!({"account": account}),
    };
    if let Some(after) = args.after {
        body["template"]["after"] = json!(after);
    }
    body["canary"] = if args.no_canary {
        json!(false)
    } else {
        json!(args.canary)
    };
    if let Some(percent) = args.canary_tolerance {
        body["canary_tolerance"] = json!(percent);
    }
    if let Some(rate) = args.rate {
        body["rate"] = json!(rate);
    }
    if let Some(note) = &args.note {
        body["note"] = json!(note);
    }
    body
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, DlqCommand};

    fn parsed(words: &str) -> Result<GroupsCommand, String> {
        let words = format!("carillon dlq groups {words}");
        let cli = Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        match cli.command {
            Some(Command::Dlq(DlqCommand::Groups(GroupsArgs {
                command: Some(command),
                ..
            }))) => Ok(command),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plan_has_a_canary_unless_it_is_told_otherwise() {
        for (words, expected) in [
            (
                "plan f --template A/sms",
                json!({"template": {"id": "A/sms"}, "canary": 10}),
            ),
            (
                "plan f --template A/sms --after 3 --no-canary",
                json!({"template": {"id": "A/sms", "after": 3}, "canary": false}),
            ),
            (
                "plan f --account twilio --canary 5 --canary-tolerance 20 --rate 7 --note n",
                json!({"account": "twilio", "canary": 5, "canary_tolerance": 20, "rate": 7, "note": "n"}),
            ),
        ] {
            let Ok(GroupsCommand::Plan(args)) = parsed(words) else {
                panic!("{words}")
            };
            assert_eq!(plan(&args), expected, "{words}");
        }
        for words in [
            "plan f",
            "plan f --account a --template A/sms",
            "plan f --account a --after 3",
            "plan f --account a --no-canary --canary 3",
        ] {
            assert!(parsed(words).is_err(), "{words}");
        }
    }

    #[test]
    fn a_change_names_only_what_it_changes() {
        for (words, expected) in [
            (
                "set f --owner ada --ignore",
                json!({"owner": "ada", "ignored": true}),
            ),
            (
                "set f --note= --unignore",
                json!({"note": null, "ignored": false}),
            ),
        ] {
            let Ok(GroupsCommand::Set(args)) = parsed(words) else {
                panic!("{words}")
            };
            assert_eq!(patch(&args).map(Value::Object).ok(), Some(expected), "{words}");
        }
        let Ok(GroupsCommand::Set(args)) = parsed("set f") else {
            panic!()
        };
        assert!(patch(&args).is_err());
    }
}
