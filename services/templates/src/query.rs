//! Query parameters, refused as problem documents.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use carillon_runtime::http::{Problem, ProblemKind, serde_sentence};
use serde::de::DeserializeOwned;

/// Query parameters of a closed form.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(query) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            Problem::new(ProblemKind::Validation, serde_sentence(&rejection.body_text()))
        })?;
        Ok(Self(query))
    }
}
