//! The only place with SQL. Every read takes the [`Scope`] first; row-level security stands behind it: the server speaks
//! as `portreeve_app`, which owns nothing and sees only rows of the clients that the transaction named.

use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

use crate::db::reading::Reading;

pub mod boots;

pub mod bootstrap;

pub mod captures;

pub mod catalog;

pub mod deliveries;

pub mod departures;

pub mod examine;

pub mod facts;

pub mod findings;

pub mod problems;

pub mod questions;

pub mod forecasts;

pub mod hints;

pub mod history;

pub mod identity;

pub mod installation;

pub mod instances;

pub mod learned_ports;

pub mod leases;

pub mod migrator;

pub mod operator;

pub mod session;

pub mod read;

pub mod reading;

pub mod read_boots;

pub mod read_clients;

pub mod read_deliveries;

pub mod read_endpoints;

pub mod read_findings;

pub mod read_problems;

pub mod read_forecasts;

pub mod read_health;

pub mod read_host_rows;

pub mod read_hosts;

pub mod read_overview;

pub mod read_past;

pub mod read_updates;

pub mod rejudge;

pub mod retention;

pub mod restore;

pub mod silence;

pub mod statistics;

pub mod stream;

pub mod suspects;

/// The clients that one may see. Empty: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope(pub Vec<i32>);

impl Scope {
    /// One client only: what a report of its host may touch.
    pub fn of(client_id: i32) -> Self {
        Self(vec![client_id])
    }

    /// Of these clients only this one, which leaves none when it is not among them. `None`: all of them.
    #[must_use]
    pub fn narrowed(&self, client_id: Option<i32>) -> Self {
        let Some(client_id) = client_id else { return self.clone() };
        Self(self.0.iter().copied().filter(|one| *one == client_id).collect())
    }

    /// As the text of a Postgres array: `{1,2}`.
    fn as_array(&self) -> String {
        let ids: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        format!("{{{}}}", ids.join(","))
    }
}

/// The pool of the running server. Tables without `client_id` may be read from `pool` directly.
#[derive(Debug, Clone)]
pub struct Db {
    pub pool: PgPool,
    /// A replica for [`read`]. `None`: that reads `pool` too.
    pub reading: Option<Reading>,
}

impl Db {
    /// A transaction that sees and writes rows of these clients only. Without it (on `pool`) client tables look empty.
    pub async fn begin(&self, scope: &Scope) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.begin_with(scope, "").await
    }

    /// As [`Db::begin`], for statements that look rows up by their keys and are asked again and again: they are planned
    /// once for each connection, since planning would take longer than what they do.
    pub async fn begin_planned(&self, scope: &Scope) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.begin_with(scope, "; set local plan_cache_mode = force_generic_plan").await
    }

    /// In one round trip. An idle connection is not asked beforehand whether it is alive: this shows it, and what is dead
    /// is replaced by the pool's own way. That way takes fourteen kilobytes while it is awaited, so it is boxed: what is
    /// allocated for a stream that opens is small, and what stays of it lies in pages that nothing large has touched.
    async fn begin_with(&self, scope: &Scope, plans: &'static str) -> sqlx::Result<Transaction<'static, Postgres>> {
        let clients = scope.as_array();
        // Numbers and our own words.
        let begin = format!("begin; set local app.clients = '{clients}'{plans}");
        if let Ok(Some(transaction)) = self.pool.try_begin_with(AssertSqlSafe(begin.clone())).await {
            return Ok(transaction);
        }
        Box::pin(self.pool.begin_with(AssertSqlSafe(begin))).await
    }

    /// Every client: for server-wide tasks, and for operators who are not confined.
    pub async fn everything(&self) -> sqlx::Result<Scope> {
        let ids = sqlx::query_scalar!("select all_client_ids()").fetch_one(&self.pool).await?;
        Ok(Scope(ids.unwrap_or_default()))
    }
}

/// Whether Postgres refuses what is to be stored, and would for ever: the database itself is well.
pub fn refuses(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    // 22 data exception, 23 integrity constraint violation, 54 program limit exceeded.
    code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
        || matches!(error, sqlx::Error::Encode(_))
}

/// Sets the clients of a transaction that has begun, until it ends: for code that learns in its midst whose rows it is about.
async fn narrow(transaction: &mut Transaction<'_, Postgres>, scope: &Scope) -> sqlx::Result<()> {
    sqlx::query!("select set_config('app.clients', $1, true) as applied", scope.as_array())
        .fetch_one(&mut **transaction)
        .await
        .map(drop)
}
