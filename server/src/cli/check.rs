//! `check`: judges one facts file. Needs no database and no network, so that it runs wherever the file is.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use rules::history::History;
use rules::{
    catalog::Catalog,
    check::{explain, parse_facts, render},
    facts::Facts,
};

use crate::cli::Refusal;

/// Something was found.
const FINDINGS: u8 = 5;
/// Several times the largest host there is.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Debug, Args)]
pub struct Arguments {
    /// One host's facts, as `portreeve-agent collect --json` writes them; `-` reads standard input.
    facts: PathBuf,
    /// Print findings, and what cannot be told, as one JSON object.
    #[arg(long, conflicts_with = "explain")]
    json: bool,
    /// Say of a service, a KB or a port (udp/1812) why the verdict is as it is, also where nothing is wrong.
    #[arg(long, value_name = "SERVICE|KB|PORT")]
    explain: Option<String>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let facts = read(&arguments.facts)?;
    let catalog = Catalog::builtin();
    let judgement = rules::judge(&facts, &catalog, &History::default());
    let text = match &arguments.explain {
        Some(subject) => explain(&facts, &catalog, subject).map_err(|fault| Refusal::NotFound(fault.to_string()))?,
        None if arguments.json => format!("{:#}\n", serde_json::to_value(&judgement)?),
        None => render(&judgement),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    let is_clean = judgement.findings.is_empty() || arguments.explain.is_some();
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

fn read(path: &Path) -> anyhow::Result<Facts> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    if let Err(error) = read {
        let text = format!("cannot read {}: {error}", path.display());
        return Err(match error.kind() {
            ErrorKind::NotFound => Refusal::NotFound(text).into(),
            ErrorKind::PermissionDenied => Refusal::NotAllowed(text).into(),
            _ => anyhow::anyhow!(text),
        });
    }
    if bytes.len() as u64 > MAX_BYTES {
        let text = format!("{} is larger than {} MiB", path.display(), MAX_BYTES / (1024 * 1024));
        return Err(Refusal::BadInput(text).into());
    }
    Ok(parse_facts(&bytes).map_err(|fault| Refusal::BadInput(format!("{}: {fault}", path.display())))?)
}
