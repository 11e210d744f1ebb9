//! A branch before it is merged: is it valid, what would it do to the fleet, what do the rules say, whom does it concern.
//!
//! The branch is nobody's word yet. Only what the base declares is dialled (F4), the rules that judge are those that were applied
//! last, or where nobody knows them the base's (F1), and nothing is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::codeowners::{self, CodeOwners, Forge};
use crate::config::{self, OriginLine};
use crate::model::adoption;
use crate::model::check::{
    Checked, Declared, Forecast, JudgedBy, Owners, Sight, Touched, Valid, ValueChange, Verdict,
};
use crate::model::desired::Desired;
use crate::model::drift::{Kind, Subject};
use crate::model::host::Host;
use crate::model::image::ImageRef;
use crate::model::names::{AppKey, HostName, Revision};
use crate::model::observed::{Container, Engine, EngineInfo, Observed, RulesOf, Seen, Snapshot};
use crate::model::ownership::Belongs;
use crate::model::permission::Mode;
use crate::model::plan::{Blocked, Change, Plan};
use crate::model::settings::Reference;
use crate::model::tree::{Between, Touch, Tree};
use crate::model::units::ByteSize;
use crate::policy::Source;
use crate::ports::SourceError;

use super::baseline::{self, Applied, Baseline};
use super::known::Known;
use super::memory::Memory;
use super::named::Dialled;
use super::pass::{self, Pass};
use super::revision::{Reader, Taken};
use super::{ControlError, World, judge, named};

/// Which branch, against what.
pub struct Question {
    pub base: Reference,
    pub head: Reference,
    pub look: Look,
    /// Whose CODEOWNERS file it is.
    pub forge: Forge,
}

/// What the forecast is made from.
pub enum Look {
    /// The fleet that the base declares.
    Fleet,
    /// What was saved of it.
    Snapshot(Box<Snapshot>),
    /// Nothing is asked: no forecast.
    Nothing,
}

/// What rules say that look at the plan, where there is none.
const WITHOUT_A_PLAN: &str = "the repository's policies may look at the plan, and without a fleet there is none: what they say of it \
                              could not be judged here";

pub async fn check(world: &World, question: Question) -> Result<Checked, ControlError> {
    let repository = &world.repository;
    let base = repository.resolve(&question.base).await?;
    let head = repository.resolve(&question.head).await?;
    let Between { since, behind, touched } = repository.between(&base, &head).await?;
    let reader = Reader::default();
    let before = reader.read_merged(world, &since).await?;
    let owners = owners(world, &base, question.forge).await?;
    let (owners_file, code_owners) =
        owners.map_or((None, CodeOwners::default()), |(path, o)| (Some(path), o));
    let rules = touched.keys().filter(|path| is_rule(path)).cloned().collect();
    let mut checked = Checked {
        fleet: before.desired.fleet.to_string(),
        base: base.clone(),
        head: head.clone(),
        since: since.clone(),
        behind,
        touched: touched.iter().map(|(path, touch)| owned(path, *touch, &code_owners)).collect(),
        owners_file,
        owners_problems: code_owners.problems,
        rules,
        verdict: Verdict::Invalid { errors: String::new() },
    };
    let after = match reader.named(world, &Reference::Commit(head.to_string())).await {
        Ok(after) => after,
        Err(ControlError::Config { errors, .. }) => {
            checked.verdict = Verdict::Invalid { errors };
            return Ok(checked);
        }
        Err(error) => return Err(error),
    };
    let tip = reader.read_merged(world, &base).await?;
    let declared = declared(&repository.tree(&since).await?, &repository.tree(&head).await?, &before, &after);
    let enforced = enforced(world, &reader, &tip.desired).await?;
    // What another fleet's reconciler knows proves nothing here.
    let remembered = match &enforced {
        Some(Dialled::NamedBy(..)) => Known::remembered(world)?,
        Some(Dialled::Nobody(_)) | None => Known::default(),
    };
    let applied = rules_applied(world, &question.look)?;
    let (rules, judged_by) = rules_that_judge(world, &reader, &tip, applied).await;
    let (observed, sight, known) = match question.look {
        Look::Fleet => {
            let observed = fleet(world, enforced.as_ref(), &before.desired, &tip.desired).await;
            let at = observed.at;
            (observed, Sight::Fleet { at }, remembered)
        }
        Look::Snapshot(snapshot) => {
            let at = snapshot.observed.at;
            let known = Known::of_snapshot(&snapshot).or(remembered);
            (snapshot.observed, Sight::Snapshot { at }, known)
        }
        Look::Nothing => {
            let mut assumed = unresolved(&remembered, &before.desired, &after.desired);
            let (_, after) = both_judged((&rules, &judged_by.rules), before, after, &remembered);
            let images = &remembered.images;
            let judged = judge::judge(world, &after, images, remembered.proof(), None).await?;
            assumed.extend(judged.wants_plan.then(|| WITHOUT_A_PLAN.to_owned()));
            let findings = judged.findings;
            let (sight, forecast) = (Sight::Nothing, None);
            checked.verdict =
                Verdict::Valid(Box::new(Valid { declared, sight, forecast, findings, judged_by, assumed }));
            return Ok(checked);
        }
    };
    let known = known.or_running(&before.desired, &observed, &world.owner(&before.desired.fleet));
    let (before, after) = both_judged((&rules, &judged_by.rules), before, after, &known);
    let blind = observed.key != world.key.id();
    let (imagined, mut assumed) = imagine(&observed, &before.desired, &after.desired);
    assumed.extend(unresolved(&known, &before.desired, &after.desired));
    let behind = left_behind(world, &observed, &before.desired, &after.desired)?;
    let now = pass::forecast(world, before, &known, observed).await?;
    let then = pass::forecast(world, after, &known, imagined).await?;
    let findings = then.judged.findings.clone();
    if blind {
        let why = "values of variables were hidden with another key and are not compared: a change of them alone is not planned";
        assumed.push(why.to_owned());
    }
    let mut forecast = Forecast { blind, ..caused(now.plan, then) };
    forecast.plan.blocked.extend(behind);
    let forecast = Some(forecast);
    checked.verdict =
        Verdict::Valid(Box::new(Valid { declared, sight, forecast, findings, judged_by, assumed }));
    Ok(checked)
}

/// Whose rules judge the next revision, as far as is known here.
/// What was saved with the look is of the fleet that it is made of; the state here may be an old one, or another fleet's.
fn rules_applied(world: &World, look: &Look) -> Result<Option<Judging>, ControlError> {
    if let Look::Snapshot(snapshot) = look
        && let Some(rules) = snapshot.judged_by.clone()
    {
        return Ok(Some((rules, None)));
    }
    let memory = Memory::new(&*world.store);
    let applied = match memory.applied()? {
        Some(applied) => Some(applied),
        // A state file of a release without policies: what it enforced is what is applied.
        None => memory.last_good()?.map(|last| Applied::all(&last.revision)),
    };
    Ok(applied.and_then(|applied| applied.judges().map(|rules| (rules, applied.fleet))))
}

/// Whose rules, and which revision was applied with them where that is known.
type Judging = (RulesOf, Option<Revision>);

/// The rules that judge: what the base's tip says of them may be held itself. Where those that were applied cannot be told, the
/// tip's stand in.
async fn rules_that_judge(
    world: &World,
    reader: &Reader,
    tip: &Taken,
    applied: Option<Judging>,
) -> (Vec<Source>, JudgedBy) {
    let of = applied.map(|(rules, applied)| match &rules {
        RulesOf::Revision(revision) => (Some(revision.clone()), rules),
        RulesOf::Nobody => (applied, rules),
    });
    let why = match of {
        Some((None, rules)) => return (Vec::new(), JudgedBy { rules, stand_in: None }),
        Some((Some(revision), rules)) => match reader.parsed_or_kept(world, &revision).await {
            Ok(parsed) if parsed.desired.fleet == tip.desired.fleet => {
                let own = if rules == RulesOf::Nobody { Vec::new() } else { parsed.rules.clone() };
                return (own, JudgedBy { rules, stand_in: None });
            }
            Ok(_) => "what is applied as far as is known here is of another fleet".to_owned(),
            Err(ControlError::Source(
                SourceError::NoSuchRevision { .. } | SourceError::Unreadable { .. },
            )) => {
                format!("{}, which was applied last, is not in this clone", revision.short())
            }
            Err(error) => format!("{}, which was applied last, cannot be read: {error}", revision.short()),
        },
        None => "which revision was applied last is not known here".to_owned(),
    };
    let rules = RulesOf::Revision(tip.desired.revision.clone());
    (tip.rules.clone(), JudgedBy { rules, stand_in: Some(why) })
}

/// Both sides as these rules judge them: the branch is a change of where it began.
fn both_judged(
    (rules, of): (&[Source], &RulesOf),
    before: Taken,
    after: Taken,
    known: &Known,
) -> (Taken, Taken) {
    let since = &before.desired.revision;
    let mut pinned = before.desired.clone();
    baseline::pin(&mut pinned, &known.images);
    let of = match of {
        RulesOf::Revision(revision) => Some(revision.clone()),
        RulesOf::Nobody => None,
    };
    let applied = Applied { rules: of, ..Applied::all(since) };
    let of_branch =
        Baseline { applied, desired: Some(pinned.clone()), rules: rules.to_vec(), ..Baseline::default() };
    let of_itself = Baseline {
        applied: Applied::all(since),
        desired: Some(pinned),
        rules: rules.to_vec(),
        ..Baseline::default()
    };
    // Nothing of it is enforced before it is merged, so nobody has to say where to begin (H).
    let (of_itself, of_branch) = (Arc::new(of_itself), Arc::new(of_branch));
    (
        Taken { baseline: of_itself, first: false, ..before },
        Taken { baseline: of_branch, first: false, ..after },
    )
}

/// Whom what is enforced here lets dial. `None`: nothing is enforced as far as is known, or it is another fleet's, where the name
/// in git is trusted as the branch is.
async fn enforced(world: &World, reader: &Reader, tip: &Desired) -> Result<Option<Dialled>, ControlError> {
    let Some(last) = Memory::new(&*world.store).last_good()? else { return Ok(None) };
    let short = last.revision.short();
    let who = "the enforced revision";
    Ok(match reader.parsed_or_kept(world, &last.revision).await {
        Ok(parsed) if parsed.desired.fleet == tip.fleet || is_before(world, &last.revision, tip).await => {
            Some(Dialled::NamedBy(who, Box::new(parsed.desired.clone())))
        }
        Ok(parsed) => match world.permission.mode {
            Mode::Branch => None,
            // Whoever may push and not sign may give it any name (F1).
            Mode::Signed => Some(Dialled::Nobody(format!(
                "{who}, {short}, is of another fleet ({}), and no signature says that this one may be dialled (F1, F4)",
                parsed.desired.fleet
            ))),
        },
        Err(ControlError::Source(SourceError::NoSuchRevision { .. } | SourceError::Unreadable { .. })) => {
            Some(Dialled::Nobody(format!(
                "{who} as far as is known here, {short}, is not in this clone, so that nothing says whom to dial (F4)"
            )))
        }
        Err(error) => {
            Some(Dialled::Nobody(format!("whom {who}, {short}, lets dial is unknown (F4, A1): {error}")))
        }
    })
}

/// Whether it is in the base's own history, or may be where nobody can tell (A1): then the fleet was only renamed since, and stays
/// as closed as it was (F4).
async fn is_before(world: &World, revision: &Revision, tip: &Desired) -> bool {
    world.repository.descends(&tip.revision, revision).await.unwrap_or(true)
}

/// The fleet as it was declared where the branch began, by engines that the base's tip still names; where something is
/// enforced, only by those that it lets dial too.
async fn fleet(world: &World, enforced: Option<&Dialled>, base: &Desired, tip: &Desired) -> Observed {
    let mut asked = pass::within(world, base).into_owned();
    let mut undialled = named::keep_to(&mut asked, "the base", tip);
    undialled.extend(enforced.map(|enforced| enforced.keep_to(&mut asked)).unwrap_or_default());
    named::dial(world, &asked, undialled).await
}

/// Tags that the branch brings along: nobody asks a registry before it is merged.
fn unresolved(known: &Known, before: &Desired, after: &Desired) -> Vec<String> {
    let one = |image: &ImageRef| {
        format!(
            "{image} is new here: the digest that its tag stands for is resolved once this is merged, and planned is the tag (F4)"
        )
    };
    known.unresolved(before, after).into_iter().map(one).collect()
}

/// The fleet as the branch would find it: hosts that it adds are empty machines, hosts that it takes elsewhere are as they were.
fn imagine(observed: &Observed, base: &Desired, head: &Desired) -> (Observed, Vec<String>) {
    let (mut imagined, mut assumed) = (observed.clone(), Vec::new());
    for (name, host) in &head.hosts {
        match base.hosts.get(name) {
            None => {
                assumed.push(format!("{name} is new: planned as an engine that runs nothing"));
                imagined.hosts.insert(name.clone(), Seen::Known(empty(host, observed)));
            }
            Some(known) if known.engine != host.engine => {
                let why = format!(
                    "the engine of {name} is at another address ({}, before {}), which nobody dials before it is merged (F4)",
                    host.engine, known.engine
                );
                imagined.hosts.insert(name.clone(), Seen::unknown(why.clone()));
                assumed.push(why);
            }
            Some(_) => {}
        }
    }
    for name in head.swarms.keys().filter(|name| !base.swarms.contains_key(*name)) {
        let why = "this branch alone names it: nobody dials it before it is merged (F4)";
        imagined.swarms.insert(name.clone(), Seen::unknown(why));
    }
    (imagined, assumed)
}

/// Hosts that the branch takes out of the inventory while they run what is ours: the reconciler would not take it (B2).
fn left_behind(
    world: &World,
    observed: &Observed,
    base: &Desired,
    head: &Desired,
) -> Result<Vec<Blocked>, ControlError> {
    let last_seen = Memory::new(&*world.store).last_seen()?;
    let owner = world.owner(&base.fleet);
    let gone = base.hosts.keys().filter(|host| !head.hosts.contains_key(*host));
    let one = |host: &HostName| {
        let containers = observed.engine(host)?.containers.values().filter_map(Seen::known);
        let labelled = |c: &Container| matches!(owner.container(&c.name, host, &c.labels), Belongs::Ours(_));
        let adopted = |c: &Container| adoption::adopted(base, observed, &last_seen, host, c).is_some();
        let ours = containers.filter(|c| labelled(c) || adopted(c));
        let names: Vec<String> = ours.map(|container| container.name.to_string()).collect();
        (!names.is_empty()).then(|| Blocked {
            subject: Subject::of_fleet(Kind::Host, host),
            app: None,
            reason: format!("it leaves the inventory while it runs {} (B2)", names.join(", ")),
            hint: "declare it with drain = true first, and take it out once it is empty".to_owned(),
        })
    };
    Ok(gone.filter_map(one).collect())
}

/// An engine that runs nothing, otherwise like the others.
fn empty(host: &Host, observed: &Observed) -> Engine {
    let like = observed.hosts.values().find_map(Seen::known).map(|engine| engine.info.clone());
    let text = |of: fn(&EngineInfo) -> &String| like.as_ref().map(of).cloned().unwrap_or_default();
    Engine {
        info: EngineInfo {
            id: format!("of {}", host.name),
            name: host.name.to_string(),
            version: text(|info| &info.version),
            api_version: text(|info| &info.api_version),
            os: text(|info| &info.os),
            architecture: text(|info| &info.architecture),
            cpus: like.as_ref().map_or(0, |info| info.cpus),
            memory: like.as_ref().map_or(ByteSize(0), |info| info.memory),
            log_driver: text(|info| &info.log_driver),
            swarm: None,
            membership: None,
            clock: None,
        },
        containers: BTreeMap::new(),
        images: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        volumes_hidden: None,
    }
}

/// What the branch's plan has and the base's has not.
fn caused(now: Plan, then: Pass) -> Forecast {
    let installed = then.installed();
    let mut plan = then.plan;
    let known: BTreeSet<String> = now.changes.iter().chain(&now.held).map(told).collect();
    let kept: Vec<usize> =
        (0..plan.changes.len()).filter(|n| !known.contains(&told(&plan.changes[*n]))).collect();
    let place: BTreeMap<usize, usize> = kept.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let mut changes = Vec::with_capacity(kept.len());
    for (at, mut change) in plan.changes.into_iter().enumerate() {
        if place.contains_key(&at) {
            change.after = change.after.iter().filter_map(|before| place.get(before).copied()).collect();
            changes.push(change);
        }
    }
    plan.changes = changes;
    plan.held.retain(|change| !known.contains(&told(change)));
    plan.blocked.retain(|blocked| !now.blocked.contains(blocked));
    plan.unmanaged.retain(|thing| !now.unmanaged.contains(thing));
    plan.drift.retain(|drift| !now.drift.contains(drift));
    plan.notes.retain(|note| !now.notes.contains(note));
    Forecast { plan, installed, anyway: now.changes, stuck: now.blocked.len(), blind: false }
}

/// A change in one line that tells generated files apart by what they would be.
fn told(change: &Change) -> String {
    format!("{} {:?}", change.promise(), change.to)
}

/// A file of the repository's own policies, wherever its root is.
fn is_rule(path: &str) -> bool {
    path.ends_with(".rego") && (path.starts_with("policies/") || path.contains("/policies/"))
}

async fn owners(
    world: &World,
    base: &Revision,
    forge: Forge,
) -> Result<Option<(String, CodeOwners)>, ControlError> {
    for place in forge.places() {
        if let Some(bytes) = world.repository.file(base, place, codeowners::LARGEST).await? {
            let read = CodeOwners::parse(&String::from_utf8_lossy(&bytes), forge);
            return Ok(Some(((*place).to_owned(), read)));
        }
    }
    Ok(None)
}

fn owned(path: &str, touch: Touch, owners: &CodeOwners) -> Touched {
    let share = |share: codeowners::Share| Owners {
        section: share.section,
        optional: share.optional,
        names: share.owners,
    };
    Touched { path: path.to_owned(), touch, owners: owners.of(path).into_iter().map(share).collect() }
}

/// Every value of every app that differs, as git says it.
fn declared(old: &Tree, new: &Tree, before: &Taken, after: &Taken) -> Vec<Declared> {
    let apps: BTreeSet<&AppKey> = before.desired.apps.keys().chain(after.desired.apps.keys()).collect();
    let one = |app: &&AppKey| {
        let values = |tree: &Tree, there: bool| -> BTreeMap<String, OriginLine> {
            let shown = if there { config::show(tree, &app.app, &app.environment) } else { Ok(Vec::new()) };
            shown.unwrap_or_default().into_iter().map(|line| (line.path.clone(), line)).collect()
        };
        let (was, is) = (before.desired.apps.contains_key(app), after.desired.apps.contains_key(app));
        let (was_values, is_values) = (values(old, was), values(new, is));
        let paths: BTreeSet<&String> = was_values.keys().chain(is_values.keys()).collect();
        let values: Vec<ValueChange> =
            paths.into_iter().filter_map(|path| value(was_values.get(path), is_values.get(path))).collect();
        let how = match (was, is) {
            (true, true) if values.is_empty() => return None,
            (true, true) => Touch::Changed,
            (true, false) => Touch::Removed,
            (false, _) => Touch::Added,
        };
        Some(Declared { app: (**app).clone(), how, values })
    };
    apps.iter().filter_map(one).collect()
}

fn value(before: Option<&OriginLine>, after: Option<&OriginLine>) -> Option<ValueChange> {
    let line = after.or(before)?;
    let text = |line: Option<&OriginLine>| line.map(|line| line.value.clone());
    let (before, after) = (text(before), text(after));
    let (path, origin) = (line.path.clone(), line.origin.clone());
    (before != after).then_some(ValueChange { path, before, after, origin })
}
