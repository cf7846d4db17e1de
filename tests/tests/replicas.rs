//! Several servers over one Postgres: what only one may do, whose streams are open, what each hears of the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use portreeve_server::db::leases;
use portreeve_server::lease;
use tests::doors::Doors;
use tests::server::eventually;
use uuid::Uuid;

const LENGTH: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_lease_is_one_servers_until_it_ends() -> Result<()> {
    let doors = Doors::open().await?;
    let pool = &doors.database.db.pool;
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let (first, second) = tokio::join!(
        leases::take(pool, "sweep", one, Duration::from_mins(1)),
        leases::take(pool, "sweep", other, Duration::from_mins(1)),
    );
    let (first, second) = (first?, second?);
    assert!(first != second, "one of two has it");
    let (holder, waiting) = if first { (one, other) } else { (other, one) };
    assert!(leases::take(pool, "another sweep", waiting, LENGTH).await?, "another name is another lease");
    assert!(leases::take(pool, "sweep", holder, LENGTH).await?, "renewed, and shorter from now on");
    assert!(!leases::take(pool, "sweep", waiting, LENGTH).await?);
    eventually("taken over from one that is silent", Duration::from_secs(10), async || {
        Ok(leases::take(pool, "sweep", waiting, Duration::from_mins(1)).await?.then_some(()))
    })
    .await?;
    assert!(!leases::take(pool, "sweep", holder, LENGTH).await?, "it came back too late");
    leases::give_up(pool, "sweep", holder).await?;
    assert!(!leases::take(pool, "sweep", holder, LENGTH).await?, "nobody gives up what another holds");
    leases::give_up(pool, "sweep", waiting).await?;
    assert!(leases::take(pool, "sweep", holder, LENGTH).await?);
    Ok(())
}

#[tokio::test]
async fn work_runs_while_its_lease_is_held() -> Result<()> {
    let doors = Doors::open().await?;
    let (pool, app) = (&doors.database.db.pool, Arc::clone(&doors.app));
    let runs = Arc::new(AtomicUsize::new(0));
    let (holding, counted) = (Arc::clone(&app), Arc::clone(&runs));
    let task = tokio::spawn(async move {
        lease::hold(&holding, "sweep", || {
            let runs = counted.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                let _running = runs;
                std::future::pending().await
            }
        })
        .await;
    });
    eventually("it runs", Duration::from_secs(10), async || Ok((runs.load(Ordering::Relaxed) == 1).then_some(())))
        .await?;
    let other = Uuid::from_u128(2);
    assert!(!leases::take(pool, "sweep", other, LENGTH).await?);
    app.stopping.cancel();
    task.await?;
    assert!(leases::take(pool, "sweep", other, LENGTH).await?, "given up at the end");
    Ok(())
}
