//! The letters of a job with their records, oldest first, in batches of bounded size.

use carillon_domain::{TenantId, Timestamp};
use uuid::Uuid;

use super::{DeadLetterFilter, EVENTS, LetterBatch, LetterRecord, query};
use crate::{
    columns::{self, unsigned},
    db::{Document, Dynamic, Input, Session},
    error::StoreError,
    page::Cursor,
};

/// The most bytes of records in a batch, unless a single record is larger.
const MAX_BYTES: u64 = 8 << 20;

#[derive(sqlx::FromRow)]
struct Place {
    id: Uuid,
    dead_at: Timestamp,
    size: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    dead_at: Timestamp,
    queue: String,
    source_topic: String,
    headers: Document,
    record_key: Option<Vec<u8>>,
    value: Vec<u8>,
}

/// The part of a selection that a batch takes.
#[derive(Debug, Clone, Copy)]
pub struct BatchOf<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The conditions.
    pub filter: &'a DeadLetterFilter,
    /// Letters that died later are left out, if set.
    pub until: Option<Timestamp>,
    /// The letter after which the batch begins.
    pub after: Option<Cursor>,
    /// The most letters.
    pub limit: u32,
}

fn select(text: &'static str, of: BatchOf<'_>) -> Dynamic {
    let mut query = Dynamic::new(text);
    query.value(of.tenant.as_str());
    query::conditions(&mut query, of.filter);
    if let Some(until) = of.until {
        query.sql(" AND dead_at <= ").value(until);
    }
    if let Some(after) = of.after {
        query
            .sql(" AND (dead_at, id) > (")
            .value(after.at)
            .sql(", ")
            .value(after.id)
            .sql(")");
    }
    query
}

pub(super) async fn next(session: &mut Session, of: BatchOf<'_>) -> Result<LetterBatch, StoreError> {
    let mut query = select(
        "SELECT id, dead_at, CAST(LENGTH(value) AS BIGINT) AS size FROM dead_letters WHERE tenant = ",
        of,
    );
    query.sql(" ORDER BY dead_at, id LIMIT ").value(of.limit + 1);
    let places: Vec<Place> = query.fetch(session.conn()).await?;
    let mut bytes = 0;
    let fitting = places
        .iter()
        .take(of.limit as usize)
        .enumerate()
        .take_while(|(index, place)| {
            bytes += unsigned(place.size);
            *index == 0 || bytes <= MAX_BYTES
        });
    let count = fitting.count();
    let rows: Vec<Row> = Input::new(count)
        .uuid("letter", places.iter().take(count).map(|place| place.id))
        .fetch(
            session.conn(),
            "SELECT d.id, d.dead_at, d.queue, d.source_topic, d.headers, d.record_key, d.value
            FROM input i JOIN dead_letters d ON d.id = i.letter",
        )
        .await?;
    let mut letters = rows.into_iter().map(Row::letter).collect::<Result<Vec<_>, _>>()?;
    letters.sort_by_key(|letter| (letter.dead_at, letter.id));
    Ok(LetterBatch {
        letters,
        end: count.checked_sub(1).map(|last| Cursor {
            at: places[last].dead_at,
            id: places[last].id,
        }),
        has_more: places.len() > count,
    })
}

pub(super) async fn count(session: &mut Session, of: BatchOf<'_>) -> Result<u64, StoreError> {
    let query = select("SELECT COUNT(*) FROM dead_letters WHERE tenant = ", of);
    let rows: Vec<(i64,)> = query.fetch(session.conn()).await?;
    Ok(rows.first().map_or(0, |(count,)| unsigned(*count)))
}

impl Row {
    fn letter(self) -> Result<LetterRecord, StoreError> {
        Ok(LetterRecord {
            id: self.id,
            dead_at: self.dead_at,
            channel: match self.queue.as_str() {
                EVENTS => None,
                channel => Some(columns::parse(channel, "a channel")?),
            },
            source_topic: self.source_topic,
            headers: self.headers.parse("headers")?,
            key: self.record_key,
            value: self.value,
        })
    }
}
