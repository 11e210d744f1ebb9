//! The other side of the sandbox for rules: a question on standard input, its answer on standard output, nothing else.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use crate::adapter::sandbox;
use crate::policy;

/// Runs before anything else is started, so that the bounds are those of the rules alone.
pub fn run() -> ExitCode {
    match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            errln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer() -> std::io::Result<()> {
    sandbox::bound_this_process()?;
    let mut question = Vec::new();
    std::io::stdin().lock().read_to_end(&mut question)?;
    let answer = policy::answer(&question)?;
    std::io::stdout().lock().write_all(&answer)
}
