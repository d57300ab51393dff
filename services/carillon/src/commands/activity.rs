//! `carillon activity`: events with the outcomes for their recipients, sent or not.

use reqwest::Method;
use serde_json::Value;

use super::remote::encoded;
use crate::{
    cli::ActivityArgs,
    output::{self, cell},
};

/// The most outcomes of an event in a row of the table.
const SHOWN: usize = 4;

pub(super) async fn run(args: ActivityArgs) -> anyhow::Result<()> {
    let mut query = vec![format!("limit={}", args.limit)];
    for (name, value) in [
        ("q", &args.text),
        ("user", &args.user),
        ("address", &args.address),
        ("event", &args.event),
        ("type", &args.event_type),
        ("outcome", &args.outcome),
        ("reason", &args.reason),
        ("code", &args.code),
        ("provider_message_id", &args.provider_message_id),
        ("from", &args.from),
        ("to", &args.to),
    ] {
        query.extend(value.iter().map(|value| format!("{name}={}", encoded(value))));
    }
    let path = format!("/v1/activity?{}", query.join("&"));
    let list = args.remote.call(Method::GET, &path, None).await?;
    if args.remote.json {
        return output::json(&list);
    }
    let rows = list["items"].as_array().into_iter().flatten();
    let header = ["at", "type", "event_id", "status", "outcomes", "why"];
    output::table(
        &header,
        rows.map(|row| {
            vec![
                cell(&row["at"]),
                cell(&row["type"]),
                cell(&row["event_id"]),
                cell(&row["status"]),
                outcomes(row),
                why(row),
            ]
        }),
    )
}

/// The outcomes of a row, such as `u-42 email sent, u-42 sms no_address`.
fn outcomes(row: &Value) -> String {
    let all: Vec<&Value> = row["outcomes"].as_array().into_iter().flatten().collect();
    let mut words: Vec<String> = all
        .iter()
        .take(SHOWN)
        .map(|outcome| {
            let what = if outcome["status"].is_null() {
                &outcome["reason"]
            } else {
                &outcome["status"]
            };
            format!(
                "{} {} {}",
                cell(&outcome["recipient"]),
                cell(&outcome["channel"]),
                cell(what)
            )
        })
        .collect();
    if all.len() > SHOWN || row["has_more"] == true {
        words.push("…".to_owned());
    }
    words.join(", ")
}

/// The sentence of the first message that is not sent.
fn why(row: &Value) -> String {
    let mut outcomes = row["outcomes"].as_array().into_iter().flatten();
    let unsent = outcomes.find(|outcome| outcome["outcome"] != "send");
    unsent
        .map(|outcome| cell(&outcome["sentence"]))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_names_some_outcomes_and_says_why_a_message_was_not_sent() {
        let sent = json!({"recipient": "u-1", "channel": "email", "outcome": "send", "status": "sent", "reason": "allowed"});
        let not = json!({"recipient": "u-1", "channel": "sms", "outcome": "suppress", "status": null,
            "reason": "no_address", "sentence": "There is no phone number."});
        let row = json!({"outcomes": [sent, not], "has_more": false});
        assert_eq!(outcomes(&row), "u-1 email sent, u-1 sms no_address");
        assert_eq!(why(&row), "There is no phone number.");
        let many = json!({"outcomes": vec![sent; 9], "has_more": true});
        assert_eq!(outcomes(&many).matches("u-1").count(), SHOWN);
        assert!(outcomes(&many).ends_with('…') && why(&many).is_empty());
    }
}
