//! Clients of the gateway and the simulator.

use std::time::Duration;

use anyhow::Context as _;
use carillon_runtime::http::{ClientOptions, client};
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The request timeout of the run's clients.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// The number of items of a page.
const PAGE: usize = 500;

/// The addresses of gateway and simulator, and an API key.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    url: String,
    simulator: String,
    key: String,
}

/// A response with any status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn new(url: &str, simulator: &str, key: &str) -> anyhow::Result<Self> {
        let options = ClientOptions {
            request_timeout: REQUEST_TIMEOUT,
            ..ClientOptions::default()
        };
        Ok(Self {
            http: client(&options)?,
            url: url.to_owned(),
            simulator: simulator.to_owned(),
            key: key.to_owned(),
        })
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    fn at_gateway(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(&self.key)
    }

    /// `POST /v1/events`, once.
    pub(crate) async fn post(&self, body: &Value) -> reqwest::Result<Answer> {
        let request = self.http.post(format!("{}/v1/events", self.url)).json(body);
        let answer = self.at_gateway(request).send().await?;
        Ok(Answer {
            status: answer.status(),
            body: answer.json().await?,
        })
    }

    /// Posts a document; a status other than 2xx is an error.
    pub(crate) async fn send(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        let answer = self.at_gateway(request).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "POST {path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// `POST /v1/events/{id}/cancel`, once.
    pub(crate) async fn cancel(&self, id: &str) -> reqwest::Result<Answer> {
        let request = self.http.post(format!("{}/v1/events/{id}/cancel", self.url));
        let answer = self.at_gateway(request).send().await?;
        Ok(Answer {
            status: answer.status(),
            body: answer.json().await?,
        })
    }

    /// Puts a document; a status other than 2xx is an error.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let request = self.http.put(format!("{}{path}", self.url)).json(body);
        let answer = self.at_gateway(request).send().await?;
        let status = answer.status();
        anyhow::ensure!(
            status.is_success(),
            "PUT {path}: {status} {}",
            answer.text().await?
        );
        Ok(())
    }

    /// Gets a document from the gateway.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let request = self.http.get(format!("{}{path}", self.url));
        read(self.at_gateway(request), path).await
    }

    /// Gets a document from the simulator.
    pub(crate) async fn simulated<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        read(self.http.get(format!("{}{path}", self.simulator)), path).await
    }

    /// All items of a list of the gateway, newest first.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        pages(path, async |page: String| self.get(&page).await).await
    }

    /// All items of a list of the simulator.
    pub(crate) async fn simulated_list<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        pages(path, async |page: String| self.simulated(&page).await).await
    }

    /// Puts a fault script in force.
    pub(crate) async fn put_faults(&self, seed: u64, script: &Value) -> anyhow::Result<()> {
        let url = format!("{}/v1/faults?seed={seed}", self.simulator);
        let answer = self.http.put(url).json(script).send().await?;
        let status = answer.status();
        anyhow::ensure!(
            status.is_success(),
            "PUT /v1/faults: {status} {}",
            answer.text().await?
        );
        Ok(())
    }

    /// Removes all provider faults.
    pub(crate) async fn clear_faults(&self) -> anyhow::Result<()> {
        let answer = self
            .http
            .delete(format!("{}/v1/faults", self.simulator))
            .send()
            .await?;
        answer.error_for_status()?;
        Ok(())
    }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder, path: &str) -> anyhow::Result<T> {
    let answer = request.send().await.with_context(|| format!("GET {path}"))?;
    let status = answer.status();
    let body = answer.bytes().await.with_context(|| format!("GET {path}"))?;
    anyhow::ensure!(
        status.is_success(),
        "GET {path}: {status} {}",
        String::from_utf8_lossy(&body)
    );
    serde_json::from_slice(&body).with_context(|| format!("GET {path}"))
}

async fn pages<T: DeserializeOwned>(
    path: &str,
    get: impl AsyncFn(String) -> anyhow::Result<Value>,
) -> anyhow::Result<Vec<T>> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut page = format!("{path}?limit={PAGE}");
        if let Some(cursor) = &cursor {
            page.push_str("&cursor=");
            page.push_str(cursor);
        }
        let mut document = get(page).await?;
        let items: Vec<T> =
            serde_json::from_value(document["items"].take()).with_context(|| path.to_owned())?;
        all.extend(items);
        match document["next_cursor"].take() {
            Value::String(next) => cursor = Some(next),
            _ => return Ok(all),
        }
    }
}
