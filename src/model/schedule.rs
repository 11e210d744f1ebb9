//! When something is done again and again: a cron expression in a time zone.

use std::str::FromStr;

use chrono::{DateTime, TimeZone as _};
use chrono_tz::Tz;

use super::units::Timestamp;

/// `minute hour day-of-month month day-of-week`, as cron has it, and the zone whose clock it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    expression: String,
    zone: Tz,
    times: cron::Schedule,
}

/// Why an expression or a zone is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("{0:?} has {1} fields and not five: minute, hour, day of month, month, day of week")]
    Fields(String, usize),
    #[error("{0:?} is no cron expression: {1}")]
    Expression(String, String),
    #[error("there is no time zone {0:?}: name one as in \"Europe/Berlin\" or \"UTC\"")]
    Zone(String),
    #[error("{0:?} never comes about")]
    Never(String),
}

impl Schedule {
    /// Days of the week are names, or numbers from 0 (Sunday) to 7 (Sunday again).
    pub fn new(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(ScheduleError::Fields(expression.to_owned(), fields.len()));
        };
        let zone = Tz::from_str(zone).map_err(|_| ScheduleError::Zone(zone.to_owned()))?;
        let weekday = weekdays_by_name(weekday).ok_or_else(|| {
            ScheduleError::Expression(expression.to_owned(), format!("day of week {weekday:?}"))
        })?;
        let quartz = format!("0 {minute} {hour} {day} {month} {weekday}");
        let times = cron::Schedule::from_str(&quartz)
            .map_err(|e| ScheduleError::Expression(expression.to_owned(), e.to_string()))?;
        let schedule = Self { expression: expression.to_owned(), zone, times };
        // From a fixed moment, so that the same text is always judged alike.
        match schedule.next_after(Timestamp(0)) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(expression.to_owned())),
        }
    }

    /// The first moment after `moment`. Where clocks go back, an hour that comes twice counts once.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let here: DateTime<Tz> = self.zone.timestamp_millis_opt(moment.0).single()?;
        let next = self.times.after(&here).next()?;
        Some(Timestamp(next.timestamp_millis()))
    }

    /// A moment as the zone's clock shows it: `2026-11-23 07:00 CET`.
    pub fn local(&self, moment: Timestamp) -> String {
        let here = self.zone.timestamp_millis_opt(moment.0).single();
        here.map_or_else(|| moment.to_string(), |here| here.format("%Y-%m-%d %H:%M %Z").to_string())
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.expression, self.zone)
    }
}

/// cron counts days of the week from 0 and the library from 1, so that numbers become names.
fn weekdays_by_name(field: &str) -> Option<String> {
    const NAMES: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
    let name = |word: &str| match word.parse::<usize>() {
        Ok(number) => NAMES.get(number).map(|name| (*name).to_owned()),
        Err(_) => Some(word.to_owned()),
    };
    let part = |part: &str| {
        let (days, step) = part.split_once('/').map_or((part, None), |(days, step)| (days, Some(step)));
        let days = match days.split_once('-') {
            Some((first, last)) => format!("{}-{}", name(first)?, name(last)?),
            None => name(days)?,
        };
        Some(step.map_or(days.clone(), |step| format!("{days}/{step}")))
    };
    field.split(',').map(part).collect::<Option<Vec<_>>>().map(|parts| parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, zone: &str, after: &str) -> String {
        let after = DateTime::parse_from_rfc3339(after).expect("a moment").timestamp_millis();
        let schedule = Schedule::new(expression, zone).unwrap_or_else(|e| panic!("{e}"));
        schedule.next_after(Timestamp(after)).expect("a next time").to_string()
    }

    #[test]
    fn the_next_time_is_by_the_zones_clock() {
        for (expression, zone, after, expected) in [
            ("0 7 * * *", "UTC", "2026-11-23T06:59:59Z", "2026-11-23T07:00:00Z"),
            ("0 7 * * *", "UTC", "2026-11-23T07:00:00Z", "2026-11-24T07:00:00Z"),
            ("0 7 * * *", "Europe/Berlin", "2026-11-23T05:00:00Z", "2026-11-23T06:00:00Z"),
            ("0 7 * * *", "Europe/Berlin", "2026-07-01T04:00:00Z", "2026-07-01T05:00:00Z"),
            ("*/15 * * * *", "UTC", "2026-11-23T07:16:00Z", "2026-11-23T07:30:00Z"),
            // The 23rd is a Monday.
            ("0 7 * * MON-FRI", "UTC", "2026-11-27T08:00:00Z", "2026-11-30T07:00:00Z"),
            ("0 7 * * 1-5", "UTC", "2026-11-27T08:00:00Z", "2026-11-30T07:00:00Z"),
            ("0 7 * * 0", "UTC", "2026-11-23T08:00:00Z", "2026-11-29T07:00:00Z"),
            ("0 7 * * 7", "UTC", "2026-11-23T08:00:00Z", "2026-11-29T07:00:00Z"),
            ("30 6 1 * *", "America/New_York", "2026-11-23T08:00:00Z", "2026-12-01T11:30:00Z"),
        ] {
            assert_eq!(next(expression, zone, after), expected, "{expression} {zone} after {after}");
        }
    }

    #[test]
    fn clocks_that_go_forward_and_back_lose_and_double_nothing() {
        // On 2026-03-29 there is no 02:30 in Berlin, and on 2026-10-25 there are two.
        let first = next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z");
        assert!(first.starts_with("2026-03-29") || first.starts_with("2026-03-30"), "{first}");
        let autumn = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z");
        assert!(autumn.starts_with("2026-10-25"), "{autumn}");
        let after = next("30 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z");
        assert!(after.starts_with("2026-10-26"), "{after}");
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for (expression, zone, why) in [
            ("0 7 * *", "UTC", "4 fields and not five"),
            ("0 0 7 * * *", "UTC", "6 fields and not five"),
            ("61 7 * * *", "UTC", "no cron expression"),
            ("0 7 * * 8", "UTC", "day of week \"8\""),
            ("0 7 * * *", "Europe/Nowhere", "no time zone"),
            ("0 7 31 2 *", "UTC", "never comes about"),
        ] {
            let error = Schedule::new(expression, zone).expect_err(expression).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
