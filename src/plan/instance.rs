//! Each target against what stands in its place: an ordered list of rules, the first that fits decides.

use std::time::Duration;

use crate::diff::{self, Against};
use crate::model::adoption;
use crate::model::drift::{Cure, FieldChange, Kind, Nature, Subject};
use crate::model::observed::{self, Container, Engine, Health, RunState, Seen};
use crate::model::ownership::{ASIDE, Belongs, NEXT};
use crate::model::plan::{Action, Change, Expect, Step, Unmanaged, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::units::Timestamp;

use super::addresses::Target;
use super::draft::{Draft, subject};
use super::seen::{Fleet, Owned, serves};
use super::surroundings::{Around, because};
use super::{PlanInput, leftovers, renamed, steps, under_way, volumes};

/// A change that an instance needs, not yet ordered among its app's others.
pub(super) struct Wanted {
    pub nature: Nature,
    pub change: Change,
    /// It serves now and will be away for a while: paced by the update strategy (D1).
    pub takes_away: bool,
    /// Numbers of the changes around it that it waits for.
    pub waits_for: Vec<usize>,
    /// It is being carried out already (D6).
    pub under_way: bool,
}

/// What every target needs; what needs nothing says nothing.
pub(super) fn classify(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    targets: &[Target],
    around: &Around,
    draft: &mut Draft,
) -> Vec<Wanted> {
    targets.iter().filter_map(|target| one(input, fleet, target, around, draft)).collect()
}

fn one(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    target: &Target,
    around: &Around,
    draft: &mut Draft,
) -> Option<Wanted> {
    if let Some(begun) = under_way::of_instance(input, &target.instance) {
        return Some(under_way::wanted(begun));
    }
    let host = &target.seat.host;
    // A seat on an unknown host is what stands there; nobody can ask, so nothing is done (A1, C8).
    let engine = fleet.engines.get(host)?;
    // What is adopted stands under a name of its own (B4); people are told of the instance.
    let name = adoption::standing_name(engine, host, &target.app, target.instance.slot);
    let subject = subject(Kind::Container, &target.instance, host);
    // Nothing is done to an instance of which a part could not be read (A1).
    if fleet.unreadable.get(&target.instance).is_some_and(|hosts| hosts.contains(&host)) {
        return None;
    }
    let own = |owned: &Owned<'_>| owned.host == host && owned.container.name == name;
    let put_back = fleet.standing(&target.instance).iter().any(|o| o.host == host && !own(o));
    match engine.containers.get(&name) {
        Some(Seen::Unknown { .. }) => None,
        // What was moved aside is put back first; what stands elsewhere and may not stand twice goes first.
        None if put_back || target.gone_first => None,
        None => {
            if let Some(renamed) = fleet.renamed(&target.instance) {
                renamed::tell(&target.app, &target.instance, renamed, draft);
                return None;
            }
            let parts =
                Parts::new(Verb::Create, steps::create(input, target), vec!["it is missing".to_owned()]);
            furnished(target, around, subject, Nature::Missing, parts, false, draft)
        }
        Some(Seen::Known(live)) => {
            if !fleet.current(&target.instance).any(|owned| own(&owned)) {
                collide(input, target, subject, live, draft);
                return None;
            }
            existing(input, engine, target, around, subject, live, draft)
        }
    }
}

/// What a change consists of before its subject and order are added.
struct Parts {
    verb: Verb,
    steps: Vec<Step>,
    undo: Vec<Step>,
    because: Vec<String>,
    from: Option<ContentHash>,
}

impl Parts {
    fn new(verb: Verb, steps: Vec<Step>, because: Vec<String>) -> Self {
        let from = match verb {
            Verb::Create => None,
            Verb::Update
            | Verb::Replace
            | Verb::Start
            | Verb::Restart
            | Verb::Remove
            | Verb::Install
            | Verb::Recover
            | Verb::Await => Some(ContentHash::of(because.join("\n").as_bytes())),
        };
        Self { verb, steps, undo: Vec::new(), because, from }
    }
}

fn wanted(
    target: &Target,
    subject: Subject,
    nature: Nature,
    parts: Parts,
    takes_away: bool,
    waits_for: Vec<usize>,
) -> Wanted {
    let change = Change {
        action: parts.verb,
        subject,
        app: Some(target.app.key.clone()),
        because: parts.because,
        from: parts.from,
        to: Some(target.spec.hash()),
        steps: parts.steps,
        undo: parts.undo,
        after: Vec::new(),
        destructive: false,
        interrupts: false,
    };
    Wanted { nature, change, takes_away, waits_for, under_way: false }
}

/// A container is made anew, or attached: everything around it must be there, or it is told what lacks.
fn furnished(
    target: &Target,
    around: &Around,
    subject: Subject,
    nature: Nature,
    parts: Parts,
    takes_away: bool,
    draft: &mut Draft,
) -> Option<Wanted> {
    if let Some((reason, hint)) = around.lacks.get(&target.instance) {
        draft.leave(subject.clone(), Some(target.app.key.clone()), nature, reason.clone());
        draft.block(subject, Some(target.app.key.clone()), reason.clone(), hint);
        return None;
    }
    Some(wanted(target, subject, nature, parts, takes_away, around.waits(&target.instance)))
}

fn collide(input: &PlanInput<'_>, target: &Target, subject: Subject, live: &Container, draft: &mut Draft) {
    let why = match input.owner.container(&live.name, &target.seat.host, &live.labels) {
        Belongs::Foreign { why } => why,
        Belongs::Ours(_) => String::new(),
    };
    let stranger = Subject::on_host(Kind::Container, &live.name, &target.seat.host);
    draft.unmanaged.push(Unmanaged { subject: stranger, why: why.clone(), collides: true });
    let (reason, hint) = if live.name == target.instance.container() {
        (
            format!("a container of this name is there that trueup did not make: {why} (B1)"),
            "rename or remove it, or set adopt = true to take it over (B4)",
        )
    } else {
        (
            format!(
                "{} is there, which `adopt` names and which is not this instance: {why} (B1, B4)",
                live.name
            ),
            "take its name out of `adopt`, or rename or remove it",
        )
    };
    draft.block(subject, Some(target.app.key.clone()), reason, hint);
}

fn existing(
    input: &PlanInput<'_>,
    engine: &Engine,
    target: &Target,
    around: &Around,
    subject: Subject,
    live: &Container,
    draft: &mut Draft,
) -> Option<Wanted> {
    let against = Against {
        images: &engine.images,
        info: &engine.info,
        key: input.key,
        key_matches: input.observed.key == input.key.id(),
        networks: &engine.networks,
        declared: &input.desired.networks,
    };
    if !against.key_matches {
        let note = "env was not compared: the snapshot hid its values with another key".to_owned();
        if !draft.notes.contains(&note) {
            draft.notes.push(note);
        }
    }
    if observed::is_task(&live.name, &live.labels) {
        let reason =
            format!("{} is a task of a Swarm's service, which Swarm replaces as it likes", live.name);
        draft.block(subject, Some(target.app.key.clone()), reason, HINT_TASK);
        return None;
    }
    if live.veiled {
        draft.block(subject, Some(target.app.key.clone()), VEILED.to_owned(), HINT_VEILED);
        return None;
    }
    let (changes, ignored) = split_ignored(target, diff::container(&target.spec, live, &against));
    let unsaid: Vec<String> = ignored.iter().map(|change| change.field.clone()).collect();
    if !ignored.is_empty() {
        let why = "ignore: the app says so (A6)".to_owned();
        draft.leave(subject.clone(), Some(target.app.key.clone()), Nature::Changed(ignored), why);
    }
    let dead = live.state == RunState::Dead;
    if dead || changes.iter().any(|c| c.cure == Cure::Replace) {
        let nature =
            if dead { Nature::NotRunning("it is dead".to_owned()) } else { Nature::Changed(changes) };
        // What was taken over as it is may hold what git has no word for: that must not be lost by the way (B4).
        if is_adopted(input, target, live) && !unsaid.is_empty() {
            let reason = format!(
                "replacing the adopted {} would lose what git does not say: {}",
                live.name,
                unsaid.join(", ")
            );
            draft.leave(subject.clone(), Some(target.app.key.clone()), nature, reason.clone());
            draft.block(subject, Some(target.app.key.clone()), reason, HINT_UNSAID);
            return None;
        }
        // Nobody had the chance to name the data of what was made without trueup (B4, B5).
        let unnamed = volumes::unnamed(target, live);
        if is_adopted(input, target, live) && !unnamed.is_empty() {
            let reason = format!(
                "replacing the adopted {} would begin without the data of its anonymous volume at {} (B5)",
                live.name,
                unnamed.join(", ")
            );
            draft.leave(subject.clone(), Some(target.app.key.clone()), nature, reason.clone());
            draft.block(subject, Some(target.app.key.clone()), reason, HINT_UNNAMED);
            return None;
        }
        return replaced(input, engine, target, around, subject, live, nature, draft);
    }
    if changes.is_empty() {
        return state(input, engine, target, around, subject, live, draft);
    }
    let mut steps = steps::update(target, live, &changes);
    if matches!(live.state, RunState::Created | RunState::Exited { .. }) {
        steps.extend(steps::start(target, live));
    }
    // An attachment that changes is taken off and made anew: connections break.
    let reconnects = changes.iter().any(|c| c.field.starts_with("networks.") && live_and_wanted(c));
    let connects = steps.iter().any(|step| matches!(step.action, Action::Connect { .. }));
    let parts = Parts::new(Verb::Update, steps, because(&changes));
    let (takes_away, nature) = (reconnects && serves(live), Nature::Changed(changes));
    let mut wanted = if connects {
        furnished(target, around, subject, nature, parts, takes_away, draft)?
    } else {
        wanted(target, subject, nature, parts, takes_away, around.waits(&target.instance))
    };
    wanted.change.interrupts = takes_away;
    Some(wanted)
}

/// Why nothing can be said of what git adopts and a snapshot knows by name only (A1, B4).
pub(super) const VEILED: &str = "it was not ours when the snapshot was saved, which hides its arguments, labels and other \
                                 texts: what adopting it would change is unknown";
pub(super) const HINT_VEILED: &str = "ask the live engines (without --observed)";

const HINT_TASK: &str =
    "adopt the service (`trueup import --swarm NAME`), and take the container's name out of `adopt`";

const HINT_UNSAID: &str =
    "declare it in git, or take it out of `ignore` where losing it is meant; until then it runs on as it is";

const HINT_UNNAMED: &str = "copy the data into a volume with a name and mount that there in git, or mount a tmpfs there where losing it is \
                            meant; until then it runs on as it is";

/// It stands for its instance although trueup did not make it (B4).
fn is_adopted(input: &PlanInput<'_>, target: &Target, live: &Container) -> bool {
    matches!(input.owner.container(&live.name, &target.seat.host, &live.labels), Belongs::Foreign { .. })
}

fn live_and_wanted(change: &FieldChange) -> bool {
    change.live != diff::NOTHING && change.desired != diff::NOTHING
}

/// A new container takes the place of the old one.
#[allow(clippy::too_many_arguments, reason = "the facts about one instance")]
fn replaced(
    input: &PlanInput<'_>,
    engine: &Engine,
    target: &Target,
    around: &Around,
    subject: Subject,
    live: &Container,
    nature: Nature,
    draft: &mut Draft,
) -> Option<Wanted> {
    let name = target.instance.container();
    let mut because = match &nature {
        Nature::Changed(changes) => because(changes),
        Nature::NotRunning(why) | Nature::Unhealthy(why) => vec![why.clone()],
        Nature::Missing | Nature::Extra => Vec::new(),
    };
    if is_adopted(input, target, live) {
        if live.name != name {
            because.push(format!("it stands as {} until now (B4)", live.name));
        }
        if !live.beyond.is_empty() {
            let lost: Vec<&str> = live.beyond.iter().map(String::as_str).collect();
            because.push(format!("its successor is without what trueup does not model: {}", lost.join("; ")));
        }
    }
    because.extend(volumes::left_behind(live));
    let mut cleared = Vec::new();
    for suffix in [ASIDE, NEXT] {
        let name = steps::suffixed(&name, suffix);
        let Some(Seen::Known(there)) = engine.containers.get(&name) else { continue };
        if let Belongs::Foreign { why } = input.owner.container(&name, &target.seat.host, &there.labels) {
            let reason = format!("its replacement needs the name {name}, which is taken: {why} (B1)");
            draft.leave(subject.clone(), Some(target.app.key.clone()), nature, reason.clone());
            draft.block(subject, Some(target.app.key.clone()), reason, "rename or remove that container");
            return None;
        }
        // An older one that was never put back, beside one that is not well: the newest spec takes over.
        if suffix == ASIDE && !serves(live) {
            cleared = steps::remove(&name, there, steps::stop_timeout(&target.spec));
        }
    }
    let (steps, undo) = if live.state == RunState::Dead {
        // The engine starts and renames no dead container: it can only make room.
        let action = Action::RemoveContainer { name: live.name.clone() };
        let gone = Step { action, expect: Expect::Id(live.id.clone()) };
        (std::iter::once(gone).chain(steps::create(input, target)).collect(), Vec::new())
    } else {
        steps::replace(input, target, live)
    };
    let mut parts = Parts::new(Verb::Replace, cleared.into_iter().chain(steps).collect(), because);
    parts.undo = undo;
    furnished(target, around, subject, nature, parts, serves(live), draft)
}

/// Whether a container of the target will be created, so that its image is needed.
pub(super) fn is_made_anew(input: &PlanInput<'_>, engine: &Engine, target: &Target) -> bool {
    let name = adoption::standing_name(engine, &target.seat.host, &target.app, target.instance.slot);
    match engine.containers.get(&name) {
        None => true,
        Some(Seen::Unknown { .. }) => false,
        Some(Seen::Known(live)) => {
            let against = Against {
                images: &engine.images,
                info: &engine.info,
                key: input.key,
                key_matches: input.observed.key == input.key.id(),
                networks: &engine.networks,
                declared: &input.desired.networks,
            };
            let (changes, _) = split_ignored(target, diff::container(&target.spec, live, &against));
            live.state == RunState::Dead || changes.iter().any(|c| c.cure == Cure::Replace)
        }
    }
}

/// What is healed, and what the app says to ignore: told and left alone (A6).
fn split_ignored(target: &Target, changes: Vec<FieldChange>) -> (Vec<FieldChange>, Vec<FieldChange>) {
    changes.into_iter().partition(|change| !change.is_among(&target.app.ignore))
}

/// Reading an engine takes seconds: clocks that differ by less are taken to agree.
const SKEW: Duration = Duration::from_secs(10);

/// A moment of this machine's clock as the engine's own clock has it, by which it tells when containers started.
pub(super) fn by_its_clock(input: &PlanInput<'_>, engine: &Engine, moment: Timestamp) -> Timestamp {
    let (Some(theirs), ours) = (engine.info.clock, input.observed.at) else { return moment };
    let (ahead, behind) = (theirs.since(ours).duration(), ours.since(theirs).duration());
    if ahead > SKEW {
        moment.plus(ahead)
    } else if behind > SKEW {
        moment.minus(behind)
    } else {
        moment
    }
}

/// It is as declared: does it run, and well?
fn state(
    input: &PlanInput<'_>,
    engine: &Engine,
    target: &Target,
    around: &Around,
    subject: Subject,
    live: &Container,
    draft: &mut Draft,
) -> Option<Wanted> {
    // No engine starts it without its networks.
    let start = |why: String| {
        let parts = Parts::new(Verb::Start, steps::start(target, live), vec![why.clone()]);
        let nature = Nature::NotRunning(why);
        Some(wanted(target, subject.clone(), nature, parts, false, around.waits(&target.instance)))
    };
    let again = |nature: Nature, why: String, takes_away: bool| {
        let parts = Parts::new(Verb::Restart, steps::restart(target, live), vec![why]);
        Some(wanted(target, subject.clone(), nature, parts, takes_away, vec![]))
    };
    let back = |nature: Nature, why: &str, draft: &Draft| {
        let steps = leftovers::comes_back(input, engine, target, live, draft)?;
        let why = format!(
            "its replacement was interrupted, and the new one is not well ({why}): the old one comes back (D2)"
        );
        let parts = Parts::new(Verb::Recover, steps, vec![why]);
        Some(wanted(target, subject.clone(), nature, parts, false, vec![]))
    };
    let deadline = target.app.update.healthy_deadline;
    let late = |since: Timestamp| by_its_clock(input, engine, input.now).since(since) > deadline;
    match &live.state {
        RunState::Running { health: Health::Starting, since } if late(*since) => {
            let why = format!("its health check has not passed within {deadline}");
            back(Nature::Unhealthy(why.clone()), &why, draft)
        }
        RunState::Running { health: Health::Unhealthy { last_output }, since } => {
            let nature = Nature::Unhealthy(format!("its health check fails: {}", last_output.trim()));
            if !late(*since) {
                let why = format!("it has {deadline} from its start to become healthy");
                draft.leave(subject, Some(target.app.key.clone()), nature, why);
                return None;
            }
            back(nature.clone(), "its health check fails", draft)
                .or_else(|| again(nature, "its health check fails".to_owned(), false))
        }
        RunState::Running { since, .. } => {
            let asked = input.holds.restart_requested.get(&target.app.key)?;
            if *since >= by_its_clock(input, engine, *asked) {
                return None;
            }
            let why = format!("a restart was asked for at {asked}");
            again(Nature::NotRunning(why.clone()), why, true)
        }
        RunState::Created => start("it was created and never started".to_owned()),
        RunState::Exited { exit_code, error, .. } => {
            let why = format!("it exited with {exit_code} {error}").trim_end().to_owned();
            back(Nature::NotRunning(why.clone()), &why, draft).or_else(|| start(why))
        }
        // Replaced before this is asked.
        RunState::Dead => None,
        RunState::Paused => {
            again(Nature::NotRunning("it is paused".to_owned()), "it is paused".to_owned(), false)
        }
        // The engine is at it already; a hand in between would only disturb.
        RunState::Restarting { exit_code } => {
            let key = &target.app.key;
            let words = format!("it exits with {exit_code} and the engine restarts it");
            let nature = Nature::NotRunning(words.clone());
            let why = "the engine restarts it by its policy".to_owned();
            draft.leave(subject.clone(), Some(key.clone()), nature, why);
            // It should run and does not: nobody may take that for converged (X).
            let hint = format!("`trueup logs {key}` says why; mend the app, or its image or command in git");
            draft.block(subject, Some(key.clone()), words, &hint);
            None
        }
        RunState::Removing => {
            let nature = Nature::NotRunning("it is being removed".to_owned());
            draft.leave(subject, Some(target.app.key.clone()), nature, "the next look decides".to_owned());
            None
        }
    }
}
