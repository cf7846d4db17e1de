//! Deliveries for people: what was sent where about a finding, and how it went.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Db, Scope, read};

/// Which deliveries. `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub finding_id: Option<Uuid>,
    /// `pending`, `delivered` or `dead`.
    pub state: Option<&'static str>,
}

/// Where a page starts: behind this delivery.
pub type DeliveryKey = (DateTime<Utc>, Uuid);

/// A delivery with its last attempt.
#[derive(Clone, Debug)]
pub struct DeliveryRow {
    pub delivery_id: Uuid,
    /// `None`: it is about the host.
    pub finding_id: Option<Uuid>,
    pub host_id: Option<i64>,
    pub host_name: Option<String>,
    pub endpoint_id: Uuid,
    pub endpoint_name: String,
    pub transition: String,
    pub episode: i32,
    pub state: String,
    pub attempts: i32,
    pub last_status: Option<i32>,
    pub last_error: Option<String>,
    pub next_attempt_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl DeliveryRow {
    pub fn key(&self) -> DeliveryKey {
        (self.created_at, self.delivery_id)
    }
}

/// The newest first.
pub async fn list(
    scope: &Scope,
    db: &Db,
    filter: &DeliveryFilter,
    after: Option<DeliveryKey>,
    limit: i64,
) -> sqlx::Result<Vec<DeliveryRow>> {
    let mut transaction = read::begin(scope, db).await?;
    let (created_at, delivery_id) = after.unzip();
    sqlx::query_as!(
        DeliveryRow,
        r#"
        select
          delivery.delivery_id,
          delivery.finding_id,
          delivery.host_id,
          host.name as "host_name?",
          delivery.endpoint_id,
          endpoint.name as endpoint_name,
          delivery.transition,
          delivery.episode,
          delivery.state,
          delivery.attempts,
          last.status as "last_status?",
          last.error as "last_error?",
          delivery.next_attempt_at,
          delivery.created_at,
          delivery.finished_at
        from delivery
        join endpoint using (endpoint_id)
        left join host
          on host.client_id = delivery.client_id
          and host.host_id = delivery.host_id
        left join lateral (
          select status, error
          from delivery_attempt
          where delivery_attempt.client_id = delivery.client_id
            and delivery_attempt.delivery_id = delivery.delivery_id
          order by attempt desc
          limit 1
        ) as last on true
        where delivery.client_id = any ($1)
          and ($2::uuid is null or delivery.finding_id = $2)
          and ($3::text is null or delivery.state = $3)
          and ($4::timestamptz is null or (delivery.created_at, delivery.delivery_id) < ($4, $5))
        order by delivery.created_at desc, delivery.delivery_id desc
        limit $6
        "#,
        &scope.0,
        filter.finding_id,
        filter.state,
        created_at,
        delivery_id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}
