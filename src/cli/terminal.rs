//! What meets the person: logs on standard error, colour only on terminals, questions, and this machine's identity.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::ports::{Progress, Quiet};

use super::progress::{Bars, Lines};

/// Logs go to standard error; `RUST_LOG` overrides the level.
pub fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "trueup=info,warn",
        _ => "trueup=debug,info",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // They would be told through a macro that panics where nobody reads standard error any more.
        .log_internal_errors(false)
        .try_init();
}

/// Whether standard output may be coloured.
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// An error and its causes, each once, on one line each.
pub fn chain(error: &anyhow::Error) -> String {
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !lines.iter().any(|line| line.contains(&text)) {
            lines.push(text);
        }
    }
    lines.join("\n  because: ")
}

/// Asks on the terminal; `None` where there is nobody to ask.
pub fn ask(question: &str) -> Option<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return None;
    }
    err!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Bars on a terminal, plain lines elsewhere, nothing where `quiet`.
pub fn progress(quiet: bool) -> Arc<dyn Progress> {
    if quiet {
        Arc::new(Quiet)
    } else if std::io::stderr().is_terminal() {
        Arc::new(Bars::default())
    } else {
        Arc::new(Lines::default())
    }
}

/// This installation's id and hash key, made once and kept apart from the state file (H).
pub fn identity(state_dir: &Path) -> anyhow::Result<(String, [u8; 32])> {
    let file = state_dir.join("identity");
    if let Ok(text) = std::fs::read_to_string(&file) {
        let parsed = text.trim().split_once(' ').and_then(|(id, hex)| Some((id.to_owned(), key(hex)?)));
        return parsed.with_context(|| {
            format!("{} is damaged: restore it from a backup; without it nothing is ours", file.display())
        });
    }
    let mut bytes = [0u8; 40];
    let mut random = std::fs::File::open("/dev/urandom").context("no source of randomness")?;
    std::io::Read::read_exact(&mut random, &mut bytes)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let (id, secret) = (hex(&bytes[..8]), hex(&bytes[8..]));
    std::fs::create_dir_all(state_dir).with_context(|| format!("creating {}", state_dir.display()))?;
    write_private(&file, &format!("{id} {secret}\n"))?;
    Ok((id, key(&secret).context("a key of 64 digits")?))
}

/// A new file that nobody else can read (G1).
pub fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut open = std::fs::OpenOptions::new();
    let mut handle = open
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("writing {}", file.display()))?;
    handle.write_all(text.as_bytes())?;
    handle.sync_all()?;
    Ok(())
}

/// Writes a file anew that nobody else can read, whoever could read the old one (G1).
pub fn replace_private(file: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let told = || format!("writing {}", file.display());
    let mut open = std::fs::OpenOptions::new();
    let mut handle =
        open.write(true).create(true).truncate(true).mode(0o600).open(file).with_context(told)?;
    if handle.metadata().with_context(told)?.is_file() {
        handle.set_permissions(std::fs::Permissions::from_mode(0o600)).with_context(told)?;
    }
    handle.write_all(text.as_bytes()).with_context(told)
}

fn key(hex: &str) -> Option<[u8; 32]> {
    let bytes: Option<Vec<u8>> =
        (0..hex.len() / 2).map(|i| u8::from_str_radix(hex.get(i * 2..i * 2 + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}
