//! What is being carried out while this is planned: it stays as it is, and what has to wait for it waits (D6).

use serde::{Deserialize, Serialize};

use crate::model::app::{Replicas, Runtime};
use crate::model::container::Networks;
use crate::model::drift::{Kind, Nature, Subject};
use crate::model::names::{HostName, InstanceName, Revision};
use crate::model::observed::Seen;
use crate::model::ownership::base;
use crate::model::plan::{Action, Change, UnderWay, Verb};
use crate::model::units::Timestamp;

use super::PlanInput;
use super::addresses::{Ledger, Target};
use super::draft::Draft;
use super::instance::Wanted;
use super::surroundings::Around;

/// A change of an earlier plan that has begun and not ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begun {
    pub change: Change,
    /// Of the plan that it is a part of.
    pub revision: Revision,
    pub since: Timestamp,
    /// What it is at, as `Action::describe` says it.
    pub step: String,
}

impl Begun {
    /// Whether nobody else may touch the subject meanwhile: half way through a replacement an instance has several
    /// containers, or none; while a network is made anew its containers are off it.
    pub(super) fn covers(&self, subject: &Subject) -> bool {
        let own = &self.change.subject;
        match (own.kind, subject.kind) {
            (Kind::Container, Kind::Container) => base(&own.name) == base(&subject.name),
            (Kind::Network, Kind::Container) => own.host == subject.host && self.attaches(&subject.name),
            (_, _) => own == subject,
        }
    }

    fn attaches(&self, container: &str) -> bool {
        self.change.steps.iter().any(|step| {
            if let Action::Connect { name, .. } | Action::Disconnect { name, .. } = &step.action {
                base(name.as_str()) == base(container)
            } else {
                false
            }
        })
    }

    /// Whether it has to do with a network that another change would take away meanwhile: one of its containers is attached
    /// to it, or is going to be.
    pub(super) fn needs(&self, input: &PlanInput<'_>, other: &Change) -> bool {
        let (own, network) = (&self.change.subject, &other.subject);
        let takes_away = network.kind == Kind::Network && other.action != Verb::Create;
        let there = own.host.as_ref().filter(|host| match &network.swarm {
            Some(swarm) => {
                let managers = input.desired.swarms.get(swarm);
                input.desired.hosts.get(*host).is_some_and(|host| host.is_member(swarm, managers))
            }
            None => network.host.as_ref() == Some(*host),
        });
        let (Some(host), true, Kind::Container) = (there, takes_away, own.kind) else { return false };
        let told = self.change.steps.iter().any(|step| {
            if let Action::CreateContainer { spec, .. } = &step.action {
                match &spec.networks {
                    Networks::Named(named) => named.keys().any(|name| name.as_str() == network.name),
                    Networks::Default | Networks::Host | Networks::None => false,
                }
            } else if let Action::Connect { network: name, .. } | Action::Disconnect { network: name, .. } =
                &step.action
            {
                *name == network.name
            } else {
                false
            }
        });
        let live = input
            .observed
            .engine(host)
            .and_then(|engine| engine.networks.get(&network.name))
            .and_then(Seen::known);
        told || live.is_some_and(|live| live.attached.iter().any(|name| base(name) == base(&own.name)))
    }

    fn is_of(&self, instance: &InstanceName) -> bool {
        let own = &self.change.subject;
        own.kind == Kind::Container && base(&own.name) == instance.container().as_str()
    }

    /// Which instance it is about.
    pub(super) fn instance(&self) -> Option<InstanceName> {
        let own = &self.change.subject;
        (own.kind == Kind::Container).then(|| base(&own.name).parse().ok()).flatten()
    }

    /// Whether this revision asks for something else than what is being done, and this plan would do that: then nobody need
    /// wait for it (D3). What may not be made keeps nothing that is under way from its end.
    fn is_overtaken(
        &self,
        input: &PlanInput<'_>,
        targets: &[Target],
        around: &Around,
        draft: &Draft,
    ) -> bool {
        let brings = match self.change.action {
            Verb::Create | Verb::Replace | Verb::Start | Verb::Restart | Verb::Update => true,
            Verb::Remove | Verb::Install | Verb::Recover | Verb::Await => false,
        };
        if !brings || self.change.subject.kind != Kind::Container || self.revision == input.desired.revision {
            return false;
        }
        if let Some(target) = targets.iter().find(|target| self.is_of(&target.instance)) {
            let to = Some(target.spec.hash());
            return self.change.to != to && self.would_be_made(input, target, around, draft);
        }
        // Without a target because it can be given none now, it is still what is declared; else it is taken away.
        !self.is_declared(input)
            && draft.changes.iter().any(|c| c.action == Verb::Remove && self.covers(&c.subject))
    }

    /// Nothing holds the newer change of the instance back. What is held for its blast radius (B3) only shows later.
    fn would_be_made(&self, input: &PlanInput<'_>, target: &Target, around: &Around, draft: &Draft) -> bool {
        let newer = Change { to: Some(target.spec.hash()), ..self.change.clone() };
        let told = draft
            .blocked
            .iter()
            .any(|blocked| blocked.subject.kind == Kind::Container && self.covers(&blocked.subject));
        // A rollout begins when its images are there (D1).
        let pulls = around.waits_for.get(&target.instance).into_iter().flatten();
        let pulls = pulls.filter(|n| draft.changes.get(**n).is_some_and(|c| c.subject.kind == Kind::Image));
        !draft.leaves_alone(input, &newer)
            && !told
            && !around.lacks.contains_key(&target.instance)
            && !draft.not_now.contains(&self.change.subject)
            && pulls.count() == 0
    }

    /// Whether git declares this very slot.
    fn is_declared(&self, input: &PlanInput<'_>) -> bool {
        let Some(instance) = self.instance() else { return false };
        match input.desired.apps.get(&instance.key).map(|app| &app.runtime) {
            None | Some(Runtime::Swarm(_)) => false,
            Some(Runtime::Host(placement)) => match placement.replicas {
                Replicas::Count(count) => instance.slot < count,
                Replicas::EveryHost => true,
            },
        }
    }
}

/// What is being done to the instance.
pub(super) fn of_instance<'a>(input: &PlanInput<'a>, instance: &InstanceName) -> Option<&'a Begun> {
    input.holds.under_way.iter().find(|begun| begun.is_of(instance))
}

/// Whether the container is one of an instance that something is being done to.
pub(super) fn is_at(input: &PlanInput<'_>, host: &HostName, container: &str) -> bool {
    input.holds.under_way.iter().map(|begun| &begun.change.subject).any(|own| {
        own.kind == Kind::Container && own.host.as_ref() == Some(host) && base(&own.name) == base(container)
    })
}

/// What is being done to declared instances which have no target now, as on a host that went unknown: it still counts.
pub(super) fn without_target(input: &PlanInput<'_>, targets: &[Target]) -> Vec<Wanted> {
    let is_one = |begun: &&Begun| begun.change.subject.kind == Kind::Container && begun.is_declared(input);
    let has_none = |begun: &&Begun| !targets.iter().any(|target| begun.is_of(&target.instance));
    input.holds.under_way.iter().filter(is_one).filter(has_none).map(wanted).collect()
}

/// It stands in the plan for what else would be planned, so that pace, dependents and the blast radius count it.
pub(super) fn wanted(begun: &Begun) -> Wanted {
    let change = Change { after: Vec::new(), ..begun.change.clone() };
    let takes_away = match change.action {
        Verb::Replace | Verb::Restart | Verb::Update | Verb::Remove => true,
        Verb::Create | Verb::Start | Verb::Install | Verb::Recover | Verb::Await => false,
    };
    let nature = Nature::NotRunning(format!("{} since {}", change.action.name(), begun.since));
    Wanted { nature, change, takes_away, waits_for: Vec::new(), under_way: true }
}

/// Addresses of containers that are about to be created, or connected again, be it by an undo, are held as if they stood
/// there (C1).
pub(super) fn hold_addresses(input: &PlanInput<'_>, ledger: &mut Ledger) {
    for begun in &input.holds.under_way {
        let Some(host) = begun.change.host() else { continue };
        let mut hold = |network: &str, address, name: &str| {
            let Some(address) = address else { return };
            // What is adopted holds it as its instance, as where it stands (B4).
            let holder = begun.instance().map_or_else(|| base(name).to_owned(), |own| own.to_string());
            let holder = (host.clone(), holder);
            ledger.entry((network.to_owned(), address)).or_default().insert(holder);
        };
        for step in begun.change.steps.iter().chain(&begun.change.undo) {
            if let Action::CreateContainer { name, spec, .. } = &step.action
                && let Networks::Named(networks) = &spec.networks
            {
                for (network, attachment) in networks {
                    hold(network.as_str(), attachment.address, name.as_str());
                }
            }
            if let Action::Connect { name, network, attachment } = &step.action {
                hold(network, attachment.address, name.as_str());
            }
        }
    }
}

/// What the plan tells of it.
pub(super) fn told(
    input: &PlanInput<'_>,
    targets: &[Target],
    around: &Around,
    draft: &Draft,
) -> Vec<UnderWay> {
    let begun = input.holds.under_way.iter();
    begun
        .map(|begun| UnderWay {
            action: begun.change.action,
            subject: begun.change.subject.clone(),
            app: begun.change.app.clone(),
            since: begun.since,
            step: begun.step.clone(),
            overtaken: begun.is_overtaken(input, targets, around, draft),
        })
        .collect()
}
