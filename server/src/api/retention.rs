//! How long what is stored is kept, and how much room it may take.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::access::Caller;
use crate::api::extract::{Body, Path};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::clock;
use crate::people::Role;
use crate::retention::forecast::Forecast;
use crate::retention::kind::Kind;
use crate::retention::{self, Change, SetFault, Standing};

/// A kind of what is stored: how long it is kept, how large it is, how it grows.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Retention {
    pub kind: Kind,
    /// What ended, or was learned, longer ago is removed. `null`: the kind has no end.
    pub keep_days: Option<i32>,
    /// The bounds of `keep_days`; `null` with it.
    pub least_days: Option<i32>,
    pub most_days: Option<i32>,
    /// `null`: Postgres does not tell it to the server.
    pub bytes: Option<i64>,
    /// The room that an admin gave it. `null`: none was said.
    pub budget_bytes: Option<i64>,
    /// Whether its oldest weeks go when it is over its budget. Of spans only.
    pub may_shorten: bool,
    /// Whether it can be shortened.
    pub is_spans: bool,
    /// For how many days it was kept when upkeep last shortened it for its budget. `null`: it did not.
    pub shortened_to_days: Option<i32>,
    pub shortened_at: Option<DateTime<Utc>>,
    pub outlook: Outlook,
    /// Bytes a day, by the samples of two weeks. `null`: cannot tell yet.
    pub growth_per_day: Option<f64>,
    /// Days until the budget is used up; 0: it is. `null`: not in sight, or cannot tell.
    pub full_in_days: Option<f64>,
    pub changed_at: Option<DateTime<Utc>>,
    pub changed_by: Option<String>,
}

/// What is to be expected of a kind.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = DiskOutlook)]
pub enum Outlook {
    /// Too few samples, or over less than a day.
    CannotTell,
    /// It does not grow, or has no budget.
    NotInSight,
    /// The budget will be used up.
    WillBeFull,
    /// The budget is used up.
    Full,
}

/// What somebody should look at.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = HealthWarning)]
pub struct Warning {
    pub kind: WarningKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = HealthWarningKind)]
pub enum WarningKind {
    Budget,
    Upkeep,
    Deliveries,
    Database,
}

/// What a kind is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionBody {
    /// Within the bounds of the kind. Left out: as it is.
    keep_days: Option<i32>,
    /// Left out: no budget.
    #[schema(minimum = 1)]
    budget_bytes: Option<i64>,
    /// Whether its oldest weeks go when it is over its budget. Left out: they stay.
    #[serde(default)]
    may_shorten: bool,
}

impl From<&Standing> for Retention {
    fn from(standing: &Standing) -> Self {
        let setting = &standing.setting;
        Self {
            kind: setting.kind,
            keep_days: setting.keep_days,
            least_days: setting.least_days,
            most_days: setting.most_days,
            bytes: standing.bytes,
            budget_bytes: setting.budget_bytes,
            may_shorten: setting.may_shorten,
            is_spans: setting.kind.span_table().is_some(),
            shortened_to_days: setting.shortened_to_days,
            shortened_at: setting.shortened_at,
            outlook: match standing.forecast {
                Forecast::CannotTell => Outlook::CannotTell,
                Forecast::NotFull { .. } => Outlook::NotInSight,
                Forecast::FullIn { days, .. } if days <= 0.0 => Outlook::Full,
                Forecast::FullIn { .. } => Outlook::WillBeFull,
            },
            growth_per_day: standing.forecast.growth(),
            full_in_days: standing.forecast.days(),
            changed_at: setting.changed_at,
            changed_by: setting.changed_by.clone(),
        }
    }
}

/// Retention by kind
///
/// For operators and admins.
#[utoipa::path(
    get,
    path = "/retention",
    tag = "installation",
    responses(
        (status = 200, description = "Every kind", body = Vec<Retention>),
        (status = "default", response = Problem)
    )
)]
pub async fn list(caller: Caller, State(app): State<Arc<App>>) -> Result<Json<Vec<Retention>>, Problem> {
    caller.require(Role::Operator)?;
    let standings = retention::standings(&app.db, clock::now()).await?;
    Ok(Json(standings.iter().map(Retention::from).collect()))
}

/// Set how long a kind is kept, and its budget
///
/// For admins who may see every client. Upkeep goes by it within minutes: what is older than `keep_days` is removed for ever.
#[utoipa::path(
    put,
    path = "/retention/{kind}",
    tag = "installation",
    params(("kind" = Kind, Path, description = "The kind")),
    request_body = RetentionBody,
    responses(
        (status = 200, description = "The kind as it is then", body = Retention),
        (status = "default", response = Problem)
    )
)]
pub async fn set(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(kind): Path<String>,
    Body(body): Body<RetentionBody>,
) -> Result<Json<Retention>, Problem> {
    caller.require(Role::Admin)?;
    caller.require_whole()?;
    let kind = Kind::parse(&kind).ok_or_else(|| Problem::not_found("kind"))?;
    let change = Change {
        keep_days: body.keep_days,
        budget_bytes: Some(body.budget_bytes),
        may_shorten: Some(body.may_shorten),
    };
    let now = clock::now();
    retention::set(&app.db, kind, change, &caller.name, now).await?;
    let standings = retention::standings(&app.db, now).await?;
    let standing = standings.iter().find(|standing| standing.setting.kind == kind);
    standing.map(|standing| Json(Retention::from(standing))).ok_or_else(|| Problem::not_found("kind"))
}

impl From<SetFault> for Problem {
    fn from(fault: SetFault) -> Self {
        match fault {
            SetFault::Database(error) => error.into(),
            fault => Self::new(Code::RetentionBadSetting, format!("{fault}.")),
        }
    }
}
