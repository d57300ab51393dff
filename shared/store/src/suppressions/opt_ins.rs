//! Opt-ins: a recipient tells a provider account that it may send again (START), which ends the opt-out (STOP) that the same account has
//! reported. Accounts belong to the installation, and a provider does not know tenants, so the opt-out ends for each tenant that has it.

use std::sync::Arc;

use carillon_domain::{
    Channel, TenantId,
    contact::{self, AddressHash},
};

use super::{
    Suppressions,
    people::{end, path},
    write::lock,
};
use crate::{
    audit_log::{self, AuditAction},
    db::{Tx, again, fetch},
    error::StoreError,
};

/// A recipient's request to be sent to again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptIn {
    /// The channel.
    pub channel: Channel,
    /// The recipient's address.
    pub address: String,
    /// The provider account that was told.
    pub provider: Arc<str>,
}

/// The tenants that have an opt-out of an address from an account. The key of the table begins with the tenant, so the statement goes from
/// tenant to tenant, with two looks into the key for each, instead of reading the table.
const OPTED_OUT: &str = "
    WITH RECURSIVE tenants (tenant) AS (
        SELECT MIN(tenant) FROM suppressions
        UNION ALL
        SELECT (SELECT MIN(s.tenant) FROM suppressions AS s WHERE s.tenant > t.tenant) FROM tenants AS t
        WHERE t.tenant IS NOT NULL)
    SELECT s.tenant FROM tenants AS t JOIN suppressions AS s ON s.tenant = t.tenant AND s.address_hash = $1
    WHERE s.reason = 'opted_out' AND s.provider = $2 AND s.actor IS NULL
        AND (s.expires_at IS NULL OR s.expires_at > $3)
    ORDER BY s.tenant";

impl Suppressions {
    /// Ends the opt-outs of an address that answers or receipts of the same provider account have caused; entries of any other origin
    /// stay. The audit log of each tenant gets an entry in the same transaction. Returns the tenants.
    pub async fn opt_in(&self, opt_in: &OptIn) -> Result<Vec<TenantId>, StoreError> {
        again(|| self.try_opt_in(opt_in)).await
    }

    async fn try_opt_in(&self, opt_in: &OptIn) -> Result<Vec<TenantId>, StoreError> {
        let hash = self.key.hash(opt_in.channel, &opt_in.address);
        let masked = contact::mask(opt_in.channel, &opt_in.address);
        let reporter = format!("START to the provider account {}", opt_in.provider);
        let mut tx = self.db.begin().await?;
        let candidates = self.opted_out(&mut tx, hash, opt_in).await?;
        if candidates.is_empty() {
            return Ok(candidates);
        }
        lock(&mut tx, candidates.iter().map(|tenant| (tenant.as_str(), hash))).await?;
        // Entries may have changed before the locks. One that is added meanwhile is newer than this request.
        let mut opted_out = self.opted_out(&mut tx, hash, opt_in).await?;
        opted_out.retain(|tenant| candidates.contains(tenant));
        let now = self.db.now();
        for tenant in &opted_out {
            end(&mut tx, tenant, hash, now).await?;
            let path = path(opt_in.channel, &masked);
            audit_log::append_of_provider(&mut tx, tenant, &reporter, AuditAction::Lift, &path, now).await?;
        }
        tx.commit().await?;
        Ok(opted_out)
    }

    /// The tenants that have an opt-out of the address from the account.
    async fn opted_out(
        &self,
        tx: &mut Tx,
        hash: AddressHash,
        opt_in: &OptIn,
    ) -> Result<Vec<TenantId>, StoreError> {
        let now = self.db.now();
        let found = fetch!(all, tx => (String,), OPTED_OUT, hash.0, &*opt_in.provider, now)?;
        Ok(found.into_iter().map(|(tenant,)| tenant.into()).collect())
    }
}
