//! What the server says of itself to whoever watches over it: that it lives, whether it is ready, and figures.

use anyhow::Result;
use portreeve_server::people::Role;
use serde_json::json;
use tests::doors::Doors;
use tests::http_door::HttpDoor;

#[tokio::test]
async fn health_and_figures_are_told_and_a_lost_database_is_no_failure_of_ours() -> Result<()> {
    let doors = Doors::open().await?;
    let mut superuser = doors.database.superuser().await?;
    sqlx::raw_sql(include_str!("../seeds/two_clients.sql")).execute(&mut superuser).await?;
    let http = HttpDoor::open(&doors.app)?;
    let token = http.token("ada", Role::Viewer, None).await?;
    assert_eq!(http.send("GET", "/healthz", &[], "").await?.status, 200);
    assert_eq!(http.send("GET", "/readyz", &[], "").await?.status, 200);
    let figures = http.send("GET", "/metrics", &[], "").await?;
    assert!(figures.body.contains("portreeve_hosts{freshness=\"reporting\"} 1"), "{}", figures.body);
    assert!(figures.body.contains("portreeve_findings_open{severity=\"critical\"} 2"), "{}", figures.body);
    assert!(figures.body.contains("route=\"/healthz\""), "{}", figures.body);
    assert!(!figures.body.contains("DC2") && !figures.body.contains("quagga"));

    doors.app.db.pool.close().await;
    let answer = http.get("/api/v1/hosts", &token).await?;
    assert_eq!((answer.status, answer.code().as_deref()), (503, Some("store.unavailable")));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(http.send("GET", "/healthz", &[], "").await?.status, 200);
    let ready = http.send("GET", "/readyz", &[], "").await?;
    assert_eq!((ready.status, &ready.json()["database"]), (503, &json!(false)));
    Ok(())
}
