//! What the planner is given: the declared, the observed, and what people, failures and time hold back.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::{Desired, ImageLock};
use crate::model::file::Rendered;
use crate::model::last_seen::LastSeen;
use crate::model::names::{AppKey, HostName};
use crate::model::observed::Observed;
use crate::model::ownership::Owner;
use crate::model::rollout::Rollout;
use crate::model::secrecy::HashKey;
use crate::model::settings::Limits;
use crate::model::units::Timestamp;

use super::under_way::Begun;

/// Everything `plan()` may know. The file sets that are configured are the keys of `observed.files`.
pub struct PlanInput<'a> {
    pub desired: &'a Desired,
    pub observed: &'a Observed,
    pub images: &'a ImageLock,
    pub key: &'a HashKey,
    pub owner: &'a Owner,
    pub limits: &'a Limits,
    pub now: Timestamp,
    /// The generated files as they should be, already rendered by the caller.
    pub rendered: &'a Rendered,
    pub holds: &'a Holds,
}

/// A change that was tried before, and when it may be tried again (D3).
#[derive(Debug, Clone)]
pub struct Wait {
    /// The wait is this very change's.
    pub promise: String,
    pub until: Timestamp,
    /// How it failed; `None`: it succeeded and is wanted again.
    pub failed: Option<String>,
}

/// What is held back, and why.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    /// Reason the whole fleet is paused.
    pub paused_fleet: Option<String>,
    pub paused: BTreeMap<AppKey, String>,
    /// By the subject's words (`Subject::to_string`): the change (its promise) that is left alone, and why (D7).
    pub quarantined: BTreeMap<String, (String, String)>,
    /// By the subject's words (D3).
    pub not_before: BTreeMap<String, Wait>,
    /// Promises (D11) of destructive changes a person approved; any subset stays approved (B3).
    pub approved: BTreeSet<String>,
    /// Containers of these apps started before the moment are restarted.
    pub restart_requested: BTreeMap<AppKey, Timestamp>,
    /// Changes of earlier plans that have begun and not ended (D6).
    pub under_way: Vec<Begun>,
    /// Rollouts of services that Swarm was not yet seen to have done (D2).
    pub rollouts: BTreeMap<AppKey, Rollout>,
    /// Things taken away for this revision or within the last hour: they count against the budget (B3).
    pub destroyed_recently: usize,
    /// Apps that git last declared without `protect`: their containers may still carry its label (B2).
    pub unprotected: BTreeSet<AppKey>,
    /// Where each instance was seen last, on hosts that may be unknown now (C8).
    pub last_seen: LastSeen,
    /// Hosts that are still being read: nothing new is placed while they might be the place for it (D6).
    pub pending: BTreeSet<HostName>,
    /// Every host was seen at least once since the memory began: an instance it does not know was never started.
    /// `false` after a loss of the state file, until every host has answered (H).
    pub memory_complete: bool,
}
