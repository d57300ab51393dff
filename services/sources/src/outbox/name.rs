//! The name of the outbox table.

use std::{fmt, str::FromStr};

use carillon_domain::field_error::quoted;

/// The longest name of PostgreSQL, in bytes. The index and the trigger have names that are longer than the table's.
const MAX: usize = 48;

/// The name of a table, with or without its schema. It is safe to be part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

/// The error of a text that names no table.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected a table's name, such as carillon_outbox or shop.carillon_outbox, of at most {MAX} lower-case letters, digits and \
     '_' beside the dot, not {0}"
)]
pub struct BadTableName(String);

impl FromStr for TableName {
    type Err = BadTableName;

    fn from_str(text: &str) -> Result<Self, BadTableName> {
        let is_name = |name: &str| {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            (1..=MAX).contains(&name.len())
                && name.chars().all(fits)
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        let (schema, table) = match text.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, text),
        };
        if !is_name(table) || !schema.is_none_or(is_name) {
            return Err(BadTableName(quoted(text)));
        }
        Ok(Self {
            schema: schema.map(str::to_owned),
            table: table.to_owned(),
        })
    }
}

impl TableName {
    /// The name without the schema. The channel of notifications has it.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// The schema with its dot, in quotes; empty without a schema.
    pub(super) fn prefix(&self) -> String {
        self.schema
            .as_ref()
            .map_or_else(String::new, |schema| format!("\"{schema}\"."))
    }

    /// The name as a statement has it. Quotes allow names that are words of SQL.
    pub(super) fn sql(&self) -> String {
        format!("{}\"{}\"", self.prefix(), self.table)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_a_schema_and_is_never_a_piece_of_a_statement() {
        for (text, sql) in [
            ("carillon_outbox", "\"carillon_outbox\""),
            ("shop.order", "\"shop\".\"order\""),
        ] {
            let name: TableName = text.parse().unwrap();
            assert_eq!((name.sql(), name.to_string()), (sql.to_owned(), text.to_owned()));
        }
        for wrong in [
            "",
            "a.b.c",
            "a;drop",
            "Outbox",
            "1a",
            "a\"b",
            "a b",
            ".a",
            "a.",
            &"x".repeat(49),
        ] {
            let error = wrong.parse::<TableName>().unwrap_err().to_string();
            assert!(error.starts_with("expected a table's name"), "{error}");
        }
    }
}
