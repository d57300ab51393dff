//! The faults of a session, at each of its steps.

use super::reply::{Reply, scripted};
use super::session::{Next, Session};
use crate::Provider;
use crate::faults::{Effect, Sent, SmtpStep, Verdict};

impl Session {
    /// The script's verdict for a step.
    pub(super) fn roll(&self, step: SmtpStep, to: &[String]) -> Verdict {
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        self.smtp.context.faults.roll(&Sent {
            provider: Provider::Smtp,
            step,
            to: &to,
        })
    }

    /// Applies the fault of a step before the content, if the script has one. The fault's reply replaces the
    /// usual one.
    pub(super) async fn meets(&mut self, step: SmtpStep, to: &[String]) -> Next {
        let Verdict {
            before,
            after,
            effect,
            ..
        } = self.roll(step, to);
        self.smtp.context.pause(before + after).await;
        effect.map_or(Next::GoOn, |effect| self.suffer(effect))
    }

    /// Applies a fault; returns how the session continues.
    pub(super) fn suffer(&mut self, effect: Effect) -> Next {
        match effect {
            Effect::Answer(answer) => {
                scripted(&answer).write(&mut self.out);
                // RFC 5321 §3.8: 421 closes the channel at any step.
                if answer.status == 421 {
                    Next::Close
                } else {
                    Next::GoOn
                }
            }
            Effect::GoAway(answer) => {
                let goodbye = answer.map_or_else(
                    || Reply::new(421, "4.3.2", "Going away"),
                    |answer| scripted(&answer),
                );
                goodbye.write(&mut self.out);
                Next::Close
            }
            Effect::Hang => Next::Hang,
            Effect::Reset => Next::Reset,
        }
    }
}
