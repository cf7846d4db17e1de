//! `catalog keygen` and `sign`: for those who publish releases. They need no database.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use rules::catalog::Catalog;

use crate::catalog::bundle::{self, Bundle};
use crate::catalog::signature::{PrivateKey, generate};
use crate::cli::Refusal;
use crate::cli::catalog::{read, read_text};
use crate::cli::output::name;
use crate::rulebook::{borrowed, told};

#[derive(Debug, Args)]
pub struct KeygenArguments {
    /// Where the private key goes, readable by its owner only. A file that is there stays.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct SignArguments {
    /// Folder that holds `bad-updates/`, `claims/` and `takers/`.
    folder: PathBuf,
    /// The private key.
    #[arg(long)]
    key: PathBuf,
    /// Higher than that of the release before.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    version: i64,
    /// What it is, in a few words.
    #[arg(long, value_parser = name)]
    title: String,
    /// Where the release goes; the signature goes beside it, as FILE.sig.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Prints the public key.
pub fn keygen(arguments: &KeygenArguments) -> anyhow::Result<()> {
    let private = generate()?;
    let public = PrivateKey::from_pem(&private)?.public()?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&arguments.file);
    let refused = |error: std::io::Error| {
        let text = format!("cannot write {}: {error}", arguments.file.display());
        match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::PermissionDenied => Refusal::NotAllowed(text).into(),
            _ => anyhow::anyhow!(text),
        }
    };
    let mut file = file.map_err(refused)?;
    file.write_all(private.as_bytes()).and_then(|()| file.sync_all()).map_err(refused)?;
    print!("{}", public.to_pem());
    Ok(())
}

pub fn sign(arguments: &SignArguments) -> anyhow::Result<()> {
    let key = PrivateKey::from_pem(&read_text(&arguments.key)?)
        .map_err(|fault| Refusal::BadInput(format!("{}: {fault}", arguments.key.display())))?;
    let files = read(&arguments.folder)?;
    Catalog::parse(&borrowed(&files)).map_err(|faults| Refusal::BadInput(told(&faults)))?;
    let bundle = Bundle { version: arguments.version, title: arguments.title.clone(), files };
    let text = bundle::write(&bundle)?;
    let mut beside = arguments.out.clone().into_os_string();
    beside.push(".sig");
    write(&arguments.out, &text)?;
    write(Path::new(&beside), &format!("{}\n", key.sign(text.as_bytes())))?;
    println!("{} files, version {}, signed with {}", bundle.files.len(), bundle.version, key.public()?.id());
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))
}
