//! Work of many milliseconds is done beside the threads that answer requests.

use std::panic::resume_unwind;

use crate::state::GatewayState;

/// Bytes that are read in less than a millisecond or so.
const SMALL: usize = 64 << 10;

/// Does work on so many bytes: at once if they are few, else on a thread of its own when its turn comes. The system shares
/// the processors between those threads and the ones that answer.
pub(crate) async fn aside<T: Send + 'static>(
    state: &GatewayState,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if bytes <= SMALL {
        return work();
    }
    // The semaphore is never closed.
    let turn = state.0.heavy_work.acquire().await;
    let done = tokio::task::spawn_blocking(work).await;
    drop(turn);
    match done {
        Ok(done) => done,
        Err(error) => resume_unwind(error.into_panic()),
    }
}
