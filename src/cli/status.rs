//! `trueup status`: how things stand.

use std::collections::BTreeMap;

use crate::control::memory::Memory;
use crate::control::pass;
use crate::control::revision::Reader;
use crate::model::observed::Seen;
use crate::output;

use super::world::{FormatArgs, GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(true))?;
    let memory = Memory::new(&*world.store);
    let taken = Reader::default().take(&world, false).await?;
    let pass = pass::look(&world, taken, false).await?;
    let now = world.clock.now();
    let writer = world.store.become_writer("trueup status").err().map(|held| held.holder);
    let last_good = memory.last_good()?;
    let status = output::Status {
        fleet: pass.desired.fleet.clone(),
        revision: pass.plan.revision.clone(),
        summary: pass.taken.summary.clone(),
        committed: pass.taken.committed,
        enforced_since: last_good.as_ref().map(|last| last.since),
        kept_because: pass.taken.kept_because.clone(),
        now,
        hosts: pass
            .observed
            .hosts
            .iter()
            .map(|(host, seen)| {
                let why = match seen {
                    Seen::Known(_) => None,
                    Seen::Unknown { why } => Some(why.clone()),
                };
                (host.clone(), why)
            })
            .collect(),
        apps: pass.desired.apps.keys().map(|key| (key.clone(), standing(&pass, key))).collect(),
        pauses: memory
            .pauses(now)?
            .into_iter()
            .map(|(app, pause)| (super::pause::words(app.as_ref()), pause.until, pause.reason))
            .collect(),
        quarantined: memory.quarantined()?.into_iter().map(|(subject, (_, why))| (subject, why)).collect(),
        findings: pass.plan.findings.clone(),
        writer,
    };
    print!("{}", output::status(&status, args.format.format(), terminal::colour()));
    Ok(pass.plan.exit_code())
}

/// An app's standing: the worst of its objects.
fn standing(pass: &pass::Pass, key: &crate::model::names::AppKey) -> output::Standing {
    let plan = &pass.plan;
    let of_app = |app: &Option<crate::model::names::AppKey>| app.as_ref() == Some(key);
    let prefix = format!("{key}-");
    let hosts_unknown: BTreeMap<_, _> = plan
        .unknown
        .iter()
        .filter(|u| u.subject.name.starts_with(&prefix))
        .map(|u| (&u.subject, &u.why))
        .collect();
    if let Some(blocked) = plan.blocked.iter().find(|b| of_app(&b.app)) {
        output::Standing::Held(blocked.reason.clone())
    } else if let Some((subject, why)) = hosts_unknown.first_key_value() {
        output::Standing::Unknown(format!("{subject}: {why}"))
    } else if let Some(drift) = plan.drift.iter().find(|d| of_app(&d.app)) {
        output::Standing::Drifted(drift.subject.to_string())
    } else {
        output::Standing::InSync
    }
}
