//! What was true of a host at a moment: rows that are still true and began by then, and spans that had not ended.
//!
//! Invariant: a section that was unknown then is unknown in the answer too, whatever rows of it are stored; its rows are
//! what was known last before.

pub mod held;

pub mod lives;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use rules::facts::{Facts, Section, Service, Socket, Update};
use rules::text::Text;
use sqlx::{Postgres, Transaction};

use crate::db::history;
use crate::db::read::Plans;
use crate::db::read_host_rows::begin_with;
use crate::db::read_hosts::{SectionRow, UNHEARD_AFTER_END};
use crate::db::{Db, Scope};

use crate::db::facts::rows::{ServiceRow, SocketRow, UpdateRow};

/// A host and a moment, in a transaction that sees them.
#[derive(Debug)]
pub struct HostAt {
    transaction: Transaction<'static, Postgres>,
    client_id: i32,
    host_id: i64,
    at: DateTime<Utc>,
}

/// When a host was not heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    pub since: DateTime<Utc>,
    /// `None`: it has not been heard of again.
    pub until: Option<DateTime<Utc>>,
}

impl HostAt {
    /// `None`: no such host in `scope`.
    pub async fn of(scope: &Scope, db: &Db, host_id: i64, at: DateTime<Utc>) -> sqlx::Result<Option<Self>> {
        let Some((transaction, client_id)) = begin_with(scope, db, host_id, Plans::Once).await? else {
            return Ok(None);
        };
        Ok(Some(Self { transaction, client_id, host_id, at }))
    }

    /// The same host at another moment.
    #[must_use]
    pub fn at(self, at: DateTime<Utc>) -> Self {
        Self { at, ..self }
    }

    /// Whether each section was known then. One that is missing had not been reported.
    pub async fn sections(&mut self) -> sqlx::Result<Vec<SectionRow>> {
        sqlx::query_as!(
            SectionRow,
            r#"
            select section as "section!", unknown_reason, facts, null::timestamptz as collected_at, valid_from as "learned_at!"
            from (
              select section, unknown_reason, facts, valid_from
              from host_section
              where client_id = $1 and host_id = $2 and valid_from <= $3
              union all
              select section, unknown_reason, facts, valid_from
              from section_span
              where client_id = $1 and host_id = $2 and valid_to > $3 and valid_from <= $3
            ) as known
            "#,
            self.client_id,
            self.host_id,
            self.at,
        )
        .fetch_all(&mut *self.transaction)
        .await
    }

    /// The sockets of then, or what was known of them last.
    pub async fn sockets(&mut self) -> sqlx::Result<Vec<Socket>> {
        let rows = sqlx::query_as!(
            SocketRow,
            r#"
            select bound_at, process_started_at, pid, image.path as "path?", port as "port!", scope as "scope!",
              protocol as "protocol!", state as "state!", specific_port, address as "address!: IpAddr",
              service_list.names as "services!"
            from (
              select bound_at, process_started_at, pid, image_id, port, scope, protocol, state, specific_port, address,
                service_list_id
              from socket_now
              where client_id = $1 and host_id = $2 and valid_from <= $3
              union all
              select bound_at, process_started_at, pid, image_id, port, scope, protocol, state, specific_port, address,
                service_list_id
              from socket_span
              where client_id = $1 and host_id = $2 and valid_to > $3 and valid_from <= $3
            ) as open
            left join image using (image_id)
            join service_list using (service_list_id)
            "#,
            self.client_id,
            self.host_id,
            self.at,
        )
        .fetch_all(&mut *self.transaction)
        .await?;
        Ok(rows.into_iter().map(Socket::from).collect())
    }

    /// The services of then, or what was known of them last.
    pub async fn services(&mut self) -> sqlx::Result<Vec<Service>> {
        let rows = sqlx::query_as!(
            ServiceRow,
            r#"
            select name as "name!", display_name as "display_name!", state as "state!", start, delayed, trigger_start,
              pid, exit_code, service_exit_code, image_path, account, depends_on as "depends_on!", state_since, recovery
            from (
              select name, display_name, state, start, delayed, trigger_start, pid, exit_code, service_exit_code,
                image_path, account, depends_on, state_since, recovery
              from service_now
              where client_id = $1 and host_id = $2 and valid_from <= $3
              union all
              select name, display_name, state, start, delayed, trigger_start, pid, exit_code, service_exit_code,
                image_path, account, depends_on, state_since, recovery
              from service_span
              where client_id = $1 and host_id = $2 and valid_to > $3 and valid_from <= $3
            ) as listed
            "#,
            self.client_id,
            self.host_id,
            self.at,
        )
        .fetch_all(&mut *self.transaction)
        .await?;
        Ok(rows.into_iter().filter_map(ServiceRow::service).collect())
    }

    /// The updates of then, or what was known of them last.
    pub async fn updates(&mut self) -> sqlx::Result<Vec<Update>> {
        let rows = sqlx::query_as!(
            UpdateRow,
            r#"
            select source as "source!", id as "id!", kb, title as "title!", state as "state!", installed_at, removable,
              version, aliases as "aliases!", installed_by
            from (
              select source, id, kb, title, state, installed_at, removable, version, aliases, installed_by
              from update_now
              where client_id = $1 and host_id = $2 and valid_from <= $3
              union all
              select source, id, kb, title, state, installed_at, removable, version, aliases, installed_by
              from update_span
              where client_id = $1 and host_id = $2 and valid_to > $3 and valid_from <= $3
            ) as listed
            "#,
            self.client_id,
            self.host_id,
            self.at,
        )
        .fetch_all(&mut *self.transaction)
        .await?;
        Ok(rows.into_iter().filter_map(UpdateRow::update).collect())
    }

    /// What its earlier boots tell of the ports that services need, as it is known today.
    pub async fn earlier_boots(&mut self) -> sqlx::Result<history::Past> {
        history::past_of_newest(&mut self.transaction, (self.client_id, self.host_id)).await
    }

    /// `None`: the host was heard of then, or has no agent that could be silent.
    pub async fn silence(&mut self) -> sqlx::Result<Option<Silence>> {
        sqlx::query_as!(
            Silence,
            r#"
            select from_at as "since!", until_at as "until"
            from host_silence
            where client_id = $1 and host_id = $2 and from_at <= $3 and until_at > $3
            union all
            select last_seen_at, null
            from agent_stream
            where client_id = $1 and host_id = $2 and last_seen_at < $4
            limit 1
            "#,
            self.client_id,
            self.host_id,
            self.at,
            self.at - UNHEARD_AFTER_END,
        )
        .fetch_optional(&mut *self.transaction)
        .await
    }

    /// All that was true then. Events are kept by their own time and connections only as they are: both are unknown.
    pub async fn facts(&mut self) -> sqlx::Result<Facts> {
        let sections = self.sections().await?;
        Ok(Facts {
            collected_at: Some(self.at),
            host: document(&sections, "host"),
            port_policy: document(&sections, "port_policy"),
            sockets: known(&sections, "sockets", self.sockets().await?),
            services: known(&sections, "services", self.services().await?),
            updates: known(&sections, "updates", self.updates().await?),
            ..Facts::default()
        })
    }
}

fn known<T>(sections: &[SectionRow], name: &str, rows: Vec<T>) -> Section<Vec<T>> {
    match sections.iter().find(|row| row.section == name) {
        None => Section::Unknown(Text::new("not reported yet")),
        Some(row) => match &row.unknown_reason {
            Some(reason) => Section::Unknown(Text::new(reason)),
            None => Section::Known(rows),
        },
    }
}

fn document<T: serde::de::DeserializeOwned>(sections: &[SectionRow], name: &str) -> Section<T> {
    let Some(row) = sections.iter().find(|row| row.section == name) else {
        return Section::Unknown(Text::new("not reported yet"));
    };
    if let Some(reason) = &row.unknown_reason {
        return Section::Unknown(Text::new(reason));
    }
    match serde_json::from_value(row.facts.clone().unwrap_or_default()) {
        Ok(document) => Section::Known(document),
        Err(error) => Section::Unknown(Text::from(format!("what is stored cannot be read: {error}"))),
    }
}
