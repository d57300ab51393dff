//! The reason and the end of a wait, for deliveries that no worker can send at present.

use carillon_domain::{Channel, DeliveryStatus, Timestamp};
use carillon_store::{channel_holds::ChannelHold, read_model::DeliveryView};

use crate::{error::ApiError, state::GatewayState};

/// The reason of a queued delivery while no account of its channel is open.
const NO_OPEN_ACCOUNT: &str = "no_open_account";

/// The holds of all channels; empty if none of the deliveries waits for a worker.
pub(crate) async fn holds(
    state: &GatewayState,
    deliveries: &[DeliveryView],
) -> Result<Vec<ChannelHold>, ApiError> {
    let waits = |delivery: &DeliveryView| {
        matches!(delivery.status, DeliveryStatus::Queued | DeliveryStatus::Retrying)
    };
    if deliveries.iter().any(waits) {
        Ok(state.store.channel_holds().all().await?)
    } else {
        Ok(Vec::new())
    }
}

/// Gives each waiting delivery the end of its wait, and a queued one the reason.
pub(crate) async fn explain(state: &GatewayState, deliveries: &mut [DeliveryView]) -> Result<(), ApiError> {
    let holds = holds(state, deliveries).await?;
    let now = state.clock.now();
    for delivery in deliveries {
        explain_one(delivery, &holds, now);
    }
    Ok(())
}

/// Gives a waiting delivery the time of its next attempt, in place of the time that is set for it. A queued one gets the reason and the
/// end of its wait, in place of the reason for which it was queued.
pub(crate) fn explain_one(delivery: &mut DeliveryView, holds: &[ChannelHold], now: Timestamp) {
    delivery.next_attempt_at = next_attempt(delivery, holds, now);
    if delivery.status != DeliveryStatus::Queued {
        return;
    }
    if let Some(hold) = of(holds, delivery.channel) {
        delivery.reason = Some(NO_OPEN_ACCOUNT.to_owned());
        delivery.detail = Some(match ends_at(hold, now) {
            Some(end) => format!(
                "{} until {}",
                hold.cause,
                end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            ),
            None => format!("{}; one message goes first", hold.cause),
        });
    }
}

/// The time of a waiting delivery's next attempt. It is not before the channel's accounts open again, and is never in the past.
fn next_attempt(delivery: &DeliveryView, holds: &[ChannelHold], now: Timestamp) -> Option<Timestamp> {
    let due = delivery.next_attempt_at;
    let opens = of(holds, delivery.channel).and_then(|hold| ends_at(hold, now));
    match delivery.status {
        DeliveryStatus::Queued => opens,
        DeliveryStatus::Retrying => due.max(opens).filter(|next| *next > now),
        _ => None,
    }
}

/// The hold of the process that waits longest.
fn of(holds: &[ChannelHold], channel: Channel) -> Option<&ChannelHold> {
    let of_channel = holds.iter().filter(|hold| hold.channel == channel);
    of_channel.max_by_key(|hold| hold.ends_at)
}

fn ends_at(hold: &ChannelHold, now: Timestamp) -> Option<Timestamp> {
    hold.ends_at.filter(|end| *end > now)
}
