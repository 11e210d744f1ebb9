//! The safety rules as properties over many small fleets, with hosts and containers that cannot be read.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::build::*;
use super::histories::*;
use super::world::{World, shared_holders, touched};
use crate::model::app::{App, Failover, HostSelector};
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::names::{AppKey, InstanceName};
use crate::model::observed::{Health, RunState, Seen};
use crate::model::ownership::{Belongs, PlaceInReplacement};
use crate::model::plan::{Action, Plan, Verb};

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Same input, same bytes out.
    #[test]
    fn the_same_input_gives_the_same_plan(case in case()) {
        let stage = stage(&case);
        let text = || {
            let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
            serde_json::to_string(&plan).expect("a plan is data")
        };
        prop_assert_eq!(text(), text());
    }

    /// A1: no step on a host that did not answer, none on a container that could not be read.
    #[test]
    fn the_unknown_is_never_changed(case in case()) {
        let mut stage = stage(&case);
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        for change in &plan.changes {
            let Some(host) = &change.subject.host else { continue };
            let engine = stage.observed.engine(host);
            prop_assert!(engine.is_some(), "{} although the host is unknown", change.subject);
            let Some(engine) = engine else { continue };
            for step in change.steps.iter().chain(&change.undo) {
                if let Some(name) = touched(&step.action) {
                    let unknown = matches!(engine.containers.get(name), Some(Seen::Unknown { .. }));
                    prop_assert!(!unknown, "{} although {name} is unknown", step.action.describe());
                }
            }
        }
    }

    /// B1: what is not ours is after the plan as it was before. B5: no volume is gone.
    #[test]
    fn what_is_not_ours_and_what_holds_data_stays(case in case()) {
        let mut stage = stage(&case);
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        let (before, data) = (foreign(&stage.world), volumes(&stage.world));
        stage.world.carry_out(&plan);
        prop_assert_eq!(before, foreign(&stage.world));
        prop_assert!(data.is_subset(&volumes(&stage.world)));
    }

    /// C1: no address gets a second owner. C8: no instance is started twice. Both against what really is.
    #[test]
    fn nothing_is_given_or_started_twice(case in case()) {
        let mut stage = stage(&case);
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        let owners = |world: &World| -> BTreeMap<_, _> {
            shared_holders(world, &stage.desired).into_iter().filter(|(_, who)| who.len() > 1).collect()
        };
        let (conflicts, mut twice) = (owners(&stage.world), duplicates(&stage.world));
        twice.extend(renamed_and_unread(&stage));
        let mut world = stage.world.clone();
        // After every single change, not only at the end.
        for number in 0..plan.changes.len() {
            for step in &plan.changes[number].steps {
                world.carry_out_partly(&crate::model::plan::Change {
                    steps: vec![step.clone()],
                    ..plan.changes[number].clone()
                }, 1);
                for (address, who) in owners(&world) {
                    let known = conflicts.get(&address).is_some_and(|before| who.is_subset(before));
                    prop_assert!(known, "{address:?} has {who:?} after {}", step.action.describe());
                }
            }
        }
        for instance in duplicates(&world) {
            // One number on two hosts is what an app on every host may show when a host comes back.
            // Without a memory, a host that an earlier selector chose and that is silent now cannot be suspected
            // for ever: ordinary apps go on where they are declared (C1: another address, no traffic there).
            let counted = stage.desired.apps.get(&instance.key).is_some_and(|app| !every_host(app));
            let sure = case.remembers || same_place(&case, &instance.key);
            prop_assert!(!counted || !sure || twice.contains(&instance), "{instance} runs twice");
        }
    }

    /// B1, C8: what somebody renamed is started nowhere else, however many they are and wherever there is more room now.
    #[test]
    fn what_was_renamed_runs_once(mut case in case(), which in prop::collection::vec(any::<bool>(), 8)) {
        case.mishaps.clear();
        case.silent.clear();
        case.unreadable.clear();
        let mut stage = stage(&case);
        let all: Vec<(String, String)> =
            stage.world.containers().map(|(host, c)| (host.to_string(), c.name.to_string())).collect();
        for ((host, container), _) in all.iter().zip(which.iter().cycle()).filter(|(_, renamed)| **renamed) {
            rename(&mut stage.world, host, container, &format!("was-{container}"));
        }
        stage.world.settle_networks();
        stage.observed = seen(&stage.world, &case);
        prop_assert_eq!(duplicates(&stage.world), BTreeSet::new());
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        stage.world.carry_out(&plan);
        prop_assert_eq!(duplicates(&stage.world), BTreeSet::new());
    }

    /// An exclusive app never has two of a slot, not even for a step.
    #[test]
    fn an_exclusive_slot_runs_once(case in case()) {
        let mut stage = stage(&case);
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        let running = |world: &World| -> BTreeMap<InstanceName, usize> {
            let mut count = BTreeMap::new();
            for (host, c) in world.containers() {
                // Also what somebody renamed.
                let Some(instance) = owner().claimed(host, &c.labels) else { continue };
                let exclusive = stage.desired.apps.get(&instance.key).is_some_and(|app| {
                    matches!(&app.runtime, crate::model::app::Runtime::Host(p) if p.exclusive) && !every_host(app)
                });
                if exclusive && c.state.is_running() {
                    *count.entry(instance).or_insert(0) += 1;
                }
            }
            count
        };
        let (before, unread) = (running(&stage.world), renamed_and_unread(&stage));
        let mut world = stage.world.clone();
        for change in &plan.changes {
            for step in &change.steps {
                world.carry_out_partly(&crate::model::plan::Change { steps: vec![step.clone()], ..change.clone() }, 1);
                for (instance, count) in running(&world) {
                    let was = before.get(&instance).copied().unwrap_or(0);
                    prop_assert!(unread.contains(&instance) || count <= was.max(1), "{instance} runs {count} times");
                }
            }
        }
    }

    /// A4, D5: when everybody answers, a few rounds bring every fleet to rest, and then the plan is empty.
    #[test]
    fn every_fleet_comes_to_rest(mut case in case()) {
        case.silent.clear();
        case.unreadable.clear();
        let Stage { desired, mut world, mut holds, .. } = stage(&case);
        for _ in 0..8 {
            let plan = plan_with(&desired, &world.observed, &holds);
            approve_all(&plan, &mut holds);
            let plan = plan_with(&desired, &world.observed, &holds);
            world.carry_out(&plan);
        }
        let plan = plan_with(&desired, &world.observed, &holds);
        let left: Vec<_> = plan.changes.iter().map(|c| (c.promise(), c.because.clone())).collect();
        prop_assert!(left.is_empty(), "still wants {left:?}");
        // What is declared stands, unless the plan says why not.
        for (host, c) in world.containers() {
            let Belongs::Ours(owned) = owner().container(&c.name, host, &c.labels) else { continue };
            let told = plan.blocked.iter().any(|b| b.app.as_ref() == Some(&owned.instance.key));
            let declared = desired.apps.contains_key(&owned.instance.key);
            prop_assert!(declared || told, "{} is left over and nobody says so", c.name);
            prop_assert!(c.state.is_running() || told, "{} does not run and nobody says so", c.name);
        }
        for (key, app) in &desired.apps {
            let standing = owned(&world).filter(|(i, _, p)| i.key == *key && *p == PlaceInReplacement::Current);
            let wanted = wanted_instances(app, &desired);
            let told = plan.blocked.iter().any(|b| b.app.as_ref() == Some(key));
            let count = standing.count();
            prop_assert!(count == wanted || told, "{key} has {count} of {wanted} and nobody says why");
        }
    }

    /// D1: with the default strategy no more instances are away than `max_unavailable` plus those that were away.
    #[test]
    fn a_rollout_takes_few_away_at_once(case in case()) {
        let mut stage = stage(&case);
        let first = plan_with(&stage.desired, &stage.observed, &stage.holds);
        approve_all(&first, &mut stage.holds);
        let plan = plan_with(&stage.desired, &stage.observed, &stage.holds);
        for (key, app) in &stage.desired.apps {
            let replaced: Vec<usize> = (0..plan.changes.len())
                .filter(|n| {
                    let change = &plan.changes[*n];
                    if change.subject.kind != Kind::Container {
                        return false;
                    }
                    let serving = change.subject.host.as_ref().and_then(|h| {
                        let engine = stage.observed.engine(h)?;
                        let c = engine.containers.get(&name(&change.subject.name))?.known()?;
                        Some(matches!(c.state, RunState::Running { health: Health::Unchecked | Health::Healthy, .. }))
                    });
                    change.app.as_ref() == Some(key) && change.action == Verb::Replace && serving == Some(true)
                })
                .collect();
            let most = usize::try_from(app.update.max_unavailable).expect("small");
            // As many as may go side by side: none waits, even over others, for another of them.
            for group in subsets(&replaced, most + 1) {
                let ordered = group.iter().any(|a| group.iter().any(|b| a != b && waits(&plan, *a, *b)));
                prop_assert!(ordered, "{group:?} of {key} may all go at once");
            }
        }
    }

    /// B2: with only some environments in view, the others' instances are not touched.
    #[test]
    fn environments_out_of_view_are_left_alone(case in case()) {
        let Stage { desired, observed, mut holds, .. } = stage(&case);
        let narrow = desired.only(&BTreeSet::from([name("test")]));
        let first = plan_with(&narrow, &observed, &holds);
        approve_all(&first, &mut holds);
        let plan = plan_with(&narrow, &observed, &holds);
        for change in &plan.changes {
            for step in &change.steps {
                let Some(container) = touched(&step.action) else { continue };
                let network_work = matches!(step.action, Action::Connect { .. } | Action::Disconnect { .. });
                let key = container.as_str().parse::<InstanceName>().map(|i| i.key);
                let prod = key.is_ok_and(|key: AppKey| key.environment == name("prod"));
                prop_assert!(!prod || network_work, "{} is prod's", step.action.describe());
            }
        }
    }
}

/// `PROPTEST_CASES` for a longer run.
fn cases() -> u32 {
    option_env!("PROPTEST_CASES").and_then(|n| n.parse().ok()).unwrap_or(300)
}

/// Whose it is, nobody knows of what was renamed and cannot be read.
fn renamed_and_unread(stage: &Stage) -> BTreeSet<InstanceName> {
    let is_unread = |host, name| {
        let engine = stage.observed.engine(host);
        engine.is_some_and(|engine| engine.containers.get(name).is_some_and(|seen| seen.known().is_none()))
    };
    let renamed = called_otherwise(&stage.world).filter(|(_, host, c)| is_unread(host, &c.name));
    renamed.map(|(instance, ..)| instance).collect()
}

fn same_place(case: &Case, key: &AppKey) -> bool {
    let index = APPS.iter().position(|a| *a == key.to_string());
    let place = |shapes: &[AppShape]| index.and_then(|i| shapes.get(i)).map(|s| (s.only_on, s.every_host));
    place(&case.before) == place(&case.after)
}

fn every_host(app: &App) -> bool {
    use crate::model::app::{Replicas, Runtime};
    matches!(&app.runtime, Runtime::Host(placement) if placement.replicas == Replicas::EveryHost)
}

fn wanted_instances(app: &App, desired: &Desired) -> usize {
    use crate::model::app::{Replicas, Runtime};
    let Runtime::Host(placement) = &app.runtime else { return 0 };
    let allowed = desired.hosts.values().filter(|host| {
        let named = match &placement.hosts {
            HostSelector::Names(names) => names.contains(&host.name),
            HostSelector::Any | HostSelector::Labels(_) => true,
        };
        named && (!host.drain || placement.failover == Failover::Stay)
    });
    match placement.replicas {
        Replicas::Count(count) => usize::try_from(count).expect("small"),
        Replicas::EveryHost => allowed.filter(|h| !h.drain).count(),
    }
}

/// Whether `later` waits for `earlier`, directly or over others.
fn waits(plan: &Plan, later: usize, earlier: usize) -> bool {
    plan.changes[later].after.iter().any(|n| *n == earlier || waits(plan, *n, earlier))
}

fn subsets(all: &[usize], size: usize) -> Vec<Vec<usize>> {
    match (size, all.split_first()) {
        (0, _) => vec![Vec::new()],
        (_, None) => Vec::new(),
        (_, Some((first, rest))) => {
            let with = subsets(rest, size - 1).into_iter().map(|mut s| {
                s.push(*first);
                s
            });
            with.chain(subsets(rest, size)).collect()
        }
    }
}
