//! Deliveries on which this program's code panics, and unreadable records.

use std::sync::Arc;

use async_trait::async_trait;
use carillon_bus::{Queue, dead_letter};
use carillon_domain::{Channel, dead_letter::FailureClass};
use carillon_providers::{OutgoingMessage, SendOutcome};
use carillon_render::{RenderError, RenderRequest, Rendered, Renderer};
use carillon_workers::{Account, Sender};

use carillon_testkit::eventually;

use crate::support::{on_workers, to_guest};

/// A renderer that panics on the messages of one event.
#[derive(Debug)]
struct PanicsAt {
    event: &'static str,
    then: Arc<dyn Renderer>,
}

#[async_trait]
impl Renderer for PanicsAt {
    async fn render(&self, batch: Vec<RenderRequest>) -> Vec<Result<Rendered, RenderError>> {
        assert!(
            !batch
                .iter()
                .any(|request| request.context.event_id.as_str() == self.event),
            "told to at {}",
            self.event
        );
        self.then.render(batch).await
    }
}

#[tokio::test]
async fn a_delivery_on_which_rendering_panics_is_a_dead_letter_and_its_neighbours_are_sent_once() {
    on_workers(async |setting| {
        let provider = setting.provider();
        setting
            .publish(&["e-1", "e-bug", "e-2", "e-3"].map(to_guest))
            .await;
        let worker = setting.start_with(vec![provider.account("p")], |deps| {
            deps.renderer = Arc::new(PanicsAt {
                event: "e-bug",
                then: Arc::clone(&deps.renderer),
            });
        });
        let dead = setting.written.until_dead(1).await;
        for event in ["e-1", "e-2", "e-3"] {
            setting.written.reaches(event, "1 sent").await;
        }
        setting.until_committed().await;
        worker.end().await;
        setting.written.settle().await;
        assert_eq!(setting.written.dead().len(), 1);
        let entry = dead_letter::parse(&dead[0], Queue::Channel(Channel::Sms));
        assert_eq!(
            (entry.letter.class, entry.letter.code.as_str()),
            (FailureClass::Bug, "panic")
        );
        assert!(
            entry.letter.reason.contains("panics.rs:"),
            "{}",
            entry.letter.reason
        );
        assert_eq!(setting.written.steps("e-bug"), ["1 dead_lettered panic"]);
        let mut asked = provider.asked();
        asked.sort_unstable();
        assert_eq!(asked, ["e-1", "e-2", "e-3"]);
    })
    .await;
}

/// A provider whose code panics on the messages of one event.
struct Wild(Arc<dyn Sender>);

#[async_trait]
impl Sender for Wild {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        assert_ne!(message.event_id.as_str(), "e-bug", "told to");
        self.0.send(message).await
    }
}

#[tokio::test]
async fn a_delivery_on_which_sending_panics_ends_and_its_neighbours_are_sent_once() {
    on_workers(async |setting| {
        let provider = setting.provider();
        let wild: Arc<dyn Sender> = Arc::new(Wild(Arc::clone(&provider) as _));
        setting.publish(&["e-1", "e-bug", "e-2"].map(to_guest)).await;
        let worker = setting.start_with(vec![Account::new("p", Channel::Sms, wild, None)], |deps| {
            deps.only_process = true;
        });
        // The record is read again after a pause, by the test's clock.
        eventually("a dead letter", || async {
            setting.advance(100);
            !setting.written.dead().is_empty()
        })
        .await;
        for event in ["e-1", "e-2"] {
            setting.written.reaches(event, "1 sent").await;
        }
        setting.until_committed().await;
        worker.end().await;
        setting.written.settle().await;
        assert_eq!(setting.written.dead().len(), 1);
        let mut asked = provider.asked();
        asked.sort_unstable();
        assert_eq!(asked, ["e-1", "e-2"]);
    })
    .await;
}
