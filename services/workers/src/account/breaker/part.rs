//! The parts of an account: the domains that an e-mail account sends to, the countries of text messages, the platforms of
//! a push account, the endpoints of webhooks. Each has a pause of its own, so that one domain's greylisting, one country that
//! the account may not send to, one platform's missing credential or one endpoint's limit does not stop the others.

use std::{collections::HashMap, sync::Arc, time::Duration};

use carillon_domain::{Content, Platform};
use carillon_providers::OutgoingMessage;
use tokio::time::Instant;

use crate::policy::Reaction;

/// The time for which a part is remembered after its last pause. After that, its next pause counts as the
/// first.
const MEMORY: Duration = Duration::from_hours(1);
/// The number of parts above which old ones are searched for and forgotten.
const MANY: usize = 1_024;
/// The wait while another message of the part goes first: its answer comes within about this time.
pub(super) const MEANWHILE: Duration = Duration::from_secs(1);

/// A part of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum AccountPart {
    /// An address's domain, in lower case.
    Domain(Arc<str>),
    /// A device's platform.
    Platform(Platform),
    /// The first digits of a number, which name its country, with their `+`.
    Country(Arc<str>),
    /// The URL of an endpoint.
    Endpoint(Arc<str>),
}

impl AccountPart {
    /// The part that a message belongs to.
    pub(super) fn of(message: &OutgoingMessage) -> Option<Self> {
        match message.content {
            Content::Email { .. } => {
                let (_, domain) = message.to.rsplit_once('@')?;
                Some(Self::Domain(Arc::from(domain.to_lowercase())))
            }
            Content::Push { .. } => message.platform.map(Self::Platform),
            Content::Webhook { .. } => Some(Self::Endpoint(Arc::from(message.to.as_str()))),
            Content::Sms { .. } => Some(Self::Country(Arc::from(country(&message.to)?))),
        }
    }
}

/// A part as it is stored: its kind and its name. An endpoint has none, because its URL may contain a secret.
impl AccountPart {
    pub(super) fn code(&self) -> Option<String> {
        match self {
            Self::Domain(domain) => Some(format!("domain:{domain}")),
            Self::Platform(platform) => Some(format!("platform:{}", <&str>::from(platform))),
            Self::Country(prefix) => Some(format!("country:{prefix}")),
            Self::Endpoint(_) => None,
        }
    }

    /// The part of a code; `None` if a newer release made it.
    pub(super) fn of_code(code: &str) -> Option<Self> {
        match code.split_once(':')? {
            ("domain", domain) => Some(Self::Domain(Arc::from(domain))),
            ("country", prefix) => Some(Self::Country(Arc::from(prefix))),
            ("platform", platform) => platform.parse().ok().map(Self::Platform),
            _ => None,
        }
    }
}

/// The first characters of a number in E.164 form that name its country: `+` and the calling code (ITU-T E.164, list of
/// assigned country codes). Several countries share the codes 1 and 7; the digits that follow tell them apart, three after 1
/// (an area code) and one after 7. `None` if it is no such number.
fn country(number: &str) -> Option<&str> {
    let digits = number.strip_prefix('+')?;
    let two = digits.get(..2)?;
    let length = match two {
        _ if two.starts_with('1') => 4,
        _ if two.starts_with('7') => 2,
        "20" | "27" | "30" | "31" | "32" | "33" | "34" | "36" | "39" | "40" | "41" | "43" | "44" | "45"
        | "46" | "47" | "48" | "49" | "51" | "52" | "53" | "54" | "55" | "56" | "57" | "58" | "60" | "61"
        | "62" | "63" | "64" | "65" | "66" | "81" | "82" | "84" | "86" | "90" | "91" | "92" | "93" | "94"
        | "95" | "98" => 2,
        _ => 3,
    };
    number.get(..=length)
}

/// A parked part, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParkedPart {
    /// Its kind and its name.
    pub(crate) code: String,
    /// The time until the next message is sent to it; `None` if a probe, a single message, may be sent now.
    pub(crate) left: Option<Duration>,
}

/// The parts that are or were paused.
#[derive(Debug, Default)]
pub(super) struct AccountParts(HashMap<AccountPart, Gate>);

#[derive(Debug)]
struct Gate {
    until: Instant,
    /// Pauses and parks since the part last accepted a message.
    pauses: u32,
    /// Whether the part was parked, so that one message goes first.
    is_parked: bool,
    probing: bool,
}

impl AccountParts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time for which a part is closed, if it is.
    pub(super) fn closed(&self, part: &AccountPart, now: Instant) -> Option<Duration> {
        let gate = self.0.get(part)?;
        if gate.until > now {
            return Some(gate.until - now);
        }
        gate.probing.then_some(MEANWHILE)
    }

    /// Lets a message go out to a part; returns whether it is the part's probe. The error is the time for
    /// which the part is closed.
    pub(super) fn enter(&mut self, part: &AccountPart, now: Instant) -> Result<bool, Duration> {
        if let Some(wait) = self.closed(part, now) {
            return Err(wait);
        }
        Ok(self.0.get_mut(part).is_some_and(|gate| {
            gate.probing = gate.is_parked;
            gate.probing
        }))
    }

    pub(super) fn end_probe(&mut self, part: &AccountPart) {
        if let Some(gate) = self.0.get_mut(part) {
            gate.probing = false;
        }
    }

    /// The parts that are parked, by code. One to which no message went for long is left out.
    pub(super) fn parked(&self, now: Instant) -> Vec<ParkedPart> {
        let gates = self.0.iter();
        let parked = gates.filter(|(_, gate)| gate.is_parked && gate.until + MEMORY > now);
        let mut parked: Vec<ParkedPart> = parked
            .filter_map(|(part, gate)| {
                Some(ParkedPart {
                    code: part.code()?,
                    left: (gate.until > now).then(|| gate.until - now),
                })
            })
            .collect();
        parked.sort_unstable_by(|one, other| one.code.cmp(&other.code));
        parked
    }

    /// Continues with a park of an earlier process: one message goes first, at once. The operator may have repaired the
    /// fault before the restart.
    pub(super) fn resume(&mut self, part: AccountPart, now: Instant) {
        self.0.entry(part).or_insert(Gate {
            until: now,
            pauses: 1,
            is_parked: true,
            probing: false,
        });
    }

    /// Pauses since the part last accepted a message.
    pub(super) fn pauses(&self, part: &AccountPart) -> u32 {
        self.0.get(part).map_or(0, |gate| gate.pauses)
    }

    pub(super) fn react(&mut self, part: &AccountPart, reaction: Reaction, now: Instant) {
        let (wait, is_parked) = match reaction {
            // A success does not end a pause, because this message may have been under way when the pause
            // began.
            Reaction::Works => {
                if self
                    .0
                    .get(part)
                    .is_some_and(|gate| gate.is_parked || gate.until <= now)
                {
                    self.0.remove(part);
                }
                return;
            }
            Reaction::Pause(wait) => (wait, false),
            Reaction::Park(wait, _) => (wait, true),
            Reaction::None | Reaction::Answers | Reaction::Fails | Reaction::Refuses => return,
        };
        if self.0.len() >= MANY {
            self.0.retain(|_, gate| gate.until + MEMORY > now);
        }
        let gate = self.0.entry(part.clone()).or_insert(Gate {
            until: now,
            pauses: 0,
            is_parked,
            probing: false,
        });
        // Messages that were under way when the pause began get the same answer; they do not extend it.
        if gate.until <= now {
            gate.pauses = if gate.until + MEMORY > now {
                gate.pauses.saturating_add(1)
            } else {
                1
            };
        }
        gate.is_parked = is_parked;
        gate.until = gate.until.max(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_digits_of_a_number_name_its_country() {
        for (number, expected) in [
            ("+4915112345678", Some("+49")),
            ("+358401234567", Some("+358")),
            ("+18765551234", Some("+1876")),
            ("+15550001111", Some("+1555")),
            ("+79161234567", Some("+79")),
            ("+77011234567", Some("+77")),
            ("+4", None),
            ("12345", None),
            ("", None),
        ] {
            assert_eq!(country(number), expected, "{number}");
        }
    }

    #[test]
    fn a_part_is_read_from_its_code() {
        for part in [
            AccountPart::Domain("example.com".into()),
            AccountPart::Country("+49".into()),
            AccountPart::Platform(Platform::Ios),
        ] {
            let code = part.code().unwrap();
            assert_eq!(AccountPart::of_code(&code), Some(part), "{code}");
        }
        assert_eq!(AccountPart::Endpoint("https://a.example/".into()).code(), None);
        assert_eq!(AccountPart::of_code("planet:mars"), None);
        assert_eq!(AccountPart::of_code("ios"), None);
    }
}
