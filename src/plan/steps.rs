//! Planning decisions expanded into primitives, each with its precondition.

use std::collections::BTreeMap;

use crate::model::app::App;
use crate::model::container::{ContainerSpec, Networks};
use crate::model::drift::FieldChange;
use crate::model::names::{ContainerName, InstanceName};
use crate::model::observed::Container;
use crate::model::ownership::{self, ASIDE, NEXT};
use crate::model::plan::{Action, Expect, LiveLimits, Step};
use crate::model::units::TimeSpan;

use super::PlanInput;
use super::addresses::Target;

/// Docker's own time to stop, where the app declares none.
const STOP_DEFAULT: TimeSpan = TimeSpan::from_secs(10);

fn step(action: Action, expect: Expect) -> Step {
    Step { action, expect }
}

/// `name` with one of the suffixes of a replacement.
pub(super) fn suffixed(name: &ContainerName, suffix: &str) -> ContainerName {
    // Instance names are short and of the same letters, so a suffix never makes them invalid.
    format!("{name}{suffix}").parse().unwrap_or_else(|_| name.clone())
}

pub(super) fn stop_timeout(spec: &ContainerSpec) -> TimeSpan {
    spec.stop_timeout.unwrap_or(STOP_DEFAULT)
}

fn ownership_labels(input: &PlanInput<'_>, target: &Target) -> BTreeMap<String, String> {
    let hash = target.spec.hash();
    let files = target.spec.files.keys().map(String::as_str);
    let mut labels = input.owner.container_labels(&target.instance, &target.seat.host, &hash, files);
    if target.app.protect {
        labels.insert(ownership::PROTECT.to_owned(), "true".to_owned());
    }
    labels
}

fn wait(name: &ContainerName, app: &App, min_healthy: TimeSpan) -> Step {
    let deadline = app.update.healthy_deadline;
    step(Action::WaitHealthy { name: name.clone(), min_healthy, deadline }, Expect::Ours)
}

/// Nothing was there: no pacing for a first creation (D1).
pub(super) fn create(input: &PlanInput<'_>, target: &Target) -> Vec<Step> {
    let name = target.instance.container();
    let labels = ownership_labels(input, target);
    let spec = Box::new(target.spec.clone());
    vec![
        step(Action::CreateContainer { name: name.clone(), spec, labels }, Expect::Absent),
        step(Action::StartContainer { name: name.clone() }, Expect::Ours),
        wait(&name, &target.app, TimeSpan::default()),
    ]
}

/// The successor is created beside the old one, so that what cannot be created takes nothing away.
pub(super) fn replace(input: &PlanInput<'_>, target: &Target, old: &Container) -> (Vec<Step>, Vec<Step>) {
    let name = target.instance.container();
    let (next, aside) = (suffixed(&name, NEXT), suffixed(&name, ASIDE));
    // What is adopted may have another name than its instance (B4); its successor never has.
    let was = || old.name.clone();
    let old_id = || Expect::Id(old.id.clone());
    let successor = || Expect::OursBut(old.id.clone());
    let timeout = stop_timeout(&target.spec);
    let spec = Box::new(target.spec.clone());
    let labels = ownership_labels(input, target);
    let drains = target.app.upstream.is_some();
    let mut steps = vec![step(Action::CreateContainer { name: next.clone(), spec, labels }, Expect::Absent)];
    if drains {
        let timeout = target.app.update.drain_timeout;
        steps.push(step(Action::Drain { instance: target.instance.clone(), timeout }, Expect::Anything));
    }
    steps.extend([
        step(Action::StopContainer { name: was(), timeout }, old_id()),
        step(Action::RenameContainer { name: was(), to: aside.clone() }, old_id()),
        step(Action::RenameContainer { name: next.clone(), to: name.clone() }, successor()),
        step(Action::StartContainer { name: name.clone() }, successor()),
        wait(&name, &target.app, target.app.update.min_healthy),
    ]);
    if drains {
        steps.push(undrain(&target.instance));
    }
    steps.push(step(Action::RemoveContainer { name: aside.clone() }, old_id()));
    let mut undo = vec![
        step(Action::StopContainer { name: name.clone(), timeout }, successor()),
        step(Action::RemoveContainer { name: name.clone() }, successor()),
        step(Action::RemoveContainer { name: next }, successor()),
        step(Action::RenameContainer { name: aside, to: was() }, old_id()),
    ];
    if old.state.is_running() {
        undo.push(step(Action::StartContainer { name: was() }, old_id()));
    }
    if drains {
        undo.push(undrain(&target.instance));
    }
    (steps, undo)
}

fn undrain(instance: &InstanceName) -> Step {
    step(Action::Undrain { instance: instance.clone() }, Expect::Anything)
}

/// `docker update`, connects and disconnects: the container keeps running.
pub(super) fn update(target: &Target, live: &Container, changes: &[FieldChange]) -> Vec<Step> {
    let name = live.name.clone();
    let id = || Expect::Id(live.id.clone());
    let (networks, limits): (Vec<&FieldChange>, Vec<&FieldChange>) =
        changes.iter().partition(|c| c.field.starts_with("networks."));
    let mut steps = Vec::new();
    if !limits.is_empty() {
        let touched = |field: &str| limits.iter().any(|c| c.field == field);
        let spec = &target.spec;
        let limits = LiveLimits {
            cpus: spec.cpus.filter(|_| touched("cpus")),
            memory: spec.memory.filter(|_| touched("memory")),
            memory_reservation: spec.memory_reservation.filter(|_| touched("memory_reservation")),
            pids: spec.pids.filter(|_| touched("pids")),
            restart: if touched("restart") { spec.restart } else { live.live.restart },
        };
        steps.push(step(Action::UpdateContainer { name: name.clone(), limits }, id()));
    }
    for change in networks {
        let network = change.field["networks.".len()..].to_owned();
        if live.live.networks.contains_key(&network) {
            steps.push(step(Action::Disconnect { name: name.clone(), network: network.clone() }, id()));
        }
        let wanted = match &target.spec.networks {
            Networks::Named(named) => {
                named.iter().find(|(n, _)| n.as_str() == network).map(|(_, a)| a.clone())
            }
            Networks::Default | Networks::Host | Networks::None => None,
        };
        if let Some(attachment) = wanted {
            steps.push(step(Action::Connect { name: name.clone(), network, attachment }, id()));
        }
    }
    steps
}

pub(super) fn start(target: &Target, live: &Container) -> Vec<Step> {
    let name = live.name.clone();
    vec![
        step(Action::StartContainer { name: name.clone() }, Expect::Id(live.id.clone())),
        wait(&name, &target.app, TimeSpan::default()),
    ]
}

pub(super) fn restart(target: &Target, live: &Container) -> Vec<Step> {
    let name = live.name.clone();
    let timeout = stop_timeout(&target.spec);
    let drains = target.app.upstream.is_some() && live.state.is_running();
    let mut steps = Vec::new();
    if drains {
        let timeout = target.app.update.drain_timeout;
        steps.push(step(Action::Drain { instance: target.instance.clone(), timeout }, Expect::Anything));
    }
    steps.push(step(Action::RestartContainer { name: name.clone(), timeout }, Expect::Id(live.id.clone())));
    steps.push(wait(&name, &target.app, TimeSpan::default()));
    if drains {
        steps.push(undrain(&target.instance));
    }
    steps
}

/// Stopped first: an engine removes no running container unless forced, and a stop lets it end well.
pub(super) fn remove(name: &ContainerName, live: &Container, timeout: TimeSpan) -> Vec<Step> {
    let id = || Expect::Id(live.id.clone());
    let mut steps = Vec::new();
    if !matches!(live.state, crate::model::observed::RunState::Created) {
        steps.push(step(Action::StopContainer { name: name.clone(), timeout }, id()));
    }
    steps.push(step(Action::RemoveContainer { name: name.clone() }, id()));
    steps
}
