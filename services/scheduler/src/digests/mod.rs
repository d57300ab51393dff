//! Digests: at the end of a window its members that are still wanted become one event, whose id is that of the digest. Router and
//! workers treat it as any other event, so preferences, quiet hours and limits apply to it as they are then.

mod event;
mod member;

use carillon_domain::{DigestId, Timestamp, clock::later};
use carillon_store::{
    Lease,
    catalog_cache::CatalogCache,
    digests::{Closing, LeasedDigest},
    send_ledger::ClaimVerdict,
};
use futures::future::try_join_all;
use uuid::Uuid;

use self::member::Member;
use crate::{
    LEASE, SchedulerDeps, SchedulerError,
    waiting::{Looked, POLL, wait},
};

/// The most digests that are closed in one step.
const BATCH: u32 = 64;
/// The digests that are closed at the same time. Their transactions share the syncs of the database.
const AT_ONCE: usize = 8;

/// Closes digests at the end of their windows.
pub struct Closer {
    deps: SchedulerDeps,
    catalogs: CatalogCache,
    owner: Uuid,
}

impl Closer {
    /// A closer with these dependencies.
    #[must_use]
    pub fn new(deps: SchedulerDeps) -> Self {
        Self {
            catalogs: CatalogCache::new(deps.store.clone()),
            deps,
            owner: Uuid::now_v7(),
        }
    }

    /// Closes the digests whose windows ended first, if any has.
    pub async fn step(&self) -> Result<Looked, SchedulerError> {
        let store = &self.deps.store;
        let due = store.digests().next_due().await?;
        let now = self.deps.clock.now();
        if let Some(wait) = wait(store, due, now).await? {
            return Ok(Looked::Wait(wait));
        }
        let lease = Lease {
            owner: self.owner,
            until: later(now, LEASE),
        };
        let leased = store
            .digests()
            .lease(lease, self.deps.only_process, BATCH)
            .await?;
        if leased.is_empty() {
            // Another process is closing them.
            return Ok(Looked::Wait(POLL));
        }
        self.catalogs.refresh().await?;
        let lateness = metrics::histogram!("carillon_waiting_lateness_seconds");
        let mut closed = 0;
        for digests in leased.chunks(AT_ONCE) {
            let closing = digests.iter().map(|digest| self.close(digest, now));
            for (digest, closing) in digests.iter().zip(try_join_all(closing).await?) {
                if closing == Closing::Closed {
                    lateness.record((now - digest.due).to_std().unwrap_or_default().as_secs_f64());
                    closed += 1;
                }
            }
        }
        // A digest with new members stays leased, and is read again in the next step.
        Ok(match closed {
            0 => Looked::Wait(POLL),
            _ => Looked::Released(closed),
        })
    }

    async fn close(&self, digest: &LeasedDigest, now: Timestamp) -> Result<Closing, SchedulerError> {
        let store = &self.deps.store;
        let catalog = self.catalogs.get(&digest.tenant).await?;
        let rows = store.digests().members(digest.id).await?;
        let count = rows.len() as u64;
        let members = member::judged(store, digest, catalog.as_deref(), rows, now).await?;
        if count != digest.members {
            return Ok(Closing::Changed);
        }
        let deliveries = members.iter().flat_map(Member::closing).collect::<Vec<_>>();
        let topics = self.deps.bus.topics();
        let records = |verdicts: &[ClaimVerdict]| {
            let mut rest = verdicts;
            let (mut records, mut included) = (Vec::new(), Vec::new());
            for member in &members {
                let (own, others) = rest.split_at(member.count().min(rest.len()));
                rest = others;
                records.extend(member.statuses(topics, digest, own));
                if member.is_included(own) {
                    included.push(member);
                }
            }
            records.extend(event::record(topics, digest, catalog.as_deref(), &included, now));
            records
        };
        let closing = store.digests().close(digest, &deliveries, records).await?;
        if closing == Closing::Closed {
            note(digest.id, &members);
        }
        Ok(closing)
    }
}

fn note(id: DigestId, members: &[Member]) {
    let left_out = members.iter().filter(|member| !member.stays()).count();
    metrics::counter!("carillon_digests_closed_total").increment(1);
    tracing::debug!(digest = %id, members = members.len(), left_out, "a digest was closed");
}
