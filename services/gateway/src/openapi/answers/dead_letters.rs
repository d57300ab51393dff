//! Schemas of answers about dead letters and the jobs that work them off.
#![expect(dead_code, reason = "only their schemas are used")]

use chrono::{DateTime, Utc};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    letters::{Hidden, JobDocument, PlanDocument},
    openapi::schemas::{ChannelName, DeadLetterStateName, FailureClassName, QueueName},
};

/// A page of dead letters, newest first.
#[derive(ToSchema)]
pub(crate) struct DeadLetterPage {
    items: Vec<DeadLetterDocument>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A record that was given up, with its reason.
#[derive(ToSchema)]
pub(crate) struct DeadLetterDocument {
    id: Uuid,
    /// The topic that the record came from.
    source_topic: String,
    /// The channel whose queue it is in; null for the queue of events.
    #[schema(required)]
    channel: Option<ChannelName>,
    class: FailureClassName,
    /// The provider account, if one was asked.
    #[schema(required)]
    provider: Option<String>,
    /// The structured code.
    code: String,
    /// The same for all letters with the same cause.
    fingerprint: String,
    /// The reason as a sentence.
    reason: String,
    /// The number of attempts.
    attempts: u32,
    first_failed_at: DateTime<Utc>,
    /// When it was put into the queue.
    dead_at: DateTime<Utc>,
    state: DeadLetterStateName,
    /// The delivery, if the record is one.
    #[schema(required)]
    delivery_id: Option<Uuid>,
    /// The event's type, if the record says one.
    #[schema(required)]
    r#type: Option<String>,
    /// The verdict; null if the letter is open.
    #[schema(required)]
    verdict: Option<VerdictDocument>,
    /// The partition that the record came from; null if the record does not say it.
    #[schema(required)]
    source_partition: Option<i32>,
    /// The offset that the record came from; null if the record does not say it.
    #[schema(required)]
    source_offset: Option<i64>,
    /// The time of the record at that place; null if the record does not say it.
    #[schema(required)]
    source_timestamp: Option<DateTime<Utc>>,
    /// The record's headers, in order: pairs of name and value; null for viewers.
    #[schema(required)]
    headers: Option<Vec<Vec<String>>>,
    /// The record's bytes, base64; null if they are not shown.
    #[schema(required)]
    value_base64: Option<String>,
    /// The reason for which the record is hidden or masked; null if it is shown unchanged.
    #[schema(required)]
    hidden: Option<String>,
}

/// The verdict about a dead letter.
#[derive(ToSchema)]
pub(crate) struct VerdictDocument {
    verdict: VerdictName,
    at: DateTime<Utc>,
    /// The name of the API key that asked for it.
    by: String,
    job_id: Uuid,
    /// The job's note.
    #[schema(required)]
    note: Option<String>,
    /// Whether its record was put back with an edit.
    edited: bool,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum VerdictName {
    Replayed,
    Discarded,
}

/// A page of jobs, newest first.
#[derive(ToSchema)]
pub(crate) struct JobPage {
    items: Vec<JobDocument>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The causes of dead letters.
#[derive(ToSchema)]
pub(crate) struct DeadLetterGroups {
    items: Vec<DeadLetterGroup>,
    /// Always null: all causes are on one page.
    #[schema(required)]
    next_cursor: Option<String>,
    hidden: Hidden,
}

/// Dead letters with the same cause, and how people handle it.
#[derive(ToSchema)]
pub(crate) struct DeadLetterGroup {
    fingerprint: String,
    queue: QueueName,
    class: FailureClassName,
    /// The provider account.
    #[schema(required)]
    provider: Option<String>,
    /// The structured code.
    code: String,
    /// The number of open letters.
    open: u64,
    /// The number of those that died again since their last replay.
    again: u64,
    /// The number of all letters.
    total: u64,
    /// The number of letters that died within the last hour.
    last_hour: u64,
    /// The number of letters that died within the last 24 hours.
    last_day: u64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    /// The id of the last letter.
    sample_id: Uuid,
    /// The reason of that letter.
    sample_reason: String,
    /// The event's type of that letter, if its record says one.
    #[schema(required)]
    sample_type: Option<String>,
    /// A note for people, with addresses masked.
    #[schema(required)]
    note: Option<String>,
    /// The person or team that works on it, with addresses masked.
    #[schema(required)]
    owner: Option<String>,
    /// Whether it is ignored: it raises no alert, and lists leave it out unless they are asked for it.
    ignored: bool,
    /// Since when it is ignored; null if it is not.
    #[schema(required)]
    ignored_at: Option<DateTime<Utc>>,
    /// The name of the API key that ignored it.
    #[schema(required)]
    ignored_by: Option<String>,
    /// The latest planned replay; null if there was none.
    #[schema(required)]
    planned_replay: Option<PlanDocument>,
}
