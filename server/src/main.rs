//! The one binary of the server; everything is in the library, where tests reach it.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    portreeve_server::cli::main()
}
