//! Merging rows of one delivery, independently of the order in which they arrive. This code merges within a batch;
//! SQL does the same between batches ([`super::deliveries`]).

use std::{cmp::Ordering, collections::BTreeMap};

use carillon_domain::{DeliveryId, DeliveryState};

use super::{DeliveryRow, Queued};

/// A value and the (generation, attempt) that set it, packed into `of`; `of` is -1 if the value is unset. The
/// greatest wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Said<T> {
    pub(super) of: i64,
    pub(super) value: Option<T>,
}

impl<T: Ord> Said<T> {
    fn by(state: DeliveryState, value: Option<T>) -> Self {
        let of = if value.is_some() {
            precedence(state) >> 8
        } else {
            -1
        };
        Self { of, value }
    }

    fn merge(&mut self, other: Self) {
        if other > *self {
            *self = other;
        }
    }
}

/// The merged rows of one delivery in a batch.
#[derive(Debug, Clone)]
pub(super) struct Merged<'a> {
    /// The row with the greatest state. Columns that never change are the same in all rows.
    pub(super) row: &'a DeliveryRow,
    pub(super) to_masked: Said<&'a str>,
    pub(super) provider: Said<&'a str>,
    pub(super) provider_message_id: Said<&'a str>,
    /// `{"id","version","locale"}`.
    pub(super) template: Said<String>,
    /// The earliest one.
    pub(super) queued: Option<&'a Queued>,
}

/// Generation, attempt and rank packed into one number with the same order.
pub(super) fn precedence(state: DeliveryState) -> i64 {
    (i64::from(state.generation.min(0x3fff_ffff)) << 32)
        | (i64::from(state.attempt.min(0x00ff_ffff)) << 8)
        | i64::from(state.status.rank())
}

/// Compares two rows of one delivery: the greater determines its state. Equal states are ordered by time, then by
/// code and reason, so that the order of arrival has no effect.
fn greater(left: &DeliveryRow, right: &DeliveryRow) -> Ordering {
    let key = |row: &DeliveryRow| (row.state.precedence(), row.at);
    let words = |row: &DeliveryRow| {
        (
            row.error_code.as_deref().unwrap_or_default().to_owned(),
            row.reason.as_deref().unwrap_or_default().to_owned(),
        )
    };
    key(left)
        .cmp(&key(right))
        .then_with(|| words(left).cmp(&words(right)))
}

/// Returns one entry for each delivery, ordered by id.
pub(super) fn merge(rows: &[DeliveryRow]) -> Vec<Merged<'_>> {
    let mut merged: BTreeMap<DeliveryId, Merged<'_>> = BTreeMap::new();
    for row in rows {
        let one = Merged::of(row);
        match merged.get_mut(&row.id) {
            Some(standing) => standing.absorb(one),
            None => {
                merged.insert(row.id, one);
            }
        }
    }
    merged.into_values().collect()
}

impl<'a> Merged<'a> {
    fn of(row: &'a DeliveryRow) -> Self {
        let template = row
            .template
            .as_ref()
            .and_then(|template| serde_json::to_string(template).ok());
        Self {
            row,
            to_masked: Said::by(row.state, row.to_masked.as_deref()),
            provider: Said::by(row.state, row.provider.as_deref()),
            provider_message_id: Said::by(row.state, row.provider_message_id.as_deref()),
            template: Said::by(row.state, template),
            queued: row.queued.as_ref(),
        }
    }

    fn absorb(&mut self, other: Self) {
        if greater(other.row, self.row).is_gt() {
            self.row = other.row;
        }
        self.to_masked.merge(other.to_masked);
        self.provider.merge(other.provider);
        self.provider_message_id.merge(other.provider_message_id);
        self.template.merge(other.template);
        self.queued = self.queued.into_iter().chain(other.queued).min();
    }
}

#[cfg(test)]
mod tests {
    use carillon_domain::DeliveryStatus;
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn the_packed_number_has_the_order_of_states_and_shows_whether_one_has_ended() {
        let mut states = Vec::new();
        for generation in [0, 1, 70_000] {
            for attempt in [0, 1, 300] {
                states.extend(DeliveryStatus::iter().map(|status| DeliveryState {
                    generation,
                    attempt,
                    status,
                }));
            }
        }
        for left in &states {
            // SQL uses the same test.
            assert_eq!(precedence(*left) & 255 >= 40, left.status.is_ended(), "{left:?}");
            for right in &states {
                let (a, b) = (left.precedence(), right.precedence());
                let expected = (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2));
                assert_eq!(
                    precedence(*left).cmp(&precedence(*right)),
                    expected,
                    "{left:?} {right:?}"
                );
            }
        }
    }
}
