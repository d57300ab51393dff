//! `POST /v1/suppressions/import`.

mod csv;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::header,
};
use carillon_domain::{FieldError, event::MediaType, field_error::quoted};
use carillon_runtime::{
    http::{NoConditions, Problem, ProblemKind, broken_off},
    text_pieces::TextPieces,
};
use futures::StreamExt as _;
use serde::Serialize;
use utoipa::ToSchema;

use self::csv::{Line, Lines, Refusal};
use crate::{auth::Operator, error::ApiError, input::NoQuery, state::GatewayState};

/// The largest body in bytes.
const MAX_BODY: usize = 8 << 20;
/// The lines that one transaction adds.
const STEP: usize = 500;
/// The most refused lines that the answer lists.
const MAX_LISTED: usize = 100;

/// The outcome of an import.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ImportAnswer {
    /// Lines with an entry; the heading and empty lines are not counted.
    read: u64,
    /// Lines whose address is on the list now and was not before, or was there for a weaker reason.
    added: u64,
    /// Lines whose address is on the list already, or in an earlier line.
    present: u64,
    /// Lines that are wrong; they were left out.
    refused: u64,
    /// The first 100 errors, in the order of the lines.
    #[schema(value_type = Vec<RefusedLine>)]
    errors: Vec<Refusal>,
}

/// An error in a line of the file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct RefusedLine {
    /// The line's number in the file, from 1.
    #[schema(minimum = 1)]
    line: u64,
    /// The column: `channel`, `address`, `reason`, `expires_at`, `note`; empty if the line as a whole is wrong.
    field: String,
    /// A stable word.
    code: String,
    /// The expected value and the given one; an address is masked.
    message: String,
}

/// Add a file of addresses to the suppression list.
///
/// The body is CSV (RFC 4180; UTF-8, or UTF-16 with a byte order mark) of at most 8 MiB with the columns `channel,address[,reason][,expires_at][,note]`: in
/// this order, or in the order of a heading. Without a reason the entry has the reason `import`. Wrong lines are left out
/// and listed; the others are added, each address once. An address that is on the list stays as it is, unless the
/// file's reason is stronger; it then keeps its note if the line has none. If the body breaks off, lines before may be on the list: send the file again.
#[utoipa::path(
    post, path = "/v1/suppressions/import", tag = "suppressions",
    request_body(content = String, content_type = "text/csv", example = "channel,address,reason\nemail,ada@example.com,complaint\n"),
    responses((status = 200, description = "Numbers of added, present and refused lines", body = ImportAnswer),
        (status = 422, description = "The body has no line with an address, or its first line is neither a heading nor an entry", body = Problem))
)]
pub(crate) async fn import_suppressions(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
    request: Request,
) -> Result<Json<ImportAnswer>, ApiError> {
    csv_named(&request)?;
    let import = Import {
        state: &state,
        caller: &caller,
        answer: ImportAnswer::default(),
        waiting: Vec::new(),
    };
    import.run(request.into_body()).await.map(Json)
}

/// Refuses a body that its request declares to be something else than CSV.
fn csv_named(request: &Request) -> Result<(), ApiError> {
    let Some(named) = request.headers().get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let named = String::from_utf8_lossy(named.as_bytes());
    if matches!(MediaType::parse(&named).essence(), "text/csv" | "application/csv") {
        return Ok(());
    }
    let text = format!(
        "the header content-type: expected text/csv, not {}",
        quoted(&named)
    );
    Err(ApiError::new(ProblemKind::UnsupportedMediaType, text))
}

struct Import<'a> {
    state: &'a GatewayState,
    caller: &'a Operator,
    answer: ImportAnswer,
    /// Lines that the next transaction adds.
    waiting: Vec<carillon_store::suppressions::Imported>,
}

impl Import<'_> {
    /// Reads the body piece by piece; no more of it is in memory than a piece and the lines of one transaction.
    async fn run(mut self, body: Body) -> Result<ImportAnswer, ApiError> {
        let too_large = || {
            let text = format!("expected a body of at most {MAX_BODY} bytes; send the file in parts");
            ApiError::new(ProblemKind::TooLarge, text)
        };
        if http_body::Body::size_hint(&body).lower() > MAX_BODY as u64 {
            return Err(too_large());
        }
        let mut lines = Lines::new(self.state.clock.now());
        let (mut decoded, mut text) = (TextPieces::default(), Vec::new());
        let (mut size, mut is_noted) = (0, false);
        let mut pieces = body.into_data_stream();
        loop {
            let piece = pieces
                .next()
                .await
                .transpose()
                .map_err(|error| ApiError(broken_off(&error)))?;
            let is_end = piece.is_none();
            let piece = piece.unwrap_or_default();
            size += piece.len();
            if size > MAX_BODY {
                return Err(too_large());
            }
            text.clear();
            decoded
                .push(&piece, is_end, &mut text)
                .map_err(|why| ApiError::fields(vec![FieldError::new("", "encoding", why.to_string())]))?;
            let mut rest = &text[..];
            while let Some(line) = lines
                .next(&mut rest, is_end)
                .map_err(|error| ApiError::fields(vec![error]))?
            {
                self.answer.read += 1;
                match line {
                    Line::Entry(entry) => self.waiting.push(entry),
                    Line::Refused(refusals) => self.refuse(refusals),
                }
                if self.waiting.len() == STEP {
                    self.add(&mut is_noted).await?;
                }
            }
            if is_end {
                break;
            }
        }
        if self.answer.read == 0 {
            let text = if size == 0 {
                "expected CSV with at least one line as the body, not an empty body"
            } else {
                "expected at least one line with an address, beside the heading"
            };
            return Err(ApiError::fields(vec![FieldError::new("", "required", text)]));
        }
        self.add(&mut is_noted).await?;
        Ok(self.answer)
    }

    fn refuse(&mut self, refusals: Vec<Refusal>) {
        self.answer.refused += 1;
        let room = MAX_LISTED.saturating_sub(self.answer.errors.len());
        self.answer.errors.extend(refusals.into_iter().take(room));
    }

    /// Adds the lines that wait. The audit log is written before the first of them.
    async fn add(&mut self, is_noted: &mut bool) -> Result<(), ApiError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let suppressions = self.state.store.suppressions();
        if !std::mem::replace(is_noted, true) {
            suppressions.begin_import(&self.caller.0).await?;
        }
        let added = suppressions.import(&self.caller.0, &self.waiting).await?;
        self.answer.added += added;
        self.answer.present += self.waiting.len() as u64 - added;
        self.waiting.clear();
        Ok(())
    }
}
