//! `trueup apply`: one pass to convergence, asked for first.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use crate::control::converge::{Scope, converge};
use crate::control::pass::Pass;
use crate::control::permission;
use crate::control::revision::Reader;
use crate::control::run::report_unsettled;
use crate::model::plan::Plan;
use crate::model::units::TimeSpan;
use crate::output::{self, Format};

use super::world::{FormatArgs, GlobalArgs, SourceArgs, world};
use super::{Exit, plan, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Act without asking.
    #[arg(long)]
    yes: bool,
    /// Apply exactly this saved plan; refused when the world moved (D11).
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Let this revision in for a while although signatures are missing (F1): who does so and why, for the history.
    #[arg(long, value_name = "REASON")]
    break_glass: Option<String>,
    /// How long the broken glass lasts, at most a day.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", requires = "break_glass")]
    span: TimeSpan,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let quiet = !matches!(args.format.format(), Format::Text);
    let mut world = world(global, &args.source, terminal::progress(quiet))?;
    let saved = args.plan.as_deref().map(read_plan).transpose()?;
    if let (Some(saved), None) = (&saved, &world.revision) {
        world.revision = Some(crate::model::settings::Reference::Commit(saved.revision.to_string()));
    }
    let promises = saved.as_ref().map(Plan::promises);
    if let Some(reason) = &args.break_glass {
        let glass = permission::break_glass(&world, reason, args.span).await?;
        errln!("the glass is broken: {} may pass unsigned until {}", glass.revision.short(), glass.until);
    }
    let _writer = match world.store.become_writer("trueup apply") {
        Err(held) if args.break_glass.is_some() => {
            errln!("{held}: it takes that revision at its next look");
            return Ok(2);
        }
        writer => writer?,
    };
    report_unsettled(&world)?;
    let stop = super::run::stop_on_signals();
    let (asked, declined) = (AtomicBool::new(args.yes), AtomicBool::new(false));
    let agree = |pass: &Pass| {
        if asked.swap(true, Ordering::Relaxed) {
            return !declined.load(Ordering::Relaxed);
        }
        plan::warn_kept(pass);
        err!("{}", output::plan(&pass.plan, &pass.installed(), Format::Text, false));
        let agreed = terminal::ask("Apply this plan?").unwrap_or_else(|| {
            errln!("Nothing was changed: without a terminal to ask on, `trueup apply` needs --yes.");
            false
        });
        declined.store(!agreed, Ordering::Relaxed);
        agreed
    };
    let scope = Scope { promises: promises.as_ref(), asks: !args.yes, ..Scope::of_a_person(&agree, &stop) };
    let done = converge(&world, &Reader::default(), &scope).await?;
    if declined.load(Ordering::Relaxed) && matches!(args.format.format(), Format::Text) {
        // It was shown when it was asked about.
        return Ok(done.exit_code());
    }
    if args.yes {
        plan::warn_kept(&done.last);
    }
    out!("{}", output::outcomes(&done.outcomes, &done.last.plan, args.format.format(), terminal::colour()));
    Ok(done.exit_code())
}

fn read_plan(file: &std::path::Path) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(file).with_context(|| format!("the plan {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a plan of this release", file.display()))
}
