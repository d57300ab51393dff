//! The suppression list in decisions: it holds for the address of a user or a guest, for events of every type.

use carillon_domain::{Channel, suppression::SuppressionReason};
use carillon_store::suppressions::Strike;
use serde_json::json;

use crate::support::{Setting, event, on_router, shipped, with};

async fn strike(setting: &Setting, channel: Channel, address: &str, reason: SuppressionReason) {
    let store = &setting.env.store;
    let strike = Strike {
        tenant: setting.tenant.clone(),
        channel,
        address_hash: store.address_key().hash(channel, address),
        masked: "…".to_owned(),
        reason,
        code: "x".to_owned(),
        provider: "p".into(),
        delivery_id: carillon_domain::DeliveryId(uuid::Uuid::nil()),
        seen_at: "2026-11-24T11:00:00Z".parse().unwrap(),
    };
    store.suppressions().strike(&[strike]).await.unwrap();
}

#[tokio::test]
async fn a_guest_whose_number_has_opted_out_gets_no_text_and_still_gets_the_mail() {
    on_router(async |setting| {
        strike(setting, Channel::Sms, "+4915100000001", SuppressionReason::OptedOut).await;
        let guests = json!([
            {"phone": "+4915100000001", "email": "guest@example.com"},
            {"phone": "+4915100000002"},
        ]);
        let routed = setting.route_event(&with(shipped("e-1"), "recipients", guests)).await;
        assert_eq!(
            routed.decisions(),
            [
                "email send allowed",
                "sms suppress stopped",
                "push suppress no_address",
                "email suppress no_address",
                "sms send allowed",
                "push suppress no_address",
            ]
        );
        assert_eq!(routed.deliveries.len(), 2);
        let decided = routed.only();
        let stopped = &decided.decisions[1];
        assert_eq!(
            stopped.sentence,
            "Not sent by sms: the address has been on the suppression list since 2026-11-24 10:00:00 UTC, because the recipient has \
             told the provider to stop (STOP)."
        );
        assert!(!serde_json::to_string(&decided.decisions).unwrap().contains("+4915100000001"));
    })
    .await;
}

#[tokio::test]
async fn another_user_with_a_number_that_has_opted_out_gets_no_text_not_even_a_critical_one() {
    on_router(async |setting| {
        let address = "ada@example.com";
        strike(setting, Channel::Email, address, SuppressionReason::Complaint).await;
        let to_ada = json!([{"user_id": "u-42"}, {"email": "ADA@example.com"}]);
        let reset = with(event("e-1", "PasswordReset", &json!({})), "recipients", to_ada);
        let routed = setting.route_event(&reset).await;
        assert_eq!(
            routed.decisions(),
            ["email suppress complained", "email suppress complained"]
        );
        assert!(routed.deliveries.is_empty());
        // Another tenant's list is another list.
        let other = carillon_domain::TenantId::from("other");
        setting.put_catalog(&other).await;
        let hash = setting.env.store.address_key().hash(Channel::Email, address);
        let found = setting
            .env
            .store
            .suppressions()
            .of(&other, &[hash])
            .await
            .unwrap();
        assert!(found.is_empty());
    })
    .await;
}
