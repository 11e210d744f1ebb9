//! `trueup override ID`: a person lets one finding of a policy pass, at one revision, with a reason (F2).

use anyhow::bail;

use crate::control::memory::{Memory, Override};
use crate::control::pass;
use crate::control::revision::Purpose;
use crate::model::finding::{Effect, Level};

use super::world::{GlobalArgs, SourceArgs, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// The finding's id, as `trueup plan` prints it with what is blocked.
    #[arg(value_name = "ID")]
    finding: String,
    /// Who lets it pass and why, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(true))?;
    let pass = pass::take_and_look_for(&world, Purpose::Act).await?;
    let revision = pass.taken.desired.revision.clone();
    let Some(finding) = pass.plan.findings.findings.iter().find(|f| f.id(&revision) == args.finding) else {
        bail!(
            "no policy says {} of {}: `trueup plan` prints what is held now",
            args.finding,
            revision.short()
        );
    };
    if finding.level == Level::Final {
        bail!("the rule {} is final: mend the change in a commit", finding.rule);
    }
    if finding.effect == Effect::Told {
        bail!("that finding holds nothing");
    }
    if args.reason.trim().is_empty() {
        bail!("--reason is empty: say who lets it pass and why");
    }
    let (memory, at) = (Memory::new(&*world.store), world.clock.now());
    let entry =
        Override { revision: revision.clone(), rule: finding.rule.clone(), reason: args.reason.clone(), at };
    memory.override_finding(&args.finding, &entry)?;
    let subject = finding.app.as_ref().map_or_else(|| "fleet".to_owned(), ToString::to_string);
    let detail = format!("{} ({}): {}; reason: {}", finding.rule, args.finding, finding.message, args.reason);
    memory.remember(at, Some(&revision), "override", &subject, &detail)?;
    outln!("{} passes at {}: {}", finding.rule, revision.short(), finding.message);
    outln!("`trueup apply`, or the running `trueup run`, goes on");
    Ok(0)
}
