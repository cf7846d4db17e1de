//! What changed on a host between two moments, two boots, or before and after an update.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use rules::catalog::normalized_kb;
use rules::changes::{self, Changes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::host_ports::{PortGroup, groups};
use crate::api::host_services::{ServiceState, StartMode};
use crate::api::host_updates::UpdateState;
use crate::api::model::Known;
use crate::api::past::{AsOf, past};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::clock;
use crate::db::read_past::{HostAt, lives};
use crate::db::{Db, Scope, read_boots};

/// What changed on a host. A section that was unknown at one of the moments has no changes, and says why.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostChanges {
    pub from: AsOf,
    pub to: AsOf,
    pub sockets: Known<SocketChanges>,
    pub services: Known<ServiceChanges>,
    /// By KB, which is one however many lists of the host name it.
    pub updates: Known<Vec<UpdateChange>>,
    pub host: Known<Vec<MemberChange>>,
    pub port_policy: Known<Vec<MemberChange>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SocketChanges {
    /// On an address and port that nobody had.
    pub came: Vec<PortGroup>,
    /// From an address and port that nobody has.
    pub went: Vec<PortGroup>,
    /// Another program or service has the address and port.
    pub taken_over: Vec<TakenOver>,
    /// How many addresses and ports the same program has bound anew, as after a restart.
    pub bound_again: usize,
}

/// A port that changed hands.
#[derive(Debug, Serialize, ToSchema)]
pub struct TakenOver {
    /// Such as `udp/1812`.
    pub port: String,
    /// `0.0.0.0` and `::` stand for all of the host's addresses.
    pub address: String,
    pub before: Vec<PortGroup>,
    pub after: Vec<PortGroup>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceChanges {
    pub came: Vec<ServiceLine>,
    pub went: Vec<ServiceLine>,
    pub changed: Vec<ServiceChange>,
    /// How many run as before in another process.
    pub restarted: usize,
}

/// A service in a line.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceLine {
    /// SCM key name. Hostile text: show it as text, like the next.
    pub name: String,
    pub display_name: String,
    pub state: ServiceState,
    /// `null`: not read.
    pub start: Option<StartMode>,
}

/// A service that is there at both moments.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceChange {
    /// As it is at the later moment.
    pub service: ServiceLine,
    /// State, start, exit codes, account, program and what else is configured; not its process and times.
    pub members: Vec<MemberChange>,
}

/// A KB that came, went or changed its state.
#[derive(Debug, Serialize, ToSchema)]
pub struct UpdateChange {
    /// `null`: the entry names none.
    pub kb: Option<String>,
    /// Hostile text: show it as text.
    pub title: String,
    /// `null`: no list of the host had it then, like the next.
    pub before: Option<UpdateState>,
    pub after: Option<UpdateState>,
    /// `null`: not known.
    pub installed_at: Option<DateTime<Utc>>,
}

/// A member that differs, as text. Hostile text.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberChange {
    /// As facts files name it.
    pub member: String,
    /// `null`: not read or not set, like the next.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Between which moments. Nothing said: the last 24 hours.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// Such as `2026-11-21T03:00:00Z`; not in the future, like the next.
    pub from: Option<DateTime<Utc>>,
    /// Left out: now; beside `around`, a day after the update came.
    pub to: Option<DateTime<Utc>>,
    /// Number of a boot: from its last moment on. Left out beside `to_boot`: the boot before that.
    pub from_boot: Option<i32>,
    /// Number of a boot: until its last moment. Left out beside `from_boot`: the newest.
    pub to_boot: Option<i32>,
    /// A KB such as `KB948609`: from just before it came to the host.
    pub around: Option<String>,
}

/// What changed on a host
#[utoipa::path(
    get,
    path = "/hosts/{id}/changes",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host"), ChangesQuery),
    responses((status = 200, description = "What changed", body = HostChanges), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<HostChanges>, Problem> {
    let window = window(&caller.scope, &app.db, id, &query, clock::now()).await?;
    between(&caller.scope, &app.db, id, window).await.map(Json)
}

/// The two moments that a question means.
pub async fn window(
    scope: &Scope,
    db: &Db,
    host_id: i64,
    query: &ChangesQuery,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), Problem> {
    let to = query.to.map(|to| past("to", to, now)).transpose()?;
    let by_boots = query.from_boot.is_some() || query.to_boot.is_some();
    let by_times = query.from.is_some() || (to.is_some() && query.around.is_none());
    if [by_times, by_boots, query.around.is_some()].into_iter().filter(|said| *said).count() > 1 {
        return Err(Problem::new(Code::BadQuery, "Name two times, two boots or an update: one of the three."));
    }
    let (from, to) = if let Some(kb) = &query.around {
        let came = came(scope, db, host_id, kb).await?;
        (came - TimeDelta::milliseconds(1), to.unwrap_or(now.min(came + TimeDelta::days(1))))
    } else if by_boots {
        boots(scope, db, host_id, (query.from_boot, query.to_boot), now).await?
    } else {
        let to = to.unwrap_or(now);
        (query.from.map(|from| past("from", from, now)).transpose()?.unwrap_or(to - TimeDelta::days(1)), to)
    };
    if from > to {
        return Err(Problem::new(Code::BadQuery, "The first of the two moments is the earlier one."));
    }
    Ok((from, to))
}

async fn came(scope: &Scope, db: &Db, host_id: i64, kb: &str) -> Result<DateTime<Utc>, Problem> {
    let kb =
        normalized_kb(kb).ok_or_else(|| Problem::field(Code::BadQuery, "around", "is not a KB such as `KB948609`"))?;
    let Some(life) = lives::update(scope, db, (&kb, Some(host_id)), None, 1).await?.pop() else {
        return Err(Problem::not_found("update of this host"));
    };
    if life.is_older {
        return Err(Problem::new(
            Code::NotKept,
            format!("{kb} was there already when the updates of this host were first known."),
        ));
    }
    Ok(life.installed_from.unwrap_or(life.listed_from))
}

/// The last moment of each boot; of the newest that is now.
async fn boots(
    scope: &Scope,
    db: &Db,
    host_id: i64,
    (from, to): (Option<i32>, Option<i32>),
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), Problem> {
    let Some(boots) = read_boots::boots(scope, db, host_id).await? else { return Err(Problem::not_found("host")) };
    let newest = boots.first().map(|boot| boot.number);
    let to = to.or(newest);
    let from = from.or_else(|| boots.iter().map(|boot| boot.number).find(|number| Some(*number) < to));
    let end = |number: Option<i32>| {
        let boot = boots.iter().find(|boot| Some(boot.number) == number)?;
        let ended = boot.shutdown_at.map_or(boot.last_seen_at, |at| at.min(boot.last_seen_at));
        Some(if number == newest { now } else { ended })
    };
    end(from).zip(end(to)).ok_or_else(|| Problem::not_found("boot"))
}

/// What changed from one moment to the other.
pub async fn between(
    scope: &Scope,
    db: &Db,
    host_id: i64,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<HostChanges, Problem> {
    let Some(mut host) = HostAt::of(scope, db, host_id, from).await? else { return Err(Problem::not_found("host")) };
    let (before, from) = (host.facts().await?, AsOf::of(&mut host, from).await?);
    let mut host = host.at(to);
    let (after, to) = (host.facts().await?, AsOf::of(&mut host, to).await?);
    Ok(HostChanges::of(changes::compare(&before, &after), from, to))
}

impl HostChanges {
    fn of(changes: Changes, from: AsOf, to: AsOf) -> Self {
        Self {
            from,
            to,
            sockets: Known::from_section(changes.sockets, |sockets| Some(sockets.into())),
            services: Known::from_section(changes.services, |services| Some(services.into())),
            updates: Known::list(changes.updates, UpdateChange::from),
            host: Known::list(changes.host, MemberChange::from),
            port_policy: Known::list(changes.port_policy, MemberChange::from),
        }
    }
}

impl From<changes::SocketChanges> for SocketChanges {
    fn from(changes: changes::SocketChanges) -> Self {
        let taken_over = changes.taken_over.into_iter().map(|port| TakenOver {
            port: port.port.to_string(),
            address: port.address.to_string(),
            before: groups(&port.before),
            after: groups(&port.after),
        });
        Self {
            came: groups(&changes.came),
            went: groups(&changes.went),
            taken_over: taken_over.collect(),
            bound_again: changes.bound_again,
        }
    }
}

impl From<changes::ServiceChanges> for ServiceChanges {
    fn from(changes: changes::ServiceChanges) -> Self {
        let differ = changes.changed.into_iter().map(|change| ServiceChange {
            service: change.after.into(),
            members: change.members.into_iter().map(MemberChange::from).collect(),
        });
        Self {
            changed: differ.collect(),
            came: changes.came.into_iter().map(ServiceLine::from).collect(),
            went: changes.went.into_iter().map(ServiceLine::from).collect(),
            restarted: changes.restarted,
        }
    }
}

impl From<rules::facts::Service> for ServiceLine {
    fn from(service: rules::facts::Service) -> Self {
        Self {
            name: service.name.into_string(),
            display_name: service.display_name.into_string(),
            state: service.state.into(),
            start: service.start.map(Into::into),
        }
    }
}

impl From<changes::UpdateChange> for UpdateChange {
    fn from(change: changes::UpdateChange) -> Self {
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        let told = after.or(before);
        Self {
            kb: told.and_then(|update| update.kb.as_ref()).map(ToString::to_string),
            title: told.map(|update| update.title.to_string()).unwrap_or_default(),
            before: before.map(|update| update.state.into()),
            after: after.map(|update| update.state.into()),
            installed_at: told.and_then(|update| update.installed_at),
        }
    }
}

impl From<changes::MemberChange> for MemberChange {
    fn from(change: changes::MemberChange) -> Self {
        Self { member: change.member, before: change.before.and_then(plain), after: change.after.and_then(plain) }
    }
}

/// A value of a facts file as one reads it aloud. `None`: there is none.
fn plain(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        Value::Array(values) if values.is_empty() => Some("none".to_owned()),
        Value::Array(values) => Some(values.into_iter().filter_map(plain).collect::<Vec<_>>().join(", ")),
        Value::Object(mut members) => {
            if let Some(known) = members.remove("known") {
                return plain(known);
            }
            if let Some(Value::String(reason)) = members.remove("unknown") {
                return Some(format!("unknown: {reason}"));
            }
            let members = members.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", plain(value)?)));
            Some(members.collect::<Vec<_>>().join(" "))
        }
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;
    use serde_json::json;

    #[test]
    fn reads_values_aloud() {
        assert_eq!(
            plain(json!({ "known": [{ "protocol": "tcp", "range": "1-5" }] })).unwrap(),
            "protocol tcp range 1-5"
        );
        assert_eq!(plain(json!({ "unknown": "access denied" })).unwrap(), "unknown: access denied");
        assert_eq!(plain(json!({ "known": [] })).unwrap(), "none");
        assert_eq!(plain(json!({ "known": null })), None);
    }
}
