//! The consequence of a refused address: a strike if the address is at fault, a wait if the account is.

use std::sync::Arc;

use carillon_domain::{
    DeliveryStatus, Target, Timestamp, contact::DeathReason, dead_letter::FailureClass, status::TimelineStep,
};
use carillon_providers::{Refusal, Scope, SendOutcome};
use carillon_store::users::DeadContact;

use super::{
    Deliver,
    task::{Task, Verdict},
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
        account: &Arc<Account>,
        ruled: &Ruled,
        blame: Blame,
        sending_at: Timestamp,
    ) -> (Verdict, Vec<TimelineStep>) {
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
        if let Some(contact) = self.mark_dead(task, account, refusal, *reason, sending_at).await
            && blame == Blame::AddressUnproven
        {
            account.breaker.struck(contact);
        }
        // Sending again can never help, so the delivery fails without a dead letter. The address is marked dead with
        // the reason.
        (Verdict::Over, vec![self.step(DeliveryStatus::Failed, refusal)])
    }

    async fn mark_dead(
        &self,
        task: &Task,
        account: &Account,
        refusal: &Refusal,
        reason: DeathReason,
        seen_at: Timestamp,
    ) -> Option<DeadContact> {
        let Target::ContactPoint { id } = task.delivery.target else {
            return None;
        };
        let dead = DeadContact {
            tenant: task.delivery.tenant.clone(),
            id,
            code: refusal.code.clone(),
            reason,
            provider: Arc::clone(account.name()),
            delivery_id: task.delivery.delivery_id,
            // An address that was registered after this time stays alive.
            seen_at: refusal.dead_since.map_or(seen_at, |since| since.min(seen_at)),
        };
        let contacts = [dead];
        let users = self.store.users();
        let marked = self
            .patience
            .until_done("mark dead", || users.mark_dead(&contacts));
        if let Err(error) = marked.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the database refused a strike"
            );
        }
        let [dead] = contacts;
        Some(dead)
    }

    /// Revokes the strikes of a run that turned out to be the account's fault.
    async fn revoke(&self, account: &Account) {
        let revoked = account.breaker.take_revoked();
        if !revoked.is_empty() {
            tracing::warn!(provider = %account.name(), addresses = revoked.len(),
                "strikes are revoked: the account was at fault");
            let users = self.store.users();
            let revived = self
                .patience
                .until_done("revoke strikes", || users.revive(&revoked));
            if let Err(error) = revived.await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the database refuses to revoke strikes"
                );
            }
        }
    }
}
