//! What arguments become on the wire, and what a description may say.

use std::sync::Arc;

use freehold_gateway::options::{Problems, Secrets};
use serde_json::{Value, json};

use super::*;
use crate::event::RetryRule;
use crate::tools::options::ToolOptions;

pub(in crate::tools) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "servers": [{ "url": "http://127.0.0.1:1/v1/" }],
        "paths": {
            "/orders/{id}": {
                "parameters": [{ "name": "id", "in": "path", "schema": { "type": "string" } }],
                "get": { "operationId": "getOrder", "summary": "An order.", "parameters": [
                    { "name": "tags", "in": "query", "schema": { "type": "array", "items": { "type": "string" } } },
                    { "name": "id", "in": "query", "schema": { "type": "integer" } },
                    { "name": "X-Trace", "in": "header", "schema": { "type": "string" } }
                ] },
                "delete": { "operationId": "dropOrder" }
            },
            "/orders": { "post": {
                "operationId": "makeOrder",
                "parameters": [{ "name": "Idempotency-Key", "in": "header", "required": true, "schema": {} }],
                "requestBody": { "required": true, "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Order" } } } }
            } },
            "/pay": { "post": { "operationId": "pay", "requestBody": { "content": {
                "application/x-www-form-urlencoded": { "schema": { "type": "object" } } } } } },
            "/upload": { "post": { "operationId": "upload", "requestBody": { "content": {
                "multipart/form-data": {} } } } }
        },
        "components": { "schemas": { "Order": { "type": "object", "properties": {
            "items": { "type": "array", "items": { "$ref": "#/components/schemas/Line" } } } },
            "Line": { "type": "object", "properties": { "sku": { "type": "string" } } } } }
    })
}

fn options(only: &[&str]) -> ToolOptions {
    let table = json!({ "kind": "http", "only": only, "document": document().to_string() });
    serde_json::from_value(table).expect("options")
}

fn api(only: &[&str]) -> (Option<Api>, Problems) {
    let mut problems = Problems::default();
    let api =
        Api::new("shop", &options(only), &Secrets::default(), &mut problems.at(&["tools", "shop"]));
    (api, problems)
}

fn sent(only: &str, arguments: &Value) -> Result<(String, String), String> {
    let api = api(&[only]).0.expect("an API");
    let arguments = arguments.as_object().expect("an object").clone();
    let mut request = api.request(&api.operations[0].0, &arguments, 1_000)?;
    let body = request.body.pop().unwrap_or_default();
    Ok((request.uri.to_string(), String::from_utf8_lossy(&body).into_owned()))
}

#[test]
fn arguments_go_where_the_description_says() {
    let arguments = json!({ "id_path": "a/b?c", "id": 7, "tags": ["x y", "&"], "X-Trace": "t" });
    let (uri, _) = sent("getOrder", &arguments).expect("sent");
    assert_eq!(uri, "http://127.0.0.1:1/v1/orders/a%2Fb%3Fc?tags=x%20y&tags=%26&id=7");
    let (uri, body) = sent("makeOrder", &json!({ "body": { "items": [] } })).expect("sent");
    assert_eq!((uri.as_str(), body.as_str()), ("http://127.0.0.1:1/v1/orders", "{\"items\":[]}"));
    let (_, body) = sent("pay", &json!({ "body": { "to": "a b", "n": 1 } })).expect("sent");
    assert_eq!(body, "to=a%20b&n=1");
}

#[test]
fn a_model_cannot_leave_the_operation() {
    for (only, arguments) in [
        ("dropOrder", json!({ "id": ".." })),
        ("dropOrder", json!({ "id": "" })),
        ("dropOrder", json!({})),
        ("dropOrder", json!({ "id": "1", "admin": true })),
        ("makeOrder", json!({})),
        ("pay", json!({ "body": "text" })),
    ] {
        assert!(sent(only, &arguments).is_err(), "{only} {arguments}");
    }
    let (uri, _) = sent("dropOrder", &json!({ "id": "../../admin" })).expect("sent");
    assert!(uri.ends_with("/v1/orders/..%2F..%2Fadmin"), "{uri}");
}

#[test]
fn the_method_and_a_declared_key_give_the_rules() {
    let (api, problems) = api(&["getOrder", "dropOrder", "makeOrder", "pay"]);
    assert!(problems.is_empty(), "{problems:?}");
    let mut offers = offer::Offers::default();
    Arc::new(api.expect("an API")).offer(&mut offers);
    let set = offers.into_set();
    let rule = |name: &str| {
        let rules = &set.rules[&crate::event::Name::cut(name)];
        (rules.retry, rules.approval.is_some())
    };
    assert_eq!(rule("shop__getOrder"), (RetryRule::Idempotent, false));
    assert_eq!(rule("shop__dropOrder"), (RetryRule::Idempotent, true));
    assert_eq!(rule("shop__makeOrder"), (RetryRule::Idempotent, false));
    assert_eq!(rule("shop__pay"), (RetryRule::TellUnknown, false));
    let text = serde_json::to_string(&set.offered).expect("JSON");
    assert!(!text.contains("Idempotency-Key") && text.contains("\"sku\""), "{text}");
}

#[test]
fn mistakes_of_the_configuration_are_told() {
    for (only, told) in
        [("getOrdr", "did you mean `getOrder`?"), ("upload", "only JSON, forms and plain text")]
    {
        let problems = api(&[only]).1;
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(text.iter().any(|text| text.contains(told)), "{text:?}");
    }
    let (api, _) = api(&["GET /orders/{id}"]);
    assert_eq!(api.expect("an API").operations.len(), 1);
}
