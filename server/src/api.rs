//! The API for people and programs: one file per resource under api/, each with its types, its documentation and its
//! handlers; queries are in db::read_*.
//!
//! Invariant: everything under /api passes [`access::guard`] first, every error is a [`problem::Problem`], and nothing
//! is read but within the caller's scope.

pub mod problem;

pub mod extract;

pub mod page;

pub mod access;

pub mod model;

pub mod past;

pub mod sign_in;

pub mod sessions;

pub mod overview;

pub mod findings;

pub mod problems;

pub mod forecast;

pub mod hosts;

pub mod boot_story;

pub mod host_boots;

pub mod host_connections;

pub mod host_events;

pub mod host_facts;

pub mod host_services;

pub mod holders;

pub mod host_ports;

pub mod host_port_history;

pub mod host_changes;

pub mod host_lives;

pub mod ports;

pub mod host_updates;

pub mod host_plan;

pub mod updates;

pub mod update_history;

pub mod suspects;

pub mod clients;

pub mod captures;

pub mod catalog;

mod capture_form;

pub mod deliveries;

pub mod departures;

pub mod endpoints;

pub mod live;

pub mod health;

pub mod installation_health;

pub mod retention;

pub mod metrics;

pub mod openapi;

pub mod assets;

pub mod agent_files;

pub mod shell;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::api::problem::{Code, Problem};
use crate::api::sign_in::SignIn;
use crate::app::App;

/// Where the API lives. Breaking changes get another number.
const PREFIX: &str = "/api/v1";
const MAX_BODY: usize = 1024 * 1024;

/// What handlers may ask for.
#[derive(Clone, Debug, FromRef)]
struct Shared {
    app: Arc<App>,
    sign_in: Arc<SignIn>,
}

/// Everything that the HTTP listener serves.
pub fn router(app: Arc<App>) -> Router {
    metrics::install();
    let shared = Shared { app: Arc::clone(&app), sign_in: Arc::default() };
    let (v1, _) = documented().split_for_parts();
    let api = v1
        .route("/api", any(no_route))
        .route("/api/", any(no_route))
        .route("/api/{*rest}", any(no_route))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), access::guard))
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let agent_files = app.config.agent_dir.as_deref().map(agent_files::router).unwrap_or_default();
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .merge(api)
        .with_state(shared)
        .merge(agent_files)
        .merge(assets::router())
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::custom(shell::panicked))
        .layer(from_fn_with_state(app, shell::surround))
}

/// The description of the API.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = documented().into_openapi();
    openapi::require_all_members(&mut document);
    openapi::name_operations(&mut document);
    openapi::name_wildcards(&mut document);
    document
}

fn documented() -> OpenApiRouter<Shared> {
    let v1 = OpenApiRouter::new()
        .routes(routes!(sessions::create, sessions::get, sessions::delete))
        .routes(routes!(overview::get))
        .routes(routes!(findings::list))
        .routes(routes!(findings::one))
        .routes(routes!(problems::list))
        .routes(routes!(problems::one))
        .routes(routes!(forecast::fleet))
        .routes(routes!(forecast::of_host))
        .routes(routes!(hosts::list))
        .routes(routes!(hosts::one))
        .routes(routes!(hosts::accept_machine))
        .routes(routes!(departures::retire))
        .routes(routes!(departures::bring_back))
        .routes(routes!(departures::move_to))
        .routes(routes!(host_facts::one))
        .routes(routes!(host_services::list))
        .routes(routes!(host_ports::list))
        .routes(routes!(host_port_history::list))
        .routes(routes!(host_changes::list))
        .routes(routes!(host_lives::service))
        .routes(routes!(host_lives::steps))
        .routes(routes!(ports::one))
        .routes(routes!(host_updates::list))
        .routes(routes!(host_plan::one))
        .routes(routes!(host_plan::powershell))
        .routes(routes!(host_plan::command))
        .routes(routes!(host_plan::registry))
        .routes(routes!(host_boots::list))
        .routes(routes!(host_boots::holders))
        .routes(routes!(host_boots::one))
        .routes(routes!(host_events::list))
        .routes(routes!(host_connections::ask))
        .routes(routes!(updates::list))
        .routes(routes!(updates::one))
        .routes(routes!(update_history::list))
        .routes(routes!(suspects::list))
        .routes(routes!(clients::list))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::release))
        .routes(routes!(endpoints::list, endpoints::create))
        .routes(routes!(captures::create).layer(DefaultBodyLimit::max(capture_form::MAX_BODY)))
        .routes(routes!(captures::script))
        .routes(routes!(catalog::list))
        .routes(routes!(catalog::own, catalog::add))
        .routes(routes!(catalog::remove))
        .routes(routes!(catalog::overrides::list, catalog::overrides::create))
        .routes(routes!(catalog::overrides::remove))
        .routes(routes!(catalog::releases::list))
        .routes(routes!(catalog::releases::import).layer(DefaultBodyLimit::max(catalog::releases::MAX_BODY)))
        .routes(routes!(catalog::releases::discard))
        .routes(routes!(catalog::releases::shadow))
        .routes(routes!(catalog::releases::approve))
        .routes(routes!(installation_health::get))
        .routes(routes!(retention::list))
        .routes(routes!(retention::set))
        .routes(routes!(live::stream))
        .routes(routes!(openapi::get));
    OpenApiRouter::with_openapi(openapi::Description::openapi()).nest(PREFIX, v1)
}

async fn no_route() -> Problem {
    Problem::new(Code::NoRoute, "See /api/v1/openapi.json for those that exist.")
}

async fn wrong_method() -> Problem {
    Problem::new(Code::WrongMethod, "See /api/v1/openapi.json for those that it takes.")
}
