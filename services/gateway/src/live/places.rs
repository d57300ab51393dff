//! The bound on live views. Each holds a connection, so one key or tenant takes a part of them at most.

use std::{collections::HashMap, sync::Arc};

use carillon_domain::TenantId;
use carillon_store::api_keys::Principal;
use parking_lot::Mutex;
use uuid::Uuid;

/// The open live views of this process.
pub(crate) struct Places {
    /// The most of them.
    all: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    keys: HashMap<Uuid, usize>,
    tenants: HashMap<TenantId, usize>,
}

/// The place of a live view, until it is dropped.
pub(crate) struct Place {
    key: Uuid,
    tenant: TenantId,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    pub(crate) fn new(all: usize) -> Self {
        Self {
            all,
            taken: Arc::default(),
        }
    }

    /// Takes a place: an eighth of all belongs to one key at most, and a quarter to one tenant. `None` if there is none.
    pub(crate) fn take(&self, principal: &Principal) -> Option<Place> {
        let (of_key, of_tenant) = (self.all.div_ceil(8), self.all.div_ceil(4));
        let mut taken = self.taken.lock();
        let key = taken.keys.get(&principal.key_id).copied().unwrap_or_default();
        let tenant = taken.tenants.get(&principal.tenant).copied().unwrap_or_default();
        if taken.all >= self.all || key >= of_key || tenant >= of_tenant {
            return None;
        }
        taken.all += 1;
        taken.keys.insert(principal.key_id, key + 1);
        taken.tenants.insert(principal.tenant.clone(), tenant + 1);
        Some(Place {
            key: principal.key_id,
            tenant: principal.tenant.clone(),
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.all -= 1;
        less(&mut taken.keys, &self.key);
        less(&mut taken.tenants, &self.tenant);
    }
}

/// Lowers the count of a key by one, and removes a count of zero.
fn less<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use carillon_store::api_keys::Role;

    use super::*;

    fn key(tenant: &str) -> Principal {
        Principal {
            key_id: Uuid::now_v7(),
            name: "a test".to_owned(),
            tenant: TenantId::from(tenant.to_owned()),
            role: Role::Viewer,
        }
    }

    #[test]
    fn one_key_and_one_tenant_leave_places_to_others() {
        let places = Places::new(16);
        let (first, second, other) = (key("a"), key("a"), key("b"));
        let mut held: Vec<Place> = (0..2).map(|_| places.take(&first).unwrap()).collect();
        assert!(places.take(&first).is_none(), "an eighth");
        held.extend((0..2).map(|_| places.take(&second).unwrap()));
        assert!(places.take(&key("a")).is_none(), "a quarter");
        held.push(places.take(&other).unwrap());
        drop(held);
        assert!(places.take(&first).is_some());
        let taken = places.taken.lock();
        assert!(taken.all == 0 && taken.keys.is_empty() && taken.tenants.is_empty());
    }

    #[test]
    fn all_places_are_bounded() {
        let places = Places::new(1);
        let held = places.take(&key("a")).unwrap();
        assert!(places.take(&key("b")).is_none());
        drop(held);
        assert!(places.take(&key("b")).is_some());
        assert!(Places::new(0).take(&key("a")).is_none(), "0 turns live views off");
    }
}
