//! What instances need around them on their host: images and networks; volumes have a file of their own.

use std::collections::{BTreeMap, BTreeSet};

use crate::diff;
use crate::model::app::PullPolicy;
use crate::model::container::{Attachment, Networks};
use crate::model::drift::{FieldChange, Kind, Nature, Subject};
use crate::model::image::ImageRef;
use crate::model::names::{HostName, InstanceName, NetworkName};
use crate::model::network::{Network, NetworkDriver};
use crate::model::observed::{Container, Engine, LiveNetwork, RunState, Seen};
use crate::model::ownership::Belongs;
use crate::model::plan::{Action, Change, Expect, Step, Verb};
use crate::model::secrecy::ContentHash;

use super::PlanInput;
use super::addresses::Target;
use super::draft::{Draft, subject};
use super::instance;
use super::seen::Fleet;
use super::swarm::Swarms;
use super::{under_way, volumes};

/// The number of a change that must come first, or why the thing can't be had and what to do.
pub(super) type Made = Result<Option<usize>, (String, String)>;

/// What was prepared for each instance: the numbers of the changes it waits for, or why it can't be had.
#[derive(Default)]
pub(super) struct Around {
    pub waits_for: BTreeMap<InstanceName, BTreeSet<usize>>,
    /// Only creating or replacing is impossible; what runs goes on.
    pub lacks: BTreeMap<InstanceName, (String, String)>,
}

/// Changes for everything missing or different around the targets.
pub(super) fn prepare(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    swarms: &Swarms<'_>,
    targets: &[Target],
    draft: &mut Draft,
) -> Around {
    let mut around = Around::default();
    let mut images: BTreeMap<(HostName, ImageRef), Made> = BTreeMap::new();
    let mut networks: BTreeMap<(HostName, NetworkName), Made> = BTreeMap::new();
    for target in targets {
        let host = &target.seat.host;
        let Some(engine) = fleet.engines.get(host) else { continue };
        // What runs needs no image any more: a pull would only move its tag.
        if !is_there(engine, &target.spec.image) && instance::is_made_anew(input, engine, target) {
            let key = (host.clone(), target.spec.image.clone());
            let image = images.entry(key).or_insert_with(|| image(input, target, draft)).clone();
            around.note(&target.instance, image);
        }
        if let Networks::Named(named) = &target.spec.networks {
            for name in named.keys() {
                if let Some(swarm) = swarm_of(input, name, host) {
                    let made = match swarms.apart(swarm, engine) {
                        None => swarms.network(input, swarm, name, draft),
                        Some(apart) => Err((
                            format!("{host} {}, and {name} is a network of the Swarm {swarm}", apart.words),
                            apart.hint,
                        )),
                    };
                    around.note(&target.instance, made);
                    continue;
                }
                let key = (host.clone(), name.clone());
                let made = networks
                    .entry(key)
                    .or_insert_with(|| network(input, fleet, name, host, engine, targets, draft))
                    .clone();
                around.note(&target.instance, made);
            }
        }
        for made in volumes::prepare(input, target, engine, draft) {
            around.note(&target.instance, made);
        }
    }
    around
}

/// The Swarm whose managers make this network: an overlay on a member of it.
fn swarm_of<'a>(input: &PlanInput<'a>, name: &NetworkName, host: &HostName) -> Option<&'a str> {
    let network = input.desired.networks.get(name)?;
    let swarm = input.desired.hosts.get(host)?.swarm.as_deref()?;
    (network.spec.driver == NetworkDriver::Overlay).then_some(swarm)
}

impl Around {
    /// The numbers of the changes that the instance waits for.
    pub fn waits(&self, instance: &InstanceName) -> Vec<usize> {
        self.waits_for.get(instance).into_iter().flatten().copied().collect()
    }

    fn note(&mut self, instance: &InstanceName, made: Made) {
        match made {
            Ok(Some(number)) => {
                self.waits_for.entry(instance.clone()).or_default().insert(number);
            }
            Ok(None) => {}
            Err(lack) => {
                self.lacks.entry(instance.clone()).or_insert(lack);
            }
        }
    }
}

fn is_there(engine: &Engine, wanted: &ImageRef) -> bool {
    engine.images.values().any(|image| image.is_called(wanted))
}

/// The image, which is not there.
fn image(input: &PlanInput<'_>, target: &Target, draft: &mut Draft) -> Made {
    let wanted = &target.spec.image;
    if target.app.pull == PullPolicy::Never {
        return Err((
            format!("the image {wanted} is not on {} and pull = \"never\"", target.seat.host),
            "load the image there, or let it be pulled".to_owned(),
        ));
    }
    if let Some(why) = input.images.unresolved.get(&target.app.container.image) {
        return Err((
            format!("the tag of {wanted} could not be resolved: {why}"),
            "is the registry up, the name right, and are its credentials in Docker's config.json?".to_owned(),
        ));
    }
    let because = format!("{} needs it", target.instance);
    let to = ContentHash::of(wanted.to_string().as_bytes());
    let step = Step { action: Action::PullImage { image: wanted.clone() }, expect: Expect::Anything };
    let change = creation(subject(Kind::Image, wanted, &target.seat.host), Some(target), because, to, step);
    planned(input, change, draft)
}

/// Something missing around an instance, made.
pub(super) fn creation(
    subject: Subject,
    target: Option<&Target>,
    because: String,
    to: ContentHash,
    step: Step,
) -> Change {
    Change {
        action: Verb::Create,
        subject,
        app: target.map(|target| target.app.key.clone()),
        because: vec![because],
        from: None,
        to: Some(to),
        steps: vec![step],
        undo: Vec::new(),
        after: Vec::new(),
        destructive: false,
        interrupts: false,
    }
}

/// Its number, or that it is needed and may not be made.
pub(super) fn planned(input: &PlanInput<'_>, change: Change, draft: &mut Draft) -> Made {
    let lack = format!("{} is needed and left alone", change.subject);
    draft.heal(input, Nature::Missing, change).map(Some).ok_or((lack, "see the drift report".to_owned()))
}

fn network(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    name: &NetworkName,
    host: &HostName,
    engine: &Engine,
    targets: &[Target],
    draft: &mut Draft,
) -> Made {
    let Some(network) = input.desired.networks.get(name) else {
        return Err((format!("network {name} is not declared"), "declare it under networks/".to_owned()));
    };
    let live = match engine.networks.get(name.as_str()) {
        Some(Seen::Unknown { why }) => {
            return Err((format!("network {name} is unknown: {why}"), "see the host's engine".to_owned()));
        }
        Some(Seen::Known(live)) => Some(live),
        None => None,
    };
    match live {
        None if network.external => Err((
            format!("the external network {name} is not on {host}"),
            "make it there; trueup only attaches to it".to_owned(),
        )),
        None => create_network(input, network, host, draft),
        Some(_) if network.external => Ok(None),
        Some(live) => existing_network(input, fleet, network, (host, engine), live, targets, draft),
    }
}

fn create_step(input: &PlanInput<'_>, network: &Network, host: &HostName) -> Step {
    let labels = input.owner.object_labels("network", network.name.as_str(), host);
    let action = Action::CreateNetwork { name: network.name.to_string(), spec: network.spec.clone(), labels };
    Step { action, expect: Expect::Absent }
}

fn network_hash(network: &Network) -> ContentHash {
    ContentHash::of(serde_json::to_string(&network.spec).unwrap_or_default().as_bytes())
}

fn create_network(input: &PlanInput<'_>, network: &Network, host: &HostName, draft: &mut Draft) -> Made {
    let subject = subject(Kind::Network, &network.name, host);
    let because = "instances here are attached to it".to_owned();
    let change = creation(subject, None, because, network_hash(network), create_step(input, network, host));
    planned(input, change, draft)
}

fn existing_network(
    input: &PlanInput<'_>,
    fleet: &Fleet<'_>,
    network: &Network,
    (host, engine): (&HostName, &Engine),
    live: &LiveNetwork,
    targets: &[Target],
    draft: &mut Draft,
) -> Made {
    let changes = diff::network(&network.spec, live);
    let subject = subject(Kind::Network, &network.name, host);
    if let Belongs::Foreign { why } = input.owner.object("network", &live.name, host, &live.labels) {
        if changes.is_empty() {
            return Ok(None);
        }
        let unmanaged = crate::model::plan::Unmanaged { subject: subject.clone(), why, collides: true };
        draft.unmanaged.push(unmanaged);
        let reason =
            format!("a network {} that is not ours differs in {}", network.name, field_names(&changes));
        draft.block(subject, None, reason.clone(), "rename one of the two, or remove the other");
        return Err((reason, "rename one of the two, or remove the other".to_owned()));
    }
    if changes.is_empty() {
        return Ok(None);
    }
    let attachments: BTreeMap<String, Attachment> = targets
        .iter()
        .filter(|target| target.seat.host == *host)
        .filter_map(|target| match &target.spec.networks {
            Networks::Named(named) => Some((target.instance.to_string(), named.get(&network.name)?.clone())),
            Networks::Default | Networks::Host | Networks::None => None,
        })
        .collect();
    // What is half way through its own change is waited for (C1).
    let ours = |name: &String| {
        under_way::is_at(input, host, name)
            || (attachments.contains_key(name) && fleet_has(fleet, host, name))
    };
    // What is stopped of ours and not wanted goes, or comes back under its name: it needs no network meanwhile. What
    // fails again and again cannot be taken off; its next start fails, and then it is put on the network that is there.
    let idle = |name: &&String| (!ours(name) || restarts(engine, name)) && is_idle(input, host, engine, name);
    let attached: BTreeSet<&String> = live.attached.iter().filter(|name| !idle(name)).collect();
    if let Some(foreign) = attached.iter().find(|name| !ours(name)) {
        let foreign = in_words(engine, foreign);
        let reason = format!(
            "network {} must be made anew for {}, and {foreign}, which is not a declared instance, is attached to it",
            network.name,
            field_names(&changes)
        );
        draft.leave(subject.clone(), None, Nature::Changed(changes), reason.clone());
        draft.block(subject, None, reason, "detach it, then the network is made anew");
        return Ok(None);
    }
    let change = Change {
        action: Verb::Replace,
        subject,
        app: None,
        because: because(&changes),
        from: Some(ContentHash::of(because(&changes).join("\n").as_bytes())),
        to: Some(network_hash(network)),
        steps: renew_steps(input, engine, network, host, (live, &attached), &attachments),
        undo: as_before(engine, live, &attached),
        after: Vec::new(),
        destructive: false,
        interrupts: attached.iter().any(|name| is_up(engine, name)),
    };
    Ok(draft.heal(input, Nature::Changed(changes), change))
}

/// Whether the container is ours under its own name there: a declared name alone owns nothing (B1).
fn fleet_has(fleet: &Fleet<'_>, host: &HostName, container: &str) -> bool {
    let instance = container.parse::<InstanceName>();
    instance.is_ok_and(|i| fleet.current(&i).any(|owned| owned.host == host))
}

fn known<'e>(engine: &'e Engine, container: &str) -> Option<&'e Container> {
    engine.containers.get(&container.parse().ok()?)?.known()
}

/// Whether the container runs, as far as anyone can see.
fn is_up(engine: &Engine, container: &str) -> bool {
    known(engine, container).is_none_or(|container| container.state.is_up())
}

fn restarts(engine: &Engine, container: &str) -> bool {
    let state = known(engine, container).map(|container| &container.state);
    matches!(state, Some(RunState::Restarting { .. }))
}

/// What is stopped is told as such: `docker network inspect` lists it nowhere.
pub(super) fn in_words(engine: &Engine, container: &str) -> String {
    if is_up(engine, container) { container.to_owned() } else { format!("{container} (stopped)") }
}

/// A container of ours, by whatever name of an instance, that is stopped.
fn is_idle(input: &PlanInput<'_>, host: &HostName, engine: &Engine, container: &str) -> bool {
    known(engine, container).is_some_and(|there| {
        let ours = matches!(input.owner.container(&there.name, host, &there.labels), Belongs::Ours(_));
        ours && !there.state.is_up()
    })
}

/// Containers keep running; they leave the old network and join the new one with their addresses. So do those that are
/// stopped: an engine starts them on the one that they left, or not at all.
fn renew_steps(
    input: &PlanInput<'_>,
    engine: &Engine,
    network: &Network,
    host: &HostName,
    (live, attached): (&LiveNetwork, &BTreeSet<&String>),
    attachments: &BTreeMap<String, Attachment>,
) -> Vec<Step> {
    let names = || attached.iter().filter_map(|name| name.parse().ok());
    let network_name = network.name.to_string();
    let mut steps: Vec<Step> = names()
        .map(|name| Step {
            expect: id_of(engine, &name),
            action: Action::Disconnect { name, network: network_name.clone() },
        })
        .collect();
    steps.push(Step {
        action: Action::RemoveNetwork { name: network_name.clone() },
        expect: Expect::Id(live.id.clone()),
    });
    steps.push(create_step(input, network, host));
    steps.extend(names().filter_map(|name: crate::model::names::ContainerName| {
        let attachment = attachments.get(name.as_str())?.clone();
        Some(Step {
            expect: id_of(engine, &name),
            action: Action::Connect { name, network: network_name.clone(), attachment },
        })
    }));
    steps
}

/// The network as it was, if it is gone, and on it those who were.
fn as_before(engine: &Engine, live: &LiveNetwork, attached: &BTreeSet<&String>) -> Vec<Step> {
    let create = live.spec.clone().map(|spec| Step {
        action: Action::CreateNetwork { name: live.name.clone(), spec, labels: live.labels.clone() },
        expect: Expect::Absent,
    });
    let connects = attached.iter().filter_map(|name| {
        let name = name.parse().ok()?;
        let was = engine.containers.get(&name)?.known()?.live.networks.get(&live.name)?;
        let attachment = Attachment { address: was.requested, aliases: was.aliases.clone() };
        Some(Step {
            expect: id_of(engine, &name),
            action: Action::Connect { name, network: live.name.clone(), attachment },
        })
    });
    create.into_iter().chain(connects).collect()
}

fn id_of(engine: &Engine, name: &crate::model::names::ContainerName) -> Expect {
    match engine.containers.get(name) {
        Some(Seen::Known(container)) => Expect::Id(container.id.clone()),
        Some(Seen::Unknown { .. }) | None => Expect::Ours,
    }
}

pub(super) fn field_names(changes: &[FieldChange]) -> String {
    changes.iter().map(|c| c.field.as_str()).collect::<Vec<_>>().join(", ")
}

/// One line per field: `memory: 64MiB → 48MiB` reads as "is → should be".
pub(super) fn because(changes: &[FieldChange]) -> Vec<String> {
    changes.iter().map(|c| format!("{}: {} → {}", c.field, c.live, c.desired)).collect()
}
