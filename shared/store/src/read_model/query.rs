//! Queries for deliveries.

use std::collections::BTreeSet;

use carillon_domain::{DeliveryId, DeliveryStatus, EventId, TenantId, Timestamp, UserId};
use uuid::Uuid;

use super::{DeliveryFilter, DeliveryView, attempts};
use crate::{
    columns,
    db::{Dynamic, Input, Session},
    error::StoreError,
    page::{Cursor, Page, PageOf},
};

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "d.id, d.event_id, d.source, d.event_type, d.category, d.user_id, d.channel, d.to_masked, d.status, d.reason,
        d.provider, d.provider_message_id, d.error_code, d.attempt, d.generation, d.template, d.created_at,
        d.updated_at"
    };
}

const SELECT: &str = concat!("SELECT ", columns!(), " FROM deliveries d WHERE tenant = ");
const BY_IDS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM input i JOIN deliveries d ON d.id = i.id WHERE d.tenant = i.tenant"
);

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    event_id: String,
    source: String,
    event_type: String,
    category: String,
    user_id: Option<String>,
    channel: String,
    to_masked: Option<String>,
    status: String,
    reason: Option<String>,
    provider: Option<String>,
    provider_message_id: Option<String>,
    error_code: Option<String>,
    attempt: i32,
    generation: i32,
    template: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Row {
    fn view(self) -> Result<DeliveryView, StoreError> {
        let status = columns::parse(&self.status, "a status")?;
        let (reason, detail) = if status == DeliveryStatus::Queued {
            (self.reason, None)
        } else {
            (self.error_code.clone(), self.reason)
        };
        Ok(DeliveryView {
            id: DeliveryId(self.id),
            event_id: EventId::from(self.event_id),
            source: self.source,
            event_type: self.event_type,
            category: self.category,
            user_id: self.user_id.map(UserId::from),
            channel: columns::parse(&self.channel, "a channel")?,
            to_masked: self.to_masked,
            status,
            reason,
            detail,
            provider: self.provider,
            provider_message_id: self.provider_message_id,
            error_code: self.error_code,
            attempt: self.attempt.unsigned_abs(),
            attempts: self.attempt.unsigned_abs(),
            generation: self.generation.unsigned_abs(),
            template: self
                .template
                .map(|template| serde_json::from_str(&template))
                .transpose()
                .map_err(|_| StoreError::Corrupt {
                    what: "a template's name",
                })?,
            next_attempt_at: None,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

pub(super) async fn page(
    session: &mut Session,
    tenant: &TenantId,
    filter: &DeliveryFilter,
    page: Page,
) -> Result<PageOf<DeliveryView>, StoreError> {
    let mut query = Dynamic::new(SELECT);
    query
        .value(tenant.as_str())
        .and_in("status", filter.status.iter().map(|status| status.as_str()))
        .and_in("channel", filter.channel.iter().map(|channel| channel.as_str()))
        .and_in("event_type", filter.event_type.iter().map(String::as_str))
        .and_in("category", filter.category.iter().map(String::as_str))
        .and_in("user_id", filter.user.iter().map(String::as_str))
        .and_in("provider", filter.provider.iter().map(String::as_str))
        .and_in("error_code", filter.code.iter().map(String::as_str));
    if let Some(from) = filter.from {
        query.sql(" AND created_at >= ").value(from);
    }
    if let Some(to) = filter.to {
        query.sql(" AND created_at < ").value(to);
    }
    if let Some(text) = filter.q.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        search(&mut query, text);
    }
    if let Some(after) = page.after {
        query
            .sql(" AND (created_at, id) < (")
            .value(after.at)
            .sql(", ")
            .value(after.id)
            .sql(")");
    }
    query
        .sql(" ORDER BY created_at DESC, id DESC LIMIT ")
        .value(page.rows() + 1);
    let rows: Vec<Row> = query.fetch(session.conn()).await?;
    let views = rows.into_iter().map(Row::view).collect::<Result<Vec<_>, _>>()?;
    let mut found = PageOf::cut(views, &page, |view| Cursor {
        at: view.created_at,
        id: view.id.0,
    });
    attempts::fill(session, &mut found.items).await?;
    Ok(found)
}

/// The columns that a search covers.
const SEARCHED: [&str; 5] = [
    "lower(event_id) LIKE ",
    "lower(user_id) LIKE ",
    "lower(event_type) LIKE ",
    "lower(to_masked) LIKE ",
    "lower(provider_message_id) LIKE ",
];

/// Matches the text anywhere in those columns, or at the start of the delivery's id.
fn search(query: &mut Dynamic, text: &str) {
    let pattern = like(text);
    for (index, column) in SEARCHED.into_iter().enumerate() {
        query.sql(if index == 0 { " AND (" } else { " OR " });
        query.sql(column).value(pattern.as_str()).sql(r" ESCAPE '\'");
    }
    if let Some((from, to)) = ids_that_begin_with(text) {
        query.sql(" OR id BETWEEN ").value(from).sql(" AND ").value(to);
    }
    query.sql(")");
}

/// A pattern that matches the text anywhere, in either case.
fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// The first and the last UUID that begin with these digits (dashes ignored); `None` for fewer than four digits.
fn ids_that_begin_with(text: &str) -> Option<(Uuid, Uuid)> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if !(4..=32).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let fill = |with: char| {
        let mut all = digits.clone();
        all.extend(std::iter::repeat_n(with, 32 - digits.len()));
        Uuid::try_parse(&all).ok()
    };
    Some((fill('0')?, fill('f')?))
}

pub(super) async fn one(
    session: &mut Session,
    tenant: &TenantId,
    id: DeliveryId,
) -> Result<Option<DeliveryView>, StoreError> {
    let mut query = Dynamic::new(SELECT);
    query.value(tenant.as_str()).sql(" AND id = ").value(id.0);
    let rows: Vec<Row> = query.fetch(session.conn()).await?;
    let mut view = rows.into_iter().next().map(Row::view).transpose()?;
    attempts::fill(session, view.as_mut_slice()).await?;
    Ok(view)
}

/// Returns the deliveries oldest first.
pub(super) async fn by_ids(
    session: &mut Session,
    tenant: &TenantId,
    ids: impl Iterator<Item = DeliveryId>,
) -> Result<Vec<DeliveryView>, StoreError> {
    let ids: BTreeSet<Uuid> = ids.map(|id| id.0).collect();
    let mut rows: Vec<Row> = Input::new(ids.len())
        .uuid("id", ids.iter().copied())
        .text("tenant", ids.iter().map(|_| tenant.as_str()))
        .fetch(session.conn(), BY_IDS)
        .await?;
    rows.sort_by_key(|row| (row.created_at, row.id));
    let mut views = rows.into_iter().map(Row::view).collect::<Result<Vec<_>, _>>()?;
    attempts::fill(session, &mut views).await?;
    Ok(views)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_text_is_taken_literally() {
        assert_eq!(like(r"50%_A\"), r"%50\%\_a\\%");
    }

    #[test]
    fn digits_of_an_id_find_the_ids_that_begin_with_them() {
        let (from, to) = ids_that_begin_with("6F1D51c8-9").unwrap();
        assert_eq!(from.to_string(), "6f1d51c8-9000-0000-0000-000000000000");
        assert_eq!(to.to_string(), "6f1d51c8-9fff-ffff-ffff-ffffffffffff");
        assert_eq!(ids_that_begin_with("abc"), None);
        assert_eq!(ids_that_begin_with("order-1"), None);
    }
}
