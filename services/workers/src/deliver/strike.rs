//! The consequence of a refused address: a strike if the address is at fault, a wait if the account is.

use std::sync::Arc;

use carillon_domain::{
    DeliveryStatus, Timestamp, contact, dead_letter::FailureClass, status::TimelineStep,
    suppression::SuppressionReason,
};
use carillon_providers::{Refusal, Scope, SendOutcome};
use carillon_store::suppressions::Strike;

use super::{
    Deliver,
    task::{Consequence, Task},
};
use crate::{
    account::{Account, Blame, Ruled},
    policy,
};

impl Deliver {
    /// The verdict on a delivery whose address was refused, and the steps of its timeline after `sending`.
    pub(super) async fn judge_address(
        &self,
        task: &Task,
        to: &str,
        account: &Arc<Account>,
        ruled: &Ruled,
        blame: Blame,
        sending_at: Timestamp,
    ) -> (Consequence, Vec<TimelineStep>) {
        let refused = Refusal::new(Scope::Address, "refused", "the address was refused");
        let refusal = ruled.outcome.refusal().unwrap_or(&refused);
        if blame == Blame::Account {
            self.revoke(account).await;
            let detail = "many addresses in a row were refused, so the provider account is at fault";
            let refusal = Refusal::new(Scope::Account, refusal.code.clone(), detail);
            let wait = policy::wait_in_doubt(task.uncounted, self.longest_back_off);
            return self.wait(task, wait, &refusal);
        }
        let SendOutcome::AddressDead(_, reason) = &ruled.outcome else {
            return self.ends(FailureClass::Terminal, refusal);
        };
        let strike = Strike {
            tenant: task.delivery.tenant.clone(),
            channel: self.channel,
            address_hash: self.store.address_key().hash(self.channel, to),
            masked: contact::mask(self.channel, to),
            reason: SuppressionReason::of_refusal(self.channel, *reason),
            code: refusal.code.clone(),
            provider: Arc::clone(account.name()),
            delivery_id: task.delivery.delivery_id,
            // An address that was registered after this time stays as it is.
            seen_at: refusal
                .dead_since
                .map_or(sending_at, |since| since.min(sending_at)),
        };
        self.strike(&strike).await;
        if blame == Blame::AddressUnproven {
            account.breaker.struck(strike);
        }
        // Sending again can never help, so the delivery fails without a dead letter. The suppression list has the reason.
        (
            Consequence::Over,
            vec![self.step(DeliveryStatus::Failed, refusal)],
        )
    }

    /// Puts a refused address, of a user or a guest, on the suppression list.
    async fn strike(&self, strike: &Strike) {
        let suppressions = self.store.suppressions();
        let struck = self
            .patience
            .until_done("strike", || suppressions.strike(std::slice::from_ref(strike)));
        if let Err(error) = struck.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the database refused a strike"
            );
        }
    }

    /// Revokes the strikes of a run that turned out to be the account's fault.
    async fn revoke(&self, account: &Account) {
        let revoked = account.breaker.take_revoked();
        if !revoked.is_empty() {
            tracing::warn!(provider = %account.name(), addresses = revoked.len(),
                "strikes are revoked: the account was at fault");
            let suppressions = self.store.suppressions();
            let done = self
                .patience
                .until_done("revoke strikes", || suppressions.revoke(&revoked));
            if let Err(error) = done.await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the database refuses to revoke strikes"
                );
            }
        }
    }
}
