//! `trueup images`: what trueup pulled, what it takes on each host's disk, and taking away what nothing needs.

use crate::control::collect;
use crate::control::pass;
use crate::control::revision::Purpose;
use crate::control::run::report_unsettled;
use crate::model::disk::ImageSettings;
use crate::model::exit::Found;
use crate::model::plan::Outcome;
use crate::model::units::{ByteSize, TimeSpan};
use crate::output;

use super::world::{FormatArgs, GlobalArgs, SourceArgs, world};
use super::{Exit, plan, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Take away now what trueup pulled and nothing needs, where images take more disk than the settings allow.
    #[arg(long)]
    collect: bool,
    /// With --collect: everything that nothing needs, however much room there is and however lately it was needed.
    #[arg(long, requires = "collect")]
    all: bool,
    /// Act without asking.
    #[arg(long)]
    yes: bool,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world(global, &args.source, terminal::progress(!args.collect))?;
    let writer = args.collect.then(|| world.store.become_writer("trueup images --collect")).transpose()?;
    if writer.is_some() {
        report_unsettled(&world)?;
    }
    let settings = match args.all {
        false => world.limits.images,
        true => ImageSettings {
            above: ByteSize(0),
            down_to: ByteSize(0),
            unused_for: TimeSpan::from_secs(0),
            ..world.limits.images
        },
    };
    let purpose = if args.collect { Purpose::Act } else { Purpose::Look };
    let pass = pass::take_and_look_for(&world, purpose).await?;
    plan::warn_kept(&pass);
    let stores = collect::read(&world, &pass).await?;
    let judged = collect::judge(&world, &pass, stores, &settings)?;
    let unknown = judged.iter().any(|host| host.store.is_err());
    if !args.collect {
        let told = collect::told(&judged);
        out!(
            "{}",
            output::images(&told, &settings, world.clock.now(), args.format.format(), terminal::colour())
        );
        return Ok(Found { unclear: unknown, ..Found::default() }.exit_code());
    }
    let go: usize = judged.iter().map(|host| host.go.len()).sum();
    if go > 0 && !args.yes {
        let declined = Found { error: false, unclear: unknown, changes: true };
        let told = collect::told(&judged);
        let text = output::images(&told, &settings, world.clock.now(), output::Format::Text, false);
        err!("{text}");
        let question = format!("Take {} away?", output::many(go, "image"));
        match terminal::ask(&question) {
            Some(true) => {}
            Some(false) => return Ok(declined.exit_code()),
            None => {
                errln!(
                    "Nothing was changed: without a terminal to ask on, `trueup images --collect` needs --yes."
                );
                return Ok(declined.exit_code());
            }
        }
    }
    let stop = super::run::stop_on_signals();
    let report = collect::carry_out(&world, &pass, &judged, &stop).await?;
    let outcomes = report.map(|report| report.outcomes).unwrap_or_default();
    let failed = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed { .. }));
    for (change, outcome) in &outcomes {
        outln!("{} {}: {}", change.action.name(), change.subject, output::outcome_words(outcome));
    }
    if outcomes.is_empty() {
        outln!("Nothing to take away.");
    }
    Ok(Found { error: failed, unclear: unknown, changes: false }.exit_code())
}
