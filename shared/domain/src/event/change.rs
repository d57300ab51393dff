//! Database rows in events of change data capture (CDC).

use serde_json::Value;

use super::Event;

impl Event {
    /// Whether the data reports a deleted row: a Debezium envelope, in `data` or in `data.payload`, whose `after` is
    /// null. Such a row names no recipient.
    #[must_use]
    pub fn is_deleted_row(&self) -> bool {
        let Ok(data) = serde_json::from_str::<Value>(self.data.get()) else {
            return false;
        };
        let envelope = data.get("payload").unwrap_or(&data);
        let is_null = |name| envelope.get(name).is_none_or(Value::is_null);
        match envelope.get("op").and_then(Value::as_str) {
            // `d`: the row was deleted; `t`: the whole table was truncated.
            Some("d" | "t") => is_null("after"),
            Some(_) => false,
            None => envelope.get("after").is_some_and(Value::is_null) && !is_null("before"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{Defaults, Event};

    #[test]
    fn a_row_is_deleted_if_after_is_null() {
        let is_gone = |data: &str| {
            let json = format!(r#"{{"specversion":"1.0","id":"1","source":"/","type":"T","data":{data}}}"#);
            Event::from_cloudevent(json.as_bytes(), Defaults::at(crate::Timestamp::UNIX_EPOCH))
                .unwrap()
                .is_deleted_row()
        };
        for data in [
            r#"{"before":{"id":1},"after":null,"op":"d","ts_ms":1}"#,
            r#"{"schema":{"type":"struct"},"payload":{"before":{"id":1},"after":null,"op":"d"}}"#,
            r#"{"payload":{"before":{"id":1},"after":null}}"#,
            r#"{"op":"t","source":{"table":"orders"}}"#,
        ] {
            assert!(is_gone(data), "{data}");
        }
        for data in [
            r#"{"before":null,"after":{"id":1},"op":"c"}"#,
            r#"{"payload":{"before":{"id":1},"after":{"id":1},"op":"u"}}"#,
            r#"{"after":null}"#,
            r#"{"op":"d","after":{"id":1}}"#,
            r#"{"order_id":"1"}"#,
            "{}",
        ] {
            assert!(!is_gone(data), "{data}");
        }
    }
}
