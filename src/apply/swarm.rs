//! Steps on a Swarm: what must be true before one.

use std::collections::BTreeSet;

use crate::diff;
use crate::model::names::FieldName;
use crate::model::observed::Seen;
use crate::model::ownership::Belongs;
use crate::model::plan::{Action, Change, Expect, Step};
use crate::model::service::ServiceSpec;
use crate::model::swarm::LiveService;
use crate::ports::{Engine, EngineError};

use super::Executor;
use super::precondition::Verdict;

impl Executor<'_> {
    /// Every mutation re-reads its target, so that a try whose answer was lost is seen to have worked (D5).
    pub(super) async fn on_swarm(
        &self,
        swarm: &str,
        change: &Change,
        step: &Step,
        engine: &dyn Engine,
    ) -> Result<Verdict, EngineError> {
        // One that is no manager any more still answers for what it has itself: a network of the Swarm that it does not
        // use would be taken for gone.
        if let Some(Seen::Known(seen)) = self.swarms.get(swarm) {
            engine.answers_for(&seen.id).await?;
        }
        match &step.action {
            Action::CreateService { name, spec, labels, .. } => Ok(match engine.service(name).await? {
                None => Verdict::Holds,
                Some((live, _)) if self.is_made(&live, spec, &BTreeSet::new(), labels) => {
                    Verdict::AlreadySo(format!("service {name} is there"))
                }
                Some(_) => Verdict::Moved(format!("a service {name} is there that this plan did not see")),
            }),
            Action::UpdateService { name, version, spec, labels, restart, keep, .. } => {
                Ok(match engine.service(name).await? {
                    None => Verdict::Moved(format!("service {name} is gone")),
                    Some((live, _)) if step.expect != Expect::Id(live.id.clone()) => {
                        Verdict::Moved(format!("service {name} is another one than was looked at"))
                    }
                    Some((live, _)) if live.version == *version => Verdict::Holds,
                    Some((live, _)) if !restart && self.is_made(&live, spec, keep, labels) => {
                        Verdict::AlreadySo(format!("service {name} is as wanted"))
                    }
                    Some(_) => Verdict::Moved(format!("somebody changed service {name} meanwhile")),
                })
            }
            Action::RemoveService { name, .. } => Ok(match engine.service(name).await? {
                None => Verdict::AlreadySo(format!("service {name} is gone")),
                Some((live, _)) if matches!(step.expect, Expect::OursBut(_)) => {
                    self.made_by(change, name, live, &step.expect)
                }
                Some((live, _)) => self.ours("service", name, swarm, (&live.id, &live.labels), &step.expect),
            }),
            Action::CreateConfig { name, hash, labels } => Ok(match engine.config(name).await? {
                None => Verdict::Holds,
                Some(live) if live.hash == *hash && live.labels == *labels => {
                    Verdict::AlreadySo(format!("config {name} is there"))
                }
                Some(_) => Verdict::Moved(format!("a config {name} is there that this plan did not see")),
            }),
            Action::RemoveConfig { name, .. } => Ok(match engine.config(name).await? {
                None => Verdict::AlreadySo(format!("config {name} is gone")),
                Some(live) => self.ours("config", name, swarm, (&live.id, &live.labels), &step.expect),
            }),
            Action::CreateNetwork { name, .. } => Ok(match engine.network(name).await? {
                None => Verdict::Holds,
                Some(live) => match self.owner.swarm_object("network", name, swarm, &live.labels) {
                    Belongs::Ours(_) => Verdict::AlreadySo(format!("network {name} is there")),
                    Belongs::Foreign { .. } => {
                        Verdict::Moved(format!("a network {name} is there that this plan did not see"))
                    }
                },
            }),
            Action::RemoveNetwork { name } => Ok(match engine.network(name).await? {
                None => Verdict::AlreadySo(format!("network {name} is gone")),
                Some(live) => self.ours("network", name, swarm, (&live.id, &live.labels), &step.expect),
            }),
            Action::UpdateNode { node, version, .. } => Ok(match engine.node(node).await? {
                None => Verdict::Moved("the node left the Swarm".to_owned()),
                Some(live) if live.version == *version => Verdict::Holds,
                // Its version moves with its state too; what is wanted is looked at anew.
                Some(_) => Verdict::Moved("the node changed meanwhile".to_owned()),
            }),
            Action::PullImage { .. }
            | Action::RemoveImage { .. }
            | Action::CreateVolume { .. }
            | Action::CreateContainer { .. }
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::RestartContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::UpdateContainer { .. }
            | Action::Connect { .. }
            | Action::Disconnect { .. }
            | Action::WaitHealthy { .. }
            | Action::Drain { .. }
            | Action::Undrain { .. }
            | Action::InstallFiles { .. }
            | Action::WaitService { .. } => Ok(Verdict::Holds),
        }
    }

    /// What the change made itself, and nobody touched since, is taken away again.
    fn made_by(&self, change: &Change, name: &str, live: LiveService, expect: &Expect) -> Verdict {
        if *expect == Expect::OursBut(live.id.clone()) {
            return Verdict::Moved(format!("service {name} is still the one from before"));
        }
        let made = change.steps.iter().any(|step| {
            let Action::CreateService { spec, labels, .. } = &step.action else { return false };
            self.is_made(&live, spec, &BTreeSet::new(), labels)
        });
        match made {
            true => Verdict::HoldsAs(Action::RemoveService { name: name.to_owned(), id: live.id }),
            false => Verdict::Moved(format!("service {name} is not as this change made it")),
        }
    }

    fn ours(
        &self,
        kind: &str,
        name: &str,
        swarm: &str,
        (id, labels): (&str, &std::collections::BTreeMap<String, String>),
        expect: &Expect,
    ) -> Verdict {
        if let Belongs::Foreign { why } = self.owner.swarm_object(kind, name, swarm, labels) {
            return Verdict::Moved(format!("{kind} {name} is not ours: {why}"));
        }
        match expect {
            Expect::Id(wanted) if wanted != id => {
                Verdict::Moved(format!("{kind} {name} is another one than was looked at"))
            }
            Expect::Absent => Verdict::Moved(format!("a {kind} {name} is there")),
            Expect::Id(_) | Expect::Ours | Expect::OursBut(_) | Expect::Anything => Verdict::Holds,
        }
    }

    /// An earlier try whose answer was lost: the very labels and fields of this step, but for those that are kept.
    fn is_made(
        &self,
        live: &LiveService,
        spec: &ServiceSpec,
        keep: &BTreeSet<FieldName>,
        labels: &std::collections::BTreeMap<String, String>,
    ) -> bool {
        labels.iter().all(|(name, value)| live.labels.get(name) == Some(value)) && self.has(live, spec, keep)
    }

    /// Whether it is what the spec says, values of env included, but for what is kept.
    pub(super) fn has(&self, live: &LiveService, spec: &ServiceSpec, keep: &BTreeSet<FieldName>) -> bool {
        diff::service(spec, &live.spec, Some(self.key)).iter().all(|change| change.is_among(keep))
    }
}
