//! START ends the opt-out that the same provider account has reported, and no other entry.

use carillon_domain::{Channel, TenantId, contact::mask, suppression::SuppressionReason};
use carillon_store::{
    Page,
    audit_log::AuditAction,
    suppressions::{Imported, OptIn, Strike},
};
use uuid::Uuid;

use crate::{
    support::{TestStore, on_each, seconds},
    suppressions::{NUMBER, bounce, get, noted, operator, seen, stop, strike},
};

fn start() -> OptIn {
    OptIn {
        channel: Channel::Sms,
        address: NUMBER.to_owned(),
        provider: "twilio".into(),
    }
}

async fn opt_in(store: &TestStore, opt_in: &OptIn) -> Vec<TenantId> {
    store.suppressions().opt_in(opt_in).await.unwrap()
}

/// The audit log of a tenant: action, key and route.
async fn audited(store: &TestStore, tenant: &TenantId) -> Vec<(AuditAction, String, String)> {
    let log = store.audit_log().list(tenant, Page::default()).await.unwrap();
    let entries = log
        .items
        .into_iter()
        .inspect(|entry| assert!(entry.key_id.is_nil()));
    entries
        .map(|entry| (entry.action, entry.key_name, entry.route))
        .collect()
}

#[tokio::test]
async fn start_ends_the_stop_of_every_tenant_that_sends_through_the_account_and_is_audited() {
    on_each(async |store| {
        let tenants: [TenantId; 4] = ["a".into(), store.tenant.clone(), "other".into(), "z".into()];
        let of = |tenant: &TenantId, provider: &str| Strike {
            tenant: tenant.clone(),
            provider: provider.into(),
            ..stop(store)
        };
        // The last tenant's opt-out is of another account.
        let strikes = [
            of(&tenants[0], "twilio"),
            of(&tenants[1], "twilio"),
            of(&tenants[2], "twilio"),
            of(&tenants[3], "spare"),
        ];
        store.suppressions().strike(&strikes).await.unwrap();
        store.clock.advance(seconds(60));
        assert_eq!(opt_in(store, &start()).await, tenants[..3]);
        assert_eq!(seen(store, Channel::Sms, NUMBER).await, None);
        let hash = store.address_key().hash(Channel::Sms, NUMBER);
        let left = store.suppressions().of(&tenants[3], &[hash]).await.unwrap();
        assert_eq!(left[&hash].reason, SuppressionReason::OptedOut);
        for tenant in &tenants[..3] {
            let path = format!("/v1/suppressions/sms/{}", mask(Channel::Sms, NUMBER));
            let by = "START to the provider account twilio".to_owned();
            assert_eq!(audited(store, tenant).await, [(AuditAction::Lift, by, path)]);
        }
        assert_eq!(audited(store, &tenants[3]).await, []);
        // A repeat finds nothing and notes nothing.
        assert_eq!(opt_in(store, &start()).await, []);
        assert_eq!(audited(store, &store.tenant).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn start_ends_no_entry_of_another_origin() {
    on_each(async |store| {
        let (list, who) = (store.suppressions(), operator(store));
        assert_eq!(opt_in(store, &start()).await, [], "an empty list");
        list.strike(&[bounce(store)]).await.unwrap();
        assert_eq!(opt_in(store, &start()).await, []);
        assert_eq!(get(store).await.unwrap().reason, SuppressionReason::HardBounce);
        // A complaint is stronger than a START.
        let complaint = strike(store, Channel::Sms, NUMBER, SuppressionReason::Complaint);
        list.strike(&[complaint]).await.unwrap();
        assert_eq!(opt_in(store, &start()).await, []);
        assert_eq!(get(store).await.unwrap().reason, SuppressionReason::Complaint);
        list.lift(&who, Channel::Sms, NUMBER, None).await.unwrap();
        list.put(&who, Channel::Sms, NUMBER, &noted("asked us by phone"), None)
            .await
            .unwrap();
        assert_eq!(opt_in(store, &start()).await, []);
        assert_eq!(get(store).await.unwrap().reason, SuppressionReason::Manual);
        list.lift(&who, Channel::Sms, NUMBER, None).await.unwrap();
        let line = Imported {
            channel: Channel::Sms,
            address: NUMBER.to_owned(),
            reason: SuppressionReason::OptedOut,
            note: None,
            expires_at: None,
        };
        list.import(&who, &[line]).await.unwrap();
        assert_eq!(opt_in(store, &start()).await, [], "STOP at the former provider");
        assert_eq!(get(store).await.unwrap().reason, SuppressionReason::OptedOut);
    })
    .await;
}

#[tokio::test]
async fn a_note_on_a_stop_does_not_keep_it_and_an_answer_from_before_start_does_not_bring_it_back() {
    on_each(async |store| {
        let (list, who) = (store.suppressions(), operator(store));
        let early = stop(store);
        list.strike(std::slice::from_ref(&early)).await.unwrap();
        list.put(&who, Channel::Sms, NUMBER, &noted("called us"), None)
            .await
            .unwrap();
        store.clock.advance(seconds(60));
        assert_eq!(opt_in(store, &start()).await, std::slice::from_ref(&store.tenant));
        let late = Strike {
            delivery_id: carillon_domain::DeliveryId(Uuid::from_u128(8)),
            ..early
        };
        list.strike(&[late]).await.unwrap();
        assert_eq!(get(store).await, None);
        store.clock.advance(seconds(60));
        list.strike(&[stop(store)]).await.unwrap();
        assert_eq!(get(store).await.unwrap().reason, SuppressionReason::OptedOut);
        // The same address of another channel is another address.
        let by_mail = OptIn {
            channel: Channel::Email,
            ..start()
        };
        assert_eq!(opt_in(store, &by_mail).await, []);
    })
    .await;
}
