//! Endpoints for people. An installation table: which ones one may see follows from the client that each is about.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Db, Scope, read};

/// Where webhooks go, without its secret.
#[derive(Clone, Debug)]
pub struct EndpointListRow {
    pub endpoint_id: Uuid,
    pub name: String,
    pub url: String,
    pub client_id: Option<i32>,
    pub client_name: Option<String>,
    pub min_severity: i16,
    pub tells_silence: bool,
    pub created_at: DateTime<Utc>,
    pub disabled_at: Option<DateTime<Utc>>,
    pub disabled_reason: Option<String>,
}

/// By name: those about a client of `scope`, and those about all clients.
pub async fn list(scope: &Scope, db: &Db, after: Option<String>, limit: i64) -> sqlx::Result<Vec<EndpointListRow>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        EndpointListRow,
        r#"
        select
          endpoint.endpoint_id,
          endpoint.name,
          endpoint.url,
          endpoint.client_id,
          client.name as "client_name?",
          endpoint.min_severity,
          endpoint.tells_silence,
          endpoint.created_at,
          endpoint.disabled_at,
          endpoint.disabled_reason
        from endpoint
        left join client using (client_id)
        where (endpoint.client_id is null or endpoint.client_id = any ($1))
          and ($2::text is null or endpoint.name > $2)
        order by endpoint.name
        limit $3
        "#,
        &scope.0,
        after,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}
