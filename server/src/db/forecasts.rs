//! What the next boot of a host may take, written in the transaction of the report that it follows from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rules::forecast::{Draw, Forecast};
use sqlx::PgConnection;
use sqlx::types::Json;

/// Brings the stored forecasts of a host in line with `forecasts`. What says the same is not written again.
pub async fn write(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    forecasts: &[Forecast],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // One for each (service, taker), whatever a rule says twice.
    let said: BTreeMap<(&str, &str), &Forecast> =
        forecasts.iter().map(|forecast| ((forecast.service.as_str(), forecast.taker.as_str()), forecast)).collect();
    let (services, takers): (Vec<String>, Vec<String>) =
        said.keys().map(|(service, taker)| ((*service).to_owned(), (*taker).to_owned())).unzip();
    sqlx::query!(
        r#"
        delete from forecast
        where client_id = $1 and host_id = $2
          and (service, taker) not in (select * from unnest($3::text[], $4::text[]))
        "#,
        client_id,
        host_id,
        &services,
        &takers,
    )
    .execute(&mut *connection)
    .await?;
    for forecast in said.into_values() {
        write_one(connection, (client_id, host_id), forecast, now).await?;
    }
    Ok(())
}

async fn write_one(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    forecast: &Forecast,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let ports: Vec<String> = forecast.ports.iter().map(ToString::to_string).collect();
    let (held, seen) = forecast.boots.unzip();
    let boots = |count: Option<u32>| count.map(|count| i32::try_from(count).unwrap_or(i32::MAX));
    sqlx::query!(
        r#"
        insert into forecast (client_id, host_id, service, taker, ports, probability, condition, draws, boots_held,
          boots_seen, since)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        on conflict (client_id, host_id, service, taker) do update
        set ports = excluded.ports, probability = excluded.probability, condition = excluded.condition,
          draws = excluded.draws, boots_held = excluded.boots_held, boots_seen = excluded.boots_seen,
          since = excluded.since
        where (forecast.ports, forecast.probability, forecast.condition, forecast.draws, forecast.boots_held,
            forecast.boots_seen)
          is distinct from (excluded.ports, excluded.probability, excluded.condition, excluded.draws,
            excluded.boots_held, excluded.boots_seen)
        "#,
        client_id,
        host_id,
        forecast.service,
        forecast.taker,
        &ports,
        forecast.probability,
        forecast.condition,
        Json(&forecast.draws) as Json<&Vec<Draw>>,
        boots(held),
        boots(seen),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
