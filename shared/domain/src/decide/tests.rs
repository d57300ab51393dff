use super::*;
use crate::{catalog::Catalog, event::Defaults, ids::ContactPointId};

struct Setting {
    suppressed_guests: SuppressedGuests,
    catalog: Catalog,
    user: Option<UserFacts>,
    event: Event,
    recipient: Recipient,
}

fn now() -> Timestamp {
    "2026-11-24T10:00:00Z".parse().unwrap()
}

fn contact(channel: Channel, address: &str) -> Contact {
    let id = ContactPointId::device(&TenantId::default(), &"u-1".into(), address);
    Contact {
        point: ContactPoint {
            id,
            channel,
            address: address.into(),
            platform: None,
        },
        suppressed: None,
    }
}

fn setting() -> Setting {
    let catalog = serde_json::from_str(
        r#"{"types":{
            "OrderShipped":{"category":"transactional","channels":{"order":["email","sms","push"]}},
            "Sale":{"category":"marketing","channels":{"mode":"fallback","order":["push","email"]}},
            "Otp":{"category":"marketing","critical":true,"channels":{"order":["sms"]}}},
          "categories":{"transactional":{},
            "marketing":{"default":"opt_out","limits":[{"channel":"email","max":1,"per":"1h"}]}}}"#,
    )
    .unwrap();
    let user = UserFacts {
        contacts: vec![
            contact(Channel::Email, "ada@example.com"),
            contact(Channel::Sms, "+4915112345678"),
            contact(Channel::Push, "device-a"),
            contact(Channel::Push, "device-b"),
        ],
        ..UserFacts::default()
    };
    let event = Event::from_plain(
        br#"{"id":"1","type":"OrderShipped","recipients":["u-1"],"data":{}}"#,
        Defaults::at(now()),
    );
    Setting {
        suppressed_guests: SuppressedGuests::new(),
        catalog,
        user: Some(user),
        event: event.unwrap(),
        recipient: Recipient::user("u-1"),
    }
}

impl Setting {
    fn of_type(mut self, event_type: &str) -> Self {
        self.event.event_type = event_type.into();
        self
    }

    fn preferring(mut self, preferences: &str) -> Self {
        let preferences = serde_json::from_str(preferences).unwrap();
        self.user.as_mut().unwrap().preferences = Arc::new(preferences);
        self
    }

    fn drafts(&self) -> Vec<Draft> {
        let definition = &self.catalog.types[&*self.event.event_type];
        evaluate(&Facts {
            tenant: &TenantId::default(),
            event: &self.event,
            type_name: &self.event.event_type,
            definition,
            category: &self.catalog.categories[&definition.category],
            recipient: &self.recipient,
            user: self.user.as_ref(),
            address_key: &AddressKey::new([1; 32]),
            suppressed_guests: &self.suppressed_guests,
            zone: Zone::UTC,
            quiet_hours: &self.catalog.quiet_hours,
            limits: &self.catalog.limits,
            digest: None,
            entry: Entry::Start,
            release: None,
            releases: 0,
            downgraded: Vec::new(),
            followed: Vec::new(),
            accepted_at: now(),
            now: now(),
        })
    }

    fn decide(&self, verdict: LimitVerdict) -> Decisions {
        let mut all = Decisions::default();
        for draft in self.drafts() {
            let verdicts = vec![verdict; draft.checks().len()];
            all.extend(draft.conclude(&verdicts));
        }
        all
    }

    fn reasons(&self, verdict: LimitVerdict) -> Vec<(Channel, Outcome, Reason)> {
        let decided = self.decide(verdict).decisions;
        decided
            .iter()
            .map(|decision| (decision.channel, decision.outcome, decision.reason))
            .collect()
    }
}

#[test]
fn a_fanout_sends_to_every_address_on_every_channel() {
    let decided = setting().decide(LimitVerdict::Allowed);
    assert_eq!(decided.deliveries.len(), 4);
    let ids: std::collections::HashSet<_> = decided
        .deliveries
        .iter()
        .map(|delivery| delivery.delivery_id)
        .collect();
    assert_eq!(ids.len(), 4);
    assert!(
        decided
            .decisions
            .iter()
            .all(|decision| decision.outcome == Outcome::Send && decision.delivery_id.is_some())
    );
    assert_eq!(decided.decisions[0].to_masked.as_deref(), Some("a…@example.com"));
}

#[test]
fn deciding_twice_gives_the_same_deliveries() {
    let ids = |concluded: Decisions| {
        concluded
            .deliveries
            .into_iter()
            .map(|d| d.delivery_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ids(setting().decide(LimitVerdict::Allowed)),
        ids(setting().decide(LimitVerdict::Allowed))
    );
}

#[test]
fn a_fallback_uses_the_first_channel_that_is_wanted() {
    let sale = setting()
        .of_type("Sale")
        .preferring(r#"{"categories":{"marketing":{"email":true,"push":false}}}"#);
    assert_eq!(
        sale.reasons(LimitVerdict::Allowed),
        [
            (Channel::Push, Outcome::Suppress, Reason::OptedOutCategory),
            (Channel::Email, Outcome::Send, Reason::Allowed)
        ]
    );
}

#[test]
fn a_category_that_needs_consent_sends_nothing_without_it() {
    let reasons = setting().of_type("Sale").reasons(LimitVerdict::Allowed);
    assert!(
        reasons
            .iter()
            .all(|(_, outcome, reason)| *outcome == Outcome::Suppress && *reason == Reason::NotOptedIn)
    );
}

#[test]
fn a_message_over_the_limit_is_dropped_and_says_which_limit() {
    let sale = setting()
        .of_type("Sale")
        .preferring(r#"{"categories":{"marketing":{"email":true,"push":false}}}"#);
    let decided = sale.decide(LimitVerdict::Exceeded(now()));
    let email = &decided.decisions[1];
    assert_eq!((email.outcome, email.reason), (Outcome::Drop, Reason::OverLimit));
    assert_eq!(email.steps.list().last().unwrap().inputs["per"], "1h");
    assert!(decided.deliveries.is_empty());
    let unknown = &sale.reasons(LimitVerdict::Unavailable)[1];
    assert_eq!(
        (unknown.1, unknown.2),
        (Outcome::Send, Reason::LimitUnknown),
        "none is lost"
    );
}

fn suppression(reason: SuppressionReason) -> Suppression {
    Suppression {
        reason,
        since: "2026-11-20T08:30:00Z".parse().unwrap(),
    }
}

#[test]
fn a_critical_type_passes_preferences_and_limits_but_not_a_suppressed_address() {
    let otp = setting().of_type("Otp").preferring(r#"{"global":{"sms":false}}"#);
    assert_eq!(
        otp.reasons(LimitVerdict::Exceeded(now())),
        [(Channel::Sms, Outcome::Send, Reason::Critical)]
    );

    let mut suppressed = setting().of_type("Otp");
    for (reason, expected) in [
        (SuppressionReason::HardBounce, Reason::AddressDead),
        (SuppressionReason::OptedOut, Reason::Stopped),
        (SuppressionReason::Complaint, Reason::Complained),
        (SuppressionReason::Manual, Reason::Suppressed),
        (SuppressionReason::Import, Reason::Suppressed),
    ] {
        suppressed.user.as_mut().unwrap().contacts[1].suppressed = Some(suppression(reason));
        assert_eq!(
            suppressed.reasons(LimitVerdict::Allowed),
            [(Channel::Sms, Outcome::Suppress, expected)]
        );
    }
}

#[test]
fn a_refusal_by_suppression_says_why_and_since_when() {
    let mut setting = setting().of_type("Otp");
    setting.user.as_mut().unwrap().contacts[1].suppressed = Some(suppression(SuppressionReason::OptedOut));
    let decision = setting.decide(LimitVerdict::Allowed).decisions.remove(0);
    assert_eq!(
        decision.sentence,
        "Not sent by sms: the address has been on the suppression list since 2026-11-20 08:30:00 UTC, because the recipient has told \
         the provider to stop (STOP)."
    );
    let step = decision.steps.list().pop().unwrap();
    assert_eq!((&*step.rule, &*step.result), ("suppression", "stop"));
    let inputs =
        serde_json::json!({"suppressed": [{"reason": "opted_out", "since": "2026-11-20T08:30:00Z"}]});
    assert_eq!(step.inputs, inputs);
}

#[test]
fn one_suppressed_device_of_two_does_not_affect_the_other_and_two_suppress_the_channel() {
    let mut setting = setting();
    setting.event.channels = vec![Channel::Push];
    let contacts = |setting: &mut Setting, device: usize, reason| {
        setting.user.as_mut().unwrap().contacts[2 + device].suppressed = Some(suppression(reason));
    };
    contacts(&mut setting, 0, SuppressionReason::DeadToken);
    let decided = setting.decide(LimitVerdict::Allowed);
    assert_eq!(decided.deliveries.len(), 1);
    contacts(&mut setting, 1, SuppressionReason::Manual);
    let decided = setting.decide(LimitVerdict::Allowed);
    assert!(decided.deliveries.is_empty());
    let push = decided.decisions.last().unwrap();
    assert_eq!(
        (push.channel, push.reason),
        (Channel::Push, Reason::Suppressed),
        "a person's entry comes before a provider's answer"
    );
}

#[test]
fn a_guests_suppressed_address_gets_nothing_in_each_of_its_spellings_and_the_other_channel_does() {
    let key = AddressKey::new([1; 32]);
    let hash = key.hash(Channel::Email, "guest@example.com");
    for spelling in ["guest@example.com", "Guest@Example.COM"] {
        let recipient = format!(r#"{{"email":"{spelling}","phone":"+4915112345678"}}"#);
        let setting = Setting {
            recipient: serde_json::from_str(&recipient).unwrap(),
            user: None,
            suppressed_guests: [(hash, suppression(SuppressionReason::Complaint))].into(),
            ..setting()
        };
        assert_eq!(
            setting.reasons(LimitVerdict::Allowed)[..2],
            [
                (Channel::Email, Outcome::Suppress, Reason::Complained),
                (Channel::Sms, Outcome::Send, Reason::Allowed)
            ]
        );
        let told = serde_json::to_string(&setting.decide(LimitVerdict::Allowed).decisions).unwrap();
        assert!(!told.to_lowercase().contains("guest@example.com"), "{told}");
    }
}

#[test]
fn an_unknown_user_an_expired_event_and_an_unwanted_channel_have_reasons_of_their_own() {
    let unknown = Setting {
        user: None,
        ..setting()
    };
    assert!(
        unknown
            .reasons(LimitVerdict::Allowed)
            .iter()
            .all(|(_, _, reason)| *reason == Reason::UnknownUser)
    );

    let mut expired = setting();
    expired.event.expires_at = Some(now());
    assert!(
        expired
            .reasons(LimitVerdict::Allowed)
            .iter()
            .all(|(_, _, reason)| *reason == Reason::Expired)
    );

    let mut only_sms = setting();
    only_sms.event.channels = vec![Channel::Sms];
    let reasons: Vec<_> = only_sms
        .reasons(LimitVerdict::Allowed)
        .into_iter()
        .map(|(_, _, reason)| reason)
        .collect();
    assert_eq!(
        reasons,
        [
            Reason::ChannelNotRequested,
            Reason::Allowed,
            Reason::ChannelNotRequested,
        ]
    );
}

#[test]
fn a_requested_channel_that_the_type_lacks_has_a_decision_for_every_recipient() {
    let consent = r#"{"categories":{"marketing":{"email":true}}}"#;
    let mut setting = setting().of_type("Sale").preferring(consent);
    setting.event.channels = vec![Channel::Sms, Channel::Email, Channel::Sms];
    assert_eq!(
        setting.reasons(LimitVerdict::Allowed),
        [
            (Channel::Push, Outcome::Suppress, Reason::ChannelNotRequested),
            (Channel::Email, Outcome::Send, Reason::Allowed),
            (Channel::Sms, Outcome::Suppress, Reason::ChannelNotOfType),
        ]
    );
    let decided = setting.decide(LimitVerdict::Allowed);
    assert_eq!(
        decided.decisions[2].sentence,
        "Not sent: the event requests sms, which the type Sale does not use."
    );
    let definition = &setting.catalog.types["Sale"];
    let tenant = TenantId::default();
    let key = AddressKey::new([7; 32]);
    let again = repeated(&Facts {
        tenant: &tenant,
        event: &setting.event,
        type_name: &"Sale".into(),
        definition,
        category: &setting.catalog.categories[&definition.category],
        recipient: &setting.recipient,
        user: None,
        address_key: &key,
        suppressed_guests: &setting.suppressed_guests,
        zone: Zone::UTC,
        quiet_hours: &[],
        limits: &setting.catalog.limits,
        digest: None,
        entry: Entry::Start,
        release: None,
        releases: 0,
        downgraded: Vec::new(),
        followed: Vec::new(),
        accepted_at: now(),
        now: now(),
    });
    let invalid = crate::event::InvalidRecipient {
        recipient: "/recipients/1".into(),
        user_id: None,
        errors: Vec::new(),
    };
    let invalid = unusable(definition, &setting.event.channels, &invalid);
    let all = [Channel::Push, Channel::Email, Channel::Sms];
    for drafts in [again, invalid] {
        let channels: Vec<_> = drafts.iter().map(|draft| draft.decision.channel).collect();
        assert_eq!(channels, all);
    }
}

#[test]
fn a_guest_gets_the_message_at_the_address_in_the_event() {
    let guest: Recipient = serde_json::from_str(r#"{"email":"guest@example.com","locale":"fr-CA"}"#).unwrap();
    let setting = Setting {
        recipient: guest,
        user: None,
        ..setting()
    };
    let decided = setting.decide(LimitVerdict::Allowed);
    assert_eq!(decided.deliveries.len(), 1);
    assert_eq!(decided.deliveries[0].locale.as_deref(), Some("fr-CA"));
    assert_eq!(decided.decisions[1].reason, Reason::NoAddress);
    assert!(
        !serde_json::to_string(&decided.decisions)
            .unwrap()
            .contains("guest@example.com")
    );
}

#[test]
fn the_sentence_of_a_decision_to_send_is_true_before_and_after_the_message_is_sent() {
    for event_type in ["OrderShipped", "Otp"] {
        let decisions = setting()
            .of_type(event_type)
            .decide(LimitVerdict::Allowed)
            .decisions;
        assert!(!decisions.is_empty());
        for decision in decisions {
            assert_eq!(decision.outcome, Outcome::Send, "{decision:?}");
            let start = format!("To be sent by {}: ", decision.channel);
            assert!(decision.sentence.starts_with(&start), "{}", decision.sentence);
        }
    }
}
