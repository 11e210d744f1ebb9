//! How the reconciler's own settings switch rules and what they give them (F2, F3).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike as _, NaiveDateTime, NaiveTime, Weekday};
use serde::{Deserialize, Serialize};

use super::names::EnvironmentName;
use super::units::Timestamp;
use super::zone::Zone;

/// The `[policy]` section. As JSON it is what rules are compiled with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicySettings {
    /// By the rule's name; a rule that is not named keeps its usual level.
    pub rules: BTreeMap<String, Switch>,
    /// Whether the repository's own rules count.
    pub repository: bool,
    pub registries: Vec<String>,
    pub host_mounts: Vec<String>,
    pub images_by_digest: bool,
    pub most_replicas: Option<u32>,
    pub least_replicas_in_production: Option<u32>,
    /// Rules are told of them with the change, each with whether it is on.
    #[serde(skip)]
    pub freeze: Vec<Window>,
    /// For the repository's own rules, as `data.parameters.own`.
    pub own: BTreeMap<String, Vec<String>>,
}

/// What becomes of a rule's denials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Switch {
    Off,
    Advice,
    Overridable,
    Final,
}

/// A time in which changes may not, or may only, be made (F3). What is set of it must all hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub name: String,
    pub effect: WindowEffect,
    /// Empty: the production environments.
    pub environments: BTreeSet<EnvironmentName>,
    pub zone: Zone,
    /// Days on which it begins; empty: every day.
    pub days: Vec<Weekday>,
    /// From and to, by the clock on the wall of `zone`; past midnight where `to` is not after `from`.
    pub hours: Option<(NaiveTime, NaiveTime)>,
    /// First moment, in `zone`.
    pub begin: Option<NaiveDateTime>,
    /// First moment after it.
    pub end: Option<NaiveDateTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowEffect {
    Deny,
    Allow,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self {
            rules: BTreeMap::new(),
            repository: true,
            registries: Vec::new(),
            host_mounts: Vec::new(),
            images_by_digest: false,
            most_replicas: None,
            least_replicas_in_production: None,
            freeze: Vec::new(),
            own: BTreeMap::new(),
        }
    }
}

impl Window {
    /// Whether `now` is inside. Wall-clock times are compared as the wall shows them, so a change of summer time makes
    /// no gap and no ambiguity.
    pub fn is_active(&self, now: Timestamp) -> bool {
        let Some(local) = self.zone.clock(now) else { return false };
        let begun = self.begin.is_none_or(|begin| begin <= local);
        let not_over = self.end.is_none_or(|end| local < end);
        let day_before = local.date().pred_opt().unwrap_or(local.date()).weekday();
        let on = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        let today = local.weekday();
        let within = match self.hours {
            None => on(today),
            Some((from, to)) if from < to => on(today) && (from..to).contains(&local.time()),
            // It began yesterday and runs past midnight, or began today.
            Some((from, to)) => (on(today) && local.time() >= from) || (on(day_before) && local.time() < to),
        };
        begun && not_over && within
    }

    /// When it is, in words that stay the same however late it is.
    pub fn says(&self) -> String {
        let mut parts = Vec::new();
        if !self.days.is_empty() {
            parts.push(self.days.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        }
        if let Some((from, to)) = self.hours {
            parts.push(format!("{} to {}", from.format("%H:%M"), to.format("%H:%M")));
        }
        if let Some(begin) = self.begin {
            parts.push(format!("from {}", begin.format("%Y-%m-%d %H:%M")));
        }
        if let Some(end) = self.end {
            parts.push(format!("until {}", end.format("%Y-%m-%d %H:%M")));
        }
        if parts.is_empty() {
            parts.push("always".to_owned());
        }
        format!("{} {}", parts.join(" "), self.zone)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn window(zone: &str) -> Window {
        Window {
            name: "w".into(),
            effect: WindowEffect::Deny,
            environments: BTreeSet::new(),
            zone: zone.parse().expect("a zone"),
            days: Vec::new(),
            hours: None,
            begin: None,
            end: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(DateTime::parse_from_rfc3339(text).expect("a moment").timestamp_millis())
    }

    fn clock(text: &str) -> NaiveTime {
        text.parse().expect("a time")
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let weekend = Window { days: vec![Weekday::Sat, Weekday::Sun], ..window("Europe/Berlin") };
        // 2026-11-20 is a Friday; Berlin is an hour ahead of UTC.
        assert!(!weekend.is_active(at("2026-11-20T22:59:00Z")));
        assert!(weekend.is_active(at("2026-11-20T23:00:00Z")));
        assert!(!weekend.is_active(at("2026-11-22T23:00:00Z")));
    }

    #[test]
    fn hours_may_run_past_midnight_and_belong_to_the_day_they_began() {
        let hours = Some((clock("18:00:00"), clock("08:00:00")));
        let friday = Window { days: vec![Weekday::Fri], hours, ..window("UTC") };
        for (moment, active) in [
            ("2026-11-20T17:59:59Z", false),
            ("2026-11-20T18:00:00Z", true),
            ("2026-11-21T07:59:59Z", true),
            ("2026-11-21T08:00:00Z", false),
            ("2026-11-20T07:00:00Z", false),
        ] {
            assert_eq!(friday.is_active(at(moment)), active, "{moment}");
        }
    }

    #[test]
    fn dates_begin_and_end_at_the_wall_of_the_zone_in_summer_and_winter() {
        let moment = |text: &str| Some(text.parse::<NaiveDateTime>().expect("a moment"));
        let (begin, end) = (moment("2026-07-01T00:00:00"), moment("2026-12-01T00:00:00"));
        let half = Window { begin, end, ..window("America/New_York") };
        for (moment, active) in [
            ("2026-07-01T03:59:59Z", false),
            ("2026-07-01T04:00:00Z", true),
            ("2026-12-01T04:59:59Z", true),
            ("2026-12-01T05:00:00Z", false),
        ] {
            assert_eq!(half.is_active(at(moment)), active, "{moment}");
        }
        assert_eq!(half.says(), "from 2026-07-01 00:00 until 2026-12-01 00:00 America/New_York");
    }
}
