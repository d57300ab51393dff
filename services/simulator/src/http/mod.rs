//! The HTTP side: the providers, the API and the page.

mod api;
pub(crate) mod connection;
mod page;
pub(crate) mod problem;
mod script;
pub(crate) mod send;

use axum::Router;
use axum::response::IntoResponse as _;
use tokio::net::TcpListener;

use self::connection::{Connection, ResettableListener};
use self::problem::Problem;
use crate::SimulatorError;
use crate::context::{Context, DRAIN};
use crate::fcm::{self, Tokens};
use crate::sendgrid;
use crate::ses;
use crate::twilio::{self, Account};
use crate::webhook;

/// The accounts that the providers know.
pub(crate) struct Accounts {
    /// FCM's access tokens.
    pub(crate) tokens: Tokens,
    /// Twilio's account.
    pub(crate) twilio: Account,
    /// SendGrid's API key.
    pub(crate) sendgrid: String,
    /// The access key of SES.
    pub(crate) ses: ses::Account,
    /// The key of the endpoints.
    pub(crate) webhooks: webhook::Key,
}

pub(crate) fn router(context: &Context, accounts: Accounts, operations: Router) -> Router {
    operations
        .merge(fcm::routes(context.clone(), accounts.tokens))
        .merge(twilio::routes(context.clone(), accounts.twilio))
        .merge(sendgrid::routes(context.clone(), accounts.sendgrid))
        .merge(ses::routes(context.clone(), accounts.ses))
        .merge(webhook::routes(context.clone(), accounts.webhooks))
        .merge(api::routes(context.clone()))
        .merge(page::routes(context.clone()))
        .fallback(|| async { Problem::NotFound.into_response() })
}

/// Serves until the shutdown, then gives requests in progress [`DRAIN`] to end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    context: Context,
) -> Result<(), SimulatorError> {
    let stop = context.shutdown.clone();
    let server = axum::serve(
        ResettableListener(listener),
        router
            .layer(axum::middleware::from_fn(connection::at_work))
            .into_make_service_with_connect_info::<Connection>(),
    )
    .with_graceful_shutdown(async move { stop.cancelled().await });
    let deadline = async {
        context.shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = server => result.map_err(SimulatorError::Serve),
        () = deadline => {
            tracing::warn!("HTTP requests were still in progress at the end of the simulator");
            Ok(())
        }
    }
}
