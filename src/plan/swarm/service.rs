//! One app's service: missing, different, under way, failing, or as declared.

use std::collections::{BTreeMap, BTreeSet};

use crate::diff;
use crate::model::app::{App, Runtime, SwarmService};
use crate::model::drift::{Cure, FieldChange, Kind, Nature, Subject};
use crate::model::observed::Seen;
use crate::model::ownership::{Belongs, PREFIX, PROTECT};
use crate::model::plan::{Action, Change, Expect, Step, Unmanaged, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::service::{ServiceMode, ServiceSpec, UpdateOrder};
use crate::model::swarm::{LiveService, Swarm, UpdateState};

use super::super::PlanInput;
use super::super::draft::Draft;
use super::super::instance::{HINT_VEILED, VEILED};
use super::super::surroundings::because;
use super::{Standing, Swarms, spec, standing};

const MEND: &str = "change the app, or what its tasks need; `docker service ps --no-trunc` says more";

/// Everything about one app.
struct Case<'c, 'a> {
    input: &'c PlanInput<'a>,
    app: &'c App,
    service: &'c SwarmService,
    swarm: &'a Swarm,
    spec: ServiceSpec,
    subject: Subject,
    /// Changes that come first.
    after: BTreeSet<usize>,
}

pub(super) fn plan(
    swarms: &Swarms<'_>,
    input: &PlanInput<'_>,
    app: &App,
    after: &BTreeSet<usize>,
    draft: &mut Draft,
) {
    let Runtime::Swarm(service) = &app.runtime else { return };
    // An unknown Swarm was told; nothing is done there (A1).
    let Some(swarm) = swarms.known.get(service.swarm.as_str()) else { return };
    let subject = Subject::on_swarm(Kind::Service, app.service_name(), &service.swarm);
    let mut case = Case {
        input,
        app,
        service,
        swarm,
        spec: spec::of(input, app, service),
        subject,
        after: after.clone(),
    };
    // Where its tasks may run depends on labels of nodes: those are written first.
    if !case.spec.constraints.is_empty() {
        let nodes = case.nodes(draft);
        case.after.extend(nodes);
    }
    match swarm.services.get(&app.service_name()) {
        Some(Seen::Unknown { .. }) => {}
        None => {
            if case.surroundings(swarms, draft) {
                case.create(draft);
            }
        }
        Some(Seen::Known(live)) => case.existing(swarms, live, draft),
    }
}

pub(super) fn is_well(swarms: &Swarms<'_>, _: &PlanInput<'_>, app: &App) -> bool {
    let Runtime::Swarm(service) = &app.runtime else { return true };
    let live = swarms.known.get(service.swarm.as_str()).and_then(|swarm| {
        let live = swarm.services.get(&app.service_name())?.known()?;
        Some((live, swarm.tasks_of(&live.id)))
    });
    live.is_some_and(|(live, tasks)| standing(live, tasks) == Standing::Converged)
}

impl Case<'_, '_> {
    fn labels(&self) -> BTreeMap<String, String> {
        let name = self.app.service_name();
        let owner = self.input.owner;
        let mut labels = owner.swarm_labels("service", &name, &self.service.swarm, Some(&self.app.key));
        if self.app.protect {
            labels.insert(PROTECT.to_owned(), "true".to_owned());
        }
        labels
    }

    fn change(&self, action: Verb, because: Vec<String>, steps: Vec<Step>) -> Change {
        Change {
            action,
            subject: self.subject.clone(),
            app: Some(self.app.key.clone()),
            because,
            from: None,
            to: Some(self.hash()),
            steps,
            undo: Vec::new(),
            after: self.after.iter().copied().collect(),
            destructive: false,
            interrupts: false,
        }
    }

    /// Of the spec and of what is written on it, so that an adoption is a change too.
    fn hash(&self) -> ContentHash {
        ContentHash::of(format!("{} {:?}", self.spec.hash(), self.labels()).as_bytes())
    }

    fn wait(&self, update: bool) -> Step {
        Step {
            action: Action::WaitService {
                name: self.app.service_name(),
                update,
                min_healthy: self.app.update.min_healthy,
                deadline: self.app.update.healthy_deadline,
            },
            expect: Expect::Ours,
        }
    }

    /// Networks, configs and a resolved image; `false` where one of them can't be had, which was told.
    fn surroundings(&mut self, swarms: &Swarms<'_>, draft: &mut Draft) -> bool {
        if let Some(why) = self.input.images.unresolved.get(&self.app.container.image) {
            let reason = format!("the tag of {} could not be resolved: {why}", self.app.container.image);
            let hint = "is the registry up, the name right, and are its credentials in Docker's config.json?";
            draft.block(self.subject.clone(), Some(self.app.key.clone()), reason, hint);
            return false;
        }
        for network in self.spec.networks.keys().filter(|name| name.as_str() != "host") {
            match swarms.network(self.input, &self.service.swarm, network, draft) {
                Ok(number) => self.after.extend(number),
                Err((reason, hint)) => {
                    draft.block(self.subject.clone(), Some(self.app.key.clone()), reason, &hint);
                    return false;
                }
            }
        }
        let files =
            self.spec.files.values().map(|file| (spec::config_name(&self.app.key, file), file.hash.clone()));
        for (name, hash) in files.collect::<BTreeMap<_, _>>() {
            match self.config(&name, hash, draft) {
                Ok(number) => self.after.extend(number),
                Err(reason) => {
                    let hint = "rename or remove that config; trueup makes its own";
                    draft.block(self.subject.clone(), Some(self.app.key.clone()), reason, hint);
                    return false;
                }
            }
        }
        true
    }

    fn config(&self, name: &str, hash: ContentHash, draft: &mut Draft) -> Result<Option<usize>, String> {
        if let Some(live) = self.swarm.configs.get(name) {
            return match live.hash == hash {
                true => Ok(None),
                false => Err(format!("a config {name} is there that has another content")),
            };
        }
        let subject = Subject::on_swarm(Kind::Config, name, &self.service.swarm);
        if let Some(number) = draft.numbers(|change| change.subject == subject).into_iter().next() {
            return Ok(Some(number));
        }
        let labels = self.input.owner.swarm_labels("config", name, &self.service.swarm, Some(&self.app.key));
        let action = Action::CreateConfig { name: name.to_owned(), hash: hash.clone(), labels };
        let change = Change {
            subject,
            to: Some(hash),
            after: Vec::new(),
            ..self.change(
                Verb::Create,
                vec![format!("{} mounts it", self.app.key)],
                vec![Step { action, expect: Expect::Absent }],
            )
        };
        let lack = format!("config {name} is needed and left alone");
        draft.heal(self.input, Nature::Missing, change).map(Some).ok_or(lack)
    }

    fn create(&self, draft: &mut Draft) {
        let action = Action::CreateService {
            name: self.app.service_name(),
            spec: Box::new(self.spec.clone()),
            configs: spec::configs(self.app, &self.spec),
            labels: self.labels(),
        };
        let steps = vec![Step { action, expect: Expect::Absent }, self.wait(false)];
        let change = self.change(Verb::Create, vec!["it is missing".to_owned()], steps);
        draft.heal(self.input, Nature::Missing, change);
    }

    fn existing(&mut self, swarms: &Swarms<'_>, live: &LiveService, draft: &mut Draft) {
        let adopted =
            match self.input.owner.swarm_object("service", &live.name, &self.service.swarm, &live.labels) {
                Belongs::Ours(_) => false,
                Belongs::Foreign { why } => {
                    let labelled = live.labels.keys().any(|label| label.starts_with(PREFIX));
                    if !self.app.adopt || labelled {
                        self.collide(why, draft);
                        return;
                    }
                    true
                }
            };
        if live.veiled {
            draft.block(self.subject.clone(), Some(self.app.key.clone()), VEILED.to_owned(), HINT_VEILED);
            return;
        }
        self.keep_tag(live);
        let key_matches = self.input.observed.key == self.input.key.id();
        let key = key_matches.then_some(self.input.key);
        let changes = diff::service(&self.spec, &live.spec, key);
        let (ignored, mut changes): (Vec<_>, Vec<_>) = changes.into_iter().partition(|c| self.is_ignored(c));
        let counted = ignored.iter().any(|change| change.field == "mode");
        if !ignored.is_empty() {
            let why = "ignored: the app says so (A6)".to_owned();
            draft.leave(self.subject.clone(), Some(self.app.key.clone()), Nature::Changed(ignored), why);
        }
        // Somebody else counts its tasks: an update for another reason keeps their number.
        if counted {
            self.spec.mode = live.spec.mode;
        }
        // What is written on a service restarts nothing: an adopted one gets it at once (D8, B4).
        changes.extend(self.ownership(live));
        if changes.is_empty() {
            self.as_declared(live, draft);
        } else if self.was_rolled_back(live, key, draft, &changes) {
            // Told, and left there until the app changes (D2).
        } else if self.surroundings(swarms, draft) {
            self.update(live, changes, adopted, draft);
        }
    }

    /// What is taken over and runs the declared tag goes on with it: a digest is written with the next change, since that
    /// alone would restart its tasks (B4).
    fn keep_tag(&mut self, live: &LiveService) {
        let (declared, seen) = (&self.app.container.image, &live.spec.image);
        if self.app.adopt && seen.digest.is_none() && seen == declared {
            self.spec.image = seen.clone();
        }
    }

    fn is_ignored(&self, change: &FieldChange) -> bool {
        let field = change.field.split('.').next().unwrap_or(&change.field);
        self.app.ignore.iter().any(|i| i.as_str() == field || i.as_str() == change.field)
    }

    /// Labels of trueup's own that are missing, wrong or left over.
    fn ownership(&self, live: &LiveService) -> Option<FieldChange> {
        let wanted = self.labels();
        let seen: BTreeMap<_, _> = live.labels.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        if wanted.iter().collect::<BTreeMap<_, _>>() == seen {
            return None;
        }
        Some(FieldChange {
            field: "ownership".to_owned(),
            desired: "labelled as trueup's (B1)".to_owned(),
            live: if seen.is_empty() { "not trueup's yet".to_owned() } else { "other labels".to_owned() },
            cure: Cure::InPlace,
        })
    }

    fn collide(&self, why: String, draft: &mut Draft) {
        let reason = format!("a service of this name is there that trueup did not make: {why} (B1)");
        draft.unmanaged.push(Unmanaged { subject: self.subject.clone(), why, collides: true });
        let hint = "rename or remove it, or set adopt = true to take it over (B4)";
        draft.block(self.subject.clone(), Some(self.app.key.clone()), reason, hint);
    }

    /// Nothing of the spec differs; what is left is how far Swarm is with it.
    fn as_declared(&self, live: &LiveService, draft: &mut Draft) {
        if let Some(asked) = self.input.holds.restart_requested.get(&self.app.key)
            && live.updated < *asked
            && !live.spec.mode.is_job()
        {
            self.restart(live, draft);
            return;
        }
        match standing(live, self.swarm.tasks_of(&live.id)) {
            Standing::Converged => {}
            Standing::Converging(how) => self.watch(how, BTreeSet::new(), draft),
            // What changes on the nodes may be what its tasks wait for.
            Standing::Failing(why) if !self.nodes(draft).is_empty() => {
                let nodes = self.nodes(draft);
                self.watch(why, nodes, draft);
            }
            Standing::Failing(why) => self.told(Nature::NotRunning(why.clone()), why, MEND, draft),
            Standing::Stopped(why) => {
                let hint = "change the app, or go on with `trueup restart`";
                self.told(Nature::NotRunning(why.clone()), why, hint, draft);
            }
        }
    }

    /// The numbers of the changes on this Swarm's nodes.
    fn nodes(&self, draft: &Draft) -> BTreeSet<usize> {
        draft
            .numbers(|change| change.subject.kind == Kind::Node && change.subject.swarm == self.subject.swarm)
    }

    fn watch(&self, how: String, after: BTreeSet<usize>, draft: &mut Draft) {
        let mut change = self.change(Verb::Await, vec![how.clone()], vec![self.wait(false)]);
        change.from = Some(self.hash());
        change.after.extend(after);
        draft.heal(self.input, Nature::NotRunning(how), change);
    }

    fn told(&self, nature: Nature, why: String, hint: &str, draft: &mut Draft) {
        let (subject, app) = (self.subject.clone(), Some(self.app.key.clone()));
        draft.leave(
            subject.clone(),
            app.clone(),
            nature,
            "Swarm itself starts and replaces tasks".to_owned(),
        );
        draft.block(subject, app, why, hint);
    }

    /// Swarm went back by itself from the very spec that is declared: it would fail again (D2).
    fn was_rolled_back(
        &self,
        live: &LiveService,
        key: Option<&crate::model::secrecy::HashKey>,
        draft: &mut Draft,
        changes: &[FieldChange],
    ) -> bool {
        let rolled = live.update.as_ref().is_some_and(|update| {
            matches!(
                update.state,
                UpdateState::RollbackStarted | UpdateState::RollbackPaused | UpdateState::RollbackCompleted
            )
        });
        // What the failed tasks were; the service's own fields never failed.
        let failed = live.previous.as_ref().is_some_and(|previous| {
            let of_task = |change: &&FieldChange| diff::is_of_task(&change.field);
            diff::service(&self.spec, previous, key).iter().filter(of_task).all(|c| self.is_ignored(c))
        });
        if !rolled || !failed {
            return false;
        }
        let since = live.update.as_ref().and_then(|update| update.started);
        let since = since.map_or_else(String::new, |since| format!(" at {since}"));
        let message = live.update.as_ref().map(|update| update.message.as_str()).unwrap_or_default();
        let failed = super::failures(self.swarm.tasks_of(&live.id));
        let failed = if failed.is_empty() { String::new() } else { format!(": {failed}") };
        let why = format!("held: Swarm rolled this update back{since} ({message}){failed} (D2)");
        let (subject, app) = (self.subject.clone(), Some(self.app.key.clone()));
        draft.leave(subject.clone(), app.clone(), Nature::Changed(changes.to_vec()), "held (D2)".to_owned());
        draft.block(subject, app, why, "change the app; the same spec is not tried again");
        true
    }

    fn update(&self, live: &LiveService, changes: Vec<FieldChange>, adopted: bool, draft: &mut Draft) {
        let mut reasons = because(&changes);
        if adopted {
            reasons.push("adopt = true: it is taken over (B4)".to_owned());
        }
        // Only the declared kind of service can become another number of tasks; another kind is another service.
        let anew = std::mem::discriminant(&self.spec.mode) != std::mem::discriminant(&live.spec.mode);
        let replaces = changes.iter().any(|change| change.cure == Cure::Replace);
        let configs = spec::configs(self.app, &self.spec);
        let (name, labels) = (self.app.service_name(), self.labels());
        let spec = Box::new(self.spec.clone());
        let known = Expect::Id(live.id.clone());
        let steps = match anew {
            true => vec![
                Step { action: Action::RemoveService { name: name.clone() }, expect: known },
                Step {
                    action: Action::CreateService { name, spec, configs, labels },
                    expect: Expect::Absent,
                },
                self.wait(false),
            ],
            false => {
                let version = live.version;
                let (restart, keep) = (false, self.app.ignore.clone());
                let action = Action::UpdateService { name, version, spec, configs, labels, restart, keep };
                vec![Step { action, expect: known }, self.wait(true)]
            }
        };
        let from = ContentHash::of(reasons.join("\n").as_bytes());
        let verb = if anew { Verb::Replace } else { Verb::Update };
        let mut change = Change { from: Some(from), ..self.change(verb, reasons, steps) };
        change.interrupts = anew || (replaces && self.serves_alone());
        change.destructive = goes_to_nothing(live.spec.mode, self.spec.mode);
        draft.heal(self.input, Nature::Changed(changes), change);
    }

    /// The only task is stopped before its successor starts.
    fn serves_alone(&self) -> bool {
        let start_first = self.spec.update.is_some_and(|update| update.order == UpdateOrder::StartFirst);
        self.spec.mode == ServiceMode::Replicated(1) && !start_first
    }

    fn restart(&self, live: &LiveService, draft: &mut Draft) {
        let action = Action::UpdateService {
            name: self.app.service_name(),
            version: live.version,
            spec: Box::new(self.spec.clone()),
            configs: spec::configs(self.app, &self.spec),
            labels: self.labels(),
            restart: true,
            keep: self.app.ignore.clone(),
        };
        let steps = vec![Step { action, expect: Expect::Id(live.id.clone()) }, self.wait(true)];
        let reasons = vec!["a restart was asked for".to_owned()];
        let mut change =
            Change { from: Some(self.hash()), ..self.change(Verb::Restart, reasons.clone(), steps) };
        change.interrupts = self.serves_alone();
        draft.heal(self.input, Nature::NotRunning("a restart was asked for".to_owned()), change);
    }
}

/// The last task goes with nothing in its place (B3).
fn goes_to_nothing(live: ServiceMode, wanted: ServiceMode) -> bool {
    wanted == ServiceMode::Replicated(0) && live != ServiceMode::Replicated(0)
}
