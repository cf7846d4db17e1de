//! The past in SQL: the recipe of docs/operating.md gives a reader that sees the clients that it names, and no others.

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::database::Database;

#[tokio::test]
async fn a_reader_made_by_the_recipe_sees_its_clients_only() -> Result<()> {
    let database = Database::fresh().await?;
    let mut superuser = database.superuser().await?;
    sqlx::raw_sql(include_str!("../seeds/two_clients.sql")).execute(&mut superuser).await?;
    sqlx::raw_sql(include_str!("../seeds/past.sql")).execute(&mut superuser).await?;
    let document = include_str!("../../docs/operating.md");
    let recipe = document.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).context("the recipe")?;
    let recipe = recipe.replace("array[1, 2]", "array[1]");
    sqlx::raw_sql(AssertSqlSafe(recipe)).execute(&mut superuser).await?;

    let as_reader = database.access.app.clone().username("grafana").password("choose one");
    let mut reader = PgConnection::connect_with(&as_reader).await?;
    for (view, rows) in [("past_sockets", 2), ("past_services", 2), ("past_updates", 2)] {
        let sql = format!("select count(*), count(*) filter (where {view}::text like '%quagga%') from {view}");
        let found: (i64, i64) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut reader).await?;
        assert_eq!(found, (rows, 0), "{view}");
    }
    let holders: Vec<(String, String, bool)> = sqlx::query_as(
        r"
        select regexp_replace(image, '.*\\', ''), array_to_string(services, ','), valid_to is null
        from past_sockets
        where client_id = 1 and protocol = 'udp' and port = 1812
        order by valid_from
        ",
    )
    .fetch_all(&mut reader)
    .await?;
    let row = |image: &str, service: &str, still| (image.to_owned(), service.to_owned(), still);
    assert_eq!(holders, [row("svchost.exe", "IAS", false), row("dns.exe", "DNS", true)]);
    for forbidden in
        ["select * from finding", "delete from socket_now", "select * from operator", "create table mine ()"]
    {
        assert!(sqlx::raw_sql(forbidden).execute(&mut reader).await.is_err(), "{forbidden}");
    }
    Ok(())
}
