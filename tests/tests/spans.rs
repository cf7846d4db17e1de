//! What a host told at any time can be read back as of that time: from the rows that are true now and the spans of what
//! ended. Random lives of one host, whose clock is also set back, whose reports also do not fit.

use std::collections::BTreeSet;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_server::clock;
use proto::fleet::v1::Outcome;
use proto::wire::Report;
use rules::facts::{Facts, Section, ServiceState, Socket, Update};
use serde_json::json;
use tests::raw_agent::{RawAgent, changes, full, hello};
use tests::reporting_host::{Host, blocked, with_sockets};

const REPORTS: u64 = 40;

#[tokio::test]
async fn what_was_told_is_what_was_true_then() -> Result<()> {
    for seed in [1, 2, 3] {
        let (host, told) = live(Dice(seed)).await?;
        for (index, (at, facts)) in told.iter().enumerate() {
            // Of what was told for one moment, the last holds.
            if told.get(index + 1).is_none_or(|(next, _)| next > at) {
                assert_eq!(as_of(&host, *at).await?, shape(facts), "seed {seed}, report {}", index + 1);
            }
        }
        let empty = "select (select count(*) from socket_span where valid_from >= valid_to)
            + (select count(*) from service_span where valid_from >= valid_to)
            + (select count(*) from update_span where valid_from >= valid_to)
            + (select count(*) from section_span where valid_from >= valid_to)";
        assert_eq!(host.number(empty).await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_told_again_ends_nothing() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    let facts = lively();
    for seq in 1..=3 {
        agent.report(&full(seq, &facts)).await?;
    }
    for table in ["socket_span", "service_span", "update_span", "section_span"] {
        assert_eq!(host.count(table).await?, 0, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn a_host_ahead_of_our_clock_tells_nothing_of_the_future() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    let ahead = Some(clock::now() + TimeDelta::hours(5));
    agent.report(&Report { wall_clock: ahead, ..full(1, &blocked()) }).await?;
    assert!(told_at(&host).await? <= clock::now());
    assert_eq!(host.number("select count(*) from socket_now where valid_from > now()").await?, 0);
    Ok(())
}

/// When each report was told, and what was true after it.
async fn live(mut dice: Dice) -> Result<(Host, Vec<(DateTime<Utc>, Facts)>)> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    let mut told = Vec::new();
    let mut facts = lively();
    let mut clock = clock::now() - TimeDelta::days(1);
    for seq in 1..=REPORTS {
        clock += TimeDelta::seconds(i64::try_from(dice.below(120))? - 30);
        if seq > 1 && dice.below(10) == 0 {
            facts = mislead(&mut agent, seq, clock, facts).await?;
        } else {
            let before = facts.clone();
            facts = after(facts, &mut dice);
            let report = if seq == 1 || dice.below(6) == 0 { full(seq, &facts) } else { changes(seq, &before, &facts) };
            let report = Report { wall_clock: Some(clock), ..report };
            assert_eq!(agent.report(&report).await?, Outcome::Applied);
        }
        told.push((told_at(&host).await?, facts.clone()));
    }
    Ok((host, told))
}

/// A report that takes away a socket that was never there: what it said of sockets is not known, and the rest was not said.
async fn mislead(agent: &mut RawAgent, seq: u64, clock: DateTime<Utc>, facts: Facts) -> Result<Facts> {
    let stranger = changes(seq, &with_sockets(3), &with_sockets(2));
    let stranger = Report { wall_clock: Some(clock), ..stranger };
    assert_eq!(agent.report(&stranger).await?, Outcome::Quarantined);
    agent.asked_for().await?;
    Ok(Facts { sockets: Section::Unknown("rejected".into()), ..facts })
}

/// Of every kind something.
fn lively() -> Facts {
    let update = |number: u32| -> Option<Update> {
        let update = json!({ "source": "component_package", "id": format!("KB{number}"), "kb": format!("KB{number}"),
            "title": "Update", "state": "installed" });
        serde_json::from_value(update).ok()
    };
    Facts { updates: Section::Known((5_000_000..5_000_006).filter_map(update).collect()), ..blocked() }
}

fn after(mut facts: Facts, dice: &mut Dice) -> Facts {
    for _ in 0..dice.below(4) {
        match dice.below(8) {
            0 => facts.services = Section::Unknown("access denied".into()),
            1 => facts.updates = Section::Unknown("the registry is locked".into()),
            2 => facts = Facts { services: blocked().services, updates: lively().updates, ..facts },
            3 | 4 => {
                let mut sockets = match facts.sockets {
                    Section::Known(sockets) => sockets,
                    Section::Unknown(_) => Vec::new(),
                };
                sockets.retain(|_| dice.below(3) > 0);
                let number = u16::try_from(dice.below(20)).unwrap_or_default();
                if let Section::Known(more) = with_sockets(20).sockets
                    && let Some(one) = more.into_iter().nth(usize::from(number))
                    && !sockets.contains(&one)
                {
                    sockets.push(Socket { pid: Some(4 + u32::try_from(dice.below(3)).unwrap_or_default()), ..one });
                }
                sockets.sort();
                sockets.dedup();
                facts.sockets = Section::Known(sockets);
            }
            5 => {
                if let Section::Known(services) = &mut facts.services {
                    services.retain(|_| dice.below(4) > 0);
                    for service in services {
                        let state = [ServiceState::Running, ServiceState::Stopped, ServiceState::StartPending];
                        service.state = state[usize::try_from(dice.below(3)).unwrap_or_default()];
                    }
                }
            }
            6 => {
                if let Section::Known(updates) = &mut facts.updates {
                    updates.retain(|_| dice.below(4) > 0);
                    for update in updates {
                        update.title = format!("Update, edition {}", dice.below(3)).as_str().into();
                    }
                }
            }
            _ => {
                if let Section::Known(host) = &mut facts.host {
                    host.domain = Some(format!("domain{}.test", dice.below(3)).as_str().into());
                }
            }
        }
    }
    facts
}

async fn told_at(host: &Host) -> Result<DateTime<Utc>> {
    Ok(host.texts("select to_json(told_at) #>> '{}' from agent_stream").await?.remove(0).parse()?)
}

/// What is told of the host as of `at`; of an unknown section no rows.
async fn as_of(host: &Host, at: DateTime<Utc>) -> Result<BTreeSet<String>> {
    let at = at.to_rfc3339();
    let sql = format!(
        r"
        with section as (
          select section, unknown_reason, facts from host_section where valid_from <= '{at}'
          union all
          select section, unknown_reason, facts from section_span where valid_from <= '{at}' and valid_to > '{at}'
        ), row as (
          select 'sockets' as section, port || ' ' || pid as text from socket_now where valid_from <= '{at}'
          union all
          select 'sockets', port || ' ' || pid from socket_span where valid_from <= '{at}' and valid_to > '{at}'
          union all
          select 'services', name || ' ' || state from service_now where valid_from <= '{at}'
          union all
          select 'services', name || ' ' || state from service_span where valid_from <= '{at}' and valid_to > '{at}'
          union all
          select 'updates', id || ' ' || title from update_now where valid_from <= '{at}'
          union all
          select 'updates', id || ' ' || title from update_span where valid_from <= '{at}' and valid_to > '{at}'
          union all
          select section, facts ->> 'domain' from section where section = 'host'
        )
        select section || case when unknown_reason is null then '' else ' unknown' end as line
        from section
        where section in ('host', 'sockets', 'services', 'updates')
        union all
        select row.section || ': ' || text
        from row join section on section.section = row.section and section.unknown_reason is null"
    );
    let mut lines = BTreeSet::new();
    for line in host.texts(&sql).await? {
        assert!(lines.insert(line.clone()), "{line} twice at {at}");
    }
    Ok(lines)
}

/// The same of facts.
fn shape(facts: &Facts) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut section = |name: &str, rows: Option<Vec<String>>| {
        lines.insert(format!("{name}{}", if rows.is_some() { "" } else { " unknown" }));
        lines.extend(rows.into_iter().flatten().map(|row| format!("{name}: {row}")));
    };
    let pid = |socket: &Socket| format!("{} {}", socket.port, socket.pid.unwrap_or_default());
    section("sockets", facts.sockets.known().map(|rows| rows.iter().map(pid).collect()));
    let state = |state| serde_json::to_value::<ServiceState>(state).unwrap_or_default();
    let services = facts.services.known().map(|rows| {
        rows.iter().map(|row| format!("{} {}", row.name, state(row.state).as_str().unwrap_or_default())).collect()
    });
    section("services", services);
    let updates =
        facts.updates.known().map(|rows| rows.iter().map(|row| format!("{} {}", row.id, row.title)).collect());
    section("updates", updates);
    section("host", facts.host.known().map(|host| host.domain.iter().map(ToString::to_string).collect()));
    lines
}

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    /// `SplitMix64`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
