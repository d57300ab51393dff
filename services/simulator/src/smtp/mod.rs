//! An SMTP server (RFC 5321) with AUTH, PIPELINING, 8BITMIME, SMTPUTF8 and SIZE. It has no TLS, because it listens on
//! trusted networks only.
//!
//! A receiver whose local part starts with a word of [`mailbox_fate`](reply::mailbox_fate), such as `blocked`, is
//! refused with that word's reply. Faults happen at the step that the script names, by default at the final dot of a
//! message. Violations of the RFCs are refused as strict servers refuse them ([`rules`]).

mod auth;
mod fault;
mod reply;
mod rules;
mod session;

use std::sync::Arc;

use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::context::{Context, DRAIN};

/// The most sessions at the same time; further clients wait in the listener's queue.
const MAX_SESSIONS: usize = 4_096;

/// State that all sessions share.
pub(crate) struct Smtp {
    pub(crate) context: Context,
    /// Name and password that are required for mail, if any.
    pub(crate) user: Option<(String, String)>,
    /// Whether SMTPUTF8 is offered.
    pub(crate) offers_utf8: bool,
}

/// Serves until the shutdown, then gives each session [`DRAIN`] to end.
pub(crate) async fn serve(mut listener: TcpListener, smtp: Smtp) {
    let smtp = Arc::new(smtp);
    let sessions = TaskTracker::new();
    let places = Arc::new(Semaphore::new(MAX_SESSIONS));
    let shutdown = smtp.context.shutdown.clone();
    loop {
        let client = async {
            let place = Arc::clone(&places).acquire_owned().await;
            // As on the HTTP side, a lack of file descriptors is waited out.
            let (stream, _) = Listener::accept(&mut listener).await;
            (stream, place)
        };
        let (stream, place) = tokio::select! {
            client = client => client,
            () = shutdown.cancelled() => break,
        };
        let smtp = Arc::clone(&smtp);
        sessions.spawn(async move {
            if let Err(error) = session::run(stream, smtp).await {
                tracing::debug!(error = %error, "an SMTP session broke");
            }
            drop(place);
        });
    }
    sessions.close();
    if tokio::time::timeout(DRAIN, sessions.wait()).await.is_err() {
        tracing::warn!("SMTP sessions were still open at the end of the simulator");
    }
}
