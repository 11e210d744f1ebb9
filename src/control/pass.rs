//! One look at the world and one plan: revision → snapshot → files → plan, with what memory holds against it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::endpoints::Exceptions;
use crate::model::adoption;
use crate::model::desired::{Desired, ImageLock};
use crate::model::drift::{Kind, Nature};
use crate::model::file::{Differing, FileSet, Files, Rendered, Sides};
use crate::model::last_seen::LastSeen;
use crate::model::names::{AppKey, InstanceName};
use crate::model::observed::{Observed, Seen, Snapshot};
use crate::model::ownership::Owner;
use crate::model::plan::{Plan, Verb};
use crate::model::rollout::Rollout;
use crate::model::units::Timestamp;
use crate::observe::{self, Asked, Pending, Surveyor};
use crate::plan::{self, Begun, Holds, PlanInput, Wait};
use crate::render;

use super::abreast::abreast;
use super::ahead::{self, Ahead};
use super::judge::{self, Judged, Proof};
use super::known::Known;
use super::memory::{LastAsked, Memory};
use super::named::{self, Named};
use super::revision::{Purpose, Reader, Taken};
use super::{ControlError, World, backoff, images, permission, rollouts};

/// Everything one pass knew and concluded.
#[derive(Debug, Clone)]
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
    /// Adopted containers of other names that stand for instances (B4).
    pub adopted: LastSeen,
    /// Hosts and Swarms that are unknown only because they are still being read (D6).
    pub pending: Pending,
    /// What is to be remembered of rollouts on Swarms (D2).
    pub rollouts: BTreeMap<AppKey, Rollout>,
    /// What the policies left of the revision.
    pub judged: Judged,
    /// The state was lost: the fleet stands still until a person names a revision (H).
    pub lost: bool,
}

impl Pass {
    /// The installed generated files, where they could be read: the other side of a diff.
    pub fn installed(&self) -> BTreeMap<FileSet, Option<Files>> {
        installed(&self.observed)
    }

    /// The generated files that were read and are not as they should be.
    pub fn differing(&self) -> Differing {
        let sides = self.installed().into_iter().map(|(set, installed)| {
            let wanted = self.rendered.sets.get(&set).cloned().unwrap_or_default();
            (set, Sides { installed: installed.unwrap_or_default(), wanted })
        });
        sides.filter(|(_, sides)| sides.installed != sides.wanted).collect()
    }
}

/// Takes the head, looks and plans, for whoever asks once. Nothing is changed, and nothing is remembered.
pub async fn take_and_look(world: &World) -> Result<Pass, ControlError> {
    take_and_look_for(world, Purpose::Look).await
}

/// As [`take_and_look`], beside what another process is carrying out on the same state.
pub async fn take_and_look_beside_others(world: &World) -> Result<Pass, ControlError> {
    let beside = of_others(world)?;
    once(world, Purpose::Look, &beside).await
}

/// What the writer of this state is at, where another process is it: what it noted before it was killed is over.
fn of_others(world: &World) -> Result<Beside, ControlError> {
    let noted = Memory::new(&*world.store).under_way()?;
    if noted.is_empty() || world.store.become_writer("trueup drift").is_ok() {
        return Ok(Beside::default());
    }
    let drained = noted.iter().flat_map(|noted| noted.drained.clone()).collect();
    // What this look is not about is none of its business, and the files are everybody's.
    let asked = |begun: &Begun| match (&world.environments, &begun.change.app) {
        (Some(environments), Some(app)) => environments.contains(&app.environment),
        (_, _) => true,
    };
    let begun = noted.into_iter().map(|noted| noted.begun).filter(asked).collect();
    Ok(Beside { begun, drained })
}

/// As [`take_and_look`] for one of the purposes.
pub async fn take_and_look_for(world: &World, purpose: Purpose) -> Result<Pass, ControlError> {
    once(world, purpose, &Beside::default()).await
}

async fn once(world: &World, purpose: Purpose, beside: &Beside) -> Result<Pass, ControlError> {
    let ahead = Ahead::begin(world);
    let reader = Reader::default();
    let taken = reader.take_for(world, purpose).await?;
    // What it knows is for the next look, and there is none: the end of the process takes it apart at once, where this would be
    // piece by piece before anything is planned.
    std::mem::forget(reader);
    look_by(world, taken, Eyes::All(ahead), beside, false).await
}

/// Looks and plans. Nothing is changed; with `remember`, resolved tags are kept for the revision.
pub async fn look(world: &World, taken: Taken, remember: bool) -> Result<Pass, ControlError> {
    look_by(world, taken, Eyes::All(None), &Beside::default(), remember).await
}

/// As [`look`] while something is carried out; nothing is remembered.
pub async fn look_beside(world: &World, taken: Taken, beside: &Beside) -> Result<Pass, ControlError> {
    look_by(world, taken, Eyes::All(None), beside, false).await
}

/// As [`look`], but without waiting for slow hosts: those are told as pending.
pub async fn look_quick(
    world: &World,
    taken: Taken,
    surveyor: &Surveyor,
    beside: &Beside,
    remember: bool,
) -> Result<Pass, ControlError> {
    look_by(world, taken, Eyes::Quick(surveyor), beside, remember).await
}

/// What is being carried out while this look is made, as it was before the look.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    pub begun: Vec<Begun>,
    /// Instances that it took out of the generated files.
    pub drained: BTreeSet<InstanceName>,
}

async fn look_by(
    world: &World,
    taken: Taken,
    mut eyes: Eyes<'_>,
    beside: &Beside,
    remember: bool,
) -> Result<Pass, ControlError> {
    if let Some(bounds) = taken.named.bounds.clone() {
        return named::look(world, taken, &bounds).await;
    }
    let revision = &taken.desired.revision;
    let known = Memory::new(&*world.store).image_lock(revision)?.unwrap_or_default();
    // What a policy holds is not even looked at: nothing that it alone names is dialled.
    let mut judged = judge::judge(world, &taken, &known, Proof::Seen, None).await?;
    let mut seen = see(world, &judged, &mut eyes).await;
    let answer = seen.observed.hosts.iter().filter(|(_, engine)| engine.known().is_some());
    let answer = answer.map(|(host, _)| host.clone()).collect();
    let scoped = within(world, &judged.resolvable);
    let images = images::lock(world, revision, &scoped, &answer, &taken.baseline, remember).await?;
    if images != known {
        judged = judge::judge(world, &taken, &images, Proof::Seen, None).await?;
        // What was resolved may have let a host in.
        let desired = within(world, &judged.enforced.desired);
        if desired.hosts.keys().any(|host| !seen.observed.hosts.contains_key(host)) {
            seen = see(world, &judged, &mut eyes).await;
        }
    }
    // Before a rule looks at the plan: so much the next look asks too.
    let asked = remember.then(|| whom(world, &judged));
    let mut pass = conclude(world, taken, images, seen, judged, beside)?;
    if pass.judged.wants_plan {
        let Pass { taken, images, observed, plan, pending, .. } = pass;
        let judged = judge::judge(world, &taken, &images, Proof::Seen, Some(&plan)).await?;
        pass = conclude(world, taken, images, Seeing { observed, pending }, judged, beside)?;
    }
    if remember {
        rollouts::note(world, &pass)?;
        if let (Some(asked), None) = (asked, &world.revision) {
            let (source, within) = (world.source.clone(), world.environments.clone());
            let revision = pass.taken.desired.revision.clone();
            Memory::new(&*world.store).set_asked(&LastAsked { source, revision, within, asked })?;
        }
    }
    Ok(pass)
}

/// How a look is made.
enum Eyes<'a> {
    /// Slow hosts are waited for; it may be under way already.
    All(Option<Ahead>),
    /// Slow hosts are told as pending.
    Quick(&'a Surveyor),
}

/// What was seen, and what is still being read.
struct Seeing {
    observed: Observed,
    pending: Pending,
}

/// Whom a look at what is enforced asks.
fn whom(world: &World, judged: &Judged) -> Asked {
    Asked::of(&within(world, &judged.enforced.desired))
}

/// Looks at what is enforced.
async fn see(world: &World, judged: &Judged, eyes: &mut Eyes<'_>) -> Seeing {
    let asked = whom(world, judged);
    world.engines.keep_only(&judged.enforced.desired.hosts);
    match eyes {
        Eyes::Quick(surveyor) => {
            let (files, clock, key) = (&*world.files, &*world.clock, world.key.id());
            let (observed, pending) = observe::observe_quick(&asked, surveyor, files, clock, key).await;
            Seeing { observed, pending }
        }
        Eyes::All(ahead) => {
            let seen = match ahead.take() {
                Some(ahead) => ahead.seen(world, &asked).await,
                None => None,
            };
            let observed = match seen {
                Some(observed) => observed,
                None => ahead::ask(world, &asked).await,
            };
            Seeing { observed, pending: Pending::default() }
        }
    }
}

/// Plans against a given snapshot: `plan --observed FILE`.
pub async fn replay(world: &World, taken: Taken, snapshot: Snapshot) -> Result<Pass, ControlError> {
    let known = Known::of_revision(world, &taken.desired.revision)?
        .or(Known::of_snapshot(&snapshot))
        .or(Known::remembered(world)?);
    // Nothing can come of it, so that nobody needs to say where to begin (H), or how it stands to what is enforced (F0).
    let taken = Taken { first: false, named: Named::default(), leaves: None, ..taken };
    forecast(world, taken, &known, snapshot.observed).await
}

/// What a revision would do to what was seen: nothing is asked, no tag is resolved.
pub async fn forecast(
    world: &World,
    taken: Taken,
    known: &Known,
    observed: Observed,
) -> Result<Pass, ControlError> {
    let (images, proof) = (known.images.clone(), known.proof());
    let judged = judge::judge(world, &taken, &images, proof, None).await?;
    let seen = |observed| Seeing { observed, pending: Pending::default() };
    let beside = Beside::default();
    let draft = conclude(world, taken, images, seen(observed), judged, &beside)?;
    if !draft.judged.wants_plan {
        return Ok(draft);
    }
    let Pass { taken, images, observed, plan, .. } = draft;
    let judged = judge::judge(world, &taken, &images, proof, Some(&plan)).await?;
    conclude(world, taken, images, seen(observed), judged, &beside)
}

pub(super) fn within<'d>(world: &World, desired: &'d Desired) -> Cow<'d, Desired> {
    match &world.environments {
        Some(environments) => Cow::Owned(desired.only(environments)),
        None => Cow::Borrowed(desired),
    }
}

fn conclude(
    world: &World,
    taken: Taken,
    images: ImageLock,
    Seeing { observed, pending }: Seeing,
    judged: Judged,
    beside: &Beside,
) -> Result<Pass, ControlError> {
    let desired = within(world, &judged.enforced.desired).into_owned();
    let owner = world.owner(&desired.fleet);
    let all_known = desired.hosts.keys().all(|host| observed.engine(host).is_some());
    let now = world.clock.now();
    let mut holds = Holds {
        pending: pending.hosts.clone(),
        under_way: beside.begun.clone(),
        ..holds(world, &desired, all_known, now)?
    };
    holds.paused.extend(judged.enforced.paused.clone());
    holds.paused_fleet = holds.paused_fleet.or_else(|| judged.enforced.paused_fleet.clone());
    let lost = if taken.first { permission::state_was_lost(&desired, &observed, &owner) } else { None };
    if let Some(lost) = &lost {
        holds.paused_fleet = Some(lost.reason.clone());
    }
    let adopted = adoption::stand_ins(&judged.enforced.desired, &observed, &holds.last_seen);
    let files = |staying: &BTreeSet<InstanceName>| {
        let (drained, adopted) = (beside.drained.clone(), adopted.clone());
        files_for(&desired, &observed, &owner, &Exceptions { drained, staying: staying.clone(), adopted })
    };
    let mut rendered = files(&BTreeSet::default());
    let input = PlanInput {
        desired: &desired,
        observed: &observed,
        images: &images,
        key: &world.key,
        owner: &owner,
        limits: &world.limits,
        now,
        rendered: &rendered,
        holds: &holds,
    };
    let (rollouts, mut plan) = abreast(|| plan::rollouts(&input), || plan::plan(&input));
    let staying = staying(&plan);
    // Only the plan knows who stays, and files follow from that: what may not be taken away keeps its traffic (B3).
    if !staying.is_empty() {
        let with_them = files(&staying);
        plan = plan::plan(&PlanInput { rendered: &with_them, ..input });
        rendered = with_them;
    }
    plan.findings = judged.findings.clone();
    plan.kept_because.clone_from(&taken.kept_because);
    let ours = |app: &AppKey| desired.judges(&app.environment);
    let blocked = judged.blocked.iter().filter(|blocked| blocked.app.as_ref().is_none_or(ours));
    plan.blocked.extend(blocked.cloned());
    let is_lost = lost.is_some();
    plan.blocked.extend(lost);
    plan.blocked.extend(taken.named.blocked(&taken.desired.revision));
    plan.blocked.extend(taken.left_behind());
    Ok(Pass {
        taken,
        desired,
        images,
        observed,
        rendered,
        plan,
        staying,
        adopted,
        pending,
        rollouts,
        judged,
        lost: is_lost,
    })
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
fn holds(world: &World, desired: &Desired, all_known: bool, now: Timestamp) -> Result<Holds, ControlError> {
    let memory = Memory::new(&*world.store);
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
    holds.rollouts = memory.rollouts()?;
    holds.restart_requested = memory.restart_requests()?;
    holds.unprotected = memory.unprotected()?;
    holds.last_seen = memory.last_seen()?;
    // Without any unknown host this look itself is complete.
    holds.memory_complete = memory.is_complete()? || all_known;
    holds.destroyed_recently = memory.destroyed(&desired.revision, now)?;
    Ok(holds)
}
