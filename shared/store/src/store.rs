//! The handle to everything that lies in SQL.

use carillon_domain::clock::SharedClock;

use crate::{
    api_keys::ApiKeys,
    audit::Audit,
    catalogs::Catalogs,
    config::{Dialect, StoreConfig},
    dead_letters::DeadLetters,
    error::StoreError,
    events::Events,
    idempotency::Idempotency,
    preferences::PreferencesRepo,
    read_model::ReadModel,
    send_ledger::SendLedger,
    templates::Templates,
    users::Users,
};

/// The SQL database and its repositories; a cheap handle.
#[derive(Debug, Clone)]
pub struct Store {}

impl Store {
    /// Connects and brings the schema up to date; several processes may do so at once.
    pub async fn connect(config: &StoreConfig, clock: SharedClock) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// Asks the database for a sign of life.
    pub async fn check(&self) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Waits until what was begun is written, and closes the connections.
    pub async fn close(&self) {
        unimplemented!()
    }

    /// Which database it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        unimplemented!()
    }

    /// API keys.
    #[must_use]
    pub fn api_keys(&self) -> &ApiKeys {
        unimplemented!()
    }

    /// Users and their addresses.
    #[must_use]
    pub fn users(&self) -> &Users {
        unimplemented!()
    }

    /// What users want to hear.
    #[must_use]
    pub fn preferences(&self) -> &PreferencesRepo {
        unimplemented!()
    }

    /// Catalogs.
    #[must_use]
    pub fn catalog(&self) -> &Catalogs {
        unimplemented!()
    }

    /// Templates and languages.
    #[must_use]
    pub fn templates(&self) -> &Templates {
        unimplemented!()
    }

    /// Claims of events.
    #[must_use]
    pub fn events(&self) -> &Events {
        unimplemented!()
    }

    /// Answers kept for repeated requests.
    #[must_use]
    pub fn idempotency(&self) -> &Idempotency {
        unimplemented!()
    }

    /// Claims of attempts.
    #[must_use]
    pub fn send_ledger(&self) -> &SendLedger {
        unimplemented!()
    }

    /// The read model.
    #[must_use]
    pub fn read_model(&self) -> &ReadModel {
        unimplemented!()
    }

    /// Dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters {
        unimplemented!()
    }

    /// The auditor's counts.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        unimplemented!()
    }
}
