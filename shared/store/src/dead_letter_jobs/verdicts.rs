//! Looking verdicts up.

use carillon_domain::TenantId;
use uuid::Uuid;

use super::rows::{VerdictRow, VerdictView};
use crate::{
    columns,
    config::Dialect,
    db::{Db, Input, Tx},
    dead_letters::settled::Settled,
    error::StoreError,
};

#[derive(sqlx::FromRow)]
struct GivenRow {
    tenant: String,
    letter_id: Uuid,
    verdict: String,
}

const GIVEN: &str = "SELECT v.tenant, v.letter_id, v.verdict FROM input i
    JOIN dead_letter_verdicts v ON v.letter_id = i.letter";

/// The verdicts about letters that a transaction of the read model has inserted. On PostgreSQL, where both are one
/// database, they are read on the transaction's connection, so that no second one is waited for.
pub(crate) async fn given(db: &Db, tx: &mut Tx, letters: &[Uuid]) -> Result<Vec<Settled>, StoreError> {
    if letters.is_empty() {
        return Ok(Vec::new());
    }
    let input = Input::new(letters.len()).uuid("letter", letters.iter().copied());
    let rows: Vec<GivenRow> = match db.dialect() {
        Dialect::Postgres => input.fetch(tx.conn(), GIVEN).await?,
        Dialect::Sqlite => {
            let mut session = db.read().await?;
            input.fetch(session.conn(), GIVEN).await?
        }
    };
    let settled = rows.into_iter().map(|row| {
        Ok(Settled {
            tenant: TenantId::from(row.tenant),
            letter_id: row.letter_id,
            verdict: columns::parse(&row.verdict, "a verdict")?,
        })
    });
    settled.collect()
}

pub(super) async fn views(
    db: &Db,
    tenant: &TenantId,
    letters: &[Uuid],
) -> Result<Vec<VerdictView>, StoreError> {
    if letters.is_empty() {
        return Ok(Vec::new());
    }
    let mut session = db.read().await?;
    let rows: Vec<VerdictRow> = Input::new(letters.len())
        .uuid("letter", letters.iter().copied())
        .text("tenant", letters.iter().map(|_| tenant.as_str()))
        .fetch(
            session.conn(),
            "SELECT v.letter_id, v.verdict, v.at, v.actor, v.job_id, v.generation, j.note, j.edit IS NOT NULL AS is_edited FROM input i
            JOIN dead_letter_verdicts v ON v.letter_id = i.letter AND v.tenant = i.tenant
            LEFT JOIN dead_letter_jobs j ON j.id = v.job_id",
        )
        .await?;
    rows.into_iter().map(VerdictRow::view).collect()
}
