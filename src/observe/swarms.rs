//! Swarms, each through the first of its managers that answers: one that is down, hung or without a quorum delays nobody
//! for longer than it takes to ask the next (D6).

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;

use crate::model::host::Host;
use crate::model::names::HostName;
use crate::model::observed::{Engine, Seen};
use crate::model::swarm::Swarm;
use crate::ports::{Clock, Engines};

use super::Asked;

/// How long a manager is waited for before the next is asked as well.
const PATIENCE: Duration = Duration::from_secs(1);

/// Every declared Swarm, known or unknown, by the deadline at the latest.
pub(super) async fn read(
    asked: &Asked,
    engines: &dyn Engines,
    clock: &dyn Clock,
    deadline: Duration,
) -> BTreeMap<String, Seen<Swarm>> {
    let reads = asked.swarms.keys().map(|name| async move {
        (name.clone(), read_one(&asked.managers(name), engines, clock, deadline).await)
    });
    join_all(reads).await.into_iter().collect()
}

/// One Swarm, known or unknown, by the deadline at the latest.
pub(super) async fn read_one(
    managers: &[Host],
    engines: &dyn Engines,
    clock: &dyn Clock,
    deadline: Duration,
) -> Seen<Swarm> {
    tokio::select! {
        seen = first_answer(managers, engines, clock) => seen,
        () = clock.sleep(deadline) => {
            Seen::unknown(format!("no manager finished answering within {} s", deadline.as_secs()))
        }
    }
}

/// The first manager is asked, and the next as soon as one failed or took too long.
async fn first_answer(managers: &[Host], engines: &dyn Engines, clock: &dyn Clock) -> Seen<Swarm> {
    let mut next = managers.iter();
    let mut asked: FuturesUnordered<BoxFuture<'_, Result<Swarm, String>>> = FuturesUnordered::new();
    let mut failed: Vec<String> = Vec::new();
    loop {
        if asked.is_empty() {
            match next.next() {
                Some(manager) => asked.push(Box::pin(ask(manager, engines))),
                None if failed.is_empty() => return Seen::unknown("fleet.toml names no manager for it"),
                None => return Seen::unknown(format!("no manager answers for it: {}", failed.join("; "))),
            }
        }
        tokio::select! {
            Some(answer) = asked.next() => match answer {
                Ok(swarm) => return Seen::Known(swarm),
                Err(why) => failed.push(why),
            },
            () = clock.sleep(PATIENCE), if next.len() > 0 => {
                asked.extend(next.next().map(|manager| Box::pin(ask(manager, engines)) as BoxFuture<'_, _>));
            }
        }
    }
}

async fn ask(manager: &Host, engines: &dyn Engines) -> Result<Swarm, String> {
    let engine = engines.engine(manager).map_err(|error| error.to_string())?;
    engine.swarm().await.map_err(|error| error.to_string())
}

/// Whose managers are of different Swarms is unknown: what one of them tells is not what the other would be told to do
/// (A1).
pub(super) fn contradicted(
    mut swarms: BTreeMap<String, Seen<Swarm>>,
    hosts: &BTreeMap<HostName, Seen<Engine>>,
    asked: &Asked,
) -> BTreeMap<String, Seen<Swarm>> {
    for (name, seen) in &mut swarms {
        let Seen::Known(swarm) = &*seen else { continue };
        let managers = asked.swarms.get(name).into_iter().flatten();
        let others = managers.filter_map(|manager| {
            let managed = hosts.get(manager)?.known()?.info.swarm.as_ref()?;
            (*managed != swarm.id).then_some((manager, managed))
        });
        if let Some((other, managed)) = others.into_iter().next() {
            *seen = Seen::unknown(format!(
                "its managers are of two Swarms: {} of {}, {other} of {managed}; name those of one under `managers`",
                swarm.manager, swarm.id
            ));
        }
    }
    swarms
}
