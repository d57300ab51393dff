//! Checks that each duplicate is marked as uncertain, and that no attempt was sent twice.

use futures::StreamExt as _;

use super::{
    Evidence, Finding,
    evidence::{is_uncertain, timeline},
};
use crate::api::Api;

/// The most requests at the same time.
const AT_ONCE: usize = 8;

pub(super) async fn check(api: &Api, evidence: &Evidence) -> Finding {
    let mut violations: Vec<String> = evidence
        .duplicates
        .iter()
        .filter_map(|duplicate| {
            let attempts = evidence.deliveries.get(&duplicate.delivery_id)?.attempt;
            (duplicate.count > attempts).then(|| {
                let id = &duplicate.delivery_id;
                format!(
                    "delivery {id} arrived {} times in {attempts} attempts",
                    duplicate.count
                )
            })
        })
        .collect();
    let silent: Vec<Option<String>> = futures::stream::iter(&evidence.duplicates)
        .map(|duplicate| async move {
            let id = &duplicate.delivery_id;
            match timeline(api, id).await {
                Ok(steps) if is_uncertain(&steps) => None,
                Ok(steps) => Some(format!("delivery {id} was doubled in silence: {steps:?}")),
                Err(error) => Some(format!("delivery {id} was doubled: {error:#}")),
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    violations.extend(silent.into_iter().flatten());
    let count = evidence.duplicates.len();
    Finding::new(
        format!("{count} deliveries that arrived more than once say uncertain"),
        violations,
    )
}
