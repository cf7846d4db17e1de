//! `ask`: the questions of the past at the command line. Every answer is the API's own, for all clients.
//!
//! Ends with 3 where there is no such host, or nobody held the port.

use std::io::Write;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use rules::ports::Port;
use serde::Serialize;

use crate::api::host_changes::{self, ChangesQuery, HostChanges, MemberChange};
use crate::api::host_port_history::Holding;
use crate::api::host_ports::{PortGroup, groups};
use crate::api::hosts::section_status;
use crate::api::model::{Known, SectionName};
use crate::api::page;
use crate::api::ports::PortHost;
use crate::api::problem::{Code, Problem};
use crate::cli::Refusal;
use crate::cli::open::Opened;
use crate::cli::output;
use crate::clock;
use crate::config::Place;
use crate::db::read_hosts::{self, HostFilter, HostRow};
use crate::db::read_past::HostAt;
use crate::db::read_past::held::{self, HeldRow, HostWithRow, Within};
use crate::db::{Db, Scope};

/// Rows that one answer may have.
const AT_MOST: i64 = 10_000;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    question: Question,
    /// Print JSON, as the API answers.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Who held a port of a host: at a moment, or ever since the host is watched.
    WhoHeld {
        /// Id or name.
        host: String,
        /// Such as udp/1812.
        port: Port,
        /// A time such as 2026-11-22T03:00:00Z, or how long ago: 30m, 3h, 7d.
        #[arg(long)]
        at: Option<Moment>,
    },
    /// What was true of a host: with --json a facts file, which `check` reads.
    Host {
        /// Id or name.
        host: String,
        /// A time such as 2026-11-22T03:00:00Z, or how long ago: 30m, 3h, 7d.
        #[arg(long)]
        at: Option<Moment>,
    },
    /// Which hosts have, or had, something on a port.
    HostsWith {
        /// Such as tcp/3101.
        port: Port,
        /// A time such as 2026-11-22T03:00:00Z, or how long ago: 30m, 3h, 7d.
        #[arg(long)]
        at: Option<Moment>,
    },
    /// What changed on a host; without more, in the last 24 hours.
    Changed {
        /// Id or name.
        host: String,
        /// A time such as 2026-11-22T03:00:00Z, or how long ago: 30m, 3h, 7d.
        #[arg(long)]
        from: Option<Moment>,
        /// As --from; left out: now.
        #[arg(long)]
        to: Option<Moment>,
        /// From the last moment of one boot to that of another.
        #[arg(long, num_args = 2, value_names = ["BOOT", "BOOT"], conflicts_with_all = ["from", "to"])]
        boots: Option<Vec<i32>>,
        /// Before and after this update came.
        #[arg(long, value_name = "KB", conflicts_with_all = ["from", "boots"])]
        around: Option<String>,
    },
}

/// A time, said as such or as how long ago.
#[derive(Clone, Copy, Debug)]
enum Moment {
    At(DateTime<Utc>),
    Ago(TimeDelta),
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(at.to_utc()));
        }
        output::span(text).map(Self::Ago).map_err(|_| {
            format!("`{text}` is neither a time such as 2026-11-22T03:00:00Z nor how long ago, such as 30m, 3h or 7d")
        })
    }
}

impl Moment {
    /// A time that is still to come is refused.
    fn before(self, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
        match self {
            Self::At(at) if at > now => Err(Refusal::BadInput(format!("{at} is still to come"))),
            Self::At(at) => Ok(at),
            Self::Ago(span) => Ok(now - span),
        }
    }
}

pub async fn run(place: Place, arguments: Arguments) -> anyhow::Result<()> {
    let opened = Opened::open(&place).await?;
    let answered = answer(&opened.db, &arguments, clock::now()).await;
    opened.close().await?;
    let mut out = std::io::stdout().lock();
    Ok(out.write_all(answered?.as_bytes())?)
}

async fn answer(db: &Db, arguments: &Arguments, now: DateTime<Utc>) -> anyhow::Result<String> {
    let scope = db.everything().await?;
    let lines = match &arguments.question {
        Question::WhoHeld { host, port, at } => {
            let host = find(&scope, db, host, now).await?;
            let held = who_held(&scope, db, (&host, *port), *at, now).await?;
            if arguments.json {
                return json(&held);
            }
            held.iter().map(holding).collect()
        }
        Question::Host { host, at } => {
            let host = find(&scope, db, host, now).await?;
            let at = at.map_or(Ok(now), |at| at.before(now))?;
            let mut then = HostAt::of(&scope, db, host.host_id, at).await?.context("the host was there")?;
            let facts = then.facts().await?;
            if arguments.json {
                return json(&facts);
            }
            let mut lines = vec![format!("{} ({}) at {}", host.name, host.client_name, time(at))];
            if let Some(silence) = then.silence().await? {
                lines.push(format!("  not heard of since {}: what follows was true before", time(silence.since)));
            }
            told(&mut lines, "ports", &facts.sockets, |sockets| groups(sockets).iter().map(group).collect());
            told(&mut lines, "services", &facts.services, |all| {
                let word = |value| serde_json::to_value(value).ok().and_then(|word| Some(word.as_str()?.to_owned()));
                all.iter().map(|one| format!("{} {}", one.name, word(one.state).unwrap_or_default())).collect()
            });
            told(&mut lines, "updates", &facts.updates, |all| {
                all.iter().map(|one| format!("{} {}", one.kb.as_ref().unwrap_or(&one.id), one.title)).collect()
            });
            lines
        }
        Question::HostsWith { port, at } => {
            let at = at.map_or(Ok(now), |at| at.before(now))?;
            let rows: Vec<HostWithRow> = held::hosts_with(&scope, db, (*port, at), None, AT_MOST).await?;
            let unknown = held::hosts_unknown(&scope, db, at).await?;
            if unknown > 0 {
                eprintln!("Of {unknown} hosts nobody knew then which ports they had open.");
            }
            let hosts: Vec<PortHost> = rows.into_iter().map(PortHost::from).collect();
            if arguments.json {
                return json(&hosts);
            }
            hosts.iter().flat_map(host_with).collect()
        }
        Question::Changed { host, from, to, boots, around } => {
            let host = find(&scope, db, host, now).await?;
            let query = ChangesQuery {
                from: from.map(|from| from.before(now)).transpose()?,
                to: to.map(|to| to.before(now)).transpose()?,
                from_boot: boots.as_ref().and_then(|boots| boots.first().copied()),
                to_boot: boots.as_ref().and_then(|boots| boots.get(1).copied()),
                around: around.clone(),
            };
            let window = host_changes::window(&scope, db, host.host_id, &query, now).await.map_err(refusal)?;
            let changes = host_changes::between(&scope, db, host.host_id, window).await.map_err(refusal)?;
            if arguments.json {
                return json(&changes);
            }
            changed(&changes)
        }
    };
    Ok(lines.into_iter().map(|line: String| line + "\n").collect())
}

async fn find(scope: &Scope, db: &Db, said: &str, now: DateTime<Utc>) -> anyhow::Result<HostRow> {
    let filter = if let Ok(id) = said.parse() {
        HostFilter { host_id: Some(id), ..HostFilter::default() }
    } else {
        let pattern = page::search_pattern(Some(said)).map_err(refusal)?;
        HostFilter { pattern, ..HostFilter::default() }
    };
    let is_it = |host: &HostRow| filter.host_id.is_some() || host.name.eq_ignore_ascii_case(said);
    let mut hosts = read_hosts::list(scope, db, &filter, None, AT_MOST, now).await?;
    hosts.retain(is_it);
    if hosts.len() > 1 {
        let each: Vec<_> = hosts.iter().map(|host| format!("{} ({})", host.host_id, host.client_name)).collect();
        return Err(
            Refusal::BadInput(format!("several hosts are called {said}: name one by id: {}", each.join(", "))).into()
        );
    }
    hosts.pop().ok_or_else(|| Refusal::NotFound(format!("there is no host {said}")).into())
}

async fn who_held(
    scope: &Scope,
    db: &Db,
    (host, port): (&HostRow, Port),
    at: Option<Moment>,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<Holding>> {
    let at = at.map(|at| at.before(now)).transpose()?;
    let within = at.map_or(Within { from: DateTime::UNIX_EPOCH, to: now }, Within::moment);
    let rows: Vec<HeldRow> =
        held::holders(scope, db, (host.host_id, port), within, None, AT_MOST).await?.unwrap_or_default();
    let mut then = HostAt::of(scope, db, host.host_id, at.unwrap_or(now)).await?.context("the host was there")?;
    if let Some(reason) = section_status(&then.sections().await?, SectionName::Sockets).reason {
        eprintln!("Nobody knew at {} which ports were open: {reason}.", time(at.unwrap_or(now)));
    }
    if rows.is_empty() {
        return Err(Refusal::NotFound(format!("nobody is known to have held {port} on {}", host.name)).into());
    }
    Ok(rows.into_iter().map(Holding::from).collect())
}

fn told<T>(
    lines: &mut Vec<String>,
    name: &str,
    section: &rules::facts::Section<Vec<T>>,
    each: impl FnOnce(&[T]) -> Vec<String>,
) {
    match section {
        rules::facts::Section::Unknown(reason) => lines.push(format!("{name}: unknown ({reason})")),
        rules::facts::Section::Known(rows) => {
            lines.push(format!("{name}:"));
            lines.extend(each(rows).into_iter().map(|line| format!("  {line}")));
        }
    }
}

fn holding(held: &Holding) -> String {
    let until = held.until.map_or_else(|| "still".to_owned(), |until| format!("until {}", time(until)));
    let basis = match held.basis {
        crate::api::host_boots::Basis::BindTime => "bound",
        _ => "seen from",
    };
    let owner = owner(held.process.as_deref(), held.pid, &held.services);
    format!("{basis} {} {until}  {owner}  {}", time(held.since), held.address)
}

fn group(group: &PortGroup) -> String {
    let protocol = match group.protocol {
        crate::api::host_facts::Protocol::Tcp => "tcp",
        crate::api::host_facts::Protocol::Udp => "udp",
    };
    let owner = owner(group.process.as_deref(), group.pid, &group.services);
    format!("{protocol}/{}  {owner}  {}", group.ports, group.address)
}

fn owner(process: Option<&str>, pid: Option<u32>, services: &[String]) -> String {
    let process = process.unwrap_or("owner not known");
    let owner = pid.map_or_else(|| process.to_owned(), |pid| format!("{process} (PID {pid})"));
    if services.is_empty() { owner } else { format!("{owner} {}", services.join(", ")) }
}

fn host_with(host: &PortHost) -> Vec<String> {
    let doubt = match (&host.unknown, host.silent_since) {
        (Some(reason), _) => format!("  known last, then unknown: {reason}"),
        (None, Some(since)) => format!("  not heard of since {}", time(since)),
        (None, None) => String::new(),
    };
    let line = |holder| format!("{}\t{}\t{}{doubt}", host.host.name, host.client.name, group(holder));
    host.holders.iter().map(line).collect()
}

fn changed(changes: &HostChanges) -> Vec<String> {
    let mut lines = vec![format!("from {} to {}", time(changes.from.at), time(changes.to.at))];
    section(&mut lines, "ports", &changes.sockets, |sockets| {
        let mut lines: Vec<String> = sockets
            .taken_over
            .iter()
            .map(|port| {
                let names = |groups: &[PortGroup]| groups.iter().map(group).collect::<Vec<_>>().join("; ");
                format!("{} changed hands: {} -> {}", port.port, names(&port.before), names(&port.after))
            })
            .collect();
        lines.extend(sockets.came.iter().map(|one| format!("+ {}", group(one))));
        lines.extend(sockets.went.iter().map(|one| format!("- {}", group(one))));
        if sockets.bound_again > 0 {
            lines.push(format!("{} bound again by the same program", sockets.bound_again));
        }
        lines
    });
    section(&mut lines, "services", &changes.services, |services| {
        let mut lines: Vec<String> = services.came.iter().map(|one| format!("+ {}", one.name)).collect();
        lines.extend(services.went.iter().map(|one| format!("- {}", one.name)));
        for change in &services.changed {
            lines.push(format!("{}: {}", change.service.name, members(&change.members)));
        }
        if services.restarted > 0 {
            lines.push(format!("{} run in another process", services.restarted));
        }
        lines
    });
    section(&mut lines, "updates", &changes.updates, |updates| {
        let sign = |before: bool, after: bool| match (before, after) {
            (false, _) => "+",
            (_, false) => "-",
            _ => "~",
        };
        let line = |one: &host_changes::UpdateChange| {
            let name = one.kb.as_deref().unwrap_or("(no KB)");
            format!("{} {name} {}", sign(one.before.is_some(), one.after.is_some()), one.title)
        };
        updates.iter().map(line).collect()
    });
    section(&mut lines, "host", &changes.host, |changes| changes.iter().map(member).collect());
    section(&mut lines, "port policy", &changes.port_policy, |changes| changes.iter().map(member).collect());
    lines
}

/// A heading with lines under it; without lines, none.
fn section<T>(lines: &mut Vec<String>, name: &str, of: &Known<T>, each: impl FnOnce(&T) -> Vec<String>) {
    match &of.value {
        None => lines.push(format!("{name}: {}", of.unknown.as_deref().unwrap_or("unknown"))),
        Some(value) => {
            let found = each(value);
            if !found.is_empty() {
                lines.push(format!("{name}:"));
                lines.extend(found.into_iter().map(|line| format!("  {line}")));
            }
        }
    }
}

fn members(changes: &[MemberChange]) -> String {
    changes.iter().map(member).collect::<Vec<_>>().join(", ")
}

fn member(change: &MemberChange) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
    format!("{} {} -> {}", change.member, text(&change.before), text(&change.after))
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn json(answer: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(answer)? + "\n")
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refusal(problem: Problem) -> anyhow::Error {
    let detail = problem.detail().to_owned();
    match problem.code() {
        Code::NotFound => Refusal::NotFound(detail).into(),
        Code::BadQuery | Code::NotKept => Refusal::BadInput(detail).into(),
        _ => anyhow::anyhow!("{detail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;
    use chrono::{DateTime, TimeDelta};

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now = DateTime::parse_from_rfc3339("2026-11-22T03:00:00Z").unwrap().to_utc();
        let at = |text: &str| text.parse::<Moment>().unwrap().before(now);
        assert_eq!(at("3h").unwrap(), now - TimeDelta::hours(3));
        assert_eq!(at("2026-11-22T04:00:00+02:00").unwrap(), now - TimeDelta::hours(1));
        assert!(at("2026-11-22T03:00:01Z").is_err());
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
