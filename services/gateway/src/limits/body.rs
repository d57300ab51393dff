//! Counting the bytes of bodies against the share while they arrive.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
};
use carillon_runtime::http::RefusedBody;
use http_body::{Frame, SizeHint};

use super::{
    refused,
    share::{ShareExceeded, Slot},
};

/// The largest `Content-Length`, in bytes, of a body that is not counted. The bound on requests in flight
/// limits such bodies too.
const SMALL: u64 = 64 << 10;

/// Wraps the body of a request so that its bytes are counted.
pub(crate) fn hold(request: Request, slot: &Slot) -> Result<Request, ShareExceeded> {
    let hint = request.body().size_hint();
    if hint.upper().is_some_and(|most| most <= SMALL) {
        return Ok(request);
    }
    if let Some(length) = hint.exact()
        && slot.may_hold(length)
    {
        // A body that does not fit now is refused before the client sends it. One that can never fit is refused by
        // its handler as too large.
        slot.has_room(length)?;
    }
    let slot = slot.clone();
    Ok(request.map(|body| Body::new(HeldBody { body, slot })))
}

struct HeldBody {
    body: Body,
    slot: Slot,
}

impl http_body::Body for HeldBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let Some(data) = frame.data_ref()
            && let Err(refusal) = self.slot.more(data.len())
        {
            return Poll::Ready(Some(Err(RefusedBody(refused(refusal).0).into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
