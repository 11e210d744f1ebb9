//! This machine: state directory, secrets' permissions, clock, programs that trueup calls.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::model::settings::Settings;
use crate::ports::Clock as _;

use super::{Check, broken, doubtful, on_path, works, writable};

pub(super) fn look(settings: &Settings, checks: &mut Vec<Check>) {
    checks.push(writable("state directory", &settings.state_dir));
    secrets(settings, checks);
    checks.push(clock());
    let url = &settings.repository.url;
    let by_ssh = url.starts_with("ssh://") || (url.contains('@') && !url.contains("://"));
    if by_ssh && !on_path("ssh") {
        let next = "install OpenSSH's client: repositories and engines at ssh:// are reached through it";
        checks.push(broken("ssh", "the program `ssh` is not found", next));
    }
}

/// Keys and passwords are for trueup alone.
fn secrets(settings: &Settings, checks: &mut Vec<Check>) {
    let credentials = &settings.repository.credentials;
    let tls = settings.engines.tls.values().map(|identity| Some(&identity.key));
    let webhooks = settings.reports.iter().filter_map(|report| report.webhook.as_ref());
    let webhooks = webhooks.flat_map(|webhook| [webhook.url.file(), webhook.token_file.as_ref()]);
    let files = [
        settings.key_file.as_ref(),
        credentials.ssh_key.as_ref(),
        credentials.https_password_file.as_ref(),
        settings.engines.ssh_key.as_ref(),
    ];
    let files: std::collections::BTreeSet<&Path> =
        files.into_iter().chain(tls).chain(webhooks).flatten().map(AsRef::as_ref).collect();
    for file in files {
        let what = format!("secret {}", file.display());
        checks.push(match std::fs::metadata(file) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 == 0 => {
                works(&what, "only its owner reads it")
            }
            Ok(metadata) => doubtful(
                &what,
                format!("its mode is {:04o}: others can read it", metadata.permissions().mode() & 0o7777),
                &format!("chmod 600 {}", file.display()),
            ),
            Err(error) => broken(
                &what,
                format!("it cannot be read: {error}"),
                "correct its path in the settings, or put it there",
            ),
        });
    }
}

/// The clock orders journals and reports; one that is plainly wrong makes both useless.
fn clock() -> Check {
    const RELEASED: i64 = 1_760_000_000_000;
    let now = crate::adapter::clock::SystemClock.now();
    if now.0 > RELEASED {
        works("clock", now.to_string())
    } else {
        broken("clock", format!("it says {now}, which is before this release"), "set the clock, or start NTP")
    }
}
