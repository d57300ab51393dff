//! Twilio's wire format, and the outcomes of its answers.

use std::{sync::Arc, time::Duration};

use carillon_domain::Content;
use carillon_domain::{Channel, Clock as _, Target, clock::SharedClock};
use carillon_providers::{OutgoingMessage, ProvidersConfig, TwilioConfig, twilio::TwilioRequests};
use carillon_testkit::ManualClock;
use carillon_workers::{ChannelsConfig, HttpSender, Sender as _, WorkersConfig, accounts};
use serde_json::{Value, json};

use crate::{
    http_server::{HttpServer, message, reference_key, reply, reply_after, told},
    support::{PHONE, START, on_workers, to_guest},
};

pub(crate) const MESSAGES: &str = "/Messages.json";

const SID: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "5ec0de5ec0de5ec0de5ec0de5ec0de00";
const SERVICE: &str = "MG00000000000000000000000000000009";

pub(crate) fn config(url: &str) -> TwilioConfig {
    TwilioConfig {
        account_sid: SID.parse().unwrap(),
        auth_token: Some(TOKEN.to_owned().into()),
        secondary_auth_token: None,
        from: Some("+14155550100".parse().unwrap()),
        messaging_service_sid: None,
        callback_url: Some("https://carillon.example".parse().unwrap()),
        base_url: url.parse().unwrap(),
        request_timeout: Duration::from_secs(5),
        rate_per_second: None,
    }
}

fn sender(config: &TwilioConfig) -> HttpSender<TwilioRequests> {
    let requests = TwilioRequests::new("main", config).unwrap();
    HttpSender::new(requests, config.request_timeout, Arc::new(ManualClock::at(START))).unwrap()
}

pub(crate) fn text() -> OutgoingMessage {
    message(
        PHONE,
        Content::Sms {
            text: "Your parcel & more: 100 % café".to_owned(),
        },
    )
}

fn error(code: u32, status: u16) -> Value {
    json!({"code": code, "message": "text that nobody reads", "more_info": "https://twilio", "status": status})
}

#[tokio::test]
async fn a_text_message_is_a_form_with_basic_auth_and_a_callback_that_names_the_delivery() {
    let server = HttpServer::start().await;
    assert_eq!(told(&sender(&config(&server.url)).send(&text()).await), "ok SM1");
    let asked = server.asked(MESSAGES).remove(0);
    assert_eq!(asked.path, format!("/2010-04-01/Accounts/{SID}/Messages.json"));
    // SID:TOKEN
    let credentials =
        "QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTo1ZWMwZGU1ZWMwZGU1ZWMwZGU1ZWMwZGU1ZWMwZGUwMA==";
    assert_eq!(asked.authorization, Some(format!("Basic {credentials}")));
    let callback = asked
        .form()
        .into_iter()
        .find(|(name, _)| name == "StatusCallback")
        .unwrap()
        .1;
    let prefix = "https://carillon.example/v1/receipts/main?delivery_id=00000000-0000-0000-0000-000000000007\
        &event_id=order+1001%2Fshipped&reference=";
    // Twilio repeats a callback that was not answered 2xx.
    let reference = callback
        .strip_prefix(prefix)
        .unwrap()
        .strip_suffix("#rc=5&rp=all")
        .unwrap();
    let attempt = reference_key().open(reference, START.parse().unwrap()).unwrap();
    assert_eq!(
        (attempt.event_id.as_str(), attempt.attempt),
        ("order 1001/shipped", 1)
    );
    let expected = [
        ("To", PHONE),
        ("From", "+14155550100"),
        ("Body", "Your parcel & more: 100 % café"),
        ("StatusCallback", &callback),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(asked.form(), expected);
}

#[tokio::test]
async fn a_messaging_service_replaces_the_number_and_an_expiring_message_has_a_validity_period() {
    let server = HttpServer::start().await;
    let config = TwilioConfig {
        from: None,
        messaging_service_sid: Some(SERVICE.parse().unwrap()),
        callback_url: Some("https://carillon.example/".parse().unwrap()),
        base_url: format!("{}/", server.url).parse().unwrap(),
        ..config(&server.url)
    };
    let (sender, now) = (sender(&config), ManualClock::at(START).now());
    for (seconds, validity) in [(90, "90"), (-5, "1"), (1_000_000, "36000")] {
        let outgoing = OutgoingMessage {
            expires_at: Some(now + chrono::TimeDelta::seconds(seconds)),
            ..text()
        };
        assert_eq!(sender.send(&outgoing).await.name(), "ok");
        let form = server.asked(MESSAGES).pop().unwrap().form();
        let field = |wanted: &str| {
            form.iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| &**value)
        };
        assert_eq!(field("MessagingServiceSid"), Some(SERVICE));
        assert_eq!(field("From"), None);
        assert_eq!(field("ValidityPeriod"), Some(validity));
        let callback = field("StatusCallback").unwrap();
        assert!(
            callback.starts_with("https://carillon.example/v1/receipts/main?"),
            "{callback}"
        );
    }
}

#[tokio::test]
async fn answers_are_told_apart_by_their_codes() {
    let server = HttpServer::start().await;
    let sender = sender(&config(&server.url));
    for (answer, expected) in [
        (reply(400, &error(21_211, 400)), "address_dead 21211"),
        (reply(400, &error(21_614, 400)), "address_dead 21614"),
        (reply(400, &error(21_610, 400)), "address_dead 21610"),
        (reply(429, &error(20_429, 429)), "throttle 20429"),
        (
            reply_after(429, "3", &error(20_429, 429)),
            "throttle 20429 after 3",
        ),
        (
            reply_after(429, "Sun, 24 Nov 2024 10:00:30 GMT", &json!({})),
            "throttle http-429 after 30",
        ),
        (reply(401, &error(20_003, 401)), "config 20003"),
        (reply(400, &error(21_602, 400)), "terminal 21602"),
        (reply(400, &json!("no object")), "terminal http-400"),
        (reply(500, &error(20_500, 500)), "uncertain 20500"),
        (reply(503, &json!({})), "uncertain http-503"),
        (reply(302, &json!({})), "uncertain http-302"),
    ] {
        server.answers(MESSAGES, [answer]);
        assert_eq!(told(&sender.send(&text()).await), expected);
    }
}

#[tokio::test]
async fn content_of_another_channel_is_refused_without_a_request() {
    let server = HttpServer::start().await;
    let push = Content::Push {
        title: String::new(),
        body: String::new(),
        data: [].into(),
        collapse: None,
    };
    let outcome = sender(&config(&server.url)).send(&message(PHONE, push)).await;
    assert_eq!(told(&outcome), "terminal wrong-content");
    assert!(server.asked(MESSAGES).is_empty());
}

#[tokio::test]
async fn a_delivery_goes_from_the_bus_to_twilio_and_its_answer_into_the_status() {
    on_workers(async |setting| {
        let server = HttpServer::start().await;
        server.answers(
            MESSAGES,
            [
                reply(503, &json!({})),
                reply(400, &error(21_614, 400)),
                // The list of messages, which the sender asks before it sends the first one again.
                reply(200, &json!({"messages": [], "next_page_uri": null})),
            ],
        );
        let mut providers = ProvidersConfig::default();
        providers.insert("main", config(&server.url));
        let channels = ChannelsConfig::default();
        let clock: SharedClock = setting.clock.clone();
        let accounts = accounts(
            &providers,
            &channels,
            &WorkersConfig::default(),
            Channel::Sms,
            &clock,
        )
        .unwrap();
        let worker = setting.start_with(accounts, |_| {});
        setting.publish(&[to_guest("e-1")]).await;
        setting.written.reaches("e-1", "1 uncertain http-503").await;
        let mut landline = to_guest("e-2");
        landline.target = Target::Inline {
            address: "+493012345678".to_owned(),
        };
        setting.publish(&[landline]).await;
        setting.written.reaches("e-2", "1 failed 21614").await;
        setting.advance(1_101);
        setting.written.reaches("e-1", "2 sent").await;
        worker.end().await;
        let updates = setting.written.updates("e-1");
        assert_eq!(updates[1].provider.as_deref(), Some("main"));
        assert_eq!(updates[1].steps[0].code.as_deref(), Some("not-found-at-provider"));
        assert_eq!(updates[1].provider_message_id.as_deref(), Some("SM4"));
    })
    .await;
}
