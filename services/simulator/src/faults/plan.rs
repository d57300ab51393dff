//! The script in force, and its dice.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::check::check;
use super::{Action, Fault};
use crate::{Provider, SimulatorError};

/// The fault script in force; clones share it.
#[derive(Clone)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

struct Plan {
    rules: Vec<Fault>,
    dice: StdRng,
}

/// What is to happen to one message.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Wait so long before the message is looked at.
    pub(crate) before: Duration,
    /// Wait so long after it was received.
    pub(crate) after: Duration,
    /// What happens instead of the usual answer.
    pub(crate) effect: Option<Effect>,
    /// Whether the message is received although there is an effect.
    pub(crate) recorded: bool,
}

/// What happens instead of the usual answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Answer(Answer),
    Hang,
    Reset,
    /// The connection ends after the given answer, or the usual one.
    GoAway(Option<Answer>),
}

/// An error to answer with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    /// Seconds.
    pub(crate) retry_after: Option<u32>,
}

impl Faults {
    pub(crate) fn none() -> Self {
        Self {
            plan: Arc::new(Mutex::new(Plan {
                rules: Vec::new(),
                dice: StdRng::from_rng(&mut rand::rng()),
            })),
        }
    }

    /// Puts a script in force in place of the one before. With a seed, the same messages in the same order meet the
    /// same fate every time. An invalid script changes nothing.
    pub fn replace(&self, rules: Vec<Fault>, seed: Option<u64>) -> Result<(), SimulatorError> {
        let invalid = check(&rules);
        if !invalid.is_empty() {
            return Err(SimulatorError::InvalidFaults(invalid));
        }
        let dice = seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
        *self.plan.lock() = Plan { rules, dice };
        Ok(())
    }

    /// Ends all faults.
    pub fn clear(&self) {
        self.plan.lock().rules.clear();
    }

    /// The script in force.
    pub fn list(&self) -> Vec<Fault> {
        self.plan.lock().rules.clone()
    }

    pub(crate) fn roll(&self, provider: Provider) -> Verdict {
        let mut plan = self.plan.lock();
        let Plan { rules, dice } = &mut *plan;
        let mut verdict = Verdict::default();
        for rule in rules.iter().filter(|rule| rule.provider.covers(provider)) {
            if dice.random_range(0.0..100.0) >= rule.percent {
                continue;
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

/// `None`: the rule only delays.
fn effect(rule: &Fault) -> Option<Effect> {
    let answer = rule.status.map(|status| Answer {
        status,
        code: rule.code.clone(),
        retry_after: rule.retry_after,
    });
    match rule.action {
        Some(Action::Hang) => Some(Effect::Hang),
        Some(Action::Reset) => Some(Effect::Reset),
        Some(Action::GoAway) => Some(Effect::GoAway(answer)),
        Some(Action::Answer) | None => answer.map(Effect::Answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Target;

    fn failing(provider: Target, percent: f64) -> Fault {
        Fault {
            percent,
            status: Some(503),
            ..Fault::every(provider)
        }
    }

    fn hits(faults: &Faults, rolls: usize) -> Vec<bool> {
        (0..rolls)
            .map(|_| faults.roll(Provider::Fcm).effect.is_some())
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
        assert_eq!(faults.roll(Provider::Twilio), Verdict::default());
        assert!(faults.roll(Provider::Smtp).effect.is_some());
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
            faults.roll(Provider::Fcm),
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
}
