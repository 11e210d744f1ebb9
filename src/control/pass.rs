//! One look at the world and one plan: revision → snapshot → files → plan, with what memory holds against it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::{Desired, ImageLock};
use crate::model::file::{FileSet, Files, Rendered};
use crate::model::names::{AppKey, InstanceName};
use crate::model::observed::{Observed, Seen};
use crate::model::ownership::Owner;
use crate::model::plan::Plan;
use crate::observe;
use crate::plan::{self, Holds, PlanInput};
use crate::render;

use super::judge::{self, Judged};
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
    /// What the policies left of the revision.
    pub judged: Judged,
}

impl Pass {
    /// The installed generated files, where they could be read: the other side of a diff.
    pub fn installed(&self) -> BTreeMap<FileSet, Option<Files>> {
        installed(&self.observed)
    }
}

/// Looks and plans. Nothing is changed; with `remember`, resolved tags are kept for the revision.
pub async fn look(world: &World, taken: Taken, remember: bool) -> Result<Pass, ControlError> {
    let scoped = within(world, &taken.desired);
    let kept = taken.baseline.applied.revisions();
    let images = images::lock(world, &scoped, &kept, remember).await?;
    // What a policy holds is not even looked at: nothing that it alone names is dialled.
    let judged = judge::judge(world, &taken, &images, None).await?;
    let draft = see(world, taken.clone(), images.clone(), judged).await?;
    if !draft.judged.wants_plan {
        return Ok(draft);
    }
    let judged = judge::judge(world, &taken, &images, Some(&draft.plan)).await?;
    see(world, taken, images, judged).await
}

/// Looks at what is enforced, and plans.
async fn see(world: &World, taken: Taken, images: ImageLock, judged: Judged) -> Result<Pass, ControlError> {
    let desired = within(world, &judged.enforced.desired);
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
    conclude(world, taken, desired, images, observed, judged)
}

/// Plans against a given snapshot: `plan --observed FILE`.
pub async fn replay(world: &World, taken: Taken, observed: Observed) -> Result<Pass, ControlError> {
    let revision = &taken.desired.revision;
    let images = Memory::new(&*world.store).image_lock(revision)?.unwrap_or_default();
    let judged = judge::judge(world, &taken, &images, None).await?;
    let desired = within(world, &judged.enforced.desired);
    conclude(world, taken, desired, images, observed, judged)
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
    judged: Judged,
) -> Result<Pass, ControlError> {
    let owner = world.owner(&desired.fleet);
    let rendered = files_for(&desired, &observed, &owner, &BTreeSet::new());
    let all_known = desired.hosts.keys().all(|host| observed.engine(host).is_some());
    let mut holds = holds(world, &desired, all_known)?;
    holds.paused.extend(judged.enforced.paused.clone());
    holds.paused_fleet = holds.paused_fleet.or_else(|| judged.enforced.paused_fleet.clone());
    let mut plan = plan::plan(&PlanInput {
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
    plan.findings = judged.findings.clone();
    let ours = |app: &AppKey| desired.judges(&app.environment);
    let blocked = judged.blocked.iter().filter(|blocked| blocked.app.as_ref().is_none_or(ours));
    plan.blocked.extend(blocked.cloned());
    Ok(Pass { taken, desired, images, observed, rendered, plan, judged })
}

/// The generated files that follow from what is seen, without the `drained` instances.
pub fn files_for(
    desired: &Desired,
    observed: &Observed,
    owner: &Owner,
    drained: &BTreeSet<InstanceName>,
) -> Rendered {
    render::render(desired, observed, owner, drained, &installed(observed))
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
        holds.not_before.insert(subject, (attempts.promise.clone(), backoff::not_before(&attempts)));
    }
    holds.approved = memory.approvals()?.into_values().flatten().collect();
    holds.restart_requested = memory.restart_requests()?;
    holds.last_seen = memory.last_seen()?;
    // Without any unknown host this look itself is complete.
    holds.memory_complete = memory.is_complete()? || all_known;
    holds.destroyed_recently = memory.destroyed(&desired.revision, now)?;
    Ok(holds)
}
