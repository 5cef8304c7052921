//! Defaults, merging, and schema faults.

use crate::{definition, map, marathon, package};
use orrery_catalog::{CatalogError, OPTIONS_DEPTH_MAX, defaults, merge, resolve_options, validate_options};
use serde_json::{Map, Value, json};

#[test]
fn defaults_follow_properties_only() {
    let schema = json!({
        "default": {"ignored": 1},
        "properties": {
            "a": {"default": 1},
            "null": {"default": null},
            "nothing": {"type": "string"},
            "o": {"properties": {"b": {"default": "x"}, "c": {}}},
            "hollow": {"properties": {"d": {"type": "string"}}},
            "own": {"default": {"k": 1}, "properties": {"k": {"default": 2}, "l": {"default": 3}}},
            "empty": {"default": {}},
            "list": {"type": "array", "items": {"default": 1}},
            "one": {"oneOf": [{"default": 1}]},
            "odd": 5,
            "oddProperties": {"properties": []},
        },
    });
    assert_eq!(
        Value::Object(defaults(&map(schema))),
        json!({"a": 1, "null": null, "o": {"b": "x"}, "own": {"k": 1}, "empty": {}})
    );
    assert_eq!(defaults(&Map::new()), Map::new());
}

#[test]
fn objects_merge_and_all_else_replaces() {
    let mut base = map(json!({"a": 1, "l": [1, 2], "o": {"x": 1, "y": 2}, "p": {"q": 1}, "n": 1}));
    merge(&mut base, &map(json!({"l": [3], "o": {"y": 3, "z": 4}, "p": 5, "n": null, "a": {"b": 1}})));
    assert_eq!(Value::Object(base), json!({"a": {"b": 1}, "l": [3], "o": {"x": 1, "y": 3, "z": 4}, "p": 5, "n": null}));
}

fn faults(config: &Value, options: Value) -> Vec<Value> {
    let package = package(definition(
        "p",
        "1",
        0,
        json!({
            "config": config, "marathon": marathon("{}"),
        }),
    ));
    let resolved = resolve_options(&package, &map(options)).expect("resolves");
    match validate_options(&package, &resolved) {
        Ok(()) => Vec::new(),
        Err(CatalogError::JsonSchemaMismatch { errors }) => errors,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn faults_have_the_fields_old_clients_read() {
    let config = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2, "pattern": "^[a-z]+$"},
            "count": {"type": "integer", "minimum": 1, "maximum": 9},
            "above": {"type": "number", "minimum": 0, "exclusiveMinimum": true},
            "kind": {"enum": ["a", "b"]},
            "both": {"type": ["string", "integer"]},
            "service": {
                "type": "object", "additionalProperties": false,
                "properties": {"x": {"type": "string"}, "y": {}, "z": {}},
                "required": ["x", "y"],
                "dependencies": {"z": ["x"]},
            },
            "list": {"type": "array", "minItems": 2, "uniqueItems": true},
            "one": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        },
    });
    let check = |options: Value, expected: Value| {
        let found = faults(&config, options);
        assert_eq!(found.len(), 1, "{found:?}");
        let mut rest = found[0].clone();
        assert_eq!(rest["level"], "error");
        assert_eq!(rest["domain"], "validation");
        assert_eq!(rest["schema"]["loadingURI"], "#");
        assert!(rest["message"].as_str().is_some_and(|text| !text.is_empty()));
        let rest = rest.as_object_mut().expect("object");
        for key in ["level", "domain", "message"] {
            rest.remove(key);
        }
        let schema = rest.remove("schema").unwrap()["pointer"].clone();
        let instance = rest.remove("instance").unwrap()["pointer"].clone();
        let mut actual = map(json!({"at": instance, "schema": schema}));
        actual.extend(rest.clone());
        assert_eq!(Value::Object(actual), expected);
    };
    check(
        json!({"name": 5}),
        json!({
            "at": "/name", "schema": "/properties/name", "keyword": "type",
            "found": "integer", "expected": ["string"],
        }),
    );
    check(
        json!({"both": true}),
        json!({
            "at": "/both", "schema": "/properties/both", "keyword": "type",
            "found": "boolean", "expected": ["integer", "string"],
        }),
    );
    // Under draft 4 a number with a point is no integer.
    check(
        json!({"count": 1.0}),
        json!({
            "at": "/count", "schema": "/properties/count", "keyword": "type",
            "found": "number", "expected": ["integer"],
        }),
    );
    check(
        json!({"count": null}),
        json!({
            "at": "/count", "schema": "/properties/count", "keyword": "type",
            "found": "null", "expected": ["integer"],
        }),
    );
    check(
        json!({"count": 0}),
        json!({
            "at": "/count", "schema": "/properties/count", "keyword": "minimum",
            "minimum": 1, "found": 0,
        }),
    );
    check(
        json!({"count": 10}),
        json!({
            "at": "/count", "schema": "/properties/count", "keyword": "maximum",
            "maximum": 9, "found": 10,
        }),
    );
    check(
        json!({"above": 0}),
        json!({
            "at": "/above", "schema": "/properties/above", "keyword": "minimum",
            "minimum": 0, "found": 0, "exclusiveMinimum": true,
        }),
    );
    check(
        json!({"kind": "c"}),
        json!({
            "at": "/kind", "schema": "/properties/kind", "keyword": "enum",
            "value": "c", "enum": ["a", "b"],
        }),
    );
    check(
        json!({"name": "a"}),
        json!({
            "at": "/name", "schema": "/properties/name", "keyword": "minLength",
            "value": "a", "found": 1, "minLength": 2,
        }),
    );
    check(
        json!({"name": "AB"}),
        json!({
            "at": "/name", "schema": "/properties/name", "keyword": "pattern",
            "regex": "^[a-z]+$", "string": "AB",
        }),
    );
    check(
        json!({"service": {}}),
        json!({
            "at": "/service", "schema": "/properties/service", "keyword": "required",
            "required": ["x", "y"], "missing": ["x", "y"],
        }),
    );
    check(
        json!({"service": {"x": "", "y": 1, "bad": 1, "worse": 2}}),
        json!({
            "at": "/service", "schema": "/properties/service", "keyword": "additionalProperties",
            "unwanted": ["bad", "worse"],
        }),
    );
    check(
        json!({"list": [1]}),
        json!({
            "at": "/list", "schema": "/properties/list", "keyword": "minItems",
            "minItems": 2, "found": 1,
        }),
    );
    check(
        json!({"list": [1, 1]}),
        json!({
            "at": "/list", "schema": "/properties/list", "keyword": "uniqueItems",
        }),
    );
    check(
        json!({"one": true}),
        json!({
            "at": "/one", "schema": "/properties/one", "keyword": "oneOf",
            "matched": 0, "nrSchemas": 2,
        }),
    );
}

#[test]
fn dependencies_are_told_from_required() {
    let config = json!({"dependencies": {"tls": ["key", "certificate"]}});
    let found = faults(&config, json!({"tls": true}));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["keyword"], "dependencies");
    assert_eq!(found[0]["property"], "tls");
    assert_eq!(found[0]["required"], json!(["key", "certificate"]));
    assert_eq!(found[0]["missing"], json!(["key", "certificate"]));
    assert_eq!(found[0]["schema"]["pointer"], "");
}

#[test]
fn all_faults_come_at_once() {
    let config = json!({
        "properties": {"a": {"type": "string"}, "b": {"minimum": 1}, "c": {"enum": [1]}},
        "required": ["d"],
    });
    let found = faults(&config, json!({"a": 1, "b": 0, "c": 2}));
    assert_eq!(found.len(), 4, "{found:?}");
    let error = CatalogError::JsonSchemaMismatch { errors: found };
    let message = error.to_string();
    for part in ["a: instance type (integer)", "b: numeric instance", "c: instance value", "\"d\""] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn empty_options_are_never_validated() {
    assert_eq!(faults(&json!({"required": ["a"]}), json!({})), Vec::<Value>::new());
    assert_eq!(faults(&json!({"required": ["a"]}), json!({"b": 1})).len(), 1);
}

#[test]
fn a_package_without_schema_takes_no_options() {
    let package = package(definition("p", "1", 0, json!({"marathon": marathon("{}")})));
    assert!(validate_options(&package, &Map::new()).is_ok());
    let error = validate_options(&package, &map(json!({"a": 1}))).unwrap_err();
    assert_eq!((error.kind(), error.data()), ("OptionsNotAllowed", None));
}

#[test]
fn schemas_are_draft_4_whatever_they_say_and_never_fetched() {
    let exclusive = json!({"properties": {"a": {"minimum": 1, "exclusiveMinimum": true}}});
    assert_eq!(faults(&exclusive, json!({"a": 1})).len(), 1);
    let package = package(definition(
        "p",
        "1",
        0,
        json!({
            "config": {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}},
            "marathon": marathon("{}"),
        }),
    ));
    let error = validate_options(&package, &map(json!({"a": 1}))).unwrap_err();
    assert_eq!(error.kind(), "PackageFileSchemaMismatch", "{error}");
    let invalid = crate::package(definition(
        "p",
        "1",
        0,
        json!({
            "config": {"type": "nonsense"}, "marathon": marathon("{}"),
        }),
    ));
    let error = validate_options(&invalid, &map(json!({"a": 1}))).unwrap_err();
    assert_eq!(error.kind(), "PackageFileSchemaMismatch", "{error}");
}

#[test]
fn deep_options_are_refused() {
    let package = package(definition(
        "p",
        "1",
        0,
        json!({
            "config": {}, "marathon": marathon("{}"),
        }),
    ));
    let nested = |depth: usize| (1..depth).fold(map(json!({"a": 1})), |inner, _| map(json!({"a": inner})));
    assert!(resolve_options(&package, &nested(OPTIONS_DEPTH_MAX)).is_ok());
    let error = resolve_options(&package, &nested(OPTIONS_DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(error.kind(), "OptionsTooDeep");
    // What arrives as text is refused by the parser already, without deep recursion.
    let text = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    assert!(serde_json::from_str::<Map<String, Value>>(&text).is_err());
}
