//! The Docker Compose of this machine, whichever it is.

use std::process::Command;

/// What a person does who has none.
pub const MISSING: &str =
    "Docker Compose is missing, which 30 containers are held against: apt-get install docker-compose";

pub struct Compose {
    command: &'static [&'static str],
    /// As it says it: `2.40.0`, `1.29.2`.
    pub version: String,
}

impl Compose {
    /// The plugin of `docker` before the program of its own.
    pub fn find() -> Option<Self> {
        let commands: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
        commands.into_iter().find_map(|command| {
            let told = Self::of(command).args(["version", "--short"]).output().ok()?;
            let version = String::from_utf8_lossy(&told.stdout).trim().to_owned();
            (told.status.success() && !version.is_empty()).then_some(Self { command, version })
        })
    }

    pub fn command(&self) -> Command {
        Self::of(self.command)
    }

    fn of(words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    }
}
