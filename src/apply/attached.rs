//! Who is on a network, before somebody is put on it, taken off it, or it goes.

use crate::model::container::Attachment;
use crate::model::names::ContainerName;
use crate::model::network::NetworkDriver;
use crate::model::observed::Container;
use crate::model::plan::{Action, Change};
use crate::ports::{Engine, EngineError};

use super::precondition::Verdict;

/// Whether nobody keeps a network that a change takes away, `now` or after all were taken off whom it takes off. An endpoint
/// without a container keeps it too, and no list of containers tells of that: a look at the network does. Of what is stopped,
/// an engine takes no notice; what is not ours could not be started again, and ours is put on its network before it is.
pub(super) async fn none_stays(
    change: &Change,
    network: &str,
    now: bool,
    engine: &dyn Engine,
    is_ours: &(dyn Fn(&Container) -> bool + Sync),
) -> Result<Verdict, EngineError> {
    let goes = |action: &Action| matches!(action, Action::RemoveNetwork { name } if name == network);
    if !change.steps.iter().any(|step| goes(&step.action)) {
        return Ok(Verdict::Holds);
    }
    let Some(there) = engine.network(network).await? else { return Ok(Verdict::Holds) };
    let is_taken_off = |name: &str| {
        change.steps.iter().any(|step| {
            matches!(&step.action, Action::Disconnect { name: one, network: of } if of == network && one.as_str() == name)
        })
    };
    // Swarm's own end of an overlay goes with it.
    let of_swarm = |name: &str| {
        there.driver == NetworkDriver::Overlay.name() && name.strip_suffix("-endpoint") == Some(network)
    };
    let stays = |name: &&str| !of_swarm(name) && (now || !is_taken_off(name));
    let (mut keep, mut stopped) = (Vec::new(), Vec::new());
    for name in there.attached.iter().map(String::as_str).filter(stays) {
        let container = match name.parse::<ContainerName>() {
            Ok(name) => engine.container(&name).await?,
            Err(_) => None,
        };
        match container {
            Some(container) if container.state.is_up() => keep.push(name),
            Some(container) if is_ours(&container) => {}
            Some(_) => stopped.push(name),
            None => keep.push(name),
        }
    }
    let off = format!("take them off (`docker network disconnect -f {network} NAME`)");
    Ok(match (keep.as_slice(), stopped.as_slice()) {
        ([], []) => Verdict::Holds,
        ([], stopped) => Verdict::Moved(format!(
            "{} on network {network} could not be started without it: {off}",
            stopped.join(", ")
        )),
        (names, _) => Verdict::Moved(format!(
            "{} on network {network} would keep it: {off}; one without a container goes when its engine is started again",
            names.join(", ")
        )),
    })
}

/// Whether a container is on a network as wanted: an earlier try whose answer was lost did it (D5). An engine connects
/// nobody a second time who runs.
pub(super) async fn as_wanted(
    container: &Container,
    network: &str,
    wanted: &Attachment,
    engine: &dyn Engine,
) -> Result<Verdict, EngineError> {
    let Some(live) = container.live.networks.get(network) else { return Ok(Verdict::Holds) };
    let address = match (wanted.address, live.requested) {
        (Some(wanted), requested) => requested == Some(wanted) || live.address == Some(wanted),
        (None, None) => true,
        // Swarm asks for the address that it chose itself.
        (None, Some(_)) => engine
            .network(network)
            .await?
            .is_some_and(|network| network.driver == NetworkDriver::Overlay.name()),
    };
    let name = &container.name;
    Ok(if address && live.aliases == wanted.aliases {
        Verdict::AlreadySo(format!("container {name} is on network {network}"))
    } else if container.state.is_running() {
        Verdict::Moved(format!("container {name} is on network {network} with another address or aliases"))
    } else {
        Verdict::Holds
    })
}
