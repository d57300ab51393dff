//! The audit log.

use std::time::Duration;

use carillon_domain::TenantId;
use carillon_store::{
    Cursor, Page,
    api_keys::{Principal, Role},
    audit_log::AuditAction,
};
use uuid::Uuid;

use crate::support::on_each;

#[tokio::test]
async fn entries_of_a_tenant_are_listed_newest_first_a_page_at_a_time() {
    on_each(async |store| {
        let admin = |tenant: &TenantId| Principal {
            key_id: Uuid::from_u128(7),
            name: "Ada's key".to_owned(),
            tenant: tenant.clone(),
            role: Role::Admin,
        };
        let (log, other) = (store.audit_log(), TenantId::from("other".to_owned()));
        for number in 0..5 {
            let route = format!("/v1/users/u-{number}?reveal=true");
            log.note(&admin(&store.tenant), AuditAction::Reveal, &route)
                .await
                .unwrap();
            log.note(&admin(&other), AuditAction::Reveal, "/v1/users/x")
                .await
                .unwrap();
            store.clock.advance(Duration::from_secs(1));
        }
        let mut seen = Vec::new();
        let mut page = Page {
            after: None,
            limit: 2,
        };
        loop {
            let found = log.list(&store.tenant, page).await.unwrap();
            for entry in &found.items {
                assert_eq!(
                    (entry.key_id, entry.key_name.as_str()),
                    (Uuid::from_u128(7), "Ada's key")
                );
                assert_eq!(entry.action, AuditAction::Reveal);
            }
            seen.extend(found.items.into_iter().map(|entry| entry.route));
            let Some(next) = found.next_cursor else { break };
            page.after = Cursor::parse(&next);
        }
        let expected = [4, 3, 2, 1, 0].map(|number| format!("/v1/users/u-{number}?reveal=true"));
        assert_eq!(seen, expected);
        assert_eq!(log.list(&other, Page::default()).await.unwrap().items.len(), 5);
    })
    .await;
}
