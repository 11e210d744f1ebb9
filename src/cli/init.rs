//! `trueup init DIR`: a commented starter repository.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::config;

use super::Exit;

/// Where the starter keeps the schemas for editors; `trueup schema --to` brings them up to date.
const SCHEMAS: &str = ".schema";

#[derive(clap::Args)]
pub struct Args {
    /// A new or empty directory.
    dir: PathBuf,
}

pub fn run(args: &Args) -> Exit {
    let taken = std::fs::read_dir(&args.dir).map(|mut entries| entries.next().is_some()).unwrap_or(false);
    if taken {
        bail!("{} is not empty: nothing was written", args.dir.display());
    }
    for (path, text) in config::starter() {
        let file = args.dir.join(path);
        let parent = file.parent().unwrap_or(&args.dir);
        std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        outln!("{}", file.display());
    }
    super::schema::write(config::repository_kinds().into_iter(), &args.dir.join(SCHEMAS))?;
    let taplo = args.dir.join(".taplo.toml");
    std::fs::write(&taplo, config::taplo_config(SCHEMAS))
        .with_context(|| format!("writing {}", taplo.display()))?;
    outln!("{}", taplo.display());
    outln!(
        "\nNext: look at the files, then\n  cd {dir}\n  git init && git add . && git commit -m 'first fleet'\n  \
         trueup config check --repo .\n  trueup plan --repo .",
        dir = quoted(&args.dir)
    );
    Ok(0)
}

/// As a shell takes it for one word.
fn quoted(dir: &Path) -> String {
    let text = dir.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
