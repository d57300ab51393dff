//! Third stage: checks that the message is still to be sent, looks up its address and renders it. The whole batch
//! takes one look-up and one call of the renderer.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use carillon_bus::headers;
use carillon_domain::{
    Channel, ContactPointId, DeliveryStatus, Platform, Target,
    contact::{self, AddressHash, SigningSecret},
    dead_letter::FailureClass,
    decide::{Contact, SuppressedGuests},
    status::TimelineStep,
};
use carillon_render::{RenderError, RenderRequest, Rendered};
use carillon_runtime::{
    panics::{Panic, catch},
    telemetry,
};
use tracing::Instrument as _;

use super::{
    Deliver,
    claim::ClaimedTask,
    conclude::bug,
    task::{Conclusion, Consequence},
};

/// A task that is ready to be sent.
pub(super) struct Ready {
    pub(super) claimed: ClaimedTask,
    pub(super) to: String,
    /// The device's platform, for push.
    pub(super) platform: Option<Platform>,
    pub(super) to_masked: String,
    /// The secrets of an endpoint.
    pub(super) secrets: Vec<SigningSecret>,
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
        let found = self.addresses(&claimed).await;
        let mut addressed = Vec::with_capacity(claimed.len());
        for claimed in claimed {
            match found.of(self, &claimed) {
                Ok(to) => addressed.push((claimed, to)),
                Err((code, detail)) => {
                    self.over(claimed, DeliveryStatus::Suppressed, code, &detail);
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
            let secrets = found.secrets_of(&claimed);
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
                    secrets,
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
            verdict: Consequence::Over,
            steps: vec![step],
            ..Conclusion::default()
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
        let verdict = Consequence::Dead {
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
                to_masked,
                ..Conclusion::default()
            },
        );
    }
}

/// The addresses of a batch, as they are right before the send.
struct Addresses {
    contacts: HashMap<ContactPointId, Contact>,
    /// The secrets of endpoints.
    secrets: HashMap<ContactPointId, Vec<SigningSecret>>,
    guests: SuppressedGuests,
}

impl Deliver {
    /// Looks up the addresses of a tenant's deliveries, and which of them are suppressed: a STOP that came while a
    /// delivery waited counts. Users' addresses cost one query, and guests' another.
    async fn addresses(&self, claimed: &[ClaimedTask]) -> Addresses {
        let Some(tenant) = claimed.first().map(|claimed| &claimed.task.delivery.tenant) else {
            return Addresses {
                contacts: HashMap::new(),
                secrets: HashMap::new(),
                guests: SuppressedGuests::new(),
            };
        };
        let (mut ids, mut guests) = (Vec::new(), Vec::new());
        for claimed in claimed {
            match &claimed.task.delivery.target {
                Target::ContactPoint { id } => ids.push(*id),
                Target::Inline { address } => guests.push(self.hash(address)),
            }
        }
        let contacts = async {
            if ids.is_empty() {
                return (HashMap::new(), HashMap::new());
            }
            let users = self.store.users();
            if self.channel == Channel::Webhook {
                let found = self
                    .patience
                    .until_succeeded("resolve", || users.resolve_endpoints(tenant, &ids));
                let found = found.await.into_iter();
                return found
                    .map(|(id, (contact, secrets))| ((id, contact), (id, secrets)))
                    .unzip();
            }
            let contacts = self
                .patience
                .until_succeeded("resolve", || users.resolve(tenant, &ids));
            (contacts.await, HashMap::new())
        };
        let guests = async {
            if guests.is_empty() {
                return SuppressedGuests::new();
            }
            let suppressions = self.store.suppressions();
            self.patience
                .until_succeeded("suppressions", || suppressions.of(tenant, &guests))
                .await
        };
        let ((contacts, secrets), guests) = tokio::join!(contacts, guests);
        Addresses {
            contacts,
            secrets,
            guests,
        }
    }

    fn hash(&self, address: &str) -> AddressHash {
        self.store.address_key().hash(self.channel, address)
    }
}

impl Addresses {
    /// The secrets of a delivery's endpoint. Another delivery of the batch may go to the same endpoint.
    fn secrets_of(&self, claimed: &ClaimedTask) -> Vec<SigningSecret> {
        match &claimed.task.delivery.target {
            Target::ContactPoint { id } => self.secrets.get(id).cloned().unwrap_or_default(),
            Target::Inline { .. } => Vec::new(),
        }
    }

    /// The address of a delivery, and the platform if it is a device. The error is the code and the sentence of the
    /// reason why there is no address.
    fn of(
        &self,
        deliver: &Deliver,
        claimed: &ClaimedTask,
    ) -> Result<(String, Option<Platform>), (String, Cow<'static, str>)> {
        let (address, platform, suppressed) = match &claimed.task.delivery.target {
            Target::Inline { address } => {
                let suppressed = if self.guests.is_empty() {
                    None
                } else {
                    self.guests.get(&deliver.hash(address))
                };
                (address, None, suppressed)
            }
            Target::ContactPoint { id } => match self.contacts.get(id) {
                Some(Contact { point, suppressed }) => (&point.address, point.platform, suppressed.as_ref()),
                None => return Err(("no-address".to_owned(), "the user has removed the address".into())),
            },
        };
        match suppressed {
            Some(suppression) => Err((suppression.reason.to_string(), suppression.sentence().into())),
            None => Ok((address.clone(), platform)),
        }
    }
}
