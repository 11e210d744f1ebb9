//! Swarms: what git declares of each against what its managers tell. Swarm itself places, replaces and updates tasks;
//! trueup says what should run, watches it come about, and tells why it does not.

mod down;
mod member;
mod networks;
mod nodes;
mod prune;
mod rollouts;
mod service;
mod spec;
mod standing;
mod weight;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::app::App;
use crate::model::drift::{Kind, Subject};
use crate::model::names::NetworkName;
use crate::model::observed::{Engine, Seen};
use crate::model::plan::Unknown;
use crate::model::swarm::{LiveService, Swarm};

use super::PlanInput;
use super::draft::Draft;
use super::instance::by_its_clock;

pub(super) use prune::prune;
pub use rollouts::{rollouts, sent};
pub use standing::{Standing, failures, reached, standing};
pub(super) use weight::leaves_nothing;
pub use weight::taken;

/// How far one of its services is. When that was changed is told by Swarm's own clock.
fn standing_of(input: &PlanInput<'_>, swarm: &Swarm, live: &LiveService) -> Standing {
    let manager = input.observed.engine(&swarm.manager);
    let now = manager.map_or(input.now, |engine| by_its_clock(input, engine, input.now));
    standing(live, swarm.tasks_of(&live.id), now.since(live.updated))
}

/// The Swarms that answered, and why others did not.
pub(super) struct Swarms<'a> {
    known: BTreeMap<&'a str, &'a Swarm>,
    unknown: BTreeMap<&'a str, String>,
}

impl<'a> Swarms<'a> {
    /// Tells the unknown ones, and the services that could not be read.
    pub fn see(input: &PlanInput<'a>, draft: &mut Draft) -> Self {
        let mut swarms = Self { known: BTreeMap::new(), unknown: BTreeMap::new() };
        for name in input.desired.swarms.keys() {
            match input.observed.swarms.get(name) {
                Some(Seen::Known(swarm)) => {
                    swarms.known.insert(name, swarm);
                    for (service, seen) in &swarm.services {
                        if let Seen::Unknown { why } = seen {
                            let subject = Subject::on_swarm(Kind::Service, service, name);
                            draft.unknown.push(Unknown { subject, why: why.clone() });
                        }
                    }
                }
                Some(Seen::Unknown { why }) => {
                    swarms.unknown.insert(name, why.clone());
                }
                None => {
                    swarms.unknown.insert(name, "it was not read".to_owned());
                }
            }
        }
        for (name, why) in &swarms.unknown {
            let subject = Subject::of_fleet(Kind::Swarm, name);
            draft.unknown.push(Unknown { subject, why: why.clone() });
        }
        swarms
    }

    /// One app's service, after the changes of what it depends on.
    pub fn app(&self, input: &PlanInput<'_>, app: &App, after: &BTreeSet<usize>, draft: &mut Draft) {
        service::plan(self, input, app, after, draft);
    }

    /// Whether the app's service is as far as it should be, as far as anyone can see.
    pub fn is_well(&self, input: &PlanInput<'_>, app: &App) -> bool {
        service::is_well(self, input, app)
    }

    /// Why the host's engine is no node of its Swarm, as far as both are known.
    pub fn apart(&self, swarm: &str, engine: &Engine) -> Option<member::Apart> {
        let member = engine.info.membership.as_ref()?;
        member::apart(self.known.get(swarm).copied(), member)
    }

    /// The overlay network that something attaches to: the number of the change that makes it, or why it can't be had.
    pub fn network(
        &self,
        input: &PlanInput<'_>,
        swarm: &str,
        name: &NetworkName,
        draft: &mut Draft,
    ) -> super::surroundings::Made {
        networks::prepare(self, input, swarm, name, draft)
    }

    /// Labels and availability of the nodes that the inventory knows.
    pub fn nodes(&self, input: &PlanInput<'_>, draft: &mut Draft) {
        nodes::plan(self, input, draft);
    }

    /// Nodes that are down, and what their tasks hold.
    pub fn tell_down_nodes(&self, input: &PlanInput<'_>, draft: &mut Draft) {
        down::tell(self, input, draft);
    }

    /// How many tasks services of ours are to have: what B3 takes shares of, beside instances on hosts.
    pub fn tasks(&self, input: &PlanInput<'_>) -> usize {
        prune::owned(self, input).map(|(_, swarm, live, _)| weight::wanted(swarm, live)).sum()
    }
}
