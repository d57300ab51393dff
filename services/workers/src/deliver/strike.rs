//! The consequence of a refused address: a strike if the address is at fault, a wait if the account is.

use std::{convert::Infallible, sync::Arc, time::Duration};

use carillon_domain::{
    DeliveryStatus, StatusRecord, Timestamp, clock::later, contact, dead_letter::FailureClass,
    status::TimelineStep, suppression::SuppressionReason,
};
use carillon_providers::{Refusal, Scope, SendOutcome};
use carillon_store::suppressions::Strike;

use super::{
    Deliver,
    accounts::MEANWHILE,
    publish::Outgoing,
    task::{Conclusion, Consequence, Task},
};
use crate::{
    account::{Account, Blame, Ruled, Struck},
    attempt::DeliveryAttempt,
    policy,
};

/// The interval at which strikes to be revoked are looked for.
const LOOK: Duration = Duration::from_secs(1);

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
            account.breaker.struck(Struck {
                strike,
                record: task.inbound.record.clone(),
                attempt: task.this.clone(),
            });
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

    /// Revokes strikes that turned out to be an account's fault, until the future is dropped. Another worker may have found
    /// the account at fault.
    pub(crate) async fn revoke_all(&self) -> Infallible {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            for account in &self.accounts {
                self.revoke(account).await;
            }
        }
    }

    /// Revokes the strikes of a run that turned out to be the account's fault. Their deliveries, which have failed, are
    /// sent again once the account works.
    async fn revoke(&self, account: &Account) {
        let revoked = account.breaker.take_revoked();
        if revoked.is_empty() {
            return;
        }
        tracing::warn!(provider = %account.name(), addresses = revoked.len(),
            "strikes are revoked: the account was at fault");
        let suppressions = self.store.suppressions();
        let strikes: Vec<Strike> = revoked.iter().map(|struck| struck.strike.clone()).collect();
        let done = self
            .patience
            .until_done("revoke strikes", || suppressions.revoke(&strikes));
        if let Err(error) = done.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the database refuses to revoke strikes"
            );
            return;
        }
        let due = later(self.clock.now(), account.breaker.opens_in().max(MEANWHILE));
        let again = revoked
            .into_iter()
            .flat_map(|struck| self.send_again(account, struck, due));
        self.publish(again.collect()).await;
    }

    /// The next attempt of a delivery that failed by a strike, and its status. The failed attempt does not count.
    fn send_again(&self, account: &Account, struck: Struck, due: Timestamp) -> [Outgoing; 2] {
        let Struck {
            strike,
            record,
            attempt,
        } = struck;
        let detail = format!(
            "the provider account {} refused many addresses in a row, so the refusal of this one does not count; the message \
             is sent again once the account works",
            account.name()
        );
        let concluded = Conclusion {
            verdict: Consequence::Again { due, counts: false },
            steps: vec![TimelineStep {
                at: self.clock.now(),
                status: DeliveryStatus::Retrying,
                code: Some("strike-revoked".to_owned()),
                detail: Some(detail),
            }],
            provider: Some(account.name().to_string()),
            to_masked: Some(strike.masked),
            ..Conclusion::default()
        };
        // A status of the failed attempt would not replace its end.
        let next = DeliveryAttempt {
            attempt: attempt.attempt + 1,
            uncounted: attempt.uncounted + 1,
            ..attempt.clone()
        };
        let status = StatusRecord::Delivery(next.update(&concluded));
        [
            Outgoing::status(self.status(&status, &record)),
            self.another(&record, &attempt, (due, false), None),
        ]
    }
}
