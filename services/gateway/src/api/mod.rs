//! The routes under `/v1`: one file each.

mod acknowledge;
pub(crate) mod activity;
mod audit;
mod cancel;
mod catalog;
mod decisions;
pub(crate) mod deliveries;
pub(crate) mod dlq;
mod dlq_groups;
mod dlq_jobs;
mod dlq_settle;
mod endpoints;
pub(crate) mod event_get;
pub(crate) mod events_post;
mod keys;
mod opt_outs;
pub(crate) mod preferences;
mod receipts_post;
mod simulate;
mod stats;
pub(crate) mod suppressions;
mod suppressions_import;
pub(crate) mod users;
pub(crate) mod waiting;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::GatewayState;

/// Every route, with its documentation.
pub(crate) fn routes() -> OpenApiRouter<GatewayState> {
    OpenApiRouter::new()
        .routes(routes!(events_post::post_events))
        .routes(routes!(simulate::post_simulate))
        .routes(routes!(event_get::get_event))
        .routes(routes!(activity::list_activity))
        .routes(routes!(decisions::list_decisions))
        .routes(routes!(cancel::cancel_event))
        .routes(routes!(deliveries::list_deliveries))
        .routes(routes!(deliveries::get_delivery))
        .routes(routes!(cancel::cancel_delivery))
        .routes(routes!(acknowledge::acknowledge_delivery))
        .routes(routes!(users::put_user, users::get_user, users::delete_user))
        .routes(routes!(users::put_device, users::delete_device))
        .routes(routes!(endpoints::put_endpoint, endpoints::delete_endpoint))
        .routes(routes!(opt_outs::delete_opt_out))
        .routes(routes!(
            preferences::get_preferences,
            preferences::put_preferences,
            preferences::patch_preferences
        ))
        .routes(routes!(catalog::get_catalog, catalog::put_catalog))
        .routes(routes!(keys::create_key, keys::list_keys))
        .routes(routes!(keys::revoke_key))
        .routes(routes!(dlq::list_dead_letters))
        .routes(routes!(dlq::get_dead_letter))
        .routes(routes!(dlq_groups::list_groups))
        .routes(routes!(dlq_groups::get_group, dlq_groups::patch_group))
        .routes(routes!(
            dlq_groups::put_planned_replay,
            dlq_groups::delete_planned_replay
        ))
        .routes(routes!(dlq_settle::replay_dead_letters))
        .routes(routes!(dlq_settle::discard_dead_letters))
        .routes(routes!(dlq_jobs::list_jobs))
        .routes(routes!(dlq_jobs::get_job))
        .routes(routes!(dlq_jobs::cancel_job))
        .routes(routes!(dlq_jobs::pause_job))
        .routes(routes!(dlq_jobs::resume_job))
        .routes(routes!(suppressions::list_suppressions))
        .routes(routes!(suppressions_import::import_suppressions))
        .routes(routes!(
            suppressions::get_suppression,
            suppressions::put_suppression,
            suppressions::delete_suppression
        ))
        .routes(routes!(receipts_post::post_receipts))
        .routes(routes!(audit::list_audit))
        .routes(routes!(stats::get_stats))
}
