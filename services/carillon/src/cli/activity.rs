//! The arguments of `carillon activity`.

use clap::Args;

use super::Remote;

/// A search for events. An event has to match all given filters.
#[derive(Debug, Args)]
pub(crate) struct ActivityArgs {
    /// An exact id, address or code: of an event, delivery, user, message or failure.
    pub(crate) text: Option<String>,
    /// Only events that concern this user.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Only events that concern this exact e-mail address, phone number (E.164) or device token.
    #[arg(long)]
    pub(crate) address: Option<String>,
    /// Only the event of this id.
    #[arg(long)]
    pub(crate) event: Option<String>,
    /// Only events of this type.
    #[arg(long = "type")]
    pub(crate) event_type: Option<String>,
    /// Only events with this outcome: `not_sent`, `send`, `suppress`, `defer`, `digest`, `drop` or `duplicate`.
    #[arg(long)]
    pub(crate) outcome: Option<String>,
    /// Only events with this reason, such as `no_address`.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Only events with a delivery that has this error code.
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// Only the event whose message has this id at its provider.
    #[arg(long, value_name = "ID")]
    pub(crate) provider_message_id: Option<String>,
    /// Only events decided at this time or later.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Only events decided before this time.
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// The most rows, up to 100.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) limit: u16,
    #[command(flatten)]
    pub(crate) remote: Remote,
}
