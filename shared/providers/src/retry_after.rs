//! The wait that a provider names in `Retry-After`.

use std::time::Duration;

use carillon_domain::{Timestamp, retry::LONGEST_NAMED_WAIT};

/// Reads a `Retry-After`: seconds or a date. The result is at most [`LONGEST_NAMED_WAIT`], and `None` if the text is
/// neither, or names no wait because its time has passed.
#[must_use]
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let named = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else if let Ok(seconds) = text.parse::<f64>() {
        // The RFC does not allow this, but some providers send it.
        if seconds.is_nan() {
            return None;
        }
        Duration::try_from_secs_f64(seconds.min(LONGEST_NAMED_WAIT.as_secs_f64())).ok()?
    } else {
        (date(text)? - now).to_std().ok()?
    };
    (!named.is_zero()).then_some(named.min(LONGEST_NAMED_WAIT))
}

/// A date in one of HTTP's three forms, or as RFC 2822 and RFC 3339 write it.
fn date(text: &str) -> Option<Timestamp> {
    if let Ok(at) = httpdate::parse_http_date(text) {
        return Some(at.into());
    }
    let at =
        chrono::DateTime::parse_from_rfc2822(text).or_else(|_| chrono::DateTime::parse_from_rfc3339(text));
    at.ok().map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        assert_eq!(parse_retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(
            parse_retry_after("Tue, 24 Nov 2026 10:00:30 GMT", now),
            Some(Duration::from_secs(30))
        );
        for date in [
            "Tuesday, 24-Nov-26 10:00:30 GMT",
            "Tue Nov 24 10:00:30 2026",
            "Tue, 24 Nov 2026 11:00:30 +0100",
            "2026-11-24T10:00:30Z",
        ] {
            assert_eq!(
                parse_retry_after(date, now),
                Some(Duration::from_secs(30)),
                "{date}"
            );
        }
    }

    #[test]
    fn a_named_wait_is_at_most_an_hour_and_an_unreadable_value_names_none() {
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        for long in [
            "3601",
            "1764633600",
            "1764633600000",
            "18446744073709551615",
            "99999999999999999999999999",
            "1e300",
            "inf",
            "7200.5",
            "Tue, 24 Nov 2099 10:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(parse_retry_after(long, now), Some(LONGEST_NAMED_WAIT), "{long}");
        }
        for none in [
            "",
            " ",
            "0",
            "0.0",
            "-1",
            "-1e300",
            "nan",
            "-inf",
            "soon",
            "12 seconds",
            "0x10",
            "1,5",
            "Tue, 24 Nov 2026 09:00:00 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Tue, 32 Nov 2026 09:00:00 GMT",
            "Tue, 24 Nov 99999 09:00:00 GMT",
        ] {
            assert_eq!(parse_retry_after(none, now), None, "{none}");
        }
        assert_eq!(
            parse_retry_after(" 1.5 ", now),
            Some(Duration::from_millis(1_500))
        );
    }

    proptest::proptest! {
        #[test]
        fn any_value_of_the_header_names_no_wait_or_one_within_the_bound(text in ".{0,40}", number: f64, whole: i128) {
            let now = "2026-11-24T10:00:00Z".parse().unwrap();
            for text in [text, number.to_string(), whole.to_string()] {
                let wait = parse_retry_after(&text, now);
                proptest::prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_NAMED_WAIT && !wait.is_zero()));
            }
        }
    }
}
