//! One look at the world and one plan: revision → snapshot → files → plan, with what memory holds against it.

use std::collections::{BTreeMap, BTreeSet};

use crate::endpoints::Exceptions;
use crate::model::desired::{Desired, ImageLock};
use crate::model::drift::{Kind, Nature};
use crate::model::file::{FileSet, Files, Rendered};
use crate::model::names::InstanceName;
use crate::model::observed::{Observed, Seen};
use crate::model::ownership::Owner;
use crate::model::plan::{Plan, Verb};
use crate::observe;
use crate::plan::{self, Holds, PlanInput, Wait};
use crate::render;

use super::memory::Memory;
use super::revision::Taken;
use super::{ControlError, World, backoff, images};

/// Everything one pass knew and concluded.
#[derive(Debug)]
pub struct Pass {
    pub taken: Taken,
    /// What is declared, within the chosen environments.
    pub desired: Desired,
    pub images: ImageLock,
    pub observed: Observed,
    pub rendered: Rendered,
    pub plan: Plan,
    /// Instances that are no longer declared and stay for now; so does their traffic.
    pub staying: BTreeSet<InstanceName>,
}

impl Pass {
    /// The installed generated files, where they could be read: the other side of a diff.
    pub fn installed(&self) -> BTreeMap<FileSet, Option<Files>> {
        installed(&self.observed)
    }
}

/// Looks and plans. Nothing is changed; with `remember`, resolved tags are kept for the revision.
pub async fn look(world: &World, taken: Taken, remember: bool) -> Result<Pass, ControlError> {
    let desired = within(world, &taken.desired);
    let observed = observe::observe(
        &desired,
        &*world.engines,
        &*world.files,
        &*world.clock,
        world.key.id(),
        &world.limits,
        world.call_deadline.duration(),
    )
    .await;
    let answer = desired.hosts.keys().filter(|host| observed.engine(host).is_some()).cloned().collect();
    let images = images::lock(world, &desired, &answer, remember).await?;
    conclude(world, taken, desired, images, observed)
}

/// Plans against a given snapshot: `plan --observed FILE`.
pub fn replay(world: &World, taken: Taken, observed: Observed) -> Result<Pass, ControlError> {
    let desired = within(world, &taken.desired);
    let images = Memory::new(&*world.store).image_lock(&desired.revision)?.unwrap_or_default();
    conclude(world, taken, desired, images, observed)
}

fn within(world: &World, desired: &Desired) -> Desired {
    match &world.environments {
        Some(environments) => desired.only(environments),
        None => desired.clone(),
    }
}

fn conclude(
    world: &World,
    taken: Taken,
    desired: Desired,
    images: ImageLock,
    observed: Observed,
) -> Result<Pass, ControlError> {
    let owner = world.owner(&desired.fleet);
    let all_known = desired.hosts.keys().all(|host| observed.engine(host).is_some());
    let holds = holds(world, &desired, all_known)?;
    let planned = |exceptions: &Exceptions| {
        let rendered = files_for(&desired, &observed, &owner, exceptions);
        let plan = plan::plan(&PlanInput {
            desired: &desired,
            observed: &observed,
            images: &images,
            key: &world.key,
            owner: &owner,
            limits: &world.limits,
            now: world.clock.now(),
            rendered: &rendered,
            holds: &holds,
        });
        (rendered, plan)
    };
    let (mut rendered, mut plan) = planned(&Exceptions::default());
    let staying = staying(&plan);
    // Only the plan knows who stays, and files follow from that: what may not be taken away keeps its traffic (B3).
    if !staying.is_empty() {
        (rendered, plan) = planned(&Exceptions { staying: staying.clone(), ..Exceptions::default() });
    }
    Ok(Pass { taken, desired, images, observed, rendered, plan, staying })
}

/// Instances that are no longer declared and that this plan does not take away: held, protected or left alone.
fn staying(plan: &Plan) -> BTreeSet<InstanceName> {
    let held = plan.held.iter().filter(|change| change.action == Verb::Remove).map(|change| &change.subject);
    let alone = plan.drift.iter().filter(|d| d.left_alone.is_some() && matches!(d.nature, Nature::Extra));
    let subjects = held.chain(alone.map(|drift| &drift.subject));
    subjects.filter(|s| s.kind == Kind::Container).filter_map(|s| s.name.parse().ok()).collect()
}

/// The generated files that follow from what is seen, but for the `exceptions`.
pub fn files_for(desired: &Desired, observed: &Observed, owner: &Owner, exceptions: &Exceptions) -> Rendered {
    render::render(desired, observed, owner, exceptions, &installed(observed))
}

fn installed(observed: &Observed) -> BTreeMap<FileSet, Option<Files>> {
    observed
        .files
        .iter()
        .filter_map(|(set, seen)| match seen {
            Seen::Known(files) => Some((set.clone(), files.clone())),
            Seen::Unknown { .. } => None,
        })
        .collect()
}

/// What people, failures and time hold back.
fn holds(world: &World, desired: &Desired, all_known: bool) -> Result<Holds, ControlError> {
    let memory = Memory::new(&*world.store);
    let now = world.clock.now();
    let mut holds = Holds::default();
    for (app, pause) in memory.pauses(now)? {
        let until = pause.until.map_or_else(|| "until resumed".to_owned(), |t| format!("until {t}"));
        let reason = format!("paused since {} {until}: {}", pause.since, pause.reason);
        match app {
            Some(key) => {
                holds.paused.insert(key, reason);
            }
            None => holds.paused_fleet = Some(reason),
        }
    }
    holds.quarantined = memory.quarantined()?;
    for (subject, attempts) in memory.attempts()? {
        // The wait belongs to this very change; a newer commit asks for another one and pre-empts it (D3).
        let until = backoff::not_before(&attempts, now);
        holds.not_before.insert(subject, Wait { promise: attempts.promise, until, failed: attempts.error });
    }
    holds.approved = memory.approved(&desired.revision)?;
    holds.restart_requested = memory.restart_requests()?;
    holds.unprotected = memory.unprotected()?;
    holds.last_seen = memory.last_seen()?;
    // Without any unknown host this look itself is complete.
    holds.memory_complete = memory.is_complete()? || all_known;
    holds.destroyed_recently = memory.destroyed(&desired.revision, now)?;
    Ok(holds)
}
