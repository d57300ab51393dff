//! The facts about users that a decision needs.

use std::{collections::HashMap, sync::Arc};

use carillon_domain::{Preferences, TenantId, UserId, decide::UserFacts};

use super::{contacts::Reader, endpoints};
use crate::{db::Input, error::StoreError, preferences};

#[derive(sqlx::FromRow)]
struct Profile {
    user_id: String,
    locale: Option<String>,
    timezone: Option<String>,
}

/// Loads the facts of any number of users with three statements, or four with their endpoints.
pub(super) async fn load(
    mut reader: Reader<'_>,
    ids: &[UserId],
    webhooks: bool,
) -> Result<HashMap<UserId, UserFacts>, StoreError> {
    let tenant = reader.tenant;
    let mut ids: Vec<&UserId> = ids.iter().collect();
    ids.sort_unstable();
    ids.dedup();
    let profiles: Vec<Profile> = input(tenant, &ids)
        .fetch(
            reader.session.conn(),
            "SELECT u.user_id, u.locale, u.timezone
            FROM input i JOIN users u ON u.tenant = i.tenant AND u.user_id = i.user_id",
        )
        .await?;
    let nothing_said = Arc::new(Preferences::default());
    let mut facts: HashMap<String, UserFacts> = profiles
        .into_iter()
        .map(|profile| {
            let known = UserFacts {
                locale: profile.locale.map(Arc::from),
                timezone: profile.timezone.map(Arc::from),
                contacts: Vec::new(),
                preferences: Arc::clone(&nothing_said),
            };
            (profile.user_id, known)
        })
        .collect();
    for (user, contact) in reader.of_users(input(tenant, &ids)).await? {
        if let Some(known) = facts.get_mut(&user) {
            known.contacts.push(contact);
        }
    }
    if webhooks {
        for (user, contact) in endpoints::of_users(&mut reader, input(tenant, &ids)).await? {
            if let Some(known) = facts.get_mut(&user) {
                known.contacts.push(contact);
            }
        }
    }
    for (user, preferences) in preferences::of_users(reader.session, input(tenant, &ids)).await? {
        if let Some(known) = facts.get_mut(&user) {
            known.preferences = Arc::new(preferences);
        }
    }
    Ok(facts
        .into_iter()
        .map(|(user, facts)| (UserId::from(user), facts))
        .collect())
}

fn input<'a>(tenant: &'a TenantId, ids: &[&'a UserId]) -> Input<'a> {
    Input::new(ids.len())
        .text("tenant", ids.iter().map(|_| tenant.as_str()))
        .text("user_id", ids.iter().map(|id| id.as_str()))
}
