//! The deliver stage and a delivery, for tests of its parts.

use std::{sync::Arc, time::Duration};

use carillon_domain::{Channel, Delivery, DeliveryId, EventId, Lane, NotificationId, TenantId};
use carillon_render::{InProcess, load_folder};
use carillon_runtime::{Limited, Shutdown};
use carillon_testkit::TestEnv;
use serde_json::json;

use super::{AtWork, Deliver, EndedAttempts, Owners, Patience, conclude::Queued};

/// The stage for text messages, and the attempts that it passes on for conclusion.
pub(super) fn deliver(env: &TestEnv, shutdown: &Shutdown) -> (Deliver, Queued) {
    let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
    let templates = load_folder(std::path::Path::new(shop)).unwrap();
    let (ended, queued) = EndedAttempts::queues();
    let deliver = Deliver {
        channel: Channel::Sms,
        bus: env.bus.clone(),
        store: env.store.clone(),
        renderer: Arc::new(InProcess::new(Arc::new(templates))),
        clock: Arc::clone(&env.clock),
        accounts: Vec::new(),
        routes: crate::Routes::in_order(0),
        reference_key: carillon_providers::ReferenceKey::of(env.store.address_key()),
        links: None,
        owners: Owners::default(),
        others_are_dead: true,
        lease: Duration::from_secs(12),
        longest_back_off: Duration::from_mins(15),
        give_up_after: Duration::from_hours(72),
        group: "g".to_owned(),
        at_work: AtWork::default(),
        ended,
        warned: Limited::default(),
        patience: Patience::for_tests(),
        shutdown: shutdown.clone(),
    };
    (deliver, queued)
}

pub(super) fn delivery(event: &str, lane: Lane) -> Delivery {
    let number = "+4915112345678";
    let id = EventId::from(event);
    let notification = NotificationId::derive(&TenantId::default(), "/shop", &id, number);
    serde_json::from_value(json!({
        "v": 1, "tenant": "default", "notification_id": notification,
        "delivery_id": DeliveryId::derive(notification, Channel::Sms, number),
        "event_id": event, "source": "/shop", "type": "OrderShipped", "category": "transactional",
        "event_time": "2026-11-24T10:00:00Z", "decided_at": "2026-11-24T10:00:00Z", "channel": "sms",
        "target": {"kind": "inline", "address": number}, "locale": "en", "priority": lane, "data": {},
    }))
    .unwrap()
}
