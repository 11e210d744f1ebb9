//! `trueup image`: a container image of trueup itself, made from this binary on the local engine.

use anyhow::Context as _;

use crate::adapter::docker;
use crate::model::image::ImageRef;

use super::Exit;

#[derive(clap::Args)]
pub struct Args {
    /// The image's name.
    #[arg(long, default_value = concat!("trueup:", env!("CARGO_PKG_VERSION")))]
    tag: ImageRef,
}

pub async fn run(args: &Args) -> Exit {
    let (address, version) = docker::reachable_local()
        .await
        .map_err(|why| anyhow::anyhow!("no Docker engine can be used here: {why}"))?;
    let binary = std::env::current_exe().context("finding this binary")?;
    let id = docker::import_self(&address, &binary, &args.tag).await?;
    outln!("made {} ({}) on Docker {version} at {address}", args.tag, id.short());
    Ok(0)
}
