//! Google's service accounts.

use serde::Deserialize;

use crate::setting::SettingError;

/// The setting that errors in a service account name.
pub(super) const KEY: &str = "service_account";

/// The fields of a service account's JSON key that a sender needs.
#[derive(Clone, Deserialize)]
pub struct ServiceAccount {
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The Firebase project.
    pub project_id: String,
    pub(super) client_email: String,
    pub(super) private_key: String,
    pub(super) token_uri: String,
}

impl ServiceAccount {
    /// Reads a key in Google's format. The error repeats nothing of it.
    pub fn parse(json: &str) -> Result<Self, SettingError> {
        let account: Self = serde_json::from_str(json).map_err(|_| {
            let expected = "expected JSON with project_id, client_email, private_key and token_uri";
            SettingError::new(KEY, expected)
        })?;
        // Google's tools write other kinds of credentials in files of the same form.
        if account.kind.as_ref().is_some_and(|kind| kind != KEY) {
            return Err(SettingError::new(
                KEY,
                "expected JSON of the type service_account",
            ));
        }
        Ok(account)
    }
}
