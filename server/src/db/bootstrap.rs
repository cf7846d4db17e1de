//! Makes a database ours: roles, migrations, and the pool that speaks as `portreeve_app`.
//!
//! Invariant: the pool's role owns nothing, is no superuser and cannot bypass row-level security; else we refuse to run.

use std::{str::FromStr, time::Duration};

use anyhow::{Context, bail, ensure};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::db::{Db, migrator};

/// Runs migrations and owns the tables.
pub const OWNER: &str = "portreeve_owner";

/// What the server speaks as.
pub const APP: &str = "portreeve_app";

/// Name of the database in a private cluster.
pub const DATABASE: &str = "portreeve";

/// They make a slow or dead database an error soon, and never a hang. Plans are not compiled, which Postgres does
/// wherever it expects many rows: nearly all statements of ours are short.
pub(super) const SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "30s"),
    ("tcp_user_timeout", "10s"),
    ("jit", "off"),
];

const CREATE_ROLES: &str = "
    do $$ begin create role portreeve_owner login; exception when duplicate_object then null; end $$;
    do $$ begin create role portreeve_app login; exception when duplicate_object then null; end $$;";

/// For the size of the write-ahead log. Not granted again: two at once would be in each other's way.
const SHOW_LOG_SIZE: &str = "
    do $$ begin
      if not has_function_privilege('portreeve_app', 'pg_ls_waldir()', 'execute') then
        grant execute on function pg_ls_waldir() to portreeve_app;
      end if;
    end $$;";

/// Makes our roles in a cluster of our own, where they are missing.
pub async fn create_roles(superuser: &PgConnectOptions) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect_with(superuser).await?;
    sqlx::raw_sql(CREATE_ROLES).execute(&mut connection).await?;
    connection.close().await
}

/// How to connect to a database that has our roles.
#[derive(Debug, Clone)]
pub struct Access {
    pub owner: PgConnectOptions,
    pub app: PgConnectOptions,
}

impl Access {
    /// In a cluster of our own: makes what is missing. Both roles sign in directly, so that no statement of the
    /// server's could switch to a mightier one.
    pub async fn private(superuser: &PgConnectOptions, database: &str) -> anyhow::Result<Self> {
        create_roles(superuser).await?;
        let mut connection = PgConnection::connect_with(superuser).await?;
        let exists =
            sqlx::query_scalar!(r#"select exists (select from pg_database where datname = $1) as "exists!""#, database)
                .fetch_one(&mut connection)
                .await?;
        if !exists {
            let create = format!("create database \"{database}\" owner {OWNER}");
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
        }
        connection.close().await?;
        let options = superuser.clone().database(database);
        let mut inside = PgConnection::connect_with(&options).await?;
        sqlx::raw_sql(SHOW_LOG_SIZE).execute(&mut inside).await?;
        inside.close().await?;
        Ok(Self { owner: options.clone().username(OWNER), app: options.username(APP) })
    }

    /// At an address given by `DATABASE_URL`: its account must be allowed to speak as both roles.
    pub async fn given(url: &str) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .context("DATABASE_URL is not an address such as postgres://user@host/database")?
            .application_name("portreeve-server");
        let mut connection = PgConnection::connect_with(&options).await.context("cannot connect to DATABASE_URL")?;
        ensure_roles(&mut connection).await?;
        connection.close().await?;
        Ok(Self { owner: options.clone().options([("role", OWNER)]), app: options.options([("role", APP)]) })
    }

    /// As an account that may speak as both roles, which are there. Nothing is made or changed.
    pub fn acting(account: &PgConnectOptions, database: &str) -> Self {
        let options = account.clone().database(database);
        Self { owner: options.clone().options([("role", OWNER)]), app: options.options([("role", APP)]) }
    }

    /// Applies what is missing; how many migrations that were.
    pub async fn migrate(&self) -> anyhow::Result<usize> {
        migrator::run(&self.owner).await
    }

    /// How many migrations are still to be applied.
    pub async fn pending(&self) -> anyhow::Result<usize> {
        migrator::pending(&self.owner).await
    }

    /// The pool of the server.
    pub async fn connect(&self) -> anyhow::Result<Db> {
        let options = self.app.clone().options(SETTINGS);
        let pool = PgPoolOptions::new()
            .max_connections(20)
            .acquire_timeout(Duration::from_secs(3))
            .connect_with(options)
            .await
            .context("cannot connect to the database as portreeve_app")?;
        let is_mighty = sqlx::query_scalar!(
            r#"select rolsuper or rolbypassrls as "is_mighty!" from pg_roles where rolname = current_user"#
        )
        .fetch_one(&pool)
        .await?;
        ensure!(!is_mighty, "role {APP} is a superuser or bypasses row-level security; take that from it");
        Ok(Db { pool, reading: None })
    }
}

/// Makes the roles where the account may, and says what an administrator should run where it may not.
async fn ensure_roles(connection: &mut PgConnection) -> anyhow::Result<()> {
    let account = sqlx::query!(
        r#"
        select
          rolname as "name!",
          rolsuper or rolcreaterole as "may_create!",
          (select count(*) from pg_roles where rolname in ('portreeve_owner', 'portreeve_app')) = 2 as "exist!"
        from pg_roles
        where rolname = current_user
        "#
    )
    .fetch_one(&mut *connection)
    .await?;
    if !account.exist {
        ensure!(
            account.may_create,
            "roles {OWNER} and {APP} are missing, and {name} may not make them. As an administrator run:\n  \
             create role {OWNER}; create role {APP}; grant {OWNER}, {APP} to \"{name}\";",
            name = account.name
        );
        for role in [OWNER, APP] {
            let create = format!("do $$ begin create role {role}; exception when duplicate_object then null; end $$");
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await?;
        }
    }

    let is_member = "select pg_has_role(current_user, 'portreeve_owner', 'member') and pg_has_role(current_user, 'portreeve_app', 'member')";
    if !sqlx::query_scalar::<_, bool>(is_member).fetch_one(&mut *connection).await? {
        let grant = "grant portreeve_owner, portreeve_app to current_user";
        if let Err(error) = sqlx::raw_sql(grant).execute(&mut *connection).await {
            bail!(
                "{name} may not speak as {OWNER} and {APP} ({error}). As an administrator run:\n  \
                 grant {OWNER}, {APP} to \"{name}\";",
                name = account.name
            );
        }
    }

    let may_use = "select has_schema_privilege('portreeve_owner', 'public', 'create')";
    if !sqlx::query_scalar::<_, bool>(may_use).fetch_one(&mut *connection).await? {
        let grant = "grant create, usage on schema public to portreeve_owner";
        sqlx::raw_sql(grant)
            .execute(&mut *connection)
            .await
            .with_context(|| format!("{OWNER} may not make tables; as the database's owner run:\n  {grant};"))?;
    }
    Ok(())
}
