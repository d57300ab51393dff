//! The answer to a call that exceeds a bound of its account.

use std::time::Duration;

use carillon_runtime::http::{Problem, ProblemKind};

use crate::error::ApiError;

/// The `Retry-After` of an answer when too many calls or bytes are held at present.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// The answer to a call beyond a bound of its account.
pub(super) fn limited(bound: &'static str, wait: Duration, text: String) -> ApiError {
    metrics::counter!("carillon_http_limited_total", "owner" => "receipts", "bound" => bound).increment(1);
    Problem::new(ProblemKind::RateLimited, text)
        .with_retry_after(wait)
        .into()
}
