//! Events on which the router's code panics.

use std::sync::Arc;

use async_trait::async_trait;
use carillon_bus::OutRecord;
use carillon_domain::{
    Lane, Timestamp,
    decide::{LimitCheck, LimitVerdict},
    status::EventVerdict,
};
use carillon_router::RouterDeps;
use carillon_runtime::Shutdown;
use carillon_store::quota::{Quotas, RedisFault};
use serde_json::json;

use crate::{
    reader::Reader,
    support::{event, on_router, with},
};

/// Limits that panic on a check of one user.
#[derive(Debug)]
struct PanicsFor(&'static str);

#[async_trait]
impl Quotas for PanicsFor {
    async fn take(&self, checks: &[LimitCheck], _: Timestamp) -> Vec<LimitVerdict> {
        let of_user = format!("|{}|", self.0);
        assert!(
            !checks.iter().any(|check| check.key.contains(&of_user)),
            "told to at {}",
            self.0
        );
        vec![LimitVerdict::Allowed; checks.len()]
    }

    async fn look(&self, checks: &[LimitCheck], _: Timestamp) -> Vec<LimitVerdict> {
        vec![LimitVerdict::Allowed; checks.len()]
    }

    async fn check(&self) -> Result<(), RedisFault> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "in-process"
    }
}

#[tokio::test]
async fn an_event_on_which_the_code_panics_is_a_dead_letter_and_its_neighbours_are_routed_once_each() {
    on_router(async |setting| {
        setting.put_reader("u-bug").await;
        let reminder = |n: usize| {
            let user = if n == 3 { "u-bug" } else { "u-42" };
            let event = event(&format!("e-{n}"), "CartReminder", &json!({}));
            let event = with(event, "recipients", json!([{"user_id": user}]));
            OutRecord::new(setting.topics().events(Lane::Normal), "k", event.to_string())
        };
        setting
            .env
            .bus
            .publish((0..8).map(reminder).collect())
            .await
            .unwrap();
        let mut reader = Reader::new(&setting.env.bus);
        let shutdown = Shutdown::new();
        let deps = RouterDeps {
            quotas: Arc::new(PanicsFor("u-bug")),
            ..setting.deps(&setting.env.bus, setting.clock.clone())
        };
        let router = tokio::spawn(carillon_router::run(deps, shutdown.clone()));
        reader
            .until("all are decided", |reader| reader.decided().len() >= 8)
            .await;
        shutdown.begin();
        router.await.unwrap().unwrap();
        reader.drain().await;

        let decided = reader.decided();
        let rejected: Vec<_> = decided
            .iter()
            .filter(|decided| decided.verdict == EventVerdict::Rejected)
            .map(|decided| decided.event_id.to_string())
            .collect();
        assert_eq!(
            (rejected, decided.len(), reader.routed()),
            (vec!["e-3".to_owned()], 8, 7)
        );
        let dead = setting.topics().events_dlq();
        let letters: Vec<_> = reader
            .records
            .iter()
            .filter(|record| record.topic == dead)
            .collect();
        assert_eq!(letters.len(), 1);
        let text = |name| letters[0].headers.get_str(name);
        assert_eq!(
            (text("carillon-class"), text("carillon-code")),
            (Some("bug"), Some("panic"))
        );
        let reason = text("kafka_dlt-exception-message").unwrap();
        assert!(reason.contains("panics.rs:"), "{reason}");
    })
    .await;
}
