//! The fault script in force, and its random numbers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::check::check;
use super::{Action, Fault, ReceiptFault, Sent};
use crate::SimulatorError;

/// The fault script in force; clones share it.
#[derive(Clone)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

struct Plan {
    rules: Vec<Fault>,
    dice: StdRng,
    /// The time of each recipient's first try, by greylisting rule.
    first_tried: HashMap<(usize, String), Instant>,
}

/// The script's decision about one message.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// The wait before the message is processed.
    pub(crate) before: Duration,
    /// The wait after it was received.
    pub(crate) after: Duration,
    /// The failure that replaces the usual answer.
    pub(crate) effect: Option<Effect>,
    /// Whether the message is received in spite of the failure.
    pub(crate) recorded: bool,
}

/// A failure that replaces the usual answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Answer(Answer),
    Hang,
    Reset,
    /// The connection ends after the given answer, or the usual one.
    GoAway(Option<Answer>),
}

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    pub(crate) retry_after: Option<String>,
    /// The name in the details of FCM's error.
    pub(crate) field: Option<String>,
}

impl Faults {
    pub(crate) fn none() -> Self {
        Self {
            plan: Arc::new(Mutex::new(Plan {
                rules: Vec::new(),
                dice: StdRng::from_rng(&mut rand::rng()),
                first_tried: HashMap::new(),
            })),
        }
    }

    /// Replaces the script in force. With a seed, the same messages in the same order always meet the same faults. An
    /// invalid script changes nothing.
    pub fn replace(&self, rules: Vec<Fault>, seed: Option<u64>) -> Result<(), SimulatorError> {
        let invalid = check(&rules);
        if !invalid.is_empty() {
            return Err(SimulatorError::InvalidFaults(invalid));
        }
        let dice = seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
        *self.plan.lock() = Plan {
            rules,
            dice,
            first_tried: HashMap::new(),
        };
        Ok(())
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.plan.lock().rules.clear();
    }

    /// The script in force.
    pub fn list(&self) -> Vec<Fault> {
        self.plan.lock().rules.clone()
    }

    /// The time after which an idle SMTP connection is closed, and the reply for it.
    pub(crate) fn idle(&self) -> Option<(Duration, Answer)> {
        let plan = self.plan.lock();
        let (rule, millis) = plan.rules.iter().find_map(|rule| Some((rule, rule.idle_ms?)))?;
        let answer = answer(rule).unwrap_or(Answer {
            status: 421,
            code: Some("4.4.2".to_owned()),
            retry_after: None,
            field: None,
        });
        Some((Duration::from_millis(millis), answer))
    }

    /// The deviation of a message's reports.
    pub(crate) fn receipt(&self, sent: &Sent<'_>) -> Option<ReceiptFault> {
        let mut plan = self.plan.lock();
        let Plan { rules, dice, .. } = &mut *plan;
        rules
            .iter()
            .filter(|rule| rule.receipt.is_some() && rule.is_about(sent))
            .find(|rule| dice.random_range(0.0..100.0) < rule.percent)?
            .receipt
            .clone()
    }

    pub(crate) fn roll(&self, sent: &Sent<'_>) -> Verdict {
        let mut plan = self.plan.lock();
        let Plan {
            rules,
            dice,
            first_tried,
        } = &mut *plan;
        let mut verdict = Verdict::default();
        for (index, rule) in rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.receipt.is_none() && rule.is_about(sent))
        {
            if dice.random_range(0.0..100.0) >= rule.percent {
                continue;
            }
            if let Some(millis) = rule.greylist_ms {
                let key = (index, sent.to.join(","));
                let first = first_tried.entry(key).or_insert_with(Instant::now);
                if first.elapsed() >= Duration::from_millis(millis) {
                    continue;
                }
            }
            let delay = Duration::from_millis(rule.delay_ms.unwrap_or(0));
            if rule.recorded {
                verdict.after += delay;
            } else {
                verdict.before += delay;
            }
            if let Some(effect) = effect(rule) {
                verdict.recorded = rule.recorded;
                verdict.effect = Some(effect);
                break;
            }
        }
        verdict
    }
}

/// The failure of a rule; `None` if the rule only delays.
fn effect(rule: &Fault) -> Option<Effect> {
    let answer = answer(rule);
    match rule.action {
        Some(Action::Hang) => Some(Effect::Hang),
        Some(Action::Reset) => Some(Effect::Reset),
        Some(Action::GoAway) => Some(Effect::GoAway(answer)),
        Some(Action::Answer) | None => answer.map(Effect::Answer),
    }
}

fn answer(rule: &Fault) -> Option<Answer> {
    let status = rule.status.or(rule.greylist_ms.map(|_| 451))?;
    Some(Answer {
        status,
        code: rule.code.clone(),
        retry_after: rule.retry_after.clone(),
        field: rule.field.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Provider;
    use crate::faults::{SmtpStep, Target};

    const fn sent(provider: Provider) -> Sent<'static> {
        Sent {
            provider,
            step: SmtpStep::End,
            to: &[],
        }
    }

    fn failing(provider: Target, percent: f64) -> Fault {
        Fault {
            percent,
            status: Some(503),
            ..Fault::every(provider)
        }
    }

    fn hits(faults: &Faults, rolls: usize) -> Vec<bool> {
        (0..rolls)
            .map(|_| faults.roll(&sent(Provider::Fcm)).effect.is_some())
            .collect()
    }

    #[test]
    fn a_share_of_the_messages_fails() {
        let faults = Faults::none();
        faults.replace(vec![failing(Target::Fcm, 30.0)], Some(7)).unwrap();
        let failed = hits(&faults, 10_000).into_iter().filter(|hit| *hit).count();
        assert!((2_800..3_200).contains(&failed), "{failed} of 10,000 failed");
    }

    #[test]
    fn the_same_seed_gives_the_same_fates_and_another_one_gives_others() {
        let faults = Faults::none();
        let fates = |seed| {
            faults
                .replace(vec![failing(Target::Fcm, 50.0)], Some(seed))
                .unwrap();
            hits(&faults, 200)
        };
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
    }

    #[test]
    fn a_rule_leaves_other_providers_alone() {
        let faults = Faults::none();
        faults.replace(vec![failing(Target::Smtp, 100.0)], None).unwrap();
        assert_eq!(faults.roll(&sent(Provider::Twilio)), Verdict::default());
        assert!(faults.roll(&sent(Provider::Smtp)).effect.is_some());
    }

    #[test]
    fn delays_add_up_and_the_first_effect_decides() {
        let faults = Faults::none();
        let delay = |ms| Fault {
            delay_ms: Some(ms),
            ..Fault::every(Target::Any)
        };
        let reset = Fault {
            action: Some(Action::Reset),
            recorded: true,
            ..Fault::every(Target::Any)
        };
        faults
            .replace(vec![delay(5), delay(7), reset, failing(Target::Any, 100.0)], None)
            .unwrap();
        assert_eq!(
            faults.roll(&sent(Provider::Fcm)),
            Verdict {
                before: Duration::from_millis(12),
                after: Duration::ZERO,
                effect: Some(Effect::Reset),
                recorded: true
            }
        );
    }

    #[test]
    fn an_invalid_script_leaves_the_one_in_force() {
        let faults = Faults::none();
        faults.replace(vec![failing(Target::Any, 100.0)], None).unwrap();
        assert!(faults.replace(vec![failing(Target::Any, 101.0)], None).is_err());
        assert_eq!(faults.list().len(), 1);
    }
    #[test]
    fn a_greylisted_recipient_is_accepted_when_it_is_tried_again_later() {
        let faults = Faults::none();
        let rule = |greylist_ms| Fault {
            to: Some("*@grey.example".to_owned()),
            greylist_ms: Some(greylist_ms),
            ..Fault::every(Target::Smtp)
        };
        let effect = |to: &str| {
            let sent = Sent {
                provider: Provider::Smtp,
                step: SmtpStep::Rcpt,
                to: &[to],
            };
            faults.roll(&sent).effect
        };
        faults.replace(vec![rule(600_000)], None).unwrap();
        for _ in 0..2 {
            let Some(Effect::Answer(answer)) = effect("ada@grey.example") else {
                panic!("greylisted")
            };
            assert_eq!(answer.status, 451);
        }
        assert_eq!(effect("ada@other.example"), None);
        faults.replace(vec![rule(0)], None).unwrap();
        assert_eq!(effect("ada@grey.example"), None, "the while is over");
    }
}
