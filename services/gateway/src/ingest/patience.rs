//! The longest wait of a post for the database.

use std::{future::Future, time::Duration};

use carillon_store::{Fault, StoreError};

use crate::error::ApiError;

/// The longest time of one call. It is long enough for a busy server. A database that hangs does not apply its own time
/// limit for statements.
const LIMIT: Duration = Duration::from_secs(4);

/// The result of a call that a post waits for; after [`LIMIT`] the answer is 503. The call may still take effect. A
/// claim that does is free again after its lease, so a repeated post loses and doubles nothing.
pub(crate) async fn in_time<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StoreError::Unavailable(Fault::Slow, None).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_post_is_answered_503_while_the_database_hangs() {
        let hung = in_time(std::future::pending::<Result<(), StoreError>>());
        let ApiError(problem) = hung.await.unwrap_err();
        assert_eq!(problem.status, 503);
        assert_eq!(in_time(async { Ok(7) }).await.unwrap(), 7);
    }
}
