//! `trueup logs APP`: the instances' own output, each line with the instance's name.

use anyhow::bail;
use futures_util::future::join_all;

use crate::control::pass;
use crate::control::revision::Reader;
use crate::model::names::{ContainerName, HostName, InstanceName};
use crate::model::observed::Seen;
use crate::model::ownership::Belongs;

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
    let taken = Reader::default().take(&world, false).await?;
    let keys: Vec<_> = super::pause::targets(Some(&args.app), &args.source)?.into_iter().flatten().collect();
    let pass = pass::look(&world, taken, false).await?;
    let owner = world.owner(&pass.desired.fleet);
    let mut found: Vec<(HostName, ContainerName, InstanceName)> = Vec::new();
    for (host, seen) in &pass.observed.hosts {
        match seen {
            Seen::Unknown { why } => errln!("warning: {host} cannot be asked: {why}"),
            Seen::Known(engine) => {
                for container in engine.containers.values().filter_map(Seen::known) {
                    if let Belongs::Ours(owned) = owner.container(&container.name, host, &container.labels)
                        && keys.contains(&owned.instance.key)
                    {
                        found.push((host.clone(), container.name.clone(), owned.instance));
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
