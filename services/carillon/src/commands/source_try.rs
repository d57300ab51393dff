//! `carillon source try`: the rules of a catalog folder on records of a file.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail};
use carillon_domain::{
    field_error::{join, quoted},
    source::{Conversion, SourceDef, SourceRecord, convert},
};
use carillon_templates::catalog_folder;
use serde_json::{Value, json};

use crate::output;

/// The value that stands for none, as the option `null.marker=NULL` of Kafka's console tools has it.
const NONE: &str = "NULL";

pub(super) fn run(folder: &Path, file: &Path, topic: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    let catalog = catalog_folder::load(folder)?.catalog;
    let Some(def) = catalog.sources.get(topic) else {
        let known: Vec<&str> = catalog.sources.keys().map(String::as_str).collect();
        bail!(
            "--topic: expected a topic for which the catalog has rules ({}), not {}",
            known.join(", "),
            quoted(topic)
        );
    };
    let text = read(file)?;
    let mut all_converted = true;
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let told = converted(def, topic, line);
        all_converted &= told["errors"].is_null();
        tell(index + 1, &told, as_json)?;
    }
    Ok(if all_converted {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("standard input: expected UTF-8")?;
        return Ok(text);
    }
    fs::read_to_string(file).map_err(|error| {
        let why = carillon_runtime::os_sentence(&error);
        anyhow!("{}: expected a file of records: {why}", file.display())
    })
}

/// What the rules make of a line: `events`, `errors`, or `skipped` with the reason.
fn converted(def: &SourceDef, topic: &str, line: &str) -> Value {
    let parts: Vec<&str> = line.splitn(3, '\t').collect();
    let (headers, key, value) = match parts[..] {
        [headers, key, value] => (headers, Some(key), value),
        [key, value] => ("", Some(key), value),
        _ => ("", None, line),
    };
    let record = SourceRecord {
        topic,
        key: key.filter(|key| *key != NONE).map(str::as_bytes),
        value: if value == NONE { b"" } else { value.as_bytes() },
        headers: headers
            .split(',')
            .filter_map(|header| header.split_once(':'))
            .map(|(name, value)| (name, value.as_bytes()))
            .collect(),
        written_at: None,
    };
    match convert(def, &record) {
        Ok(Conversion::Skipped(why)) => {
            let why: &str = why.into();
            json!({ "skipped": why })
        }
        Ok(Conversion::Converted { events, errors }) => {
            let events = events.iter().map(|sourced| serde_json::from_slice(&sourced.json));
            let events: Vec<Value> = events.filter_map(Result::ok).collect();
            let errors = (!errors.is_empty()).then(|| join(&errors));
            json!({ "events": events, "errors": errors })
        }
        Err(error) => json!({ "errors": error.to_string() }),
    }
}

fn tell(line: usize, told: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let mut told = told.clone();
        told["line"] = line.into();
        return output::json(&told);
    }
    if let Some(why) = told["skipped"].as_str() {
        return output::say(&format!("Line {line} is skipped: {why}"));
    }
    for event in told["events"].as_array().into_iter().flatten() {
        output::say(&format!("Line {line} becomes an event:"))?;
        output::pretty(event)?;
    }
    if let Some(errors) = told["errors"].as_str() {
        output::say(&format!("Line {line} would be a dead letter: {errors}"))?;
    }
    Ok(())
}
