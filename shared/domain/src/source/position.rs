//! The position of a change in its database's log. It is the same each time the change is reported, while the record's
//! offset is not: after its restart, a connector may report changes again.

use super::document::member;
use crate::json::{Map, Value};

/// The fields of `source` that name the database and the table.
const TABLE: [&str; 6] = ["connector", "name", "db", "schema", "table", "collection"];
/// The fields of `source` that are positions in the log: of PostgreSQL, MySQL and MariaDB, SQL Server and Db2, Oracle,
/// MongoDB.
const POSITION: [&str; 13] = [
    "lsn",
    "txId",
    "file",
    "pos",
    "row",
    "commit_lsn",
    "change_lsn",
    "event_serial_no",
    "commit_scn",
    "scn",
    "rs_id",
    "ssn",
    "ord",
];

/// The position of a change as a text; `None` if `source` has none. Changes of several rows may share one, so the key
/// belongs to it; without a key, the row does.
pub(super) fn of(document: &Map) -> Option<String> {
    let source = member(document, "source")?;
    let Value::Object(source) = source else {
        return None;
    };
    let present = |names: &[&str]| -> Map {
        let found = names.iter().filter_map(|name| {
            let value = member(source, name)?;
            Some(((*name).to_owned(), value.clone()))
        });
        found.collect()
    };
    let mut position = present(&POSITION);
    if position.is_empty() {
        return None;
    }
    // The members of an object are ordered by name, so the text does not depend on the order in the record.
    position.extend(present(&TABLE));
    // MongoDB counts `ord` within a second.
    if position.contains_key("ord") {
        position.extend(present(&["ts_ms"]));
    }
    let row = member(document, "key")
        .map_or_else(|| ("after", member(document, "after")), |key| ("key", Some(key)));
    if let (name, Some(row)) = row {
        position.insert(format!("row {name}"), row.clone());
    }
    if let Some(op) = member(document, "op") {
        position.insert("op".to_owned(), op.clone());
    }
    Some(Value::Object(position).to_string())
}
