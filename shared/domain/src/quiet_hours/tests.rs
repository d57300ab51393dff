use std::collections::BTreeSet;

use chrono::{Datelike as _, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use proptest::prelude::*;

use super::*;
use crate::field_error::FieldError;

fn windows(json: &str) -> Vec<QuietHours> {
    serde_json::from_str(json).unwrap()
}

fn zone(name: &str) -> Tz {
    name.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The end of the quiet time in UTC, as text without its zone.
fn until(json: &str, name: &str, moment: &str) -> Option<String> {
    let until = quiet_until(&windows(json), zone(name), at(moment))?;
    Some(until.format("%Y-%m-%dT%H:%M:%S").to_string())
}

const NIGHT: &str = r#"[{"from":"22:00","to":"07:00"}]"#;

#[test]
fn a_window_over_midnight_lasts_from_its_evening_to_the_next_morning_in_the_readers_zone() {
    for (moment, expected) in [
        ("2026-11-27T20:59:59.999999Z", None),
        ("2026-11-27T21:00:00Z", Some("2026-11-28T06:00:00")),
        ("2026-11-28T05:59:59.999999Z", Some("2026-11-28T06:00:00")),
        ("2026-11-28T06:00:00Z", None),
        ("2026-11-28T12:00:00Z", None),
    ] {
        assert_eq!(
            until(NIGHT, "Europe/Berlin", moment).as_deref(),
            expected,
            "{moment}"
        );
    }
    assert_eq!(
        until(NIGHT, "Asia/Kolkata", "2026-11-27T20:00:00Z").as_deref(),
        Some("2026-11-28T01:30:00")
    );
    assert_eq!(until("[]", "UTC", "2026-11-27T23:00:00Z"), None);
}

#[test]
fn the_days_of_a_window_are_those_on_which_it_begins() {
    let friday = r#"[{"days":["fri"],"from":"22:00","to":"07:00"}]"#;
    // 2026-11-27 is a Friday.
    for (moment, expected) in [
        ("2026-11-27T06:00:00Z", None),
        ("2026-11-27T22:00:00Z", Some("2026-11-28T07:00:00")),
        ("2026-11-28T06:59:00Z", Some("2026-11-28T07:00:00")),
        ("2026-11-28T22:00:00Z", None),
    ] {
        assert_eq!(until(friday, "UTC", moment).as_deref(), expected, "{moment}");
    }
    let noon = r#"[{"days":["sun"],"from":"12:00","to":"13:00"}]"#;
    assert_eq!(
        until(noon, "UTC", "2026-11-29T12:30:00Z").as_deref(),
        Some("2026-11-29T13:00:00")
    );
    assert_eq!(until(noon, "UTC", "2026-11-28T12:30:00Z"), None);
}

#[test]
fn windows_that_follow_one_another_are_one_quiet_time() {
    let weekend = r#"[{"days":["fri"],"from":"20:00","to":"00:00"},{"days":["sat","sun"],"from":"00:00","to":"12:00"},
        {"days":["sat"],"from":"12:00","to":"00:00"}]"#;
    assert_eq!(
        until(weekend, "UTC", "2026-11-27T21:00:00Z").as_deref(),
        Some("2026-11-29T12:00:00")
    );
    assert_eq!(until(weekend, "UTC", "2026-11-29T12:00:00Z"), None);
}

#[test]
fn a_window_whose_start_or_end_the_clocks_skip_starts_or_ends_when_they_are_put_forward() {
    // In Berlin the clocks go from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC.
    let ends = r#"[{"from":"22:00","to":"02:30"}]"#;
    assert_eq!(
        until(ends, "Europe/Berlin", "2026-03-28T22:00:00Z").as_deref(),
        Some("2026-03-29T01:00:00")
    );
    let starts = r#"[{"from":"02:30","to":"05:00"}]"#;
    assert_eq!(until(starts, "Europe/Berlin", "2026-03-29T00:59:59Z"), None);
    assert_eq!(
        until(starts, "Europe/Berlin", "2026-03-29T01:00:00Z").as_deref(),
        Some("2026-03-29T03:00:00")
    );
    let skipped = r#"[{"from":"02:10","to":"02:50"}]"#;
    for moment in [
        "2026-03-29T00:59:59Z",
        "2026-03-29T01:00:00Z",
        "2026-03-29T01:30:00Z",
    ] {
        assert_eq!(until(skipped, "Europe/Berlin", moment), None, "{moment}");
    }
    // Over the change a night is an hour shorter.
    assert_eq!(
        until(NIGHT, "Europe/Berlin", "2026-03-29T00:00:00Z").as_deref(),
        Some("2026-03-29T05:00:00")
    );
}

#[test]
fn a_window_whose_start_or_end_comes_twice_lasts_from_the_first_to_the_second() {
    // In Berlin 02:00 to 03:00 comes twice on 25 October 2026: from 00:00 UTC, and again from 01:00 UTC.
    let ends = r#"[{"from":"22:00","to":"02:30"}]"#;
    assert_eq!(
        until(ends, "Europe/Berlin", "2026-10-25T00:45:00Z").as_deref(),
        Some("2026-10-25T01:30:00")
    );
    let starts = r#"[{"from":"02:30","to":"05:00"}]"#;
    assert_eq!(until(starts, "Europe/Berlin", "2026-10-25T00:29:59Z"), None);
    assert_eq!(
        until(starts, "Europe/Berlin", "2026-10-25T00:30:00Z").as_deref(),
        Some("2026-10-25T04:00:00")
    );
    let both = r#"[{"from":"02:10","to":"02:50"}]"#;
    assert_eq!(
        until(both, "Europe/Berlin", "2026-10-25T00:55:00Z").as_deref(),
        Some("2026-10-25T01:50:00")
    );
}

#[test]
fn a_window_of_a_day_that_the_zone_skips_begins_with_the_next_day() {
    // Apia had no Friday 30 December 2011: Thursday was followed by Saturday, at 10:00 UTC.
    let friday = r#"[{"days":["fri"],"from":"22:00","to":"07:00"}]"#;
    assert_eq!(until(friday, "Pacific/Apia", "2011-12-30T09:59:59Z"), None);
    assert_eq!(
        until(friday, "Pacific/Apia", "2011-12-30T10:00:00Z").as_deref(),
        Some("2011-12-30T17:00:00")
    );
}

#[test]
fn the_end_of_a_wait_is_said_in_the_readers_zone() {
    let text = until_text(at("2026-11-28T06:00:00Z"), zone("Europe/Berlin"));
    assert_eq!(text, "07:00, 28 Nov (Europe/Berlin)");
}

#[test]
fn lists_that_cannot_be_meant_are_refused_with_place_and_value() {
    let refused = |json: &str| -> Vec<String> {
        let mut errors: Vec<FieldError> = Vec::new();
        check(&windows(json), "/quiet_hours", &mut errors);
        errors.into_iter().map(|error| error.to_string()).collect()
    };
    let many = vec![r#"{"from":"00:00","to":"00:01"}"#; 33].join(",");
    for (json, expected) in [
        ("[]".to_owned(), vec![]),
        (NIGHT.to_owned(), vec![]),
        (
            r#"[{"days":["mon","tue"],"from":"12:00","to":"13:00"},{"days":["mon"],"from":"13:00","to":"14:00"}]"#.to_owned(),
            vec![],
        ),
        (
            r#"[{"from":"08:00","to":"08:00"}]"#.to_owned(),
            vec!["/quiet_hours/0: expected from and to to differ, not 08:00 for both"],
        ),
        (
            r#"[{"days":["mon","sun","mon"],"from":"08:00","to":"09:00"}]"#.to_owned(),
            vec!["/quiet_hours/0/days/2: expected each day once, not mon again"],
        ),
        (
            r#"[{"days":["mon"],"from":"01:00","to":"02:00"},{"days":["sun"],"from":"22:00","to":"01:01"}]"#.to_owned(),
            vec![
                "/quiet_hours/1: expected windows at different times, but sun 22:00 to 01:01 and mon 01:00 to 02:00 of window 0 overlap",
            ],
        ),
        (
            r#"[{"from":"00:00","to":"12:00"},{"from":"12:00","to":"00:00"}]"#.to_owned(),
            vec!["/quiet_hours: expected some time of the week without quiet hours, not windows that cover all of it"],
        ),
        (
            format!("[{many}]"),
            vec!["/quiet_hours: expected at most 32 windows, not 33"],
        ),
    ] {
        assert_eq!(refused(&json), expected, "{json}");
    }
}

#[test]
fn a_text_that_is_not_a_time_and_an_unknown_field_are_refused() {
    let error = serde_json::from_str::<QuietHours>(r#"{"from":"25:00","to":"07:00"}"#).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(r#"expected a time as HH:MM, not "25:00""#),
        "{error}"
    );
    assert!(serde_json::from_str::<QuietHours>(r#"{"from":"21:00","till":"07:00"}"#).is_err());
}

/// Zones with and without clock changes, in both hemispheres, with changes of half an hour and at midnight.
const ZONES: [&str; 10] = [
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "America/Havana",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
];

/// The changes of a zone's offset in 2026, to the minute.
fn transitions(zone: Tz) -> Vec<Timestamp> {
    let offset = |at: Timestamp| {
        zone.offset_from_utc_datetime(&at.naive_utc())
            .fix()
            .local_minus_utc()
    };
    let start = at("2026-01-01T00:00:00Z");
    let hours = (0..366 * 24).map(|hour| start + TimeDelta::hours(hour));
    let mut found = Vec::new();
    for hour in hours {
        let next = hour + TimeDelta::hours(1);
        if offset(hour) != offset(next) {
            let minutes = (0..60).map(|minute| hour + TimeDelta::minutes(minute));
            let last = minutes.filter(|at| offset(*at) == offset(hour)).max().unwrap();
            found.push(last + TimeDelta::minutes(1));
        }
    }
    found
}

#[test]
fn each_of_the_ten_zones_changes_its_clocks_twice_a_year() {
    for name in ZONES {
        assert_eq!(transitions(zone(name)).len(), 2, "{name}");
    }
}

/// Whether the local clock shows a time in a window, by arithmetic on its reading alone.
fn is_quiet_by_the_clock(windows: &[QuietHours], local: NaiveDateTime) -> bool {
    let (today, time) = (local.weekday(), local.time());
    windows.iter().any(|window| {
        if window.from < window.to {
            window.begins_on(today) && window.from <= time && time < window.to
        } else {
            (window.begins_on(today) && window.from <= time)
                || (window.begins_on(today.pred()) && time < window.to)
        }
    })
}

fn any_window() -> impl Strategy<Value = QuietHours> {
    let minute = |n: u32| NaiveTime::from_hms_opt(n / 60, n % 60, 0).unwrap();
    // Most windows have a side in the small hours, in which clocks change.
    let side = prop_oneof![0..240_u32, 0..1_440_u32];
    let days = proptest::sample::subsequence(Day::ALL.to_vec(), 0..=7);
    (days, side.clone(), side)
        .prop_filter("a window is not empty", |(_, from, to)| from != to)
        .prop_map(move |(days, from, to)| QuietHours {
            days,
            from: minute(from),
            to: minute(to),
        })
}

fn any_windows() -> impl Strategy<Value = Vec<QuietHours>> {
    proptest::collection::vec(any_window(), 1..4).prop_filter("the list is accepted", |windows| {
        let mut errors = Vec::new();
        check(windows, "", &mut errors);
        errors.is_empty()
    })
}

/// Checks windows at a moment near a transition of a zone.
fn holds(
    windows: &[QuietHours],
    zone: Tz,
    transition: Timestamp,
    moment: Timestamp,
) -> Result<(), TestCaseError> {
    let local = |at: Timestamp| at.with_timezone(&zone).naive_local();
    let found = quiet_until(windows, zone, moment);
    let by_the_clock = is_quiet_by_the_clock(windows, local(moment));
    prop_assert!(
        !by_the_clock || found.is_some(),
        "the clock shows {}, which is quiet",
        local(moment)
    );
    // A quiet moment at which the clock shows another time lies in the hours that come twice.
    if found.is_some() && !by_the_clock {
        let is_near = (moment - transition).abs() <= TimeDelta::hours(1);
        prop_assert!(is_near, "the clock shows {}, which is not quiet", local(moment));
    }
    if let Some(until) = found {
        prop_assert!(until > moment);
        prop_assert_eq!(quiet_until(windows, zone, until), None);
        let before = until - TimeDelta::microseconds(1);
        prop_assert_eq!(quiet_until(windows, zone, before), Some(until));
        let ends_as_said = windows.iter().any(|window| window.to == local(until).time());
        prop_assert!(
            ends_as_said || until == transition,
            "{} ends nothing",
            local(until)
        );
        // The whole wait is quiet and has the same end.
        let halfway = moment + (until - moment) / 2;
        prop_assert_eq!(quiet_until(windows, zone, halfway), Some(until));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn quiet_hours_agree_with_the_readers_clock_around_every_change_of_ten_zones_in_a_year(
        windows in any_windows(), zone_index in 0..ZONES.len(), second in any::<bool>(),
        seconds in prop_oneof![-7_200..7_200_i64, -200_000..200_000_i64],
    ) {
        thread_local! {
            static CHANGES: Vec<(Tz, Vec<Timestamp>)> =
                ZONES.iter().map(|name| (zone(name), transitions(zone(name)))).collect();
        }
        let (zone, transition) = CHANGES.with(|all| (all[zone_index].0, all[zone_index].1[usize::from(second)]));
        holds(&windows, zone, transition, transition + TimeDelta::seconds(seconds))?;
    }
}

#[test]
fn a_night_covers_each_minute_of_its_hours_around_every_change() {
    for name in ZONES {
        let zone = zone(name);
        for transition in transitions(zone) {
            let ends: BTreeSet<Timestamp> = (-600..600)
                .map(|minute| transition + TimeDelta::minutes(minute))
                .filter_map(|moment| quiet_until(&windows(NIGHT), zone, moment))
                .collect();
            for end in ends {
                let local = end.with_timezone(&zone);
                assert_eq!(
                    local.time(),
                    NaiveTime::from_hms_opt(7, 0, 0).unwrap(),
                    "{name} {local}"
                );
                assert_eq!(end, local.with_timezone(&Utc));
            }
        }
    }
}
