//! The door: one file a command; the only place that picks adapters.

#[macro_use]
mod say;

mod apply;
mod approve;
mod check;
mod completions;
mod config;

mod demo;
mod demo_app;
mod demo_story;

mod doctor;
mod drift;
mod history;
mod image;
mod images;
mod import;
mod init;
mod logs;
mod overriding;
mod pause;
mod plan;
mod policy;
mod policy_eval;
mod progress;
mod render;
mod restart;
mod rollback;
mod run;
mod schema;
mod snapshot;
mod status;
mod terminal;
mod trust;
mod verify;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// Keeps Docker hosts and Docker Swarms true to a git repository.
#[derive(Parser)]
#[command(
    name = "trueup",
    version,
    after_help = "Exit codes: 0 in sync or converged, 1 error, 2 changes, 3 unknown or blocked, 64 usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: world::GlobalArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Show what would be changed, and why; nothing is changed.
    Plan(plan::Args),
    /// Bring the fleet to what git declares, once.
    Apply(apply::Args),
    /// Keep the fleet true to git: the loop.
    Run(run::Args),
    /// Stop changing an app, or the whole fleet, for a while; drift is still reported.
    Pause(pause::PauseArgs),
    /// End a pause.
    Resume(pause::ResumeArgs),
    /// Restart an app's instances, a few at a time.
    Restart(restart::Args),
    /// Print the log of an app's instances.
    Logs(logs::Args),
    /// Say how things stand: revision, hosts, apps, pauses.
    Status(status::Args),
    /// Report what differs from git, since when, field by field.
    Drift(drift::Args),
    /// Write the Nginx and Flume files to standard output or a directory.
    Render(render::Args),
    /// Say what a pull request would do, for whoever reviews it.
    Check(check::Args),
    /// Check the config repository, or show where a value comes from.
    Config(config::Args),
    /// Print what happened.
    History(history::Args),
    /// Write a branch that takes an app, or everything, back to an earlier revision.
    Rollback(rollback::Args),
    /// Save what the engines run now, to plan against later.
    Snapshot(snapshot::Args),
    /// Allow a held plan, by its id.
    Approve(approve::Args),
    /// Let one finding of a policy pass, by its id, with a reason.
    Override(overriding::Args),
    /// Test and list the policies.
    Policy(policy::Args),
    /// Take a revision that is held (a force-push) as the one to enforce.
    Trust(trust::Args),
    /// Show who signed each commit on the way to the head, and whether it is let in.
    Verify(verify::Args),
    /// Say what works, what does not and what to do.
    Doctor(doctor::Args),
    /// See trueup work on this machine's own Docker engine, in a minute.
    Demo(demo::Args),
    /// Print the JSON Schema of the config repository's files.
    Schema(schema::Args),
    /// Write what already runs, or a Compose file, as files of a repository.
    Import(Box<import::Args>),
    /// Write a commented starter repository.
    Init(init::Args),
    /// Show the images that trueup pulled, and take away those that nothing needs.
    Images(images::Args),
    /// Make a container image of trueup itself on the local engine.
    Image(image::Args),
    /// Print the completions for a shell.
    Completions(completions::Args),
    /// Answer a question about rules, within bounds of its own: what trueup asks itself.
    #[command(hide = true)]
    PolicyEval,
    /// The small HTTP service that the demo's containers run.
    #[command(hide = true)]
    DemoApp(demo_app::Args),
}

/// What a command's exit code is, as section X of the rules.
type Exit = anyhow::Result<u8>;

/// Reads the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; everything else is a wrong use.
            let code = if error.use_stderr() { 64 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    if matches!(cli.command, Command::PolicyEval) {
        return policy_eval::run();
    }
    let (goes_on, only_looks) = (goes_on(&cli.command), only_looks(&cli.command));
    let runtime = match runtime(goes_on).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            errln!("error: no runtime: {error}");
            return ExitCode::from(1);
        }
    };
    terminal::start_logging(cli.global.verbose);
    let ended = runtime.block_on(dispatch(cli));
    if goes_on {
        // A forge or a disk that hangs keeps no command from ending.
        runtime.shutdown_timeout(Duration::from_secs(1));
    } else if only_looks && !has_programs() {
        // Connections are closed all at once, and not one by one.
        leave(runtime);
    } else {
        // What is still asked ends here, with the programs that it started and its hold on the state file; no thread is
        // waited for.
        runtime.shutdown_background();
    }
    match ended {
        Ok(code) => match say::lost() {
            Some(why) => {
                errln!("error: the result could not be written to standard output: {why}");
                ExitCode::from(1)
            }
            None => ExitCode::from(code),
        },
        Err(error) => {
            errln!("error: {}", terminal::chain(&error));
            ExitCode::from(1)
        }
    }
}

/// A command that looks once and ends hands nothing from thread to thread. What goes on beside looks for weeks does not wait
/// for them, nor a signal for the answer to a question.
fn runtime(goes_on: bool) -> tokio::runtime::Builder {
    if goes_on {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    }
}

const fn goes_on(command: &Command) -> bool {
    matches!(
        command,
        Command::Run(_) | Command::Apply(_) | Command::Rollback(_) | Command::Images(_) | Command::Demo(_)
    )
}

/// Nothing of what these hold has to be put in order: they write to no state file.
const fn only_looks(command: &Command) -> bool {
    matches!(
        command,
        Command::Plan(_)
            | Command::Status(_)
            | Command::Drift(_)
            | Command::Render(_)
            | Command::Check(_)
            | Command::Verify(_)
            | Command::Snapshot(_)
    )
}

/// Whether a program that this process started, such as an engine's ssh, was not seen to end.
fn has_programs() -> bool {
    // Whatever became of it, it is left as it is.
    let any = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, any), Err(Errno::CHILD))
}

/// What is nothing but memory when the answer is out: the system takes it back at once, where we would take it apart piece by
/// piece while somebody waits for the process to end.
fn leave<T>(left: T) {
    std::mem::forget(left);
}

async fn dispatch(cli: Cli) -> Exit {
    let global = cli.global;
    match cli.command {
        Command::Plan(args) => plan::run(&global, &args).await,
        Command::Apply(args) => apply::run(&global, &args).await,
        Command::Run(args) => run::run(&global, &args).await,
        Command::Pause(args) => pause::pause(&global, &args).await,
        Command::Resume(args) => pause::resume(&global, &args),
        Command::Restart(args) => restart::run(&global, &args).await,
        Command::Logs(args) => logs::run(&global, &args).await,
        Command::Status(args) => status::run(&global, &args).await,
        Command::Drift(args) => drift::run(&global, &args).await,
        Command::Render(args) => render::run(&global, &args).await,
        Command::Config(args) => config::run(&global, &args).await,
        Command::History(args) => history::run(&global, &args),
        Command::Rollback(args) => rollback::run(&global, &args).await,
        Command::Snapshot(args) => snapshot::run(&global, &args).await,
        Command::Approve(args) => approve::run(&global, &args).await,
        Command::Override(args) => overriding::run(&global, &args).await,
        Command::Policy(args) => policy::run(&global, &args).await,
        Command::Trust(args) => trust::run(&global, &args).await,
        Command::Check(args) => check::run(&global, &args).await,
        Command::Verify(args) => verify::run(&global, &args).await,
        Command::Doctor(args) => doctor::run(&global, &args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Schema(args) => schema::run(&args),
        Command::Import(args) => import::run(&global, &args).await,
        Command::Init(args) => init::run(&args),
        Command::Images(args) => images::run(&global, &args).await,
        Command::Image(args) => image::run(&args).await,
        Command::Completions(args) => completions::run(&args),
        Command::DemoApp(args) => demo_app::run(&args).await,
        // It is answered before there is a runtime.
        Command::PolicyEval => Ok(64),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    /// Names of options that clash only show when the command is asked for.
    #[test]
    fn every_command_can_be_parsed() {
        super::Cli::command().debug_assert();
    }
}
