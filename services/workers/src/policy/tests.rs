use carillon_domain::retry::LONGEST_NAMED_WAIT;
use proptest::prelude::*;

use super::*;

const LONGEST: Duration = Duration::from_mins(15);
const CLASSES: [Class; 7] = [
    Class::Ok,
    Class::Retry,
    Class::Throttle,
    Class::Config,
    Class::Terminal,
    Class::AddressDead,
    Class::Uncertain,
];
const SCOPES: [Scope; 8] = [
    Scope::Message,
    Scope::Address,
    Scope::Domain,
    Scope::Country,
    Scope::Platform,
    Scope::Unnamed,
    Scope::Account,
    Scope::Connection,
];

fn of(class: Class, scope: Scope, history: History) -> Ruling {
    let answer = AnswerKind {
        class,
        scope,
        named: None,
    };
    rule(answer, &history, LONGEST, 0.0)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn each_class_and_scope_has_its_consequence() {
    use {Class::*, Course as C, Reaction as R, Scope::*};
    let first = History {
        attempts: 1,
        ..History::default()
    };
    let at_once = C::Retry {
        no_sooner: Duration::ZERO,
    };
    for (class, scope, account, part, message) in [
        (Ok, Message, R::Works, R::Works, C::Sent),
        (Retry, Message, R::Answers, R::None, at_once),
        (Retry, Address, R::Answers, R::None, at_once),
        (
            Retry,
            Domain,
            R::Answers,
            R::Pause(secs(60)),
            C::Retry { no_sooner: secs(60) },
        ),
        (Retry, Account, R::Fails, R::None, at_once),
        (Retry, Connection, R::Fails, R::None, at_once),
        (Throttle, Address, R::Answers, R::None, C::Wait(secs(60))),
        (Throttle, Unnamed, R::Answers, R::None, C::Wait(secs(60))),
        (
            Throttle,
            Domain,
            R::Answers,
            R::Pause(secs(60)),
            C::Wait(secs(60)),
        ),
        (Throttle, Account, R::Pause(secs(1)), R::None, C::Wait(secs(1))),
        (
            Config,
            Platform,
            R::Answers,
            R::Park(secs(2), Cause::Operator),
            C::Wait(secs(5)),
        ),
        (
            Config,
            Domain,
            R::Answers,
            R::Park(secs(2), Cause::Operator),
            C::Wait(secs(5)),
        ),
        (
            Config,
            Country,
            R::Answers,
            R::Park(secs(2), Cause::Operator),
            C::Wait(secs(5)),
        ),
        (
            Config,
            Account,
            R::Park(secs(2), Cause::Operator),
            R::None,
            C::Wait(secs(5)),
        ),
        (
            Config,
            Address,
            R::Park(secs(2), Cause::Operator),
            R::None,
            C::Wait(secs(5)),
        ),
        (Terminal, Message, R::Answers, R::None, C::End),
        (Terminal, Address, R::Refuses, R::None, C::Doubt),
        (
            Terminal,
            Account,
            R::Park(secs(2), Cause::Operator),
            R::None,
            C::Wait(secs(5)),
        ),
        (AddressDead, Address, R::Refuses, R::None, C::Doubt),
        (Uncertain, Connection, R::Fails, R::None, C::Uncertain),
    ] {
        assert_eq!(
            of(class, scope, first),
            Ruling {
                account,
                part,
                message
            },
            "{class:?} {scope:?}"
        );
    }
}

#[test]
fn a_throttle_that_names_no_time_backs_off_to_minutes() {
    let pauses = |scope| {
        let times = [0, 1, 2, 3, 8, 20, u32::MAX];
        times.map(|times| {
            let history = History {
                throttles: times,
                pauses: times,
                waits: times,
                ..History::default()
            };
            let Course::Wait(wait) = of(Class::Throttle, scope, history).message else {
                panic!()
            };
            wait.as_secs()
        })
    };
    assert_eq!(pauses(Scope::Account), [1, 2, 4, 8, 256, 900, 900]);
    assert_eq!(pauses(Scope::Domain), [60, 120, 240, 480, 900, 900, 900]);
}

#[test]
fn a_message_at_which_a_working_account_is_throttled_again_and_again_waits_longer_each_time() {
    let ruling = |waits| {
        let history = History {
            waits,
            ..History::default()
        };
        of(Class::Throttle, Scope::Account, history)
    };
    let waits = [0, 1, 2, 3, 5, 6, 20].map(|waits| match ruling(waits).message {
        Course::Wait(wait) => wait.as_secs(),
        other => panic!("{other:?}"),
    });
    assert_eq!(waits, [1, 2, 4, 8, 32, 60, 60]);
    assert_eq!(ruling(20).account, Reaction::Pause(Duration::from_secs(1)));
}

#[test]
fn a_run_of_refused_addresses_parks_the_account_and_its_probe_has_to_succeed() {
    let history = |refused| History {
        refused,
        ..History::default()
    };
    let refused = |history| of(Class::AddressDead, Scope::Address, history);
    assert_eq!(refused(history(MANY_REFUSED - 1)).account, Reaction::Refuses);
    let parked = refused(history(MANY_REFUSED));
    assert_eq!(parked.account, Reaction::Park(FIRST_PARK, Cause::Refusals));
    assert_eq!(parked.message, Course::Doubt);
    let probe = History {
        parks: 1,
        cause: Some(Cause::Refusals),
        ..history(1)
    };
    assert_eq!(
        refused(probe).account,
        Reaction::Park(2 * FIRST_PARK, Cause::Refusals)
    );
    let mended = History {
        parks: 1,
        cause: Some(Cause::Operator),
        ..history(1)
    };
    assert_eq!(
        refused(mended).account,
        Reaction::Refuses,
        "the credentials are accepted again"
    );
}

#[test]
fn a_message_that_parks_the_account_comes_back_after_the_others_and_alone_never_parks_it_for_long() {
    let refused = |suspects, parks, waits| {
        let history = History {
            parks,
            suspects,
            waits,
            ..History::default()
        };
        of(Class::Config, Scope::Account, history)
    };
    for times in 0..8 {
        let Ruling { account, message, .. } = refused(1, times, times);
        assert_eq!(account, Reaction::Park(FIRST_PARK, Cause::Operator));
        let wait = (FIRST_PARK * (1 << times)).min(LAST_PARK) + OTHERS_FIRST;
        assert_eq!(message, Course::Wait(wait));
    }
    assert_eq!(
        refused(2, 4, 0).account,
        Reaction::Park(FIRST_PARK * 16, Cause::Operator)
    );
}

#[test]
fn a_refuted_code_parks_the_account_only_if_several_messages_get_it_in_a_row() {
    let refused = |suspects, parks| {
        let history = History {
            parks,
            suspects,
            is_refuted: true,
            ..History::default()
        };
        of(Class::Config, Scope::Account, history)
    };
    let alone = Ruling {
        account: Reaction::None,
        part: Reaction::None,
        message: Course::Wait(FIRST_WAIT),
    };
    assert_eq!(refused(1, 0), alone);
    assert_eq!(refused(2, 0), alone);
    for again in [refused(3, 0), refused(3, 1)] {
        assert!(
            matches!(again.account, Reaction::Park(_, Cause::Operator)),
            "{again:?}"
        );
    }
}

#[test]
fn throttles_of_many_domains_in_a_row_concern_the_rate_of_the_account() {
    let history = |domains| History {
        domains,
        ..History::default()
    };
    assert_eq!(
        of(Class::Throttle, Scope::Domain, history(9)).account,
        Reaction::Answers
    );
    assert_eq!(
        of(Class::Throttle, Scope::Domain, history(10)).account,
        Reaction::Pause(FIRST_PAUSE)
    );
}

#[test]
fn a_rate_that_may_be_a_devices_pauses_the_account_only_after_a_run_and_then_doubles_up_to_a_bound() {
    let ruling = |throttled, throttles, waits| {
        let history = History {
            throttles,
            throttled,
            waits,
            ..History::default()
        };
        of(Class::Throttle, Scope::Unnamed, history)
    };
    assert_eq!(ruling(9, 0, 0).account, Reaction::Answers);
    assert_eq!(ruling(9, 0, 3).message, Course::Wait(secs(480)));
    assert_eq!(ruling(10, 0, 0).account, Reaction::Pause(FIRST_PAUSE));
    assert_eq!(ruling(10, 3, 0).account, Reaction::Pause(secs(8)));
    let bounded = ruling(10, 40, 40);
    assert_eq!(bounded.account, Reaction::Pause(LONGEST));
    assert_eq!(bounded.message, Course::Wait(LONGEST));
}

fn any_history() -> impl Strategy<Value = History> {
    let cause = prop_oneof![
        Just(None),
        Just(Some(Cause::Operator)),
        Just(Some(Cause::Failures)),
        Just(Some(Cause::Refusals))
    ];
    let counts = proptest::array::uniform6(prop_oneof![0..40_u32, any::<u32>()]);
    let sizes = (0..300_usize, 0..30_usize, 0..30_usize, 0..5_usize);
    (counts, cause, sizes, any::<bool>()).prop_map(
        |(counts, cause, (refused, domains, throttled, suspects), is_refuted)| History {
            throttles: counts[0],
            parks: counts[1],
            failures: counts[2],
            pauses: counts[3],
            waits: counts[4],
            attempts: counts[5],
            cause,
            refused,
            domains,
            throttled,
            suspects,
            is_refuted,
        },
    )
}

fn any_answer() -> impl Strategy<Value = AnswerKind> {
    let named = proptest::option::of((0..=LONGEST_NAMED_WAIT.as_secs()).prop_map(Duration::from_secs));
    (0..CLASSES.len(), 0..SCOPES.len(), named).prop_map(|(class, scope, named)| AnswerKind {
        class: CLASSES[class],
        scope: SCOPES[scope],
        named,
    })
}

proptest! {
    #[test]
    fn every_wait_is_bounded_and_none_is_shorter_than_the_provider_names(
        answer in any_answer(), history in any_history(), jitter in 0.0..1.0_f64,
    ) {
        let ruling = rule(answer, &history, LONGEST, jitter);
        let bound = LONGEST_NAMED_WAIT + LONGEST_NAMED_WAIT / 10;
        let waits = [ruling.account, ruling.part].map(|reaction| match reaction {
            Reaction::Pause(wait) | Reaction::Park(wait, _) => wait,
            _ => Duration::from_secs(1),
        });
        prop_assert!(waits.iter().all(|wait| *wait >= Duration::from_secs(1) && *wait <= bound), "{ruling:?}");
        match ruling.message {
            Course::Wait(wait) => {
                prop_assert!(wait >= Duration::from_secs(1) && wait <= bound);
                prop_assert!(answer.class != Class::Throttle || wait >= answer.named.unwrap_or_default());
            }
            Course::Retry { no_sooner } => {
                prop_assert!(no_sooner >= answer.named.unwrap_or_default() && no_sooner <= bound);
            }
            _ => {}
        }
    }

    #[test]
    fn a_single_refusal_of_a_message_address_domain_or_platform_does_not_close_the_account(answer in any_answer(), history in any_history()) {
        let is_local = matches!(
            answer.scope,
            Scope::Message
                | Scope::Address
                | Scope::Unnamed
                | Scope::Domain
                | Scope::Country
                | Scope::Platform
        );
        let is_a_run = history.refused >= MANY_REFUSED
            || history.cause == Some(Cause::Refusals)
            || history.domains >= DOMAINS_IN_A_ROW
            || history.throttled >= ADDRESSES_IN_A_ROW;
        let is_soft = matches!(answer.class, Class::Retry | Class::Throttle | Class::Terminal | Class::AddressDead);
        if is_local && is_soft && !is_a_run {
            let ruling = rule(answer, &history, LONGEST, 0.5);
            prop_assert!(!matches!(ruling.account, Reaction::Pause(_) | Reaction::Park(..)), "{ruling:?}");
        }
    }

    #[test]
    fn a_refused_address_is_doubted_first_and_an_operators_fault_never_loses_a_message(
        answer in any_answer(), history in any_history(),
    ) {
        let ruling = rule(answer, &history, LONGEST, 0.5);
        match answer.class {
            Class::AddressDead => prop_assert_eq!(ruling.message, Course::Doubt),
            Class::Config | Class::Throttle => prop_assert!(matches!(ruling.message, Course::Wait(_))),
            _ => {}
        }
    }
}
