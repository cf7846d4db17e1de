//! What the next boot of a host may take, written in the transaction of the report that it follows from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rules::forecast::{Draw, Forecast};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;

/// A forecast as a row, named as its columns are.
#[derive(Serialize)]
struct Row<'a> {
    host_id: i64,
    service: &'a str,
    taker: &'a str,
    ports: Vec<String>,
    probability: Option<f64>,
    condition: &'a str,
    draws: &'a [Draw],
    boots_held: Option<u32>,
    boots_seen: Option<u32>,
}

/// Brings the stored forecasts of hosts of one client in line with what is said of each. What says the same is not
/// written again.
pub async fn write(
    connection: &mut PgConnection,
    client_id: i32,
    said: &[(i64, &[Forecast])],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if said.is_empty() {
        return Ok(());
    }
    let hosts: Vec<i64> = said.iter().map(|(host_id, _)| *host_id).collect();
    // One for each (service, taker), whatever a rule says twice.
    let rows: BTreeMap<_, _> = said
        .iter()
        .flat_map(|(host_id, forecasts)| forecasts.iter().map(|forecast| row(*host_id, forecast)))
        .map(|row| ((row.host_id, row.service, row.taker), row))
        .collect();
    let rows: Vec<Row<'_>> = rows.into_values().collect();
    sqlx::query!(
        r#"
        delete from forecast
        where client_id = $1 and host_id = any($2)
          and (host_id, service, taker) not in (select * from unnest($3::int8[], $4::text[], $5::text[]))
        "#,
        client_id,
        &hosts,
        &rows.iter().map(|row| row.host_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.service.to_owned()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.taker.to_owned()).collect::<Vec<_>>(),
    )
    .execute(&mut *connection)
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        insert into forecast (client_id, host_id, service, taker, ports, probability, condition, draws, boots_held,
          boots_seen, since)
        select $1, said.host_id, said.service, said.taker, said.ports, said.probability, said.condition, said.draws,
          said.boots_held, said.boots_seen, $3
        from jsonb_to_recordset($2) as said (host_id int8, service text, taker text, ports text[], probability float8,
          condition text, draws jsonb, boots_held int, boots_seen int)
        left join lateral (
          select ports, probability, condition, draws, boots_held, boots_seen
          from forecast
          where client_id = $1 and host_id = said.host_id and service = said.service and taker = said.taker
          limit 1
        ) as stored on true
        where (stored.ports, stored.probability, stored.condition, stored.draws, stored.boots_held, stored.boots_seen)
          is distinct from (said.ports, said.probability, said.condition, said.draws, said.boots_held, said.boots_seen)
        on conflict (client_id, host_id, service, taker) do update
        set ports = excluded.ports, probability = excluded.probability, condition = excluded.condition,
          draws = excluded.draws, boots_held = excluded.boots_held, boots_seen = excluded.boots_seen,
          since = excluded.since
        "#,
        client_id,
        Json(rows) as _,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn row(host_id: i64, forecast: &Forecast) -> Row<'_> {
    let (boots_held, boots_seen) = forecast.boots.unzip();
    Row {
        host_id,
        service: &forecast.service,
        taker: &forecast.taker,
        ports: forecast.ports.iter().map(ToString::to_string).collect(),
        probability: forecast.probability,
        condition: &forecast.condition,
        draws: &forecast.draws,
        boots_held,
        boots_seen,
    }
}
