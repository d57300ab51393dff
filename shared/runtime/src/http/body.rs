//! Reading request bodies, with limits of size and time that apply while a body streams.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    HttpConfig,
    problem::{Problem, ProblemKind},
};

/// Reads a body of at most `max` bytes. A body is `too-large` as soon as it exceeds `max`, `request-timeout`
/// if it does not end in time, and `malformed-request` if it breaks off. A body refused for another reason is
/// answered as its [`RefusedBody`] says.
pub async fn read_capped(body: Body, max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let text = format!("expected a body of at most {max} bytes");
        Problem::new(ProblemKind::TooLarge, text)
    };
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let error = match Limited::new(body, max).collect().await {
        Ok(collected) => return Ok(collected.to_bytes()),
        Err(error) => error,
    };
    if error.downcast_ref::<LengthLimitError>().is_some() {
        return Err(too_large());
    }
    Err(broken_off(&*error))
}

/// The answer to a request whose body cannot be read to its end.
#[must_use]
pub fn broken_off(error: &(dyn std::error::Error + 'static)) -> Problem {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    match causes.find_map(|error| error.downcast_ref::<RefusedBody>()) {
        Some(refused) => refused.0.clone(),
        None => Problem::new(ProblemKind::MalformedRequest, "the body broke off"),
    }
}

/// The error of a body that is not read to its end, with the answer to its request.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
pub struct RefusedBody(pub Problem);

/// A request's body with timeouts for each piece and for the whole. The timer is created at the first wait,
/// so a body that arrived with its head needs none.
pub(super) struct TimedBody {
    incoming: Incoming,
    total: Duration,
    stall: Duration,
    waiting: Option<Waiting>,
}

struct Waiting {
    ends: Instant,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl TimedBody {
    pub(super) fn new(incoming: Incoming, config: &HttpConfig) -> Self {
        Self {
            incoming,
            total: config.body_timeout,
            stall: config.stall_timeout,
            waiting: None,
        }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(context) {
            if let Some(waiting) = &mut this.waiting {
                waiting.since = Instant::now();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let stall = this.stall;
        let total = this.total;
        let waiting = this.waiting.get_or_insert_with(|| {
            let since = Instant::now();
            let ends = since + total;
            Waiting {
                ends,
                since,
                timer: Box::pin(sleep_until(ends.min(since + stall))),
            }
        });
        let stalls = waiting.since + stall;
        let deadline = waiting.ends.min(stalls);
        if waiting.timer.deadline() != deadline {
            waiting.timer.as_mut().reset(deadline);
        }
        if waiting.timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let text = if waiting.ends <= stalls {
            format!("expected the body to end within {total:?}")
        } else {
            format!("expected more of the body within {stall:?}")
        };
        let problem = Problem::new(ProblemKind::RequestTimeout, text);
        Poll::Ready(Some(Err(RefusedBody(problem).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_never_ends_is_cut_at_the_limit() {
        let endless =
            futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024])));
        let problem = read_capped(Body::from_stream(endless), 10_000).await.unwrap_err();
        assert_eq!((problem.slug(), problem.status), ("too-large", 413));
        assert_eq!(read_capped(Body::from("ok"), 2).await.unwrap(), "ok");
    }
}
