//! Figures for Prometheus: what the process counted, and how the fleet stands. Labels are bounded: no host, client,
//! path or text of a caller is ever one.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::api::access::{self, Caller};
use crate::api::problem::Problem;
use crate::api::sign_in::PeerIp;
use crate::app::App;
use crate::clock;
use crate::db::{Scope, read_health, read_overview, retention as rows};
use crate::retention::{self, forecast::Forecast};

/// From a page that is in memory to a query at its time limit.
const BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Hosts that one transaction stores.
const HOSTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of this process, installed at first use: earlier figures are lost.
pub fn install() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let hosts = Matcher::Full("portreeve_writer_batch_hosts".to_owned());
        let builder = builder.set_buckets(BUCKETS).and_then(|builder| builder.set_buckets_for_metric(hosts, HOSTS));
        // Fails only for an empty list.
        let builder = builder.unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("Another recorder of metrics was there before; /metrics stays empty");
        }
        handle
    })
}

/// Empties the buffers of histograms, which would grow for as long as nobody asks for them.
pub async fn upkeep(stop: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => install().run_upkeep(),
        }
    }
}

/// For whoever asks from this very machine, or shows a token.
pub async fn metrics(
    State(app): State<Arc<App>>,
    PeerIp(peer): PeerIp,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !is_local(peer, &app) {
        let proof = access::proof(&headers, &app.config).ok_or_else(access::sign_in_required)?;
        let caller = Caller::recognise(&app, proof).await?.ok_or_else(access::sign_in_required)?;
        // The figures count the hosts and findings of every client.
        caller.require_whole()?;
    }
    fleet(&app).await;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], install().render()).into_response())
}

/// Behind a proxy everybody seems to come from it, unless it says otherwise; so there nobody is local.
fn is_local(peer: IpAddr, app: &App) -> bool {
    peer.is_loopback() && app.config.behind_proxy.is_empty()
}

/// Gauges of the database. Without one they keep their last value, and `portreeve_database_up` says so.
async fn fleet(app: &App) {
    let read = async {
        let everything = app.db.everything().await?;
        hosts(&everything, app).await?;
        outbox(&everything, app).await?;
        storage(app).await
    };
    match read.await {
        Ok(()) => metrics::gauge!("portreeve_database_up").set(1),
        Err(error) => {
            tracing::warn!(error = %error, "The figures of the fleet cannot be read");
            metrics::gauge!("portreeve_database_up").set(0);
        }
    }
}

async fn hosts(everything: &Scope, app: &App) -> sqlx::Result<()> {
    let counts = read_overview::counts(everything, &app.db, clock::now()).await?;
    let freshness = [
        ("reporting", counts.reporting),
        ("stale", counts.stale),
        ("silent", counts.silent),
        ("capture", counts.capture),
    ];
    for (label, hosts) in freshness {
        metrics::gauge!("portreeve_hosts", "freshness" => label).set(whole(hosts));
    }
    for (label, findings) in [("critical", counts.critical), ("warning", counts.warning), ("info", counts.info)] {
        metrics::gauge!("portreeve_findings_open", "severity" => label).set(whole(findings));
    }
    metrics::gauge!("portreeve_hosts_cannot_tell").set(whole(counts.cannot_tell_hosts));
    let streams = read_health::streams(everything, &app.db, clock::now()).await?;
    metrics::gauge!("portreeve_agent_gaps").set(whole(streams.gaps));
    metrics::gauge!("portreeve_agent_rows_dropped").set(whole(streams.dropped_rows));
    for (quantile, lag) in [("0.5", streams.lag_median), ("0.99", streams.lag_p99)] {
        metrics::gauge!("portreeve_lag_seconds", "quantile" => quantile).set(lag.unwrap_or_default());
    }
    Ok(())
}

async fn outbox(everything: &Scope, app: &App) -> sqlx::Result<()> {
    let outbox = read_health::outbox(everything, &app.db).await?;
    let waited = outbox.oldest_pending_at.map_or(0.0, |at| seconds(clock::now() - at));
    metrics::gauge!("portreeve_deliveries_pending").set(whole(outbox.pending));
    metrics::gauge!("portreeve_deliveries_dead").set(whole(outbox.dead));
    metrics::gauge!("portreeve_delivery_oldest_pending_seconds").set(waited);
    Ok(())
}

/// Sizes, budgets and upkeep.
async fn storage(app: &App) -> sqlx::Result<()> {
    let now = clock::now();
    for standing in retention::standings(&app.db, now).await? {
        let kind = standing.setting.kind.as_str();
        if let Some(bytes) = standing.bytes {
            metrics::gauge!("portreeve_stored_bytes", "kind" => kind).set(whole(bytes));
        }
        if let Some(budget) = standing.setting.budget_bytes {
            metrics::gauge!("portreeve_stored_budget_bytes", "kind" => kind).set(whole(budget));
        }
        // Infinite: not in sight. Not a number: cannot tell yet.
        let days = match standing.forecast {
            Forecast::CannotTell => f64::NAN,
            Forecast::NotFull { .. } => f64::INFINITY,
            Forecast::FullIn { days, .. } => days,
        };
        metrics::gauge!("portreeve_stored_full_in_days", "kind" => kind).set(days);
    }
    let ahead = rows::prepared_until(&app.db.pool).await?.map_or(0.0, |until| seconds(until - now));
    metrics::gauge!("portreeve_span_weeks_ahead_seconds").set(ahead);
    for run in rows::runs(&app.db.pool).await? {
        metrics::gauge!("portreeve_sweep_age_seconds", "sweep" => run.name).set(seconds(now - run.begun_at));
    }
    for table in read_health::hot_tables(&app.db.pool).await? {
        metrics::gauge!("portreeve_table_rows_dead", "table" => table.name.clone()).set(whole(table.dead_rows));
        metrics::gauge!("portreeve_table_bytes", "table" => table.name).set(whole(table.bytes));
    }
    let postgres = read_health::postgres(&app.db.pool).await?;
    metrics::gauge!("portreeve_database_connections").set(whole(postgres.connections));
    metrics::gauge!("portreeve_database_transaction_age").set(whole(postgres.transaction_age));
    Ok(())
}

fn seconds(span: TimeDelta) -> f64 {
    whole(span.num_milliseconds()) / 1000.0
}

/// Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no count or size comes near 2^53")]
fn whole(count: i64) -> f64 {
    count as f64
}
