//! `trueup logs APP`: the instances' own output, each line with the instance's name; of a service, that of its tasks on
//! the hosts of the inventory.

use anyhow::bail;
use futures_util::future::join_all;

use crate::control::pass;
use crate::model::adoption;
use crate::model::names::{AppKey, ContainerName, HostName};
use crate::model::observed::{Container, Observed, Seen};
use crate::model::ownership::{Belongs, Owner};

use super::world::{GlobalArgs, SourceArgs, world};
use super::{Exit, say, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// The app, with --env, or in one word as in quote-prod.
    app: String,
    /// How many lines of the past to show for each instance.
    #[arg(long, default_value_t = 100)]
    tail: u32,
    /// Keep showing new lines.
    #[arg(short, long)]
    follow: bool,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(true))?;
    let keys: Vec<_> = super::pause::targets(Some(&args.app), &args.source)?.into_iter().flatten().collect();
    let pass = pass::take_and_look(&world).await?;
    let owner = world.owner(&pass.desired.fleet);
    let apps = &pass.desired.apps;
    let service = |key: &AppKey| apps.get(key).map_or_else(|| key.to_string(), |app| app.service_name());
    let services: Vec<String> = keys.iter().map(service).collect();
    let mut found: Vec<(HostName, ContainerName, String)> = Vec::new();
    for (host, seen) in &pass.observed.hosts {
        match seen {
            Seen::Unknown { why } => errln!("warning: {host} cannot be asked: {why}"),
            Seen::Known(engine) => {
                for container in engine.containers.values().filter_map(Seen::known) {
                    let task = task(&owner, &pass.observed, container, &services);
                    let instance = match owner.container(&container.name, host, &container.labels) {
                        Belongs::Ours(owned) => Some(owned.instance),
                        Belongs::Foreign { .. } => {
                            adoption::adopted(&pass.desired, &pass.observed, &pass.adopted, host, container)
                                .map(|(instance, _)| instance)
                        }
                    };
                    if let Some(instance) = instance.filter(|instance| keys.contains(&instance.key)) {
                        found.push((host.clone(), container.name.clone(), instance.to_string()));
                    } else if let Some(name) = task {
                        found.push((host.clone(), container.name.clone(), name));
                    }
                }
            }
        }
    }
    if found.is_empty() {
        bail!("no container of {} was found on the hosts that answered", args.app);
    }
    let nobody_reads = tokio::sync::Notify::new();
    let mut streams = Vec::new();
    for (host, container, instance) in &found {
        let Some(host) = pass.desired.hosts.get(host) else { continue };
        let engine = world.engines.engine(host)?;
        let nobody_reads = &nobody_reads;
        streams.push(async move {
            let print = |line: &str| {
                if !say::out(format_args!("{instance} | {line}\n")) {
                    nobody_reads.notify_one();
                }
            };
            engine.logs(container, args.tail, args.follow, &print).await
        });
    }
    let ends = tokio::select! {
        ends = join_all(streams) => ends,
        () = nobody_reads.notified() => return Ok(0),
    };
    let mut code = 0;
    for error in ends.into_iter().filter_map(Result::err) {
        errln!("error: {error}");
        code = 1;
    }
    Ok(code)
}

/// Docker's label with the service that a container is a task of.
const SERVICE: &str = "com.docker.swarm.service.name";

/// The name of the task, where the container is one of such an app's service: `web-prod.1`. Whose it is the service says.
fn task(owner: &Owner, observed: &Observed, container: &Container, services: &[String]) -> Option<String> {
    let service = container.labels.get(SERVICE)?;
    if !services.contains(service) {
        return None;
    }
    let mut swarms = observed.swarms.iter().filter_map(|(name, seen)| Some((name, seen.known()?)));
    let ours = swarms.any(|(name, swarm)| {
        swarm.services.get(service).and_then(Seen::known).is_some_and(|live| {
            matches!(owner.swarm_object("service", service, name, &live.labels), Belongs::Ours(_))
        })
    });
    let task = container.name.as_str().rsplit_once('.').map_or(container.name.as_str(), |(name, _)| name);
    ours.then(|| task.to_owned())
}
