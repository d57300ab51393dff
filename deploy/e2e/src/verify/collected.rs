//! The digests that the run's events were to join.

use std::collections::{HashMap, HashSet};

use carillon_domain::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use crate::{api::Api, events::Kind, load::Entry};

/// The most requests at the same time.
const AT_ONCE: usize = 8;

/// The digests that events were to join.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// The end of each digest's window, by the digest's id.
    pub(super) ends: HashMap<String, Timestamp>,
    /// The user of each digest.
    pub(super) users: HashMap<String, String>,
    /// The digests with a member at the end of their window: those with an event.
    pub(super) sent: HashSet<String>,
}

#[derive(Debug, Deserialize)]
struct Shown {
    decisions: Vec<Decided>,
}

#[derive(Debug, Deserialize)]
struct Decided {
    user_id: Option<String>,
    until: Option<Timestamp>,
    digest_id: Option<String>,
}

impl Digests {
    /// Reads the decisions of all events that join digests, and finds out which digests were sent.
    pub(super) async fn gather(
        api: &Api,
        entries: &[Entry],
        with_deliveries: &HashSet<&str>,
    ) -> anyhow::Result<Self> {
        let members = entries
            .iter()
            .filter(|entry| entry.event.kind == Kind::WishlistPriceDrop && entry.is_accepted());
        let shown: Vec<Shown> = futures::stream::iter(members)
            .map(|entry| async move { api.get(&format!("/v1/events/{}", entry.event.id)).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let mut digests = Self::default();
        for decided in shown.into_iter().flat_map(|shown| shown.decisions) {
            if let (Some(id), Some(until)) = (decided.digest_id, decided.until) {
                digests.ends.insert(id.clone(), until);
                digests.users.insert(id, decided.user_id.unwrap_or_default());
            }
        }
        let sent = digests
            .ends
            .keys()
            .filter(|id| with_deliveries.contains(id.as_str()));
        digests.sent = sent.cloned().collect();
        Ok(digests)
    }
}
