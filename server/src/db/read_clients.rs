//! Clients and their sites for people.

use chrono::{DateTime, Utc};

use crate::db::{Db, Scope, read};

/// Where a page starts: behind this client.
pub type ClientKey = (String, i32);

/// A client with its hosts, its open findings by severity, and hosts of which something cannot be told.
#[derive(Clone, Debug)]
pub struct ClientRow {
    pub client_id: i32,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub hosts: i64,
    pub critical: i64,
    pub warning: i64,
    pub info: i64,
    pub unknown: i64,
}

impl ClientRow {
    pub fn key(&self) -> ClientKey {
        (self.name.clone(), self.client_id)
    }
}

/// By name.
pub async fn list(scope: &Scope, db: &Db, after: Option<ClientKey>, limit: i64) -> sqlx::Result<Vec<ClientRow>> {
    let mut transaction = read::begin(scope, db).await?;
    let (name, client_id) = after.unzip();
    sqlx::query_as!(
        ClientRow,
        r#"
        select
          client.client_id,
          client.name,
          client.created_at,
          (
            select count(*)
            from host
            where host.client_id = client.client_id
              and host.retired_at is null
          ) as "hosts!",
          open.critical as "critical!",
          open.warning as "warning!",
          open.info as "info!",
          (
            select count(*)
            from host_judgement
            where host_judgement.client_id = client.client_id
              and host_judgement.cannot_tell <> '[]'
          ) as "unknown!"
        from client
        cross join lateral (
          select
            count(*) filter (where severity = 3) as critical,
            count(*) filter (where severity = 2) as warning,
            count(*) filter (where severity = 1) as info
          from finding
          where finding.client_id = client.client_id
            and finding.state = 'open'
        ) as open
        where client.client_id = any ($1)
          and ($2::text is null or (client.name, client.client_id) > ($2, $3))
        order by client.name, client.client_id
        limit $4
        "#,
        &scope.0,
        name,
        client_id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// A site with its hosts.
#[derive(Clone, Debug)]
pub struct SiteListRow {
    pub client_id: i32,
    pub site_id: i64,
    pub name: String,
    pub hosts: i64,
}

/// All sites, by name.
pub async fn sites(scope: &Scope, db: &Db) -> sqlx::Result<Vec<SiteListRow>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        SiteListRow,
        r#"
        select
          site.client_id,
          site.site_id,
          site.name,
          (
            select count(*)
            from host
            where host.client_id = site.client_id
              and host.site_id = site.site_id
              and host.retired_at is null
          ) as "hosts!"
        from site
        where site.client_id = any ($1)
        order by site.name, site.site_id
        "#,
        &scope.0,
    )
    .fetch_all(&mut *transaction)
    .await
}
