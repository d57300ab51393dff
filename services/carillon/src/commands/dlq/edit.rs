//! `carillon dlq edit`: shows the changes, asks, and sends the letter again.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, bail};
use carillon_domain::json::fault;
use serde_json::{Value, value::RawValue};

use super::wait;
use crate::{
    cli::EditArgs,
    output::{self, cell},
};

pub(super) async fn run(args: EditArgs) -> anyhow::Result<()> {
    let edit = patch(&args)?;
    let remote = &args.remote;
    let path = format!("/v1/dlq/replay?reveal={}", args.reveal);
    let rehearsed = remote.post(&path, body(&args, &edit, true)).await?;
    if args.dry_run && remote.json {
        return output::json(&rehearsed);
    }
    if !remote.json {
        show(&rehearsed)?;
    }
    if rehearsed["would"]["send"] != 1 {
        let reason = cell(&rehearsed["samples"][0]["reason"]);
        bail!("the letter cannot be put back: {reason}");
    }
    if args.dry_run {
        return Ok(());
    }
    if !args.yes && !is_confirmed()? {
        bail!("nothing was sent");
    }
    let made = remote.post(&path, body(&args, &edit, false)).await?;
    if args.wait {
        return wait(remote, &made).await;
    }
    if remote.json {
        return output::json(&made);
    }
    let job = cell(&made["job_id"]);
    output::say(&format!(
        "job {job}; `carillon dlq jobs {job}` shows its progress"
    ))
}

/// The request. The patch goes into it as it was written, so that its numbers keep their digits.
fn body(args: &EditArgs, patch: &str, is_dry: bool) -> String {
    let id = Value::from(args.id.as_str());
    let note = match &args.note {
        Some(note) => format!(",\"note\":{}", Value::from(note.as_str())),
        None => String::new(),
    };
    format!("{{\"ids\":[{id}],\"edit\":{patch},\"dry_run\":{is_dry}{note}}}")
}

/// The JSON Patch that the arguments ask for.
fn patch(args: &EditArgs) -> anyhow::Result<String> {
    let read =
        |path: &std::path::Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    if let Some(patch) = &args.patch {
        let text = match patch.strip_prefix('@') {
            Some(path) => read(path.as_ref())?,
            None => patch.clone(),
        };
        return checked(&text, "--patch");
    }
    if let Some(path) = &args.event {
        let event = checked(&read(path)?, &path.display().to_string())?;
        return Ok(format!(
            "[{{\"op\":\"replace\",\"path\":\"\",\"value\":{event}}}]"
        ));
    }
    let mut operations = Vec::new();
    for (op, each) in [("replace", &args.replace), ("add", &args.add)] {
        for text in each {
            let Some((pointer, value)) = text.split_once('=') else {
                bail!("expected a pointer, = and a value, such as /data/carrier=DHL, not {text}");
            };
            let (pointer, value) = (Value::from(pointer), json_or_text(value));
            operations.push(format!(
                "{{\"op\":\"{op}\",\"path\":{pointer},\"value\":{value}}}"
            ));
        }
    }
    for pointer in &args.remove {
        let pointer = Value::from(pointer.as_str());
        operations.push(format!("{{\"op\":\"remove\",\"path\":{pointer}}}"));
    }
    if operations.is_empty() {
        bail!("expected a change: --replace, --add, --remove, --patch or --event");
    }
    Ok(format!("[{}]", operations.join(",")))
}

fn checked(text: &str, what: &str) -> anyhow::Result<String> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => Ok(raw.get().to_owned()),
        Err(error) => bail!("{what}: expected JSON: {}", fault(&error)),
    }
}

/// JSON as it is; any other text as a JSON string.
fn json_or_text(text: &str) -> String {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => raw.get().to_owned(),
        Err(_) => Value::from(text).to_string(),
    }
}

/// Prints the changes.
fn show(rehearsed: &Value) -> anyhow::Result<()> {
    let value = |value: &Value| match value {
        Value::Null => "–".to_owned(),
        value => value.to_string(),
    };
    let changes = rehearsed["changes"].as_array().into_iter().flatten();
    output::table(
        &["field", "before", "after"],
        changes.map(|change| {
            let pointer = match cell(&change["pointer"]) {
                pointer if pointer.is_empty() => "the whole record".to_owned(),
                pointer => pointer,
            };
            vec![pointer, value(&change["before"]), value(&change["after"])]
        }),
    )
}

/// Asks on the terminal. Without a terminal, `--yes` is required.
fn is_confirmed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("expected --yes, because there is no terminal to ask on");
    }
    output::ask("Send it again with these changes? [y/N] ")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, DlqCommand};

    fn patch_of(words: &[&str]) -> Result<String, String> {
        let all = ["carillon", "dlq", "edit", "6f1d51c8"]
            .into_iter()
            .chain(words.iter().copied());
        let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
        let Some(Command::Dlq(DlqCommand::Edit(args))) = cli.command else {
            panic!("{words:?}")
        };
        patch(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_json_or_else_texts_and_numbers_keep_their_digits() {
        let patch = patch_of(&[
            "--replace",
            "/data/total=1.50",
            "--add",
            "/data/note=a=b",
            "--remove",
            "/data/x",
        ]);
        assert_eq!(
            patch.unwrap(),
            r#"[{"op":"replace","path":"/data/total","value":1.50},{"op":"add","path":"/data/note","value":"a=b"},{"op":"remove","path":"/data/x"}]"#
        );
        let given = r#"[{"op":"test","path":"/data/n","value":1e2}]"#;
        assert_eq!(patch_of(&["--patch", given]).unwrap(), given);
    }

    #[test]
    fn an_edit_without_a_change_or_with_wrong_json_is_refused() {
        for (words, expected) in [
            (&[][..], "expected a change"),
            (&["--replace", "/data/x"], "expected a pointer, = and a value"),
            (&["--patch", "[{"], "--patch: expected JSON"),
            (&["--patch", "[]", "--replace", "/a=1"], "cannot be used with"),
        ] {
            let said = patch_of(words).unwrap_err();
            assert!(said.contains(expected), "{words:?} {said}");
        }
    }
}
