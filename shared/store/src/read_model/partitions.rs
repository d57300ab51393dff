//! Partitions of `attempts` by day. PostgreSQL has one for each day, so that old days can be dropped whole;
//! SQLite has a single table.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use carillon_domain::{Timestamp, clock::earlier};
use chrono::{Days, NaiveDate};
use parking_lot::Mutex;
use sqlx::{AssertSqlSafe, PgConnection, Postgres};

use crate::{
    config::Dialect,
    db::{Conn, Db, Prunable, prunable},
    error::StoreError,
};

const PRUNABLE: Prunable = prunable!("attempts", "at");
/// The number of days ahead for which partitions are created.
const AHEAD: u64 = 3;
/// The advisory lock under which partitions are created and dropped.
const LOCK: i64 = 0x6361_7269_6c6c_6f6e;

/// The days that have a partition, as far as this process knows.
#[derive(Debug, Clone)]
pub(super) struct Partitions {
    retention: Duration,
    known: Arc<Mutex<BTreeSet<NaiveDate>>>,
}

impl Partitions {
    pub(super) fn new(retention: Duration) -> Self {
        Self {
            retention,
            known: Arc::default(),
        }
    }

    /// Ensures that the days of these times have a partition. Implausible times go to the default partition until
    /// their day has one.
    pub(super) async fn prepare(
        &self,
        db: &Db,
        times: impl Iterator<Item = Timestamp>,
    ) -> Result<(), StoreError> {
        if db.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        let now = db.now();
        let (first, last) = (
            earlier(now, self.retention).date_naive(),
            now.date_naive() + Days::new(AHEAD),
        );
        let wanted: BTreeSet<NaiveDate> = times
            .map(|at| at.date_naive())
            .filter(|day| (first..=last).contains(day))
            .collect();
        let missing: Vec<NaiveDate> = wanted.difference(&self.known.lock()).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut tx = db.begin().await?;
        if let Conn::Postgres(connection, link) = tx.conn() {
            for day in &missing {
                link.bounded(create(connection, *day)).await?;
            }
        }
        tx.commit().await?;
        self.known.lock().extend(missing);
        Ok(())
    }

    /// Creates partitions for the coming days and drops those older than the retention.
    pub(super) async fn maintain(&self, db: &Db) -> Result<(), StoreError> {
        let now = db.now();
        self.prepare(db, (0..=AHEAD).map(|days| now + Days::new(days)))
            .await?;
        match db.dialect() {
            Dialect::Sqlite => db.prune(PRUNABLE, self.retention).await.map(|_| ()),
            Dialect::Postgres => self.drop_old(db, earlier(now, self.retention).date_naive()).await,
        }
    }

    async fn drop_old(&self, db: &Db, first_kept: NaiveDate) -> Result<(), StoreError> {
        let mut tx = db.begin().await?;
        if let Conn::Postgres(connection, link) = tx.conn() {
            link.bounded(lock(connection)).await?;
            for day in link
                .bounded(partitions(connection))
                .await?
                .iter()
                .filter_map(|name| day_of(name))
                .filter(|day| *day < first_kept)
            {
                link.bounded(run(connection, format!("DROP TABLE {}", name_of(day))))
                    .await?;
            }
            let of_past = sqlx::query("DELETE FROM attempts_default WHERE at < $1")
                .persistent(false)
                .bind(first_kept.and_time(chrono::NaiveTime::MIN).and_utc());
            link.answer(of_past.execute(&mut *connection)).await?;
        }
        tx.commit().await?;
        self.known.lock().retain(|day| *day >= first_kept);
        Ok(())
    }
}

/// Creates a day's partition and moves the rows of that day from the default partition into it.
async fn create(connection: &mut PgConnection, day: NaiveDate) -> Result<(), StoreError> {
    lock(connection).await?;
    let (name, next) = (name_of(day), day + Days::new(1));
    if partitions(connection).await?.contains(&name) {
        return Ok(());
    }
    // Writes are locked out from the move until new rows find the partition.
    let (from, to) = (format!("'{day} 00:00:00+00'"), format!("'{next} 00:00:00+00'"));
    for sql in [
        "LOCK TABLE ONLY attempts IN ACCESS EXCLUSIVE MODE".to_owned(),
        format!("CREATE TABLE {name} (LIKE attempts INCLUDING ALL)"),
        format!(
            "WITH early AS (DELETE FROM attempts_default WHERE at >= {from} AND at < {to} RETURNING *)
            INSERT INTO {name} SELECT * FROM early"
        ),
        format!("ALTER TABLE attempts ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to})"),
    ] {
        run(connection, sql).await?;
    }
    Ok(())
}

/// The names of all partitions.
async fn partitions(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let names: Vec<(String,)> = sqlx::query_as(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'attempts'::regclass",
    )
    .persistent(false)
    .fetch_all(connection)
    .await?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

async fn lock(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query::<Postgres>("SELECT pg_advisory_xact_lock($1)")
        .persistent(false)
        .bind(LOCK)
        .execute(connection)
        .await?;
    Ok(())
}

/// Runs a statement that contains only dates: table definitions accept no binds.
async fn run(connection: &mut PgConnection, sql: String) -> Result<(), StoreError> {
    sqlx::query::<Postgres>(AssertSqlSafe(sql))
        .persistent(false)
        .execute(connection)
        .await?;
    Ok(())
}

fn name_of(day: NaiveDate) -> String {
    format!("attempts_{}", day.format("%Y%m%d"))
}

fn day_of(name: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(name.strip_prefix("attempts_")?, "%Y%m%d").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_after_its_day_and_the_default_one_after_none() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 24).unwrap();
        assert_eq!(name_of(day), "attempts_20261124");
        assert_eq!(day_of(&name_of(day)), Some(day));
        assert_eq!(day_of("attempts_default"), None);
    }
}
