//! `trueup drift`: what differs from git, since when, field by field, and what was done about it.

use crate::control::pass;
use crate::control::report;
use crate::model::exit::Found;
use crate::model::units::TimeSpan;
use crate::output::{self, Format};

use super::world::{GlobalArgs, SourceArgs, world_to_look};
use super::{Exit, leave, plan, terminal};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// How the report is printed; `html` is one web page.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    format: ReportFormat,
    /// Tell what was done within this time.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    within: TimeSpan,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ReportFormat {
    Text,
    Json,
    Markdown,
    Html,
}

pub async fn run(global: &GlobalArgs, args: &Args) -> Exit {
    let world = world_to_look(global, &args.source, terminal::progress(true))?;
    let pass = pass::take_and_look_beside_others(&world).await?;
    plan::warn_kept(&pass);
    let report = report::report(&world, &pass, world.clock.now().minus(args.within.duration()))?;
    let print = |format| output::report(&report, format, terminal::colour());
    out!(
        "{}",
        match args.format {
            ReportFormat::Text => print(Format::Text),
            ReportFormat::Json => print(Format::Json),
            ReportFormat::Markdown => print(Format::Markdown),
            ReportFormat::Html => output::report_page(&report),
        }
    );
    let code = Found { changes: !pass.plan.drift.is_empty(), ..pass.plan.found() }.exit_code();
    leave(pass);
    Ok(code)
}
