//! Hosts that are not heard of: how long they were not, and who is told.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::deliveries::Place;
use crate::db::read_hosts::{STALE_WITHIN, UNHEARD_AFTER_END};
use crate::db::{Db, Scope};

/// Notes that nothing was heard of a host until now, where that is longer than three heartbeats. To be called before a
/// new stream says that it was heard of.
pub async fn note_end(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into host_silence (client_id, host_id, from_at, until_at)
        select client_id, host_id, last_seen_at, $3
        from agent_stream
        where client_id = $1 and host_id = $2 and last_seen_at < $4
        on conflict do nothing
        ",
        client_id,
        host_id,
        now,
        now - UNHEARD_AFTER_END,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What is told of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Silent,
    Heard,
}

impl Told {
    /// As stored, and as the webhook's type ends.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Heard => "heard",
        }
    }
}

/// An endpoint that is to be told of a host.
#[derive(Clone, Debug)]
pub struct News {
    pub endpoint_id: Uuid,
    pub place: Place,
    pub told: Told,
    /// Minutes since 1970 when the silence began: the same for its begin and its end.
    pub episode: i32,
    /// When the host was heard of last before the silence.
    pub since: DateTime<Utc>,
}

#[derive(Debug)]
struct NewsRow {
    endpoint_id: Uuid,
    client_id: i32,
    client: String,
    site_id: i64,
    site: String,
    host_id: i64,
    host: String,
    episode: i32,
    since: DateTime<Utc>,
}

impl NewsRow {
    fn into_news(self, told: Told) -> News {
        let place = Place {
            client_id: self.client_id,
            client: self.client,
            site_id: self.site_id,
            site: self.site,
            host_id: self.host_id,
            host: self.host,
        };
        News { endpoint_id: self.endpoint_id, place, told, episode: self.episode, since: self.since }
    }
}

/// Silences that began since an endpoint was made, and that it was not told of; and ends of those that it was told of.
/// `listening_since`: while no server listened, no host could be heard.
pub async fn news(
    scope: &Scope,
    db: &Db,
    listening_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<News>> {
    let mut transaction = db.begin(scope).await?;
    let mut news = Vec::new();
    if listening_since < now - STALE_WITHIN {
        let silent = sqlx::query_as!(
            NewsRow,
            r#"
            select
              endpoint.endpoint_id,
              host.client_id,
              client.name as client,
              host.site_id,
              site.name as site,
              host.host_id,
              host.name as host,
              moment.episode as "episode!",
              agent_stream.last_seen_at as since
            from agent_stream
            join host using (client_id, host_id)
            join client using (client_id)
            join site using (client_id, site_id)
            join endpoint
              on endpoint.tells_silence
              and endpoint.disabled_at is null
              and (endpoint.client_id is null or endpoint.client_id = host.client_id)
              and endpoint.created_at <= agent_stream.last_seen_at
            cross join lateral (
              select floor(extract(epoch from agent_stream.last_seen_at) / 60)::int as episode
            ) as moment
            where agent_stream.client_id = any ($1)
              and agent_stream.last_seen_at < $2
              and host.retired_at is null
              and not exists (
                select from delivery
                where delivery.client_id = host.client_id
                  and delivery.host_id = host.host_id
                  and delivery.endpoint_id = endpoint.endpoint_id
                  and delivery.episode = moment.episode)
            limit 1000
            "#,
            &scope.0,
            now - STALE_WITHIN,
        )
        .fetch_all(&mut *transaction)
        .await?;
        news.extend(silent.into_iter().map(|row| row.into_news(Told::Silent)));
    }
    let heard = sqlx::query_as!(
        NewsRow,
        r#"
        select
          endpoint.endpoint_id,
          host.client_id,
          client.name as client,
          host.site_id,
          site.name as site,
          host.host_id,
          host.name as host,
          begin.episode,
          (begin.body::json #>> '{data,last_seen_at}')::timestamptz as "since!"
        from delivery as begin
        join endpoint
          on endpoint.endpoint_id = begin.endpoint_id
          and endpoint.disabled_at is null
        join host
          on host.client_id = begin.client_id
          and host.host_id = begin.host_id
        join client on client.client_id = host.client_id
        join site
          on site.client_id = host.client_id
          and site.site_id = host.site_id
        join agent_stream
          on agent_stream.client_id = host.client_id
          and agent_stream.host_id = host.host_id
        where begin.client_id = any ($1)
          and begin.host_id is not null
          and begin.transition = 'silent'
          and agent_stream.last_seen_at > begin.created_at
          and not exists (
            select from delivery as done
            where done.client_id = begin.client_id
              and done.host_id = begin.host_id
              and done.endpoint_id = begin.endpoint_id
              and done.episode = begin.episode
              and done.transition = 'heard')
        limit 1000
        "#,
        &scope.0,
    )
    .fetch_all(&mut *transaction)
    .await?;
    news.extend(heard.into_iter().map(|row| row.into_news(Told::Heard)));
    Ok(news)
}

/// A message about a host.
#[derive(Clone, Debug)]
pub struct HostDelivery {
    pub delivery_id: Uuid,
    pub endpoint_id: Uuid,
    pub host: (i32, i64),
    pub episode: i32,
    pub told: Told,
    pub body: String,
}

/// Writes what is not written yet; how many those are of each client.
pub async fn enqueue(db: &Db, new: &[HostDelivery], now: DateTime<Utc>) -> sqlx::Result<HashMap<i32, u64>> {
    let mut by_client: HashMap<i32, u64> = HashMap::new();
    let mut transaction = db.begin(&Scope(new.iter().map(|delivery| delivery.host.0).collect())).await?;
    for delivery in new {
        let (client_id, host_id) = delivery.host;
        let written = sqlx::query!(
            "
            insert into delivery (client_id, delivery_id, endpoint_id, host_id, episode, transition, body, state,
              next_attempt_at, created_at)
            values ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $8)
            on conflict do nothing
            ",
            client_id,
            delivery.delivery_id,
            delivery.endpoint_id,
            host_id,
            delivery.episode,
            delivery.told.as_str(),
            delivery.body,
            now,
        );
        *by_client.entry(client_id).or_default() += written.execute(&mut *transaction).await?.rows_affected();
    }
    transaction.commit().await?;
    Ok(by_client)
}
