//! The program: everything is in the library.

use std::process::ExitCode;

/// Dumps make millions of small values; this allocator halves their cost against the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cofre::cli::main()
}
