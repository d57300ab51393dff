//! Messages go to the accounts of their route.

use carillon_domain::Channel;
use carillon_providers::{ProvidersConfig, TwilioConfig};
use carillon_testkit::eventually;
use carillon_workers::{ChannelsConfig, Routes};
use serde_json::{Value, json};

use crate::{
    provider::config,
    support::{Setting, on_workers, to_guest, to_user},
    twilio,
};

/// The routes of text messages over the accounts `main` and `de`.
fn routes(sms: Value) -> Routes {
    let (mut providers, mut channels) = (ProvidersConfig::default(), ChannelsConfig::default());
    for name in ["main", "de"] {
        let twilio: TwilioConfig = twilio::config("http://127.0.0.1:1");
        providers.insert(name, twilio);
    }
    channels.configure(Channel::Sms, serde_json::from_value(sms).unwrap());
    Routes::of(&channels, Channel::Sms, &providers).unwrap()
}

fn details(setting: &Setting, event: &str) -> Vec<String> {
    let updates = setting.written.updates(event).into_iter();
    updates
        .flat_map(|update| update.steps)
        .filter_map(|step| step.detail)
        .collect()
}

#[tokio::test]
async fn a_message_to_a_country_goes_to_the_account_of_its_route_and_says_so() {
    on_workers(async |setting| {
        let (main, de) = (setting.provider(), setting.provider());
        setting.put_user("u-de", Some("+4915112345678")).await;
        setting.put_user("u-fr", Some("+33612345678")).await;
        let by_prefix = json!({"accounts": ["main"], "routes": [{"prefix": "+49", "accounts": ["de"]}]});
        let accounts = vec![main.account("main"), de.account("de")];
        let worker = setting.start_with(accounts, |deps| deps.routes = routes(by_prefix));
        setting
            .publish(&[
                to_user("e-de", "u-de"),
                to_user("e-fr", "u-fr"),
                to_guest("e-guest"),
            ])
            .await;
        for event in ["e-de", "e-fr", "e-guest"] {
            setting.written.reaches(event, "1 sent").await;
        }
        let mut of_de = de.asked();
        of_de.sort();
        assert_eq!(
            (main.asked(), of_de),
            (
                vec!["e-fr".to_owned()],
                vec!["e-de".to_owned(), "e-guest".to_owned()]
            )
        );
        assert_eq!(
            details(setting, "e-de"),
            ["to the provider account de of the route for the prefix +49, in order: de"]
        );
        assert_eq!(
            details(setting, "e-fr"),
            ["to the provider account main of the channel's usual accounts, in order: main"]
        );
        worker.end().await;
    })
    .await;
}

#[tokio::test]
async fn while_the_accounts_of_a_route_are_closed_its_messages_wait_and_the_others_go_on() {
    on_workers(async |setting| {
        let (main, de) = (setting.provider(), setting.provider());
        setting.put_user("u-fr", Some("+33612345678")).await;
        de.answers_everything(Some(config("20003")));
        let by_prefix = json!({"accounts": ["main"], "routes": [{"prefix": "+49", "accounts": ["de"]}]});
        let accounts = vec![main.account("main"), de.account("de")];
        let worker = setting.start_with(accounts, |deps| deps.routes = routes(by_prefix));
        setting.publish(&[to_guest("e-de")]).await;
        setting.written.reaches("e-de", "1 retrying 20003").await;
        setting
            .publish(&[to_guest("e-de-2"), to_user("e-fr", "u-fr")])
            .await;
        setting.written.reaches("e-fr", "1 sent").await;
        de.answers_everything(None);
        eventually("the messages of the route are sent", || async {
            setting.advance(100);
            ["e-de", "e-de-2"].iter().all(|event| {
                let steps = setting.written.steps(event);
                steps.iter().any(|step| step.ends_with(" sent"))
            })
        })
        .await;
        worker.end().await;
        assert_eq!(main.asked(), ["e-fr"]);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_is_read_again_asks_the_same_account_first() {
    on_workers(async |setting| {
        let (main, de) = (setting.provider(), setting.provider());
        let events: Vec<String> = (0..8).map(|n| format!("e-{n}")).collect();
        for event in &events {
            let busy = || crate::provider::retry_of(carillon_providers::Scope::Message, "busy");
            main.answers(event, [busy(), busy()]);
            de.answers(event, [busy(), busy()]);
        }
        let by_weight = json!({"accounts": ["main", "de"], "weights": {"main": 1, "de": 1}});
        let accounts = vec![main.account("main"), de.account("de")];
        let worker = setting.start_with(accounts, |deps| deps.routes = routes(by_weight));
        let deliveries: Vec<_> = events.iter().map(|event| to_guest(event)).collect();
        setting.publish(&deliveries).await;
        eventually("everything is sent", || async {
            setting.advance(100);
            events.iter().all(|event| {
                let steps = setting.written.steps(event);
                steps.iter().any(|step| step.ends_with(" sent"))
            })
        })
        .await;
        worker.end().await;
        for event in &events {
            let asked = (main.calls_for(event).len(), de.calls_for(event).len());
            assert!(matches!(asked, (3, 0) | (0, 3)), "{event}: {asked:?}");
        }
        assert!(!main.asked().is_empty() && !de.asked().is_empty());
    })
    .await;
}
