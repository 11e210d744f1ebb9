//! `trueup demo`: what a newcomer runs first. Everything it makes carries its own installation id and is taken away.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::adapter::docker;
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
    let dir = fresh_directory()?;
    let (installation, key) = terminal::identity(&dir.join("state"))?;
    let settings = settings(&dir, &format!("demo-{installation}"), HashKey::new(key));
    let stage_engine = match &engine {
        Ok((address, version)) => {
            println!("Docker {version} answers at {address}: this demo runs on it for real.");
            let binary = std::env::current_exe().context("finding this binary")?;
            docker::import_self(address, &binary, &image).await?;
            println!("Made the image {IMAGE} from this very binary; nothing was pulled.");
            Some(address.clone())
        }
        Err(why) => {
            println!("No Docker engine can be used here ({why}); the simulated fleet stands in.");
            None
        }
    };
    let result = play(args, &dir, &settings, stage_engine.as_ref()).await;
    if !args.keep {
        if let Some(address) = &stage_engine {
            docker::remove_image(address, &image).await.context("removing the demo's image")?;
        }
        std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    result
}

async fn play(args: &Args, dir: &Path, settings: &Settings, engine: Option<&EngineAddress>) -> Exit {
    let logs = dir.join("logs");
    // Made here, so that they are this user's and not the engine's to remove.
    std::fs::create_dir_all(logs.join("quote"))?;
    let repository = demo_story::ConfigRepository::create(&dir.join("repo"), engine, &logs)?;
    let mut world = world::assemble(settings, terminal::progress(false))?;
    if engine.is_none() {
        world.engines = simulated(settings)?;
    }
    let stage = Stage { world: &world, repository: &repository };
    let told = demo_story::tell(&stage).await;
    if args.keep {
        println!("\nKept: {}\n  repository: {0}/repo\n  nginx files: {0}/nginx/current", dir.display());
        println!("  look:   trueup plan --config {}/trueup.toml", dir.display());
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
