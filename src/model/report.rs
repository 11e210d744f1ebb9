//! A drift report: how the fleet differs from git now, and what happened since the report before it.

use std::collections::BTreeMap;

use super::history::HistoryEntry;
use super::names::{EnvironmentName, FleetName, HostName};
use super::permission::PermissionStanding;
use super::plan::Plan;
use super::units::Timestamp;

/// Everything a report tells, gathered at one moment.
#[derive(Debug, Clone)]
pub struct Report {
    pub fleet: FleetName,
    /// The environments it is about.
    pub environments: Vec<EnvironmentName>,
    /// The commit's first line.
    pub summary: String,
    pub committed: Timestamp,
    pub enforced_since: Option<Timestamp>,
    /// Why the head is not what is enforced (A2).
    pub kept_because: Option<String>,
    /// Since when a newer head is refused, whichever it is.
    pub kept_since: Option<Timestamp>,
    /// Who vouches for the revision (F0, F1).
    pub permission: PermissionStanding,
    /// What happened from then on, up to `plan.observed_at`.
    pub from: Timestamp,
    /// Apps, hosts, and instances (containers and services) that were looked at.
    pub looked_at: LookedAt,
    /// Drift, what is held, blocked, unknown and unmanaged, and the revision.
    pub plan: Plan,
    /// When a drift, or something unknown, was seen first, by the subject in words.
    pub since: BTreeMap<String, Timestamp>,
    /// Hosts that do not answer, and why.
    pub silent_hosts: BTreeMap<HostName, String>,
    /// What was done, oldest first.
    pub done: Vec<HistoryEntry>,
    /// What this release cannot check at all, in words.
    pub unchecked: Vec<String>,
}

/// How much a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LookedAt {
    pub apps: usize,
    pub hosts: usize,
    /// Containers that are trueup's.
    pub instances: usize,
}
