//! `POST /v1/receipts/{account}`.

use axum::{
    body::Body,
    extract::{OriginalUri, State},
    http::{HeaderMap, StatusCode},
};
use carillon_domain::field_error::quoted;
use carillon_providers::Callback;
use carillon_runtime::http::{Path, Problem};

use crate::{
    error::ApiError,
    receipts::{ReceiptAccount, Source, no_account, record, refuse, unreadable},
    state::GatewayState,
};

/// Report the fate of messages. Providers call this route; it needs no API key.
///
/// The call has to be signed by the provider of the account, as `docs/receipts.md` describes: without a valid signature the
/// answer is 401. A call whose headers lack the signature is answered before its body is read. The answer is 204 once all
/// receipts of the call are recorded, and 503 if they cannot be recorded now, so that the provider repeats the call; a repeated
/// receipt has no further effect. A receipt of a message that this installation did not send, or sent more than 90 days ago, is
/// counted and answered 204 as well, because no repeat would change it. Twilio's call about a START of a recipient lifts the opt-out
/// that the account has reported.
#[utoipa::path(
    post, path = "/v1/receipts/{account}", tag = "deliveries", security(()),
    params(("account" = String, Path, description = "The name of a provider account in the configuration")),
    request_body(description = "In the provider's form", content(
        (String = "application/x-www-form-urlencoded"), (serde_json::Value = "application/json"), (String = "text/plain")
    )),
    responses((status = 204, description = "Recorded"),
        (status = 401, description = "Not signed by the account's provider", body = Problem),
        (status = 404, description = "No account of this name takes receipts", body = Problem),
        (status = 422, description = "Signed, but not in the provider's form", body = Problem))
)]
pub(crate) async fn post_receipts(
    State(state): State<GatewayState>,
    Path(name): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let account = account(&state, &name)?;
    let head = Callback {
        query: uri.query(),
        headers: &headers,
        body: &[],
    };
    account
        .check_head(&head, state.clock.now())
        .map_err(|error| refuse(&account.name, error))?;
    let body = account.read(body).await?;
    let _place = account.admit()?;
    let call = Callback {
        body: &body.bytes,
        ..head
    };
    let now = state.clock.now();
    let receipts = match &account.source {
        Source::None(_) => Vec::new(),
        Source::Signed(signed) => {
            let genuine = signed.verify(&call, now);
            genuine.map_err(|error| refuse(&account.name, error))?;
            signed
                .read(&call)
                .map_err(|error| unreadable(account, &error.0))?
        }
        Source::Sns(sns) => sns.receive(account, &call, now).await?,
    };
    record(&state, account, receipts).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The account of a name, if it takes receipts.
fn account<'a>(state: &'a GatewayState, name: &str) -> Result<&'a ReceiptAccount, ApiError> {
    let account = state.0.deps.receipts.get(name);
    let account =
        account.ok_or_else(|| no_account(format!("there is no provider account {}", quoted(name))))?;
    match account.source {
        Source::None(None) => {
            let text = format!("the provider of the account {name} sends no receipts");
            Err(no_account(text))
        }
        Source::None(Some(setting)) => {
            let text = format!(
                "the account {name} takes no receipts, because providers.{name}.{setting} is not set"
            );
            Err(no_account(text))
        }
        Source::Signed(_) | Source::Sns(_) => Ok(account),
    }
}
