//! The door: one file a command.

use std::process::ExitCode;

/// Reads the command line and runs the command.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
