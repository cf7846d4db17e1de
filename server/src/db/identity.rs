//! Enrollment tokens and agent certificates. Installation tables: they are read before a client is known, so the
//! functions that also write a host set the scope themselves, from the row that says whose host it is.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::db::{Db, Scope};

/// The host that a certificate speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedHost {
    pub client_id: i32,
    pub host_id: i64,
    pub expires_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Whom a certificate with this serial speaks for; `None`: we never issued it.
pub async fn host_of_certificate(db: &Db, serial: &[u8]) -> sqlx::Result<Option<CertifiedHost>> {
    // Every stream that opens asks this: a transaction begins on an idle connection without more ado.
    let mut transaction = db.begin(&Scope::default()).await?;
    sqlx::query_as!(
        CertifiedHost,
        "select client_id, host_id, expires_at, revoked_at from agent_certificate where serial = $1",
        serial
    )
    .fetch_optional(&mut *transaction)
    .await
}

/// Hosts with a certificate that is not revoked.
pub async fn enrolled_hosts(db: &Db) -> sqlx::Result<u64> {
    let query = sqlx::query_scalar!(
        r#"select count(distinct host_id) as "hosts!" from agent_certificate where revoked_at is null"#
    );
    Ok(query.fetch_one(&db.pool).await?.try_into().unwrap_or_default())
}

/// A token to be: whoever presents the secret may enroll `uses` hosts at this site.
#[derive(Debug)]
pub struct NewEnrollToken<'a> {
    pub id: &'a str,
    /// SHA-256 of the secret.
    pub secret_hash: &'a [u8],
    pub client_id: i32,
    pub site_id: i64,
    pub uses: i32,
    pub expires_at: DateTime<Utc>,
}

pub async fn insert_enroll_token(db: &Db, token: &NewEnrollToken<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into enroll_token (enroll_token_id, secret_hash, client_id, site_id, uses_left, expires_at, created_at)
        values ($1, $2, $3, $4, $5, $6, $7)
        ",
        token.id,
        token.secret_hash,
        token.client_id,
        token.site_id,
        token.uses,
        token.expires_at,
        now
    )
    .execute(&db.pool)
    .await
    .map(drop)
}

/// Where a token puts its hosts.
#[derive(Debug, Clone, Copy)]
pub struct TokenSite {
    pub client_id: i32,
    pub site_id: i64,
}

/// Why a token does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// No such id, or another secret: which of both is not told.
    Unknown,
    Revoked,
    Expired,
    UsedUp,
}

/// Takes one use. It counts only when the transaction commits.
pub async fn use_enroll_token(
    transaction: &mut Transaction<'_, Postgres>,
    id: &str,
    secret_hash: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<Result<TokenSite, TokenRefusal>> {
    let used = sqlx::query_as!(
        TokenSite,
        "
        update enroll_token
        set uses_left = uses_left - 1
        where enroll_token_id = $1
          and secret_hash = $2
          and uses_left > 0
          and expires_at > $3
          and revoked_at is null
        returning client_id, site_id
        ",
        id,
        secret_hash,
        now
    )
    .fetch_optional(&mut **transaction)
    .await?;
    if let Some(site) = used {
        return Ok(Ok(site));
    }

    let token = sqlx::query!(
        "select uses_left, expires_at, revoked_at from enroll_token where enroll_token_id = $1 and secret_hash = $2",
        id,
        secret_hash
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(Err(match token {
        None => TokenRefusal::Unknown,
        Some(token) if token.revoked_at.is_some() => TokenRefusal::Revoked,
        Some(token) if token.expires_at <= now => TokenRefusal::Expired,
        Some(_) => TokenRefusal::UsedUp,
    }))
}

/// A new host at the token's site. `name` is for display until the host's first report.
pub async fn insert_host(
    transaction: &mut Transaction<'_, Postgres>,
    site: TokenSite,
    name: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    super::narrow(transaction, &Scope::of(site.client_id)).await?;
    sqlx::query_scalar!(
        "insert into host (client_id, site_id, name, enrolled_at) values ($1, $2, $3, $4) returning host_id",
        site.client_id,
        site.site_id,
        name,
        now
    )
    .fetch_one(&mut **transaction)
    .await
}

/// A certificate that was signed and is handed out when the transaction commits.
#[derive(Debug)]
pub struct NewCertificate<'a> {
    pub serial: &'a [u8],
    pub client_id: i32,
    pub host_id: i64,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub public_key_hash: &'a [u8],
    pub expires_at: DateTime<Utc>,
}

pub async fn insert_certificate(
    transaction: &mut Transaction<'_, Postgres>,
    certificate: &NewCertificate<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into agent_certificate (serial, client_id, host_id, public_key_hash, issued_at, expires_at)
        values ($1, $2, $3, $4, $5, $6)
        ",
        certificate.serial,
        certificate.client_id,
        certificate.host_id,
        certificate.public_key_hash,
        now,
        certificate.expires_at
    )
    .execute(&mut **transaction)
    .await
    .map(drop)
}

/// What a certificate that asks for its successor is to us.
#[derive(Debug)]
pub struct Renewable {
    pub client_id: i32,
    pub host_id: i64,
    pub public_key_hash: Vec<u8>,
    pub expires_at: DateTime<Utc>,
    /// Whether any certificate of the host is revoked: then the identity is.
    pub is_revoked: bool,
}

/// Locks the host, so that a renewal and a revocation of it happen one after the other.
pub async fn lock_for_renewal(
    transaction: &mut Transaction<'_, Postgres>,
    serial: &[u8],
) -> sqlx::Result<Option<Renewable>> {
    let owner = sqlx::query!("select client_id, host_id from agent_certificate where serial = $1", serial)
        .fetch_optional(&mut **transaction)
        .await?;
    let Some(owner) = owner else { return Ok(None) };
    lock_host(transaction, owner.client_id, owner.host_id).await?;
    sqlx::query_as!(
        Renewable,
        r#"
        select
          client_id,
          host_id,
          public_key_hash,
          expires_at,
          exists (
            select
            from agent_certificate sibling
            where sibling.client_id = agent_certificate.client_id
              and sibling.host_id = agent_certificate.host_id
              and sibling.revoked_at is not null
          ) as "is_revoked!"
        from agent_certificate
        where serial = $1
        "#,
        serial
    )
    .fetch_optional(&mut **transaction)
    .await
}

/// Revokes every certificate of a host, for ever; how many there were. `None`: no such host in this scope.
pub async fn revoke_host(db: &Db, scope: &Scope, host_id: i64, now: DateTime<Utc>) -> sqlx::Result<Option<u64>> {
    let mut transaction = db.begin(scope).await?;
    let client_id = sqlx::query_scalar!("select client_id from host where host_id = $1", host_id)
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(client_id) = client_id else { return Ok(None) };
    lock_host(&mut transaction, client_id, host_id).await?;
    let revoked = revoke_certificates(&mut transaction, (client_id, host_id), now).await?;
    transaction.commit().await?;
    Ok(Some(revoked))
}

/// Those of a host that the transaction has locked; how many there were.
pub async fn revoke_certificates(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let revoked = sqlx::query!(
        "
        update agent_certificate
        set revoked_at = $3
        where client_id = $1
          and host_id = $2
          and revoked_at is null
        ",
        client_id,
        host_id,
        now
    )
    .execute(connection)
    .await?;
    Ok(revoked.rows_affected())
}

/// Serials that must not speak. Those that expired more than a day ago no handshake lets in.
pub async fn revoked_serials(db: &Db, now: DateTime<Utc>) -> sqlx::Result<Vec<Vec<u8>>> {
    sqlx::query_scalar!(
        "
        select serial
        from agent_certificate
        where revoked_at is not null
          and expires_at > $1::timestamptz - interval '1 day'
        ",
        now
    )
    .fetch_all(&db.pool)
    .await
}

async fn lock_host(transaction: &mut Transaction<'_, Postgres>, client_id: i32, host_id: i64) -> sqlx::Result<()> {
    super::narrow(transaction, &Scope::of(client_id)).await?;
    sqlx::query!("select host_id from host where client_id = $1 and host_id = $2 for update", client_id, host_id)
        .fetch_one(&mut **transaction)
        .await
        .map(drop)
}
