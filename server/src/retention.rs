//! Upkeep: what is stored gets weeks ahead of it, is sampled for its size every hour, and is removed when it is older than
//! an admin lets it be kept. Driven by level: a run that failed is made up for by the next one.
//!
//! Invariant: nothing is kept for less time than its setting says, but spans over a budget whose admin allowed it; and
//! that is said in the log and on the page.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use crate::app::App;
use crate::clock;
use crate::db::Db;
use crate::db::retention::{self as rows, Setting, remove};
use crate::retention::forecast::Forecast;
use crate::retention::kind::Kind;

pub mod budget;

pub mod forecast;

pub mod kind;

/// How often it is asked what is due.
const ASK_EVERY: Duration = Duration::from_mins(5);
const PREPARE_EVERY: TimeDelta = TimeDelta::days(1);
const SAMPLE_EVERY: TimeDelta = TimeDelta::hours(1);
const REMOVE_EVERY: TimeDelta = TimeDelta::days(1);
/// Weeks of spans are made so far ahead: upkeep may fail for a month before one is missing.
const AHEAD: TimeDelta = TimeDelta::weeks(5);
/// What is full within this time is told.
pub const SOON_DAYS: f64 = 14.0;
/// What forecasts look back at.
const LOOK_BACK: TimeDelta = TimeDelta::days(14);
/// Between two batches: reports come first.
const PAUSE: Duration = Duration::from_millis(50);

/// Does what is due, for as long as the caller lets it.
pub async fn keep_tidy(app: &App) {
    let mut interval = tokio::time::interval(ASK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        tidy(&app.db, clock::now()).await;
    }
}

/// Does what is due at `now`.
pub async fn tidy(db: &Db, now: DateTime<Utc>) {
    run(db, "prepare", now, PREPARE_EVERY, async || Ok(rows::prepare(db, now + AHEAD).await?)).await;
    run(db, "sizes", now, SAMPLE_EVERY, async || sample(db, now).await).await;
    let settings = match rows::settings(&db.pool).await {
        Ok(settings) => settings,
        Err(error) => return warn!(%error, "The settings of retention cannot be read; trying again soon"),
    };
    for setting in settings {
        let Some(keep_days) = setting.keep_days else { continue };
        let before = now - TimeDelta::days(keep_days.into());
        let name = format!("remove/{}", setting.kind.as_str());
        run(db, &name, now, REMOVE_EVERY, async || remove_before(db, setting.kind, before).await).await;
    }
}

/// Removes what ended, or was learned, before a time; how many rows, or of spans weeks and strays.
pub async fn remove_before(db: &Db, kind: Kind, before: DateTime<Utc>) -> anyhow::Result<u64> {
    let mut removed = 0;
    if let Some(table) = kind.span_table() {
        removed += remove::weeks(db, table, before).await?;
        loop {
            let strays = remove::strays(db, table, before).await?;
            if strays == 0 {
                return Ok(removed);
            }
            removed += strays;
            tokio::time::sleep(PAUSE).await;
        }
    }
    for client_id in db.everything().await?.0 {
        loop {
            let rows = remove::batch(db, client_id, kind, before).await?;
            if rows == 0 {
                break;
            }
            removed += rows;
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(removed)
}

/// What an admin wants of a kind. `None`: as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    pub keep_days: Option<i32>,
    /// `Some(None)`: no budget.
    pub budget_bytes: Option<Option<i64>>,
    pub may_shorten: Option<bool>,
}

/// Why a setting was not changed.
#[derive(Debug, thiserror::Error)]
pub enum SetFault {
    #[error("{} is kept for {least} to {most} days", .kind.as_str())]
    OutOfBounds { kind: Kind, least: i32, most: i32 },
    #[error("{} has no end: it can have a budget only", .0.as_str())]
    NoEnd(Kind),
    #[error("only spans can be shortened; {} is none", .0.as_str())]
    NoSpans(Kind),
    #[error("a budget has at least one byte")]
    NoBudget,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Sets how long a kind is kept and how much room it has. The next look of upkeep goes by it.
pub async fn set(db: &Db, kind: Kind, change: Change, by: &str, now: DateTime<Utc>) -> Result<Setting, SetFault> {
    let settings = rows::settings(&db.pool).await?;
    let Some(mut setting) = settings.into_iter().find(|setting| setting.kind == kind) else {
        return Err(sqlx::Error::RowNotFound.into());
    };
    if let Some(days) = change.keep_days {
        let (Some(least), Some(most)) = (setting.least_days, setting.most_days) else {
            return Err(SetFault::NoEnd(kind));
        };
        if !(least..=most).contains(&days) {
            return Err(SetFault::OutOfBounds { kind, least, most });
        }
        setting.keep_days = Some(days);
    }
    if let Some(budget) = change.budget_bytes {
        if budget.is_some_and(|bytes| bytes < 1) {
            return Err(SetFault::NoBudget);
        }
        setting.budget_bytes = budget;
    }
    if let Some(may) = change.may_shorten {
        if may && kind.span_table().is_none() {
            return Err(SetFault::NoSpans(kind));
        }
        setting.may_shorten = may;
    }
    rows::set(&db.pool, &setting, by, now).await?;
    rows::make_due(&db.pool, kind, now - REMOVE_EVERY).await?;
    info!(
        kind = kind.as_str(),
        keep_days = setting.keep_days,
        budget = setting.budget_bytes,
        by,
        "The retention of a kind was set"
    );
    Ok(setting)
}

/// How a kind stands.
#[derive(Clone, Debug)]
pub struct Standing {
    pub setting: Setting,
    /// `None`: not told to us.
    pub bytes: Option<i64>,
    pub forecast: Forecast,
}

impl Standing {
    /// What should be said to whoever looks after the installation. `None`: nothing.
    pub fn warning(&self) -> Option<String> {
        let kind = self.setting.kind.as_str();
        let days = self.forecast.days()?;
        if days <= 0.0 {
            return Some(format!("{kind} takes more room than its budget."));
        }
        (days <= SOON_DAYS).then(|| format!("{kind} will have used up its budget in about {days:.0} days."))
    }
}

/// How every kind stands, by the sizes of this moment and the samples of two weeks.
pub async fn standings(db: &Db, now: DateTime<Utc>) -> sqlx::Result<Vec<Standing>> {
    let sizes = rows::sizes(&db.pool).await?;
    standings_of(db, &sizes, now).await
}

async fn standings_of(db: &Db, sizes: &[(Kind, i64)], now: DateTime<Utc>) -> sqlx::Result<Vec<Standing>> {
    let samples = rows::samples(&db.pool, now - LOOK_BACK).await?;
    let settings = rows::settings(&db.pool).await?;
    let standing = |setting: Setting| {
        let kind = setting.kind;
        let bytes = sizes.iter().find(|(one, _)| *one == kind).map(|(_, bytes)| *bytes);
        let of_kind =
            samples.iter().filter(|(one, at, _)| *one == kind && *at < now).map(|(_, at, bytes)| (*at, *bytes));
        let series: Vec<_> = of_kind.chain(bytes.map(|bytes| (now, bytes))).collect();
        let forecast = forecast::forecast(&series, setting.budget_bytes);
        Standing { setting, bytes, forecast }
    };
    Ok(settings.into_iter().map(standing).collect())
}

/// Keeps the sizes of this hour, says which budgets are short, and shortens what may be shortened.
async fn sample(db: &Db, now: DateTime<Utc>) -> anyhow::Result<u64> {
    let sizes = rows::sizes(&db.pool).await?;
    rows::keep_sample(&db.pool, &sizes, now).await?;
    let mut dropped = 0;
    for standing in standings_of(db, &sizes, now).await? {
        if let Some(warning) = standing.warning() {
            warn!(
                kind = standing.setting.kind.as_str(),
                bytes = standing.bytes,
                budget = standing.setting.budget_bytes,
                "Disk budget: {warning}"
            );
            dropped += shorten(db, &standing, now).await?;
        }
    }
    Ok(dropped)
}

/// Drops the oldest weeks of spans that are over their budget, where an admin allowed it; how many.
async fn shorten(db: &Db, standing: &Standing, now: DateTime<Utc>) -> anyhow::Result<u64> {
    let setting = &standing.setting;
    let (Some(table), Some(bytes), Some(budget), true) =
        (setting.kind.span_table(), standing.bytes, setting.budget_bytes, setting.may_shorten)
    else {
        return Ok(0);
    };
    let weeks = rows::weeks(&db.pool, table).await?;
    let Some(cut) = budget::cut(&weeks, bytes, budget, setting.least_days.unwrap_or_default(), now) else {
        return Ok(0);
    };
    let dropped = remove::weeks(db, table, cut.before).await?;
    rows::note_shortened(&db.pool, setting.kind, cut.keep_days, now).await?;
    warn!(
        kind = setting.kind.as_str(),
        weeks = dropped,
        keep_days = cut.keep_days,
        fits = cut.is_enough,
        "Dropped the oldest weeks of spans, because they took more room than their budget"
    );
    Ok(dropped)
}

/// Runs a part of upkeep where it is due.
async fn run(
    db: &Db,
    name: &str,
    now: DateTime<Utc>,
    every: TimeDelta,
    work: impl AsyncFnOnce() -> anyhow::Result<u64>,
) {
    match rows::begin_run(&db.pool, name, now, every).await {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return warn!(%error, "Upkeep {name} could not begin; trying again soon"),
    }
    let outcome = work().await;
    let ended = match &outcome {
        Ok(removed) => {
            if *removed > 0 {
                info!(removed, "Upkeep {name} is done");
            }
            metrics::counter!("portreeve_sweeps_total", "outcome" => "done").increment(1);
            rows::end_run(&db.pool, name, Ok(*removed), clock::now()).await
        }
        Err(error) => {
            let fault = format!("{error:#}");
            warn!(error = fault, "Upkeep {name} failed; the next run makes up for it");
            metrics::counter!("portreeve_sweeps_total", "outcome" => "failed").increment(1);
            rows::end_run(&db.pool, name, Err(&fault), clock::now()).await
        }
    };
    if let Err(error) = ended {
        warn!(%error, "The end of upkeep {name} could not be noted");
    }
}
