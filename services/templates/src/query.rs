//! Query parameters, with problem documents for invalid ones.

use axum::{extract::FromRequestParts, http::request::Parts};
use carillon_runtime::http::{Problem, query};
use serde::de::DeserializeOwned;

/// A query that has only known parameters.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(query(&parts.uri)?))
    }
}
