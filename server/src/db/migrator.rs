//! Brings a database to the schema that this program knows, beside servers of other versions that use it.
//!
//! Invariants: a migration waits for no lock longer than two seconds at a time, so that servers wait for no longer behind
//! it. Of several servers that start at once one migrates. A schema that is ahead of the program is fine, unless a
//! migration that it does not know is marked in `schema_contract`.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sqlx::error::DatabaseError;
use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};
use tracing::warn;

/// Forward only; applied ones are never edited. Some may have been applied that this program does not know.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("../migrations");
    migrations.set_ignore_missing(true);
    migrations
});

/// With this a migration begins that servers of older versions cannot live with, before the reason.
const CONTRACT: &str = "-- contract:";
const LOCK_TIMEOUT: &str = "2s";
/// Between two attempts, in which waiting servers go on.
const PAUSE: Duration = Duration::from_secs(1);
/// Longer than the reads and sweeps of a server.
const PATIENCE: Duration = Duration::from_mins(3);

/// The newest migration that this program knows.
pub fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Applies what is missing; how many migrations that were.
pub async fn run(owner: &PgConnectOptions) -> anyhow::Result<usize> {
    let options = owner.clone().options([("lock_timeout", LOCK_TIMEOUT)]);
    let mut connection = PgConnection::connect_with(&options).await?;
    let before = applied(&mut connection).await?;
    refuse_a_newer_schema(&mut connection, &before).await?;
    refuse_beside_older_servers(&mut connection, &before).await?;
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = MIGRATIONS.run(&mut connection).await {
        if !waited_for_a_lock(&error) || Instant::now() >= deadline {
            return Err(error).context("a migration failed; the database is as it was before it");
        }
        let holders = holders(&mut connection).await?;
        warn!(holders = holders.join("; "), "A migration waits for locks that others hold; trying again");
        sleep(PAUSE).await;
    }
    let after = applied(&mut connection).await?;
    connection.close().await?;
    Ok(after.difference(&before).count())
}

/// How many migrations are still to be applied.
pub async fn pending(owner: &PgConnectOptions) -> anyhow::Result<usize> {
    let mut connection = PgConnection::connect_with(owner).await?;
    let applied = applied(&mut connection).await?;
    connection.close().await?;
    Ok(missing(&applied).count())
}

/// Migrations that are still to be applied.
pub fn missing(applied: &BTreeSet<i64>) -> impl Iterator<Item = &Migration> {
    MIGRATIONS.iter().filter(|migration| !applied.contains(&migration.version))
}

async fn applied(connection: &mut PgConnection) -> anyhow::Result<BTreeSet<i64>> {
    connection.ensure_migrations_table(&MIGRATIONS.table_name).await?;
    let applied = connection.list_applied_migrations(&MIGRATIONS.table_name).await?;
    Ok(applied.into_iter().map(|migration| migration.version).collect())
}

/// How a schema is to this program that was migrated by a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// It knows every migration.
    No,
    /// It can live with those that it does not know.
    Fine(Vec<i64>),
    /// It cannot live with this one, for this reason.
    Contract(i64, String),
}

/// A server that was not upgraded yet may run on a newer schema, but not on every one.
pub async fn ahead(connection: &mut PgConnection, applied: &BTreeSet<i64>) -> sqlx::Result<Ahead> {
    let unknown: Vec<i64> = applied.iter().copied().filter(|version| !MIGRATIONS.version_exists(*version)).collect();
    if unknown.is_empty() {
        return Ok(Ahead::No);
    }
    let contract = sqlx::query!(
        "select version, why from schema_contract where version = any ($1) order by version limit 1",
        &unknown
    )
    .fetch_optional(connection)
    .await?;
    Ok(contract.map_or(Ahead::Fine(unknown), |contract| Ahead::Contract(contract.version, contract.why)))
}

async fn refuse_a_newer_schema(connection: &mut PgConnection, applied: &BTreeSet<i64>) -> anyhow::Result<()> {
    let ahead =
        ahead(connection, applied).await.context("the database has migrations that this server does not know")?;
    match ahead {
        Ahead::No => {}
        Ahead::Fine(unknown) => {
            warn!(migrations = ?unknown, "The database is ahead of this server, which is fine until it is upgraded too");
        }
        Ahead::Contract(version, why) => bail!(
            "the database is of a newer version, with which this one cannot live (migration {version}: {why}); upgrade this \
             server"
        ),
    }
    Ok(())
}

/// A migration that older servers cannot live with waits until they have ended.
async fn refuse_beside_older_servers(connection: &mut PgConnection, applied: &BTreeSet<i64>) -> anyhow::Result<()> {
    let Some(contract) = missing(applied).filter(|migration| migration.sql.as_str().starts_with(CONTRACT)).last()
    else {
        return Ok(());
    };
    let has_servers = "select to_regclass('public.server_instance') is not null";
    if !sqlx::query_scalar::<_, bool>(has_servers).fetch_one(&mut *connection).await? {
        return Ok(());
    }
    let older = sqlx::query_scalar!(
        "select http from server_instance where heard_at > now() - interval '20 seconds' and schema_version < $1",
        contract.version
    )
    .fetch_all(&mut *connection)
    .await?;
    if !older.is_empty() {
        bail!(
            "migration {} cannot be applied beside servers that do not know it ({}); stop them, wait 20 seconds and start \
             again: {}",
            contract.version,
            contract.sql.as_str().lines().next().unwrap_or_default().trim_start_matches(CONTRACT).trim(),
            older.join(", ")
        );
    }
    Ok(())
}

fn waited_for_a_lock(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    // 55P03 lock_not_available, 40P01 deadlock_detected.
    matches!(error.as_database_error().and_then(DatabaseError::code).as_deref(), Some("55P03" | "40P01"))
}

/// Who holds locks on our tables now, in words.
async fn holders(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select format('process %s (%s) holds %s', pid, application_name, string_agg(distinct relname, ', ')) as "holder!"
        from pg_locks
        join pg_stat_activity using (pid)
        join pg_class on pg_class.oid = relation
        where granted
          and pid <> pg_backend_pid()
          and relnamespace = 'public'::regnamespace
          and relkind in ('r', 'p')
        group by pid, application_name
        order by pid
        limit 5
        "#
    )
    .fetch_all(connection)
    .await
}
