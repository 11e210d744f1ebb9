//! Quantities as people write them (`"512MiB"`, `"30s"`, `2.0` CPUs) and as engines count them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct UnitError {
    pub text: String,
    pub what: &'static str,
}

/// A number of bytes. Written with a binary unit: `"64KiB"`, `"512MiB"`, `"3GiB"`, `"1TiB"`, or `"100B"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

const BYTE_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for ByteSize {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError { text: text.to_owned(), what: "a size such as \"512MiB\" or \"3GiB\"" };
        let (number, factor) = BYTE_UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
            .ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(factor).map(ByteSize).ok_or_else(wrong)
    }
}

impl ByteSize {
    /// For people who need no more than the order: `8.4GiB`.
    pub fn rounded(self) -> String {
        match BYTE_UNITS.iter().find(|(_, factor)| self.0 >= *factor) {
            Some((unit, factor)) if *factor > 1 => {
                let tenths = u128::from(self.0) * 10 / u128::from(*factor);
                format!("{}.{}{unit}", tenths / 10, tenths % 10)
            }
            Some(_) | None => self.to_string(),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = BYTE_UNITS
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(&BYTE_UNITS[4]);
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// A length of time, to the millisecond. Written `"250ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"` or joined: `"1m30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeSpan(Duration);

const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A thousand years: more is a slip.
const LONGEST_SPAN: u64 = 1000 * 366 * 86_400_000;

impl TimeSpan {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
    pub const fn duration(self) -> Duration {
        self.0
    }
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
    pub fn plus(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
    pub fn nanos(self) -> i64 {
        i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)
    }
}

impl FromStr for TimeSpan {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError { text: text.to_owned(), what: "a duration such as \"30s\" or \"5m\"" };
        let (mut rest, mut total) = (text, 0u64);
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let factor = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
            let number: u64 = number.parse().map_err(|_| wrong())?;
            total = number.checked_mul(factor).and_then(|n| n.checked_add(total)).ok_or_else(wrong)?;
            rest = tail;
        }
        // A moment that far ahead still is one that can be written.
        if total > LONGEST_SPAN { Err(wrong()) } else { Ok(Self::from_millis(total)) }
    }
}

impl TimeSpan {
    /// Whole minutes, for people who need no more.
    pub fn to_minutes(self) -> Self {
        Self::from_millis(self.millis() / 60_000 * 60_000)
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in TIME_UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

/// CPUs in billionths, as Docker's `NanoCpus`. Written as a number: `0.5`, `2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cpus(pub u64);

impl Cpus {
    /// `None` where the number is negative, not finite or beyond a million.
    pub fn from_f64(cpus: f64) -> Option<Self> {
        if !(0.0..=1e6).contains(&cpus) {
            return None;
        }
        // Within the range just checked the product fits and keeps Docker's own precision (milli-CPUs and finer).
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(Self((cpus * 1e9).round() as u64))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Cpus {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        text.parse()
            .ok()
            .and_then(Self::from_f64)
            .ok_or_else(|| UnitError { text: text.to_owned(), what: "a number of CPUs such as 0.5 or 2" })
    }
}

/// A moment: milliseconds since 1970 in UTC. Printed as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
    /// Time passed since `earlier`; zero where the clock went backwards.
    pub fn since(self, earlier: Self) -> TimeSpan {
        TimeSpan::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(moment) => f.write_str(&moment.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

serialize_as_text!(ByteSize, TimeSpan, Cpus);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_back_as_written() {
        for text in ["512MiB", "3GiB", "100B", "0B"] {
            assert_eq!(text.parse::<ByteSize>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        for text in ["250ms", "30s", "5m", "1m30s", "1d2h", "0s"] {
            assert_eq!(text.parse::<TimeSpan>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        for text in ["0.5", "2", "0.25"] {
            assert_eq!(text.parse::<Cpus>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn people_read_rounded_ones() {
        assert_eq!(ByteSize(9 * (1 << 30) + (1 << 29)).rounded(), "9.5GiB");
        assert_eq!(
            (ByteSize(12).rounded(), ByteSize(1536).rounded()),
            ("12B".to_owned(), "1.5KiB".to_owned())
        );
        assert_eq!(TimeSpan::from_secs(3_725).to_minutes().to_string(), "1h2m");
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for bad in ["", "12", "5 MB", "-1MiB", "99999999999TiB", "1.5GiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad:?}");
        }
        for bad in ["", "12", "5 m", "-1s", "s", "99999999999999999d", "9999999999d"] {
            assert!(bad.parse::<TimeSpan>().is_err(), "{bad:?}");
        }
        for bad in ["nan", "-1", "inf", "1e9"] {
            assert!(bad.parse::<Cpus>().is_err(), "{bad:?}");
        }
    }
}
