//! A look at the first rows of a list, by the query of its page.

use carillon_domain::{TenantId, Timestamp};
use carillon_store::{
    Cursor, Page,
    dead_letters::DeadLetterFilter,
    read_model::{DeliveryFilter, activity::ActivityView},
};
use uuid::Uuid;

use crate::{
    activity::{Search, search},
    error::ApiError,
    state::GatewayState,
};

/// The rows of a look. A page counts more new rows than this only over several looks.
const WINDOW: u32 = 100;

/// A list, newest first.
#[derive(Debug, Clone)]
pub(crate) enum List {
    Deliveries(DeliveryFilter),
    DeadLetters(DeadLetterFilter),
    Events(Box<Search>),
}

/// The places of a list's first rows, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FirstRows {
    pub(crate) rows: Vec<Cursor>,
    /// Whether the list has rows after these.
    pub(crate) is_full: bool,
}

impl List {
    pub(super) async fn first_rows(
        &self,
        state: &GatewayState,
        tenant: &TenantId,
    ) -> Result<FirstRows, ApiError> {
        let page = Page {
            after: None,
            limit: WINDOW,
        };
        match self {
            Self::Deliveries(filter) => {
                let model = state.store.read_model();
                let found = model.deliveries(tenant, filter, page).await?;
                let rows = found.items.iter();
                Ok(FirstRows {
                    rows: rows.map(|row| Cursor::new(row.created_at, row.id.0)).collect(),
                    is_full: found.next_cursor.is_some(),
                })
            }
            Self::DeadLetters(filter) => {
                let letters = state.store.dead_letters();
                let found = letters.places(tenant, filter, page).await?;
                Ok(FirstRows {
                    rows: found.items,
                    is_full: found.next_cursor.is_some(),
                })
            }
            Self::Events(wanted) => {
                let wanted = Search {
                    limit: WINDOW,
                    ..Search::clone(wanted)
                };
                let found = search(state, tenant, wanted).await?;
                let rows = found.page.items.iter();
                Ok(FirstRows {
                    rows: rows.map(place_of).collect(),
                    is_full: found.page.next.is_some(),
                })
            }
        }
    }
}

/// The place of an event in a list. An event that is decided again has another place.
fn place_of(event: &ActivityView) -> Cursor {
    let name = format!("{}\0{}", event.source, event.event_id.as_str());
    Cursor::new(event.at, Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}

/// The place at which a list of events begins, from the time of its first event. Another event of the same moment is on the
/// page, too, or is seen later.
pub(crate) fn begin(at: Timestamp) -> Cursor {
    Cursor::new(at, Uuid::max())
}
