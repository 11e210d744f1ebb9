//! Containers of other names that stand for an instance until their next replacement (B4, docs/decisions/0012).

use super::build::*;
use super::rules::fail;
use super::world::World;
use crate::model::adoption;
use crate::model::app::App;
use crate::model::container::{EnvValue, Mount, MountSource};
use crate::model::desired::Desired;
use crate::model::drift::Kind;
use crate::model::names::{ContainerName, HostName, InstanceName};
use crate::model::observed::{Health, RunState, Seen};
use crate::model::plan::{Change, Plan, Verb};
use crate::model::units::Timestamp;
use crate::plan::{Begun, Holds};

fn told(plan: &Plan) -> Vec<String> {
    let containers = plan.changes.iter().filter(|change| change.subject.kind == Kind::Container);
    containers.map(|c| format!("{} {}", c.action.name(), c.subject)).collect()
}

const NOTHING: Vec<String> = Vec::new();

/// `quote-prod` of two hosts, which takes over `old-web` on h2.
fn taking_over() -> (Desired, World) {
    taking_over_as(app("quote-prod", 1))
}

fn taking_over_as(app: App) -> (Desired, World) {
    let mut fleet = desired(2, vec![app]);
    edit(&mut fleet, "quote-prod", |app| {
        app.container.image = name("other:1");
        app.adopt = true;
        app.adopted.insert(0, name("old-web@h2"));
    });
    let mut world = World::of(&fleet);
    world.foreign("h2", "old-web", None);
    (fleet, world)
}

fn differ(fleet: &mut Desired) {
    edit(fleet, "quote-prod", |app| {
        app.container.env.insert("MODE".into(), EnvValue::Plain("new".into()));
    });
}

#[test]
fn it_stands_under_its_own_name_until_it_is_replaced() {
    let (mut fleet, mut world) = taking_over();
    assert_eq!(told(&plan_of(&fleet, &world.observed)), NOTHING, "it is as declared");
    differ(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["replace container quote-prod-0 on h2"]);
    assert!(plan.changes.iter().any(|c| c.because.iter().any(|why| why.contains("old-web"))));
    world.carry_out(&plan);
    assert_eq!(world.names("h2"), ["quote-prod-0"]);
    assert_eq!(told(&plan_of(&fleet, &world.observed)), NOTHING);
    // Started again by somebody it is nobody's instance: neither a second one, nor in the way, nor taken away.
    world.foreign("h2", "old-web", None);
    assert_eq!(told(&plan_of(&fleet, &world.observed)), NOTHING);
}

#[test]
fn a_swarms_task_is_not_taken_over_and_is_told_as_what_it_is() {
    let (mut fleet, mut world) = taking_over();
    edit(&mut fleet, "quote-prod", |app| drop(app.adopted.insert(0, name("web.1.t9@h2"))));
    world.foreign("h2", "web.1.t9", None);
    let task = world.container("h2", "web.1.t9");
    task.labels.insert("com.docker.swarm.task.id".into(), "t9".into());
    // As the list alone tells it.
    task.veiled = true;
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), NOTHING);
    let [blocked] = plan.blocked.as_slice() else { panic!("{:?}", plan.blocked) };
    assert!(blocked.reason.contains("task of a Swarm") && blocked.hint.contains("--swarm"), "{blocked:?}");
}

#[test]
fn a_replacement_that_was_cut_short_anywhere_is_put_right() {
    let (mut fleet, world) = taking_over();
    differ(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    let change = plan.changes.iter().find(|c| c.subject.kind == Kind::Container).expect("the replacement");
    for count in 0..=change.steps.len() {
        let (_, mut world) = taking_over();
        world.carry_out_partly(change, count);
        for _ in 0..6 {
            let plan = plan_of(&fleet, &world.observed);
            world.carry_out(&plan);
        }
        assert_eq!(world.names("h2"), ["quote-prod-0"], "cut after {count} steps");
        assert_eq!(world.names("h1"), Vec::<String>::new(), "cut after {count} steps");
        assert_eq!(told(&plan_of(&fleet, &world.observed)), NOTHING, "cut after {count} steps");
    }
}

#[test]
fn on_a_host_that_does_not_answer_it_counts_as_running_c8() {
    let (mut fleet, world) = taking_over();
    differ(&mut fleet);
    let mut observed = world.observed.clone();
    observed.hosts.insert(name("h2"), Seen::unknown("no answer"));
    assert_eq!(
        told(&plan_with(&fleet, &observed, &remembering(&[]))),
        NOTHING,
        "it is not started on h1 beside it"
    );
    // It moved on long ago to a host that does not answer now: the old one is not it any more.
    let mut observed = world.observed.clone();
    observed.hosts.insert(name("h1"), Seen::unknown("no answer"));
    assert_eq!(told(&plan_with(&fleet, &observed, &remembering(&[("quote-prod-0", "h1")]))), NOTHING);
    // Nor where that host left git's inventory (B2): a move there was cut short with the old one stopped.
    let mut world = world.clone();
    for stopped in [false, true] {
        if stopped {
            fail(&mut world, "h2", "old-web");
        }
        let both = remembering(&[("quote-prod-0", "h2"), ("quote-prod-0", "h9")]);
        let plan = plan_with(&fleet, &world.observed, &both);
        assert_eq!(told(&plan), NOTHING, "stopped: {stopped}");
        assert!(plan.notes.iter().any(|n| n.contains("was last seen on h9")), "{:?}", plan.notes);
    }
}

#[test]
fn it_is_not_replaced_while_what_git_ignores_would_be_lost() {
    let (mut fleet, mut world) = taking_over();
    let hidden = key().hide("only here");
    world.container("h2", "old-web").live.env.insert("SECRET".into(), hidden);
    edit(&mut fleet, "quote-prod", |app| app.ignore = [name("env.SECRET")].into());
    assert_eq!(plan_of(&fleet, &world.observed).exit_code(), 0, "ignored, and the plan is empty");
    differ(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), NOTHING);
    assert!(plan.blocked.iter().any(|b| b.reason.contains("env.SECRET")), "{:?}", plan.blocked);
    // What stops is started again all the same.
    edit(&mut fleet, "quote-prod", |app| app.container.env.clear());
    world.container("h2", "old-web").state =
        crate::model::observed::RunState::Exited { exit_code: 1, at: Timestamp(5), error: String::new() };
    assert_eq!(told(&plan_of(&fleet, &world.observed)), ["start container quote-prod-0 on h2"]);
}

/// The anonymous volume of whatever stands under the name, as the image's `VOLUME` makes it.
fn holds_data(world: &mut World, host: &str, container: &str) {
    world.container(host, container).anonymous = [("/data".into(), "f00d".into())].into();
}

#[test]
fn data_that_nobody_named_is_not_left_behind_unasked_b5() {
    let (mut fleet, mut world) = taking_over();
    holds_data(&mut world, "h2", "old-web");
    assert_eq!(plan_of(&fleet, &world.observed).exit_code(), 0, "it runs on as it is");
    differ(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!((told(&plan), plan.exit_code()), (NOTHING, 3));
    assert!(plan.blocked.iter().any(|b| b.reason.contains("/data") && b.hint.contains("name")), "{plan:?}");
    edit(&mut fleet, "quote-prod", |app| {
        let mount = Mount { source: MountSource::Tmpfs { size: None }, read_only: false };
        app.container.mounts.insert("/data".into(), mount);
    });
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["replace container quote-prod-0 on h2"]);
    let because = &plan.changes[0].because;
    assert!(because.iter().any(|why| why.contains("f00d") && why.contains("stays")), "{because:?}");
}

#[test]
fn an_anonymous_volume_of_our_own_is_told_and_holds_nothing_up() {
    let mut fleet = desired(1, vec![app("quote-prod", 1)]);
    let mut world = World::of(&fleet);
    world.carry_out(&plan_of(&fleet, &world.observed));
    holds_data(&mut world, "h1", "quote-prod-0");
    differ(&mut fleet);
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), ["replace container quote-prod-0 on h1"]);
    assert!(plan.changes[0].because.iter().any(|why| why.contains("f00d")), "{:?}", plan.changes[0].because);
}

/// A saved snapshot hides the texts of what was not ours then (G1): nothing is said of what it cannot show (A1).
#[test]
fn what_a_snapshot_veils_is_not_compared() {
    let (fleet, mut world) = taking_over();
    world.container("h2", "old-web").veiled = true;
    let plan = plan_of(&fleet, &world.observed);
    assert_eq!(told(&plan), NOTHING);
    assert!(
        plan.blocked.iter().any(|blocked| blocked.reason.contains("the snapshot was saved")),
        "{:?}",
        plan.blocked
    );
}

/// `quote-prod` is to leave h2, where `old-web` stands for it.
fn leaving() -> (Desired, World) {
    let (mut fleet, world) = taking_over();
    drain(&mut fleet, true);
    (fleet, world)
}

fn drain(fleet: &mut Desired, drained: bool) {
    fleet.hosts.get_mut(&name::<HostName>("h2")).expect("h2").drain = drained;
}

/// What is remembered of a look at all hosts, after what was remembered before.
fn look(fleet: &Desired, world: &World, before: &Holds) -> Holds {
    let stand_ins = adoption::stand_ins(fleet, &world.observed, &before.last_seen);
    let mut last_seen = stand_ins.clone();
    last_seen.retain(|instance, host| stand_ins.adopted(instance, host).is_some());
    for (host, container) in world.containers() {
        if let Ok(instance) = container.name.as_str().parse::<InstanceName>() {
            last_seen.note(instance, host.clone());
        }
    }
    Holds { memory_complete: true, last_seen, ..Holds::default() }
}

fn change(plan: &Plan, verb: Verb) -> &Change {
    let of_it = |change: &&Change| change.subject.kind == Kind::Container && change.action == verb;
    plan.changes.iter().find(of_it).expect("the change")
}

const MOVES: [&str; 2] = ["create container quote-prod-0 on h1", "remove container quote-prod-0 on h2"];

/// D5: trueup ends after any step of the move, and goes on from what it remembers; one that is done is over.
#[test]
fn a_move_that_was_cut_short_anywhere_comes_to_its_end_c8() {
    let (fleet, world) = leaving();
    let plan = plan_with(&fleet, &world.observed, &look(&fleet, &world, &Holds::default()));
    assert_eq!(told(&plan), MOVES);
    assert!(plan.changes.iter().any(|c| c.because.iter().any(|why| why.contains("old-web"))), "{plan:?}");
    let steps: usize = plan.changes.iter().map(|change| change.steps.len()).sum();
    for cut in 0..=steps {
        let (_, mut world) = leaving();
        let mut holds = look(&fleet, &world, &Holds::default());
        let mut left = cut;
        for change in &plan.changes {
            world.carry_out_partly(change, left);
            left = left.saturating_sub(change.steps.len());
        }
        for _ in 0..6 {
            holds = look(&fleet, &world, &holds);
            let plan = plan_with(&fleet, &world.observed, &holds);
            world.carry_out(&plan);
        }
        assert_eq!(
            (world.names("h1"), world.names("h2")),
            (vec!["quote-prod-0".into()], vec![]),
            "cut: {cut}"
        );
        // Who starts the old one again gets no second instance, and loses nothing.
        world.foreign("h2", "old-web", None);
        for _ in 0..2 {
            holds = look(&fleet, &world, &holds);
            assert_eq!(told(&plan_with(&fleet, &world.observed, &holds)), NOTHING, "cut: {cut}");
        }
    }
}

#[test]
fn what_was_taken_over_goes_when_its_successor_serves_and_stays_where_that_is_given_up() {
    let (mut fleet, mut world) = leaving();
    let before = look(&fleet, &world, &Holds::default());
    let plan = plan_with(&fleet, &world.observed, &before);
    for change in plan.changes.iter().filter(|change| change.subject.kind != Kind::Container) {
        world.carry_out_partly(change, change.steps.len());
    }
    world.carry_out_partly(change(&plan, Verb::Create), 1);
    let holds = look(&fleet, &world, &before);
    let up = ["start container quote-prod-0 on h1", MOVES[1]];
    assert_eq!(told(&plan_with(&fleet, &world.observed, &holds)), up);
    let at = Timestamp(9_999_999);
    let healthy = |world: &mut World, health| {
        world.container("h1", "quote-prod-0").state = RunState::Running { since: at, health };
    };
    healthy(&mut world, Health::Starting);
    assert_eq!(told(&plan_with(&fleet, &world.observed, &holds)), NOTHING, "it is not well yet");
    healthy(&mut world, Health::Healthy);
    let plan = plan_with(&fleet, &world.observed, &holds);
    assert_eq!(told(&plan), MOVES[1..]);
    // Its host serves again, and the new one's does not: it is kept, unless it is going already.
    drain(&mut fleet, false);
    fleet.hosts.get_mut(&name::<HostName>("h1")).expect("h1").drain = true;
    assert_eq!(told(&plan_with(&fleet, &world.observed, &holds)), ["remove container quote-prod-0 on h1"]);
    let begun = Begun {
        change: change(&plan, Verb::Remove).clone(),
        revision: fleet.revision.clone(),
        since: at,
        step: String::new(),
    };
    let beside = Holds { under_way: vec![begun], ..holds };
    assert_eq!(told(&plan_with(&fleet, &world.observed, &beside)), NOTHING, "one goes already");
}

/// B1, B4: git's entry and the id that stood for the instance together tell whose it is; a name alone takes nothing away.
#[test]
fn a_stranger_with_the_name_of_what_was_taken_over_is_left_alone() {
    let stays = |fleet: &Desired, world: &World, holds: &Holds| {
        let plan = plan_with(fleet, &world.observed, holds);
        assert!(!told(&plan).iter().any(|told| told.starts_with("remove")), "{:?}", told(&plan));
    };
    let (fleet, mut world) = leaving();
    let before = look(&fleet, &world, &Holds::default());
    let plan = plan_with(&fleet, &world.observed, &before);
    for change in plan.changes.iter().filter(|change| change.action != Verb::Remove) {
        world.carry_out_partly(change, change.steps.len());
    }
    let holds = look(&fleet, &world, &before);
    assert_eq!(told(&plan_with(&fleet, &world.observed, &holds)), MOVES[1..]);
    // Not named any more, or by a state that never knew it.
    let mut unnamed = fleet.clone();
    edit(&mut unnamed, "quote-prod", |app| app.adopted.clear());
    stays(&unnamed, &world, &holds);
    stays(&fleet, &world, &remembering(&[("quote-prod-0", "h1"), ("quote-prod-0", "h2")]));
    // Somebody made it anew, or it is another trueup's.
    let mut other = world.clone();
    other.container("h2", "old-web").id = "another".into();
    stays(&fleet, &other, &holds);
    let mut other = world.clone();
    other.container("h2", "old-web").labels.insert("io.trueup.owner".into(), "somebody".into());
    stays(&fleet, &other, &holds);
    // Replaced on its host long ago, and now that one leaves it.
    let (mut fleet, mut world) = taking_over();
    differ(&mut fleet);
    let mut holds = look(&fleet, &world, &Holds::default());
    world.carry_out(&plan_with(&fleet, &world.observed, &holds));
    world.foreign("h2", "old-web", None);
    drain(&mut fleet, true);
    for _ in 0..3 {
        holds = look(&fleet, &world, &holds);
        world.carry_out(&plan_with(&fleet, &world.observed, &holds));
    }
    assert_eq!((world.names("h1"), world.names("h2")), (vec!["quote-prod-0".into()], vec!["old-web".into()]));
}

/// C1: the address that what was taken over holds is its instance's own: kept where it stands, and free where that goes first.
#[test]
fn what_was_taken_over_keeps_its_address() {
    let over = |app| {
        let beside = leasing(super::build::app("beside-prod", 2));
        let mut world = World::of(&desired(2, vec![]));
        world.carry_out(&plan_of(&desired(2, vec![beside.clone()]), &world.observed));
        let mut fleet = desired(2, vec![app, beside]);
        edit(&mut fleet, "quote-prod", |app| {
            app.container.image = name("other:1");
            app.adopt = true;
            app.adopted.insert(0, name("old-web@h2"));
        });
        world.foreign("h2", "old-web", Some(ip("192.0.2.70")));
        (fleet, world)
    };
    for app in [leasing(app("quote-prod", 1)), fixed(app("quote-prod", 1), &["192.0.2.70"])] {
        let (mut fleet, mut world) = over(app);
        let plan = plan_of(&fleet, &world.observed);
        assert_eq!((told(&plan), plan.exit_code()), (NOTHING, 0), "{plan:#?}");
        drain(&mut fleet, true);
        let mut holds = Holds::default();
        for _ in 0..4 {
            holds = look(&fleet, &world, &holds);
            world.carry_out(&plan_with(&fleet, &world.observed, &holds));
        }
        let has = |host, container: &str| world.names(host).iter().any(|name| name == container);
        assert!(has("h1", "quote-prod-0") && !has("h2", "old-web"), "{:?}", world.names("h2"));
    }
}

/// D5: a replacement of what trueup made was cut short where the old one is aside; who took the name of what was taken over is
/// not the instance on that account, wherever that is.
#[test]
fn a_stranger_is_not_the_instance_while_that_is_aside() {
    for (at, drained) in [("h1", false), ("h1", true), ("h2", false)] {
        let (mut fleet, mut stranger) = taking_over();
        let mut world = World::of(&fleet);
        for host in ["h1", "h2"] {
            fleet.hosts.get_mut(&name::<HostName>(host)).expect("a host").drain = host != at;
        }
        world.carry_out(&plan_of(&fleet, &world.observed));
        let rename = |world: &mut World, from: &str, to: &str| {
            let containers = &mut world.engine_mut(at).containers;
            let Some(Seen::Known(mut container)) = containers.remove(&name::<ContainerName>(from)) else {
                panic!("{from}")
            };
            container.name = name(to);
            container.state = RunState::Exited { exit_code: 0, at: Timestamp(5), error: String::new() };
            containers.insert(name(to), Seen::Known(container));
        };
        rename(&mut world, "quote-prod-0", "quote-prod-0.trueup-old");
        let mut old = stranger.container("h2", "old-web").clone();
        old.id = "01d".repeat(21);
        world.engine_mut("h2").containers.insert(name("old-web"), Seen::Known(old));
        for host in ["h1", "h2"] {
            fleet.hosts.get_mut(&name::<HostName>(host)).expect("a host").drain = drained && host != at;
        }
        let mut holds = remembering(&[("quote-prod-0", at)]);
        for _ in 0..3 {
            world.carry_out(&plan_with(&fleet, &world.observed, &holds));
            holds = look(&fleet, &world, &holds);
        }
        let all: Vec<String> = world.containers().map(|(host, c)| format!("{}@{host}", c.name)).collect();
        assert!(all.contains(&"old-web@h2".to_owned()), "{at}, {drained}: {all:?}");
        assert!(all.contains(&format!("quote-prod-0@{at}")), "{at}, {drained}: {all:?}");
    }
}

/// C1: what is being attached with an address holds it as its instance.
#[test]
fn what_was_taken_over_holds_its_address_while_it_is_attached() {
    for app in [leasing(app("quote-prod", 1)), fixed(app("quote-prod", 1), &["192.0.2.70"])] {
        let (mut fleet, mut world) = taking_over_as(app);
        // Somebody took it off its network.
        let live = &mut world.container("h2", "old-web").live;
        live.network_mode = "market".into();
        live.networks.clear();
        let plan = plan_of(&fleet, &world.observed);
        assert_eq!(told(&plan), ["update container quote-prod-0 on h2"]);
        for change in plan.changes.iter().filter(|change| change.action == Verb::Create) {
            world.carry_out_partly(change, change.steps.len());
        }
        let begun = Begun {
            change: change(&plan, Verb::Update).clone(),
            revision: fleet.revision.clone(),
            since: Timestamp(5),
            step: String::new(),
        };
        // A newer commit that has nothing to do with it.
        fleet.revision = crate::model::names::Revision::new("2222222222222222222222222222222222222222");
        let beside = Holds { under_way: vec![begun], ..look(&fleet, &world, &Holds::default()) };
        let plan = plan_with(&fleet, &world.observed, &beside);
        assert_eq!((told(&plan), super::rules::reasons(&plan)), (NOTHING, String::new()));
        let overtaken: Vec<bool> = plan.under_way.iter().map(|under_way| under_way.overtaken).collect();
        assert_eq!(overtaken, [false]);
    }
}

/// B2, B4: a network that git no longer wants goes after what was taken over has left it, and waits for a stranger all the same.
#[test]
fn a_network_goes_after_what_was_taken_over_has_left_it() {
    let mut fleet = desired(2, vec![leasing(app("quote-prod", 1))]);
    fleet.hosts.get_mut(&name::<HostName>("h1")).expect("h1").drain = true;
    let mut world = World::of(&fleet);
    world.carry_out(&plan_of(&fleet, &world.observed));
    let containers = &mut world.engine_mut("h2").containers;
    let Some(Seen::Known(mut old)) = containers.remove(&name::<ContainerName>("quote-prod-0")) else {
        panic!("made")
    };
    old.name = name("old-web");
    old.labels.clear();
    containers.insert(name("old-web"), Seen::Known(old));
    world.settle_networks();
    fleet.hosts.get_mut(&name::<HostName>("h1")).expect("h1").drain = false;
    fleet.networks.clear();
    edit(&mut fleet, "quote-prod", |app| {
        app.adopt = true;
        app.adopted.insert(0, name("old-web@h2"));
        app.leases.clear();
        app.container.networks = crate::model::container::Networks::Default;
    });
    let replaced = fleet.clone();
    drain(&mut fleet, true);
    for (fleet, last) in [(&fleet, MOVES[1]), (&replaced, "replace container quote-prod-0 on h2")] {
        let plan = plan_with(fleet, &world.observed, &look(fleet, &world, &Holds::default()));
        assert_eq!(told(&plan).last().map(String::as_str), Some(last));
        assert_eq!(super::rules::reasons(&plan), "");
        let network =
            plan.changes.iter().find(|c| c.subject.kind == Kind::Network).expect("the network goes");
        let after: Vec<&str> = network.after.iter().map(|n| plan.changes[*n].action.name()).collect();
        assert_eq!(after, [last.split(' ').next().unwrap_or_default()]);
        world.clone().carry_out(&plan);
        // Nor is anything told of it while it is leaving.
        let going = network.after.iter().map(|n| Begun {
            change: plan.changes[*n].clone(),
            revision: fleet.revision.clone(),
            since: Timestamp(5),
            step: String::new(),
        });
        let beside = Holds { under_way: going.collect(), ..look(fleet, &world, &Holds::default()) };
        assert_eq!(super::rules::reasons(&plan_with(fleet, &world.observed, &beside)), "");
        // Somebody else's stays on it, and so does the network.
        let mut shared = world.clone();
        let mut beside = shared.container("h2", "old-web").clone();
        (beside.name, beside.id) = (name("backup"), "bac".repeat(21));
        shared.engine_mut("h2").containers.insert(name("backup"), Seen::Known(beside));
        shared.settle_networks();
        let plan = plan_with(fleet, &shared.observed, &look(fleet, &shared, &Holds::default()));
        assert!(!plan.changes.iter().any(|c| c.subject.kind == Kind::Network), "{plan:?}");
        assert!(super::rules::reasons(&plan).contains("backup"), "{plan:?}");
    }
}
