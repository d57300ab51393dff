//! The two ways in for events: HTTP and Kafka.

use std::{sync::Arc, time::Duration};

use carillon_bus::{Backend, Bus, BusConfig, KafkaConfig, OutRecord, TopicSettings, headers};
use carillon_domain::{SystemClock, retry::RetryPolicy};
use serde_json::{Map, Value};

use super::Try;
use crate::{
    api::{Answer, Api},
    events::Event,
    plan::{Post, Via},
};

/// The client with which events are posted; clones share connections.
#[derive(Clone)]
pub(crate) struct Door {
    api: Api,
    /// `None` if Carillon uses its embedded log.
    kafka: Option<Bus>,
}

impl Door {
    pub(crate) fn http(api: Api) -> Self {
        Self { api, kafka: None }
    }

    /// A door over HTTP and the topics with this prefix.
    pub(crate) async fn with_kafka(api: Api, brokers: String, prefix: &str) -> anyhow::Result<Self> {
        let config = BusConfig {
            prefix: prefix.to_owned(),
            backend: Backend::Kafka(Box::new(KafkaConfig {
                brokers,
                ..KafkaConfig::default()
            })),
            retry: RetryPolicy::default(),
            topics: TopicSettings::default(),
            sources: Vec::new(),
        };
        let bus = Bus::connect(config, Arc::new(SystemClock)).await?;
        Ok(Self {
            api,
            kafka: Some(bus),
        })
    }

    /// Asks once to cancel an event. `None` if there is no answer yet: the event may not be known, or the outcome is
    /// unknown.
    pub(super) async fn cancel(&self, event: &Event) -> Option<String> {
        let answer = self.api.cancel(&event.id).await.ok()?;
        let result = answer
            .status
            .is_success()
            .then(|| answer.body["result"].as_str())?;
        result.map(ToOwned::to_owned)
    }

    /// Posts once, without retries.
    pub(super) async fn post(&self, post: &Post) -> Try {
        match (&self.kafka, post.via, post.events.as_slice()) {
            (Some(bus), Via::KafkaStructured | Via::KafkaBinary, events) => {
                let record = |event| record(bus, event, post.via);
                match bus.publish(events.iter().map(record).collect()).await {
                    Ok(_) => Try::Accepted,
                    Err(_) => Try::Again(None),
                }
            }
            (_, _, [event]) => match self.api.post(&event.plain()).await {
                Ok(answer) => single(event, &answer),
                Err(_) => Try::Again(None),
            },
            (_, _, events) => {
                let body = events.iter().map(Event::plain).collect();
                match self.api.post(&body).await {
                    Ok(answer) => batch(events, &answer),
                    Err(_) => Try::Again(None),
                }
            }
        }
    }
}

/// Whether the same post may be accepted later, by its status.
fn passes(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429 | 500..)
}

fn single(event: &Event, answer: &Answer) -> Try {
    match answer.status.as_u16() {
        200..300 => Try::Accepted,
        status if passes(status) => Try::Again(None),
        status => Try::Refused(vec![(event.id.clone(), format!("{status} {}", answer.body))]),
    }
}

fn batch(events: &[Event], answer: &Answer) -> Try {
    let Some(items) = answer.body["items"]
        .as_array()
        .filter(|items| items.len() == events.len())
    else {
        let status = answer.status.as_u16();
        if passes(status) {
            return Try::Again(None);
        }
        let reason = format!("{status} {}", answer.body);
        return Try::Refused(
            events
                .iter()
                .map(|event| (event.id.clone(), reason.clone()))
                .collect(),
        );
    };
    let mut refused = Vec::new();
    for (event, item) in events.iter().zip(items) {
        if item["status"] != "rejected" {
            continue;
        }
        let status = item["problem"]["status"]
            .as_u64()
            .and_then(|status| u16::try_from(status).ok());
        if status.is_some_and(passes) {
            return Try::Again(Some(Duration::from_secs(1)));
        }
        refused.push((event.id.clone(), item["problem"].to_string()));
    }
    if refused.is_empty() {
        Try::Accepted
    } else {
        Try::Refused(refused)
    }
}

/// The record of an event from a producer that does not know Carillon's plain form.
fn record(bus: &Bus, event: &Event, via: Via) -> OutRecord {
    let (attributes, data) = event.cloud_event();
    let topic = bus.topics().events(event.lane);
    if via == Via::KafkaBinary {
        return binary(
            OutRecord::new(topic, event.record_key(), data.to_string()),
            &attributes,
        );
    }
    let mut document = attributes;
    document.insert("datacontenttype".to_owned(), "application/json".into());
    document.insert("data".to_owned(), data);
    OutRecord::new(topic, event.record_key(), Value::Object(document).to_string())
        .with(headers::CONTENT_TYPE, "application/cloudevents+json")
}

fn binary(mut record: OutRecord, attributes: &Map<String, Value>) -> OutRecord {
    for (name, value) in attributes {
        if let Value::String(text) = value {
            record.headers.push(format!("ce_{name}"), text.clone());
        }
    }
    record.with(headers::CONTENT_TYPE, "application/json")
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::events::{Kind, To, Waits};

    fn events(count: usize) -> Vec<Event> {
        (0..count)
            .map(|n| Event {
                id: format!("e{n}"),
                kind: Kind::OrderShipped,
                to: To::Guest(n),
                lane: carillon_domain::Lane::Normal,
                channels: Vec::new(),
                waits: Waits::default(),
            })
            .collect()
    }

    fn answer(status: u16, body: Value) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body,
        }
    }

    #[test]
    fn a_batch_is_accepted_when_every_item_is() {
        let accepted = json!({"items": [{"status": "accepted"}, {"status": "duplicate"}]});
        assert!(matches!(batch(&events(2), &answer(202, accepted)), Try::Accepted));
        let in_progress =
            json!({"items": [{"status": "accepted"}, {"status": "rejected", "problem": {"status": 409}}]});
        assert!(matches!(
            batch(&events(2), &answer(202, in_progress)),
            Try::Again(Some(_))
        ));
        let wrong =
            json!({"items": [{"status": "rejected", "problem": {"status": 422}}, {"status": "accepted"}]});
        assert!(
            matches!(batch(&events(2), &answer(202, wrong)), Try::Refused(refused) if refused[0].0 == "e0")
        );
        assert!(matches!(
            batch(&events(2), &answer(503, json!({}))),
            Try::Again(None)
        ));
    }

    #[test]
    fn a_single_post_is_repeated_only_if_that_may_help() {
        let event = &events(1)[0];
        assert!(matches!(single(event, &answer(200, Value::Null)), Try::Accepted));
        assert!(matches!(single(event, &answer(409, Value::Null)), Try::Again(_)));
        assert!(matches!(
            single(event, &answer(422, Value::Null)),
            Try::Refused(_)
        ));
    }
}
