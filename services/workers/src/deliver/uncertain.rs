//! Uncertain sends: the earlier copy of a message may have gone out. Before the message is sent again, the copy is
//! looked up in the provider's list, if the provider has a list. The uncertain sends travel in a header of the
//! delivery's record, from one attempt to the next.

use std::sync::Arc;

use carillon_bus::headers::Headers;
use carillon_domain::{
    DeliveryStatus, Timestamp,
    conclusion::{Conclusion, UncertainSend},
    status::TimelineStep,
};
use carillon_providers::{FoundMessage, OutgoingMessage};

use super::{Deliver, claim::ClaimedTask};
use crate::account::Account;

/// The header with the uncertain sends of the generation: a JSON list of [`UncertainSend`].
const UNCERTAIN_SENDS: &str = "carillon-uncertain-sends";
/// The most sends in the header. The latest ones are kept.
const MOST_SENDS: usize = 16;

/// The code of the step about a message that the provider's list has.
const FOUND: &str = "found-at-provider";
/// The code of the step about a message that the list does not have.
const ABSENT: &str = "not-found-at-provider";
/// The code of the step about a list that did not answer.
const UNANSWERED: &str = "list-unanswered";

/// The uncertain sends that a record's headers tell of. A header that cannot be read tells of none.
fn sends_of(headers: &Headers) -> Vec<UncertainSend> {
    let header = headers.get(UNCERTAIN_SENDS);
    header
        .and_then(|json| serde_json::from_slice(json).ok())
        .unwrap_or_default()
}

/// Adds the uncertain send of an attempt to the headers of the next one's record, which has those of the attempts before.
pub(super) fn note(headers: &mut Headers, uncertain: &UncertainSend) {
    let mut sends = sends_of(headers);
    sends.retain(|send| send.attempt != uncertain.attempt);
    sends.push(uncertain.clone());
    let surplus = sends.len().saturating_sub(MOST_SENDS);
    sends.drain(..surplus);
    if let Ok(json) = serde_json::to_vec(&sends) {
        headers.insert(UNCERTAIN_SENDS, json);
    }
}

/// The evidence about the earlier sends of a message.
pub(super) enum Earlier {
    /// An earlier attempt was accepted: this one is concluded so.
    Accepted(Box<Conclusion>),
    /// The message is to be sent. With the step about the look-up, if there was one.
    Send(Option<TimelineStep>),
    /// The attempt has another owner by now.
    Lost,
}

impl Deliver {
    /// The uncertain send of an attempt that is given up now, if an account can be asked about it later. `provider` is the account that
    /// was called.
    pub(super) fn uncertain_send(
        &self,
        attempt: u32,
        provider: Option<&Arc<Account>>,
        from: Timestamp,
    ) -> Option<UncertainSend> {
        let can_be_asked = match provider {
            Some(account) => account.has_list(),
            None => self.accounts.iter().any(|account| account.has_list()),
        };
        can_be_asked.then(|| UncertainSend {
            attempt,
            provider: provider.map(|account| account.name().to_string()),
            from,
            until: self.clock.now(),
        })
    }

    /// Asks the accounts of earlier uncertain sends whether one of them was accepted.
    pub(super) async fn earlier(&self, claimed: &mut ClaimedTask, message: &OutgoingMessage) -> Earlier {
        let sends = sends_of(&claimed.task.inbound.record.headers);
        if sends.is_empty() {
            return Earlier::Send(None);
        }
        let (mut absent, mut unanswered) = (false, None);
        for account in self.accounts.iter().filter(|account| account.has_list()) {
            let is_its = |send: &&UncertainSend| {
                let provider = send.provider.as_deref();
                provider.is_none_or(|provider| provider == &**account.name())
            };
            let its: Vec<UncertainSend> = sends.iter().filter(is_its).cloned().collect();
            if its.is_empty() {
                continue;
            }
            let Some(found) = self.keeping(claimed, account.find(message, &its)).await else {
                return Earlier::Lost;
            };
            match found {
                Ok(Some(found)) => {
                    return Earlier::Accepted(Box::new(self.found(account, found)));
                }
                Ok(None) => absent = true,
                Err(code) => unanswered = Some((account.name(), code)),
            }
        }
        Earlier::Send(match unanswered {
            Some((name, code)) => Some(self.looked_up(
                UNANSWERED,
                format!(
                    "the list of messages of the provider account {name} gave no answer ({code}), so an earlier copy may have gone out"
                ),
            )),
            None if absent => Some(self.looked_up(
                ABSENT,
                "the provider's list of messages has no earlier copy of the message".to_owned(),
            )),
            None => None,
        })
    }

    /// The outcome of an attempt whose message the provider has already accepted.
    fn found(&self, account: &Account, found: FoundMessage) -> Conclusion {
        let FoundMessage { attempt, message_id } = found;
        let detail = format!(
            "the provider's list has the message of this attempt as {message_id}, so it is not sent again"
        );
        let step = TimelineStep {
            at: self.clock.now(),
            status: DeliveryStatus::Sent,
            code: Some(FOUND.to_owned()),
            detail: Some(detail),
        };
        Conclusion::proven(attempt, account.name(), Some(message_id), step)
    }

    fn looked_up(&self, code: &str, detail: String) -> TimelineStep {
        TimelineStep {
            at: self.clock.now(),
            status: DeliveryStatus::Sending,
            code: Some(code.to_owned()),
            detail: Some(detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(attempt: u32) -> UncertainSend {
        let at: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        UncertainSend {
            attempt,
            provider: None,
            from: at,
            until: at,
        }
    }

    #[test]
    fn the_header_has_each_send_once_and_the_latest_ones() {
        let mut headers = Headers::default();
        assert_eq!(sends_of(&headers), []);
        for attempt in (1..=20).flat_map(|attempt| [attempt, attempt]) {
            note(&mut headers, &send(attempt));
        }
        let attempts: Vec<u32> = sends_of(&headers).iter().map(|send| send.attempt).collect();
        assert_eq!(attempts, (5..=20).collect::<Vec<u32>>());
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_header_that_cannot_be_read_tells_of_no_send() {
        let mut headers = Headers::default();
        for odd in ["", "[", "{}", r#"[{"attempt": "one"}]"#] {
            headers.insert(UNCERTAIN_SENDS, odd);
            assert_eq!(sends_of(&headers), [], "{odd}");
        }
    }
}
