//! JSON that is stored and read as a whole.

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Database, Decode, Encode, Postgres, Sqlite, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgTypeInfo, types::Oid},
};

use crate::error::StoreError;

/// The OID of PostgreSQL's `json`, which is fixed.
const JSON: Oid = Oid(114);

/// A JSON text: `json` in PostgreSQL, `TEXT` in SQLite. `jsonb` is not used, because it refuses `\u0000`, which
/// events may contain, and does not keep the spelling of numbers. No query searches inside documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document(pub(crate) String);

impl Document {
    pub(crate) fn of<T: Serialize>(value: &T, what: &'static str) -> Result<Self, StoreError> {
        serde_json::to_string(value)
            .map(Self)
            .map_err(|_| StoreError::Corrupt { what })
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(&self.0).map_err(|error| {
            tracing::error!(%error, what, "a stored document could not be read");
            StoreError::Corrupt { what }
        })
    }
}

impl Type<Sqlite> for Document {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <String as Type<Sqlite>>::type_info()
    }

    fn compatible(ty: &<Sqlite as Database>::TypeInfo) -> bool {
        <String as Type<Sqlite>>::compatible(ty)
    }
}

impl Type<Postgres> for Document {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON)
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        *ty == PgTypeInfo::with_oid(JSON)
    }
}

impl<'q, DB: Database> Encode<'q, DB> for Document
where
    String: Encode<'q, DB>,
{
    fn encode_by_ref(&self, buffer: &mut <DB as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.encode_by_ref(buffer)
    }
}

impl<'r, DB: Database> Decode<'r, DB> for Document
where
    String: Decode<'r, DB>,
{
    fn decode(value: <DB as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        String::decode(value).map(Self)
    }
}
