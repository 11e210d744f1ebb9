//! Digests that run healthy where it is not production (F5): what production may get.

use std::collections::BTreeSet;

use crate::model::app::App;
use crate::model::container::HealthCheck;
use crate::model::image::{Digest, ImageRef};
use crate::model::names::AppKey;
use crate::model::observed::{Health, RunState, Seen};
use crate::model::ownership::{Belongs, Owner};
use crate::model::swarm::{Task, TaskState};
use crate::model::units::Timestamp;

use super::memory::Memory;
use super::pass::Pass;
use super::{ControlError, World};

/// Remembers what this look saw healthy.
pub(super) fn note(world: &World, pass: &Pass) -> Result<(), ControlError> {
    Ok(Memory::new(&*world.store).note_healthy_in_test(&seen(world, pass), world.clock.now())?)
}

/// What this look saw healthy.
pub(super) fn seen(world: &World, pass: &Pass) -> BTreeSet<Digest> {
    let owner = world.owner(&pass.desired.fleet);
    let mut digests = of_containers(pass, &owner);
    digests.extend(of_tasks(pass, &owner));
    digests
}

/// The app, where it is one that may prove something.
fn tried<'a>(pass: &'a Pass, key: &AppKey) -> Option<&'a App> {
    if pass.desired.is_production(&key.environment) {
        return None;
    }
    pass.desired.apps.get(key).map(|app| &**app)
}

fn of_containers(pass: &Pass, owner: &Owner) -> BTreeSet<Digest> {
    let mut digests = BTreeSet::new();
    for (host, engine) in &pass.observed.hosts {
        let Some(engine) = engine.known() else { continue };
        for container in engine.containers.values().filter_map(Seen::known) {
            let Belongs::Ours(owned) = owner.container(&container.name, host, &container.labels) else {
                continue;
            };
            let Some(app) = tried(pass, &owned.instance.key) else { continue };
            if is_proven(&container.state, app, pass.observed.at) {
                let images = engine.images.get(&container.image).into_iter();
                digests.extend(images.flat_map(|image| &image.digests).filter_map(|i| i.digest.clone()));
            }
        }
    }
    digests
}

fn is_proven(state: &RunState, app: &App, now: Timestamp) -> bool {
    match state {
        RunState::Running { health: Health::Healthy, .. } => true,
        RunState::Running { health: Health::Unchecked, since } => now.since(*since) >= app.update.min_healthy,
        RunState::Running { .. }
        | RunState::Created
        | RunState::Paused
        | RunState::Restarting { .. }
        | RunState::Removing
        | RunState::Exited { .. }
        | RunState::Dead => false,
    }
}

/// Containers of tasks carry no labels of ours: their service does, and Swarm gives it the digest.
fn of_tasks(pass: &Pass, owner: &Owner) -> BTreeSet<Digest> {
    let mut digests = BTreeSet::new();
    for (name, swarm) in &pass.observed.swarms {
        let Some(swarm) = swarm.known() else { continue };
        for service in swarm.services.values().filter_map(Seen::known) {
            let Belongs::Ours(Some(key)) =
                owner.swarm_object("service", &service.name, name, &service.labels)
            else {
                continue;
            };
            let Some(app) = tried(pass, &key) else { continue };
            let proven =
                swarm.tasks_of(&service.id).filter(|task| is_task_proven(task, app, pass.observed.at));
            digests.extend(proven.filter_map(|task| task.image.parse::<ImageRef>().ok()?.digest));
        }
    }
    digests
}

/// Swarm calls a task running once its health check passed; a job's is over.
fn is_task_proven(task: &Task, app: &App, now: Timestamp) -> bool {
    let checked = matches!(app.container.health, Some(HealthCheck::Probe { .. }));
    match task.state {
        TaskState::Running => {
            task.wanted == TaskState::Running && (checked || now.since(task.since) >= app.update.min_healthy)
        }
        TaskState::Complete => task.wanted == TaskState::Complete,
        TaskState::New
        | TaskState::Allocated
        | TaskState::Pending
        | TaskState::Assigned
        | TaskState::Accepted
        | TaskState::Preparing
        | TaskState::Ready
        | TaskState::Starting
        | TaskState::Shutdown
        | TaskState::Failed
        | TaskState::Rejected
        | TaskState::Remove
        | TaskState::Orphaned => false,
    }
}
