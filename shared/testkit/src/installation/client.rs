//! A client of an installation's API and of its simulator.

use std::time::Duration;

use serde_json::Value;

use super::Installation;
use crate::wait_for;

impl Installation {
    /// Posts an event or a batch; returns status and body.
    pub async fn post(&self, event: &Value) -> (u16, Value) {
        let answer = self.posting(event).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// Posts an event within the caller's trace; returns the status.
    pub async fn post_traced(&self, event: &Value, traceparent: &str) -> u16 {
        let request = self.posting(event).header("traceparent", traceparent);
        request.send().await.expect("an answer").status().as_u16()
    }

    /// Posts an event until it is accepted, as a client with retries does.
    pub async fn post_until_accepted(&self, event: &Value) {
        wait_for("an accepted post", Duration::from_secs(40), || async {
            let answer = self.posting(event).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    fn posting(&self, event: &Value) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}/v1/events", self.url))
            .bearer_auth(&self.key)
            .json(event)
    }

    /// Posts a form to a page, as a mail client or a browser does; returns the status.
    pub async fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> u16 {
        let request = self.http.post(url).form(fields);
        request.send().await.expect("an answer").status().as_u16()
    }

    /// Puts a document; returns the status.
    pub async fn put(&self, path: &str, body: &Value) -> u16 {
        let url = format!("{}{path}", self.url);
        let request = self.http.put(url).bearer_auth(&self.key).json(body);
        request.send().await.expect("an answer").status().as_u16()
    }

    /// Gets a document.
    pub async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.expect("an answer")
    }

    /// Gets a document, if the gateway answers.
    pub async fn try_get(&self, path: &str) -> Result<Value, reqwest::Error> {
        let request = self
            .http
            .get(format!("{}{path}", self.url))
            .bearer_auth(&self.key);
        request.send().await?.json().await
    }

    /// The messages that the simulator has received.
    pub async fn messages(&self, query: &str) -> Vec<Value> {
        let list = self
            .simulator_get(&format!("/v1/messages?limit=500&{query}"))
            .await;
        list["items"].as_array().expect("a list").clone()
    }

    /// Gets a document of the simulator.
    pub async fn simulator_get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.simulator));
        let answer = request.send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// Sends a text message from a recipient to a sender of the simulator's Twilio.
    pub async fn reply(&self, reply: &Value) {
        let url = format!("{}/v1/replies", self.simulator);
        let answer = self.http.post(url).json(reply).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 202);
    }

    /// Puts a fault script into force in the simulator.
    pub async fn faults(&self, faults: &Value) {
        let request = self
            .http
            .put(format!("{}/v1/faults", self.simulator))
            .json(faults);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        assert!(status.is_success(), "{}", answer.text().await.unwrap_or_default());
    }

    /// Waits until all deliveries have ended and the auditor's counts balance; fails after `limit`.
    pub async fn settle_within(&self, acknowledged: u64, limit: Duration) {
        let mut last = Value::Null;
        let settled = tokio::time::timeout(limit, async {
            loop {
                last = self.try_get("/v1/stats").await.unwrap_or_default();
                let zero = |key: &str| last[key] == 0;
                if last["acknowledged"].as_u64() >= Some(acknowledged)
                    && zero("pending")
                    && zero("waiting")
                    && zero("events_difference")
                    && zero("deliveries_difference")
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(settled.await.is_ok(), "not settled: {last}\n{}", self.logs());
    }

    /// Calls [`Installation::settle_within`] with a minute and a half.
    pub async fn settle(&self, acknowledged: u64) {
        self.settle_within(acknowledged, Duration::from_secs(90)).await;
    }
}
