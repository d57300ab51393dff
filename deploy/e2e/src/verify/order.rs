//! First attempts arrive in the order in which their events were posted: for each user, channel and lane.
//!
//! While Redis is away, limits cannot be counted. Events with limits then wait apart from the others, so that the
//! others are not delayed. If Redis was away during a run, events with limits are therefore left out of the check.

use std::collections::HashMap;

use carillon_domain::{Channel, Lane};

use super::{
    Evidence, Finding,
    evidence::{Delivery, is_uncertain, timeline},
};
use crate::{
    api::Api,
    events::{Kind, To},
    plan::{FaultKind, USERS},
    recoveries::Strike,
};

/// A stream whose order is kept.
type Stream = (usize, Channel, Lane);

/// A first attempt that succeeded.
#[derive(Debug, Clone, Copy)]
struct First<'a> {
    delivery: &'a Delivery,
    arrived: usize,
}

pub(super) async fn check(api: &Api, evidence: &Evidence, strikes: &[Strike]) -> Finding {
    let limits_were_away = strikes
        .iter()
        .any(|strike| matches!(strike.kind, FaultKind::KillService("redis")));
    let streams = streams(evidence, limits_were_away);
    let compared: usize = streams.values().map(Vec::len).sum();
    let mut violations = Vec::new();
    for ((user, channel, lane), firsts) in &streams {
        for (earlier, later) in overtaken(firsts) {
            // An uncertain attempt may have arrived late, after another attempt.
            let mut uncertain = false;
            for id in [&earlier.delivery.id, &later.delivery.id] {
                uncertain |= timeline(api, id).await.is_ok_and(|steps| is_uncertain(&steps));
            }
            if !uncertain {
                violations.push(format!(
                    "user {user}, {channel}, {lane} lane: event {} was posted after {} and arrived before it ({} and {})",
                    later.delivery.event_id, earlier.delivery.event_id, later.delivery.id, earlier.delivery.id
                ));
            }
        }
    }
    let line = format!(
        "{compared} first attempts in {} streams of user, channel and lane are in order",
        streams.len()
    );
    Finding::new(line, violations)
}

/// The first attempts of each stream, in the order in which their events were posted.
fn streams(evidence: &Evidence, limits_were_away: bool) -> HashMap<Stream, Vec<First<'_>>> {
    let by_event = evidence.by_event();
    let mut streams: HashMap<Stream, Vec<First<'_>>> = HashMap::new();
    for entry in evidence
        .entries
        .iter()
        .filter(|entry| entry.is_accepted() && !entry.overlapped && !entry.event.may_wait())
        .filter(|entry| !(limits_were_away && entry.event.kind == Kind::PriceDrop))
    {
        // Probes do not wait for each other, so they have no order.
        let To::User(user @ ..USERS) = entry.event.to else {
            continue;
        };
        for delivery in by_event.get(entry.event.id.as_str()).into_iter().flatten() {
            let arrived = evidence.arrivals.get(&delivery.id);
            if let Some(arrived) = arrived.filter(|_| delivery.attempt == 1 && delivery.status == "sent") {
                let stream = (user, delivery.channel, entry.event.lane);
                streams.entry(stream).or_default().push(First {
                    delivery,
                    arrived: *arrived,
                });
            }
        }
    }
    streams
}

/// Pairs of neighbours in which the later one arrived first.
fn overtaken<'a>(firsts: &[First<'a>]) -> Vec<(First<'a>, First<'a>)> {
    firsts
        .windows(2)
        .filter_map(|pair| match pair {
            [earlier, later] if earlier.arrived > later.arrived => Some((*earlier, *later)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::evidence::sound, *};

    #[test]
    fn an_overtaken_attempt_is_found() {
        let mut evidence = sound::evidence();
        let found = |evidence: &Evidence| -> Vec<(String, String)> {
            let streams = streams(evidence, false);
            let pairs = streams.values().flat_map(|firsts| overtaken(firsts));
            pairs
                .map(|(earlier, later)| (earlier.delivery.id.clone(), later.delivery.id.clone()))
                .collect()
        };
        assert!(found(&evidence).is_empty());
        evidence.arrivals.insert("d-a".to_owned(), 2);
        assert_eq!(found(&evidence), [("d-a".to_owned(), "d-b".to_owned())]);
        // A retry may be overtaken.
        evidence.deliveries.get_mut("d-a").unwrap().attempt = 2;
        assert!(found(&evidence).is_empty());
    }

    #[test]
    fn an_event_with_limits_may_be_overtaken_only_if_limits_were_away() {
        let mut evidence = sound::evidence();
        evidence.entries[0].event.kind = Kind::PriceDrop;
        evidence.arrivals.insert("d-a".to_owned(), 2);
        let count = |limits_were_away| -> usize {
            let streams = streams(&evidence, limits_were_away);
            streams.values().map(|firsts| overtaken(firsts).len()).sum()
        };
        assert_eq!((count(false), count(true)), (1, 0));
    }
}
