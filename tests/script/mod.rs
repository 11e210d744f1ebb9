//! Scenario scripts: comments, commands with their bodies, and under each command what it printed.

mod hands;
mod masks;
mod operator;
mod stage;
mod swarm;
mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use stage::Stage;

/// Base fleets by name: each its files by path.
pub type Fleets = BTreeMap<String, BTreeMap<String, String>>;

/// One piece of a script. What commands printed is not kept: it is printed anew.
enum Piece {
    Comment(String),
    /// An empty line after a comment.
    Gap,
    Command {
        line: usize,
        words: String,
        body: Vec<String>,
    },
}

/// A file of tests/scenarios.
pub struct Script {
    pieces: Vec<Piece>,
}

impl Script {
    /// `#` comments, `>` commands, `|` bodies; everything else is output of the command before.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces: Vec<Piece> = Vec::new();
        for (number, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line)) {
            if line.starts_with('#') {
                pieces.push(Piece::Comment(line.to_owned()));
            } else if let Some(words) = line.strip_prefix("> ") {
                pieces.push(Piece::Command {
                    line: number,
                    words: words.trim().to_owned(),
                    body: Vec::new(),
                });
            } else if let Some(text) = line.strip_prefix('|') {
                match pieces.last_mut() {
                    Some(Piece::Command { body, .. }) => {
                        body.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
                    }
                    _ => return Err(format!("{number}: a body without a command")),
                }
            } else if line.is_empty() && matches!(pieces.last(), Some(Piece::Comment(_))) {
                pieces.push(Piece::Gap);
            }
        }
        Ok(Self { pieces })
    }

    /// Carries the commands out; the script again, with what they print now.
    pub fn play(&self, fleets: &Fleets) -> Result<String, String> {
        // Paused: hours of the simulated clock pass in milliseconds, and always in the same way.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        // The stage is set inside: its clock begins with the runtime's, which stands still until somebody sleeps.
        runtime.map_err(|e| format!("0: {e}"))?.block_on(async { self.play_on(Stage::new(fleets)).await })
    }

    async fn play_on(&self, mut stage: Stage<'_>) -> Result<String, String> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Comment(text) => out += &format!("{text}\n"),
                Piece::Gap => out.push('\n'),
                Piece::Command { line, words, body } => {
                    let printed = stage.command(words, body).await.map_err(|why| format!("{line}: {why}"))?;
                    let _ = writeln!(out, "> {words}");
                    for text in body {
                        out += format!("| {text}").trim_end();
                        out.push('\n');
                    }
                    for text in printed.trim_end().lines() {
                        out += format!("  {text}").trim_end();
                        out.push('\n');
                    }
                    // Commands that print nothing stand together.
                    if !printed.is_empty() || !body.is_empty() {
                        out.push('\n');
                    }
                }
            }
        }
        Ok(format!("{}\n", out.trim_end()))
    }
}
