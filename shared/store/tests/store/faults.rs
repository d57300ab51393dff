//! Database faults as they occur in production: read-only phases, ended sessions, deadlocks, poolers.

use std::{str::FromStr as _, sync::Arc};

use carillon_domain::{Catalog, Platform, SystemClock, UserId};
use carillon_runtime::Secret;
use carillon_store::{
    Fault, Store, StoreConfig, StoreError,
    users::{Device, UserPut},
};
use secrecy::ExposeSecret as _;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::support::{on_each, on_postgres, postgres_url};

fn device(token: &str) -> Device {
    Device {
        platform: Platform::Android,
        token: token.to_owned(),
    }
}

fn with_devices(tokens: &[&str]) -> UserPut {
    UserPut {
        devices: Some(tokens.iter().map(|token| device(token)).collect()),
        ..UserPut::default()
    }
}

async fn tokens(store: &Store, user: &UserId) -> Vec<String> {
    let user = store.users().get(&"default".into(), user).await.unwrap().unwrap();
    user.value
        .devices
        .into_iter()
        .map(|registered| registered.device.token)
        .collect()
}

#[tokio::test]
async fn a_token_that_is_put_for_two_users_at_once_belongs_to_one_and_neither_put_fails() {
    on_each(async |store| {
        for pair in 0..30 {
            let token = format!("token-{pair}");
            let ids: [UserId; 2] = [format!("a-{pair}").into(), format!("b-{pair}").into()];
            for id in &ids {
                store
                    .users()
                    .put(&store.tenant, id, &UserPut::default(), None)
                    .await
                    .unwrap();
            }
            let device = device(&token);
            let whole = with_devices(&[&token]);
            let puts = ids.iter().map(|id| {
                Box::pin(async {
                    let users = store.users();
                    let (device, whole) = futures::join!(
                        users.put_device(&store.tenant, id, &device),
                        users.put(&store.tenant, id, &whole, None),
                    );
                    device.unwrap();
                    whole.unwrap();
                })
            });
            futures::future::join_all(puts).await;
            let owned = [tokens(store, &ids[0]).await, tokens(store, &ids[1]).await].concat();
            assert_eq!(owned, [token]);
        }
    })
    .await;
}

#[tokio::test]
async fn users_who_exchange_tokens_at_once_all_succeed_and_every_token_has_one_owner() {
    on_each(async |store| {
        let users: Vec<UserId> = (0..4).map(|n| format!("u-{n}").into()).collect();
        let all = ["t-0", "t-1", "t-2", "t-3", "t-4"];
        for round in 0..15 {
            let puts = users.iter().enumerate().map(|(n, user)| {
                let mut mine = all;
                mine.rotate_left((n + round) % all.len());
                let put = with_devices(&mine[..3]);
                async move { store.users().put(&store.tenant, user, &put, None).await }
            });
            for put in futures::future::join_all(puts).await {
                put.unwrap();
            }
            let mut owned = Vec::new();
            for user in &users {
                owned.extend(tokens(store, user).await);
            }
            let count = owned.len();
            owned.sort();
            owned.dedup();
            assert_eq!(owned.len(), count, "a token has two owners");
        }
    })
    .await;
}

async fn connect(url: &Secret) -> PgConnection {
    let options = PgConnectOptions::from_str(url.expose_secret()).unwrap();
    options.connect().await.unwrap()
}

async fn sql(connection: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_write_that_was_rolled_back_by_a_deadlock_is_done_again_without_an_error() {
    on_postgres(async |store| {
        let (a, b) = (UserId::from("a"), UserId::from("b"));
        store
            .users()
            .put(&store.tenant, &a, &UserPut::default(), None)
            .await
            .unwrap();
        store
            .users()
            .put(&store.tenant, &b, &with_devices(&["t"]), None)
            .await
            .unwrap();
        // The other session locks in the opposite order and has a deadlock timeout of 60 seconds, so it never gives
        // way.
        let mut other = connect(&store.config.url).await;
        sql(&mut other, "SET deadlock_timeout = '60s'; BEGIN".to_owned()).await;
        let lock = |user: &str| format!("SELECT 1 FROM users WHERE user_id = '{user}' FOR UPDATE");
        sql(&mut other, lock("b")).await;
        let (pid,): (i32,) = sqlx::query_as("SELECT pg_backend_pid()")
            .fetch_one(&mut other)
            .await
            .unwrap();
        let mut watch = connect(&store.config.url).await;

        let device = device("t");
        let put = store.users().put_device(&store.tenant, &a, &device);
        let deadlock = async {
            loop {
                let (waiting,): (bool,) = sqlx::query_as(
                    "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))",
                )
                .bind(pid)
                .fetch_one(&mut watch)
                .await
                .unwrap();
                if waiting {
                    break;
                }
            }
            sql(&mut other, lock("a")).await;
            sql(&mut other, "COMMIT".to_owned()).await;
        };
        let (put, ()) = futures::join!(put, deadlock);
        put.unwrap();
        assert_eq!(tokens(store, &a).await, ["t"]);
        other.close().await.unwrap();
    })
    .await;
}

/// Runs a test on a PostgreSQL database of its own, so that it may change settings.
async fn on_own_database(transaction_pooling: bool, test: impl AsyncFn(Secret, StoreConfig)) {
    let Some(url) = postgres_url() else { return };
    let name = format!("own_{}", uuid::Uuid::now_v7().simple());
    let (server, _) = url.expose_secret().rsplit_once('/').unwrap();
    let own = Secret::from(format!("{server}/{name}"));
    let mut control = connect(&url).await;
    sql(&mut control, format!("CREATE DATABASE {name}")).await;
    let config = StoreConfig {
        max_connections: 4,
        transaction_pooling,
        ..StoreConfig::new(own.clone())
    };
    let test = std::panic::AssertUnwindSafe(test(own, config));
    let outcome = futures::FutureExt::catch_unwind(test).await;
    sql(&mut control, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    control.close().await.unwrap();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn open(config: &StoreConfig) -> Store {
    Store::connect(config, Arc::new(SystemClock)).await.unwrap()
}

async fn write(store: &Store) -> Result<(), StoreError> {
    let user = UserId::from(uuid::Uuid::now_v7().to_string());
    store
        .users()
        .put(&"default".into(), &user, &UserPut::default(), None)
        .await?;
    Ok(())
}

/// Ends all other sessions of a database, as a failover or an administrator does.
async fn end_sessions(control: &mut PgConnection) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sql(control, end.to_owned()).await;
}

#[tokio::test]
async fn a_database_turned_read_only_says_so_and_takes_writes_as_soon_as_it_is_turned_back() {
    on_own_database(false, async |url, config| {
        let store = open(&config).await;
        let mut control = connect(&url).await;
        // Several sessions are open when the database becomes read-only, and when it becomes writable again.
        let writes = async || futures::future::join_all((0..8).map(|_| write(&store))).await;
        let turn = async |control: &mut PgConnection, on: &str| {
            let name = url.expose_secret().rsplit_once('/').unwrap().1;
            let set = format!("SET default_transaction_read_only = off; ALTER DATABASE {name} SET default_transaction_read_only = {on}");
            sql(control, set).await;
        };
        writes().await.into_iter().for_each(|write| write.unwrap());
        store.check().await.unwrap();

        turn(&mut control, "on").await;
        end_sessions(&mut control).await;
        // Sessions that were ended are noticed one by one.
        becomes(async || write(&store).await.is_err_and(|error| error.fault() == Some(Fault::ReadOnly))).await;
        for error in writes().await.into_iter().filter_map(Result::err) {
            assert!(error.is_retriable() && error.retry_after().is_some(), "{error:?}");
        }
        becomes(async || store.check().await.is_err_and(|error| error.to_string() == "the database is read-only")).await;
        assert!(store.catalog().get(&"default".into()).await.unwrap().is_none(), "it can be read");

        turn(&mut control, "off").await;
        writes().await.into_iter().for_each(|write| write.unwrap());
        store.check().await.unwrap();
        store.close().await;
        control.close().await.unwrap();
    })
    .await;
}

/// Waits until a condition holds, for 20 seconds at most.
async fn becomes(condition: impl AsyncFn() -> bool) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), holds)
        .await
        .unwrap();
}

#[tokio::test]
async fn each_session_that_the_server_ended_costs_at_most_one_retriable_error() {
    on_own_database(false, async |url, config| {
        let store = open(&config).await;
        let mut control = connect(&url).await;
        for _ in 0..3 {
            let writes = async || futures::future::join_all((0..8).map(|_| write(&store))).await;
            writes().await.into_iter().for_each(|write| write.unwrap());
            end_sessions(&mut control).await;
            for error in writes().await.into_iter().filter_map(Result::err) {
                assert!(
                    matches!(error.fault(), Some(Fault::Restarting | Fault::Unreachable)),
                    "{error:?}"
                );
            }
            writes().await.into_iter().for_each(|write| write.unwrap());
        }
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_schema_that_changes_under_prepared_statements_causes_no_error() {
    on_own_database(false, async |url, config| {
        let store = open(&config).await;
        let read = async || store.catalog().get(&"default".into()).await;
        store.catalog().put(&"default".into(), &Catalog::default(), None).await.unwrap();
        for _ in 0..4 {
            read().await.unwrap();
        }
        let mut control = connect(&url).await;
        sql(&mut control, "ALTER TABLE catalogs ALTER COLUMN version TYPE numeric; ALTER TABLE catalogs ALTER COLUMN version TYPE bigint; DEALLOCATE ALL".to_owned()).await;
        for _ in 0..4 {
            read().await.unwrap();
        }
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_login_that_is_refused_is_named_and_may_be_mended_while_carillon_runs() {
    on_own_database(false, async |_, config| {
        let nowhere = format!("{}_gone", config.url.expose_secret());
        let refused = Store::connect(&StoreConfig::new(nowhere), Arc::new(SystemClock))
            .await
            .unwrap_err();
        assert_eq!(refused.fault(), Some(Fault::Login));
        assert!(refused.to_string().contains("database.url"), "{refused}");
    })
    .await;
}

/// `CARILLON_TEST_PGBOUNCER_URL` names a PgBouncer in transaction mode that leads to any database of the same server.
#[tokio::test]
async fn behind_pgbouncer_in_transaction_mode_everything_works_from_the_migrations_on() {
    let Ok(pooler) = std::env::var("CARILLON_TEST_PGBOUNCER_URL") else {
        return;
    };
    let (pooler, _) = pooler.rsplit_once('/').unwrap();
    on_own_database(true, async |own, config| {
        let name = own.expose_secret().rsplit_once('/').unwrap().1;
        let config = StoreConfig {
            max_connections: 8,
            url: Secret::from(format!("{pooler}/{name}")),
            ..config
        };
        // Several processes start at once, more than the pooler has connections for.
        let starts = (0..4).map(|_| Store::connect(&config, Arc::new(SystemClock)));
        let stores: Vec<Store> = futures::future::join_all(starts)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let tenant = "default".into();
        stores[0]
            .catalog()
            .put(&tenant, &Catalog::default(), None)
            .await
            .unwrap();
        for round in 0..5 {
            let each = stores.iter().enumerate().flat_map(|(n, store)| {
                (0..6).map(move |user| async move {
                    let user = UserId::from(format!("u-{user}"));
                    let put = with_devices(&["t-1", "t-2"]);
                    store.users().put(&"default".into(), &user, &put, None).await?;
                    store.users().get(&"default".into(), &user).await?;
                    store.users().load_facts(&"default".into(), &[user]).await?;
                    store.catalog().get(&"default".into()).await?;
                    store.audit().counts().await?;
                    store
                        .api_keys()
                        .create(
                            &"default".into(),
                            &format!("{n}-{round}"),
                            carillon_store::api_keys::Role::Viewer,
                        )
                        .await?;
                    Ok::<_, StoreError>(())
                })
            });
            for done in futures::future::join_all(each).await {
                done.unwrap();
            }
        }
        for store in &stores {
            store.check().await.unwrap();
            store.close().await;
        }
        // A start on an existing schema does not collide with prepared statements of the earlier starts.
        let again = open(&config).await;
        assert_eq!(again.api_keys().list(&tenant).await.unwrap().len(), 4 * 6 * 5);
        again.close().await;
    })
    .await;
}
