//! The line run as a whole: take a revision, look, plan, carry out, remember; once (`converge`) or for ever (`run`).

mod abreast;
pub mod ahead;
mod applying;
pub mod backoff;
pub mod baseline;
mod behind;
pub mod check;
pub mod collect;
pub mod concern;
pub mod converge;
pub mod first_seen;
pub mod flights;
mod foreign;
mod healthy;
pub mod images;
pub mod judge;
mod kept;
pub mod known;
mod last_seen;
pub mod memory;
pub mod metrics;
pub mod named;
pub mod pass;
pub mod permission;
pub mod person;
pub mod report;
pub mod reporting;
pub mod revision;
pub mod rollouts;
pub mod rules;
pub mod run;
pub mod snapshot;
pub mod standing;
pub mod traffic;
mod veil;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::names::EnvironmentName;
use crate::model::ownership::Owner;
use crate::model::permission::PermissionSettings;
use crate::model::policy::PolicySettings;
use crate::model::secrecy::HashKey;
use crate::model::settings::{Limits, Settings};
use crate::model::units::TimeSpan;
use crate::ports::{
    Clock, EngineError, Engines, FileSets, FilesError, Progress, Repository, Sandbox, SourceError, Store,
    StoreError, WriterHeld,
};

/// Every port, and the settings the line needs: what `cli` puts together from adapters, and tests from the simulator.
#[derive(Clone)]
pub struct World {
    pub engines: Arc<dyn Engines>,
    pub repository: Arc<dyn Repository>,
    /// Which one that is, and the root in it: a person may name another one than the settings do.
    pub source: String,
    pub files: Arc<dyn FileSets>,
    pub store: Arc<dyn Store>,
    /// Where rules are read and evaluated.
    pub sandbox: Arc<dyn Sandbox>,
    pub clock: Arc<dyn Clock>,
    pub progress: Arc<dyn Progress>,
    pub installation: String,
    pub key: HashKey,
    pub limits: Limits,
    /// What a commit needs before it is enforced (F0, F1).
    pub permission: PermissionSettings,
    /// Which rules are on, and what they are given (F2).
    pub policy: PolicySettings,
    pub call_deadline: TimeSpan,
    pub pull_deadline: TimeSpan,
    /// Only these; `None`: all.
    pub environments: Option<BTreeSet<EnvironmentName>>,
    /// The wanted revision, for commands that name one; `None`: the repository's head.
    pub revision: Option<crate::model::settings::Reference>,
}

impl World {
    /// The settings' part of a world.
    pub fn limits_of(settings: &Settings) -> (Limits, TimeSpan, TimeSpan) {
        (settings.limits.clone(), settings.engines.call_deadline, settings.engines.pull_deadline)
    }

    /// What reads the hosts for passes that do not wait for slow ones.
    pub fn surveyor(&self) -> crate::observe::Surveyor {
        crate::observe::Surveyor::new(
            Arc::clone(&self.engines),
            Arc::clone(&self.clock),
            self.limits.fan_out,
            self.call_deadline.duration(),
        )
    }

    /// Who owns what this world makes for `fleet`.
    pub fn owner(&self, fleet: &crate::model::names::FleetName) -> Owner {
        Owner { installation: self.installation.clone(), fleet: fleet.clone() }
    }
}

/// Why the line could not be run at all. What goes wrong with single objects stands in plans and outcomes.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No revision was ever good, and the head is not either.
    #[error("commit {revision} cannot be taken:\n{errors}")]
    Config { revision: String, errors: String },
    #[error("commit {revision} is held: {reason}")]
    Held { revision: String, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Writer(#[from] WriterHeld),
    /// A person asked for what cannot be done now.
    #[error("{0}")]
    Refused(String),
    /// A saved plan does not fit the world any more (D11).
    #[error(
        "the saved plan is refused, since the world moved. It does not have what is wanted now:\n{0}\nNothing was changed. Look at a new plan, then apply that."
    )]
    PlanMoved(String),
}
