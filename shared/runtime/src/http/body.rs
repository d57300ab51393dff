//! Bodies are cut while they stream, not after they were read, and end in time.

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

/// Reads a body of at most `max` bytes; a larger one is `too-large` as soon as it is, one that does not end in time is
/// `request-timeout`, and one that breaks off is `malformed-json`.
pub async fn read_capped(body: Body, max: usize) -> Result<Bytes, Problem> {
    let error = match Limited::new(body, max).collect().await {
        Ok(collected) => return Ok(collected.to_bytes()),
        Err(error) => error,
    };
    if error.downcast_ref::<LengthLimitError>().is_some() {
        let text = format!("expected a body of at most {max} bytes");
        return Err(Problem::new(ProblemKind::TooLarge, text));
    }
    match late_body(&*error) {
        Some(late) => Err(Problem::new(ProblemKind::RequestTimeout, late.to_string())),
        None => Err(Problem::new(ProblemKind::MalformedJson, "the body broke off")),
    }
}

fn late_body<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a LateBody> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// A request's body did not come in time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum LateBody {
    #[error("the body did not end within {0:?}")]
    Total(Duration),
    #[error("nothing more of the body came within {0:?}")]
    Stalled(Duration),
}

/// A request's body that has to go on and to end in time. Its timer exists only once the body is waited for, so that
/// one that came with its head costs none.
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
        let late = if waiting.ends <= stalls {
            LateBody::Total(total)
        } else {
            LateBody::Stalled(stall)
        };
        Poll::Ready(Some(Err(late.into())))
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
