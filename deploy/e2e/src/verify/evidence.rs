//! The evidence after a run, on which the checks are based.

use std::collections::{BTreeMap, HashMap};

use carillon_domain::{Channel, Timestamp};
use serde::Deserialize;

use super::collected::Digests;
use crate::{api::Api, load::Entry};

/// The auditor's counts, as in `GET /v1/stats`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Stats {
    pub(super) acknowledged: u64,
    pub(super) routed: u64,
    pub(super) duplicate: u64,
    pub(super) rejected: u64,
    pub(super) cancelled: u64,
    pub(super) waiting: u64,
    pub(super) deliveries_produced: u64,
    pub(super) ended: u64,
    pub(super) pending: u64,
    pub(super) events_difference: i64,
    pub(super) deliveries_difference: i64,
}

/// A delivery, as in `GET /v1/deliveries`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Delivery {
    pub(super) id: String,
    pub(super) event_id: String,
    pub(super) channel: Channel,
    pub(super) status: String,
    pub(super) detail: Option<String>,
    pub(super) error_code: Option<String>,
    pub(super) attempt: u32,
    pub(super) user_id: Option<String>,
    /// The time at which it reached its status.
    pub(super) updated_at: Timestamp,
}

/// A message, as in `GET /v1/messages` of the simulator.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Message {
    pub(super) delivery_id: Option<String>,
    pub(super) received_at: Timestamp,
    pub(super) text: Option<String>,
}

/// A delivery that arrived more than once.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Duplicate {
    pub(super) delivery_id: String,
    pub(super) count: u32,
}

/// A step of a timeline.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Step {
    pub(super) status: String,
    pub(super) code: Option<String>,
}

/// The evidence, collected once.
#[derive(Debug)]
pub(super) struct Evidence {
    /// The posted events, in order.
    pub(super) entries: Vec<Entry>,
    pub(super) stats: Stats,
    pub(super) deliveries: BTreeMap<String, Delivery>,
    /// The position of each delivery's first arrival in the order of arrival.
    pub(super) arrivals: HashMap<String, usize>,
    /// The time of each delivery's first arrival.
    pub(super) arrived_at: HashMap<String, Timestamp>,
    /// The text of each message whose delivery is known, each delivery once.
    pub(super) texts: HashMap<String, String>,
    pub(super) digests: Digests,
    /// The end of the quiet hours of some users.
    pub(super) quiet_until: Timestamp,
    /// The number of messages.
    pub(super) received: usize,
    /// The number of messages without a delivery id.
    pub(super) anonymous: usize,
    pub(super) duplicates: Vec<Duplicate>,
}

impl Stats {
    /// Whether all deliveries of `accepted` events have ended.
    pub(super) fn is_quiet(&self, accepted: usize) -> bool {
        self.routed + self.cancelled >= accepted as u64
            && self.pending == 0
            && self.waiting == 0
            && self.events_difference == 0
            && self.deliveries_difference == 0
    }
}

impl Evidence {
    pub(super) async fn gather(
        api: &Api,
        entries: Vec<Entry>,
        quiet_until: Timestamp,
    ) -> anyhow::Result<Self> {
        let deliveries: Vec<Delivery> = api.list("/v1/deliveries").await?;
        // Newest first.
        let messages: Vec<Message> = api.simulated_list("/v1/messages").await?;
        let with_deliveries = deliveries.iter().map(|delivery| &*delivery.event_id).collect();
        let digests = Digests::gather(api, &entries, &with_deliveries).await?;
        let (mut arrivals, mut arrived_at, mut texts) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (place, message) in messages.iter().rev().enumerate() {
            if let Some(id) = &message.delivery_id {
                arrivals.entry(id.clone()).or_insert(place);
                arrived_at.entry(id.clone()).or_insert(message.received_at);
                texts
                    .entry(id.clone())
                    .or_insert_with(|| message.text.clone().unwrap_or_default());
            }
        }
        Ok(Self {
            entries,
            stats: api.get("/v1/stats").await?,
            deliveries: deliveries
                .into_iter()
                .map(|delivery| (delivery.id.clone(), delivery))
                .collect(),
            arrivals,
            arrived_at,
            texts,
            digests,
            quiet_until,
            received: messages.len(),
            anonymous: messages
                .iter()
                .filter(|message| message.delivery_id.is_none())
                .count(),
            duplicates: api.simulated_list("/v1/duplicates").await?,
        })
    }

    /// The deliveries of each event.
    pub(super) fn by_event(&self) -> HashMap<&str, Vec<&Delivery>> {
        let mut of: HashMap<&str, Vec<&Delivery>> = HashMap::new();
        for delivery in self.deliveries.values() {
            of.entry(&delivery.event_id).or_default().push(delivery);
        }
        of
    }

    /// A line with totals.
    pub(super) fn totals(&self) -> String {
        let accepted = self.entries.iter().filter(|entry| entry.is_accepted()).count();
        let again = self.entries.iter().filter(|entry| entry.tries > 1).count();
        let slowest = self
            .entries
            .iter()
            .map(|entry| entry.took)
            .max()
            .unwrap_or_default();
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for delivery in self.deliveries.values() {
            let code = match (&*delivery.status, &delivery.error_code) {
                ("sent", _) | (_, None) => String::new(),
                (_, Some(code)) => format!(" ({code})"),
            };
            *ends.entry(format!("{}{code}", delivery.status)).or_default() += 1;
        }
        let ends: Vec<String> = ends
            .into_iter()
            .map(|(end, count)| format!("{count} {end}"))
            .collect();
        format!(
            "totals: {} events posted, {again} of them more than once; {accepted} accepted, the slowest after {:.1} s; \
             {} deliveries: {}; {} messages received, {} deliveries more than once",
            self.entries.len(),
            slowest.as_secs_f64(),
            self.deliveries.len(),
            ends.join(", "),
            self.received,
            self.duplicates.len()
        )
    }
}

/// A delivery's timeline.
pub(super) async fn timeline(api: &Api, id: &str) -> anyhow::Result<Vec<Step>> {
    #[derive(Deserialize)]
    struct Shown {
        timeline: Vec<Step>,
    }
    let shown: Shown = api.get(&format!("/v1/deliveries/{id}")).await?;
    Ok(shown.timeline)
}

/// Whether a timeline says that the message may have been sent more than once.
pub(super) fn is_uncertain(timeline: &[Step]) -> bool {
    timeline.iter().any(|step| step.status == "uncertain")
}

/// Evidence of a run without violations, which tests of the checks modify.
#[cfg(test)]
pub(super) mod sound {
    use std::time::Duration;

    use carillon_domain::Lane;

    use super::*;
    use crate::{
        events::{Event, Kind, To, Waits},
        load::Journal,
    };

    /// Two events to users, one text message each, which arrived in order.
    pub(in crate::verify) fn evidence() -> Evidence {
        let events = ["a", "b"].map(|id| Event {
            id: id.to_owned(),
            kind: Kind::OrderShipped,
            to: To::User(1),
            lane: Lane::Normal,
            channels: vec![Channel::Sms],
            waits: Waits::default(),
        });
        let journal = Journal::default();
        for event in &events {
            let place = journal.begin(std::slice::from_ref(event));
            journal.end(place, 1, &[]);
        }
        let delivery = |event: &Event| Delivery {
            id: format!("d-{}", event.id),
            event_id: event.id.clone(),
            channel: Channel::Sms,
            status: "sent".to_owned(),
            detail: None,
            error_code: None,
            attempt: 1,
            user_id: Some(crate::events::user_id(1)),
            updated_at: Timestamp::UNIX_EPOCH + Duration::from_secs(1),
        };
        let deliveries: BTreeMap<String, Delivery> = events
            .iter()
            .map(|event| (format!("d-{}", event.id), delivery(event)))
            .collect();
        Evidence {
            entries: journal.entries(),
            stats: Stats {
                acknowledged: 2,
                routed: 2,
                duplicate: 0,
                rejected: 0,
                cancelled: 0,
                waiting: 0,
                deliveries_produced: 2,
                ended: 2,
                pending: 0,
                events_difference: 0,
                deliveries_difference: 0,
            },
            arrivals: [("d-a".to_owned(), 0), ("d-b".to_owned(), 1)].into(),
            arrived_at: ["d-a", "d-b"]
                .map(|id| (id.to_owned(), Timestamp::UNIX_EPOCH + Duration::from_secs(1)))
                .into(),
            texts: HashMap::new(),
            digests: Digests::default(),
            quiet_until: Timestamp::UNIX_EPOCH,
            received: deliveries.len(),
            anonymous: 0,
            duplicates: Vec::new(),
            deliveries,
        }
    }
}
