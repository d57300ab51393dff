//! The HTTP server, its problem documents and operational routes, and the HTTP client.

mod body;
mod client;
mod conditions;
mod config;
mod encoding;
mod failure;
mod inflate;
mod input;
mod measure;
mod media;
mod operations;
mod problem;
mod sentence;
mod server;
mod trace;
mod unique;

pub use body::{RefusedBody, broken_off, read_capped};
pub use client::{ClientOptions, Resolver, client, install_tls};
pub use conditions::{ConditionHeaders, Conditions, NoConditions, Unmet};
pub use config::{BadBound, HttpConfig};
pub use encoding::decode;
pub use failure::{Failure, StoreFailure};
pub use input::{Given, Path, one_authorization, query};
pub use measure::{Measurement, RequestMeasures, measured};
pub use media::JsonBody;
pub use operations::{PartReadiness, Readiness, ReadinessReport, ReadySwitch, follow, operations};
pub use problem::{PROBLEM_JSON, Passing, Problem, ProblemError, ProblemKind};
pub use sentence::{known_names, serde_code, serde_sentence};
pub use server::{listen, serve};
pub use trace::{trace, traced};
pub use unique::repeated_member;
