//! Calls with receipts that are refused. Each is counted by account and reason.

use carillon_providers::NotGenuine;
use carillon_runtime::http::ProblemKind;

use super::ReceiptAccount;
use crate::error::ApiError;

fn count(account: &str, reason: &'static str) {
    let account = account.to_owned();
    metrics::counter!("carillon_receipts_refused_total", "account" => account, "reason" => reason)
        .increment(1);
}

/// The answer to a call that the account's provider did not make.
pub(crate) fn refuse(account: &str, error: NotGenuine) -> ApiError {
    count(account, error.name());
    ApiError::new(ProblemKind::Unauthorized, error.to_string())
}

/// The answer to a genuine call whose body does not have the provider's form.
pub(crate) fn unreadable(account: &ReceiptAccount, expected: &str) -> ApiError {
    count(&account.name, "unreadable");
    tracing::warn!(account = %account.name, expected, "a signed call of a provider cannot be read");
    ApiError::new(ProblemKind::Validation, expected.to_owned())
}

/// The answer to a call for an account that takes no receipts. The metric's label is `unknown`, because callers could
/// otherwise create any number of labels.
pub(crate) fn no_account(text: String) -> ApiError {
    count("unknown", "no-account");
    ApiError::new(ProblemKind::NotFound, text)
}
