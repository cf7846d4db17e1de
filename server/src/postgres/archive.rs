//! `pg_dump` and `pg_restore` of the Postgres that the server uses.
//!
//! Invariant: a password is never an argument, where every account of the machine could read it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::process::Command;

use crate::postgres::Cluster;
use crate::postgres::binaries::Binaries;

/// The two programs, and how they reach the server that holds the database.
#[derive(Debug)]
pub struct Archiver {
    programs: Binaries,
    reach: Vec<(&'static str, OsString)>,
}

impl Archiver {
    /// For the private cluster.
    pub fn private(cluster: &Cluster) -> Self {
        Self::reaching(cluster.binaries.clone(), &cluster.options())
    }

    /// For an address given by `DATABASE_URL`.
    pub async fn given(options: &PgConnectOptions) -> anyhow::Result<Self> {
        let programs = Binaries::find(Path::new("")).await?;
        Ok(Self::reaching(programs, options))
    }

    /// For files alone.
    pub fn reading(programs: Binaries) -> Self {
        Self { programs, reach: Vec::new() }
    }

    fn reaching(programs: Binaries, options: &PgConnectOptions) -> Self {
        let host =
            options.get_socket().map_or_else(|| options.get_host().into(), |folder| folder.as_os_str().to_owned());
        let mut reach = vec![
            ("PGHOST", host),
            ("PGPORT", options.get_port().to_string().into()),
            ("PGUSER", options.get_username().into()),
        ];
        if let Some(password) = options.to_url_lossy().password() {
            reach.push(("PGPASSWORD", decoded(password).into()));
        }
        Self { programs, reach }
    }

    /// Major version of the programs.
    pub fn major(&self) -> u32 {
        self.programs.major
    }

    /// One consistent moment of the database, into a file that does not exist yet.
    pub async fn dump(&self, database: &str, file: &Path) -> anyhow::Result<()> {
        let mut command = self.command("pg_dump");
        command.args(["--format=custom", "--no-password", "--dbname", database, "--file"]).arg(file);
        run(command, "pg_dump").await.map(drop)
    }

    /// Into a database that is empty: all of it or nothing.
    pub async fn restore(&self, file: &Path, database: &str) -> anyhow::Result<()> {
        let mut command = self.command("pg_restore");
        command.args(["--single-transaction", "--exit-on-error", "--no-password", "--dbname", database]).arg(file);
        run(command, "pg_restore").await.map(drop)
    }

    /// Whether the programs can read the file.
    pub async fn list(&self, file: &Path) -> anyhow::Result<()> {
        let mut command = self.command("pg_restore");
        command.arg("--list").arg(file);
        run(command, "pg_restore").await.map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.path(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C.UTF-8").envs(self.reach.iter().map(|(name, value)| (name, value)));
        command
    }
}

async fn run(mut command: Command, program: &str) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().await.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed ({}):\n{}", output.status, said.trim_end());
    Ok(())
}

/// `%40` and the like as what they stand for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        bytes.push(digits.as_deref().map_or(*first, |byte| byte[0]));
        rest = if digits.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn a_password_is_what_it_was_before_it_stood_in_an_address() {
        for (written, expected) in
            [("plain", "plain"), ("a%40b%25", "a@b%"), ("%", "%"), ("%c3%A4", "ä"), ("%zz", "%zz")]
        {
            assert_eq!(decoded(written), expected);
        }
    }
}
