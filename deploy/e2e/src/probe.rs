//! Measures the recovery time: events are posted at the end of a fault; Carillon has recovered when each of their
//! messages has arrived, or a provider has refused it.

use std::{collections::HashSet, time::Duration};

use carillon_domain::{Channel, Lane};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    api::Api,
    events::{CHANNELS, Event, Kind, To, Waits},
    load::{Door, Journal, post_now},
};

/// The time after which a probe has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);
/// The number of checks of messages for each check of statuses. Statuses change later than messages, because they pass
/// through the tracker.
const LOOKS_A_STATUS: u32 = 10;
/// The number of events of a probe. The records of their users lie on several partitions.
const EVENTS: usize = 3;

#[derive(Deserialize)]
struct Arrived {
    channel: Channel,
}

#[derive(Deserialize)]
struct Decided {
    deliveries: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    channel: Channel,
    attempt: u32,
    status: String,
}

/// Posts probes and waits for them; returns the time and channel of the last arrival, or `None` after the limit.
pub(crate) async fn recovered(api: &Api, journal: &Journal, number: usize) -> Option<(Instant, Channel)> {
    let door = Door::http(api.clone());
    let probes = (0..EVENTS).map(|n| {
        let event = Event {
            id: format!("probe{number}-{n}"),
            kind: Kind::OrderShipped,
            to: To::User(crate::plan::USERS + n),
            lane: Lane::Normal,
            channels: Vec::new(),
            waits: Waits::default(),
        };
        let door = door.clone();
        async move {
            let id = event.id.clone();
            post_now(&door, vec![event], journal).await;
            arrived(api, &id).await
        }
    });
    let all = futures::future::join_all(probes);
    let arrivals = tokio::time::timeout(LIMIT, all).await.ok()?;
    arrivals.into_iter().max()
}

/// The users of probes.
pub(crate) fn users() -> impl Iterator<Item = usize> {
    (0..EVENTS).map(|n| crate::plan::USERS + n)
}

async fn arrived(api: &Api, id: &str) -> (Instant, Channel) {
    let mut done: HashSet<Channel> = HashSet::new();
    let mut last = Channel::Email;
    let mut looks = 0;
    loop {
        last = CHANNELS
            .into_iter()
            .find(|channel| !done.contains(channel))
            .unwrap_or(last);
        looks += 1;
        // Gateway and simulator may both be down for a while.
        if let Ok(messages) = messages(api, id).await {
            done.extend(messages.into_iter().map(|message| message.channel));
        }
        if done.len() < CHANNELS.len()
            && looks % LOOKS_A_STATUS == 0
            && let Ok(decided) = api.get::<Decided>(&format!("/v1/events/{id}")).await
        {
            let was_asked = |delivery: &&Asked| {
                delivery.attempt > 0 && !matches!(delivery.status.as_str(), "queued" | "sending")
            };
            done.extend(
                decided
                    .deliveries
                    .iter()
                    .filter(was_asked)
                    .map(|delivery| delivery.channel),
            );
        }
        if done.len() == CHANNELS.len() {
            return (Instant::now(), last);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn messages(api: &Api, id: &str) -> anyhow::Result<Vec<Arrived>> {
    let page: serde_json::Value = api.simulated(&format!("/v1/messages?event_id={id}")).await?;
    Ok(serde_json::from_value(page["items"].clone())?)
}
