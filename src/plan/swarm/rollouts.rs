//! What became of the rollouts that were sent: Swarm is at it, has done it, or went back from it (D2).

use std::collections::BTreeMap;

use crate::diff;
use crate::model::drift::Kind;
use crate::model::names::AppKey;
use crate::model::observed::{Observed, Seen};
use crate::model::plan::{Action, Change};
use crate::model::rollout::{Rollout, WentBack};
use crate::model::secrecy::{ContentHash, HashKey, KeyedHash};
use crate::model::service::ServiceSpec;
use crate::model::swarm::{LiveService, UpdateState, UpdateStatus};
use crate::model::units::Timestamp;

use super::super::PlanInput;
use super::super::draft::Draft;
use super::service::Case;
use super::{Standing, Swarms, failures, reached, standing_of};

/// What is to be remembered from this look on, by app: `input.holds.rollouts` and what was seen since.
pub fn rollouts(input: &PlanInput<'_>) -> BTreeMap<AppKey, Rollout> {
    let swarms = Swarms::see(input, &mut Draft::default());
    let mut rollouts = input.holds.rollouts.clone();
    // What is out of this process's sight is not forgotten.
    rollouts.retain(|key, _| input.desired.apps.contains_key(key) || !input.desired.judges(&key.environment));
    for (key, app) in &input.desired.apps {
        let Some(mut case) = Case::of(&swarms, input, app) else { continue };
        let Some(Seen::Known(live)) = case.swarm.services.get(&app.service_name()) else { continue };
        case.keep_tag(live);
        match case.rollout(live) {
            Some(rollout) => rollouts.insert(key.clone(), rollout),
            None => rollouts.remove(key),
        };
    }
    rollouts
}

/// What is to be remembered before a change is sent that makes tasks anew: nothing where it is known already, or where
/// the tasks stay as they are.
pub fn sent(
    change: &Change,
    observed: &Observed,
    key: &HashKey,
    known: &BTreeMap<AppKey, Rollout>,
) -> Option<(AppKey, Rollout)> {
    let app = change.app.clone().filter(|_| change.subject.kind == Kind::Service)?;
    let update = change.steps.iter().find_map(|step| {
        let Action::UpdateService { name, spec, keep, restart, .. } = &step.action else { return None };
        Some((name, spec, keep, *restart))
    });
    let (name, spec, keep, restart) = update.filter(|(_, spec, _, _)| !spec.mode.is_job())?;
    let live = observed.swarms.get(change.subject.swarm.as_ref()?)?.known()?.services.get(name)?.known()?;
    let changes = diff::service(spec, &live.spec, Some(key));
    let anew = restart || changes.iter().any(|c| diff::is_of_task(&c.field) && !c.is_among(keep));
    let before = live.update.as_ref().and_then(|update| update.started);
    let rollout = Rollout { spec: spec.task_hash(), before, reached: 0, moved: observed.at, failed: None };
    let is_known = known.get(&app).is_some_and(|known| known.spec == rollout.spec);
    (anew && !is_known).then_some((app, rollout))
}

/// By Swarm's clock and by ours; `asked` `None`: nobody asked.
fn is_later(began: Option<Timestamp>, asked: Option<Timestamp>) -> bool {
    asked.is_none() || began > asked
}

impl Case<'_, '_> {
    /// What is to be remembered of the declared spec's rollout; `None`: Swarm has it, or never began it.
    pub(super) fn rollout(&self, live: &LiveService) -> Option<Rollout> {
        let has_tasks = self.has_tasks_of(&live.spec);
        let standing = has_tasks.then(|| standing_of(self.input, self.swarm, live));
        if matches!(standing, Some(Standing::Converged | Standing::Working(_))) {
            return None;
        }
        let spec = self.spec.task_hash();
        let asked = self.input.holds.restart_requested.get(&self.app.key).copied();
        let known = self.input.holds.rollouts.get(&self.app.key).filter(|known| known.spec == spec);
        // A person asked for one more try.
        let known = known.filter(|known| known.failed.as_ref().is_none_or(|f| asked < Some(f.seen)));
        if has_tasks {
            return Some(self.under_way(live, known, spec));
        }
        if known.is_some_and(|known| known.failed.is_some()) {
            return known.cloned();
        }
        let same_kind = std::mem::discriminant(&self.spec.mode) == std::mem::discriminant(&live.spec.mode);
        let back = live.rolled_back().filter(|_| same_kind);
        let back = back.filter(|back| match known {
            Some(known) => back.started != known.before,
            // Nothing is remembered: the tasks that Swarm still has are the evidence (H).
            None => {
                is_later(back.started, asked) && live.failed.iter().any(|failed| self.has_tasks_of(failed))
            }
        });
        match back {
            Some(back) => {
                let rollout = known.cloned().unwrap_or_else(|| self.begun(live, spec));
                Some(Rollout { failed: Some(self.went_back(live, back)), ..rollout })
            }
            None => known.cloned(),
        }
    }

    /// Seen for the first time, whoever sent it.
    fn begun(&self, live: &LiveService, spec: ContentHash) -> Rollout {
        let over = live.update.as_ref().filter(|update| update.state != UpdateState::Updating);
        let before = over.and_then(|update| update.started);
        Rollout { spec, before, reached: 0, moved: self.input.now, failed: None }
    }

    fn under_way(&self, live: &LiveService, known: Option<&Rollout>, spec: ContentHash) -> Rollout {
        let rollout = known.cloned().unwrap_or_else(|| self.begun(live, spec));
        match reached(live, self.swarm.tasks_of(&live.id)) {
            more if more > rollout.reached => Rollout { reached: more, moved: self.input.now, ..rollout },
            _ => rollout,
        }
    }

    /// No task came forward for longer than it may take.
    pub(super) fn is_overdue(&self) -> bool {
        let rollout = self.input.holds.rollouts.get(&self.app.key);
        let rollout = rollout.filter(|rollout| rollout.spec == self.spec.task_hash());
        rollout.is_some_and(|rollout| self.input.now.since(rollout.moved) > self.deadline())
    }

    /// Whether the spec's tasks are made from what is declared.
    fn has_tasks_of(&self, live: &ServiceSpec<KeyedHash>) -> bool {
        let changes = self.differences(live);
        changes.iter().all(|c| !diff::is_of_task(&c.field) || c.is_among(&self.app.ignore))
    }

    fn went_back(&self, live: &LiveService, back: &UpdateStatus) -> WentBack {
        let since = back.started.map_or_else(String::new, |since| format!(" at {since}"));
        let failed = failures(live, self.swarm.tasks_of(&live.id));
        let failed = if failed.is_empty() { String::new() } else { format!(": {failed}") };
        let why = format!("Swarm rolled this update back{since} ({}){failed}", back.message);
        WentBack { why, seen: self.input.now }
    }
}
