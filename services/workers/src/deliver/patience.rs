//! Retrying calls of stores and bus. They may be unavailable for a while, and a delivery that was begun is held until
//! they are back: giving it up half way would make it uncertain. A call that can never succeed, or has failed for too
//! long, ends the role.

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use carillon_bus::BusError;
use carillon_runtime::{Limited, Stall, Stalled};
use carillon_store::StoreError;
use tokio::sync::mpsc::UnboundedSender;

const PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// The meaning of an error for a retried call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// The error may pass.
    MayPass,
    /// The database or bus refuses a value of this call, and always will: the caller decides.
    Refused,
    /// No call will succeed in this process.
    Final,
}

/// Errors of retried calls.
pub(super) trait Foresee: Error + Send + Sync + 'static {
    fn outlook(&self) -> Outlook;
}

impl Foresee for StoreError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Invalid(_) => Outlook::Refused,
            error if error.refuses_data() => Outlook::Refused,
            Self::Config(_) | Self::Migration(_) => Outlook::Final,
            // This includes a missing table or permission, because an operator may repair it before the
            // limit.
            _ => Outlook::MayPass,
        }
    }
}

impl Foresee for BusError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::TooLarge { .. } => Outlook::Refused,
            Self::Config(_) | Self::InUse { .. } | Self::Stalled(_) | Self::Closed => Outlook::Final,
            _ => Outlook::MayPass,
        }
    }
}

/// Retries calls until they succeed.
#[derive(Debug)]
pub(crate) struct Patience {
    pub(crate) role: Arc<str>,
    /// The longest time for which one call may fail.
    pub(crate) limit: Duration,
    /// The channel to the role, which ends it.
    pub(crate) over: UnboundedSender<Stalled>,
    pub(crate) complaints: Limited,
}

impl Patience {
    /// Repeats a call until it succeeds or one of its own values is refused. If it cannot succeed any more, the role
    /// ends, and this future never returns; the hard shutdown ends the surrounding task too.
    pub(super) async fn until_done<T, E: Foresee, F: Future<Output = Result<T, E>>>(
        &self,
        what: &'static str,
        mut call: impl FnMut() -> F,
    ) -> Result<T, E> {
        let mut stall = Stall::new(Arc::clone(&self.role), what, self.limit);
        let mut tries = 0;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match (error.outlook(), stall.failed(&error)) {
                (Outlook::Refused, _) => return Err(error),
                (Outlook::MayPass, Ok(())) => {}
                (Outlook::MayPass, Err(stalled)) => self.end(stalled).await,
                (Outlook::Final, _) => {
                    let lasted = Duration::ZERO;
                    let error = error.to_string();
                    self.end::<()>(Stalled { what, lasted, error }).await;
                }
            }
            if let Some(left_out) = self.complaints.admit(what) {
                tracing::warn!(
                    what,
                    error = &error as &dyn Error,
                    left_out,
                    "a call failed; trying again"
                );
            }
            tokio::time::sleep(PAUSES[tries.min(PAUSES.len() - 1)]).await;
            tries += 1;
        }
    }

    /// Like [`Patience::until_done`], for a call whose values all come from this program: a refused value is a fault
    /// of the code and ends the role.
    pub(super) async fn until_succeeded<T, E: Foresee, F: Future<Output = Result<T, E>>>(
        &self,
        what: &'static str,
        call: impl FnMut() -> F,
    ) -> T {
        match self.until_done(what, call).await {
            Ok(value) => value,
            Err(error) => {
                let (lasted, error) = (Duration::ZERO, error.to_string());
                self.end(Stalled { what, lasted, error }).await
            }
        }
    }

    async fn end<T>(&self, stalled: Stalled) -> T {
        // The receiver is gone only when the role has ended.
        let _ = self.over.send(stalled);
        std::future::pending().await
    }
}

#[cfg(test)]
impl Patience {
    pub(super) fn for_tests() -> Self {
        Self {
            role: "worker".into(),
            limit: Duration::from_mins(15),
            over: tokio::sync::mpsc::unbounded_channel().0,
            complaints: Limited::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    fn patience() -> (Patience, UnboundedReceiver<Stalled>) {
        let (over, told) = unbounded_channel();
        let patience = Patience {
            role: "sms worker".into(),
            limit: Duration::from_mins(15),
            over,
            complaints: Limited::default(),
        };
        (patience, told)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_fails_for_too_long_ends_the_role_and_one_that_cannot_succeed_does_at_once() {
        for (error, least) in [
            (BusError::NoTopic("t".to_owned()), Duration::from_mins(15)),
            (BusError::Unavailable("x".to_owned()), Duration::from_mins(15)),
            (BusError::Config("x".to_owned()), Duration::ZERO),
        ] {
            let (patience, mut told) = patience();
            let say = error.to_string();
            let begun = tokio::time::Instant::now();
            let again = || {
                std::future::ready(Err::<(), _>(match &error {
                    BusError::NoTopic(topic) => BusError::NoTopic(topic.clone()),
                    BusError::Config(text) => BusError::Config(text.clone()),
                    _ => BusError::Unavailable("x".to_owned()),
                }))
            };
            let stalled = tokio::select! {
                stalled = told.recv() => stalled.unwrap(),
                _ = patience.until_done("publish", again) => unreachable!("it never succeeds"),
            };
            assert!(begun.elapsed() >= least && begun.elapsed() < least + Duration::from_mins(1));
            assert_eq!((stalled.what, stalled.error), ("publish", say));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_retriable_call_is_repeated_until_it_succeeds_and_a_refused_value_is_an_error_at_once() {
        let (patience, mut told) = patience();
        let mut left = 100;
        let call = || {
            left -= 1;
            std::future::ready(if left == 0 { Ok(7) } else { Err(StoreError::Closed) })
        };
        assert_eq!(patience.until_done("claim", call).await.unwrap(), 7);
        let refused = || std::future::ready(Err::<(), _>(StoreError::Invalid("no")));
        assert!(patience.until_done("claim", refused).await.is_err());
        assert!(told.try_recv().is_err(), "the role goes on");
    }
}
