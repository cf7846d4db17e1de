//! The agent's program; see `portreeve_agent::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    portreeve_agent::cli::main()
}
