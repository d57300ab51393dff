//! Holds of channels and accounts.

use carillon_domain::Channel;
use carillon_store::{
    account_holds::AccountHold, account_part_holds::AccountPartHold, channel_holds::ChannelHold,
};
use uuid::Uuid;

use crate::support::{on_each, seconds};

#[tokio::test]
async fn a_hold_exists_until_it_is_removed_or_no_longer_renewed() {
    on_each(async |store| {
        let holds = store.channel_holds();
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let hold = |cause: &str, ends_at| ChannelHold {
            channel: Channel::Sms,
            cause: cause.to_owned(),
            ends_at,
        };
        holds.put(one, &hold("a", None)).await.unwrap();
        let renewed = hold("b", Some(store.now() + seconds(60)));
        holds.put(one, &renewed).await.unwrap();
        holds.put(other, &hold("c", None)).await.unwrap();
        assert_eq!(holds.all().await.unwrap(), [renewed.clone(), hold("c", None)]);
        store.clock.advance(seconds(20));
        holds.put(one, &renewed).await.unwrap();
        store.clock.advance(seconds(20));
        assert_eq!(holds.all().await.unwrap(), std::slice::from_ref(&renewed));
        holds.remove(one, Channel::Email).await.unwrap();
        assert_eq!(holds.all().await.unwrap(), [renewed]);
        holds.remove(one, Channel::Sms).await.unwrap();
        assert!(holds.all().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_accounts_hold_exists_until_its_process_removes_it_or_no_longer_renews_it() {
    on_each(async |store| {
        let holds = store.account_holds();
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let hold = |account: &str, cause: &str| AccountHold {
            account: account.to_owned(),
            channel: Channel::Email,
            cause: cause.to_owned(),
            ends_at: Some(store.now() + seconds(60)),
            park: Some("operator".to_owned()),
        };
        let (relay, spare) = (hold("relay", "a"), hold("spare", "b"));
        holds.put(one, &hold("relay", "before")).await.unwrap();
        holds.put(one, &relay).await.unwrap();
        holds.put(one, &spare).await.unwrap();
        holds.put(other, &relay).await.unwrap();
        assert_eq!(
            holds.all().await.unwrap(),
            [relay.clone(), relay.clone(), spare.clone()]
        );
        store.clock.advance(seconds(20));
        holds.put(one, &relay).await.unwrap();
        store.clock.advance(seconds(20));
        assert_eq!(holds.all().await.unwrap(), std::slice::from_ref(&relay));
        holds.remove(other, "relay").await.unwrap();
        assert_eq!(holds.all().await.unwrap(), [relay]);
        holds.remove(one, "relay").await.unwrap();
        assert!(holds.all().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_hold_of_an_ended_process_is_resumed_until_it_ends_or_another_process_sends() {
    on_each(async |store| {
        let holds = store.account_holds();
        let (dead, other) = (Uuid::now_v7(), Uuid::now_v7());
        let hold = |account: &str, ends_at| AccountHold {
            account: account.to_owned(),
            channel: Channel::Email,
            cause: "a".to_owned(),
            ends_at,
            park: None,
        };
        let paused = hold("relay", Some(store.now() + seconds(600)));
        let spare = hold("spare", Some(store.now() + seconds(600)));
        for of_dead in [
            &paused,
            &spare,
            &hold("probed", None),
            &hold("brief", Some(store.now())),
        ] {
            holds.put(dead, of_dead).await.unwrap();
        }
        store.clock.advance(seconds(60));
        holds.put(other, &hold("third", None)).await.unwrap();
        let present = hold("third", None);
        assert_eq!(holds.all().await.unwrap(), std::slice::from_ref(&present));
        assert_eq!(holds.to_resume().await.unwrap(), [paused.clone(), spare, present]);
        holds.remove(other, "spare").await.unwrap();
        holds.remove(other, "third").await.unwrap();
        assert_eq!(holds.to_resume().await.unwrap(), [paused]);
        store.clock.advance(seconds(600));
        assert!(holds.to_resume().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_parts_hold_is_resumed_until_it_ends_or_another_process_sends_to_the_part() {
    on_each(async |store| {
        let holds = store.account_part_holds();
        let (dead, other) = (Uuid::now_v7(), Uuid::now_v7());
        let hold = |part: &str, ends_at| AccountPartHold {
            account: "phones".to_owned(),
            part: part.to_owned(),
            channel: Channel::Push,
            cause: "a".to_owned(),
            ends_at,
        };
        let ios = hold("platform:ios", Some(store.now() + seconds(600)));
        let web = hold("platform:web", Some(store.now() + seconds(600)));
        let probed = hold("platform:android", None);
        holds.put(dead, &hold("platform:ios", None)).await.unwrap();
        for of_dead in [&ios, &web, &probed] {
            holds.put(dead, of_dead).await.unwrap();
        }
        assert_eq!(
            holds.all().await.unwrap(),
            [probed.clone(), ios.clone(), web.clone()]
        );
        store.clock.advance(seconds(60));
        assert!(holds.all().await.unwrap().is_empty(), "they are not renewed");
        assert_eq!(holds.to_resume().await.unwrap(), [ios.clone(), web.clone()]);
        holds.remove(other, "phones", "platform:ios").await.unwrap();
        assert_eq!(holds.to_resume().await.unwrap(), [web]);
        holds.put(other, &ios).await.unwrap();
        holds.remove(other, "phones", "platform:ios").await.unwrap();
        store.clock.advance(seconds(600));
        assert!(holds.to_resume().await.unwrap().is_empty());
    })
    .await;
}
