//! One app's service: missing, different, under way, failing, or as declared.

use std::collections::{BTreeMap, BTreeSet};

use crate::diff;
use crate::model::app::{App, Runtime, SwarmService};
use crate::model::container::EnvValue;
use crate::model::drift::{Cure, FieldChange, Kind, Nature, Subject};
use crate::model::names::{FieldName, NetworkName};
use crate::model::observed::Seen;
use crate::model::ownership::{Belongs, PREFIX, PROTECT};
use crate::model::plan::{Action, Change, Expect, Step, Unmanaged, Verb};
use crate::model::secrecy::{ContentHash, KeyedHash};
use crate::model::service::{ServiceField, ServiceMode, ServiceSpec, UpdateOrder};
use crate::model::swarm::{LiveService, Swarm};
use crate::model::units::TimeSpan;

use super::super::PlanInput;
use super::super::draft::Draft;
use super::super::instance::{HINT_VEILED, VEILED};
use super::super::surroundings::because;
use super::{Standing, Swarms, nodes, spec, standing_of, weight};

const MEND: &str = "change the app, or what its tasks need; `docker service ps --no-trunc` says more";

/// Everything about one app.
pub(super) struct Case<'c, 'a> {
    pub(super) input: &'c PlanInput<'a>,
    pub(super) app: &'c App,
    service: &'c SwarmService,
    pub(super) swarm: &'a Swarm,
    pub(super) spec: ServiceSpec,
    subject: Subject,
    /// Changes that come first.
    after: BTreeSet<usize>,
    /// Why it may not be changed now, and what helps.
    waits: Option<(String, String)>,
}

pub(super) fn plan(
    swarms: &Swarms<'_>,
    input: &PlanInput<'_>,
    app: &App,
    after: &BTreeSet<usize>,
    draft: &mut Draft,
) {
    // An unknown Swarm was told; nothing is done there (A1).
    let Some(mut case) = Case::of(swarms, input, app) else { return };
    case.after.clone_from(after);
    // Where its tasks may run depends on labels of nodes: those are written first.
    if !case.spec.constraints.is_empty() {
        let nodes = case.nodes(draft);
        case.after.extend(nodes);
    }
    match case.swarm.services.get(&app.service_name()) {
        Some(Seen::Unknown { .. }) => {}
        None => {
            if case.surroundings(swarms, draft) {
                case.create(draft);
            }
        }
        Some(Seen::Known(live)) => case.existing(swarms, live, draft),
    }
}

pub(super) fn is_well(swarms: &Swarms<'_>, input: &PlanInput<'_>, app: &App) -> bool {
    let Runtime::Swarm(service) = &app.runtime else { return true };
    let standing = swarms.known.get(service.swarm.as_str()).and_then(|swarm| {
        let live = swarm.services.get(&app.service_name())?.known()?;
        Some(standing_of(input, swarm, live))
    });
    standing == Some(Standing::Converged)
}

impl<'c, 'a> Case<'c, 'a> {
    /// `None` where it is not an app of a Swarm that is known.
    pub(super) fn of(swarms: &Swarms<'a>, input: &'c PlanInput<'a>, app: &'c App) -> Option<Self> {
        let Runtime::Swarm(service) = &app.runtime else { return None };
        let swarm = *swarms.known.get(service.swarm.as_str())?;
        let subject = Subject::on_swarm(Kind::Service, app.service_name(), &service.swarm);
        let spec = spec::of(input, app, service);
        Some(Self { input, app, service, swarm, spec, subject, after: BTreeSet::new(), waits: None })
    }

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

    /// How long one task may take, and what Swarm itself lets pass between two.
    pub(super) fn deadline(&self) -> TimeSpan {
        let update = self.spec.update;
        let paced = update.map(|update| update.delay.plus(update.monitor.unwrap_or(diff::MONITOR_DEFAULT)));
        self.app.update.healthy_deadline.plus(paced.unwrap_or_default())
    }

    /// Whether another app comes after this one (D4).
    fn is_waited_for(&self) -> bool {
        let key = &self.app.key;
        let mut others = self.input.desired.apps.values();
        others.any(|app| app.key.environment == key.environment && app.depends_on.contains(&key.app))
    }

    fn wait(&self) -> Step {
        Step {
            action: Action::WaitService {
                name: self.app.service_name(),
                job_ends: self.is_waited_for(),
                min_healthy: self.app.update.min_healthy,
                deadline: self.deadline(),
            },
            expect: Expect::Ours,
        }
    }

    /// Those that trueup makes, or looks for.
    fn networks(&self) -> impl Iterator<Item = &NetworkName> {
        self.spec.networks.keys().filter(|name| name.as_str() != "host")
    }

    /// Networks, configs and a resolved image; `false` where one of them can't be had, which was told.
    fn surroundings(&mut self, swarms: &Swarms<'_>, draft: &mut Draft) -> bool {
        if let Some(why) = self.input.images.unresolved.get(&self.app.container.image) {
            let reason = format!("the tag of {} could not be resolved: {why}", self.app.container.image);
            let hint = "is the registry up, the name right, and are its credentials in Docker's config.json?";
            draft.block(self.subject.clone(), Some(self.app.key.clone()), reason, hint);
            return false;
        }
        let networks: Vec<NetworkName> = self.networks().cloned().collect();
        for network in &networks {
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
        let steps = vec![Step { action, expect: Expect::Absent }, self.wait()];
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
        let (ignored, mut changes): (Vec<_>, Vec<_>) =
            self.differences(&live.spec).into_iter().partition(|change| change.is_among(&self.app.ignore));
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
        self.waits = self.waits_for_labels(&changes, live, draft);
        if changes.is_empty() {
            // A network can differ where nothing else does (A4).
            for network in self.networks() {
                let _told = swarms.network(self.input, &self.service.swarm, network, draft);
            }
            self.as_declared(live, draft);
        } else if let Some(went_back) = self.rollout(live).and_then(|rollout| rollout.failed) {
            self.held(live, changes, &went_back.why, draft);
        } else if self.waits.is_some() || self.surroundings(swarms, draft) {
            self.update(live, changes, adopted, self.app.ignore.clone(), draft);
        }
    }

    /// A constraint that comes with members of other environments takes nobody from a node that may stay (A1, D8).
    fn waits_for_labels(
        &self,
        changes: &[FieldChange],
        live: &LiveService,
        draft: &Draft,
    ) -> Option<(String, String)> {
        let environment = &self.app.key.environment;
        let serves = spec::serves(environment);
        let constrained = changes.iter().any(|change| change.field == ServiceField::Constraints.name());
        let there = live.spec.constraints.iter().any(|text| diff::same_constraint(text, &serves));
        if !constrained || there || !self.spec.constraints.contains(&serves) {
            return None;
        }
        let (why, hint) =
            nodes::lacks_label(self.input, (&self.service.swarm, self.swarm), environment, draft)?;
        let label = format!("{}{environment}", spec::SERVES);
        let words = "its tasks are to keep to nodes with the label";
        Some((format!("{words} {label} (F5), and on others they end: {why}"), hint))
    }

    /// What is taken over and runs the declared tag goes on with it: a digest is written with the next change, since that
    /// alone would restart its tasks (B4).
    pub(super) fn keep_tag(&mut self, live: &LiveService) {
        let (declared, seen) = (&self.app.container.image, &live.spec.image);
        if self.app.adopt && seen.digest.is_none() && seen == declared {
            self.spec.image = seen.clone();
        }
    }

    /// What differs from the declared spec, ignored or not.
    pub(super) fn differences(&self, live: &ServiceSpec<KeyedHash>) -> Vec<FieldChange> {
        let key_matches = self.input.observed.key == self.input.key.id();
        diff::service(&self.spec, live, key_matches.then_some(self.input.key))
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
        match standing_of(self.input, self.swarm, live) {
            Standing::Converged => {}
            // It is as declared; only who comes after it waits for its end.
            Standing::Working(how) if self.is_waited_for() => self.watch(how, BTreeSet::new(), draft),
            Standing::Working(_) => {}
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
        let mut change = self.change(Verb::Await, vec![how.clone()], vec![self.wait()]);
        change.from = Some(self.hash());
        let after: BTreeSet<usize> = after.into_iter().chain(change.after).collect();
        change.after = after.into_iter().collect();
        let watched = draft.heal(self.input, Nature::NotRunning(how.clone()), change);
        if watched.is_some() && self.is_overdue() {
            let why = format!("not there, and no further for {}: {how}", self.deadline());
            draft.block(self.subject.clone(), Some(self.app.key.clone()), why, MEND);
        }
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

    /// Swarm went back from what tasks are declared to be made from: they stay as they were (D2). What is around them
    /// follows git.
    fn held(&self, live: &LiveService, changes: Vec<FieldChange>, why: &str, draft: &mut Draft) {
        let (of_task, around): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| diff::is_of_task(&change.field));
        if !around.is_empty() {
            let names = of_task.iter().filter_map(|change| change.field.split('.').next());
            let keep = self.app.ignore.iter().cloned().chain(names.filter_map(|name| name.parse().ok()));
            self.update(live, around, false, keep.collect(), draft);
        }
        let (subject, app) = (self.subject.clone(), Some(self.app.key.clone()));
        draft.leave(subject.clone(), app.clone(), Nature::Changed(of_task), "held (D2)".to_owned());
        let hint = "change what its tasks are made from, or try the same again with `trueup restart`";
        draft.block(subject, app, format!("held: {why} (D2)"), hint);
    }

    /// Brings it to the declared spec, but for the fields to `keep`.
    fn update(
        &self,
        live: &LiveService,
        changes: Vec<FieldChange>,
        adopted: bool,
        keep: BTreeSet<FieldName>,
        draft: &mut Draft,
    ) {
        let mut reasons = because(&changes);
        if adopted {
            reasons.push("adopt = true: it is taken over (B4)".to_owned());
        }
        // Only the declared kind of service can become another number of tasks; another kind is another service.
        let anew = std::mem::discriminant(&self.spec.mode) != std::mem::discriminant(&live.spec.mode);
        let replaces = changes.iter().any(|change| change.cure == Cure::Replace);
        let keeps = |field: ServiceField| keep.iter().any(|name| name.as_str() == field.name());
        let mut configs = spec::configs(self.app, &self.spec);
        configs.retain(|_, _| !keeps(ServiceField::Files));
        // Tasks that keep the constraints they have wait for no label.
        let waits = self.waits.as_ref().filter(|_| !keeps(ServiceField::Constraints));
        let (name, labels) = (self.app.service_name(), self.labels());
        let spec = Box::new(self.spec.clone());
        let known = Expect::Id(live.id.clone());
        let steps = match anew {
            true => vec![
                Step {
                    action: Action::RemoveService { name: name.clone(), id: live.id.clone() },
                    expect: known,
                },
                Step {
                    action: Action::CreateService { name, spec, configs, labels },
                    expect: Expect::Absent,
                },
                self.wait(),
            ],
            false => {
                let (version, restart) = (live.version, false);
                let action = Action::UpdateService { name, version, spec, configs, labels, restart, keep };
                vec![Step { action, expect: known }, self.wait()]
            }
        };
        let from = ContentHash::of(reasons.join("\n").as_bytes());
        let verb = if anew { Verb::Replace } else { Verb::Update };
        let mut change = Change { from: Some(from), ..self.change(verb, reasons, steps) };
        // What serves nobody interrupts nobody.
        change.interrupts = (anew && weight::serves(live.spec.mode)) || (replaces && self.serves_alone());
        change.destructive = weight::weigh(weight::wanted(self.swarm, live), Some(self.spec.mode)).0 > 0;
        change.undo = if anew { self.as_it_was(live) } else { Vec::new() };
        match waits {
            Some((why, hint)) => {
                draft.hold_back(self.input, Nature::Changed(changes), change, why.clone(), hint);
            }
            None => {
                draft.heal(self.input, Nature::Changed(changes), change);
            }
        }
    }

    /// The service as it stands, to be made again should another kind of it fail, which goes first. Values of env are
    /// hidden: it can be known only where they are those of git.
    fn as_it_was(&self, live: &LiveService) -> Vec<Step> {
        let hidden =
            |(name, EnvValue::Plain(value)): (&String, &EnvValue)| (name.clone(), self.input.key.hide(value));
        let declared: BTreeMap<_, _> = self.spec.env.iter().map(hidden).collect();
        let known = self.input.observed.key == self.input.key.id() && declared == live.spec.env;
        let spec = known.then(|| live.spec.with_env(self.spec.env.clone())).flatten();
        let Some(spec) = spec else { return Vec::new() };
        let labels = live.labels.iter().filter(|(name, _)| name.starts_with(PREFIX));
        let action = Action::CreateService {
            name: live.name.clone(),
            configs: spec.files.iter().map(|(path, file)| (path.clone(), file.source.clone())).collect(),
            labels: labels.map(|(name, value)| (name.clone(), value.clone())).collect(),
            spec: Box::new(spec),
        };
        // Which id the other one gets is not known yet.
        let other = Action::RemoveService { name: live.name.clone(), id: String::new() };
        vec![
            Step { action: other, expect: Expect::OursBut(live.id.clone()) },
            Step { action, expect: Expect::Absent },
        ]
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
        let steps = vec![Step { action, expect: Expect::Id(live.id.clone()) }, self.wait()];
        let reasons = vec!["a restart was asked for".to_owned()];
        let mut change =
            Change { from: Some(self.hash()), ..self.change(Verb::Restart, reasons.clone(), steps) };
        change.interrupts = self.serves_alone();
        draft.heal(self.input, Nature::NotRunning("a restart was asked for".to_owned()), change);
    }
}
