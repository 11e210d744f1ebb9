//! What a change on a Swarm takes away, in tasks: what B3 counts, as it counts instances on hosts.

use crate::model::drift::Kind;
use crate::model::observed::{Observed, Seen};
use crate::model::plan::{Action, Change};
use crate::model::service::ServiceMode;
use crate::model::swarm::{LiveService, Swarm, TaskState};

/// Whether somebody may be served by such a service.
pub(super) fn serves(mode: ServiceMode) -> bool {
    !mode.is_job() && mode != ServiceMode::Replicated(0)
}

/// How many tasks a service is to have. Those of jobs end by themselves: nobody is served by them.
pub(super) fn wanted(swarm: &Swarm, live: &LiveService) -> usize {
    match live.spec.mode {
        ServiceMode::Replicated(count) => usize::try_from(count).unwrap_or(usize::MAX),
        ServiceMode::Global => swarm.tasks_of(&live.id).filter(|t| t.wanted <= TaskState::Running).count(),
        ServiceMode::ReplicatedJob { .. } | ServiceMode::GlobalJob => 0,
    }
}

/// How many of `now` tasks are left in another mode; Swarm itself decides where a global service runs.
fn left(now: usize, mode: ServiceMode) -> usize {
    match mode {
        ServiceMode::Replicated(count) => now.min(usize::try_from(count).unwrap_or(usize::MAX)),
        ServiceMode::Global => now,
        ServiceMode::ReplicatedJob { .. } | ServiceMode::GlobalJob => 0,
    }
}

/// How many tasks go, and how many of those that are there stay.
pub(super) fn weigh(now: usize, wanted: Option<ServiceMode>) -> (usize, usize) {
    let stay = wanted.map_or(0, |mode| left(now, mode));
    (now - stay, stay)
}

/// How many instances or tasks a destructive change takes away.
pub fn taken(observed: &Observed, change: &Change) -> usize {
    if !change.destructive {
        return 0;
    }
    let on_swarm = || {
        let swarm = observed.swarms.get(change.subject.swarm.as_ref()?).and_then(Seen::known)?;
        let live = swarm.services.get(&change.subject.name).and_then(Seen::known)?;
        Some(weigh(wanted(swarm, live), mode_after(change)).0)
    };
    match change.subject.kind {
        Kind::Service => on_swarm().unwrap_or(1),
        Kind::Host
        | Kind::Image
        | Kind::Network
        | Kind::Volume
        | Kind::Container
        | Kind::Config
        | Kind::Node
        | Kind::Swarm
        | Kind::Files
        | Kind::App
        | Kind::Revision => 1,
    }
}

/// Whether the change leaves nothing of a service that served.
pub(in super::super) fn leaves_nothing(observed: &Observed, change: &Change) -> bool {
    let mode = mode_after(change);
    taken(observed, change) > 0 && !mode.is_some_and(serves)
}

/// `None`: the service goes.
fn mode_after(change: &Change) -> Option<ServiceMode> {
    change.steps.iter().find_map(|step| {
        let (Action::CreateService { spec, .. } | Action::UpdateService { spec, .. }) = &step.action else {
            return None;
        };
        Some(spec.mode)
    })
}
