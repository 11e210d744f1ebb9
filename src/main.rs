//! The binary: everything else is in the library.

use std::process::ExitCode;

/// Faster than the system's, which a static binary's is worst of (docs/decisions/0021).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    trueup::cli::main()
}
