//! Enrollment tokens and agent certificates. Installation tables: they are read before a client is known.

use chrono::{DateTime, Utc};

use crate::db::Db;

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
    sqlx::query_as!(
        CertifiedHost,
        "select client_id, host_id, expires_at, revoked_at from agent_certificate where serial = $1",
        serial
    )
    .fetch_optional(&db.pool)
    .await
}
