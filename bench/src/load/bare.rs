//! The bare machine: a loop of requests without Carillon.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::{task::JoinSet, time::Instant};

/// The destination and content of requests.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) client: reqwest::Client,
    pub(crate) url: String,
    pub(crate) bearer: String,
    /// The body of a request, by its number.
    pub(crate) body: Arc<dyn Fn(usize) -> Bytes + Send + Sync>,
}

impl Target {
    pub(crate) async fn send(&self, number: usize) -> reqwest::Result<u16> {
        let request = self
            .client
            .post(&self.url)
            .bearer_auth(&self.bearer)
            .header("content-type", "application/json")
            .body((self.body)(number));
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        answer.bytes().await?;
        Ok(status)
    }
}

/// Sends `count` requests, `in_flight` at a time; returns the seconds from the first request to the last answer.
///
/// Fails at any status but 2xx: a rate of errors is not a result.
pub(crate) async fn closed_loop(target: &Target, count: usize, in_flight: usize) -> anyhow::Result<f64> {
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let (target, next) = (target.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                let status = target.send(number).await?;
                anyhow::ensure!((200..300).contains(&status), "{} answered {status}", target.url);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(started.elapsed().as_secs_f64())
}
