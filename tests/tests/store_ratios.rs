//! What it costs to keep sockets up to date, against COPY of the same rows: the small form of the bench of that name.

use anyhow::Result;
use tests::bench::store_fleet::{Size, by_row, measure};
use tests::bench::table::SLACK;

#[tokio::test(flavor = "multi_thread")]
async fn keeping_a_row_up_to_date_stays_within_twice_its_limits() -> Result<()> {
    let figures = measure(Size { hosts: 30, clients: 1, rounds: 15 }).await?;
    for (step, spent) in [("copy", &figures.copy), ("first", &figures.first), ("delta", &figures.delta)] {
        let (cpu, wal) = (by_row(spent, spent.cpu.as_secs_f64() * 1e6), by_row(spent, spent.wal));
        println!("{step}: {cpu:.2} µs and {wal:.0} B by row, {} rows in {:?}", spent.rows, spent.took);
    }
    let (cpu, wal) = (figures.cpu_ratio(), figures.wal_ratio());
    assert!(cpu <= 1.0 * SLACK, "{cpu:.2} times the processor time of COPY");
    assert!(wal <= 0.35 * SLACK, "{wal:.2} times the write-ahead log of COPY");
    Ok(())
}
