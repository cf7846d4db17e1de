//! The description of the API, made from the code: routes, types and their comments.

use std::sync::OnceLock;

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use utoipa::openapi::schema::ArrayItems;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{Modify, OpenApi};

use crate::api;
use crate::api::problem::Problem;

/// What no route says: title, ways to authenticate, the one error.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portreeve",
        version = "1",
        description = "Who took the port, and which update did this. Times are RFC 3339 in UTC. Errors are RFC 9457 \
                       problems with a stable `code`. Names of hosts, processes, services and updates come from \
                       monitored machines: show them as text, never as markup. Fields may be added; none is removed \
                       or changes its meaning within version 1.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(responses(Problem), schemas(Problem)),
    modifiers(&Security),
    security(("session" = []), ("token" = []))
)]
pub(super) struct Description;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "__Host-portreeve",
                "Set by POST /api/v1/session. On plain HTTP (loopback only) its name is `portreeve`.",
            ))),
        );
        components.add_security_scheme(
            "token",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format("ptr_pat_<id>_<secret>")
                    .description(Some("Made by `portreeve-server api-token create`."))
                    .build(),
            ),
        );
    }
}

/// Schemas of bodies that callers send, and the one answer with a member that may be absent.
const WITH_OPTIONAL_MEMBERS: &[&str] = &["SignInBody", "NewEndpointBody", "CaptureBody", "RetentionBody", "Problem"];

/// Answers always hold all of their members, `null` where there is nothing to say; derived schemas leave those that
/// can be `null` out of `required`.
pub(super) fn require_all_members(document: &mut utoipa::openapi::OpenApi) {
    let Some(components) = document.components.as_mut() else { return };
    for (name, schema) in &mut components.schemas {
        if !WITH_OPTIONAL_MEMBERS.contains(&name.as_str()) {
            require_all(schema);
        }
    }
}

/// Ids of operations are unique in a description, but the handlers' names, from which they come, are not: every
/// resource has its `list`. `GET /api/v1/hosts/{id}/ports` becomes `get_hosts_id_ports`.
pub(super) fn name_operations(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let words: Vec<_> = path
            .trim_start_matches(api::PREFIX)
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let name = words.join("_");
        let operations =
            [("get", &mut item.get), ("post", &mut item.post), ("put", &mut item.put), ("delete", &mut item.delete)];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{name}"));
            }
        }
    }
}

/// A parameter that takes the rest of a path is written like any other: `{*key}` is the router's word.
pub(super) fn name_wildcards(document: &mut utoipa::openapi::OpenApi) {
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
}

fn require_all(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            object.required = object.properties.keys().cloned().collect();
            object.properties.values_mut().for_each(require_all);
        }
        RefOr::T(Schema::AllOf(parts)) => parts.items.iter_mut().for_each(require_all),
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                require_all(items);
            }
        }
        _ => {}
    }
}

/// The document as docs/openapi.json holds it: indented, one newline at its end.
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| api::document().to_pretty_json().unwrap_or_default() + "\n")
}

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "openapi",
    responses((status = 200, description = "The document", body = Object), (status = "default", response = Problem))
)]
pub async fn get() -> Response {
    ([(CONTENT_TYPE, "application/json")], text()).into_response()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// `UPDATE=1` writes instead of comparing.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the switch of the test runner, not configuration")]
    fn the_committed_document_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        if std::env::var("UPDATE").is_ok() {
            std::fs::write(&path, super::text()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == super::text(), "docs/openapi.json is not current: run with UPDATE=1");
    }
}
