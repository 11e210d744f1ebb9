//! When something is done again and again: a cron expression in a time zone.

use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{NaiveDateTime, TimeDelta};
use cron::TimeUnitSpec as _;

use super::units::Timestamp;
use super::zone::{NoZone, Showing, Zone};

/// `minute hour day-of-month month day-of-week`, as cron has it, and the zone whose clock it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    expression: String,
    zone: Zone,
    /// Two where both the day of the month and the day of the week are restricted: either will do, as in cron.
    times: Vec<cron::Schedule>,
    /// Every hour of the day has its times, so that it goes on by time passed where clocks change.
    every_hour: bool,
}

/// Why an expression or a zone is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("{0:?} has {1} fields and not five: minute, hour, day of month, month, day of week")]
    Fields(String, usize),
    #[error("{0:?} is no cron expression: {1}")]
    Expression(String, String),
    #[error(transparent)]
    Zone(#[from] NoZone),
    #[error("{0:?} never comes about")]
    Never(String),
}

/// Which of the two moments is meant, where clocks went back and show a time twice.
#[derive(Clone, Copy)]
enum Which {
    First,
    Last,
}

/// What is added before the search, so that the library's own rounding loses nothing.
const MARGIN: TimeDelta = TimeDelta::minutes(1);

impl Schedule {
    /// Days of the week are names, or numbers from 0 (Sunday) to 7 (Sunday again).
    pub fn new(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = *fields.as_slice() else {
            return Err(ScheduleError::Fields(expression.to_owned(), fields.len()));
        };
        let zone: Zone = zone.parse()?;
        let wrong = |what: &str, field: &str| {
            ScheduleError::Expression(expression.to_owned(), format!("{what} {field:?}"))
        };
        parsed([minute, "*", "*", "*", "*"]).ok_or_else(|| wrong("minute", minute))?;
        let hours = parsed(["*", hour, "*", "*", "*"]).ok_or_else(|| wrong("hour", hour))?;
        parsed(["*", "*", day, "*", "*"]).ok_or_else(|| wrong("day of month", day))?;
        parsed(["*", "*", "*", month, "*"]).ok_or_else(|| wrong("month", month))?;
        let weekdays = weekdays(weekday).ok_or_else(|| wrong("day of week", weekday))?;
        let restricted = |field: &str| !field.starts_with(['*', '?']);
        let days = if restricted(day) && restricted(weekday) {
            vec![(day, "*"), ("*", weekdays.as_str())]
        } else {
            vec![(day, weekdays.as_str())]
        };
        let times = days.into_iter().filter_map(|(day, weekday)| parsed([minute, hour, day, month, weekday]));
        let schedule = Self {
            expression: expression.to_owned(),
            zone,
            times: times.collect(),
            every_hour: hours.hours().count() == 24,
        };
        // From a fixed moment, so that the same text is always judged alike.
        match schedule.next_after(Timestamp(0)) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(expression.to_owned())),
        }
    }

    /// The first moment after `moment`. Where clocks go forward, a time that they skip comes as soon as they show one
    /// again; where they go back, a time that they show twice comes the first time. What comes every hour goes on by
    /// time passed: it skips with them, and comes both times.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let here = self.zone.clock(moment)?;
        let first = self.next_showing(Which::First, here, moment);
        if !self.every_hour {
            return first;
        }
        // What is shown now may be shown again: times from then on are still to come.
        let again = self.moment(here, Which::Last).map_or(TimeDelta::zero(), |last| {
            TimeDelta::milliseconds(last.0.saturating_sub(moment.0).max(0))
        });
        let last = self.next_showing(Which::Last, here.checked_sub_signed(again)?, moment);
        first.into_iter().chain(last).min()
    }

    /// The first moment after `moment` among the times that clocks show after `from`.
    fn next_showing(&self, which: Which, from: NaiveDateTime, moment: Timestamp) -> Option<Timestamp> {
        let from = from.checked_sub_signed(MARGIN)?.and_utc();
        let next = self.times.iter().filter_map(|times| {
            let moments = times.after(&from).filter_map(|time| self.moment(time.naive_utc(), which));
            moments.into_iter().find(|at| *at > moment)
        });
        next.min()
    }

    /// When the zone's clocks show `time`; where they skip it, when they did.
    fn moment(&self, time: NaiveDateTime, which: Which) -> Option<Timestamp> {
        match (self.zone.shows(time)?, which) {
            (Showing::Once(at), _)
            | (Showing::Twice(at, _), Which::First)
            | (Showing::Twice(_, at), Which::Last) => Some(at),
            (Showing::Never(at), _) => (!self.every_hour).then_some(at),
        }
    }

    /// A moment as the zone's clock shows it: `2026-11-23 07:00 CET`.
    pub fn local(&self, moment: Timestamp) -> String {
        self.zone.says(moment).unwrap_or_else(|| moment.to_string())
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.expression, self.zone)
    }
}

/// The library's own form has seconds in front.
fn parsed([minute, hour, day, month, weekday]: [&str; 5]) -> Option<cron::Schedule> {
    cron::Schedule::from_str(&format!("0 {minute} {hour} {day} {month} {weekday}")).ok()
}

const WEEKDAYS: [&str; 7] = ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];

/// Days of the week one by one, counted from 1 (Sunday) as the library does; cron counts from 0, and 7 is Sunday again.
fn weekdays(field: &str) -> Option<String> {
    let mut days = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*" | "?", _) => (0, 6),
            (_, Some((first, last))) => (weekday(first)?, weekday(last)?),
            (day, None) if step.is_some() => (weekday(day)?, 6),
            (day, None) => (weekday(day)?, weekday(day)?),
        };
        // `FRI-MON` goes over the end of the week.
        let last = if last < first { last + 7 } else { last };
        days.extend((first..=last).step_by(step.unwrap_or(1)).map(|day| (day % 7 + 1).to_string()));
    }
    Some(days.into_iter().collect::<Vec<_>>().join(","))
}

fn weekday(word: &str) -> Option<usize> {
    let upper = word.to_ascii_uppercase();
    let named =
        WEEKDAYS.iter().position(|name| *name == upper || (upper.len() == 3 && name.starts_with(&upper)));
    named.or_else(|| word.parse().ok().filter(|number| *number <= 7))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike as _, Timelike as _};
    use proptest::prelude::*;

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
            ("0 7 * * 5-7", "UTC", "2026-11-28T08:00:00Z", "2026-11-29T07:00:00Z"),
            ("0 7 * * 0-7", "UTC", "2026-11-28T08:00:00Z", "2026-11-29T07:00:00Z"),
            ("0 7 * * sat-mon", "UTC", "2026-11-29T08:00:00Z", "2026-11-30T07:00:00Z"),
            ("0 7 * * 1-5/2", "UTC", "2026-11-23T08:00:00Z", "2026-11-25T07:00:00Z"),
            // Both days are restricted: either will do.
            ("0 7 1 * MON", "UTC", "2026-11-23T08:00:00Z", "2026-11-30T07:00:00Z"),
            ("0 7 1 * MON", "UTC", "2026-11-30T08:00:00Z", "2026-12-01T07:00:00Z"),
            ("0 7 */2 * MON", "UTC", "2026-11-24T08:00:00Z", "2026-12-07T07:00:00Z"),
            ("30 6 1 * *", "America/New_York", "2026-11-23T08:00:00Z", "2026-12-01T11:30:00Z"),
        ] {
            assert_eq!(next(expression, zone, after), expected, "{expression} {zone} after {after}");
        }
    }

    #[test]
    fn a_time_that_clocks_skip_comes_after_it_and_one_that_comes_twice_comes_once() {
        // On 2026-03-29 there is no 02:30 in Berlin, and on 2026-10-25 there are two.
        for (expression, after, expected) in [
            ("30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
            ("30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
            ("30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            ("30 2 * * *", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
            ("0 * * * *", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"),
            ("0 * * * *", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"),
            ("*/15 * * * *", "2026-10-25T00:45:00Z", "2026-10-25T01:00:00Z"),
            ("*/15 * * * *", "2026-10-25T01:07:00Z", "2026-10-25T01:15:00Z"),
            ("7 * * * *", "2026-03-29T00:07:00Z", "2026-03-29T01:07:00Z"),
        ] {
            assert_eq!(next(expression, "Europe/Berlin", after), expected, "{expression} after {after}");
        }
    }

    /// Days around which clocks change, skip midnight, change by half an hour, skip a whole day, or do nothing.
    const CHANGES: [(&str, &str); 10] = [
        ("Europe/Berlin", "2026-03-28T00:00:00Z"),
        ("Europe/Berlin", "2026-10-24T00:00:00Z"),
        ("America/New_York", "2026-03-07T00:00:00Z"),
        ("America/New_York", "2026-10-31T00:00:00Z"),
        ("America/Sao_Paulo", "2018-11-03T00:00:00Z"),
        ("America/Sao_Paulo", "2018-02-17T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T00:00:00Z"),
        ("Pacific/Apia", "2011-12-29T00:00:00Z"),
        ("Asia/Kathmandu", "2026-03-28T00:00:00Z"),
    ];

    /// `*`, or these numbers.
    fn field(numbers: &BTreeSet<u32>) -> String {
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        if numbers.is_empty() { "*".to_owned() } else { numbers.join(",") }
    }

    /// Minute by minute, by what the zone's clock shows: what `next_after` has to find.
    fn by_the_minute(
        zone: &Zone,
        from: Timestamp,
        minutes: &BTreeSet<u32>,
        hours: &BTreeSet<u32>,
        weekdays: &BTreeSet<u32>,
    ) -> Vec<Timestamp> {
        let among = |set: &BTreeSet<u32>, value: u32| set.is_empty() || set.contains(&value);
        let every_hour = hours.is_empty() || hours.len() == 24;
        let fits = |time: NaiveDateTime| {
            among(minutes, time.minute())
                && among(hours, time.hour())
                && among(weekdays, time.weekday().num_days_from_sunday())
        };
        let minute = TimeDelta::minutes(1);
        let (mut found, mut shown) = (Vec::new(), BTreeSet::new());
        let mut before: Option<NaiveDateTime> = None;
        for number in 1..=3 * 24 * 60 {
            let at = Timestamp(from.0 + number * 60_000);
            let time = zone.clock(at).expect("a moment");
            let mut skipped = false;
            let mut gap = before.map_or(time, |before| before + minute);
            while gap < time {
                skipped |= fits(gap);
                gap += minute;
            }
            let again = !shown.insert(time);
            if (fits(time) && (every_hour || !again)) || (skipped && !every_hour) {
                found.push(at);
            }
            before = Some(time);
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn where_clocks_change_nothing_is_lost_or_doubled(
            change in proptest::sample::select(&CHANGES[..]),
            minutes in proptest::collection::btree_set(0_u32..60, 0..4),
            hours in proptest::collection::btree_set(0_u32..24, 0..6),
            weekdays in proptest::collection::btree_set(0_u32..7, 0..4),
        ) {
            let (zone, from) = change;
            let from = Timestamp(DateTime::parse_from_rfc3339(from).expect("a moment").timestamp_millis());
            let expression = format!("{} {} * * {}", field(&minutes), field(&hours), field(&weekdays));
            let schedule = Schedule::new(&expression, zone).expect(&expression);
            let expected = by_the_minute(&zone.parse().expect("a zone"), from, &minutes, &hours, &weekdays);
            let end = Timestamp(from.0 + 3 * 86_400_000);
            let (mut found, mut at) = (Vec::new(), from);
            while let Some(next) = schedule.next_after(at).filter(|next| *next <= end) {
                prop_assert!(next > at, "{expression} {zone}: {next} is not after {at}");
                found.push(next);
                at = next;
            }
            prop_assert_eq!(found, expected, "{} {}", expression, zone);
        }
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for (expression, zone, why) in [
            ("0 7 * *", "UTC", "4 fields and not five"),
            ("0 0 7 * * *", "UTC", "6 fields and not five"),
            ("61 7 * * *", "UTC", "\"61 7 * * *\" is no cron expression: minute \"61\""),
            ("0 7-25 * * *", "UTC", "hour \"7-25\""),
            ("0 7 0 * *", "UTC", "day of month \"0\""),
            ("0 7 * 13 *", "UTC", "month \"13\""),
            ("0 7 * * 1/0", "UTC", "day of week \"1/0\""),
            ("0 7 * * 8", "UTC", "day of week \"8\""),
            ("0 7 * * *", "Europe/Nowhere", "no time zone"),
            ("0 7 31 2 *", "UTC", "never comes about"),
        ] {
            let error = Schedule::new(expression, zone).expect_err(expression).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
