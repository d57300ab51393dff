//! The handle to all data in SQL.

use std::sync::Arc;

use carillon_domain::{
    clock::{SharedClock, Timestamp},
    contact::AddressKey,
};

use crate::{
    account_holds::AccountHolds,
    account_part_holds::AccountPartHolds,
    api_keys::ApiKeys,
    audit::Audit,
    audit_log::AuditLog,
    catalogs::Catalogs,
    channel_holds::ChannelHolds,
    config::{Dialect, StoreConfig},
    db::Db,
    dead_letter_groups::DeadLetterGroups,
    dead_letter_jobs::DeadLetterJobs,
    dead_letters::DeadLetters,
    digests::Digests,
    error::StoreError,
    events::Events,
    fallbacks::Fallbacks,
    idempotency::Idempotency,
    outbox::Outbox,
    preferences::PreferencesRepo,
    read_model::ReadModel,
    send_ledger::SendLedger,
    suppressions::Suppressions,
    templates::Templates,
    users::Users,
    waiting::WaitingRecords,
};

/// The number of rows over which each of the auditor's counts is spread.
const SHARDS: i32 = 16;

/// The SQL database and its repositories; a cheap handle.
#[derive(Debug, Clone)]
pub struct Store(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    db: Db,
    /// The database of the read model; on PostgreSQL the same as `db`.
    model: Db,
    address_key: AddressKey,
    api_keys: ApiKeys,
    users: Users,
    suppressions: Suppressions,
    preferences: PreferencesRepo,
    catalog: Catalogs,
    templates: Templates,
    events: Events,
    idempotency: Idempotency,
    send_ledger: SendLedger,
    read_model: ReadModel,
    dead_letters: DeadLetters,
    dead_letter_groups: DeadLetterGroups,
    dead_letter_jobs: DeadLetterJobs,
    outbox: Outbox,
    waiting: WaitingRecords,
    digests: Digests,
    fallbacks: Fallbacks,
    audit: Audit,
    audit_log: AuditLog,
    channel_holds: ChannelHolds,
    account_holds: AccountHolds,
    account_part_holds: AccountPartHolds,
}

impl Store {
    /// Connects and brings the schema up to date; several processes may do so at once.
    pub async fn connect(config: &StoreConfig, clock: SharedClock) -> Result<Self, StoreError> {
        let (db, model) = Db::connect(config, clock).await?;
        // The shard is random. Two processes rarely choose the same one, and then still count correctly.
        let shard = rand::random_range(0..SHARDS);
        let events = Events::new(db.clone(), shard);
        let outbox = Outbox::new(db.clone());
        Ok(Self(Arc::new(Parts {
            api_keys: ApiKeys::new(db.clone()),
            users: Users::new(db.clone(), model.clone(), config.address_key.clone()),
            suppressions: Suppressions::new(db.clone(), config.address_key.clone()),
            address_key: config.address_key.clone(),
            preferences: PreferencesRepo::new(db.clone()),
            catalog: Catalogs::new(db.clone()),
            templates: Templates::new(db.clone()),
            idempotency: Idempotency::new(db.clone()),
            send_ledger: SendLedger::new(db.clone()),
            read_model: ReadModel::new(model.clone(), shard, config.history_retention),
            dead_letters: DeadLetters::new(model.clone(), db.clone(), config.history_retention),
            dead_letter_groups: DeadLetterGroups::new(db.clone(), config.history_retention),
            dead_letter_jobs: DeadLetterJobs::new(db.clone(), config.history_retention),
            waiting: WaitingRecords::new(db.clone(), shard, outbox.clone()),
            digests: Digests::new(db.clone(), shard, outbox.clone()),
            fallbacks: Fallbacks::new(db.clone(), model.clone()),
            outbox,
            audit: Audit::new(db.clone(), model.clone(), events.clone()),
            audit_log: AuditLog::new(db.clone()),
            channel_holds: ChannelHolds::new(db.clone()),
            account_holds: AccountHolds::new(db.clone()),
            account_part_holds: AccountPartHolds::new(db.clone()),
            events,
            db,
            model,
        })))
    }

    /// The present time, by the clock that the store was given.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.db.now()
    }

    /// `postgres` or `sqlite`.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        match self.0.db.dialect() {
            Dialect::Postgres => "postgres",
            Dialect::Sqlite => "sqlite",
        }
    }

    /// Checks that the database answers and takes writes. On PostgreSQL, writability is known from the
    /// database's own report and from recent writes; SQLite's write lock is taken if there were none.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.0.db.check().await?;
        match self.dialect() {
            Dialect::Sqlite => self.0.model.check().await,
            Dialect::Postgres => Ok(()),
        }
    }

    /// Waits until the writes in progress have ended, and closes the connections.
    pub async fn close(&self) {
        if let Err(error) = self.0.events.flush().await {
            // Missing marks do no harm: a router marks each event that it routes, and the leases of other claims end.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "published events were not marked"
            );
        }
        self.0.model.close().await;
        self.0.db.close().await;
    }

    /// The kind of database.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.0.db.dialect()
    }

    /// The key with which addresses are hashed.
    #[must_use]
    pub fn address_key(&self) -> &AddressKey {
        &self.0.address_key
    }

    /// The suppression list.
    #[must_use]
    pub fn suppressions(&self) -> &Suppressions {
        &self.0.suppressions
    }

    /// API keys.
    #[must_use]
    pub fn api_keys(&self) -> &ApiKeys {
        &self.0.api_keys
    }

    /// Users and their addresses.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.0.users
    }

    /// Users' preferences.
    #[must_use]
    pub fn preferences(&self) -> &PreferencesRepo {
        &self.0.preferences
    }

    /// Catalogs.
    #[must_use]
    pub fn catalog(&self) -> &Catalogs {
        &self.0.catalog
    }

    /// Templates and languages.
    #[must_use]
    pub fn templates(&self) -> &Templates {
        &self.0.templates
    }

    /// Claims of events.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// Responses stored for repeated requests.
    #[must_use]
    pub fn idempotency(&self) -> &Idempotency {
        &self.0.idempotency
    }

    /// Claims of attempts.
    #[must_use]
    pub fn send_ledger(&self) -> &SendLedger {
        &self.0.send_ledger
    }

    /// The read model.
    #[must_use]
    pub fn read_model(&self) -> &ReadModel {
        &self.0.read_model
    }

    /// Dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.0.dead_letters
    }

    /// The handling of causes of dead letters by people.
    #[must_use]
    pub fn dead_letter_groups(&self) -> &DeadLetterGroups {
        &self.0.dead_letter_groups
    }

    /// Jobs that work dead letters off, and their verdicts.
    #[must_use]
    pub fn dead_letter_jobs(&self) -> &DeadLetterJobs {
        &self.0.dead_letter_jobs
    }

    /// Records on their way to the bus.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// Rows that wait until a time.
    #[must_use]
    pub fn waiting(&self) -> &WaitingRecords {
        &self.0.waiting
    }

    /// Digests and their members.
    #[must_use]
    pub fn digests(&self) -> &Digests {
        &self.0.digests
    }

    /// Fallbacks that wait, and acknowledgements.
    #[must_use]
    pub fn fallbacks(&self) -> &Fallbacks {
        &self.0.fallbacks
    }

    /// The auditor's counts.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }
    /// Account holds.
    #[must_use]
    pub fn account_holds(&self) -> &AccountHolds {
        &self.0.account_holds
    }

    /// Holds of parts of accounts.
    #[must_use]
    pub fn account_part_holds(&self) -> &AccountPartHolds {
        &self.0.account_part_holds
    }

    /// Channels on which nothing is sent at present.
    #[must_use]
    pub fn channel_holds(&self) -> &ChannelHolds {
        &self.0.channel_holds
    }

    /// The audit log.
    #[must_use]
    pub fn audit_log(&self) -> &AuditLog {
        &self.0.audit_log
    }
}
