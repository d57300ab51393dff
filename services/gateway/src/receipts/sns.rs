//! The calls of Amazon SNS: its certificates, which are fetched once a day, and the confirmation of a subscription. Both URLs are on
//! SNS's own host, which `carillon_providers::SnsReceipts` checks.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use axum::body::Bytes;
use carillon_domain::{Timestamp, clock::later};
use carillon_providers::{Callback, NotGenuine, Receipt, SnsContent, SnsReceipts};
use carillon_runtime::http::{ClientOptions, Problem, ProblemKind, client};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use reqwest::Url;

use super::{ReceiptAccount, refuse, unreadable};
use crate::error::ApiError;

/// The largest certificate in bytes; SNS's have about 2,000.
const LARGEST: usize = 16 << 10;
/// The time for which a certificate is kept.
const KEPT: Duration = Duration::from_hours(24);
/// The most certificates that are kept. SNS has one for each region, and changes it now and then.
const MOST: usize = 16;
/// The longest time of a fetch.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most fetches in a second.
const FETCHES: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// `Retry-After` when SNS's host did not answer.
const SOON: Duration = Duration::from_secs(5);

/// The calls about an account's topic, with the connection to SNS's host and the certificates from it.
pub(crate) struct Sns {
    receipts: Box<SnsReceipts>,
    http: reqwest::Client,
    kept: Mutex<HashMap<Url, (Bytes, Timestamp)>>,
    fetches: DefaultDirectRateLimiter,
}

impl Sns {
    pub(super) fn new(receipts: Box<SnsReceipts>) -> Result<Self, reqwest::Error> {
        let options = ClientOptions {
            request_timeout: PATIENCE,
            ..ClientOptions::default()
        };
        Ok(Self {
            receipts,
            http: client(&options)?,
            kept: Mutex::default(),
            fetches: RateLimiter::direct(Quota::per_second(FETCHES)),
        })
    }

    /// Checks the headers of a call.
    pub(crate) fn check_head(&self, head: &Callback<'_>) -> Result<(), NotGenuine> {
        self.receipts.check_head(head)
    }

    /// Verifies a call and returns its receipts. If the call asks to confirm a subscription, this confirms it and
    /// returns no receipts.
    pub(crate) async fn receive(
        &self,
        account: &ReceiptAccount,
        call: &Callback<'_>,
        now: Timestamp,
    ) -> Result<Vec<Receipt>, ApiError> {
        let refused = |error: NotGenuine| refuse(&account.name, error);
        let opened = self.receipts.open(call).map_err(refused)?;
        let url = opened.certificate_url();
        let certificate = self.certificate(url, now).await?;
        let verified = opened.verify(&certificate, now);
        // An answer that is not a certificate is not kept, so that the next call fetches again.
        if verified != Err(NotGenuine::BadCertificate) {
            self.keep(url, certificate, now);
        }
        verified.map_err(refused)?;
        match opened.content().map_err(|error| unreadable(account, &error.0))? {
            SnsContent::Receipts(receipts) => Ok(receipts),
            SnsContent::Confirm(url) => {
                self.get(&url).await?;
                tracing::info!(account = %account.name, "the subscription of receipts is confirmed");
                Ok(Vec::new())
            }
            SnsContent::Unsubscribed => {
                tracing::warn!(account = %account.name, "the subscription of receipts has ended; no more receipts will come");
                Ok(Vec::new())
            }
        }
    }

    async fn certificate(&self, url: &Url, now: Timestamp) -> Result<Bytes, ApiError> {
        let kept = self
            .kept
            .lock()
            .get(url)
            .filter(|(_, until)| now < *until)
            .cloned();
        if let Some((certificate, _)) = kept {
            return Ok(certificate);
        }
        self.get(url).await
    }

    fn keep(&self, url: &Url, certificate: Bytes, now: Timestamp) {
        let mut kept = self.kept.lock();
        if kept.get(url).is_some_and(|(_, until)| now < *until) {
            return;
        }
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(url.clone(), (certificate, later(now, KEPT)));
    }

    /// The answer to a GET, of at most [`LARGEST`] bytes. The rate is bounded, because calls that are not genuine can
    /// also cause such a GET.
    async fn get(&self, url: &Url) -> Result<Bytes, ApiError> {
        if self.fetches.check().is_err() {
            let text = "SNS's host was asked too often within a second; repeat the call";
            return Err(unavailable(text));
        }
        let answer = self.http.get(url.clone()).send().await;
        let mut answer = answer
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| away(&error))?;
        if !answer.status().is_success() {
            return Err(unavailable(
                "SNS's host did not answer as expected; repeat the call",
            ));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| away(&error))? {
            if bytes.len() + piece.len() > LARGEST {
                let text = format!("expected an answer of at most {LARGEST} bytes from SNS's host");
                return Err(unavailable(&text));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.into())
    }
}

/// The answer while SNS's host cannot be reached.
fn away(error: &reqwest::Error) -> ApiError {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "SNS's host did not answer with a certificate or a confirmation"
    );
    unavailable("SNS's host did not answer as expected; repeat the call")
}

/// A 503 with `Retry-After`, after which SNS repeats the call.
fn unavailable(text: &str) -> ApiError {
    Problem::new(ProblemKind::Unavailable, text)
        .with_retry_after(SOON)
        .into()
}
