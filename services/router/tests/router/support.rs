//! A router for one test, records for it, and its output.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use carillon_bus::{Bus, Headers, Record, Topics};
use carillon_domain::{Catalog, Lane, Platform, TenantId, clock::SharedClock};
use carillon_router::{Refused, Route, RouterConfig, RouterDeps};
use carillon_runtime::http::Readiness;
use carillon_store::{
    catalog_cache::CatalogCache,
    quota::{InProcessQuotas, Quotas, RedisQuotas, RedisQuotasConfig},
    users::{Device, UserPut},
};
use carillon_testkit::{ManualClock, TestEnv, redis_url};
use futures::FutureExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::routed::Routed;

/// The time at which tests begin.
pub(crate) const START: &str = "2026-11-24T10:00:00Z";
/// The time for which limits remember their verdicts.
const MEMORY: Duration = Duration::from_hours(1);

/// A router with a catalog, and the user `u-42`, who can be reached on all channels.
pub(crate) struct Setting {
    pub(crate) env: TestEnv,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tenant: TenantId,
    pub(crate) readiness: Readiness,
    quotas: Arc<dyn Quotas>,
    next_offset: AtomicI64,
}

/// Runs a test on a new router, and cleans up whether it succeeds or fails.
pub(crate) async fn on_router(test: impl AsyncFn(&Setting)) {
    let clock = Arc::new(ManualClock::at(START));
    let env = TestEnv::new(clock.clone()).await;
    let setting = Setting {
        env,
        clock,
        tenant: TenantId::default(),
        readiness: Readiness::default(),
        quotas: quotas(),
        next_offset: AtomicI64::new(0),
    };
    setting.prepare().await;
    let outcome = AssertUnwindSafe(test(&setting)).catch_unwind().await;
    setting.env.close().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

fn quotas() -> Arc<dyn Quotas> {
    match redis_url() {
        Some(url) => {
            let config = RedisQuotasConfig {
                prefix: format!("test:{}:", Uuid::now_v7().simple()),
                timeout: Duration::from_secs(5),
                memory: MEMORY,
                ..RedisQuotasConfig::new(url)
            };
            Arc::new(RedisQuotas::connect(config).unwrap())
        }
        None => Arc::new(InProcessQuotas::new(MEMORY)),
    }
}

/// The catalog of all tests.
fn catalog() -> Catalog {
    let catalog = json!({
        "types": {
            "OrderShipped": {
                "category": "transactional",
                "channels": {"order": ["email", "sms", "push"]},
                "recipients_from": ["/data/customer_id"],
                "schema": {
                    "type": "object",
                    "required": ["order_id"],
                    "properties": {
                        "order_id": {"type": "string"},
                        "lines": {"type": "array", "items": {"type": "string"}},
                    },
                },
            },
            "Note": {
                "category": "transactional",
                "channels": {"order": ["email"]},
                "recipients_from": ["/data/to"],
            },
            "Welcome": {
                "category": "transactional",
                "channels": {"mode": "fallback", "order": ["push", "email", "sms"]},
            },
            "Matched": {
                "category": "transactional", "channels": {"order": ["email"]},
                "match": ["orders/create", "urn:example:order:shipped", "Größe", "with spaces", "x".repeat(150)],
            },
            "Changed": {
                "category": "transactional", "channels": {"order": ["email"]},
                "recipients_from": ["/data/after/customer", "/data/payload/after/customer"],
                "schema": {"type": "object", "properties": {"after": {"type": "object"}}},
            },
            "Optional": {"category": "transactional", "channels": {"order": ["email"]}, "recipients": "optional"},
            "Newsletter": {"category": "marketing", "channels": {"order": ["email"]}, "priority": "bulk"},
            "CartReminder": {"category": "reminders", "channels": {"order": ["email", "sms"]}},
            "PasswordReset": {"category": "reminders", "critical": true, "channels": {"order": ["email"]}},
        },
        "categories": {
            "transactional": {},
            "marketing": {"default": "opt_out"},
            "reminders": {"limits": [{"channel": "email", "max": 2, "per": "1h"}]},
        },
    });
    serde_json::from_value(catalog).unwrap()
}

/// A CloudEvent of this type with this data, for `u-42`.
pub(crate) fn event(id: &str, event_type: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/shop/orders", "type": event_type, "time": START,
        "recipients": [{"user_id": "u-42"}], "data": data,
    })
}

/// A valid event.
pub(crate) fn shipped(id: &str) -> Value {
    event(id, "OrderShipped", &json!({"order_id": "1001", "carrier": "DHL"}))
}

/// The event with one field replaced.
pub(crate) fn with(mut event: Value, field: &str, value: Value) -> Value {
    event[field] = value;
    event
}

impl Setting {
    async fn prepare(&self) {
        self.put_catalog(&self.tenant).await;
        let put = UserPut {
            email: Some("ada@example.com".to_owned()),
            phone: Some("+4915112345678".to_owned()),
            locale: Some("de".to_owned()),
            timezone: Some("Europe/Berlin".to_owned()),
            devices: Some(vec![Device {
                platform: Platform::Android,
                token: "device-of-ada".to_owned(),
            }]),
        };
        self.put_user("u-42", &put).await;
    }

    pub(crate) async fn put_catalog(&self, tenant: &TenantId) {
        let catalog = catalog();
        assert_eq!(catalog.validate(), []);
        self.env
            .store
            .catalog()
            .put(tenant, &catalog, None)
            .await
            .unwrap();
    }

    pub(crate) async fn put_user(&self, id: &str, put: &UserPut) {
        self.put_user_of(&self.tenant, id, put).await;
    }

    pub(crate) async fn put_user_of(&self, tenant: &TenantId, id: &str, put: &UserPut) {
        let users = self.env.store.users();
        users.put(tenant, &id.into(), put, None).await.unwrap();
    }

    /// Creates a user who has an e-mail address and no other.
    pub(crate) async fn put_reader(&self, id: &str) {
        let put = UserPut {
            email: Some(format!("{id}@example.com")),
            ..UserPut::default()
        };
        self.put_user(id, &put).await;
    }

    /// Like [`Setting::put_reader`], for an id that cannot be part of an address.
    pub(crate) async fn put_reader_of(&self, id: &str) {
        let put = UserPut {
            email: Some(format!("{}@example.com", Uuid::now_v7().simple())),
            ..UserPut::default()
        };
        self.put_user(id, &put).await;
    }

    pub(crate) async fn prefer(&self, user: &str, preferences: Value) {
        let preferences = serde_json::from_value(preferences).unwrap();
        let of_users = self.env.store.preferences();
        of_users
            .put(&self.tenant, &user.into(), &preferences, None)
            .await
            .unwrap();
    }

    pub(crate) fn topics(&self) -> &Topics {
        self.env.bus.topics()
    }

    /// The dependencies of a router on this bus. A different clock makes its decisions recognisable.
    pub(crate) fn deps(&self, bus: &Bus, clock: SharedClock) -> RouterDeps {
        RouterDeps {
            bus: bus.clone(),
            store: self.env.store.clone(),
            catalogs: CatalogCache::new(self.env.store.clone()),
            quotas: Arc::clone(&self.quotas),
            clock,
            ready: self.readiness.register("router"),
            config: RouterConfig::default(),
        }
    }

    /// The record of an event, at a new position in the topic of events.
    pub(crate) fn record(&self, event: &Value) -> Record {
        self.raw(event.to_string())
    }

    /// A record of any bytes.
    pub(crate) fn raw(&self, value: impl Into<Bytes>) -> Record {
        Record {
            topic: self.topics().events(Lane::Normal),
            partition: 0,
            offset: self.next_offset.fetch_add(1, Ordering::Relaxed),
            key: Some(Bytes::from_static(b"default|u-42")),
            value: value.into(),
            headers: Headers::default(),
            timestamp: "2026-11-24T09:59:58Z".parse().unwrap(),
            unreadable: None,
        }
    }

    /// Routes a batch by a new router.
    pub(crate) async fn route(&self, records: &[Record]) -> Routed {
        self.route_after(records, &mut Refused::default()).await
    }

    /// Like [`Setting::route`], after topics have refused records.
    pub(crate) async fn route_after(&self, records: &[Record], refused: &mut Refused) -> Routed {
        let route = Route::new(self.deps(&self.env.bus, self.clock.clone()));
        let mut parts = Vec::new();
        let last = route.route(records, &mut parts, refused).await.unwrap();
        parts.push(last);
        Routed::new(self.topics(), parts.into_iter().flatten())
    }

    /// Routes one event.
    pub(crate) async fn route_event(&self, event: &Value) -> Routed {
        self.route(&[self.record(event)]).await
    }
}
