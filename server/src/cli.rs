//! The command line: one file per subcommand under cli/. Standard output is for results, standard error for talk.

use std::process::ExitCode;

use clap::Parser;

use crate::config::Place;

#[derive(Debug, Parser)]
#[command(name = "portreeve-server", version, about = "Who took the port, and which update did this")]
pub struct Cli {
    #[command(flatten)]
    pub place: Place,
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let _arguments = Cli::parse();
    ExitCode::SUCCESS
}
