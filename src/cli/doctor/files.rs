//! The generated files: their directories, the program that checks them, and whether their reader is there.

use std::path::Path;
use std::process::Command;

use crate::model::settings::{FileSetSettings, Reload, Settings};

use super::{Check, broken, doubtful, on_path, works, writable};

pub(super) fn look(settings: &Settings, checks: &mut Vec<Check>) {
    for (what, files) in [("nginx files", &settings.nginx), ("flume files", &settings.flume)] {
        match files {
            None => {
                checks.push(doubtful(
                    what,
                    "not configured: none are written",
                    "name a directory in the settings",
                ));
            }
            Some(files) => set(what, files, checks),
        }
    }
}

fn set(what: &str, files: &FileSetSettings, checks: &mut Vec<Check>) {
    checks.push(writable(what, &files.directory));
    if let Some(program) = files.check.first().filter(|program| !on_path(program)) {
        checks.push(broken(
            what,
            format!("the check command {program:?} is not found"),
            "install it, or correct `check` in the settings: unchecked files are never installed",
        ));
    }
    if let Some(main) = &files.main_config {
        checks.push(included(what, main, files));
        if files.check.is_empty() {
            checks.push(nginx(what, main));
        }
    }
    checks.extend(reader(what, &files.reload));
}

/// A candidate is tested through the main config, so that has to include what is live (E1).
fn included(what: &str, main: &Path, files: &FileSetSettings) -> Check {
    let live = format!("{}/current/", files.directory.display());
    match std::fs::read_to_string(main) {
        Ok(text) if text.contains(&live) => works(what, format!("{} includes {live}*.conf", main.display())),
        Ok(_) => broken(
            what,
            format!("{} does not include {live}*.conf", main.display()),
            &format!("write `include {live}*.conf;` into its http block"),
        ),
        Err(error) => broken(
            what,
            format!("main_config {} cannot be read: {error}", main.display()),
            "correct `main_config` in the settings",
        ),
    }
}

/// Nginx itself, on what it runs with now.
fn nginx(what: &str, main: &Path) -> Check {
    match Command::new("nginx").args(["-t", "-q", "-c"]).arg(main).output() {
        Ok(output) if output.status.success() => works(what, format!("nginx -t accepts {}", main.display())),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            broken(
                what,
                format!("nginx -t refuses {}: {said}", main.display()),
                "mend it: no new files go live until then",
            )
        }
        Err(error) => broken(
            what,
            format!("nginx cannot be run: {error}"),
            "install it on this machine, or name another `check` in the settings",
        ),
    }
}

/// Who has to be told of new files.
fn reader(what: &str, reload: &Reload) -> Option<Check> {
    match reload {
        Reload::None => None,
        Reload::Command(argv) => argv.first().filter(|program| !on_path(program)).map(|program| {
            let next = "install it, or correct `reload` in the settings";
            broken(what, format!("the reload command {program:?} is not found"), next)
        }),
        Reload::Signal { pid_file } => {
            let next = "start the reader, or correct `pid_file` in the settings";
            let text = match std::fs::read_to_string(pid_file) {
                Ok(text) => text,
                Err(error) => {
                    return Some(broken(what, format!("pid_file {}: {error}", pid_file.display()), next));
                }
            };
            let alive =
                text.trim().parse::<u32>().is_ok_and(|pid| Path::new("/proc").join(pid.to_string()).exists());
            (!alive).then(|| {
                broken(
                    what,
                    format!("pid_file {} names no running process: {:?}", pid_file.display(), text.trim()),
                    next,
                )
            })
        }
    }
}
