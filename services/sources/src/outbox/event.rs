//! The event of a row.

use std::collections::BTreeMap;

use carillon_domain::event::json_kind;
use serde_json::value::{RawValue, to_raw_value};

use super::{ClaimedRow, TableName};

/// The event of a row, to be posted.
#[derive(Debug)]
pub(super) struct PostedEvent {
    pub(super) position: i64,
    /// The event in Carillon's plain form.
    pub(super) json: String,
}

/// The event of a row: its column `event`, with id, time and source of the row where the event has none. They do not change
/// when the row is read again, so the gateway recognises the event.
pub(super) fn read(row: &ClaimedRow, table: &TableName) -> Result<PostedEvent, String> {
    let Ok(mut fields) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(&row.event) else {
        let found = json_kind(row.event.as_bytes());
        return Err(format!(
            "the column event: expected a JSON object, an event in the plain form, not {found}"
        ));
    };
    let defaults = [
        ("id", row.id.clone()),
        ("time", row.created_at.clone()),
        ("source", format!("/outbox/{table}")),
    ];
    for (name, value) in defaults {
        if fields.get(name).is_none_or(|own| own.get() == "null") {
            let value = to_raw_value(&value).map_err(|error| error.to_string())?;
            fields.insert(name.to_owned(), value);
        }
    }
    let json = serde_json::to_string(&fields).map_err(|error| error.to_string())?;
    Ok(PostedEvent {
        position: row.position,
        json,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn row(event: &str) -> ClaimedRow {
        ClaimedRow {
            position: 7,
            id: "r-1".to_owned(),
            event: event.to_owned(),
            created_at: "2026-11-24T10:00:00.123456Z".to_owned(),
            age: 0.0,
        }
    }

    #[test]
    fn an_event_has_id_time_and_source_of_its_row_unless_it_has_its_own_and_keeps_its_numbers() {
        let table: TableName = "shop.carillon_outbox".parse().unwrap();
        let item = read(&row(r#"{"type":"A","id":null,"data":{"price":1.10}}"#), &table).unwrap();
        assert_eq!(item.position, 7);
        assert!(item.json.contains("1.10"), "{}", item.json);
        let event: Value = serde_json::from_str(&item.json).unwrap();
        assert_eq!(
            (&event["id"], &event["time"], &event["source"]),
            (
                &json!("r-1"),
                &json!("2026-11-24T10:00:00.123456Z"),
                &json!("/outbox/shop.carillon_outbox")
            )
        );
        let own = r#"{"type":"A","id":"e","source":"/s","time":"2026-11-24T09:00:00Z"}"#;
        let event: Value = serde_json::from_str(&read(&row(own), &table).unwrap().json).unwrap();
        assert_eq!(event, serde_json::from_str::<Value>(own).unwrap());
    }

    #[test]
    fn a_row_whose_event_is_no_object_is_told_what_was_expected() {
        let table: TableName = "carillon_outbox".parse().unwrap();
        for (event, found) in [("[]", "a list"), ("\"x\"", "a string"), ("null", "null")] {
            let error = read(&row(event), &table).unwrap_err();
            assert!(
                error.contains("expected a JSON object") && error.ends_with(found),
                "{error}"
            );
        }
    }
}
