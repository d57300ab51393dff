//! The request: an event as `POST /v1/events` takes it, or an envelope with the event and the conditions.

use std::sync::Arc;

use axum::http::HeaderMap;
use carillon_domain::{
    Catalog, Event, FieldError, Moment, Preferences, TenantId, Timestamp, compiled::CompiledCatalog,
    event::without_mark,
};
use carillon_runtime::http::{Problem, ProblemKind};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::SharedCatalog;
use crate::{
    api::preferences,
    error::{ApiError, problem_of_fields},
    ingest::{self, Context, Form},
    input::json_of,
    state::GatewayState,
};

/// A simulation that is asked for.
pub(crate) struct SimulationRequest {
    pub(crate) event: Result<Event, Vec<FieldError>>,
    /// The time of the decisions.
    pub(crate) at: Timestamp,
    pub(crate) as_if: AsIf,
    /// The pointer to the event in the body.
    pub(crate) prefix: &'static str,
}

/// Changes that hold for the simulation only.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AsIf {
    /// The preferences of all users that the event names, in place of their own.
    preferences: Option<Preferences>,
    /// The catalog, in place of the tenant's. Templates stay those that are published.
    catalog: Option<Catalog>,
}

/// An event with the conditions of its simulation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[expect(dead_code, reason = "the event is read apart, with its own errors")]
    event: IgnoredAny,
    #[serde(default)]
    at: Option<Moment>,
    #[serde(default)]
    as_if: Option<AsIf>,
}

/// The members by which an envelope differs from an event. An event has a type, and a CloudEvent its version too.
#[derive(Deserialize)]
struct Glimpse<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(rename = "type")]
    event_type: Option<IgnoredAny>,
    specversion: Option<IgnoredAny>,
}

/// The pointer to the event in an envelope.
const EVENT: &str = "/event";

impl SimulationRequest {
    /// Reads a request. `at` is the time in its query.
    pub(crate) fn read(
        headers: &HeaderMap,
        body: &[u8],
        tenant: &TenantId,
        at: Option<Moment>,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let context = |now| Context {
            tenant,
            key: None,
            now,
        };
        let json = without_mark(body);
        let glimpse = serde_json::from_slice::<Glimpse<'_>>(json).ok();
        let enclosed = glimpse
            .filter(|glimpse| glimpse.event_type.is_none() && glimpse.specversion.is_none())
            .and_then(|glimpse| glimpse.event);
        let Some(event) = enclosed else {
            let at = at.map_or(now, |Moment(at)| at);
            return match ingest::read(headers, body, context(at))? {
                Form::One(event) => Ok(Self {
                    event: *event,
                    at,
                    as_if: AsIf::default(),
                    prefix: "",
                }),
                Form::Batch(_) => {
                    let expected = "expected one event, not a batch";
                    Err(ApiError::new(ProblemKind::Validation, expected))
                }
            };
        };
        let envelope: Envelope = json_of(body)?;
        if at.is_some() && envelope.at.is_some() {
            let expected = "expected the time once: in the query or in the body";
            return Err(ApiError::fields(vec![FieldError::new(
                "/at",
                "duplicate",
                expected,
            )]));
        }
        let at = envelope.at.or(at).map_or(now, |Moment(at)| at);
        Ok(Self {
            event: ingest::read_json(event.get().as_bytes(), context(at)),
            at,
            as_if: envelope.as_if.unwrap_or_default(),
            prefix: EVENT,
        })
    }
}

impl AsIf {
    /// Checks the changes. Returns the catalog that holds, and the preferences if they are changed.
    pub(super) async fn checked(
        self,
        state: &GatewayState,
        present: Option<SharedCatalog>,
    ) -> Result<(Option<SharedCatalog>, Option<Preferences>), ApiError> {
        let catalog = match self.catalog {
            Some(proposed) => Some(ingest::aside_long(state, || compiled(proposed)).await?),
            None => present,
        };
        if let Some(preferences) = &self.preferences {
            let known = catalog.as_deref().map(CompiledCatalog::catalog);
            preferences::check(preferences, &Preferences::default(), known)
                .map_err(|errors| problem_of_fields(errors, "/as_if/preferences"))?;
        }
        Ok((catalog, self.preferences))
    }
}

/// A proposed catalog that may be applied.
fn compiled(proposed: Catalog) -> Result<SharedCatalog, Problem> {
    let errors = proposed.validate();
    if errors.is_empty() {
        Ok(Arc::new(CompiledCatalog::new(proposed)))
    } else {
        Err(problem_of_fields(errors, "/as_if/catalog"))
    }
}
