//! A server that may hold nothing of its hosts between their reports takes in the same as one that may.

use anyhow::Result;
use portreeve_server::api::metrics;
use portreeve_server::ingest::Ingest;
use proto::fleet::v1::Outcome;
use tests::raw_agent::{changes, full, hello};
use tests::reporting_host::{Host, blocked, mended};

#[tokio::test]
async fn what_was_dropped_is_loaded_with_the_next_report() -> Result<()> {
    let figures = metrics::install();
    let host = Host::of("SRV1", |app| Ingest::holding(app, 0)).await?;
    let mut agent = host.connect(&hello(1)).await?;
    assert_eq!(agent.report(&full(1, &blocked())).await?, Outcome::Applied);
    host.holds(&blocked()).await?;
    assert_eq!(agent.report(&changes(2, &blocked(), &mended())).await?, Outcome::Applied);
    host.holds(&mended()).await?;
    assert_eq!(agent.report(&changes(3, &mended(), &blocked())).await?, Outcome::Applied);
    host.holds(&blocked()).await?;
    assert_eq!(host.timeline().await?, ["opened 1", "resolved 1", "reopened 2"]);
    let figures = figures.render();
    let dropped = figures.lines().find_map(|line| line.strip_prefix("portreeve_held_hosts_dropped_total "));
    assert!(dropped.is_some_and(|count| count != "0"), "nothing was dropped: {figures}");
    Ok(())
}
