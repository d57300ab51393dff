//! Versions of the wire forms. A record says its version in `v`.

use serde::{Deserialize, de::DeserializeOwned};

/// A record that this code cannot read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A newer Carillon wrote it.
    #[error(
        "expected version {expected} of the record's form, not {found}: another version of Carillon wrote it"
    )]
    Version {
        /// The version that this code reads.
        expected: u32,
        /// The version of the record.
        found: u32,
    },
    /// The record's JSON does not have the expected form.
    #[error(transparent)]
    Form(#[from] serde_json::Error),
}

/// Reads a record of one version. The version is checked first where the two differ in more than the number.
pub(crate) fn read<T: DeserializeOwned>(
    json: &[u8],
    expected: u32,
    version: impl Fn(&T) -> u32,
) -> Result<T, WireError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    let read = serde_json::from_slice::<T>(json);
    let found = match &read {
        Ok(value) => version(value),
        Err(_) => serde_json::from_slice(json).map_or(expected, |Versioned { v }| v),
    };
    if found == expected {
        Ok(read?)
    } else {
        Err(WireError::Version { expected, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Record {
        v: u32,
        name: String,
    }

    fn read_record(json: &str) -> Result<Record, WireError> {
        read(json.as_bytes(), 1, |record: &Record| record.v)
    }

    #[test]
    fn a_record_of_another_version_is_told_apart_from_a_malformed_one() {
        assert_eq!(read_record(r#"{"v":1,"name":"a"}"#).unwrap().name, "a");
        for json in [r#"{"v":2,"name":"a"}"#, r#"{"v":2,"names":["a"]}"#] {
            let error = read_record(json).unwrap_err();
            assert!(
                matches!(
                    error,
                    WireError::Version {
                        expected: 1,
                        found: 2
                    }
                ),
                "{error}"
            );
        }
        for json in [r#"{"v":1}"#, r#"{"name":"a"}"#, "{", "[]"] {
            let error = read_record(json).unwrap_err();
            assert!(matches!(error, WireError::Form(_)), "{error}");
        }
    }
}
