//! The planner: one pure answer to "what has to happen now?". It never fails; what cannot be done is `Blocked`.

mod addresses;
mod admit;
pub mod collect;
mod draft;
mod elsewhere;
mod files;
mod input;
mod instance;
mod leftovers;
mod place;
mod prune;
mod renamed;
mod rollout;
mod safety;
mod seen;
mod steps;
mod strays;
mod surroundings;
mod swarm;
mod under_way;
mod volumes;

#[cfg(test)]
mod tests;

use crate::model::plan::Plan;

pub use admit::admit;
pub use input::{Holds, PlanInput, Wait};
pub use swarm::{Standing, failures, reached, rollouts, sent, standing, taken};
pub use under_way::Begun;

use draft::Draft;
use seen::Fleet;
use swarm::Swarms;

/// Reads like the table of contents: see who is there, place, give addresses, compare, order, hold back.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let fleet = Fleet::see(input);
    let mut draft = Draft::default();
    fleet.tell_unknown(input, &mut draft);
    let swarms = Swarms::see(input, &mut draft);
    swarms.nodes(input, &mut draft);
    let seats = place::place(input, &fleet, &mut draft);
    let targets = addresses::targets(input, &fleet, &seats, &mut draft);
    let around = surroundings::prepare(input, &fleet, &swarms, &targets, &mut draft);
    leftovers::recover(input, &fleet, &seats, &mut draft);
    let instances = instance::classify(input, &fleet, &targets, &around, &mut draft);
    rollout::order(input, &fleet, &swarms, &targets, instances, &mut draft);
    files::install(input, &mut draft);
    prune::prune(input, &fleet, &seats, &targets, &around, &mut draft);
    swarm::prune(&swarms, input, &mut draft);
    strays::tell(input, &fleet, &mut draft);
    swarms.tell_down_nodes(input, &mut draft);
    let under_way = under_way::told(input, &targets, &around, &draft);
    safety::finish(input, &fleet, &swarms, draft, under_way)
}
