//! The look at the fleet: once an hour one server reads the stories of all hosts, of all clients, and stores which updates
//! are suspected. What a suspect means for a host is the rules' (`rules/src/suspect/rule.rs`), by the host's own lists.
//!
//! Invariant: what is stored for all names no host and no client; hosts stand in a table of their own, behind its policy.

mod stories;

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use rules::suspect::{Learned, learn};
use uuid::Uuid;

use crate::app::App;
use crate::clock;
use crate::db::suspects::{self, Look, Named};
use crate::findings::plan::NAMESPACE;

/// From one look to the next.
const EVERY: TimeDelta = TimeDelta::hours(1);
/// How often it is asked whether the next one is due.
const ASK_EVERY: Duration = Duration::from_mins(5);

/// Looks again and again. A look that fails is left to the next hour. To be run by one server, under a lease.
pub async fn keep_looking(app: &App) {
    let mut interval = tokio::time::interval(ASK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let now = clock::now();
        let looked = match suspects::begin_look(&app.db.pool, now, EVERY).await {
            Ok(false) => continue,
            Ok(true) => look(app, now).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = looked {
            tracing::warn!(error = format!("{error:#}"), "Could not look for suspect updates; trying again in an hour");
        }
    }
}

/// One look at all hosts.
pub async fn look(app: &App, now: DateTime<Utc>) -> anyhow::Result<()> {
    let scope = app.db.everything().await?;
    let stories = suspects::stories(&scope, &app.db, now).await?;
    let (learned, ids) = tokio::task::spawn_blocking(move || {
        let (fleet, ids) = stories::fleet(stories);
        (learn(&fleet), ids)
    })
    .await
    .context("the look at the fleet panicked")?;
    let Learned { suspects: found, untold, tests } = learned;
    for evident in &found {
        let suspect = &evident.suspect;
        tracing::info!(
            kbs = ?suspect.kbs,
            service = suspect.service,
            failed = suspect.exposed.failed,
            hosts = suspect.exposed.hosts,
            q = suspect.q,
            "An update is suspected by its record on the fleet"
        );
    }
    let named = found.into_iter().map(|evident| Named {
        id: suspect_id(&evident.suspect.kbs, &evident.suspect.service),
        hosts: evident.hosts.iter().filter_map(|behind| Some((*ids.get(behind.host)?, behind.failed))).collect(),
        suspect: evident.suspect,
    });
    let look = Look { suspects: named.collect(), untold, tests };
    suspects::write(&scope, &app.db, &look, now).await?;
    Ok(())
}

/// The same for ever for the same updates and service.
fn suspect_id(kbs: &[String], service: &str) -> Uuid {
    let name = format!("suspect/{}/{}", kbs.join(","), service.to_lowercase());
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}
