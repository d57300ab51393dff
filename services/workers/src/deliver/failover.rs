//! Failover: an account that cannot take a message now is passed over, and the next one is tried in the same attempt. Each pass is a step
//! of the timeline.

use std::{sync::Arc, time::Duration};

use carillon_domain::{DeliveryStatus, Timestamp, clock::later, status::TimelineStep};
use carillon_providers::{Class, Scope};

use crate::account::{Account, Complaint, Ruled};

/// The steps about accounts that were passed over in an attempt.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) steps: Vec<TimelineStep>,
    /// The time after which the first of the accounts takes messages of the recipient's domain, country, endpoint or platform again.
    pub(super) part_opens: Option<Duration>,
    /// The sentence about an account that has no budget for a retry.
    pub(super) over_budget: Option<String>,
}

/// Whether another account may take the message in the same attempt: the account or the way to it is at fault, and it has certainly not
/// taken the message. After an uncertain call there would be two messages, and a refusal of the message or its recipient holds for
/// other accounts too.
pub(super) fn may_fail_over(ruled: &Ruled) -> bool {
    let class = ruled.outcome.class();
    let is_certain = !matches!(class, Class::Ok | Class::Uncertain | Class::AddressDead);
    let is_the_accounts = ruled
        .outcome
        .refusal()
        .is_some_and(|refusal| match refusal.scope {
            Scope::Account | Scope::Connection => true,
            // Other accounts may be allowed to send to the country.
            Scope::Country => class == Class::Config,
            _ => false,
        });
    is_certain && is_the_accounts
}

impl Passed {
    /// The beginning of an attempt, with the step that comes before all others.
    pub(super) fn after(step: Option<TimelineStep>) -> Self {
        Self {
            steps: step.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The account takes no messages now.
    pub(super) fn closed(&mut self, now: Timestamp, complaint: &Complaint) {
        let until = match complaint.left {
            Some(left) => format!("until {}", after(now, left)),
            None => "until the message that goes first has its answer".to_owned(),
        };
        self.note(now, "account-skipped", format!("{}; {until}", complaint.cause));
    }

    /// The account takes no messages of this domain, country, endpoint or platform now.
    pub(super) fn part_closed(&mut self, now: Timestamp, account: &Account, wait: Duration) {
        self.part_opens = Some(self.part_opens.map_or(wait, |other| other.min(wait)));
        let until = after(now, wait);
        let name = account.name();
        let detail = format!(
            "the recipient's domain, country, endpoint or platform is paused at the provider account {name}; until {until}"
        );
        self.note(now, "account-skipped", detail);
    }

    /// The account has no budget for a retry now.
    pub(super) fn over_budget(&mut self, now: Timestamp, account: &Account) {
        let detail = account.over_budget();
        self.over_budget = Some(detail.clone());
        self.note(now, "account-skipped", detail);
    }

    /// The account has refused the message, by its own fault. If the refusal has closed the account, the step names the
    /// time at which it opens.
    pub(super) fn refused(&mut self, now: Timestamp, account: &Account, ruled: &Ruled) {
        let Some(refusal) = ruled.outcome.refusal() else {
            return;
        };
        let until = match account.breaker.why_closed().and_then(|complaint| complaint.left) {
            Some(left) => format!("; it takes no messages until {}", after(now, left)),
            None => String::new(),
        };
        let detail = format!(
            "the provider account {} did not take the message: {}{until}; the next account is tried",
            account.name(),
            refusal.detail
        );
        self.note(now, &refusal.code, detail);
    }

    /// The message is handed to an account, chosen for a reason.
    pub(super) fn sending(&mut self, at: Timestamp, account: &Account, why: Option<&str>) {
        self.steps.push(TimelineStep {
            at,
            status: DeliveryStatus::Sending,
            code: None,
            detail: why.map(|why| format!("to the provider account {} of {why}", account.name())),
        });
    }

    fn note(&mut self, at: Timestamp, code: &str, detail: String) {
        self.steps.push(TimelineStep {
            at,
            status: DeliveryStatus::Sending,
            code: Some(code.to_owned()),
            detail: Some(detail),
        });
    }
}

/// The time after a wait, rounded up to a second.
fn after(now: Timestamp, wait: Duration) -> String {
    let end = later(now, wait.saturating_add(Duration::from_secs(1)));
    end.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Whether one of the accounts takes messages.
pub(super) fn is_any_open<'a>(mut accounts: impl Iterator<Item = &'a Arc<Account>>) -> bool {
    accounts.any(|account| account.breaker.is_open())
}
