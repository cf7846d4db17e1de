//! Endpoints, deliveries and attempts. A delivery is claimed with a lease, sent outside any transaction, and its result
//! counts only while the lease is the claimer's own.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rules::finding::Severity;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::alerts::Silence;
use crate::db::findings::{severity_number, severity_of};
use crate::db::{Db, Scope};
use crate::findings::FindingChange;

/// An endpoint that is told of findings of one client.
#[derive(Clone, Debug)]
pub struct Route {
    pub endpoint_id: Uuid,
    pub min_severity: Severity,
}

pub async fn routes(connection: &mut PgConnection, client_id: i32) -> sqlx::Result<Vec<Route>> {
    let rows = sqlx::query!(
        r#"
        select endpoint_id, min_severity
        from endpoint
        where disabled_at is null and (client_id is null or client_id = $1)
        order by endpoint_id
        "#,
        client_id,
    )
    .fetch_all(connection)
    .await?;
    let route = |endpoint_id, min_severity| Route { endpoint_id, min_severity: severity_of(min_severity) };
    Ok(rows.into_iter().map(|row| route(row.endpoint_id, row.min_severity)).collect())
}

/// (endpoint, finding, episode) of which an opening was written before.
pub async fn endpoints_told(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[FindingChange],
) -> sqlx::Result<HashSet<(Uuid, Uuid, i32)>> {
    let ids: Vec<Uuid> = changes.iter().map(|change| change.id).collect();
    let rows = sqlx::query!(
        r#"
        select endpoint_id, finding_id as "finding_id!", episode
        from delivery
        where client_id = $1 and finding_id = any($2) and transition <> 'resolved'
        "#,
        client_id,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.endpoint_id, row.finding_id, row.episode)).collect())
}

/// Where a host stands, by name.
#[derive(Clone, Debug)]
pub struct Place {
    pub client_id: i32,
    pub client: String,
    pub site_id: i64,
    pub site: String,
    pub host_id: i64,
    pub host: String,
}

pub async fn place(connection: &mut PgConnection, client_id: i32, host_id: i64) -> sqlx::Result<Place> {
    sqlx::query_as!(
        Place,
        r#"
        select client.client_id, client.name as client, site.site_id, site.name as site, host.host_id, host.name as host
        from host
        join site on site.client_id = host.client_id and site.site_id = host.site_id
        join client on client.client_id = host.client_id
        where host.client_id = $1 and host.host_id = $2
        "#,
        client_id,
        host_id,
    )
    .fetch_one(connection)
    .await
}

#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub delivery_id: Uuid,
    pub endpoint_id: Uuid,
    pub finding_id: Uuid,
    pub episode: i32,
    pub transition: &'static str,
    pub body: String,
}

/// Returns the ids of those that were not there yet.
pub async fn insert(
    connection: &mut PgConnection,
    client_id: i32,
    new: &[NewDelivery],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Uuid>> {
    let mut inserted = Vec::new();
    for delivery in new {
        let id = sqlx::query_scalar!(
            r#"
            insert into delivery (client_id, delivery_id, endpoint_id, finding_id, episode, transition, body, state,
              next_attempt_at, created_at)
            values ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $8)
            on conflict do nothing
            returning delivery_id
            "#,
            client_id,
            delivery.delivery_id,
            delivery.endpoint_id,
            delivery.finding_id,
            delivery.episode,
            delivery.transition,
            delivery.body,
            now,
        )
        .fetch_optional(&mut *connection)
        .await?;
        inserted.extend(id);
    }
    Ok(inserted)
}

/// A delivery that this worker may send now.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub client_id: i32,
    pub delivery_id: Uuid,
    pub endpoint_id: Uuid,
    /// Attempts made before this one.
    pub attempts: i32,
    pub body: String,
    pub url: String,
    pub secret_sealed: Vec<u8>,
    pub lease_id: Uuid,
}

/// How many deliveries a worker has under way at an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct UnderWay {
    pub endpoint_id: Uuid,
    pub count: i32,
}

/// What limits one claim.
#[derive(Clone, Copy, Debug)]
pub struct ClaimLimits {
    pub total: i64,
    pub per_endpoint: i32,
}

/// Leases deliveries that are due, oldest first, a few of each endpoint. A finding's deliveries to an endpoint go one
/// after the other: an end never overtakes its beginning. While the outbox is held after a restore, none is due.
pub async fn claim(
    db: &Db,
    scope: &Scope,
    under_way: &[UnderWay],
    limits: ClaimLimits,
    lease_id: Uuid,
    leased_until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Claimed>> {
    let busy: Vec<Uuid> = under_way.iter().map(|busy| busy.endpoint_id).collect();
    let counts: Vec<i32> = under_way.iter().map(|busy| busy.count).collect();
    let mut transaction = db.begin(scope).await?;
    let claimed = sqlx::query_as!(
        Claimed,
        r#"
        with due as (
          select next.client_id, next.delivery_id
          from endpoint
          left join unnest($1::uuid[], $2::int[]) as busy (endpoint_id, count) using (endpoint_id)
          cross join lateral (
            select delivery.client_id, delivery.delivery_id, delivery.next_attempt_at
            from delivery
            where delivery.endpoint_id = endpoint.endpoint_id
              and not exists (select from restore where released_at is null)
              and delivery.state = 'pending'
              and delivery.next_attempt_at <= $7
              and (delivery.leased_until is null or delivery.leased_until <= $7)
              and not exists (
                select from delivery as earlier
                where earlier.client_id = delivery.client_id
                  and (earlier.finding_id = delivery.finding_id or earlier.host_id = delivery.host_id)
                  and earlier.endpoint_id = delivery.endpoint_id
                  and earlier.state = 'pending'
                  and (earlier.episode, earlier.transition in ('resolved', 'heard'))
                    < (delivery.episode, delivery.transition in ('resolved', 'heard')))
            order by delivery.next_attempt_at, delivery.created_at
            limit greatest($4 - coalesce(busy.count, 0), 0)
            for update of delivery skip locked
          ) as next
          where endpoint.disabled_at is null
          order by next.next_attempt_at
          limit $3
        )
        update delivery
        set lease_id = $5, leased_until = $6
        from due, endpoint
        where delivery.client_id = due.client_id and delivery.delivery_id = due.delivery_id
          and endpoint.endpoint_id = delivery.endpoint_id
        returning delivery.client_id, delivery.delivery_id, delivery.endpoint_id, delivery.attempts, delivery.body,
          endpoint.url, endpoint.secret_sealed, $5::uuid as "lease_id!"
        "#,
        &busy,
        &counts,
        limits.total,
        limits.per_endpoint,
        lease_id,
        leased_until,
        now,
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(claimed)
}

/// When, after `now`, the next delivery becomes due (a lease that ends counts); `None`: none does.
pub async fn next_due(db: &Db, scope: &Scope, now: DateTime<Utc>) -> sqlx::Result<Option<DateTime<Utc>>> {
    let mut transaction = db.begin(scope).await?;
    let next = sqlx::query_scalar!(
        r#"
        select min(greatest(delivery.next_attempt_at, delivery.leased_until))
        from delivery
        join endpoint on endpoint.endpoint_id = delivery.endpoint_id and endpoint.disabled_at is null
        where delivery.state = 'pending' and greatest(delivery.next_attempt_at, delivery.leased_until) > $1
        "#,
        now,
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(next)
}

/// One try, as it is shown to people.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub at: DateTime<Utc>,
    pub duration_ms: i32,
    pub status: Option<i32>,
    pub error: Option<String>,
    pub response_excerpt: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    RetryAt(DateTime<Utc>),
    /// The schedule is at its end.
    Dead,
    /// The receiver wants no more (410): this delivery and all others to the endpoint are dead.
    Gone,
}

/// Records an attempt and what follows from it. `false`: the lease was lost, and nothing was written.
pub async fn record(
    db: &Db,
    claimed: &Claimed,
    attempt: &Attempt,
    verdict: Verdict,
    finished_at: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let (state, next) = match verdict {
        Verdict::Delivered => ("delivered", None),
        Verdict::RetryAt(at) => ("pending", Some(at)),
        Verdict::Dead | Verdict::Gone => ("dead", None),
    };
    let mut transaction = db.begin(&Scope::of(claimed.client_id)).await?;
    let number = sqlx::query_scalar!(
        r#"
        update delivery
        set state = outcome.state, attempts = attempts + 1, next_attempt_at = coalesce($5, next_attempt_at),
          lease_id = null, leased_until = null,
          finished_at = case when outcome.state = 'pending' then null else $6::timestamptz end
        from endpoint
          -- An endpoint that was disabled meanwhile gets no further attempt.
          cross join lateral (
            select case when $4 = 'pending' and endpoint.disabled_at is not null then 'dead' else $4 end as state
          ) as outcome
        where delivery.client_id = $1 and delivery_id = $2 and lease_id = $3
          and endpoint.endpoint_id = delivery.endpoint_id
        returning attempts
        "#,
        claimed.client_id,
        claimed.delivery_id,
        claimed.lease_id,
        state,
        next,
        finished_at,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(number) = number else { return Ok(false) };
    sqlx::query!(
        r#"
        insert into delivery_attempt (client_id, delivery_id, attempt, at, duration_ms, status, error, response_excerpt)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        "#,
        claimed.client_id,
        claimed.delivery_id,
        number,
        attempt.at,
        attempt.duration_ms,
        attempt.status,
        attempt.error,
        attempt.response_excerpt,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Stops an endpoint; what is pending for it dies. Its deliveries under way keep their lease and record their result.
pub async fn disable_endpoint(
    db: &Db,
    scope: &Scope,
    endpoint_id: Uuid,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let mut transaction = db.begin(scope).await?;
    sqlx::query!(
        "update endpoint set disabled_at = $2, disabled_reason = $3 where endpoint_id = $1 and disabled_at is null",
        endpoint_id,
        now,
        reason,
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        r#"
        update delivery
        set state = 'dead', finished_at = $2
        where endpoint_id = $1 and state = 'pending' and (lease_id is null or leased_until <= $2)
        "#,
        endpoint_id,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

#[derive(Clone, Debug)]
pub struct EndpointRow<'a> {
    pub endpoint_id: Uuid,
    pub name: &'a str,
    pub url: &'a str,
    pub secret_sealed: &'a [u8],
    pub client_id: Option<i32>,
    pub min_severity: Severity,
    pub silence: Silence,
}

pub async fn insert_endpoint(db: &Db, endpoint: &EndpointRow<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into endpoint (endpoint_id, name, url, secret_sealed, client_id, min_severity, created_at,
          tells_silence)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        "#,
        endpoint.endpoint_id,
        endpoint.name,
        endpoint.url,
        endpoint.secret_sealed,
        endpoint.client_id,
        severity_number(endpoint.min_severity),
        now,
        endpoint.silence == Silence::Told,
    )
    .execute(&db.pool)
    .await?;
    Ok(())
}
