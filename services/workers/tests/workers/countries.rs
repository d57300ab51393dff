//! A country that an account may not send to is parked at the account, and nothing else is.

use carillon_domain::{Delivery, DeliveryId, Target};
use carillon_providers::Scope;
use carillon_testkit::eventually;

use crate::{
    provider::config_of,
    support::{Setting, on_workers, to_guest},
};

/// A message to a guest with this number.
fn to(event: &str, number: &str) -> Delivery {
    let mut delivery = to_guest(event);
    delivery.target = Target::Inline {
        address: number.to_owned(),
    };
    delivery.delivery_id = DeliveryId(uuid::Uuid::now_v7());
    delivery
}

async fn until_sent(setting: &Setting, event: &str) {
    eventually(&format!("{event} is sent"), || async {
        setting.advance(100);
        let steps = setting.written.steps(event);
        steps.iter().any(|step| step.ends_with(" sent"))
    })
    .await;
}

#[tokio::test]
async fn messages_to_a_closed_country_wait_and_those_to_others_go_on() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [config_of(Scope::Country, "21408")]);
        let worker = setting.start(&provider);
        setting.publish(&[to("e-1", "+33612345678")]).await;
        setting.written.reaches("e-1", "1 retrying 21408").await;
        setting
            .publish(&[to("e-2", "+33687654321"), to("e-3", "+4915112345678")])
            .await;
        setting.written.reaches("e-3", "1 sent").await;
        setting.written.reaches("e-2", "1 retrying part-paused").await;
        let holds = setting.env.store.account_part_holds();
        eventually("the hold is stored", || async {
            holds
                .all()
                .await
                .unwrap()
                .iter()
                .any(|hold| hold.part == "country:+33")
        })
        .await;
        for event in ["e-1", "e-2"] {
            until_sent(setting, event).await;
        }
        worker.end().await;
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_country_that_the_first_account_may_not_send_to_is_the_next_accounts() {
    on_workers(async |setting| {
        let (first, second) = (setting.provider(), setting.provider());
        first.answers("e-1", [config_of(Scope::Country, "21408")]);
        let worker = setting.start_with(vec![first.account("first"), second.account("second")], |_| {});
        setting.publish(&[to("e-1", "+33612345678")]).await;
        setting.written.reaches("e-1", "1 sent").await;
        setting.publish(&[to("e-2", "+33687654321")]).await;
        setting.written.reaches("e-2", "1 sent").await;
        worker.end().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 sending", "1 sending 21408", "1 sending", "1 sent"]
        );
        assert_eq!(
            setting.written.steps("e-2"),
            ["1 sending account-skipped", "1 sending", "1 sent"]
        );
        assert_eq!((first.asked(), second.asked().len()), (vec!["e-1".to_owned()], 2));
    })
    .await;
}
