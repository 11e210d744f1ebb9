//! `trueup demo`: what a newcomer runs first. Everything it makes carries its own installation id and is taken away.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::adapter::docker;
use crate::apply::Stop;
use crate::model::host::EngineAddress;
use crate::model::image::ImageRef;
use crate::model::secrecy::HashKey;
use crate::model::settings::{FileSetSettings, RepositorySettings, Settings};
use crate::ports::Engines;
use crate::sim::SimWorld;

use super::demo_story::{self, Stage};
use super::{Exit, terminal, world};

/// The image every app of `example-repo/` runs; made from this very binary.
pub const IMAGE: &str = "trueup-demo:1";

#[derive(clap::Args)]
pub struct Args {
    /// Leave everything running, and say where it is.
    #[arg(long)]
    keep: bool,
    /// Use the simulated fleet even where an engine answers.
    #[arg(long)]
    simulated: bool,
}

pub async fn run(args: &Args) -> Exit {
    let image: ImageRef = IMAGE.parse()?;
    let engine = match (args.simulated, docker::reachable_local().await) {
        (true, _) => Err("asked for with --simulated".to_owned()),
        (false, found) => found,
    };
    if let Ok((address, _)) = &engine {
        // Its names and its image are those of every demo: a second one would take them from the first.
        anyhow::ensure!(
            !docker::has_image(address, &image).await?,
            "the image {IMAGE} is on this engine already, so another demo runs there, or one was kept: wait for it, or \
             take it away as it said (an image that alone is left: `docker rmi {IMAGE}`)"
        );
    }
    let dir = fresh_directory()?;
    let (installation, key) = terminal::identity(&dir.join("state"))?;
    let settings = settings(&dir, &format!("demo-{installation}"), HashKey::new(key));
    // From here on Ctrl-C ends the story, not the cleaning up.
    let stop = super::run::stop_on_signals();
    let stage_engine = match &engine {
        Ok((address, version)) => {
            outln!("Docker {version} answers at {address}: this demo runs on it for real.");
            Some(address)
        }
        Err(why) => {
            outln!("No Docker engine can be used here ({why}); the simulated fleet stands in.");
            None
        }
    };
    let played = async {
        if let Some(address) = stage_engine {
            let binary = std::env::current_exe().context("finding this binary")?;
            docker::import_self(address, &binary, &image).await?;
            outln!("Made the image {IMAGE} from this very binary; nothing was pulled.");
        }
        play(args, &dir, &settings, stage_engine, &stop).await
    };
    let result = played.await;
    if args.keep {
        return result;
    }
    let image_gone = match stage_engine {
        Some(address) => docker::remove_image(address, &image).await.context("removing the demo's image"),
        None => Ok(()),
    };
    let dir_gone = std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()));
    // What went wrong first is what is told; the rest mostly follows from it.
    result.and_then(|code| image_gone.and(dir_gone).map(|()| code))
}

async fn play(
    args: &Args,
    dir: &Path,
    settings: &Settings,
    engine: Option<&EngineAddress>,
    stop: &Stop,
) -> Exit {
    let logs = dir.join("logs");
    // Made here, so that they are this user's and not the engine's to remove.
    std::fs::create_dir_all(logs.join("quote"))?;
    let repository = demo_story::ConfigRepository::create(&dir.join("repo"), engine, &logs)?;
    let mut world = world::assemble(settings, terminal::progress(false))?;
    if engine.is_none() {
        world.engines = simulated(settings)?;
    }
    let stage = Stage { world: &world, repository: &repository, stop };
    let told = demo_story::tell(&stage).await;
    if args.keep {
        outln!("\nKept: {}\n  repository: {0}/repo\n  nginx files: {0}/nginx/current", dir.display());
        outln!("  look:   trueup plan --config {}/trueup.toml", dir.display());
        if engine.is_some() {
            outln!(
                "  remove: docker rm -f $(docker ps -aq --filter label=io.trueup.installation={}); docker network rm \
                 market; docker rmi {IMAGE}; rm -r {}",
                settings.installation,
                dir.display()
            );
        }
        demo_story::write_settings(dir, settings)?;
    } else {
        let cleaned = demo_story::clean_up(&stage).await;
        told.and(cleaned)?;
        return Ok(0);
    }
    told.map(|()| 0)
}

fn simulated(settings: &Settings) -> anyhow::Result<Arc<dyn Engines>> {
    let sim = SimWorld::new(settings.hash_key.clone(), 7);
    sim.add_image_everywhere(&IMAGE.parse()?);
    Ok(sim.engines())
}

fn fresh_directory() -> anyhow::Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("trueup-demo-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(dir)
}

fn settings(dir: &Path, installation: &str, hash_key: HashKey) -> Settings {
    let repository = RepositorySettings::at(dir.join("repo").display().to_string());
    Settings {
        nginx: Some(FileSetSettings::in_directory(dir.join("nginx"))),
        flume: Some(FileSetSettings::in_directory(dir.join("flume"))),
        ..Settings::new(installation.to_owned(), hash_key, repository, dir.join("state"))
    }
}
