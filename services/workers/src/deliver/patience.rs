//! The stores may be away for a while. A delivery that was begun is held until they are back: giving it up half way
//! would make it uncertain.

use std::{fmt::Display, future::Future, time::Duration};

const PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Repeats a call until it succeeds. The hard shutdown ends the task around it.
pub(super) async fn until_done<T, E: Display, F: Future<Output = Result<T, E>>>(
    what: &'static str,
    mut call: impl FnMut() -> F,
) -> T {
    let mut tries = 0;
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) => {
                tracing::warn!(what, %error, tries, "trying again");
                tokio::time::sleep(PAUSES[tries.min(PAUSES.len() - 1)]).await;
                tries += 1;
            }
        }
    }
}
