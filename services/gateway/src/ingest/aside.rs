//! Moving work of many milliseconds off the threads that answer requests.

use std::panic::resume_unwind;

use crate::state::GatewayState;

/// The largest input, in bytes, that is processed on the answering thread: it takes about a millisecond at
/// most.
pub(super) const SMALL: usize = 64 << 10;

/// Runs work on `bytes` bytes: at once if they are few, otherwise on a blocking thread when its turn comes.
pub(crate) async fn aside<T: Send + 'static>(
    state: &GatewayState,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    aside_if(state, bytes > SMALL, work).await
}

/// Runs work that may take many milliseconds on a blocking thread when its turn comes.
pub(crate) async fn aside_long<T: Send + 'static>(
    state: &GatewayState,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    aside_if(state, true, work).await
}

/// Runs work at once if it is small, otherwise on a blocking thread when its turn comes. The system shares the
/// processors between those threads and the answering ones.
pub(super) async fn aside_if<T: Send + 'static>(
    state: &GatewayState,
    is_large: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if !is_large {
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
