//! SQLite has one writer for each file, so the read model has its own file: claims and decisions do not wait for it.
//! Earlier versions stored everything in one file.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use crate::error::StoreError;

/// Moves the read model out of `store` if it still is there. If interrupted, it starts again at the next start.
pub(super) async fn move_out(store: &mut SqliteConnection, file: &Path) -> Result<(), StoreError> {
    let table = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'deliveries'";
    if sqlx::query_scalar::<_, i64>(table).fetch_one(&mut *store).await? == 0 {
        return Ok(());
    }
    sqlx::query("ATTACH $1 AS model")
        .bind(file.to_string_lossy().into_owned())
        .execute(&mut *store)
        .await?;
    let mut copy = store.begin().await?;
    for statement in COPY {
        sqlx::query(*statement).execute(&mut *copy).await?;
    }
    copy.commit().await?;
    let mut drop = store.begin().await?;
    for table in TABLES {
        sqlx::query(AssertSqlSafe(format!("DROP TABLE main.{table}")))
            .execute(&mut *drop)
            .await?;
    }
    let counted = "DELETE FROM main.counters WHERE name <> 'gateway_published'";
    sqlx::query(counted).execute(&mut *drop).await?;
    drop.commit().await?;
    sqlx::query("DETACH model").execute(store).await?;
    Ok(())
}

const TABLES: [&str; 5] = [
    "projection_offsets",
    "delivery_history",
    "deliveries",
    "decided_events",
    "dead_letters",
];

const COPY: &[&str] = &[
    "INSERT OR IGNORE INTO model.projection_offsets SELECT * FROM main.projection_offsets",
    "INSERT OR IGNORE INTO model.deliveries SELECT * FROM main.deliveries ORDER BY rowid",
    "INSERT OR IGNORE INTO model.delivery_history
        (created_at, delivery_id, generation, attempt, status, precedence, at, provider, code, detail)
    SELECT COALESCE((SELECT d.created_at FROM main.deliveries d WHERE d.id = h.delivery_id), h.at),
        h.delivery_id, h.generation, h.attempt, h.status, h.precedence, h.at, h.provider, h.code, h.detail
    FROM main.delivery_history h ORDER BY h.rowid",
    "INSERT OR IGNORE INTO model.decided_events SELECT * FROM main.decided_events ORDER BY rowid",
    "INSERT OR IGNORE INTO model.dead_letters SELECT * FROM main.dead_letters ORDER BY rowid",
    "INSERT OR IGNORE INTO model.counters SELECT * FROM main.counters WHERE name <> 'gateway_published'",
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use carillon_domain::{DeliveryStatus, SystemClock};
    use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};
    use uuid::Uuid;

    use super::*;
    use crate::{Store, StoreConfig, db::connect::SQLITE_MIGRATIONS};

    const FORMER: &str = "
        INSERT INTO deliveries VALUES (x'00000000000000000000000000000007', 'default', 'e', '/', 'T', 'c', 'u', 'sms',
            'sent', 0, 1, 296, NULL, NULL, NULL, -1, NULL, -1, NULL, -1, NULL, -1,
            '2026-11-24T10:00:00+00:00', '2026-11-24T10:00:02+00:00');
        INSERT INTO delivery_history VALUES (x'00000000000000000000000000000007', 0, 1, 'sent', 296,
            '2026-11-24T10:00:02+00:00', NULL, NULL, NULL);
        INSERT INTO projection_offsets VALUES ('tracker', 'status', 0, 5);
        INSERT INTO counters VALUES ('gateway_published', 1, 3), ('ended', 1, 1), ('produced', 1, 1)";

    #[tokio::test]
    async fn a_former_store_gives_its_read_model_away_and_keeps_all_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true);
        let mut former = options.connect().await.unwrap();
        SQLITE_MIGRATIONS.run(&mut former).await.unwrap();
        sqlx::raw_sql(FORMER).execute(&mut former).await.unwrap();
        former.close().await.unwrap();

        for _ in 0..2 {
            let config = StoreConfig::sqlite(&path);
            let store = Store::connect(&config, Arc::new(SystemClock)).await.unwrap();
            let id = carillon_domain::DeliveryId(Uuid::from_u128(7));
            let model = store.read_model();
            let delivery = model.delivery(&"default".into(), id).await.unwrap().unwrap();
            assert_eq!(delivery.status, DeliveryStatus::Sent);
            assert_eq!(model.timeline(id).await.unwrap().len(), 1);
            assert_eq!(model.offsets("tracker").await.unwrap()[0].next, 5);
            let counts = store.audit().counts().await.unwrap();
            assert_eq!(
                (counts.acknowledged, counts.ended, counts.deliveries_produced),
                (3, 1, 1)
            );
            store.close().await;
        }
        let mut store = options.connect().await.unwrap();
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'deliveries'")
            .fetch_one(&mut store)
            .await
            .unwrap();
        assert_eq!(left, 0);
    }
}
