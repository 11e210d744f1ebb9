//! What trueup has to reach: the repository, the engines, the registries.

use std::collections::BTreeSet;

use crate::adapter::clock::SystemClock;
use crate::config::{self, ParseCache};
use crate::control::World;
use crate::control::baseline::Baseline;
use crate::model::desired::Desired;
use crate::model::host::{EngineAddress, Host};
use crate::model::names::HostName;
use crate::model::observed::EngineInfo;
use crate::model::settings::Settings;
use crate::output;
use crate::ports::Clock as _;

use super::{Check, Verdict, broken, doubtful, on_path, works};

/// Engines whose clock is further off than this tell wrong times of starts and deaths. Reading one takes seconds at most.
const SKEW_MILLISECONDS: u64 = 60_000;

pub(super) async fn repository(world: &World, checks: &mut Vec<Check>) -> Option<Desired> {
    let read = async {
        let head = world.repository.head().await?;
        world.repository.tree(&head).await
    };
    let tree = match read.await {
        Ok(tree) => tree,
        Err(error) => {
            checks.push(broken(
                "repository",
                error.to_string(),
                "check the address and the credentials in the settings; the last good revision stays enforced",
            ));
            return None;
        }
    };
    match config::load(&tree, &mut ParseCache::default()) {
        Ok(desired) => {
            let apps = output::many(desired.apps.len(), "app");
            let words = format!("{} ({}): {apps}", tree.revision.short(), tree.summary);
            checks.push(works("repository", words));
            Some(desired)
        }
        Err(errors) => {
            checks.push(broken(
                "repository",
                format!("{} has errors:\n{errors}", tree.revision.short()),
                "mend them and commit; the last good revision stays enforced",
            ));
            None
        }
    }
}

/// Which hosts answer.
pub(super) async fn engines(
    world: &World,
    settings: &Settings,
    desired: &Desired,
    checks: &mut Vec<Check>,
) -> BTreeSet<HostName> {
    let looks = desired.hosts.values().map(|host| async move { (host, engine(world, host).await) });
    let mut answer = BTreeSet::new();
    for (host, found) in futures_util::future::join_all(looks).await {
        if found.iter().all(|check| check.verdict != Verdict::Broken) {
            answer.insert(host.name.clone());
        }
        checks.extend(found);
    }
    for host in desired.hosts.values() {
        let plain = matches!(host.engine, EngineAddress::Tcp { .. });
        if plain && settings.engines.identity(&host.name).is_none() {
            checks.push(doubtful(
                &format!("engine of {}", host.name),
                "plain TCP: whoever reaches the port owns the host",
                "name a client certificate under [engines.tls] in the settings (G3)",
            ));
        }
    }
    let by_ssh = desired.hosts.values().any(|host| matches!(host.engine, EngineAddress::Ssh { .. }));
    if by_ssh && !on_path("ssh") {
        let next = "install OpenSSH's client: engines at ssh:// are reached through it";
        checks.push(broken("ssh", "the program `ssh` is not found", next));
    }
    if desired.hosts.len() == 2 {
        checks.push(doubtful(
            "fleet",
            "two hosts never have a majority",
            "with one host silent nothing is moved by itself: add a third, or plan on a person (C2)",
        ));
    }
    answer
}

async fn engine(world: &World, host: &Host) -> Vec<Check> {
    let what = format!("engine of {}", host.name);
    let survey = match world.engines.engine(host) {
        Ok(engine) => engine.survey(&Default::default()).await,
        Err(error) => Err(error),
    };
    match survey {
        Ok(engine) => {
            let info = &engine.info;
            let (version, api, count) = (&info.version, &info.api_version, engine.containers.len());
            let words = format!("Docker {version} (API {api}) at {}: {count} containers", host.engine);
            std::iter::once(works(&what, words)).chain(skew(&what, info)).collect()
        }
        Err(error) => vec![broken(
            &what,
            error.to_string(),
            "is the engine running, the address right, and the socket or certificate readable for this user?",
        )],
    }
}

fn skew(what: &str, info: &EngineInfo) -> Option<Check> {
    let (theirs, ours) = (info.clock?, SystemClock.now());
    let off = theirs.0.abs_diff(ours.0);
    (off > SKEW_MILLISECONDS).then(|| {
        let words = format!("its clock says {theirs}, {} s off this machine's", off / 1000);
        doubtful(what, words, "start NTP on both: reports and timers compare the two")
    })
}

/// Registries are asked for one tag each: what cannot be resolved cannot be deployed.
pub(super) async fn registries(
    world: &World,
    desired: &Desired,
    answer: &BTreeSet<HostName>,
    checks: &mut Vec<Check>,
) {
    match crate::control::images::lock(world, &desired.revision, desired, answer, &Baseline::default(), false)
        .await
    {
        Err(error) => checks.push(broken("registry", error.to_string(), "mend the state file")),
        Ok(lock) => {
            for (image, why) in &lock.unresolved {
                checks.push(broken(
                    "registry",
                    format!("{image}: {why}"),
                    "is the registry up, the name right, and are its credentials in Docker's config.json?",
                ));
            }
            if lock.unresolved.is_empty() {
                checks.push(works("registry", format!("{} tags resolved", lock.digests.len())));
            }
        }
    }
}
