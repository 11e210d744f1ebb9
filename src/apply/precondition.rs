//! Every mutation re-reads its target: what is so already is not done again, and what moved is refused.

use crate::model::container::{ContainerSpec, Networks};
use crate::model::names::ContainerName;
use crate::model::observed::Container;
use crate::model::ownership::Belongs;
use crate::model::plan::{Action, Change, Expect, Step};
use crate::ports::{Engine, EngineError};

use super::{Executor, attached};

/// What a fresh look at the target says.
pub(super) enum Verdict {
    Holds,
    /// With what only this look could tell.
    HoldsAs(Action),
    AlreadySo(String),
    Moved(String),
}

impl Executor<'_> {
    pub(super) async fn precondition(
        &self,
        change: &Change,
        step: &Step,
        engine: &dyn Engine,
    ) -> Result<Verdict, EngineError> {
        if let Some(swarm) = &change.subject.swarm {
            return self.on_swarm(swarm, change, step, engine).await;
        }
        match &step.action {
            Action::PullImage { image } => Ok(match engine.image(image).await? {
                Some(_) if image.digest.is_some() => Verdict::AlreadySo(format!("{image} is there")),
                Some(_) | None => Verdict::Holds,
            }),
            // The engine itself refuses to take away what a container uses.
            Action::RemoveImage { .. } => Ok(Verdict::Holds),
            Action::CreateVolume { name, .. } => Ok(match engine.volume(name).await? {
                Some(_) => Verdict::AlreadySo(format!("volume {name} is there")),
                None => Verdict::Holds,
            }),
            Action::CreateNetwork { name, .. } => Ok(match engine.network(name).await? {
                Some(_) => Verdict::AlreadySo(format!("network {name} is there")),
                None => Verdict::Holds,
            }),
            Action::RemoveNetwork { name } => match self.network(name, &step.expect, engine).await? {
                Verdict::Holds => {
                    attached::none_stays(change, name, true, engine, &|there| self.is_ours(there)).await
                }
                verdict @ (Verdict::HoldsAs(_) | Verdict::AlreadySo(_) | Verdict::Moved(_)) => Ok(verdict),
            },
            Action::CreateContainer { name, spec, labels } => {
                let same = |there: &Container| labels.iter().all(|(k, v)| there.labels.get(k) == Some(v));
                Ok(match engine.container(name).await? {
                    None => Verdict::Holds,
                    // An earlier try whose answer was lost: the very labels of this step stand on it. With files to
                    // put in it may be half made, and must not be started so (D9).
                    Some(there) if same(&there) && spec.files.is_empty() && !has_later_networks(spec) => {
                        Verdict::AlreadySo(format!("container {name} is there"))
                    }
                    Some(_) => {
                        Verdict::Moved(format!("a container {name} is there that this plan did not see"))
                    }
                })
            }
            Action::RemoveContainer { name } => match engine.container(name).await? {
                None => Ok(Verdict::AlreadySo(format!("container {name} is gone"))),
                Some(there) => Ok(self.container(name, &step.expect, &there)),
            },
            Action::RenameContainer { name, to } => match engine.container(name).await? {
                Some(there) => Ok(self.container(name, &step.expect, &there)),
                None => Ok(match engine.container(to).await? {
                    Some(renamed) if is_expected(&step.expect, &renamed) => {
                        Verdict::AlreadySo(format!("it is called {to} already"))
                    }
                    Some(_) | None => Verdict::Moved(format!("container {name} is gone")),
                }),
            },
            Action::StartContainer { name }
            | Action::StopContainer { name, .. }
            | Action::RestartContainer { name, .. }
            | Action::UpdateContainer { name, .. }
            | Action::Connect { name, .. }
            | Action::Disconnect { name, .. } => match engine.container(name).await? {
                None => Ok(Verdict::Moved(format!("container {name} is gone"))),
                Some(there) => match (&step.action, self.container(name, &step.expect, &there)) {
                    (Action::StartContainer { .. }, Verdict::Holds) if there.state.is_running() => {
                        Ok(Verdict::AlreadySo(format!("container {name} runs")))
                    }
                    (Action::Connect { network, attachment, .. }, Verdict::Holds) => {
                        attached::as_wanted(&there, network, attachment, engine).await
                    }
                    (Action::Disconnect { network, .. }, Verdict::Holds) => {
                        attached::none_stays(change, network, false, engine, &|there| self.is_ours(there))
                            .await
                    }
                    (_, verdict) => Ok(verdict),
                },
            },
            Action::WaitHealthy { .. }
            | Action::Drain { .. }
            | Action::Undrain { .. }
            | Action::CreateService { .. }
            | Action::UpdateService { .. }
            | Action::RemoveService { .. }
            | Action::WaitService { .. }
            | Action::CreateConfig { .. }
            | Action::RemoveConfig { .. }
            | Action::UpdateNode { .. }
            | Action::InstallFiles { .. } => Ok(Verdict::Holds),
        }
    }

    fn container(&self, name: &ContainerName, expect: &Expect, there: &Container) -> Verdict {
        match expect {
            Expect::Anything => Verdict::Holds,
            Expect::Absent => Verdict::Moved(format!("a container {name} is there")),
            Expect::Id(id) if *id == there.id => Verdict::Holds,
            Expect::Id(_) => Verdict::Moved(format!("container {name} is another one than was looked at")),
            Expect::OursBut(id) if *id == there.id => {
                Verdict::Moved(format!("container {name} is still the one from before"))
            }
            Expect::Ours | Expect::OursBut(_) if self.is_ours(there) => Verdict::Holds,
            Expect::Ours | Expect::OursBut(_) => Verdict::Moved(format!("container {name} is not ours")),
        }
    }

    fn is_ours(&self, there: &Container) -> bool {
        let on = |host| matches!(self.owner.container(&there.name, host, &there.labels), Belongs::Ours(_));
        self.desired.hosts.keys().any(on)
    }

    async fn network(
        &self,
        name: &str,
        expect: &Expect,
        engine: &dyn Engine,
    ) -> Result<Verdict, EngineError> {
        let Some(there) = engine.network(name).await? else {
            return Ok(Verdict::AlreadySo(format!("network {name} is gone")));
        };
        let ours =
            self.desired.hosts.keys().any(|host| {
                matches!(self.owner.object("network", name, host, &there.labels), Belongs::Ours(()))
            });
        Ok(match expect {
            Expect::Id(id) if *id != there.id => {
                Verdict::Moved(format!("network {name} is another one than was looked at"))
            }
            Expect::Absent => Verdict::Moved(format!("a network {name} is there")),
            Expect::Ours | Expect::OursBut(_) | Expect::Id(_) if !ours => {
                Verdict::Moved(format!("network {name} is not ours"))
            }
            Expect::Ours | Expect::OursBut(_) | Expect::Id(_) | Expect::Anything => Verdict::Holds,
        })
    }
}

/// Networks beyond the first are connected after the creation.
fn has_later_networks(spec: &ContainerSpec) -> bool {
    match &spec.networks {
        Networks::Named(named) => named.len() > 1,
        Networks::Default | Networks::Host | Networks::None => false,
    }
}

fn is_expected(expect: &Expect, there: &Container) -> bool {
    match expect {
        Expect::Id(id) => *id == there.id,
        Expect::OursBut(id) => *id != there.id,
        Expect::Ours | Expect::Anything => true,
        Expect::Absent => false,
    }
}
