//! Live views: how many rows of a list are new since a page showed it. All pages with the same list share one look at the
//! read model, which is taken at most once in an interval, and only if a tracker has written since the last one.

mod look;
mod places;
mod tally;

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use carillon_domain::TenantId;
use carillon_store::{StoreError, read_model::Revision};
use parking_lot::Mutex;
use tokio::{sync::Mutex as Turn, time::Instant};

pub(crate) use self::{
    look::{FirstRows, List, begin},
    places::{Place, Places},
    tally::Tally,
};
use crate::{config::GatewayConfig, error::ApiError, state::GatewayState};

/// A look that took long is repeated only after this many times its duration, so that a slow filter keeps no connection of
/// the database busy.
const PATIENCE: u32 = 10;

/// A tenant's list, by the path and query of its page.
type Key = (TenantId, String);

/// The looks of this process.
pub(crate) struct Live {
    /// The time between two looks.
    interval: Duration,
    pub(crate) places: Places,
    revision: Turn<Option<(Instant, Revision)>>,
    lists: Mutex<HashMap<Key, Weak<Shared>>>,
}

/// The last look at a list. It is kept while a page listens.
pub(crate) struct Shared {
    list: List,
    tenant: TenantId,
    last: Turn<Option<Look>>,
}

struct Look {
    begun: Instant,
    took: Duration,
    /// The state of the read model before the look.
    revision: Revision,
    first_rows: Arc<FirstRows>,
}

impl Live {
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        Self {
            interval: config.live_interval,
            places: Places::new(config.max_live_views),
            revision: Turn::default(),
            lists: Mutex::default(),
        }
    }

    /// The time between two looks at a list.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// The list of a page, shared with the others that show it. `name` is the page's path and query.
    pub(crate) fn list(&self, tenant: &TenantId, name: &str, list: List) -> Arc<Shared> {
        let mut lists = self.lists.lock();
        lists.retain(|_, shared| shared.strong_count() > 0);
        let key = (tenant.clone(), name.to_owned());
        if let Some(shared) = lists.get(&key).and_then(Weak::upgrade) {
            return shared;
        }
        let shared = Arc::new(Shared {
            list,
            tenant: tenant.clone(),
            last: Turn::default(),
        });
        lists.insert(key, Arc::downgrade(&shared));
        shared
    }

    /// The first rows of a list, as they were at `not_before` or later.
    pub(crate) async fn look(
        &self,
        state: &GatewayState,
        shared: &Shared,
        not_before: Instant,
    ) -> Result<Arc<FirstRows>, ApiError> {
        let mut last = shared.last.lock().await;
        if let Some(look) = &*last
            && look.begun >= not_before
        {
            return Ok(Arc::clone(&look.first_rows));
        }
        let (as_of, revision) = self.revision(state, not_before).await?;
        if let Some(look) = &mut *last
            && look.revision == revision
        {
            look.begun = as_of;
            return Ok(Arc::clone(&look.first_rows));
        }
        let begun = Instant::now();
        let first_rows = Arc::new(shared.list.first_rows(state, &shared.tenant).await?);
        *last = Some(Look {
            begun,
            took: begun.elapsed(),
            revision,
            first_rows: Arc::clone(&first_rows),
        });
        Ok(first_rows)
    }

    /// The first rows of a list for a page that listens already: those of the present interval, or of a longer one if a
    /// look takes long.
    pub(crate) async fn again(
        &self,
        state: &GatewayState,
        shared: &Shared,
    ) -> Result<Arc<FirstRows>, ApiError> {
        let took = shared.last.lock().await.as_ref().map(|look| look.took);
        let age = took.map_or(self.interval, |took| self.interval.max(took * PATIENCE));
        let now = Instant::now();
        self.look(state, shared, now.checked_sub(age).unwrap_or(now))
            .await
    }

    /// The state of the read model as it was at `not_before` or later, and the time as of which it is known.
    async fn revision(
        &self,
        state: &GatewayState,
        not_before: Instant,
    ) -> Result<(Instant, Revision), StoreError> {
        let mut last = self.revision.lock().await;
        if let Some((begun, revision)) = &*last
            && *begun >= not_before
        {
            return Ok((*begun, *revision));
        }
        let begun = Instant::now();
        let revision = state.store.read_model().revision().await?;
        *last = Some((begun, revision));
        Ok((begun, revision))
    }
}
