//! Fallbacks that wait: a message on a later channel of a fallback order that is sent unless one on an earlier channel
//! has reached the recipient by then. The known states of the earlier deliveries decide.

use std::{collections::HashMap, time::Duration};

use crate::{channel::Channel, delivery_state::DeliveryStatus, ids::DeliveryId};

/// The shortest wait of a channel.
pub const MIN_WAIT: Duration = Duration::from_secs(1);
/// The longest wait of a channel. Releases are remembered for this time.
pub const MAX_WAIT: Duration = Duration::from_hours(7 * 24);

/// The state of a message on an earlier channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// It has reached the recipient: it was delivered, opened, clicked or acknowledged, or the recipient complained about it.
    Reached(DeliveryStatus),
    /// It has failed for good.
    Failed,
    /// Neither is known: it waits, is being sent, was sent without a receipt so far, or was cancelled.
    Open,
}

/// A delivery on an earlier channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierDelivery {
    /// Its channel.
    pub channel: Channel,
    /// The state of its message.
    pub state: Earlier,
}

/// Deliveries on earlier channels, as far as they are known.
pub type EarlierDeliveries = HashMap<DeliveryId, EarlierDelivery>;

/// The joint state of the deliveries on earlier channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `Reached` if one of them has reached the recipient, `Failed` if all of them have failed, else `Open`.
    pub state: Earlier,
    /// The channel of the one that has reached the recipient; else the channels of those that are known.
    pub channels: Vec<Channel>,
}

impl Earlier {
    /// The state that follows from the present status of a delivery and from the statuses in its timeline. A receipt
    /// may belong to an earlier attempt than the present status.
    #[must_use]
    pub fn of(present: DeliveryStatus, seen: impl IntoIterator<Item = DeliveryStatus>) -> Self {
        let reached = seen
            .into_iter()
            .chain([present])
            .filter(|status| status.has_reached())
            .max_by_key(|status| status.rank());
        match reached {
            // A mail server may take a message and return it later.
            Some(DeliveryStatus::Delivered) if present == DeliveryStatus::Bounced => Self::Failed,
            Some(status) => Self::Reached(status),
            None if present.has_failed() => Self::Failed,
            None => Self::Open,
        }
    }
}

impl Standing {
    /// The joint state of these deliveries. A delivery that is not known is open.
    #[must_use]
    pub fn of(after: &[DeliveryId], known: &EarlierDeliveries) -> Self {
        let mut channels = Vec::new();
        let mut failed = 0;
        for delivery in after.iter().filter_map(|id| known.get(id)) {
            if let Earlier::Reached(_) = delivery.state {
                return Self {
                    state: delivery.state,
                    channels: vec![delivery.channel],
                };
            }
            failed += usize::from(delivery.state == Earlier::Failed);
            if !channels.contains(&delivery.channel) {
                channels.push(delivery.channel);
            }
        }
        let have_failed = failed > 0 && failed == after.len();
        Self {
            state: if have_failed {
                Earlier::Failed
            } else {
                Earlier::Open
            },
            channels,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_delivery_has_reached_its_recipient_by_a_receipt_of_any_attempt_and_has_failed_by_its_present_status()
    {
        use DeliveryStatus as S;
        let cases: [(S, &[S], Earlier); 12] = [
            (S::Queued, &[], Earlier::Open),
            (S::Sent, &[S::Sending], Earlier::Open),
            (S::Uncertain, &[], Earlier::Open),
            (S::Cancelled, &[], Earlier::Open),
            (S::Delivered, &[S::Sent], Earlier::Reached(S::Delivered)),
            (
                S::Acknowledged,
                &[S::Delivered],
                Earlier::Reached(S::Acknowledged),
            ),
            (
                S::Sent,
                &[S::Delivered, S::Uncertain],
                Earlier::Reached(S::Delivered),
            ),
            (S::Bounced, &[S::Delivered], Earlier::Failed),
            (
                S::Bounced,
                &[S::Delivered, S::Opened],
                Earlier::Reached(S::Opened),
            ),
            (S::DeadLettered, &[S::Retrying], Earlier::Failed),
            (S::Suppressed, &[S::Deferred], Earlier::Failed),
            (S::Complained, &[], Earlier::Reached(S::Complained)),
        ];
        for (present, seen, expected) in cases {
            let found = Earlier::of(present, seen.iter().copied());
            assert_eq!(found, expected, "{present} after {seen:?}");
        }
    }

    #[test]
    fn one_that_reached_the_recipient_suffices_and_all_have_to_fail() {
        let ids: Vec<DeliveryId> = (0..3).map(|n| DeliveryId(Uuid::from_u128(n))).collect();
        let known = |states: &[Earlier]| -> EarlierDeliveries {
            let each = ids.iter().zip([Channel::Push, Channel::Push, Channel::Email]);
            let each = each.zip(states).map(|((id, channel), state)| {
                let state = *state;
                (*id, EarlierDelivery { channel, state })
            });
            each.collect()
        };
        let reached = Earlier::Reached(DeliveryStatus::Opened);
        let (failed, open) = (Earlier::Failed, Earlier::Open);
        let both = vec![Channel::Push, Channel::Email];
        for (states, state, channels) in [
            (&[failed, open, reached][..], reached, vec![Channel::Email]),
            (&[failed, failed, failed], failed, both.clone()),
            (&[failed, open, failed], open, both),
            (&[failed, failed], open, vec![Channel::Push]),
            (&[], open, Vec::new()),
        ] {
            let expected = Standing { state, channels };
            assert_eq!(Standing::of(&ids, &known(states)), expected, "{states:?}");
        }
        let none = Standing::of(&[], &known(&[]));
        assert_eq!(none.state, Earlier::Open);
    }
}
