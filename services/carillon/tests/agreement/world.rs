//! A random catalog with random users, a gateway that simulates, and a router that decides, on one database and one
//! clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::Method};
use bytes::Bytes;
use carillon_bus::{Headers, Record};
use carillon_domain::{Catalog, Clock as _, Lane, TenantId};
use carillon_gateway::{GatewayConfig, GatewayDeps, ReceiptAccounts};
use carillon_providers::ProvidersConfig;
use carillon_router::{Refused, Route, RouterConfig, RouterDeps};
use carillon_runtime::{Shutdown, http::Readiness, telemetry::MetricsHandle};
use carillon_store::{
    api_keys::Role,
    catalog_cache::CatalogCache,
    quota::{InProcessQuotas, Quotas},
};
use carillon_testkit::{ManualClock, TestEnv};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Map, Value, json};

use crate::{ask, decided};

const USERS: usize = 10;
const TYPES: [&str; 5] = ["A", "B", "C", "D", "E"];
const CHANNELS: [&str; 3] = ["email", "sms", "push"];
const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/Montreal",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "UTC",
];

pub(crate) struct World {
    env: TestEnv,
    clock: Arc<ManualClock>,
    pub(crate) gateway: Router,
    pub(crate) key: String,
    route: Route,
    next_offset: AtomicI64,
}

impl World {
    pub(crate) async fn new(random: &mut StdRng) -> Self {
        let (month, day) = (random.random_range(1..=12), random.random_range(1..=28));
        let clock = Arc::new(ManualClock::at(&format!("2026-{month:02}-{day:02}T07:00:00Z")));
        let env = TestEnv::new(clock.clone()).await;
        let quotas: Arc<dyn Quotas> = Arc::new(InProcessQuotas::new(Duration::from_hours(24 * 400)));
        let keys = env.store.api_keys();
        let key = keys
            .create(&TenantId::default(), "a test", Role::Admin)
            .await
            .unwrap();
        let world = Self {
            gateway: carillon_gateway::router(gateway(&env, &clock, &quotas), |_| Vec::new()),
            route: Route::new(RouterDeps {
                bus: env.bus.clone(),
                store: env.store.clone(),
                catalogs: CatalogCache::new(env.store.clone()),
                quotas,
                clock: clock.clone(),
                ready: Readiness::default().register("router"),
                config: RouterConfig::default(),
            }),
            key: key.secret,
            clock,
            env,
            next_offset: AtomicI64::new(0),
        };
        // Through the store: the gateway would require a published template of the digest.
        let catalogs = world.env.store.catalog();
        catalogs
            .put(&TenantId::default(), &catalog(random), None)
            .await
            .unwrap();
        for user in 0..USERS {
            world.put_user(user, random).await;
        }
        world
    }

    async fn put(&self, path: &str, body: &Value) {
        ask(&self.gateway, &self.key, Method::PUT, path, body).await;
    }

    async fn put_user(&self, number: usize, random: &mut StdRng) {
        let mut user = Map::new();
        let (email, phone) = (
            format!("u{number}@example.com"),
            format!("+4915112345{number:03}"),
        );
        if random.random_bool(0.8) {
            user.insert("email".to_owned(), json!(email));
        }
        if random.random_bool(0.7) {
            user.insert("phone".to_owned(), json!(phone));
        }
        if random.random_bool(0.5) {
            let platform = one_of(random, &["android", "ios", "web"]);
            user.insert(
                "devices".to_owned(),
                json!([{"platform": platform, "token": format!("token-{number}")}]),
            );
        }
        if random.random_bool(0.8) {
            user.insert("timezone".to_owned(), json!(one_of(random, &ZONES)));
        }
        self.put(&format!("/v1/users/u{number}"), &Value::Object(user))
            .await;
        if random.random_bool(0.7) {
            let preferences = preferences(random);
            self.put(&format!("/v1/users/u{number}/preferences"), &preferences)
                .await;
        }
        for (channel, address) in [("email", email), ("sms", phone)] {
            if random.random_bool(0.1) {
                let path = format!("/v1/suppressions/{channel}/{}", address.replace('+', "%2B"));
                self.put(&path, &json!({})).await;
            }
        }
    }

    /// Moves the clock by less than three hours.
    pub(crate) fn pass_time(&self, random: &mut StdRng) {
        let seconds = if random.random_bool(0.5) { 60 } else { 3 * 3_600 };
        self.clock
            .advance(Duration::from_secs(random.random_range(0..seconds)));
    }

    /// An event for one to three recipients.
    pub(crate) fn event(&self, number: u64, random: &mut StdRng) -> Value {
        let recipients: Vec<Value> = (0..random.random_range(1..=3))
            .map(|_| recipient(random))
            .collect();
        let mut event = json!({
            "id": format!("e-{number}"), "source": "/random", "type": one_of(random, &TYPES),
            "recipients": recipients, "data": {"product": random.random_range(0..3)},
        });
        if random.random_bool(0.2) {
            let end = self.clock.now() + Duration::from_secs(random.random_range(60..12 * 3_600));
            event["expiresat"] = json!(end);
        }
        event
    }

    /// Routes an event as its producer writes it to Kafka. Returns the decisions.
    pub(crate) async fn route(&self, event: &Value) -> Vec<Value> {
        let topics = self.env.bus.topics();
        let mut event = event.clone();
        event["specversion"] = json!("1.0");
        let record = Record {
            topic: topics.events(Lane::Normal),
            partition: 0,
            offset: self.next_offset.fetch_add(1, Ordering::Relaxed),
            key: Some(Bytes::from_static(b"default|u")),
            value: event.to_string().into(),
            headers: Headers::default(),
            timestamp: self.clock.now(),
            unreadable: None,
        };
        let mut parts = Vec::new();
        let mut refused = Refused::default();
        let last = self
            .route
            .route(&[record], &mut parts, &mut refused)
            .await
            .unwrap();
        parts.push(last);
        decided(&parts.concat(), &topics.status())
    }

    pub(crate) async fn close(self) {
        self.env.close().await;
    }
}

fn gateway(env: &TestEnv, clock: &Arc<ManualClock>, quotas: &Arc<dyn Quotas>) -> GatewayDeps {
    let config = GatewayConfig::default();
    GatewayDeps {
        endpoint_rules: ProvidersConfig::default().endpoint_rules(),
        bus: env.bus.clone(),
        store: env.store.clone(),
        catalogs: CatalogCache::new(env.store.clone()),
        quotas: Arc::clone(quotas),
        renderer: None,
        links: None,
        clock: clock.clone(),
        receipts: Arc::new(
            ReceiptAccounts::new(&serde_json::from_str("{}").unwrap(), config.receipts_per_second).unwrap(),
        ),
        config,
        readiness: Readiness::default(),
        metrics: MetricsHandle::detached(),
        shutdown: Shutdown::new(),
    }
}

/// A valid catalog. Combinations that a catalog may not have are drawn again.
fn catalog(random: &mut StdRng) -> Catalog {
    loop {
        let catalog: Catalog = serde_json::from_value(any_catalog(random)).unwrap();
        if catalog.validate().is_empty() {
            return catalog;
        }
    }
}

fn any_catalog(random: &mut StdRng) -> Value {
    let categories = ["plain", "limited", "collected"];
    let mut types: Map<String, Value> = TYPES
        .iter()
        .map(|name| {
            let definition = json!({
                "category": one_of(random, &categories),
                "channels": {"mode": one_of(random, &["fanout", "fallback"]), "order": order(random)},
                "critical": random.random_bool(0.1),
            });
            ((*name).to_owned(), definition)
        })
        .collect();
    types.insert(
        "Digest".to_owned(),
        json!({"category": "collected", "channels": {"order": order(random)}}),
    );
    let mut digest = json!({"type": "Digest", "max": 5});
    if random.random_bool(0.5) {
        digest["every"] = json!(one_of(random, &["10m", "1h", "1d"]));
    } else {
        digest["at"] = json!(["08:00", "18:30"]);
    }
    if random.random_bool(0.5) {
        digest["key"] = json!("/data/product");
    }
    let mut collected = json!({"digest": digest});
    if random.random_bool(0.4) {
        collected["limits"] = limits(random);
        collected["overflow"] = json!("digest");
    }
    let mut catalog = json!({"types": types, "categories": {
        "plain": {"default": one_of(random, &["opt_in", "opt_out"])},
        "limited": {"limits": limits(random), "overflow": one_of(random, &["drop", "defer", "downgrade"])},
        "collected": collected,
    }});
    if random.random_bool(0.4) {
        catalog["quiet_hours"] = quiet_hours(random);
        catalog["timezone"] = json!(one_of(random, &ZONES));
    }
    catalog
}

fn one_of(random: &mut StdRng, words: &[&'static str]) -> &'static str {
    words[random.random_range(0..words.len())]
}

/// One to three channels in any order.
fn order(random: &mut StdRng) -> Vec<&'static str> {
    let count = random.random_range(1..=CHANNELS.len());
    CHANNELS.sample(random, count).copied().collect()
}

fn limits(random: &mut StdRng) -> Value {
    let mut limits = Vec::new();
    for channel in order(random) {
        limits.push(json!({
            "channel": channel, "max": random.random_range(1..4), "per": one_of(random, &["10m", "1h", "1d"]),
        }));
    }
    Value::Array(limits)
}

fn quiet_hours(random: &mut StdRng) -> Value {
    let nights = [("22:00", "07:00"), ("01:30", "02:45")];
    let (from, to) = nights[random.random_range(0..nights.len())];
    let windows = [
        json!({"from": from, "to": to}),
        json!({"from": "12:00", "to": "14:00", "days": ["mon", "wed", "sun"]}),
    ];
    let count = random.random_range(0..=windows.len());
    Value::Array(windows.sample(random, count).cloned().collect())
}

fn preferences(random: &mut StdRng) -> Value {
    let mut preferences = json!({});
    for (place, names) in [
        ("categories", &["plain", "limited", "collected"][..]),
        ("types", &TYPES[..]),
    ] {
        if random.random_bool(0.5) {
            let name = one_of(random, names);
            preferences[place] = json!({name: choices(random)});
        }
    }
    if random.random_bool(0.3) {
        preferences["global"] = choices(random);
    }
    if random.random_bool(0.5) {
        preferences["quiet_hours"] = quiet_hours(random);
    }
    preferences
}

fn choices(random: &mut StdRng) -> Value {
    let channels = order(random).into_iter();
    let choices: Map<String, Value> = channels
        .map(|channel| (channel.to_owned(), json!(random.random_bool(0.5))))
        .collect();
    Value::Object(choices)
}

fn recipient(random: &mut StdRng) -> Value {
    let number = random.random_range(0..USERS);
    match random.random_range(0..8) {
        0 => json!({"email": format!("guest{number}@example.com")}),
        1 => json!({"phone": format!("+4915112345{number:03}")}),
        2 => {
            json!({"email": format!("u{number}@example.com"), "phone": format!("+4915112345{number:03}"), "timezone": "Europe/Berlin"})
        }
        _ => json!({"user_id": format!("u{number}")}),
    }
}
