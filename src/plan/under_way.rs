//! What is being carried out while this is planned: it stays as it is, and what has to wait for it waits (D6).

use crate::model::app::{Replicas, Runtime};
use crate::model::container::Networks;
use crate::model::drift::{Kind, Nature, Subject};
use crate::model::names::{InstanceName, Revision};
use crate::model::ownership::{ASIDE, NEXT};
use crate::model::plan::{Action, Change, UnderWay, Verb};
use crate::model::units::Timestamp;

use super::PlanInput;
use super::addresses::{Ledger, Target};
use super::instance::Wanted;

/// A change of an earlier plan that has begun and not ended.
#[derive(Debug, Clone)]
pub struct Begun {
    pub change: Change,
    /// Of the plan that it is a part of.
    pub revision: Revision,
    pub since: Timestamp,
    /// What it is at, as `Action::describe` says it.
    pub step: String,
}

/// A container's name without what it is called during a replacement.
fn base(name: &str) -> &str {
    name.strip_suffix(ASIDE).or_else(|| name.strip_suffix(NEXT)).unwrap_or(name)
}

impl Begun {
    /// Whether nobody else may touch the subject meanwhile: half way through a replacement an instance has several
    /// containers, or none.
    pub(super) fn covers(&self, subject: &Subject) -> bool {
        let own = &self.change.subject;
        match (own.kind, subject.kind) {
            (Kind::Container, Kind::Container) => base(&own.name) == base(&subject.name),
            (_, _) => own == subject,
        }
    }

    fn is_of(&self, instance: &InstanceName) -> bool {
        let own = &self.change.subject;
        own.kind == Kind::Container && base(&own.name) == instance.container().as_str()
    }

    /// Whether this revision asks for something else than what is being done, so that nobody need wait for it (D3).
    fn is_overtaken(&self, input: &PlanInput<'_>, targets: &[Target]) -> bool {
        let brings = match self.change.action {
            Verb::Create | Verb::Replace | Verb::Start | Verb::Restart | Verb::Update => true,
            Verb::Remove | Verb::Install | Verb::Recover | Verb::Await => false,
        };
        if !brings || self.change.subject.kind != Kind::Container || self.revision == input.desired.revision {
            return false;
        }
        if let Some(target) = targets.iter().find(|target| self.is_of(&target.instance)) {
            return self.change.to.as_ref() != Some(&target.spec.hash());
        }
        // Without a target because it can be given none now, it is still what is declared.
        let Ok(instance) = base(&self.change.subject.name).parse::<InstanceName>() else { return false };
        match input.desired.apps.get(&instance.key).map(|app| &app.runtime) {
            None | Some(Runtime::Swarm(_)) => true,
            Some(Runtime::Host(placement)) => match placement.replicas {
                Replicas::Count(count) => instance.slot >= count,
                Replicas::EveryHost => false,
            },
        }
    }
}

/// What is being done to the instance.
pub(super) fn of_instance<'a>(input: &PlanInput<'a>, instance: &InstanceName) -> Option<&'a Begun> {
    input.holds.under_way.iter().find(|begun| begun.is_of(instance))
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

/// Addresses of containers that are about to be created are held as if they stood there (C1).
pub(super) fn hold_addresses(input: &PlanInput<'_>, ledger: &mut Ledger) {
    for begun in &input.holds.under_way {
        let Some(host) = begun.change.host() else { continue };
        for step in &begun.change.steps {
            let Action::CreateContainer { spec, .. } = &step.action else { continue };
            let Networks::Named(networks) = &spec.networks else { continue };
            for (network, attachment) in networks {
                let Some(address) = attachment.address else { continue };
                let holder = (host.clone(), base(&begun.change.subject.name).to_owned());
                ledger.entry((network.to_string(), address)).or_default().insert(holder);
            }
        }
    }
}

/// What the plan tells of it.
pub(super) fn told(input: &PlanInput<'_>, targets: &[Target]) -> Vec<UnderWay> {
    let begun = input.holds.under_way.iter();
    begun
        .map(|begun| UnderWay {
            action: begun.change.action,
            subject: begun.change.subject.clone(),
            app: begun.change.app.clone(),
            since: begun.since,
            step: begun.step.clone(),
            overtaken: begun.is_overtaken(input, targets),
        })
        .collect()
}
