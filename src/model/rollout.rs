//! What is remembered of a service's rollout, from the moment it was sent until Swarm has it or went back from it (D2).

use serde::{Deserialize, Serialize};

use super::secrecy::ContentHash;
use super::units::Timestamp;

/// The last rollout of an app's service that Swarm was not yet seen to have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Of the declared spec (`ServiceSpec::task_hash`): another one is another rollout.
    pub spec: ContentHash,
    /// When the service's update before this one began, by Swarm's clock: a rollback that says so too is not of this one.
    pub before: Option<Timestamp>,
    /// How many of its tasks ran at once, at most; and when one more did, or it began.
    pub reached: usize,
    pub moved: Timestamp,
    /// Swarm went back: the same spec is not tried again.
    pub failed: Option<WentBack>,
}

/// Why Swarm went back, and when that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WentBack {
    pub why: String,
    pub seen: Timestamp,
}
