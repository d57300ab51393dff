//! Queries of the suppression list by people.

use std::collections::HashMap;

use carillon_domain::{Channel, TenantId, Timestamp, contact::AddressHash};

use super::{SuppressionFilter, SuppressionView, Suppressions, rows::Row};
use crate::{
    db::{Dynamic, Input, Session},
    error::StoreError,
    page::{Cursor, Page, PageOf},
    versioned::Versioned,
};

const SELECT: &str =
    "SELECT address_hash, channel, reason, masked, note, provider, code, delivery_id, actor, created_at,
    expires_at, version FROM suppressions WHERE tenant = ";

impl Suppressions {
    /// The entry of an address; `None` if it is not on the list.
    pub async fn get(
        &self,
        tenant: &TenantId,
        channel: Channel,
        address: &str,
    ) -> Result<Option<Versioned<SuppressionView>>, StoreError> {
        let mut query = Dynamic::new(SELECT);
        query
            .value(tenant.as_str())
            .sql(" AND address_hash = ")
            .value(self.key.hash(channel, address).0);
        let mut session = self.db.read().await?;
        let rows: Vec<Row> = query.fetch(session.conn()).await?;
        let now = self.db.now();
        let row = rows.into_iter().next().filter(|row| row.counts(now));
        row.map(|row| {
            let version = row.version;
            Ok(Versioned {
                value: row.view()?,
                version,
            })
        })
        .transpose()
    }

    /// A tenant's entries that count, newest first.
    pub async fn list(
        &self,
        tenant: &TenantId,
        filter: &SuppressionFilter,
        page: Page,
    ) -> Result<PageOf<SuppressionView>, StoreError> {
        let mut query = Dynamic::new(SELECT);
        query
            .value(tenant.as_str())
            .sql(" AND (expires_at IS NULL OR expires_at > ")
            .value(self.db.now())
            .sql(")")
            .and_in("channel", filter.channels.iter().map(|channel| channel.as_str()))
            .and_in(
                "reason",
                filter.reasons.iter().map(|reason| <&str>::from(*reason)),
            );
        if let Some(after) = page.after {
            query
                .sql(" AND (created_at, address_hash) < (")
                .value(after.at)
                .sql(", ")
                .value(after.id)
                .sql(")");
        }
        query
            .sql(" ORDER BY created_at DESC, address_hash DESC LIMIT ")
            .value(page.rows() + 1);
        let mut session = self.db.read().await?;
        let rows: Vec<Row> = query.fetch(session.conn()).await?;
        let page = PageOf::cut(rows, &page, |row| Cursor {
            at: row.created_at,
            id: row.address_hash,
        });
        Ok(PageOf {
            items: page.items.into_iter().map(Row::view).collect::<Result<_, _>>()?,
            next_cursor: page.next_cursor,
        })
    }
}

/// The entries of a tenant's addresses, as far as they count.
pub(crate) async fn entries_of(
    session: &mut Session,
    tenant: &TenantId,
    hashes: &[AddressHash],
    now: Timestamp,
) -> Result<HashMap<AddressHash, SuppressionView>, StoreError> {
    let rows: Vec<Row> = Input::new(hashes.len())
        .text("tenant", hashes.iter().map(|_| tenant.as_str()))
        .uuid("hash", hashes.iter().map(|hash| hash.0))
        .fetch(
            session.conn(),
            "SELECT s.address_hash, s.channel, s.reason, s.masked, s.note, s.provider, s.code, s.delivery_id, s.actor,
                s.created_at, s.expires_at, s.version
            FROM input i JOIN suppressions s ON s.tenant = i.tenant AND s.address_hash = i.hash",
        )
        .await?;
    rows.into_iter()
        .filter(|row| row.counts(now))
        .map(|row| Ok((AddressHash(row.address_hash), row.view()?)))
        .collect()
}
