//! Telling the reader, and seeing that it took the new generation: HUP alone says nothing (Nginx answers it with
//! silence even when the new config cannot be loaded), so new workers are waited for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::model::file::FileSet;
use crate::model::settings::{FileSetSettings, Reload};

/// How often a reload's effect is looked for.
const LOOK: Duration = Duration::from_millis(25);
/// The least time that a check or reload command may take (D6).
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);
/// How Nginx titles a worker that finishes its requests and then ends.
const LEAVING: &str = "shutting down";

pub(super) struct Reloader<'a> {
    nginx: bool,
    settings: &'a FileSetSettings,
}

/// What was there before the reload.
pub(super) struct Before {
    signal: Option<Process>,
}

struct Process {
    pid: u32,
    /// The workers that must have left or be leaving.
    workers: BTreeSet<u32>,
}

impl<'a> Reloader<'a> {
    pub(super) fn new(set: &FileSet, settings: &'a FileSetSettings) -> Self {
        Self { nginx: matches!(set, FileSet::Nginx), settings }
    }

    /// Whether there is someone to tell.
    pub(super) async fn before(&self) -> Result<Before, String> {
        match &self.settings.reload {
            Reload::None | Reload::Command(_) => Ok(Before { signal: None }),
            Reload::Signal { pid_file } => {
                let pid = self.master(pid_file)?;
                Ok(Before { signal: Some(Process { pid, workers: children(pid).into_iter().collect() }) })
            }
        }
    }

    /// Tells the reader and waits until it serves what is live.
    pub(super) async fn reload(&self, before: &Before) -> Result<(), String> {
        match (&self.settings.reload, &before.signal) {
            (Reload::None, _) | (Reload::Signal { .. }, None) => Ok(()),
            (Reload::Command(argv), _) => run(argv, self.settings.verify_timeout.duration())
                .await
                .map_err(|failure| failure.to_string()),
            (Reload::Signal { .. }, Some(process)) => {
                let argv = ["kill".to_owned(), "-HUP".to_owned(), process.pid.to_string()];
                run(&argv, Duration::ZERO).await.map_err(|failure| failure.to_string())?;
                if self.nginx { self.new_workers(process).await } else { alive(process.pid) }
            }
        }
    }

    /// No worker finishes requests under an older generation any more. `false` where that cannot be told.
    pub(super) async fn drained(&self) -> bool {
        match &self.settings.reload {
            Reload::Signal { pid_file } if self.nginx => self.master(pid_file).is_ok_and(|pid| {
                let workers = children(pid);
                !workers.is_empty() && !workers.iter().any(|worker| title(*worker).contains(LEAVING))
            }),
            Reload::Signal { .. } | Reload::None | Reload::Command(_) => false,
        }
    }

    /// The process of the pid file, proven to be what is meant: a stale pid may by now be anybody's.
    fn master(&self, pid_file: &Path) -> Result<u32, String> {
        let file = pid_file.display();
        let text = fs::read_to_string(pid_file)
            .map_err(|e| format!("the pid file {file} cannot be read: {e}; is the reader running?"))?;
        let pid: u32 =
            text.trim().parse().ok().filter(|pid| *pid > 1).ok_or_else(|| {
                format!("the pid file {file} holds {:?}, which is no process id", text.trim())
            })?;
        let title = title(pid);
        if title.is_empty() {
            return Err(format!("process {pid} of the pid file {file} does not run; start the reader"));
        }
        if self.nginx && !title.contains("master process") {
            return Err(format!("process {pid} of the pid file {file} is {title:?}, not an Nginx master"));
        }
        Ok(pid)
    }

    async fn new_workers(&self, before: &Process) -> Result<(), String> {
        let deadline = Instant::now() + self.settings.verify_timeout.duration();
        loop {
            let now = children(before.pid);
            let serving: Vec<u32> = now.into_iter().filter(|pid| !title(*pid).contains(LEAVING)).collect();
            if !serving.is_empty() && serving.iter().all(|pid| !before.workers.contains(pid)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "process {} has no new workers after {}; its error log says why",
                    before.pid, self.settings.verify_timeout
                ));
            }
            sleep(LOOK).await;
        }
    }
}

fn alive(pid: u32) -> Result<(), String> {
    if title(pid).is_empty() { Err(format!("process {pid} ended when it got HUP")) } else { Ok(()) }
}

/// Children of all threads of a process; none where it is gone.
fn children(pid: u32) -> Vec<u32> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let mut pids = Vec::new();
    for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        pids.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    pids
}

/// The command line; empty where the process is gone or a zombie.
fn title(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

/// A program that did not succeed.
pub(super) struct CommandFailure {
    pub(super) command: String,
    /// How it ended, and the end of what it said.
    pub(super) detail: String,
}

impl std::fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`: {}", self.command, self.detail)
    }
}

/// Runs `argv` without a shell, at most `patience` or a minute, whichever is longer; exit code 0 is success.
pub(super) async fn run(argv: &[String], patience: Duration) -> Result<(), CommandFailure> {
    let command = argv.join(" ");
    let failure = |detail: String| CommandFailure { command: command.clone(), detail };
    let Some((program, arguments)) = argv.split_first() else {
        return Err(failure("it is empty".to_owned()));
    };
    let running = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failure(format!("it cannot be started: {e}")))?;
    let deadline = patience.max(COMMAND_DEADLINE);
    let output = match timeout(deadline, running.wait_with_output()).await {
        Ok(output) => output.map_err(|e| failure(e.to_string()))?,
        Err(_) => {
            return Err(failure(format!("it did not end within {} s and was killed", deadline.as_secs())));
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stdout));
    let said: String = said.trim().chars().rev().take(2000).collect::<Vec<_>>().into_iter().rev().collect();
    Err(failure(format!("{} {said}", output.status).trim().to_owned()))
}
