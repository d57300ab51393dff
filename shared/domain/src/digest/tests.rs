use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    clock::Timestamp,
    quiet_hours::{Zone, until_text},
};

fn digest(json: &serde_json::Value) -> DigestDef {
    let mut whole = json!({"type": "D"});
    for (name, value) in json.as_object().unwrap() {
        whole[name] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_window_of_a_duration_begins_at_a_whole_multiple_of_it() {
    let hourly = digest(&json!({"every": "1h"}));
    let window = |text: &str| hourly.window(Zone::UTC, at(text)).unwrap();
    let ten = window("2026-11-24T10:00:00Z");
    assert_eq!(
        (ten.start, ten.end),
        (at("2026-11-24T10:00:00Z"), at("2026-11-24T11:00:00Z"))
    );
    assert_eq!(window("2026-11-24T10:59:59.999999Z"), ten);
    assert_eq!(window("2026-11-24T11:00:00Z").start, ten.end);
    assert_eq!(window("1969-12-31T23:30:00Z").end, at("1970-01-01T00:00:00Z"));
}

#[test]
fn a_window_of_a_calendar_ends_at_the_readers_times_across_changes_of_the_clocks() {
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    let apia: Zone = "Pacific/Apia".parse().unwrap();
    let daily = digest(&json!({"at": ["08:00", "18:00"]}));
    let mondays = digest(&json!({"at": ["08:00"], "days": ["mon"]}));
    let night = digest(&json!({"at": ["02:30"]}));
    for (digest, zone, moment, end) in [
        (
            &daily,
            berlin,
            "2026-11-24T06:59:59Z",
            "08:00, 24 Nov (Europe/Berlin)",
        ),
        (
            &daily,
            berlin,
            "2026-11-24T07:00:00Z",
            "18:00, 24 Nov (Europe/Berlin)",
        ),
        (
            &daily,
            berlin,
            "2026-11-24T17:00:00Z",
            "08:00, 25 Nov (Europe/Berlin)",
        ),
        (
            &mondays,
            berlin,
            "2026-11-24T10:00:00Z",
            "08:00, 30 Nov (Europe/Berlin)",
        ),
        (
            &mondays,
            berlin,
            "2026-11-30T07:00:00Z",
            "08:00, 7 Dec (Europe/Berlin)",
        ),
        // Clocks are put forward at 02:00, and back at 03:00.
        (
            &night,
            berlin,
            "2026-03-28T12:00:00Z",
            "03:00, 29 Mar (Europe/Berlin)",
        ),
        (
            &night,
            berlin,
            "2026-10-25T00:29:59Z",
            "02:30, 25 Oct (Europe/Berlin)",
        ),
        (
            &night,
            berlin,
            "2026-10-25T00:30:00Z",
            "02:30, 26 Oct (Europe/Berlin)",
        ),
        // Samoa had no 30 December 2011.
        (
            &daily,
            apia,
            "2011-12-30T09:00:00Z",
            "00:00, 31 Dec (Pacific/Apia)",
        ),
        (
            &daily,
            apia,
            "2011-12-30T10:00:00Z",
            "08:00, 31 Dec (Pacific/Apia)",
        ),
    ] {
        let window = digest.window(zone, at(moment)).unwrap();
        assert_eq!(until_text(window.end, zone), end, "{moment}");
        assert!(window.start <= at(moment) && at(moment) < window.end);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    #[test]
    fn windows_follow_one_another_and_each_moment_lies_in_exactly_one(
        seconds in 1_600_000_000_i64..1_900_000_000,
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
            "America/Sao_Paulo", "Africa/Casablanca", "Asia/Tehran", "Pacific/Chatham", "Europe/Dublin"]),
        minutes in prop::collection::vec(0_u32..1_440, 1..4),
        weekdays in prop::collection::vec(0_usize..7, 0..3),
        every in prop::option::of(1_u64..2_678_400),
        within in 0.0..1.0_f64,
    ) {
        let zone: Zone = zone.parse().unwrap();
        let mut definition = digest(&json!({}));
        if let Some(every) = every {
            definition.every = Some(Duration::from_secs(every));
        } else {
            let time = |minute: &u32| LocalTime(NaiveTime::from_hms_opt(minute / 60, minute % 60, 0).unwrap());
            definition.at = minutes.iter().map(time).collect();
            definition.days = weekdays.iter().map(|day| Day::ALL[*day]).collect();
        }
        let moment = Timestamp::from_timestamp(seconds, 0).unwrap();
        let window = definition.window(zone, moment).unwrap();
        prop_assert!(window.start <= moment && moment < window.end);
        // Any other moment of the window is in the same one, and its end begins the next.
        let length = (window.end - window.start).num_microseconds().unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any moment will do")]
        let other = window.start + TimeDelta::microseconds((length as f64 * within) as i64);
        if other < window.end {
            prop_assert_eq!(definition.window(zone, other).unwrap(), window);
        }
        let next = definition.window(zone, window.end).unwrap();
        prop_assert_eq!(next.start, window.end);
        prop_assert!(definition.window(zone, window.start - TimeDelta::microseconds(1)).unwrap().end == window.start);
    }
}

#[test]
fn an_impossible_digest_is_refused_with_field_value_and_expectation() {
    let errors = |json: serde_json::Value| -> Vec<String> {
        let mut errors = Vec::new();
        digest(&json).validate("/d", &mut errors);
        errors.iter().map(ToString::to_string).collect()
    };
    assert!(errors(json!({"every": "1h", "key": "/data/order_id", "max": 500})).is_empty());
    assert!(errors(json!({"at": ["08:00"], "days": ["mon"]})).is_empty());
    for (json, expected) in [
        (
            json!({}),
            "/d/every: expected every, such as 1h, or at, such as [\"08:00\"]",
        ),
        (
            json!({"every": "0s"}),
            "/d/every: expected a duration from 1s to 31d, not 0ms",
        ),
        (
            json!({"every": "32d"}),
            "/d/every: expected a duration from 1s to 31d, not 32d",
        ),
        (
            json!({"every": "1h", "at": ["08:00"]}),
            "/d/at: expected either every or at, not both",
        ),
        (
            json!({"at": ["08:00", "08:00"]}),
            "/d/at/1: expected each time once, not 08:00 again",
        ),
        (
            json!({"every": "1h", "days": ["mon"]}),
            "/d/days: expected days only beside at: every has no days",
        ),
        (
            json!({"at": ["08:00"], "days": ["mon", "mon"]}),
            "/d/days/1: expected each day once, not mon again",
        ),
        (
            json!({"every": "1h", "key": "order_id"}),
            "/d/key: expected a JSON pointer into the event's data, such as /data/order_id, not \"order_id\"",
        ),
        (
            json!({"every": "1h", "key": "/id"}),
            "/d/key: expected a JSON pointer into the event's data, such as /data/order_id, not \"/id\"",
        ),
        (
            json!({"every": "1h", "max": 0}),
            "/d/max: expected 1 to 500 items, not 0",
        ),
        (
            json!({"every": "1h", "max": 501}),
            "/d/max: expected 1 to 500 items, not 501",
        ),
    ] {
        assert_eq!(errors(json), [expected]);
    }
    let error = serde_json::from_value::<DigestDef>(json!({"type": "D", "at": ["8:60"]})).unwrap_err();
    assert_eq!(error.to_string(), "expected a time as HH:MM, not \"8:60\"");
}

#[test]
fn a_key_is_the_text_of_the_value_at_its_place() {
    let keyed = digest(&json!({"every": "1h", "key": "/data/order/id"}));
    let key = |data: &str| keyed.key_of(&RawValue::from_string(data.to_owned()).unwrap());
    assert_eq!(key(r#"{"order": {"id": "a"}}"#).as_deref(), Some("a"));
    assert_eq!(key(r#"{"order": {"id": 7}}"#).as_deref(), Some("7"));
    assert_eq!(key(r#"{"order": {"id": null}}"#), None);
    assert_eq!(key(r#"{"order": 1}"#), None);
    let long = format!(r#"{{"order": {{"id": "{}"}}}}"#, "é".repeat(400));
    assert_eq!(key(&long).unwrap().len(), 512);
    assert_eq!(
        digest(&json!({"every": "1h"})).key_of(&RawValue::from_string("{}".into()).unwrap()),
        None
    );
}
