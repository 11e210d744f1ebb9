//! What is proven ours in a Swarm and no longer declared: services, then the configs and networks nothing uses (B2).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::app::Runtime;
use crate::model::drift::{Kind, Nature, Subject};
use crate::model::names::AppKey;
use crate::model::observed::Seen;
use crate::model::ownership::{Belongs, PROTECT};
use crate::model::plan::{Action, Change, Expect, Step, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::service::ServiceSpec;
use crate::model::swarm::{LiveService, Swarm, UpdateState};

use super::super::PlanInput;
use super::super::draft::Draft;
use super::super::prune::HINT_UNREAD;
use super::networks::{self, Attached, Whose};
use super::{Standing, Swarms, standing_of, weight};

/// Services that are ours by their own labels: Swarm's name, Swarm, service, app.
pub(super) fn owned<'s>(
    swarms: &'s Swarms<'_>,
    input: &'s PlanInput<'_>,
) -> impl Iterator<Item = (&'s str, &'s Swarm, &'s LiveService, AppKey)> {
    swarms.known.iter().flat_map(move |(name, swarm)| {
        swarm.services.values().filter_map(Seen::known).filter_map(move |live| {
            match input.owner.swarm_object("service", &live.name, name, &live.labels) {
                Belongs::Ours(Some(key)) => Some((*name, *swarm, live, key)),
                Belongs::Ours(None) | Belongs::Foreign { .. } => None,
            }
        })
    })
}

pub(in super::super) fn prune(swarms: &Swarms<'_>, input: &PlanInput<'_>, draft: &mut Draft) {
    for (name, _, live, key) in owned(swarms, input) {
        let stays = input.desired.apps.get(&key).is_some_and(|app| match &app.runtime {
            // Under another name it would be another service.
            Runtime::Swarm(service) => service.swarm == name && app.service_name() == live.name,
            Runtime::Host(_) => false,
        });
        if !stays && input.desired.judges(&key.environment) {
            service(input, name, live, &key, draft);
        }
    }
    for (name, swarm) in &swarms.known {
        configs(input, name, swarm, draft);
        for network in swarm.networks.values().filter_map(Seen::known) {
            let ours = matches!(
                input.owner.swarm_object("network", &network.name, name, &network.labels),
                Belongs::Ours(_)
            );
            if ours && !input.desired.networks.keys().any(|declared| declared.as_str() == network.name) {
                let subject = Subject::on_swarm(Kind::Network, &network.name, name);
                let attached = networks::attached(input, swarm, name, &network.name);
                if !attached.is_empty() {
                    still_attached(&attached, subject, draft);
                    continue;
                }
                let named = |spec: &ServiceSpec| spec.networks.keys().any(|n| n.as_str() == network.name);
                if sent(input, draft).any(|(spec, _)| named(spec)) {
                    continue;
                }
                let users: BTreeSet<&str> = networks::users(swarm, &network.name).collect();
                let action = Action::RemoveNetwork { name: network.name.clone() };
                unused(input, subject, &users, &network.id, action, draft);
            }
        }
    }
}

/// Instances of ours leave it with their apps, and it is removed by a later look; somebody else's container stays, and so
/// does the network. What could not be read may be either (A1).
fn still_attached(attached: &[Attached], subject: Subject, draft: &mut Draft) {
    let why = |what: &str, whose: Option<Whose>| {
        let of = attached.iter().filter(|one| whose.is_none_or(|whose| one.whose == whose));
        let words: Vec<&str> = of.map(|one| one.words.as_str()).collect();
        format!("it is no longer declared, and {}{what} is still attached to it", words.join(", "))
    };
    let is_there = |whose: Whose| attached.iter().any(|one| one.whose == whose);
    draft.leave(subject.clone(), None, Nature::Extra, why("", None));
    if is_there(Whose::Unknown) {
        let why = why(", which could not be read,", Some(Whose::Unknown));
        draft.block(subject.clone(), None, why, HINT_UNREAD);
    }
    if is_there(Whose::Foreign) {
        let hint = "detach it (docker network disconnect), then the network is removed";
        draft.block(subject, None, why("", Some(Whose::Foreign)), hint);
    }
}

fn service(input: &PlanInput<'_>, swarm: &str, live: &LiveService, key: &AppKey, draft: &mut Draft) {
    let subject = Subject::on_swarm(Kind::Service, &live.name, swarm);
    let protected = live.labels.contains_key(PROTECT) && !input.holds.unprotected.contains(key);
    if protected {
        let why = "it is protected (B2)".to_owned();
        let hint =
            "declare the app again without `protect`, then take it away; or remove the service by hand";
        draft.keep(subject, key.clone(), Nature::Extra, why, hint);
        return;
    }
    // It moves to another runtime or Swarm: not before its successor was made.
    let after = draft.of_app(key);
    let change = Change {
        action: Verb::Remove,
        subject,
        app: Some(key.clone()),
        because: vec!["it is no longer declared".to_owned()],
        from: Some(ContentHash::of(live.id.as_bytes())),
        to: None,
        steps: vec![Step {
            action: Action::RemoveService { name: live.name.clone(), id: live.id.clone() },
            expect: Expect::Id(live.id.clone()),
        }],
        undo: Vec::new(),
        after: after.into_iter().collect(),
        destructive: !input.desired.apps.contains_key(key) && weight::serves(live.spec.mode),
        interrupts: false,
    };
    draft.heal(input, Nature::Extra, change);
}

/// Specs and configs of the services that are going to be made, or made again by an undo, by what is planned and what is
/// under way.
fn sent<'d>(
    input: &'d PlanInput<'_>,
    draft: &'d Draft,
) -> impl Iterator<Item = (&'d ServiceSpec, &'d BTreeMap<String, String>)> {
    let begun = input.holds.under_way.iter().map(|begun| &begun.change);
    let steps = draft.changes.iter().chain(begun).flat_map(|change| change.steps.iter().chain(&change.undo));
    steps.filter_map(|step| {
        let (Action::CreateService { spec, configs, .. } | Action::UpdateService { spec, configs, .. }) =
            &step.action
        else {
            return None;
        };
        Some((&**spec, configs))
    })
}

/// Configs of ours that no service uses, and none would go back to.
fn configs(input: &PlanInput<'_>, name: &str, swarm: &Swarm, draft: &mut Draft) {
    if swarm.services.values().any(|seen| seen.known().is_none()) {
        // What cannot be read may use any of them (A1).
        return;
    }
    let planned: BTreeSet<String> =
        sent(input, draft).flat_map(|(_, configs)| configs.values().cloned()).collect();
    for config in swarm.configs.values() {
        let Belongs::Ours(key) = input.owner.swarm_object("config", &config.name, name, &config.labels)
        else {
            continue;
        };
        if planned.contains(&config.name) || !key.is_some_and(|key| input.desired.judges(&key.environment)) {
            continue;
        }
        let users: BTreeSet<&str> = swarm
            .services
            .values()
            .filter_map(Seen::known)
            .filter(|live| uses(input, swarm, live, &config.name))
            .map(|live| live.name.as_str())
            .collect();
        let subject = Subject::on_swarm(Kind::Config, &config.name, name);
        let action = Action::RemoveConfig { name: config.name.clone(), id: config.id.clone() };
        unused(input, subject, &users, &config.id, action, draft);
    }
}

/// In its spec; and, while an update is not over, in what Swarm would go back to.
fn uses(input: &PlanInput<'_>, swarm: &Swarm, live: &LiveService, config: &str) -> bool {
    let over = match &live.update {
        Some(update) => update.state == UpdateState::Completed,
        // It was just sent, or it had nothing to replace.
        None => standing_of(input, swarm, live) == Standing::Converged,
    };
    let previous = live.previous.as_ref().filter(|_| !over);
    let specs = [Some(&live.spec), previous];
    specs
        .into_iter()
        .flatten()
        .chain(&live.failed)
        .any(|spec| spec.files.values().any(|file| file.source == config))
}

/// Removed where nobody uses it, or after those who do were removed or updated.
fn unused(
    input: &PlanInput<'_>,
    subject: Subject,
    users: &BTreeSet<&str>,
    id: &str,
    action: Action,
    draft: &mut Draft,
) {
    let after: Vec<usize> = draft
        .numbers(|change| {
            change.subject.kind == Kind::Service
                && change.subject.swarm == subject.swarm
                && users.contains(change.subject.name.as_str())
                && matches!(change.action, Verb::Remove | Verb::Update | Verb::Replace)
        })
        .into_iter()
        .collect();
    if after.len() < users.len() {
        // In use as declared, or by somebody else: collected once nobody uses it.
        return;
    }
    // What an update leaves behind Swarm may still go back to: the look after it decides.
    if after.iter().any(|number| draft.changes[*number].action == Verb::Update) {
        return;
    }
    let change = Change {
        action: Verb::Remove,
        subject,
        app: None,
        because: vec!["nothing uses it any more".to_owned()],
        from: Some(ContentHash::of(id.as_bytes())),
        to: None,
        steps: vec![Step { action, expect: Expect::Id(id.to_owned()) }],
        undo: Vec::new(),
        after,
        destructive: false,
        interrupts: false,
    };
    draft.heal(input, Nature::Extra, change);
}
