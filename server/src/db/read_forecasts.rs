//! What the next reboot may cost: per host, per client, and the numbers behind it.
//!
//! Several takers of one service count as `1 − Π(1 − p)`, and expectations add up over services and hosts, whether or
//! not they are independent. A service without any number adds nothing to a sum; it is counted beside it.

use chrono::{DateTime, Utc};
use rules::finding::CannotTell;
use rules::forecast::Draw;
use sqlx::types::Json;

use crate::db::{Db, Scope, read};

/// Where a page starts: behind this host (billionths of an expected failure, id).
pub type OutlookKey = (i64, i64);

/// A host of which services may lose ports at its next boot.
#[derive(Clone, Debug)]
pub struct OutlookRow {
    pub client_id: i32,
    pub client_name: String,
    pub site_id: i64,
    pub site_name: String,
    pub host_id: i64,
    pub host_name: String,
    /// Expected number of services that fail.
    pub expected: f64,
    /// Services at risk.
    pub services: i64,
    /// Of them, those that no formula has a number for.
    pub without_number: i64,
    /// Sorts as `expected`, and is the same whatever order sums are made in.
    pub billionths: i64,
}

impl OutlookRow {
    pub fn key(&self) -> OutlookKey {
        (self.billionths, self.host_id)
    }
}

/// The host with the most expected failures first.
pub async fn hosts(scope: &Scope, db: &Db, after: Option<OutlookKey>, limit: i64) -> sqlx::Result<Vec<OutlookRow>> {
    let mut transaction = read::begin(scope, db).await?;
    let (billionths, host_id) = after.unzip();
    sqlx::query_as!(
        OutlookRow,
        r#"
        with of_service as (
          select
            client_id,
            host_id,
            1 - exp(sum(ln(greatest(1 - probability, 1e-300))) filter (where probability is not null)) as probability
          from forecast
          where client_id = any ($1)
          group by client_id, host_id, service
        ), of_host as (
          select
            client_id,
            host_id,
            coalesce(sum(probability), 0) as expected,
            count(*) as services,
            count(*) filter (where probability is null) as without_number,
            round(coalesce(sum(probability), 0)::numeric * 1000000000)::bigint as billionths
          from of_service
          group by client_id, host_id
        )
        select
          of_host.client_id as "client_id!",
          client.name as client_name,
          host.site_id,
          site.name as site_name,
          of_host.host_id as "host_id!",
          host.name as host_name,
          of_host.expected as "expected!",
          of_host.services as "services!",
          of_host.without_number as "without_number!",
          of_host.billionths as "billionths!"
        from of_host
        join client using (client_id)
        join host using (client_id, host_id)
        join site using (client_id, site_id)
        where $2::bigint is null
          or of_host.billionths < $2
          or (of_host.billionths = $2 and of_host.host_id > $3)
        order by of_host.billionths desc, of_host.host_id
        limit $4
        "#,
        &scope.0,
        billionths,
        host_id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// A client with hosts, whether or not anything of it is at risk.
#[derive(Clone, Debug)]
pub struct ClientOutlookRow {
    pub client_id: i32,
    pub client_name: String,
    pub expected: f64,
    pub services: i64,
    pub without_number: i64,
    /// Hosts with a service at risk.
    pub hosts: i64,
    /// Hosts of which it cannot be told, or that were never judged.
    pub cannot_tell: i64,
}

/// The client with the most expected failures first.
pub async fn clients(scope: &Scope, db: &Db) -> sqlx::Result<Vec<ClientOutlookRow>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        ClientOutlookRow,
        r#"
        with of_service as (
          select
            client_id,
            host_id,
            1 - exp(sum(ln(greatest(1 - probability, 1e-300))) filter (where probability is not null)) as probability
          from forecast
          where client_id = any ($1)
          group by client_id, host_id, service
        ), of_client as (
          select
            client_id,
            coalesce(sum(probability), 0) as expected,
            count(*) as services,
            count(*) filter (where probability is null) as without_number,
            count(distinct host_id) as hosts
          from of_service
          group by client_id
        ), untold as (
          select client_id, count(*) as hosts
          from host
          left join host_judgement using (client_id, host_id)
          where client_id = any ($1)
            and host.retired_at is null
            and (
              host_judgement.cannot_tell is null
              or exists (
                select
                from jsonb_array_elements(host_judgement.cannot_tell) as doubt
                where doubt ->> 'rule' in ('port-conflict', 'port-conflict/at-risk')
              )
            )
          group by client_id
        )
        select
          client.client_id,
          client.name as client_name,
          coalesce(of_client.expected, 0) as "expected!",
          coalesce(of_client.services, 0) as "services!",
          coalesce(of_client.without_number, 0) as "without_number!",
          coalesce(of_client.hosts, 0) as "hosts!",
          coalesce(untold.hosts, 0) as "cannot_tell!"
        from client
        left join of_client using (client_id)
        left join untold using (client_id)
        where client.client_id = any ($1)
          and (of_client.hosts is not null or untold.hosts is not null)
        order by coalesce(of_client.expected, 0) desc, coalesce(of_client.services, 0) desc, client.name
        "#,
        &scope.0,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// Under which any of the forecasts hold.
pub async fn conditions(scope: &Scope, db: &Db) -> sqlx::Result<Vec<String>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_scalar!(
        "
        select distinct condition
        from forecast
        where client_id = any ($1)
          and probability is not null
        order by condition
        ",
        &scope.0,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// What one taker may do to one service.
#[derive(Clone, Debug)]
pub struct ForecastRow {
    pub host_id: i64,
    pub service: String,
    pub taker: String,
    pub ports: Vec<String>,
    pub probability: Option<f64>,
    pub condition: String,
    pub draws: Json<Vec<Draw>>,
    pub boots_held: Option<i32>,
    pub boots_seen: Option<i32>,
    pub since: DateTime<Utc>,
}

/// Of these hosts, by host, service and taker.
pub async fn of_hosts(scope: &Scope, db: &Db, host_ids: &[i64]) -> sqlx::Result<Vec<ForecastRow>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        ForecastRow,
        r#"
        select host_id, service, taker, ports, probability, condition, draws as "draws: Json<Vec<Draw>>", boots_held,
          boots_seen, since
        from forecast
        where client_id = any ($1)
          and host_id = any ($2)
        order by host_id, service, taker
        "#,
        &scope.0,
        host_ids,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// What cannot be told of one host. `None`: there is no such host in `scope`, `Some(None)`: it was never judged.
pub async fn doubts(scope: &Scope, db: &Db, host_id: i64) -> sqlx::Result<Option<Option<Vec<CannotTell>>>> {
    let mut transaction = read::begin(scope, db).await?;
    let row = sqlx::query!(
        r#"
        select host_judgement.cannot_tell as "cannot_tell?: Json<Vec<CannotTell>>"
        from host
        left join host_judgement using (client_id, host_id)
        where host.client_id = any ($1)
          and host.host_id = $2
        "#,
        &scope.0,
        host_id,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    Ok(row.map(|row| row.cannot_tell.map(|doubts| doubts.0)))
}
