//! What the database says: the server that holds it, its shape, and what in it waits for somebody.

use std::path::Path;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::{Verdict, bad, fine, look};
use crate::clock;
use crate::config::Place;
use crate::db::bootstrap::{Access, DATABASE};
use crate::db::examine::{self, Counts, Postgres};
use crate::db::migrator::{self, Ahead};
use crate::db::{installation, restore};
use crate::identity::authority::Authority;
use crate::identity::seal::{Purpose, Sealer};
use crate::postgres::{Cluster, binaries};
use crate::retention::{self, Standing};

/// Two clocks that differ by more make times in pages and leases hard to read together.
const CLOCKS: TimeDelta = TimeDelta::seconds(2);
/// Agents need a new authority before its end: a year is time for that.
const AUTHORITY_ENDS_SOON: TimeDelta = TimeDelta::days(365);

pub(super) async fn examine(place: &Place, data: &Path) -> Vec<Verdict> {
    const WHAT: &str = "database";
    let cannot = |error: anyhow::Error| {
        vec![bad(WHAT, format!("The database cannot be examined: {error:#}."), "Mend what it says, and ask again.")]
    };
    if let Some(url) = &place.database_url {
        let Ok(options) = PgConnectOptions::from_str(&url.0) else {
            return vec![bad(WHAT, "DATABASE_URL is no address.", "Such as postgres://user@host/portreeve.")];
        };
        return look_into(&options, data).await.unwrap_or_else(cannot);
    }
    if !data.join("postgres/PG_VERSION").exists() {
        return vec![look(WHAT, "There is no private Postgres here yet.", "`run` makes it.")];
    }
    match Cluster::join(&place.data_dir).await {
        Ok(cluster) => {
            let mut verdicts = look_into(&cluster.options().database(DATABASE), data).await.unwrap_or_else(cannot);
            if let Err(error) = cluster.stop().await {
                verdicts.push(bad(WHAT, format!("Postgres does not stop: {error:#}."), "Look into its log."));
            }
            verdicts
        }
        Err(error) => cannot(error),
    }
}

async fn look_into(options: &PgConnectOptions, data: &Path) -> anyhow::Result<Vec<Verdict>> {
    let mut connection = PgConnection::connect_with(options).await?;
    let now = clock::now();
    let mut verdicts = settings(&examine::postgres(&mut connection).await?, now);
    let wrong = examine::wrong_roles(&mut connection).await?;
    let migrations = examine::migrations(&mut connection).await?;
    verdicts.push(if wrong.is_empty() {
        fine("roles", "Both roles are there, and the server's own cannot see past row-level security.")
    } else {
        let action = "As an administrator: create role NAME; alter role portreeve_app nosuperuser nobypassrls;";
        bad("roles", format!("Missing, or mightier than they may be: {}.", wrong.join(", ")), action)
    });
    if migrations.is_empty() {
        verdicts.push(look("migrations", "No server ever ran on this database.", "`run` prepares it."));
        connection.close().await?;
        return Ok(verdicts);
    }
    let missing = migrator::missing(&migrations).count();
    verdicts.push(migrated(missing, migrator::ahead(&mut connection, &migrations).await?));
    let open = examine::open_tables(&mut connection).await?;
    verdicts.push(if open.is_empty() {
        fine("row-level-security", "Row-level security is forced on every table of clients.")
    } else {
        let text = format!("Not behind row-level security: {}.", open.join(", "));
        bad("row-level-security", text, "Somebody changed these tables: restore a backup, or ask for help.")
    });
    verdicts.push(partitions(&examine::newest_weeks(&mut connection).await?, now));
    connection.close().await?;
    // What follows reads tables of the newest shape, as the server reads them.
    if wrong.is_empty() && missing == 0 {
        verdicts.extend(as_the_server(options, data, now).await?);
    }
    Ok(verdicts)
}

fn settings(postgres: &Postgres, now: DateTime<Utc>) -> Vec<Verdict> {
    const WHAT: &str = "postgres-settings";
    let mut verdicts = Vec::new();
    let major = postgres.version / 10_000;
    verdicts.push(if major >= i32::try_from(binaries::OLDEST).unwrap_or(i32::MAX) {
        fine("postgres-version", format!("Postgres {major} answers."))
    } else {
        bad("postgres-version", format!("Postgres {major} is too old."), format!("Use {} or later.", binaries::OLDEST))
    });
    if postgres.fsync != "on" {
        verdicts.push(bad(WHAT, "fsync is off: a power cut destroys the database.", "Set fsync = on."));
    }
    if postgres.autovacuum != "on" {
        verdicts.push(bad(WHAT, "autovacuum is off: tables only grow.", "Set autovacuum = on."));
    }
    if postgres.synchronous_commit == "off" {
        let text = "synchronous_commit is off: what is acknowledged to agents can be lost.";
        verdicts.push(bad(WHAT, text, "Set synchronous_commit = on."));
    }
    if postgres.max_connections < 60 {
        let text = format!("max_connections is {}; a server uses up to 45.", postgres.max_connections);
        verdicts.push(look(WHAT, text, "Set it to 60, and 45 more for each further server."));
    }
    if postgres.checkpoint_timeout_seconds < 900 {
        let text =
            format!("checkpoint_timeout is {} s: more is written than need be.", postgres.checkpoint_timeout_seconds);
        verdicts.push(look(WHAT, text, "Set checkpoint_timeout = 15min and max_wal_size = 4GB."));
    }
    if postgres.wal_compression == "off" {
        verdicts.push(look(
            WHAT,
            "wal_compression is off: more is written than need be.",
            "Set wal_compression = lz4 or on.",
        ));
    }
    if verdicts.len() == 1 {
        verdicts.push(fine(WHAT, "Its settings are right."));
    }
    let apart = postgres.now - now;
    verdicts.push(if apart.abs() > CLOCKS {
        let text = format!("The clocks of this machine and of Postgres differ by {} s.", apart.num_seconds());
        bad("clock", text, "Let both follow a time server: ours decides about certificates.")
    } else {
        fine("clock", "The clocks of this machine and of Postgres agree.")
    });
    verdicts
}

fn migrated(missing: usize, ahead: Ahead) -> Verdict {
    const WHAT: &str = "migrations";
    match ahead {
        Ahead::Contract(version, why) => {
            let text =
                format!("The database is of a version that this one cannot live with (migration {version}: {why}).");
            bad(WHAT, text, "Run that version, or a later one.")
        }
        Ahead::Fine(_) => {
            look(WHAT, "The database is ahead of this version, which can live with it.", "Upgrade it too.")
        }
        Ahead::No if missing == 0 => fine(WHAT, "Every migration is applied."),
        Ahead::No => {
            let text = format!("{missing} migrations are not applied yet.");
            look(WHAT, text, "`run` or `migrate` applies them; back up first.")
        }
    }
}

fn partitions(newest: &[(String, Option<String>)], now: DateTime<Utc>) -> Verdict {
    const WHAT: &str = "partitions";
    let next_week = (now + TimeDelta::weeks(1)).format("%Gw%V").to_string();
    let missing: Vec<&str> = newest
        .iter()
        .filter(|(_, week)| week.as_deref().is_none_or(|week| week < next_week.as_str()))
        .map(|(span, _)| span.as_str())
        .collect();
    if missing.is_empty() {
        return fine(WHAT, "History has a place for the weeks to come.");
    }
    let text = format!("No place is made yet for the next week of {}.", missing.join(", "));
    look(WHAT, text, "A running server makes it within the hour; until then rows go to the table for all other times.")
}

/// What the server would see.
async fn as_the_server(options: &PgConnectOptions, data: &Path, now: DateTime<Utc>) -> anyhow::Result<Vec<Verdict>> {
    let database = options.get_database().unwrap_or(options.get_username()).to_owned();
    let db = Access::acting(options, &database).connect().await?;
    let looked = async {
        let mut verdicts = vec![authority(&db, data, now).await?];
        if let Some(held) = restore::held(&db).await? {
            let text =
                format!("Webhooks are held since the restore of {}.", held.restored_at.format("%Y-%m-%d %H:%M UTC"));
            verdicts.push(look("deliveries-held", text, "portreeve-server deliveries release"));
        }
        let everything = db.everything().await?;
        verdicts.extend(waiting(&examine::counts(&everything, &db, now).await?));
        verdicts.extend(budgets(&retention::standings(&db, now).await?));
        anyhow::Ok(verdicts)
    };
    let looked = looked.await;
    db.pool.close().await;
    looked
}

async fn authority(db: &crate::db::Db, data: &Path, now: DateTime<Utc>) -> anyhow::Result<Verdict> {
    const WHAT: &str = "authority";
    let Some(installation) = installation::read(db).await? else {
        return Ok(look(WHAT, "There is no certificate authority yet.", "The first start makes it."));
    };
    let path = data.join("master.key");
    let opened = Sealer::load(&path).and_then(|sealer| Ok(sealer.open(Purpose::CaKey, &installation.ca_key_sealed)?));
    let Ok(key) = opened else {
        let text = format!("{} is not the key under which this database was sealed.", path.display());
        return Ok(bad(WHAT, text, "Put the right master.key there: without it no agent can enroll or renew."));
    };
    let authority = match Authority::open(installation.installation_id, installation.ca_certificate, &key) {
        Ok(authority) => authority,
        Err(error) => return Ok(bad(WHAT, format!("{error:#}."), "Restore a backup.")),
    };
    let until = authority.expires_at().format("%Y-%m-%d");
    Ok(if authority.expires_at() - now < AUTHORITY_ENDS_SOON {
        look(
            WHAT,
            format!("The certificate authority ends on {until}."),
            "Enroll the agents at a new installation before.",
        )
    } else {
        fine(
            WHAT,
            format!("The master key fits. The certificate authority (pin {}) lasts until {until}.", authority.pin()),
        )
    })
}

fn budgets(standings: &[Standing]) -> Vec<Verdict> {
    let action = "Raise the budget, or keep the kind for fewer days: `retention set`.";
    standings.iter().filter_map(Standing::warning).map(|text| look("budget", text, action)).collect()
}

fn waiting(counts: &Counts) -> Vec<Verdict> {
    let mut verdicts = vec![fine("hosts", format!("{} hosts are watched.", counts.hosts))];
    let mut note = |what, count: i64, text: String, action: &str| {
        if count > 0 {
            verdicts.push(look(what, text, action));
        }
    };
    let Counts { silent, quarantined, with_gaps, copied, ending_certificates, dead_deliveries, .. } = counts;
    note("silent", *silent, format!("{silent} hosts were not heard of for a day."), "Look at them, or retire them.");
    let text = format!("{quarantined} reports were set aside within a day.");
    note(
        "quarantined",
        *quarantined,
        text,
        "Look at `quarantined` on the pages of the hosts; newer agents may mend it.",
    );
    let text = format!("{with_gaps} hosts lost reports at some time.");
    note("gaps", *with_gaps, text, "Their pages say how many; a larger --spool-mib of the agent helps.");
    let text = format!("Copies of {copied} hosts were seen.");
    note("copies", *copied, text, "Enroll the copies anew; `host accept-machine` where hardware was replaced.");
    let text = format!("The certificates of {ending_certificates} hosts end within three days, or have ended.");
    note(
        "certificates",
        *ending_certificates,
        text,
        "They renew when they connect within 90 days; else enroll them again.",
    );
    let text = format!("{dead_deliveries} webhooks were given up within a week.");
    note("dead-deliveries", *dead_deliveries, text, "The page of each finding says why.");
    for name in &counts.failing_endpoints {
        verdicts.push(look("endpoint", format!("Endpoint {name} takes nothing."), "Its attempts say why."));
    }
    for name in &counts.disabled_endpoints {
        verdicts.push(look(
            "endpoint",
            format!("Endpoint {name} is disabled."),
            "Make another one, where it is wanted.",
        ));
    }
    for name in &counts.lapsed_leases {
        let action = "A running server takes it within seconds; look whether one runs.";
        verdicts.push(look("lease", format!("Nobody does `{name}` at present."), action));
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::State;
    use super::{Postgres, partitions, settings};

    #[test]
    fn settings_that_lose_data_are_bad_and_those_that_cost_are_looked_at() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let good = Postgres {
            version: 150_018,
            checkpoint_timeout_seconds: 900,
            max_connections: 100,
            wal_compression: "lz4".to_owned(),
            autovacuum: "on".to_owned(),
            fsync: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
            now,
        };
        let worst =
            |postgres: &Postgres| settings(postgres, now).into_iter().map(|verdict| verdict.state).max().unwrap();
        assert_eq!(worst(&good), State::Fine);
        assert_eq!(worst(&Postgres { checkpoint_timeout_seconds: 300, ..good.clone() }), State::Look);
        assert_eq!(worst(&Postgres { wal_compression: "off".to_owned(), ..good.clone() }), State::Look);
        assert_eq!(worst(&Postgres { version: 140_000, ..good.clone() }), State::Bad);
        assert_eq!(worst(&Postgres { now: now + chrono::TimeDelta::seconds(5), ..good.clone() }), State::Bad);
        assert_eq!(worst(&Postgres { fsync: "off".to_owned(), ..good }), State::Bad);
    }

    #[test]
    fn the_next_week_has_its_place_or_is_told() {
        let now = DateTime::from_timestamp(1_795_400_000, 0).unwrap();
        let state = |week: Option<&str>| partitions(&[("socket_span".to_owned(), week.map(str::to_owned))], now).state;
        assert_eq!(now.format("%Gw%V").to_string(), "2026w48");
        assert_eq!(state(Some("2026w49")), State::Fine);
        assert_eq!(state(Some("2026w48")), State::Look);
        assert_eq!(state(None), State::Look);
    }
}
