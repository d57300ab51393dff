//! The facts about users and guests on which decisions depend. The router and the simulation load them here, so that
//! they cannot differ.

use std::collections::{HashMap, HashSet};

use carillon_domain::{
    Event, TenantId, UserId,
    contact::AddressHash,
    decide::{SuppressedGuests, UserFacts, guests_of, users_of},
};

use crate::{error::StoreError, store::Store};

/// The facts about the recipients of a batch of events.
#[derive(Debug, Default)]
pub struct RecipientFacts {
    users: HashMap<TenantId, HashMap<UserId, UserFacts>>,
    guests: HashMap<TenantId, SuppressedGuests>,
    no_users: HashMap<UserId, UserFacts>,
    no_guests: SuppressedGuests,
}

impl RecipientFacts {
    /// The known ones among the users that a tenant's events name.
    #[must_use]
    pub fn users(&self, tenant: &TenantId) -> &HashMap<UserId, UserFacts> {
        self.users.get(tenant).unwrap_or(&self.no_users)
    }

    /// The known users, to be changed for a simulation.
    pub fn users_mut(&mut self, tenant: &TenantId) -> impl Iterator<Item = &mut UserFacts> {
        self.users
            .get_mut(tenant)
            .into_iter()
            .flat_map(HashMap::values_mut)
    }

    /// The suppressed ones among the addresses of the guests that a tenant's events name.
    #[must_use]
    pub fn suppressed_guests(&self, tenant: &TenantId) -> &SuppressedGuests {
        self.guests.get(tenant).unwrap_or(&self.no_guests)
    }
}

impl Store {
    /// Loads the facts about the recipients of events. It takes three statements for each tenant with users, and one
    /// for each tenant with guests. Endpoints are loaded, with one more statement, for tenants of whose events one is of a type that
    /// sends webhooks (`true`).
    pub async fn recipient_facts<'e>(
        &self,
        events: impl Iterator<Item = (&'e TenantId, &'e Event, bool)>,
    ) -> Result<RecipientFacts, StoreError> {
        let mut users: HashMap<&TenantId, HashSet<&UserId>> = HashMap::new();
        let mut guests: HashMap<&TenantId, HashSet<AddressHash>> = HashMap::new();
        let mut with_endpoints: HashSet<&TenantId> = HashSet::new();
        for (tenant, event, sends_webhooks) in events {
            if sends_webhooks {
                with_endpoints.insert(tenant);
            }
            users.entry(tenant).or_default().extend(users_of(event));
            guests
                .entry(tenant)
                .or_default()
                .extend(guests_of(event, self.address_key()));
        }
        let mut facts = RecipientFacts::default();
        for (tenant, ids) in users.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            let ids: Vec<UserId> = ids.into_iter().cloned().collect();
            let known = if with_endpoints.contains(tenant) {
                self.users().load_facts_with_endpoints(tenant, &ids).await?
            } else {
                self.users().load_facts(tenant, &ids).await?
            };
            facts.users.insert(tenant.clone(), known);
        }
        for (tenant, hashes) in guests.into_iter().filter(|(_, hashes)| !hashes.is_empty()) {
            let hashes: Vec<AddressHash> = hashes.into_iter().collect();
            let suppressed = self.suppressions().of(tenant, &hashes).await?;
            facts.guests.insert(tenant.clone(), suppressed);
        }
        Ok(facts)
    }
}
