//! Stored rows, of now and of the past, as facts.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use rules::facts::{Service, Socket, SocketState, Update};
use rules::ports::Protocol;
use rules::text::Text;
use serde_json::Value;

use crate::db::facts::of_word;

#[derive(Debug)]
pub(in crate::db) struct SocketRow {
    pub(in crate::db) bound_at: Option<DateTime<Utc>>,
    pub(in crate::db) process_started_at: Option<DateTime<Utc>>,
    pub(in crate::db) pid: Option<i64>,
    pub(in crate::db) path: Option<String>,
    pub(in crate::db) port: i32,
    pub(in crate::db) scope: i64,
    pub(in crate::db) protocol: i16,
    pub(in crate::db) state: i16,
    pub(in crate::db) specific_port: Option<bool>,
    pub(in crate::db) address: IpAddr,
    pub(in crate::db) services: Vec<String>,
}

impl From<SocketRow> for Socket {
    fn from(row: SocketRow) -> Self {
        Self {
            protocol: if row.protocol == 6 { Protocol::Tcp } else { Protocol::Udp },
            address: row.address,
            scope: u32::try_from(row.scope).unwrap_or_default(),
            port: u16::try_from(row.port).unwrap_or_default(),
            state: match row.state {
                1 => SocketState::Listen,
                3 => SocketState::Connected,
                _ => SocketState::Bound,
            },
            pid: number(row.pid),
            image: row.path.map(Text::from),
            process_started_at: row.process_started_at,
            services: texts(row.services),
            specific_port: row.specific_port,
            bound_at: row.bound_at,
        }
    }
}

/// The socket of a record that has other columns beside those of a [`SocketRow`].
macro_rules! socket_of {
    ($record:ident) => {
        rules::facts::Socket::from(crate::db::facts::rows::SocketRow {
            bound_at: $record.bound_at,
            process_started_at: $record.process_started_at,
            pid: $record.pid,
            path: $record.path,
            port: $record.port,
            scope: $record.scope,
            protocol: $record.protocol,
            state: $record.state,
            specific_port: $record.specific_port,
            address: $record.address,
            services: $record.services,
        })
    };
}
pub(in crate::db) use socket_of;

#[derive(Debug)]
pub(in crate::db) struct ServiceRow {
    pub(in crate::db) name: String,
    pub(in crate::db) display_name: String,
    pub(in crate::db) state: String,
    pub(in crate::db) start: Option<String>,
    pub(in crate::db) delayed: Option<bool>,
    pub(in crate::db) trigger_start: Option<bool>,
    pub(in crate::db) pid: Option<i64>,
    pub(in crate::db) exit_code: Option<i64>,
    pub(in crate::db) service_exit_code: Option<i64>,
    pub(in crate::db) image_path: Option<String>,
    pub(in crate::db) account: Option<String>,
    pub(in crate::db) depends_on: Vec<String>,
    pub(in crate::db) state_since: Option<DateTime<Utc>>,
    pub(in crate::db) recovery: Option<Value>,
}

impl ServiceRow {
    /// `None`: a state that this version does not know.
    pub(in crate::db) fn service(self) -> Option<Service> {
        Some(Service {
            name: self.name.into(),
            display_name: self.display_name.into(),
            state: of_word(&self.state)?,
            start: self.start.and_then(|start| of_word(&start)),
            delayed: self.delayed,
            trigger_start: self.trigger_start,
            pid: number(self.pid),
            exit_code: number(self.exit_code),
            service_exit_code: number(self.service_exit_code),
            image_path: self.image_path.map(Text::from),
            account: self.account.map(Text::from),
            depends_on: texts(self.depends_on),
            state_since: self.state_since,
            recovery: self.recovery.and_then(|recovery| serde_json::from_value(recovery).ok()),
        })
    }
}

#[derive(Debug)]
pub(in crate::db) struct UpdateRow {
    pub(in crate::db) source: String,
    pub(in crate::db) id: String,
    pub(in crate::db) kb: Option<String>,
    pub(in crate::db) title: String,
    pub(in crate::db) state: String,
    pub(in crate::db) installed_at: Option<DateTime<Utc>>,
    pub(in crate::db) removable: Option<bool>,
    pub(in crate::db) version: Option<String>,
    pub(in crate::db) aliases: Vec<String>,
    pub(in crate::db) installed_by: Option<String>,
}

impl UpdateRow {
    /// `None`: a source or state that this version does not know.
    pub(in crate::db) fn update(self) -> Option<Update> {
        Some(Update {
            source: of_word(&self.source)?,
            id: self.id.into(),
            kb: self.kb.map(Text::from),
            title: self.title.into(),
            state: of_word(&self.state)?,
            installed_at: self.installed_at,
            removable: self.removable,
            version: self.version.map(Text::from),
            aliases: texts(self.aliases),
            installed_by: self.installed_by.map(Text::from),
        })
    }
}

fn number(number: Option<i64>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

fn texts(texts: Vec<String>) -> Vec<Text> {
    texts.into_iter().map(Text::from).collect()
}
