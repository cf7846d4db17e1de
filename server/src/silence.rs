//! Tells endpoints that ask for it of hosts that fall silent, and of those that are heard of again.
//!
//! Invariant: the id of a message follows from (endpoint, host, begin of the silence), so that servers which look at the
//! same time tell it once; and a server that has just started takes no host for silent that could not reach it.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::clock;
use crate::db::Db;
use crate::db::silence::{self, HostDelivery, News, Told};
use crate::findings::plan::NAMESPACE;
use crate::live::{Bus, Hint, HintKind};

const LOOK: Duration = Duration::from_secs(20);

/// Until the server stops.
pub async fn keep_telling(app: &App) {
    let since = clock::now();
    while app.stopping.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        if let Err(error) = tell(&app.db, &app.bus, app.store.public_url(), since, clock::now()).await {
            tracing::warn!(%error, "Could not look for hosts that fell silent; trying again soon");
        }
    }
}

/// Looks once; how many messages are new.
pub async fn tell(
    db: &Db,
    bus: &Bus,
    public_url: &str,
    listening_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let everything = db.everything().await?;
    let news = silence::news(&everything, db, listening_since, now).await?;
    if news.is_empty() {
        return Ok(0);
    }
    let new: Vec<HostDelivery> = news.iter().map(|news| delivery(news, public_url, now)).collect();
    let written = silence::enqueue(db, &new, now).await?;
    for (&client_id, _) in written.iter().filter(|(_, count)| **count > 0) {
        bus.publish(Hint { client_id, kind: HintKind::Delivery, id: String::new() });
    }
    Ok(written.values().sum())
}

fn delivery(news: &News, public_url: &str, now: DateTime<Utc>) -> HostDelivery {
    let place = &news.place;
    let (client_id, host_id) = (place.client_id, place.host_id);
    let told = news.told.as_str();
    let name = format!("delivery/{}/host/{client_id}/{host_id}/{}/{told}", news.endpoint_id, news.episode);
    let delivery_id = Uuid::new_v5(&NAMESPACE, name.as_bytes());
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let title = match news.told {
        Told::Silent => format!("{} was not heard of since {}", place.host, time(news.since)),
        Told::Heard => format!("{} is heard of again", place.host),
    };
    let body = json!({
        "schema": 1,
        "type": format!("host.{told}"),
        "id": delivery_id,
        "time": time(now),
        "data": {
            "title": title,
            "last_seen_at": time(news.since),
            // One ticket for one silence: its end closes the right one.
            "dedup_key": format!("host/{client_id}/{host_id}/{}", news.episode),
            "client": { "id": client_id, "name": place.client },
            "site": { "id": place.site_id, "name": place.site },
            "host": { "id": host_id, "name": place.host },
            "url": format!("{public_url}/hosts/{host_id}"),
        },
    });
    HostDelivery {
        delivery_id,
        endpoint_id: news.endpoint_id,
        host: (client_id, host_id),
        episode: news.episode,
        told: news.told,
        body: body.to_string(),
    }
}
