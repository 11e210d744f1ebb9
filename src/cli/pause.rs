//! `trueup pause` and `trueup resume`: a person's hand on the brake; drift is still reported.

use anyhow::{Context as _, bail};

use crate::adapter::clock::SystemClock;
use crate::config::did_you_mean;
use crate::control::person;
use crate::control::revision::Reader;
use crate::model::names::{AppKey, AppName};
use crate::model::units::TimeSpan;

use super::world::{GlobalArgs, SourceArgs, store, world};
use super::{Exit, terminal};

#[derive(clap::Args)]
pub struct PauseArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// The app, with --env; without it the whole fleet.
    app: Option<String>,
    /// How long, such as 30m [default: until `trueup resume`].
    #[arg(long = "for", value_name = "TIME")]
    span: Option<TimeSpan>,
    /// Why, for those who find it paused.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(clap::Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// The app, with --env; without it the whole fleet.
    app: Option<String>,
}

pub async fn pause(global: &GlobalArgs, args: &PauseArgs) -> Exit {
    let store = store(global, &args.source)?;
    let apps = targets(args.app.as_deref(), &args.source)?;
    for app in apps.iter().flatten() {
        exists(global, &args.source, app).await?;
    }
    for app in apps {
        out!("{}", person::pause(&store, &SystemClock, app.as_ref(), args.span, &args.reason)?);
    }
    Ok(0)
}

pub fn resume(global: &GlobalArgs, args: &ResumeArgs) -> Exit {
    let store = store(global, &args.source)?;
    for app in targets(args.app.as_deref(), &args.source)? {
        out!("{}", person::resume(&store, &SystemClock, app.as_ref())?);
    }
    Ok(0)
}

/// Refuses what is surely mistyped. Where nobody can tell, because git is down, the brake works all the same.
async fn exists(global: &GlobalArgs, source: &SourceArgs, app: &AppKey) -> anyhow::Result<()> {
    let world = match world(global, source, terminal::progress(true)) {
        Ok(world) => world,
        Err(error) => {
            errln!("warning: nobody could look whether {app} is declared: {error:#}");
            return Ok(());
        }
    };
    let known = match Reader::default().take(&world, false).await {
        Ok(taken) => taken.desired.apps,
        Err(error) => {
            errln!("warning: nobody could look whether {app} is declared: {error}");
            return Ok(());
        }
    };
    if known.contains_key(app) {
        return Ok(());
    }
    let names: Vec<String> = known.keys().map(ToString::to_string).collect();
    let hint = did_you_mean(&app.to_string(), names.iter().map(String::as_str));
    bail!("there is no app {app}{}", hint.map(|hint| format!(" ({hint})")).unwrap_or_default())
}

/// `APP --env E`, or `APP-E` in one word; nothing is the whole fleet (`None`).
pub fn targets(app: Option<&str>, source: &SourceArgs) -> anyhow::Result<Vec<Option<AppKey>>> {
    let Some(app) = app else { return Ok(vec![None]) };
    if source.env.is_empty() {
        let key: AppKey = app.parse().with_context(|| {
            format!("which environment of {app}? Add --env, or write it in one word, as in {app}-prod")
        })?;
        return Ok(vec![Some(key)]);
    }
    let app: AppName = app.parse()?;
    Ok(source
        .env
        .iter()
        .map(|environment| Some(AppKey { app: app.clone(), environment: environment.clone() }))
        .collect())
}
