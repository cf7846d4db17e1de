//! `import`: captures of servers that cannot run the agent, and facts files, become hosts. Works beside a running server
//! or without one.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use crate::api::captures::{CaptureFinding, CaptureReport};
use crate::api::model::SectionState;
use crate::captures::{self, CaptureFile, CapturedAt, ImportFault, MAX_BYTES, MAX_FILES, Origin, Reading};
use crate::cli::Refusal;
use crate::cli::open::Opened;
use crate::cli::output::name;
use crate::clock;
use crate::config::Place;
use crate::db::{self, Scope};
use crate::ingest::Store;
use crate::live::Bus;
use crate::rulebook::Rulebook;

/// Lines that are printed; `--json` has more.
const MAX_LINES: usize = 20;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Id or name of the client.
    #[arg(long)]
    client: String,
    /// Id of the site, or its name.
    #[arg(long)]
    site: String,
    /// What the host is called; without it, as the capture calls it.
    #[arg(long, value_parser = name)]
    host: Option<String>,
    /// When the capture was taken, such as 2026-11-22T03:02:11Z; without it, as the capture says, and else now.
    #[arg(long, value_name = "TIME")]
    captured_at: Option<DateTime<Utc>>,
    /// As `run` has it: where people reach the pages, for links in webhooks.
    #[arg(long, env = "PORTREEVE_PUBLIC_URL", default_value = "http://127.0.0.1:8080")]
    public_url: String,
    /// Print one JSON object, as the API answers.
    #[arg(long)]
    json: bool,
    /// What the capture script wrote, other output of the same commands, or one facts file; a folder stands for the
    /// files in it. All are of one host.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub async fn run(place: Place, arguments: Arguments) -> anyhow::Result<()> {
    let files = read_files(&arguments.files)?;
    let reading = captures::read(&files).map_err(|fault| Refusal::BadInput(fault.to_string()))?;
    if reading.is_empty() {
        // Before the database is asked for: which lines, helps whoever has none at hand.
        print(&CaptureReport::new(&reading, &reading.facts), None, &arguments)?;
        return Err(refusal(ImportFault::NothingUnderstood));
    }
    let opened = Opened::open(&place).await?;
    let imported = import(&opened, &arguments, &reading).await;
    opened.close().await?;
    let (report, captured_at) = imported?;
    print(&report, Some(captured_at), &arguments)
}

async fn import(
    opened: &Opened,
    arguments: &Arguments,
    reading: &Reading,
) -> anyhow::Result<(CaptureReport, CapturedAt)> {
    let db = &opened.db;
    let everything = db.everything().await?;
    let Some(client_id) = db::installation::find_client(db, &everything, &arguments.client).await? else {
        return Err(Refusal::NotFound(format!("there is no client {}", arguments.client)).into());
    };
    let site = db::installation::find_site(db, &Scope::of(client_id), &arguments.site).await?;
    let Some((_, site_id)) = site else {
        return Err(Refusal::NotFound(format!("the client has no site {}", arguments.site)).into());
    };
    let place = captures::Place {
        client_id,
        site_id,
        host: arguments.host.as_deref(),
        captured_at: arguments.captured_at,
        operator_id: None,
    };
    let bus = Bus::new();
    let store = Store::new(db.clone(), bus.clone(), &arguments.public_url);
    let imported = captures::import(&store, &Rulebook::load(db).await?, &place, reading, clock::now()).await;
    let imported = imported.map_err(refusal)?;
    if let Err(error) = db::hints::pass_on(db, &bus).await {
        tracing::warn!(error = format!("{error:#}"), "A running server will show this when it is asked next");
    }
    Ok((CaptureReport::of_import(reading, &place, &imported), imported.captured_at))
}

fn refusal(fault: ImportFault) -> anyhow::Error {
    let text = fault.to_string();
    match fault {
        ImportFault::NoSuchSite => Refusal::NotFound(text).into(),
        ImportFault::HasAgent { .. } | ImportFault::Older { .. } => Refusal::NotAllowed(text).into(),
        ImportFault::NothingUnderstood
        | ImportFault::NoName
        | ImportFault::InFuture { .. }
        | ImportFault::DoesNotFit(_)
        | ImportFault::Unstorable(_) => Refusal::BadInput(text).into(),
        ImportFault::Database(error) => error.into(),
    }
}

/// Those that are named, and those in folders that are named, in the order of their names.
fn read_files(paths: &[PathBuf]) -> anyhow::Result<Vec<CaptureFile>> {
    let mut files = Vec::new();
    let mut bytes_left = MAX_BYTES;
    for path in paths {
        let is_folder = fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_dir();
        let found = if is_folder { files_in(path)? } else { vec![path.clone()] };
        for path in found {
            let file = read_file(&path, bytes_left)?;
            bytes_left -= file.bytes.len();
            files.push(file);
            if files.len() > MAX_FILES {
                return Err(Refusal::BadInput(format!("a capture has at most {MAX_FILES} files")).into());
            }
        }
    }
    Ok(files)
}

fn files_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read_file(path: &Path, bytes_left: usize) -> anyhow::Result<CaptureFile> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_left).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    if bytes.len() > bytes_left {
        let text = format!("a capture has at most {} MiB", MAX_BYTES / (1024 * 1024));
        return Err(Refusal::BadInput(text).into());
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok(CaptureFile { name: name.to_string_lossy().into_owned(), bytes })
}

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let text = format!("cannot read {}: {error}", path.display());
    match error.kind() {
        ErrorKind::NotFound => Refusal::NotFound(text).into(),
        ErrorKind::PermissionDenied => Refusal::NotAllowed(text).into(),
        _ => anyhow::anyhow!(text),
    }
}

/// `captured_at`: `None`, nothing was stored.
fn print(report: &CaptureReport, captured_at: Option<CapturedAt>, arguments: &Arguments) -> anyhow::Result<()> {
    let text = if arguments.json {
        format!("{:#}\n", serde_json::to_value(report)?)
    } else {
        render(report, captured_at, arguments)?
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn render(
    report: &CaptureReport,
    captured_at: Option<CapturedAt>,
    arguments: &Arguments,
) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    if let (Some(host), Some(captured_at)) = (&report.host, captured_at) {
        let new = if host.is_new { "new " } else { "" };
        let origin = match captured_at.origin {
            Origin::Capture => "as the capture says",
            Origin::Given => "as you say",
            Origin::Import => "the time of this import, as the capture names none that can be",
        };
        writeln!(
            text,
            "Imported a capture of {} ({new}host {}, client {}, site {})",
            host.name, host.id, arguments.client, arguments.site
        )?;
        writeln!(text, "Taken {} ({origin})", captured_at.at.format("%Y-%m-%d %H:%M:%S UTC"))?;
        writeln!(text)?;
    }
    writeln!(text, "Understood:")?;
    for piece in &report.understood {
        writeln!(text, "  {}: {} ({} lines)", piece.file, piece.what, piece.lines)?;
    }
    if report.understood.is_empty() {
        writeln!(text, "  nothing")?;
    }
    if report.not_understood_total > 0 {
        writeln!(text, "\nNot understood ({} lines):", report.not_understood_total)?;
        for line in report.not_understood.iter().take(MAX_LINES) {
            writeln!(text, "  {}:{}: {} ({})", line.file, line.line, line.text, line.why)?;
        }
        if report.not_understood_total > MAX_LINES {
            writeln!(text, "  … and {} more", report.not_understood_total - MAX_LINES)?;
        }
    }
    if !report.contradictions.is_empty() {
        writeln!(text, "\nContradictions:")?;
        for sentence in &report.contradictions {
            writeln!(text, "  {sentence}")?;
        }
    }
    let unknown = report.sections.iter().filter(|section| section.state == SectionState::Unknown);
    if report.host.is_some() && unknown.clone().next().is_some() {
        writeln!(text, "\nUnknown of this host from now on:")?;
        for section in unknown {
            writeln!(text, "  {}: {}", section.section.as_str(), section.reason.as_deref().unwrap_or_default())?;
        }
    }
    if report.host.is_some() {
        writeln!(text, "\nFindings:")?;
        for finding in &report.findings {
            writeln!(text, "  {}", line_of(finding))?;
        }
        if report.findings.is_empty() {
            writeln!(text, "  none")?;
        }
    }
    Ok(text)
}

fn line_of(finding: &CaptureFinding) -> String {
    let transition = finding.transition.map_or_else(|| "open before".to_owned(), word);
    format!("{transition}: {} ({}, {})", finding.title, word(finding.severity), word(finding.confidence))
}

/// As the API writes it.
fn word<T: Serialize>(value: T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
