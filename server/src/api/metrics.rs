//! Figures for Prometheus: what the process counted, and how the fleet stands. Labels are bounded: no host, client,
//! path or text of a caller is ever one.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::api::access::{self, Caller};
use crate::api::problem::{Code, Problem};
use crate::api::sign_in::PeerIp;
use crate::app::App;
use crate::clock;
use crate::db::read_overview;

/// From a page that is in memory to a query at its time limit.
const BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of this process, installed at first use: earlier figures are lost.
pub fn install() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        // Fails only for an empty list.
        let builder = builder.set_buckets(BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
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
        if caller.client_ids.is_some() {
            // The figures count the hosts and findings of every client.
            return Err(Problem::new(Code::RoleTooLow, "Metrics are for operators who may see every client."));
        }
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
    let counts = async {
        let everything = app.db.everything().await?;
        read_overview::counts(&everything, &app.db, clock::now()).await
    };
    let counts = match counts.await {
        Ok(counts) => counts,
        Err(error) => {
            tracing::warn!(error = %error, "The figures of the fleet cannot be read");
            metrics::gauge!("portreeve_database_up").set(0);
            return;
        }
    };
    metrics::gauge!("portreeve_database_up").set(1);
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
}

/// Counts of rows are far below 2^32.
fn whole(count: i64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
