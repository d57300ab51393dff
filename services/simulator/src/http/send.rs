//! Receiving a message over HTTP, with the faults of the script.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::connection::Connection;
use crate::context::Context;
use crate::faults::{Answer, Effect, Sent, SmtpStep, Verdict};
use crate::{Message, Provider, SimulatorError};

/// A request that the provider accepts: its messages, and the answer that acknowledges it.
pub(crate) struct Accepted<R = Response> {
    /// The message of each receiver; empty if no message is to be recorded (a dry run).
    pub(crate) messages: Vec<Message>,
    pub(crate) answer: R,
}

/// The end of a send.
pub(crate) enum Fate<R> {
    Answer(R),
    /// The connection takes no request after this answer.
    LastAnswer(R),
    /// The connection is reset.
    Reset,
}

/// Handles a send to `provider` and applies the fault script.
///
/// `to` are the recipients that the request names. `judge` accepts the request or refuses it with the provider's own
/// error. `fail` formats an error as the provider does. A message is recorded before it is answered; a refused one is
/// not recorded, even if a fault says so.
pub(crate) async fn send<E: IntoResponse>(
    context: &Context,
    connection: &Connection,
    provider: Provider,
    to: &[&str],
    judge: impl FnOnce() -> Result<Accepted, E>,
    fail: impl Fn(&Answer) -> Response,
) -> Response {
    match fate(context, provider, to, judge, IntoResponse::into_response, fail).await {
        Fate::Answer(answer) => answer,
        Fate::LastAnswer(answer) => closing(answer),
        Fate::Reset => match connection.reset().await {},
    }
}

/// Like [`send`], for answers of any form. `refuse` makes an answer of the provider's own error.
pub(crate) async fn fate<R, E, T: AsRef<str>>(
    context: &Context,
    provider: Provider,
    to: &[T],
    judge: impl FnOnce() -> Result<Accepted<R>, E>,
    refuse: impl FnOnce(E) -> R,
    fail: impl Fn(&Answer) -> R,
) -> Fate<R> {
    let to: Vec<&str> = to.iter().map(AsRef::as_ref).collect();
    let Verdict {
        before,
        after,
        effect,
        recorded,
    } = context.faults.roll(&Sent {
        provider,
        step: SmtpStep::End,
        to: &to,
    });
    context.pause(before).await;
    let usual = match &effect {
        Some(Effect::Answer(_) | Effect::Hang | Effect::Reset | Effect::GoAway(Some(_))) if !recorded => None,
        _ => match receive(context, judge).await {
            Ok(answer) => Some(answer),
            Err(Refused::ByProvider(error)) => return Fate::Answer(refuse(error)),
            Err(Refused::ByMemory(error)) => {
                tracing::error!(error = %error, provider = provider.as_str(), "a message was not received");
                return Fate::Answer(fail(&Answer {
                    status: 503,
                    code: None,
                    retry_after: None,
                    field: None,
                }));
            }
        },
    };
    context.pause(after).await;
    let answered = match effect {
        None => usual.map(Fate::Answer),
        Some(Effect::Answer(answer)) => Some(Fate::Answer(fail(&answer))),
        Some(Effect::GoAway(answer)) => {
            let answer = answer.map(|answer| fail(&answer)).or(usual);
            answer.map(Fate::LastAnswer)
        }
        Some(Effect::Hang) => {
            context.shutdown.cancelled().await;
            None
        }
        Some(Effect::Reset) => None,
    };
    answered.unwrap_or(Fate::Reset)
}

enum Refused<E> {
    ByProvider(E),
    ByMemory(SimulatorError),
}

async fn receive<R, E>(
    context: &Context,
    judge: impl FnOnce() -> Result<Accepted<R>, E>,
) -> Result<R, Refused<E>> {
    let accepted = judge().map_err(Refused::ByProvider)?;
    if !accepted.messages.is_empty() {
        let received = context.receive(accepted.messages).await;
        received.map_err(Refused::ByMemory)?;
    }
    Ok(accepted.answer)
}

fn closing(mut answer: Response) -> Response {
    answer
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Adds `Retry-After`. The value is a valid header, because scripts with other values are refused.
pub(crate) fn with_retry_after(mut answer: Response, retry_after: Option<&str>) -> Response {
    if let Some(value) = retry_after.and_then(|text| HeaderValue::from_str(text).ok()) {
        answer.headers_mut().insert(header::RETRY_AFTER, value);
    }
    answer
}
