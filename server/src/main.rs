//! The one binary of the server; everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    portreeve_server::cli::main()
}
