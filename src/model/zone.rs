//! Time zones by their IANA names, with the rules that came with this release: what a wall clock shows, and when.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use super::units::Timestamp;

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// There is no time zone of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone {0:?}: name one as in \"Europe/Berlin\" or \"UTC\"")]
pub struct NoZone(pub String);

/// When clocks show a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Showing {
    Once(Timestamp),
    /// They went back in between.
    Twice(Timestamp, Timestamp),
    /// They went forward over it, at this moment.
    Never(Timestamp),
}

impl Zone {
    pub const UTC: Self = Self(TimeZone::UTC);

    /// What its clocks show; `None` in years that have more than four digits.
    pub fn clock(&self, moment: Timestamp) -> Option<NaiveDateTime> {
        let offset = self.0.to_offset(jiff::Timestamp::from_millisecond(moment.0).ok()?);
        Some(DateTime::from_timestamp_millis(moment.0.checked_add(millis(offset))?)?.naive_utc())
    }

    /// When its clocks show `time`.
    pub fn shows(&self, time: NaiveDateTime) -> Option<Showing> {
        let as_if_utc = time.and_utc().timestamp_millis();
        let time = Offset::UTC.to_datetime(jiff::Timestamp::from_millisecond(as_if_utc).ok()?);
        let at = |offset: Offset| as_if_utc.saturating_sub(millis(offset));
        Some(match self.0.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => Showing::Once(Timestamp(at(offset))),
            AmbiguousOffset::Fold { before, after } => {
                Showing::Twice(Timestamp(at(before)), Timestamp(at(after)))
            }
            AmbiguousOffset::Gap { after, .. } => {
                // By the clocks as they are after it, what was skipped would have been before.
                let before = jiff::Timestamp::from_millisecond(at(after)).ok()?;
                Showing::Never(Timestamp(self.0.following(before).next()?.timestamp().as_millisecond()))
            }
        })
    }

    /// A moment as its clocks show it, such as `2026-11-23 07:00 CET`.
    pub fn says(&self, moment: Timestamp) -> Option<String> {
        let shown = self.clock(moment)?.format("%Y-%m-%d %H:%M");
        let info = self.0.to_offset_info(jiff::Timestamp::from_millisecond(moment.0).ok()?);
        Some(format!("{shown} {}", info.abbreviation()))
    }
}

fn millis(offset: Offset) -> i64 {
    i64::from(offset.seconds()) * 1000
}

impl FromStr for Zone {
    type Err = NoZone;

    fn from_str(name: &str) -> Result<Self, NoZone> {
        let found = TimeZoneDatabase::bundled().get(name).ok();
        // What says that nobody has set one is none.
        let found = found.filter(|zone| !zone.is_unknown() && zone.iana_name() != Some("Factory"));
        found.map(Self).ok_or_else(|| NoZone(name.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().expect("a zone")
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(DateTime::parse_from_rfc3339(text).expect("a moment").timestamp_millis())
    }

    #[test]
    fn clocks_that_change_show_a_time_twice_or_never() {
        for (name, time, shown) in [
            ("Europe/Berlin", "2026-06-01T02:30:00", Showing::Once(at("2026-06-01T00:30:00Z"))),
            (
                "Europe/Berlin",
                "2026-10-25T02:30:00",
                Showing::Twice(at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z")),
            ),
            ("Europe/Berlin", "2026-03-29T02:00:00", Showing::Never(at("2026-03-29T01:00:00Z"))),
            ("Europe/Berlin", "2026-03-29T02:59:59", Showing::Never(at("2026-03-29T01:00:00Z"))),
            ("Europe/Berlin", "2026-03-29T03:00:00", Showing::Once(at("2026-03-29T01:00:00Z"))),
            // A change by half an hour, and one by a whole day.
            ("Australia/Lord_Howe", "2026-10-04T02:15:00", Showing::Never(at("2026-10-03T15:30:00Z"))),
            ("Pacific/Apia", "2011-12-30T12:00:00", Showing::Never(at("2011-12-30T10:00:00Z"))),
            ("UTC", "2026-03-29T02:30:00", Showing::Once(at("2026-03-29T02:30:00Z"))),
        ] {
            assert_eq!(zone(name).shows(time.parse().expect("a time")), Some(shown), "{time} in {name}");
        }
    }

    #[test]
    fn a_moment_is_said_as_the_clock_on_the_wall_says_it() {
        let says = |name: &str, moment: &str| zone(name).says(at(moment)).expect("a year of four digits");
        assert_eq!(says("Europe/Berlin", "2026-11-23T06:00:00Z"), "2026-11-23 07:00 CET");
        assert_eq!(says("Europe/Berlin", "2026-07-01T05:00:00Z"), "2026-07-01 07:00 CEST");
        assert_eq!(says("UTC", "2026-07-01T05:00:00Z"), "2026-07-01 05:00 UTC");
        // A zone without letters of its own is told by its distance.
        assert_eq!(says("America/Sao_Paulo", "2026-07-01T05:00:00Z"), "2026-07-01 02:00 -03");
        assert_eq!(zone("Europe/Berlin").clock(Timestamp(i64::MAX)), None);
    }

    #[test]
    fn a_zone_has_the_name_that_the_world_gives_it() {
        assert_eq!(
            (zone("Europe/Berlin").to_string(), Zone::UTC.to_string()),
            ("Europe/Berlin".into(), "UTC".into())
        );
        assert_eq!(zone("UTC"), Zone::UTC);
        assert_eq!((zone("europe/berlin"), zone("utc")), (zone("Europe/Berlin"), Zone::UTC));
        assert_eq!(zone("europe/berlin").to_string(), "Europe/Berlin");
        for name in ["Europe/Nowhere", "", "Etc/Unknown", "Factory", "factory", "+02:00"] {
            assert_eq!(name.parse::<Zone>(), Err(NoZone(name.to_owned())));
        }
    }
}
