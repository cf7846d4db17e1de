//! Row-level security, asked of the catalog and of the data: what the server's role may see and do.

use anyhow::Result;
use portreeve_server::{
    clock,
    db::{Scope, installation},
};
use tests::database::Database;

/// Tables with a client_id that are read before a client is known, each for its reason.
const INSTALLATION_TABLES: [&str; 3] = [
    "enroll_token",      // an agent that enrolls has no client yet
    "agent_certificate", // tells whose client a stream is
    "endpoint",          // belongs to the MSP; the client is a filter of its route
];

#[tokio::test]
async fn every_client_table_is_behind_a_forced_policy() -> Result<()> {
    let database = Database::fresh().await?;
    let mut superuser = database.superuser().await?;
    let open: Vec<String> = sqlx::query_scalar(
        "
        select relname::text
        from pg_class
        join pg_attribute on attrelid = pg_class.oid and attname = 'client_id' and not attisdropped
        where relnamespace = 'public'::regnamespace
          and relkind in ('r', 'p')
          -- A partition is reached through its table only.
          and not (relispartition and not has_table_privilege('portreeve_app', pg_class.oid, 'select, insert, update, delete'))
          and not (
            relrowsecurity
            and relforcerowsecurity
            and exists (
              select
              from pg_policy
              where polrelid = pg_class.oid
                and polcmd = '*'
                and 'portreeve_app'::regrole = any (polroles)
                -- As a subquery the list is read once by statement, not for each row.
                and pg_get_expr(polqual, polrelid) like '(client_id = ANY (( SELECT %app.clients%'
            )
          )
        order by relname
        ",
    )
    .fetch_all(&mut superuser)
    .await?;
    let mut expected = INSTALLATION_TABLES.map(str::to_owned);
    expected.sort();
    assert_eq!(open, expected);
    Ok(())
}

#[tokio::test]
async fn the_servers_role_is_powerless_and_owns_nothing() -> Result<()> {
    let database = Database::fresh().await?;
    let (user, mighty): (String, bool) = sqlx::query_as(
        "select current_user::text, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb from pg_roles where rolname = current_user",
    )
    .fetch_one(&database.db.pool)
    .await?;
    assert_eq!((user.as_str(), mighty), ("portreeve_app", false));

    let mut superuser = database.superuser().await?;
    let owned: i64 = sqlx::query_scalar(
        "
        select
          (select count(*) from pg_class where relowner = 'portreeve_app'::regrole)
          + (select count(*) from pg_proc where proowner = 'portreeve_app'::regrole)
          + (select count(*) from pg_auth_members where member = 'portreeve_app'::regrole)
        ",
    )
    .fetch_one(&mut superuser)
    .await?;
    assert_eq!(owned, 0);
    for forbidden in [
        "set role portreeve_owner",
        "alter table host disable row level security",
        "create table mine ()",
        "truncate host",
        "delete from client",
        "delete from agent_certificate",
    ] {
        sqlx::query(forbidden).execute(&database.db.pool).await.expect_err(forbidden);
    }
    Ok(())
}

#[tokio::test]
async fn a_scope_shows_and_takes_rows_of_its_clients_only() -> Result<()> {
    let database = Database::fresh().await?;
    let db = &database.db;
    let mut clients = Vec::new();
    for name in ["ACME", "Bolt"] {
        let client_id = installation::insert_client(db, name, clock::now()).await?.unwrap();
        installation::insert_site(db, client_id, "Head office", clock::now()).await?.unwrap();
        clients.push(client_id);
    }
    assert_eq!(installation::insert_client(db, "ACME", clock::now()).await?, None, "the name is taken");
    assert_eq!(db.everything().await?, Scope(clients.clone()));

    let unscoped: i64 = sqlx::query_scalar("select (select count(*) from client) + (select count(*) from site)")
        .fetch_one(&db.pool)
        .await?;
    assert_eq!(unscoped, 0);

    let mut transaction = db.begin(&Scope::of(clients[0])).await?;
    let seen: Vec<i32> = sqlx::query_scalar("select client_id from site").fetch_all(&mut *transaction).await?;
    assert_eq!(seen, [clients[0]]);
    let touched = sqlx::query("update site set name = 'Mine'").execute(&mut *transaction).await?;
    assert_eq!(touched.rows_affected(), 1);
    let moved = sqlx::query("update site set client_id = $1").bind(clients[1]).execute(&mut *transaction).await;
    assert!(moved.unwrap_err().to_string().contains("row-level security"));
    drop(transaction);

    assert!(installation::insert_site(db, clients[0], "Branch", clock::now()).await?.is_some());
    let mut transaction = db.begin(&Scope::of(clients[0])).await?;
    let foreign = sqlx::query("insert into site (client_id, name, created_at) values ($1, 'Theirs', now())")
        .bind(clients[1])
        .execute(&mut *transaction)
        .await;
    assert!(foreign.unwrap_err().to_string().contains("row-level security"));
    drop(transaction);

    // A scope ends with its transaction, also on a connection that is used again.
    for _ in 0..30 {
        let left: i64 = sqlx::query_scalar("select count(*) from site").fetch_one(&db.pool).await?;
        assert_eq!(left, 0);
    }
    Ok(())
}
