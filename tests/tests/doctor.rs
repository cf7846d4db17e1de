//! `doctor` says what is wrong, changes nothing, and ends with 1 where something is bad.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};
use serde_json::Value;
use sqlx::Connection as _;
use tests::server::Server;
use tests::truth::database;

async fn examine(server: &Server) -> Result<(Option<i32>, Vec<Value>)> {
    let output = server.command_with_input(&["doctor", "--json"], "").await?;
    let text = String::from_utf8(output.stdout)?;
    Ok((output.status.code(), text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?))
}

fn states<'a>(verdicts: &'a [Value], what: &str) -> Vec<&'a str> {
    verdicts.iter().filter(|verdict| verdict["what"] == what).filter_map(|verdict| verdict["state"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_is_fine_and_faults_are_named() -> Result<()> {
    let server = Server::start().await?;
    let (code, verdicts) = examine(&server).await?;
    assert_eq!(code, Some(0), "{verdicts:#?}");
    for what in [
        "postgres-version",
        "postgres-settings",
        "clock",
        "roles",
        "row-level-security",
        "migrations",
        "authority",
        "partitions",
    ] {
        assert_eq!(states(&verdicts, what), ["fine"], "{what}: {verdicts:#?}");
    }

    let key = server.data_dir().join("master.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644))?;
    let (code, verdicts) = examine(&server).await?;
    assert_eq!((code, states(&verdicts, "master-key")), (Some(1), vec!["bad"]));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;

    let pool = database(&server).await?;
    let mut connection = pool.acquire().await?.detach();
    sqlx::raw_sql("alter table finding no force row level security").execute(&mut connection).await?;
    let (code, verdicts) = examine(&server).await?;
    assert_eq!((code, states(&verdicts, "row-level-security")), (Some(1), vec!["bad"]));
    sqlx::raw_sql("alter table finding force row level security").execute(&mut connection).await?;

    // One that is ahead is fine while it is upgraded, unless this version cannot live with it.
    let later = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (9999, 'later', true, '', 0)";
    sqlx::raw_sql(later).execute(&mut connection).await?;
    let (code, verdicts) = examine(&server).await?;
    assert_eq!((code, states(&verdicts, "migrations")), (Some(0), vec!["look"]));
    sqlx::raw_sql("insert into schema_contract (version, why) values (9999, 'a column is gone')")
        .execute(&mut connection)
        .await?;
    let (code, verdicts) = examine(&server).await?;
    assert_eq!((code, states(&verdicts, "migrations")), (Some(1), vec!["bad"]));
    sqlx::raw_sql(
        "delete from schema_contract where version = 9999; delete from _sqlx_migrations where version = 9999",
    )
    .execute(&mut connection)
    .await?;

    // A database that is behind is told, and stays as it is.
    sqlx::raw_sql("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)")
        .execute(&mut connection)
        .await?;
    let count = "select count(*) from _sqlx_migrations";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
    let (_, verdicts) = examine(&server).await?;
    assert_eq!(states(&verdicts, "migrations"), ["look"]);
    let after: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
    assert_eq!(before, after);
    connection.close().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_stays_empty() -> Result<()> {
    let server = Server::start().await?;
    let nowhere = server.scratch().join("nowhere");
    let output = server
        .command_with_input(&["--data-dir", nowhere.to_str().context("a path of this test")?, "doctor"], "")
        .await?;
    assert!(String::from_utf8(output.stdout)?.contains("There is no private Postgres here yet."));
    assert!(!nowhere.exists());
    Ok(())
}
