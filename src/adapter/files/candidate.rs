//! A candidate before it is live, checked with the real program on a copy of the main config that includes it:
//! `nginx -t` on the main config itself would test the old one (E1).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::blocking;
use super::generations::{Directory, Generation};
use super::reload::run;
use crate::model::file::{FileSet, Files};
use crate::model::settings::FileSetSettings;
use crate::ports::FilesError;

/// Where the copy of the main config lies while a check runs.
const CHECK: &str = ".check";
const COPY: &str = "trueup-candidate.conf";

/// Why a candidate may not become live.
pub(super) enum Trouble {
    /// The check could not be made.
    Files(FilesError),
    Refused(Refusal),
}

impl From<FilesError> for Trouble {
    fn from(error: FilesError) -> Self {
        Self::Files(error)
    }
}

/// The real program said no.
pub(super) struct Refusal {
    pub(super) command: String,
    pub(super) detail: String,
    /// The one file that it named, where it named one of the set's.
    pub(super) fault: Option<String>,
}

/// Runs the configured check on `candidate`; without one there is nothing to run.
pub(super) async fn check(
    set: &FileSet,
    settings: &FileSetSettings,
    directory: &Directory,
    candidate: &Generation,
    files: &Files,
) -> Result<(), Trouble> {
    let path = directory.path_of(candidate);
    let Some(argv) = argv(set, settings) else { return Ok(()) };
    let copy = match (&settings.main_config, argv.iter().any(|arg| arg.contains("{conf}"))) {
        (Some(main), true) => {
            let (main, directory, path) = (main.clone(), directory.clone(), path.clone());
            Some(blocking(move || copy_of(&main, &directory, &path)).await?)
        }
        (None, true) => {
            let detail = "{conf} needs main_config in trueup's own settings".to_owned();
            return Err(Trouble::Refused(Refusal { command: argv.join(" "), detail, fault: None }));
        }
        (Some(_) | None, false) => None,
    };
    let conf = copy.as_ref().map(|copy| copy.display().to_string()).unwrap_or_default();
    let argv: Vec<String> = argv
        .iter()
        .map(|arg| arg.replace("{dir}", &path.display().to_string()).replace("{conf}", &conf))
        .collect();
    let result = run(&argv, settings.verify_timeout.duration()).await;
    if copy.is_some() {
        let check = directory.path().join(CHECK);
        blocking(move || io_error(&check, remove_if_there(&check))).await?;
    }
    result.map_err(|failure| {
        let (said, detail) = match file_at_fault(&failure.detail, files) {
            Some((name, line)) => (Some(name.clone()), format!("{name} is at fault, at line {line}: ")),
            None => (None, String::new()),
        };
        let detail = format!("{detail}{}", failure.detail);
        Trouble::Refused(Refusal { command: failure.command, detail, fault: said })
    })
}

fn argv(set: &FileSet, settings: &FileSetSettings) -> Option<Vec<String>> {
    let builtin = matches!(set, FileSet::Nginx) && settings.main_config.is_some();
    match (settings.check.is_empty(), builtin) {
        (false, _) => Some(settings.check.clone()),
        (true, true) => Some(["nginx", "-t", "-q", "-c", "{conf}"].map(str::to_owned).to_vec()),
        (true, false) => None,
    }
}

/// The main config with the candidate in the place of what is live, in a directory where relative includes still lead to
/// what stands beside the main config.
fn copy_of(main: &Path, directory: &Directory, candidate: &Path) -> Result<PathBuf, FilesError> {
    let text = io_error(main, fs::read_to_string(main))?;
    let live = format!("{}/", directory.current_link().display());
    if !text.contains(&live) {
        let detail =
            format!("main_config does not include {live}*.conf, so a candidate cannot be tested through it");
        return Err(FilesError::Io { path: main.display().to_string(), detail });
    }
    let check = directory.path().join(CHECK);
    let copy = check.join(COPY);
    let made = remove_if_there(&check)
        .and_then(|()| DirBuilder::new().mode(0o755).create(&check))
        .and_then(|()| link_neighbours(main, &check))
        .and_then(|()| fs::write(&copy, text.replace(&live, &format!("{}/", candidate.display()))));
    io_error(&check, made)?;
    Ok(copy)
}

fn link_neighbours(main: &Path, check: &Path) -> io::Result<()> {
    let beside = match main.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.canonicalize()?,
        Some(_) | None => Path::new(".").canonicalize()?,
    };
    for entry in fs::read_dir(&beside)? {
        let name = entry?.file_name();
        if name != COPY {
            symlink(beside.join(&name), check.join(&name))?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn io_error<T>(path: &Path, result: io::Result<T>) -> Result<T, FilesError> {
    result.map_err(|e| FilesError::Io { path: path.display().to_string(), detail: e.to_string() })
}

/// The file of the set, and its line, that a program's message names as `…/FILE:LINE`.
pub fn file_at_fault(message: &str, files: &Files) -> Option<(String, u32)> {
    files.keys().find_map(|name| {
        let mark = format!("/{name}:");
        let after = &message[message.find(&mark)? + mark.len()..];
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        Some((name.clone(), digits.parse().ok()?))
    })
}
