//! Receiving a message over HTTP, with the faults of the script.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::connection::Connection;
use crate::context::Context;
use crate::faults::{Answer, Effect, Sent, SmtpStep, Verdict};
use crate::{Message, Provider, SimulatorError};

/// A request that the provider accepts: the message, and the answer that acknowledges it.
pub(crate) struct Accepted {
    /// `None` if no message is to be recorded (a dry run).
    pub(crate) message: Option<Message>,
    pub(crate) answer: Response,
}

/// Handles a send to `provider` and applies the fault script.
///
/// `to` is the recipient, if the request names one. `judge` accepts the request or refuses it with the provider's own
/// error. `fail` formats an error as the provider does. A message is recorded before it is answered; a refused one is
/// not recorded, even if a fault says so.
pub(crate) async fn send<E: IntoResponse>(
    context: &Context,
    connection: &Connection,
    provider: Provider,
    to: Option<&str>,
    judge: impl FnOnce() -> Result<Accepted, E>,
    fail: impl Fn(&Answer) -> Response,
) -> Response {
    let Verdict {
        before,
        after,
        effect,
        recorded,
    } = context.faults.roll(&Sent {
        provider,
        step: SmtpStep::End,
        to: to.as_slice(),
    });
    context.pause(before).await;
    let usual = match &effect {
        Some(Effect::Answer(_) | Effect::Hang | Effect::Reset | Effect::GoAway(Some(_))) if !recorded => None,
        _ => match receive(context, judge).await {
            Ok(answer) => Some(answer),
            Err(Refused::ByProvider(error)) => return error.into_response(),
            Err(Refused::ByMemory(error)) => {
                tracing::error!(error = %error, provider = provider.as_str(), "a message was not received");
                return fail(&Answer {
                    status: 503,
                    code: None,
                    retry_after: None,
                    field: None,
                });
            }
        },
    };
    context.pause(after).await;
    let answer = match effect {
        None => usual,
        Some(Effect::Answer(answer)) => Some(fail(&answer)),
        Some(Effect::GoAway(answer)) => answer.map(|answer| fail(&answer)).or(usual).map(closing),
        Some(Effect::Hang) => {
            context.shutdown.cancelled().await;
            None
        }
        Some(Effect::Reset) => None,
    };
    match answer {
        Some(answer) => answer,
        None => match connection.reset().await {},
    }
}

enum Refused<E> {
    ByProvider(E),
    ByMemory(SimulatorError),
}

async fn receive<E>(
    context: &Context,
    judge: impl FnOnce() -> Result<Accepted, E>,
) -> Result<Response, Refused<E>> {
    let accepted = judge().map_err(Refused::ByProvider)?;
    if let Some(message) = accepted.message {
        context.receive(vec![message]).await.map_err(Refused::ByMemory)?;
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
