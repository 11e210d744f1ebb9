//! The nouns: what is declared (`Desired`), what is (`Observed`), the difference (`Drift`), what to do (`Plan`).
//!
//! Plain data, floor 0: nothing here touches the world or imports another floor.

/// Serde through `Display` and `FromStr`, for types that people write as one word.
macro_rules! serialize_as_text {
    ($($name:ident),* $(,)?) => { $(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )* };
}

pub mod adoption;
pub mod app;
pub mod check;
pub mod container;
pub mod desired;
pub mod disk;
pub mod drift;
pub mod exit;
pub mod file;
pub mod finding;
pub mod history;
pub mod host;
pub mod image;
pub mod last_seen;
pub mod metrics;
pub mod names;
pub mod network;
pub mod observed;
pub mod ownership;
pub mod permission;
pub mod plan;
pub mod policy;
pub mod reach;
pub mod report;
pub mod rollout;
pub mod schedule;
pub mod secrecy;
pub mod service;
pub mod settings;
pub mod swarm;
pub mod tree;
pub mod units;
pub mod webhook;
pub mod zone;
