//! Reading the bodies of providers' calls. A body is read before the call is verified, so it takes none of the account's
//! places for calls in progress. Only the bytes that have arrived count, and only for a short time.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use carillon_runtime::http::{Problem, ProblemKind, broken_off};
use futures::StreamExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::bounded::{SOON, limited};
use crate::{error::ApiError, input::MAX_BODY};

/// The longest time until the body of a call has arrived.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of an account's bodies in memory.
const MAX_BYTES: usize = 32 << 20;

/// The bytes of an account's bodies in memory.
pub(super) struct BodyBytes(Arc<Semaphore>);

impl Default for BodyBytes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BYTES)))
    }
}

/// A body that has arrived.
pub(crate) struct ReceivedBody {
    pub(crate) bytes: Vec<u8>,
    /// The share of the account's [`BodyBytes`], until the call is answered.
    _held: Option<OwnedSemaphorePermit>,
}

impl BodyBytes {
    /// Reads a body of at most [`MAX_BODY`] bytes within [`PATIENCE`].
    pub(super) async fn read(&self, body: Body) -> Result<ReceivedBody, ApiError> {
        let too_large = || {
            let text = format!("expected a body of at most {MAX_BODY} bytes");
            Problem::new(ProblemKind::TooLarge, text)
        };
        if http_body::Body::size_hint(&body).lower() > MAX_BODY as u64 {
            return Err(too_large().into());
        }
        let reading = async {
            let (mut bytes, mut held) = (Vec::new(), None::<OwnedSemaphorePermit>);
            let mut pieces = body.into_data_stream();
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|error| broken_off(&error))?;
                if bytes.len() + piece.len() > MAX_BODY {
                    return Err(too_large().into());
                }
                let share = self.hold(piece.len())?;
                match &mut held {
                    Some(held) => held.merge(share),
                    None => held = Some(share),
                }
                // The piece is copied, because a small one may keep a whole buffer of the connection.
                bytes.extend_from_slice(&piece);
            }
            Ok(ReceivedBody { bytes, _held: held })
        };
        timeout(PATIENCE, reading).await.unwrap_or_else(|_| {
            let text = format!("expected the body to end within {PATIENCE:?}");
            Err(Problem::new(ProblemKind::RequestTimeout, text).into())
        })
    }

    fn hold(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(count).map_err(|_| {
            let text = format!("expected at most {MAX_BYTES} bytes of bodies to one account at a time");
            limited("receipts_body_bytes", SOON, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Bytes, http::StatusCode, response::IntoResponse as _};
    use futures::{FutureExt as _, stream};

    use super::*;

    /// A body that has begun and never ends.
    fn half(bytes: usize) -> Body {
        let first = stream::once(async move { Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes])) });
        Body::from_stream(first.chain(stream::pending()))
    }

    fn status(outcome: Result<ReceivedBody, ApiError>) -> StatusCode {
        outcome.err().unwrap().into_response().status()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_within_five_seconds_is_408() {
        let begun = tokio::time::Instant::now();
        let outcome = BodyBytes::default().read(half(1)).await;
        assert_eq!(status(outcome), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test]
    async fn bodies_hold_the_bytes_that_have_arrived_and_give_them_back() {
        let account = BodyBytes::default();
        let mut halves: Vec<_> = (0..MAX_BYTES / MAX_BODY)
            .map(|_| Box::pin(account.read(half(MAX_BODY))))
            .collect();
        for half in &mut halves {
            assert!(half.now_or_never().is_none());
        }
        let refused = account.read(Body::from("x")).await;
        assert_eq!(status(refused), StatusCode::TOO_MANY_REQUESTS);
        halves.pop();
        let read = account.read(Body::from("x")).await.ok().unwrap();
        assert_eq!(read.bytes, b"x");
        let large = account.read(Body::from(vec![b'x'; MAX_BODY + 1])).await;
        assert_eq!(status(large), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
