//! Released records. After an event or some of its deliveries have waited, the scheduler puts the event back on its
//! events topic, with the header `carillon-release`. Each release is decided once. The header is believed only if the
//! store knows the release, since any producer may write headers.

use carillon_bus::{Record, headers};
use carillon_domain::{status::ReleaseOf, waiting::Release};
use carillon_store::{
    Store, StoreError,
    events::EventKey,
    waiting::{ReleaseClaim, ReleaseVerdict},
};

use crate::origin::origin;

/// The release of a record.
#[derive(Debug, Clone)]
pub(crate) struct Released {
    pub(crate) release: Release,
    /// The event that waited.
    pub(crate) key: EventKey,
    /// Whether the record is the first one of the release, which is decided.
    pub(crate) is_first: bool,
}

impl Released {
    /// The release in a status record.
    pub(crate) fn of(released: Option<&Self>) -> Option<ReleaseOf> {
        released.map(|released| released.release.of())
    }
}

/// The content of a record's header `carillon-release`, once it is checked.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// The record has not waited.
    No,
    /// The record has waited.
    Yes(Box<Released>),
    /// The event or its deliveries were cancelled after the release.
    Cancelled,
}

/// Claims the releases of the records that have one; returns one answer for each record, in order.
pub(crate) async fn claim(store: &Store, records: &[Record]) -> Result<Vec<Claimed>, StoreError> {
    let releases: Vec<Option<Release>> = records.iter().map(read).collect();
    let claims: Vec<ReleaseClaim> = records
        .iter()
        .zip(&releases)
        .filter_map(|(record, release)| {
            Some(ReleaseClaim {
                id: release.as_ref()?.id,
                origin: origin(record),
            })
        })
        .collect();
    let mut verdicts = store.waiting().claim_releases(&claims).await?.into_iter();
    let claimed = releases.into_iter().map(|release| {
        let Some(release) = release else {
            return Claimed::No;
        };
        let yes = |key, is_first| {
            Claimed::Yes(Box::new(Released {
                release,
                key,
                is_first,
            }))
        };
        match verdicts.next() {
            Some(ReleaseVerdict::First(key)) => yes(key, true),
            Some(ReleaseVerdict::Duplicate(key)) => yes(key, false),
            Some(ReleaseVerdict::Cancelled) => Claimed::Cancelled,
            Some(ReleaseVerdict::Unknown) | None => Claimed::No,
        }
    });
    Ok(claimed.collect())
}

fn read(record: &Record) -> Option<Release> {
    Release::parse(record.headers.get(headers::RELEASE)?).ok()
}
