//! The sandbox for rules: a short-lived process of this very program that bounds its own memory and ends at a deadline.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::ports::{Sandbox, SandboxError};

/// The hidden command that answers (`cli/policy_eval.rs`).
pub const COMMAND: &str = "policy-eval";
const MEBIBYTE: u64 = 1024 * 1024;
/// What it may map; the library judges a thousand apps within a fifth of it.
const MOST_MEMORY: u64 = 512 * MEBIBYTE;
const MOST_ANSWER: u64 = 16 * MEBIBYTE;
const MOST_QUESTION: u64 = 128 * MEBIBYTE;
/// Far more than honest rules need; a head whose rules need longer is not taken.
const DEADLINE: Duration = Duration::from_secs(20);

/// Asks a new process each time.
pub struct ProcessSandbox {
    program: PathBuf,
    deadline: Duration,
}

impl Default for ProcessSandbox {
    fn default() -> Self {
        // By this link, so that it is the same program also after another was installed in its place.
        let link = Path::new("/proc/self/exe");
        let program =
            if link.exists() { link.to_owned() } else { std::env::current_exe().unwrap_or_default() };
        Self::of(program, DEADLINE)
    }
}

impl ProcessSandbox {
    /// Another program than this one: for tests, which are programs of their own.
    pub const fn of(program: PathBuf, deadline: Duration) -> Self {
        Self { program, deadline }
    }

    /// The process, with an empty environment: what is in ours is none of the rules' business.
    fn start(&self) -> Result<Child, SandboxError> {
        Command::new(&self.program)
            .arg(COMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| SandboxError::NotAsked(format!("{}: {error}", self.program.display())))
    }
}

#[async_trait]
impl Sandbox for ProcessSandbox {
    async fn answer(&self, question: Vec<u8>) -> Result<Vec<u8>, SandboxError> {
        if question.len() as u64 > MOST_QUESTION {
            let why = format!("the change takes more than {} MiB to describe", MOST_QUESTION / MEBIBYTE);
            return Err(SandboxError::NotAsked(why));
        }
        let mut child = self.start()?;
        // At the deadline the exchange is dropped, and the process ends with it.
        let exchanged = tokio::time::timeout(self.deadline, exchange(&mut child, question)).await;
        let (answer, status) = match exchanged {
            Err(_) => return Err(SandboxError::Deadline { seconds: self.deadline.as_secs() }),
            Ok(Err(error)) => return Err(SandboxError::NotAsked(error.to_string())),
            Ok(Ok(exchanged)) => exchanged,
        };
        match status {
            _ if answer.len() as u64 > MOST_ANSWER => {
                Err(SandboxError::TooMuch { mebibytes: MOST_ANSWER / MEBIBYTE })
            }
            status if status.success() => Ok(answer),
            status => Err(broke(status)),
        }
    }
}

/// Writes the question and reads the answer side by side, so that neither waits for the other for ever.
async fn exchange(child: &mut Child, question: Vec<u8>) -> std::io::Result<(Vec<u8>, ExitStatus)> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let ask = async {
        if let Some(mut stdin) = stdin {
            // It may have ended before it read everything; how it ended says why.
            let _ = stdin.write_all(&question).await;
        }
    };
    let read = async {
        let mut answer = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MOST_ANSWER + 1).read_to_end(&mut answer).await?;
        }
        std::io::Result::Ok(answer)
    };
    let ((), answer) = tokio::join!(ask, read);
    let answer = answer?;
    Ok((answer, child.wait().await?))
}

fn broke(status: ExitStatus) -> SandboxError {
    let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
    SandboxError::Broke { mebibytes: MOST_MEMORY / MEBIBYTE, how }
}

/// Bounds this process: its memory, and its time, should the one that asked be gone. Nothing of it is dumped.
pub fn bound_this_process() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let at_most = |limit: u64| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::As, at_most(MOST_MEMORY))?;
    setrlimit(Resource::Cpu, at_most(2 * DEADLINE.as_secs()))?;
    setrlimit(Resource::Core, at_most(0))?;
    Ok(())
}
