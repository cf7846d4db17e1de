//! Operators and their API tokens. Installation tables: no scope.

use chrono::{DateTime, Duration, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::db::{Scope, read};
use crate::people::{ApiToken, Role};

/// That a session or token is in use is written once a minute: a request that reads should not cost a write.
pub(super) const NOTE_USE_EVERY: Duration = Duration::minutes(1);

/// A person who may sign in.
#[derive(Clone, Debug)]
pub struct NewOperator<'a> {
    pub operator_id: Uuid,
    pub name: &'a str,
    pub role: Role,
    /// From [`crate::people::hash_password`].
    pub password_hash: &'a str,
    /// Clients that the operator may see; `None`: all, also those that come later.
    pub client_ids: Option<&'a [i32]>,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateOperatorError {
    #[error("an operator of this name exists")]
    NameTaken,
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

pub async fn create_operator(
    pool: &PgPool,
    operator: &NewOperator<'_>,
    now: DateTime<Utc>,
) -> Result<(), CreateOperatorError> {
    let result = sqlx::query!(
        "
        insert into operator (operator_id, name, role, password_hash, client_ids, created_at)
        values ($1, $2, $3, $4, $5, $6)
        ",
        operator.operator_id,
        operator.name,
        operator.role.as_str(),
        operator.password_hash,
        operator.client_ids,
        now,
    )
    .execute(pool)
    .await;
    match result {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.constraint() == Some("operator_name_unique") => {
            Err(CreateOperatorError::NameTaken)
        }
        Err(error) => Err(error.into()),
    }
}

/// Stores the hash of `token`, which speaks for the operator called `operator`. `false`: there is no such operator.
pub async fn create_api_token(
    pool: &PgPool,
    token: &ApiToken,
    name: &str,
    operator: &str,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "
        insert into api_token (api_token_id, name, secret_hash, operator_id, created_at, expires_at)
        select $1, $2, $3, operator_id, $4, $5
        from operator
        where operator.name = $6
          and disabled_at is null
        ",
        token.id,
        name,
        &token.secret.hash(),
        now,
        expires_at,
        operator,
    )
    .execute(pool)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Someone who may use the API, at the moment of asking.
#[derive(Clone, Debug)]
pub struct Principal {
    pub operator_id: Uuid,
    pub name: String,
    pub role: Role,
    /// `None`: all clients.
    pub client_ids: Option<Vec<i32>>,
    /// What may be seen now.
    pub scope: Scope,
    /// Absolute end of the session or token. `None`: a token without one.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What [`Principal`] is made of.
pub(super) struct PrincipalRow {
    pub(super) operator_id: Uuid,
    pub(super) name: String,
    pub(super) role: String,
    pub(super) client_ids: Option<Vec<i32>>,
    pub(super) all_client_ids: Option<Vec<i32>>,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl TryFrom<PrincipalRow> for Principal {
    type Error = anyhow::Error;

    fn try_from(row: PrincipalRow) -> anyhow::Result<Self> {
        let scope = Scope(row.client_ids.clone().or(row.all_client_ids).unwrap_or_default());
        Ok(Self {
            operator_id: row.operator_id,
            name: row.name,
            role: read::word(row.role)?,
            client_ids: row.client_ids,
            scope,
            expires_at: row.expires_at,
        })
    }
}

/// Whom an API token speaks for. `None`: unknown, expired or revoked token, or a disabled operator.
pub async fn by_api_token(pool: &PgPool, token: &ApiToken, now: DateTime<Utc>) -> anyhow::Result<Option<Principal>> {
    let row = sqlx::query_as!(
        PrincipalRow,
        r#"
        select
          operator.operator_id,
          operator.name,
          operator.role,
          operator.client_ids,
          case when operator.client_ids is null then all_client_ids() end as all_client_ids,
          api_token.expires_at
        from api_token
        join operator using (operator_id)
        where api_token_id = $1
          and secret_hash = $2
          and revoked_at is null
          and (api_token.expires_at is null or api_token.expires_at > $3)
          and operator.disabled_at is null
        "#,
        token.id,
        &token.secret.hash(),
        now,
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    sqlx::query!(
        "
        update api_token
        set last_used_at = $2
        where api_token_id = $1
          and (last_used_at is null or last_used_at < $3)
        ",
        token.id,
        now,
        now - NOTE_USE_EVERY,
    )
    .execute(pool)
    .await?;
    row.try_into().map(Some)
}

/// What signing in needs to know of an operator.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub operator_id: Uuid,
    pub password_hash: String,
}

/// `None`: unknown or disabled.
pub async fn credentials(pool: &PgPool, name: &str) -> sqlx::Result<Option<Credentials>> {
    sqlx::query_as!(
        Credentials,
        "
        select operator_id, password_hash
        from operator
        where name = $1
          and disabled_at is null
        ",
        name,
    )
    .fetch_optional(pool)
    .await
}
