//! Third stage: checks that the message is still to be sent, looks up its address and renders it. The whole batch
//! takes one look-up and one call of the renderer.

use std::{collections::HashMap, sync::Arc};

use carillon_bus::headers;
use carillon_domain::{
    ContactPointId, DeliveryStatus, Platform, Target,
    contact::{self, DeathReason},
    dead_letter::FailureClass,
    status::TimelineStep,
};
use carillon_render::{RenderError, RenderRequest, Rendered};
use carillon_runtime::{
    panics::{Panic, catch},
    telemetry,
};
use carillon_store::users::ResolvedContact;
use tracing::Instrument as _;

use super::{
    Deliver,
    claim::ClaimedTask,
    conclude::bug,
    task::{Conclusion, Verdict},
};

/// A task that is ready to be sent.
pub(super) struct Ready {
    pub(super) claimed: ClaimedTask,
    pub(super) to: String,
    /// The device's platform, for push.
    pub(super) platform: Option<Platform>,
    pub(super) to_masked: String,
    pub(super) rendered: Rendered,
}

impl Deliver {
    pub(super) async fn prepare(&self, claimed: Vec<ClaimedTask>) -> Vec<Ready> {
        // The time is read here, after the claim: the account may have been paused for long, and an attempt that was
        // made in time has its outcome in the ledger.
        let now = self.clock.now();
        let (expired, claimed): (Vec<_>, Vec<_>) = claimed
            .into_iter()
            .partition(|claimed| claimed.task.delivery.is_expired(now));
        for claimed in expired {
            self.expired(claimed);
        }
        let ids: Vec<ContactPointId> = claimed
            .iter()
            .filter_map(|claimed| match &claimed.task.delivery.target {
                Target::ContactPoint { id } => Some(*id),
                Target::Inline { .. } => None,
            })
            .collect();
        let contacts: HashMap<ContactPointId, ResolvedContact> = if ids.is_empty() {
            HashMap::new()
        } else {
            self.patience
                .until_succeeded("resolve", || self.store.users().resolve(&ids))
                .await
        };
        let mut addressed = Vec::with_capacity(claimed.len());
        for claimed in claimed {
            match address(&claimed, &contacts) {
                Ok(to) => addressed.push((claimed, to)),
                Err((code, detail)) => {
                    self.over(claimed, DeliveryStatus::Suppressed, code, detail);
                }
            }
        }
        let span = tracing::debug_span!(
            "render batch",
            carillon.channel = self.channel.as_str(),
            carillon.messages = addressed.len()
        );
        let records = addressed.iter().map(|(claimed, _)| &claimed.task.inbound.record);
        telemetry::join(
            &span,
            records.filter_map(|record| record.headers.get_str(headers::TRACEPARENT)),
        );
        let rendered = self.render(&addressed).instrument(span).await;
        let mut ready = Vec::with_capacity(addressed.len());
        for ((claimed, (to, platform)), rendered) in addressed.into_iter().zip(rendered) {
            let to_masked = contact::mask(self.channel, &to);
            let rendered = match rendered {
                Ok(rendered) => rendered,
                Err(panic) => {
                    self.conclude(claimed, bug(self.clock.now(), panic.to_string()));
                    continue;
                }
            };
            match rendered {
                Ok(rendered) => ready.push(Ready {
                    claimed,
                    to,
                    platform,
                    to_masked,
                    rendered,
                }),
                Err(error) if error.is_retriable() => {
                    // No message was sent, so the attempt does not count.
                    self.postpone(claimed, error.code(), "templates cannot be reached now");
                }
                Err(error) => {
                    self.unrenderable(claimed, to_masked, error.code(), error.to_string());
                }
            }
        }
        ready
    }

    /// Renders a batch. If that panics, renders its messages one by one, so that the panic affects only one delivery.
    async fn render<A>(
        &self,
        addressed: &[(ClaimedTask, A)],
    ) -> Vec<Result<Result<Rendered, RenderError>, Panic>> {
        if addressed.is_empty() {
            return Vec::new();
        }
        let role = || Arc::clone(&self.patience.role);
        let request = |(claimed, _): &(ClaimedTask, A)| RenderRequest::from(&claimed.task.delivery);
        let together = self.renderer.render(addressed.iter().map(request).collect());
        if let Ok(rendered) = catch(role(), together).await {
            return rendered.into_iter().map(Ok).collect();
        }
        let mut all = Vec::with_capacity(addressed.len());
        for one in addressed {
            match catch(role(), self.renderer.render(vec![request(one)])).await {
                Ok(rendered) => all.extend(rendered.into_iter().map(Ok)),
                Err(panic) => all.push(Err(panic)),
            }
        }
        all
    }

    /// Ends a delivery that has expired.
    pub(super) fn expired(&self, claimed: ClaimedTask) {
        let detail = "its time passed before it could be sent";
        self.over(claimed, DeliveryStatus::Expired, "expired".to_owned(), detail);
    }

    /// Ends a delivery without a message.
    fn over(&self, claimed: ClaimedTask, status: DeliveryStatus, code: String, detail: &str) {
        let step = TimelineStep {
            at: self.clock.now(),
            status,
            code: Some(code),
            detail: Some(detail.to_owned()),
        };
        let concluded = Conclusion {
            verdict: Verdict::Over,
            steps: vec![step],
            provider: None,
            to_masked: None,
            template: None,
        };
        self.conclude(claimed, concluded);
    }

    fn unrenderable(&self, claimed: ClaimedTask, to_masked: String, code: &str, reason: String) {
        let step = TimelineStep {
            at: self.clock.now(),
            status: DeliveryStatus::DeadLettered,
            code: Some(code.to_owned()),
            detail: Some(reason.clone()),
        };
        let verdict = Verdict::Dead {
            class: FailureClass::Render,
            code: code.to_owned(),
            reason,
        };
        let to_masked = Some(to_masked);
        self.conclude(
            claimed,
            Conclusion {
                verdict,
                steps: vec![step],
                provider: None,
                to_masked,
                template: None,
            },
        );
    }
}

fn address(
    claimed: &ClaimedTask,
    contacts: &HashMap<ContactPointId, ResolvedContact>,
) -> Result<(String, Option<Platform>), (String, &'static str)> {
    match &claimed.task.delivery.target {
        Target::Inline { address } => Ok((address.clone(), None)),
        Target::ContactPoint { id } => match contacts.get(id) {
            Some(ResolvedContact { point, dead: None }) => Ok((point.address.clone(), point.platform)),
            Some(ResolvedContact { dead: Some(dead), .. }) => {
                let detail = match dead.reason {
                    DeathReason::Gone => "a provider said that the address is gone",
                    DeathReason::OptedOut => "the recipient has opted out by STOP",
                };
                Err((dead.code.clone(), detail))
            }
            None => Err(("no-address".to_owned(), "the user has removed the address")),
        },
    }
}
