//! Asking one account to take a message: the waits before the call, and the call.

use std::sync::Arc;

use carillon_domain::Timestamp;
use carillon_providers::OutgoingMessage;
use tracing::Instrument as _;

use super::{Deliver, claim::ClaimedTask, failover::Passed};
use crate::account::{Account, Closed, Reservation, Ruled, Tries};

/// The result of asking an account to take a message.
pub(super) enum Asked {
    /// The provider was called at this time.
    Answered(Ruled, Timestamp),
    /// The account takes no such message now.
    Passed,
    /// The message expired while it waited for the account.
    Expired,
    /// The attempt has another owner by now.
    Lost,
}

impl Deliver {
    /// Asks an account, unless it is closed or has no budget for a retry, which is noted in `passed`.
    pub(super) async fn ask(
        &self,
        account: &Arc<Account>,
        claimed: &mut ClaimedTask,
        message: &OutgoingMessage,
        reservation: &mut Option<Reservation>,
        passed: &mut Passed,
    ) -> Asked {
        let is_retry = claimed.task.attempts() > 1;
        if let Some(complaint) = account.breaker.why_closed() {
            passed.closed(self.clock.now(), &complaint);
            return Asked::Passed;
        }
        if let Some(wait) = account.breaker.part_is_closed(message) {
            passed.part_closed(self.clock.now(), account, wait);
            return Asked::Passed;
        }
        if is_retry && !account.may_retry() {
            passed.over_budget(self.clock.now(), account);
            return Asked::Passed;
        }
        let wait = async {
            // The first open account may be another than the one that had room.
            if !reservation
                .as_ref()
                .is_some_and(|reservation| reservation.is_of(account))
            {
                account.rate().await;
            }
            let connection = account.connection().await;
            account.breaker.may_go_first().await;
            connection
        };
        let Some(connection) = self.keeping(claimed, wait).await else {
            return Asked::Lost;
        };
        let permit = match account.breaker.try_acquire(message) {
            Ok(permit) => permit,
            // It has closed during the wait.
            Err(Closed::Account) => {
                if let Some(complaint) = account.breaker.why_closed() {
                    passed.closed(self.clock.now(), &complaint);
                }
                return Asked::Passed;
            }
            Err(Closed::Part(wait)) => {
                passed.part_closed(self.clock.now(), account, wait);
                return Asked::Passed;
            }
        };
        let sending_at = self.clock.now();
        if claimed.task.delivery.is_expired(sending_at) {
            return Asked::Expired;
        }
        if !account.admit(is_retry) {
            passed.over_budget(sending_at, account);
            return Asked::Passed;
        }
        let call = tracing::debug_span!("provider call", otel.kind = "client", provider = %account.name());
        let tries = Tries {
            waits: claimed.task.uncounted,
            attempts: claimed.task.attempts(),
            longest_back_off: self.longest_back_off,
        };
        let ruled = account.send(permit, message, tries).instrument(call).await;
        drop(connection);
        *reservation = None;
        Asked::Answered(ruled, sending_at)
    }
}
