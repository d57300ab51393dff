//! Orders, weights and routes, and the mistakes in them.

use carillon_domain::{Channel, Delivery, DeliveryId, NotificationId, TenantId};
use carillon_providers::{ProvidersConfig, SmtpConfig, TwilioConfig, WebhookConfig};
use serde_json::{Value, json};

use super::*;
use crate::ChannelConfig;

const NAMES: [&str; 3] = ["de", "main", "spare"];

fn providers() -> ProvidersConfig {
    let mut providers = ProvidersConfig::default();
    for name in NAMES {
        let twilio: TwilioConfig = serde_json::from_value(json!({
            "account_sid": "AC00000000000000000000000000000001", "auth_token": "5ec0de5ec0de5ec0de5ec0de5ec0de00",
            "from": "+15550001111",
        }))
        .unwrap();
        providers.insert(name, twilio);
    }
    let relay: SmtpConfig =
        serde_json::from_value(json!({"host": "relay.example", "from": "a@example.com"})).unwrap();
    providers.insert("relay", relay);
    providers.insert("hooks", WebhookConfig::default());
    providers
}

fn channels(sms: &Value) -> ChannelsConfig {
    let mut channels = ChannelsConfig::default();
    let config: ChannelConfig = serde_json::from_value(sms.clone()).unwrap();
    channels.configure(Channel::Sms, config);
    channels
}

/// The routes of text messages; the accounts' positions are those of [`names`].
fn routes(sms: &Value) -> Routes {
    Routes::of(&channels(sms), Channel::Sms, &providers()).unwrap()
}

/// The accounts of text messages, in the order of their positions.
fn names(sms: &Value) -> Vec<String> {
    let (channels, providers) = (channels(sms), providers());
    let accounts = channels.accounts(Channel::Sms, &providers).unwrap();
    accounts.into_iter().map(|(name, _)| name.to_owned()).collect()
}

fn delivery(number: u32, tenant: &str, category: &str, target: &Value) -> Delivery {
    let tenant = TenantId::from(tenant);
    let notification = NotificationId::derive(&tenant, "/shop", &format!("e-{number}").into(), "u");
    let id = DeliveryId::derive(notification, Channel::Sms, "u");
    serde_json::from_value(json!({
        "v": 1, "tenant": tenant, "notification_id": notification, "delivery_id": id, "event_id": "e",
        "source": "/shop", "type": "OrderShipped", "category": category, "event_time": "2026-11-24T10:00:00Z",
        "accepted_at": "2026-11-24T10:00:00Z", "channel": "sms", "target": target, "priority": "normal", "data": {},
    }))
    .unwrap()
}

fn to(number: &str) -> Value {
    json!({"kind": "inline", "address": number})
}

/// The names of the accounts that a message may go to.
fn chosen(sms: &Value, tenant: &str, category: &str, number: &str) -> Vec<String> {
    let (routes, names) = (routes(sms), names(sms));
    let delivery = delivery(1, tenant, category, &to(number));
    let choice = routes.choice(&delivery, number);
    assert_eq!(
        routes.candidates(&delivery),
        choice.accounts,
        "the address is known"
    );
    choice
        .accounts
        .iter()
        .map(|position| names[*position].clone())
        .collect()
}

#[test]
fn a_route_takes_messages_that_match_all_its_conditions_and_the_longest_prefix_counts() {
    let sms = json!({"accounts": ["main", "spare"], "routes": [
        {"category": "marketing", "accounts": ["spare"]},
        {"prefix": "+4", "accounts": ["main"]},
        {"prefix": "+49", "accounts": ["de", "main"]},
        {"tenant": "acme", "prefix": "+49", "accounts": ["spare", "de"]},
        {"tenant": "acme", "accounts": ["main"]},
    ]});
    assert_eq!(names(&sms), ["main", "spare", "de"]);
    for (tenant, category, number, expected) in [
        ("shop", "transactional", "+3312345678", vec!["main", "spare"]),
        ("shop", "marketing", "+3312345678", vec!["spare"]),
        ("shop", "marketing", "+4912345678", vec!["de", "main"]),
        ("shop", "transactional", "+4312345678", vec!["main"]),
        ("acme", "transactional", "+4912345678", vec!["de", "main"]),
        ("acme", "transactional", "+3312345678", vec!["main"]),
        ("acme", "marketing", "+3312345678", vec!["spare"]),
    ] {
        assert_eq!(
            chosen(&sms, tenant, category, number),
            expected,
            "{tenant} {category} {number}"
        );
    }
}

#[test]
fn weights_are_the_shares_of_deliveries_and_each_delivery_keeps_its_order() {
    let sms = json!({"accounts": NAMES, "weights": {"de": 70, "main": 30}});
    let routes = routes(&sms);
    let first = |number| {
        let delivery = delivery(number, "shop", "transactional", &to("+49"));
        let order = routes.choice(&delivery, "+49").accounts.into_owned();
        assert_eq!(
            order,
            *routes.choice(&delivery, "+49").accounts,
            "the same each time"
        );
        assert_eq!(order[2], 2, "the one without a weight is last");
        order[0]
    };
    let of_de = (0..4_000).filter(|number| first(*number) == 0).count();
    assert!((2_700..2_900).contains(&of_de), "{of_de} of 4000");
    // A greater weight takes deliveries from the other account and gives it none.
    let more = json!({"accounts": NAMES, "weights": {"de": 140, "main": 30}});
    let more = super::Routes::of(&channels(&more), Channel::Sms, &providers()).unwrap();
    for number in 0..1_000 {
        let delivery = delivery(number, "shop", "transactional", &to("+49"));
        if first(number) == 0 {
            assert_eq!(more.choice(&delivery, "+49").accounts[0], 0);
        }
    }
}

#[test]
fn the_timeline_learns_why_and_a_channel_without_routes_and_weights_says_nothing() {
    let why = |sms: &Value, tenant: &str| {
        let delivery = delivery(1, tenant, "transactional", &to("+49"));
        routes(sms).choice(&delivery, "+49").why
    };
    assert_eq!(why(&json!({}), "shop"), None);
    let sms = json!({"accounts": ["main"], "routes": [
        {"tenant": "acme", "prefix": "+49", "accounts": ["de", "main"], "weights": {"de": 3, "main": 1}},
    ]});
    assert_eq!(
        why(&sms, "acme").as_deref(),
        Some("the route for the tenant acme and the prefix +49, by weight: de 3, main 1")
    );
    assert_eq!(
        why(&sms, "shop").as_deref(),
        Some("the channel's usual accounts, in order: main")
    );
}

#[test]
fn before_its_address_is_known_a_message_may_go_to_all_accounts_that_its_prefix_may_lead_to() {
    let sms = json!({"accounts": ["main"], "routes": [
        {"prefix": "+49", "accounts": ["de", "main"]},
        {"tenant": "acme", "prefix": "+1", "accounts": ["spare"]},
    ]});
    let (routes, names) = (routes(&sms), names(&sms));
    let target = json!({"kind": "contact_point", "id": uuid::Uuid::nil()});
    let candidates = |tenant| -> Vec<String> {
        let delivery = delivery(1, tenant, "transactional", &target);
        let candidates = routes.candidates(&delivery);
        candidates
            .iter()
            .map(|position| names[*position].clone())
            .collect()
    };
    assert_eq!(candidates("shop"), ["main", "de"]);
    assert_eq!(candidates("acme"), ["main", "de", "spare"]);
}

#[test]
fn each_mistake_is_named_with_place_value_and_expectation() {
    let route = |route: Value| json!({"routes": [route]});
    for (sms, key, expected) in [
        (
            json!({"accounts": ["other"]}),
            "accounts",
            "expected names of accounts of providers, not \"other\"",
        ),
        (
            json!({"accounts": ["main"], "weights": {"spare": 1}}),
            "weights",
            "expected weights of the accounts (main); spare is not one of them",
        ),
        (
            json!({"weights": {"main": 0}}),
            "weights",
            "expected a weight above 0",
        ),
        (
            route(json!({"accounts": ["main"]})),
            "routes.0",
            "expected a tenant, a category or a prefix",
        ),
        (
            route(json!({"prefix": "49", "accounts": ["main"]})),
            "routes.0.prefix",
            "not \"49\"",
        ),
        (
            route(json!({"prefix": "+", "accounts": ["main"]})),
            "routes.0.prefix",
            "expected + and the first digits",
        ),
        (
            route(json!({"prefix": "+1234567890123456", "accounts": ["main"]})),
            "routes.0.prefix",
            "expected + and the first digits",
        ),
        (
            route(json!({"tenant": "", "accounts": ["main"]})),
            "routes.0.tenant",
            "expected a tenant, not an empty text",
        ),
        (
            route(json!({"tenant": "a", "accounts": []})),
            "routes.0.accounts",
            "expected the name of an account",
        ),
        (
            route(json!({"tenant": "a", "accounts": ["relay"]})),
            "routes.0.accounts",
            "relay is of the kind smtp",
        ),
        (
            route(json!({"tenant": "a", "accounts": ["main", "main"]})),
            "routes.0.accounts",
            "not main twice",
        ),
        (
            route(json!({"tenant": "a", "accounts": ["main"], "weights": {"de": 1}})),
            "routes.0.weights",
            "expected weights of the accounts (main)",
        ),
        (
            json!({"routes": [
                {"tenant": "a", "accounts": ["main"]},
                {"category": "b", "accounts": ["main"]},
                {"tenant": "a", "accounts": ["spare"]},
            ]}),
            "routes.2",
            "than in channels.sms.routes.0, which gets these messages",
        ),
    ] {
        let mistakes = channels(&sms).validate(&providers());
        let [mistake] = &*mistakes else {
            panic!("one mistake of {sms}, not {mistakes:?}")
        };
        assert_eq!(mistake.key, format!("channels.sms.{key}"));
        assert!(mistake.expected.contains(expected), "{}", mistake.expected);
    }
    let mut hooks = ChannelsConfig::default();
    let config = json!({"routes": [{"prefix": "+49", "accounts": ["hooks"]}]});
    hooks.configure(Channel::Webhook, serde_json::from_value(config).unwrap());
    let mistakes = hooks.validate(&providers());
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].expected.contains("only text messages have numbers"));
}
