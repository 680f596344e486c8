//! The OpenAPI 3.1 document, written from the same table as the routes.

use std::collections::BTreeSet;

use axum::http::Method;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, JSON, Need};
use super::problem::{Kind, PROBLEM_JSON, ProblemView};

/// Where everything is.
pub(super) const BASE: &str = "/api/v1";
/// What it is, in the document.
const ABOUT: &str = "Everything that the command line can do, through the same use cases. Errors are problems (RFC 9457) whose `type` never \
                     changes. Work that takes longer than a moment is a task: it is begun with 202 and followed at its Location.";

/// The document.
pub(super) fn document(endpoints: &[Endpoint]) -> Value {
    let (mut answers, mut requests) = (generator(true), generator(false));
    let problem = answers.subschema_for::<ProblemView>();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, (&mut answers, &mut requests), &problem);
        let path = paths.entry(address(endpoint.path)).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_ascii_lowercase()] = operation;
    }
    let mut schemas = answers.take_definitions(true);
    schemas.extend(requests.take_definitions(true));
    let tags: BTreeSet<_> = endpoints.iter().map(|endpoint| tag(endpoint.path)).collect();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "cofre", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT, "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "servers": [{ "url": "/" }],
        "tags": tags.into_iter().map(|tag| json!({ "name": tag })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "A token of `cofre token create`." },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "cofre_session",
                    "description": "The session of the page; everything but reading also needs its word in the header X-CSRF-Token."
                }
            }
        }
    })
}

fn generator(answers: bool) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let settings = if answers { settings.for_serialize() } else { settings.for_deserialize() };
    settings.into_generator()
}

/// As OpenAPI writes a path: a part that may hold slashes is a name like the others.
fn address(path: &str) -> String {
    format!("{BASE}{}", path.replace("{*", "{"))
}

/// The first word of the path.
fn tag(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// A name of its own for each operation: `get_sets_set_pin`.
fn name(endpoint: &Endpoint) -> String {
    let words = endpoint.path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(endpoint.method.as_str().to_ascii_lowercase()).chain(words.map(str::to_owned)).collect::<Vec<_>>().join("_")
}

fn operation(endpoint: &Endpoint, (answers, requests): (&mut SchemaGenerator, &mut SchemaGenerator), problem: &Schema) -> Value {
    let need = match endpoint.need {
        Need::Known => "Needs no scope, but a token or a session.".to_owned(),
        Need::Whole(scope) => format!("Needs the scope `{scope}`, not limited to tenants."),
        Need::Tenants(scope) => format!("Needs the scope `{scope}`; a token that is limited to tenants reaches only them."),
    };
    let scopes: Vec<_> = endpoint.need.scope().into_iter().map(crate::access::Scope::name).collect();
    let mut operation = json!({
        "operationId": name(endpoint),
        "summary": endpoint.summary,
        "description": need,
        "tags": [tag(endpoint.path)],
        "security": [{ "token": scopes }, { "session": scopes }],
        "responses": responses(endpoint, answers, problem),
    });
    let parameters = parameters(endpoint, requests);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(describe) = endpoint.body {
        let schema = describe(requests);
        // One that needs nothing may be left out.
        let required = !needs(&schema, requests).is_empty();
        operation["requestBody"] = json!({ "required": required, "content": { JSON: { "schema": schema } } });
    }
    operation
}

fn responses(endpoint: &Endpoint, answers: &mut SchemaGenerator, problem: &Schema) -> Value {
    let look = (endpoint.reply)(answers);
    let mut good = json!({ "description": look.status.canonical_reason().unwrap_or("OK") });
    if let Some((media, schema)) = look.body {
        good["content"] = json!({ media: { "schema": schema } });
    }
    if look.located {
        good["headers"] = json!({ "Location": { "schema": { "type": "string" }, "description": "Where it is." } });
    }
    let mut responses = Map::from_iter([(look.status.as_u16().to_string(), good)]);
    if endpoint.method == Method::GET && responses["200"]["content"].get(JSON).is_some() {
        responses["200"]["headers"] = json!({ "ETag": { "schema": { "type": "string" }, "description": "For If-None-Match." } });
        responses.insert("304".to_owned(), json!({ "description": "It is as it was with that ETag." }));
    }
    for kind in kinds(endpoint) {
        let status = kind.status().as_u16().to_string();
        let told = format!("`{}`: {}.", kind.address(), kind.title());
        let known = responses.get(&status).and_then(|response| response["description"].as_str()).map(|known| format!("{known} {told}"));
        let response = json!({ "description": known.unwrap_or(told), "content": { PROBLEM_JSON: { "schema": problem } } });
        responses.insert(status, response);
    }
    Value::Object(responses)
}

/// What may go wrong.
fn kinds(endpoint: &Endpoint) -> Vec<Kind> {
    let mut kinds = vec![Kind::Unauthenticated];
    match endpoint.need {
        Need::Known => {}
        Need::Whole(_) | Need::Tenants(_) => kinds.extend([Kind::Scope, Kind::Tenant]),
    }
    let (named, changes) = (endpoint.path.contains('{'), endpoint.method != Method::GET);
    if named {
        kinds.push(Kind::NotFound);
    }
    // A POST may come with an idempotency key that is none.
    if endpoint.query.is_some() || endpoint.body.is_some() || endpoint.method == Method::POST {
        kinds.push(Kind::Malformed);
    }
    if endpoint.query.is_some() || named || changes {
        kinds.push(Kind::Invalid);
    }
    if changes {
        kinds.extend([Kind::Csrf, Kind::TooLarge]);
    }
    if endpoint.method == Method::POST {
        kinds.extend([Kind::KeyReused, Kind::KeyInUse]);
    }
    if endpoint.body.is_some() {
        kinds.push(Kind::MediaType);
    }
    // A look at what retention would do waits for no run, and a set may be half made.
    kinds.extend([Kind::Busy, Kind::Conflict, Kind::TooMany]);
    kinds.extend([Kind::Configuration, Kind::Failed, Kind::Unreachable, Kind::Late]);
    kinds
}

/// The keys that an object must have, wherever it is described.
fn needs(schema: &Schema, known: &SchemaGenerator) -> Vec<Value> {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|place| place.rsplit('/').next());
    let described = match name {
        Some(name) => known.definitions().get(name).and_then(|described| described.get("required")),
        None => schema.get("required"),
    };
    described.and_then(Value::as_array).cloned().unwrap_or_default()
}

/// A query has no null: what is optional is left out.
fn without_null(schema: &mut Value) {
    let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) else { return };
    kinds.retain(|kind| kind != "null");
    if let [one] = kinds.as_slice() {
        schema["type"] = one.clone();
    }
}

fn parameters(endpoint: &Endpoint, requests: &mut SchemaGenerator) -> Vec<Value> {
    let names = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = names
        .map(|name| json!({ "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }))
        .collect();
    let query = endpoint.query.map(|describe| describe(requests).to_value());
    let properties = query.as_ref().and_then(|query| query["properties"].as_object()).cloned().unwrap_or_default();
    for (name, mut schema) in properties {
        let described = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
        without_null(&mut schema);
        let required = query.as_ref().and_then(|query| query["required"].as_array()).is_some_and(|all| all.contains(&json!(name)));
        parameters.push(json!({ "name": name, "in": "query", "required": required, "description": described, "schema": schema }));
    }
    if endpoint.method == Method::POST {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 128 });
        let told = "The same key with the same request does nothing twice; kept for 24 hours.";
        parameters.push(json!({ "name": "Idempotency-Key", "in": "header", "required": false, "description": told, "schema": schema }));
    }
    parameters
}
