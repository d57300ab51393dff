//! The suppression list, and rows that roles of the former release have written or write during an upgrade.

use std::str::FromStr as _;

use carillon_domain::{Channel, ContactPointId, UserId, suppression::SuppressionReason};
use carillon_store::{
    Dialect, Page,
    suppressions::SuppressionFilter,
    users::{Device, UserPut},
};
use secrecy::ExposeSecret as _;
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

use crate::{
    support::{TestStore, on_each, seconds},
    suppressions::{NUMBER, operator, phone_of},
};

/// Runs statements as a role of the former release does: by itself.
async fn former_release(store: &TestStore, sql: &str) {
    let url = store.config.url.expose_secret();
    match store.dialect() {
        Dialect::Postgres => {
            let options = PgConnectOptions::from_str(url).unwrap();
            let mut connection = options.connect().await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
            connection.close().await.unwrap();
        }
        Dialect::Sqlite => {
            let options = SqliteConnectOptions::from_str(url).unwrap();
            let mut connection = options.connect().await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
            connection.close().await.unwrap();
        }
    }
}

/// The statement by which a provider of the former release strikes the phone of a user.
const STRIKE: &str =
    "UPDATE contact_points SET dead_code = '21610', dead_reason = 'opted_out', dead_provider = 'twilio',
    dead_at = '2026-11-24T10:00:30+00:00' WHERE channel = 'sms' AND user_id = ";

/// Removes the hashes. Rows that the former release has inserted look like this.
const INSERTED: &str = "UPDATE contact_points SET address_hash = NULL;";

async fn prepare(store: &TestStore) {
    for (user, phone, token) in [("u-1", NUMBER, "token-a"), ("u-2", "+4915100000000", "token-b")] {
        let put = UserPut {
            phone: Some(phone.to_owned()),
            email: Some(format!("{user}@example.com")),
            devices: Some(vec![Device {
                platform: carillon_domain::Platform::Ios,
                token: token.to_owned(),
            }]),
            ..UserPut::default()
        };
        store
            .users()
            .put(&store.tenant, &user.into(), &put, None)
            .await
            .unwrap();
    }
}

async fn reason_of(store: &TestStore, user: &str) -> Option<SuppressionReason> {
    let id = ContactPointId::primary(&store.tenant, &UserId::from(user), Channel::Sms);
    let found = store.users().resolve(&store.tenant, &[id]).await.unwrap();
    let facts = store
        .users()
        .load_facts(&store.tenant, &[user.into()])
        .await
        .unwrap();
    let mut contacts = facts[&UserId::from(user)].contacts.iter();
    let fact = contacts.find(|contact| contact.point.id == id).unwrap();
    assert_eq!(fact.suppressed, found[&id].suppressed, "router and worker agree");
    fact.suppressed.map(|suppression| suppression.reason)
}

#[tokio::test]
async fn rows_of_the_former_release_are_moved_to_the_suppression_list_once() {
    on_each(async |store| {
        prepare(store).await;
        former_release(store, INSERTED).await;
        former_release(store, &format!("{STRIKE} 'u-1'")).await;
        let dead_token = "UPDATE contact_points SET dead_code = 'UNREGISTERED', dead_provider = 'fcm',
            dead_at = '2026-11-24T10:00:31+00:00' WHERE channel = 'push' AND user_id = 'u-2';";
        former_release(store, dead_token).await;
        let elsewhere = "INSERT INTO opt_outs (tenant, user_id, channel, address, code, provider, noted_at)
            VALUES ('default', 'u-2', 'sms', '+4915122222222', '21610', 'twilio', '2026-11-24T10:00:32+00:00');";
        former_release(store, elsewhere).await;

        // Before the move, the former verdict counts as it stands.
        assert_eq!(reason_of(store, "u-1").await, Some(SuppressionReason::OptedOut));
        assert_eq!(phone_of(store, "u-1").await.unwrap().reason, SuppressionReason::OptedOut);
        store.clock.advance(seconds(60));
        assert_eq!(store.suppressions().adopt().await.unwrap(), 7);
        assert_eq!(store.suppressions().adopt().await.unwrap(), 0);

        let filter = SuppressionFilter::default();
        let list = store.suppressions().list(&store.tenant, &filter, Page::default()).await.unwrap();
        let told: Vec<String> = list
            .items
            .iter()
            .map(|entry| {
                let (code, provider) = (entry.code.as_deref().unwrap(), entry.provider.as_deref().unwrap());
                let masked = entry.address_masked.as_deref().unwrap();
                let since = entry.created_at.format("%S");
                format!("{} {masked} {} {code} {provider} {since}", entry.channel, entry.reason)
            })
            .collect();
        assert_eq!(
            told,
            [
                "sms +49…22 opted_out 21610 twilio 32",
                "push …-b dead_token UNREGISTERED fcm 31",
                "sms +49…78 opted_out 21610 twilio 30",
            ]
        );
        assert_eq!(reason_of(store, "u-1").await, Some(SuppressionReason::OptedOut));
        assert_eq!(reason_of(store, "u-2").await, None);
        // An entry that a person lifts after the move stays lifted.
        let who = operator(store);
        for number in [NUMBER, "+4915122222222"] {
            assert!(store.suppressions().lift(&who, Channel::Sms, number, None).await.unwrap());
        }
        assert_eq!(store.suppressions().adopt().await.unwrap(), 0);
        assert_eq!(reason_of(store, "u-1").await, None);
    })
    .await;
}

#[tokio::test]
async fn rows_that_the_former_release_writes_during_an_upgrade_count_at_once() {
    on_each(async |store| {
        prepare(store).await;
        assert_eq!(
            store.suppressions().adopt().await.unwrap(),
            0,
            "this release hashes what it writes"
        );
        former_release(store, &format!("{STRIKE} 'u-1'")).await;
        assert_eq!(reason_of(store, "u-1").await, Some(SuppressionReason::OptedOut));
        store.suppressions().adopt().await.unwrap();
        assert_eq!(reason_of(store, "u-1").await, Some(SuppressionReason::OptedOut));

        // A former gateway gives u-2 the number whose owner said STOP.
        let moved = format!(
            "UPDATE contact_points SET address = '{NUMBER}' WHERE channel = 'sms' AND user_id = 'u-2'"
        );
        former_release(store, &moved).await;
        assert_eq!(reason_of(store, "u-2").await, Some(SuppressionReason::OptedOut));
        store.suppressions().adopt().await.unwrap();
        assert_eq!(reason_of(store, "u-2").await, Some(SuppressionReason::OptedOut));
    })
    .await;
}

#[tokio::test]
async fn a_profile_written_before_the_move_keeps_a_stop_and_lifts_a_bounce() {
    on_each(async |store| {
        prepare(store).await;
        former_release(store, INSERTED).await;
        former_release(store, &format!("{STRIKE} 'u-1'")).await;
        let bounced = "UPDATE contact_points SET dead_code = '30003', dead_reason = 'gone',
            dead_at = '2026-11-24T10:00:31+00:00' WHERE channel = 'sms' AND user_id = 'u-2'";
        former_release(store, bounced).await;
        assert_eq!(reason_of(store, "u-2").await, Some(SuppressionReason::HardBounce));
        store.clock.advance(seconds(60));
        prepare(store).await;
        assert_eq!(reason_of(store, "u-1").await, Some(SuppressionReason::OptedOut));
        assert_eq!(reason_of(store, "u-2").await, None);
        store.suppressions().adopt().await.unwrap();
        assert_eq!(reason_of(store, "u-1").await, Some(SuppressionReason::OptedOut));
        assert_eq!(reason_of(store, "u-2").await, None);
    })
    .await;
}

#[tokio::test]
async fn an_erased_user_of_the_former_release_leaves_the_stop_behind() {
    on_each(async |store| {
        prepare(store).await;
        former_release(store, INSERTED).await;
        former_release(store, &format!("{STRIKE} 'u-1'")).await;
        assert!(
            store
                .users()
                .delete(&store.tenant, &"u-1".into(), None)
                .await
                .unwrap()
        );
        let entry = store
            .suppressions()
            .get(&store.tenant, Channel::Sms, NUMBER)
            .await
            .unwrap();
        assert_eq!(entry.unwrap().value.reason, SuppressionReason::OptedOut);
    })
    .await;
}
