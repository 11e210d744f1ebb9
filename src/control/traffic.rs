//! Who may receive traffic while a rollout goes on: drained instances leave the files, fresh observation lets them back.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::apply::Traffic;
use crate::endpoints::Exceptions;
use crate::model::desired::Desired;
use crate::model::file::{FileSet, Files};
use crate::model::names::{HostName, InstanceName};
use crate::model::observed::Observed;
use crate::model::units::TimeSpan;
use crate::observe;

use super::World;
use super::pass::files_for;

/// Keeps the generated files in step with the rollout of one apply.
pub struct Edge<'a> {
    world: &'a World,
    desired: &'a Desired,
    state: Mutex<State>,
}

struct State {
    observed: Observed,
    exceptions: Exceptions,
}

impl<'a> Edge<'a> {
    /// `staying` are those whose removal waits: see [`Exceptions`].
    pub fn new(
        world: &'a World,
        desired: &'a Desired,
        observed: Observed,
        staying: BTreeSet<InstanceName>,
    ) -> Self {
        let exceptions = Exceptions { staying, ..Exceptions::default() };
        Self { world, desired, state: Mutex::new(State { observed, exceptions }) }
    }

    /// Looks again at the hosts that run the instance's app, and installs the sets that changed by it.
    /// Only sets that are installed already are touched: a first installation is a change of the plan.
    async fn refresh(&self, state: &mut State, instance: &InstanceName) -> Result<bool, String> {
        let hosts = hosts_of(&state.observed, instance);
        state.observed = observe::observe_hosts(
            &hosts,
            &state.observed,
            self.desired,
            &*self.world.engines,
            &*self.world.files,
            &*self.world.clock,
            &self.world.limits,
            self.world.call_deadline.duration(),
        )
        .await;
        let owner = self.world.owner(&self.desired.fleet);
        let rendered = files_for(self.desired, &state.observed, &owner, &state.exceptions);
        let mut changed = false;
        for (set, files) in &rendered.sets {
            let installed = state.observed.files.get(set).and_then(|seen| seen.known()).cloned().flatten();
            if installed.as_ref().is_some_and(|installed| installed != files) {
                self.world.files.install(set, files).await.map_err(|e| e.to_string())?;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Drained = the old Nginx workers are gone, or the time is over (D1).
    async fn until_drained(&self, timeout: Duration) {
        let end = self.world.clock.now().plus(timeout);
        while self.world.clock.now() < end && !self.world.files.drained(&FileSet::Nginx).await {
            self.world.clock.sleep(ASK_AGAIN.min(timeout)).await;
        }
    }
}

/// How often it is asked whether the old workers are gone.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Where instances of the same app are seen now.
fn hosts_of(observed: &Observed, instance: &InstanceName) -> BTreeSet<HostName> {
    let prefix = format!("{}-", instance.key);
    observed
        .hosts
        .iter()
        .filter(|(_, seen)| {
            seen.known()
                .is_some_and(|engine| engine.containers.keys().any(|n| n.as_str().starts_with(&prefix)))
        })
        .map(|(host, _)| host.clone())
        .collect()
}

#[async_trait]
impl Traffic for Edge<'_> {
    async fn drain(&self, instance: &InstanceName, timeout: TimeSpan) -> Result<(), String> {
        let changed = {
            let mut state = self.state.lock().await;
            state.exceptions.drained.insert(instance.clone());
            self.refresh(&mut state, instance).await?
        };
        // An instance that was in no file has no requests to finish.
        if changed {
            self.until_drained(timeout.duration()).await;
        }
        Ok(())
    }

    async fn undrain(&self, instance: &InstanceName) -> Result<(), String> {
        let mut state = self.state.lock().await;
        state.exceptions.drained.remove(instance);
        self.refresh(&mut state, instance).await.map(|_| ())
    }

    /// Installs what follows from a fresh look, not what the plan foresaw (D11).
    async fn install(&self, set: &FileSet, planned: &Files) -> Result<(), String> {
        let mut state = self.state.lock().await;
        // Who did not answer this pass is not waited for once more (D6): unknown hosts keep their lines.
        let known = |host: &&HostName| state.observed.engine(host).is_some();
        let hosts = state.observed.hosts.keys().filter(known).cloned().collect();
        state.observed = observe::observe_hosts(
            &hosts,
            &state.observed,
            self.desired,
            &*self.world.engines,
            &*self.world.files,
            &*self.world.clock,
            &self.world.limits,
            self.world.call_deadline.duration(),
        )
        .await;
        let owner = self.world.owner(&self.desired.fleet);
        let rendered = files_for(self.desired, &state.observed, &owner, &state.exceptions);
        let files = rendered.sets.get(set).unwrap_or(planned);
        let installed = state.observed.files.get(set).and_then(|seen| seen.known()).cloned().flatten();
        if installed.as_ref() == Some(files) {
            return Ok(());
        }
        self.world.files.install(set, files).await.map_err(|e| e.to_string())
    }
}
