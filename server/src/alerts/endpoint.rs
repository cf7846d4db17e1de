//! Making an endpoint: its address is checked, its secret is made here, shown once and stored sealed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use rand::Rng;
use rules::finding::Severity;
use uuid::Uuid;

use crate::alerts::egress::{Egress, EgressFault};
use crate::db::Db;
use crate::db::deliveries::{self, EndpointRow};
use crate::identity::seal::{Purpose, Sealer};

/// Bytes of a signing secret: Standard Webhooks asks for 24 to 64.
const SECRET_BYTES: usize = 32;
const MAX_NAME: usize = 200;
const MAX_URL: usize = 2000;

/// What an operator asks for.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    pub name: String,
    pub url: String,
    /// Only findings of this client; `None`: of all.
    pub client_id: Option<i32>,
    pub min_severity: Severity,
    pub silence: Silence,
}

/// Whether an endpoint is told of hosts that fall silent and are heard of again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silence {
    #[default]
    Kept,
    Told,
}

/// What the operator gets, once.
pub struct CreatedEndpoint {
    pub endpoint_id: Uuid,
    /// `whsec_…`: what the receiver verifies signatures with.
    pub secret: String,
}

impl std::fmt::Debug for CreatedEndpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CreatedEndpoint").field("endpoint_id", &self.endpoint_id).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EndpointFault {
    #[error("a name has 1 to {MAX_NAME} characters")]
    BadName,
    #[error("an address has at most {MAX_URL} characters")]
    LongUrl,
    #[error("there is an endpoint named `{0}` already")]
    NameTaken(String),
    #[error("there is no client {0}")]
    NoSuchClient(i32),
    #[error(transparent)]
    Egress(#[from] EgressFault),
    #[error("the database did not answer")]
    Database(#[source] sqlx::Error),
}

/// Stores the endpoint; what commits from now on is sent to it.
pub async fn create(
    db: &Db,
    sealer: &Sealer,
    egress: &Egress,
    new: &NewEndpoint,
    now: DateTime<Utc>,
) -> Result<CreatedEndpoint, EndpointFault> {
    if new.name.trim().is_empty() || new.name.chars().count() > MAX_NAME || new.name.contains(char::is_control) {
        return Err(EndpointFault::BadName);
    }
    if new.url.len() > MAX_URL {
        return Err(EndpointFault::LongUrl);
    }
    egress.check(&new.url)?;
    let mut key = [0_u8; SECRET_BYTES];
    rand::rng().fill_bytes(&mut key);
    let secret = format!("whsec_{}", STANDARD.encode(key));
    let endpoint_id = Uuid::new_v4();
    let row = EndpointRow {
        endpoint_id,
        name: new.name.trim(),
        url: &new.url,
        secret_sealed: &sealer.seal(Purpose::EndpointSecret, secret.as_bytes()),
        client_id: new.client_id,
        min_severity: new.min_severity,
        silence: new.silence,
    };
    deliveries::insert_endpoint(db, &row, now).await.map_err(|error| fault_of(error, new))?;
    Ok(CreatedEndpoint { endpoint_id, secret })
}

fn fault_of(error: sqlx::Error, new: &NewEndpoint) -> EndpointFault {
    let kind = error.as_database_error().map(sqlx::error::DatabaseError::kind);
    match (kind, new.client_id) {
        (Some(sqlx::error::ErrorKind::UniqueViolation), _) => EndpointFault::NameTaken(new.name.clone()),
        (Some(sqlx::error::ErrorKind::ForeignKeyViolation), Some(client_id)) => EndpointFault::NoSuchClient(client_id),
        _ => EndpointFault::Database(error),
    }
}
