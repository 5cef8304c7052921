//! From package and options to an app with labels, and back.

use crate::{definition, map, marathon, package};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orrery_catalog::label::{options_of_label, package_of_label};
use orrery_catalog::{CatalogError, Package, Rendered, Severity, check};
use serde_json::{Map, Value, json};

const URI: &str = "https://repo.example/";

fn render(package: &Package, options: Value) -> Result<Rendered, CatalogError> {
    orrery_catalog::render(package, URI, &map(options), None)
}

/// A number that no double can hold.
fn huge() -> Value {
    serde_json::from_str("1e400").unwrap()
}

fn service(template: &str) -> std::sync::Arc<Package> {
    package(definition(
        "web",
        "1.0",
        3,
        json!({
            "config": {"properties": {
                "name": {"type": "string", "default": "web"},
                "count": {"type": "integer", "default": 1},
            }},
            "resource": {
                "assets": {"container": {"docker": {"image": "nginx:1"}}},
                "images": {"icon-small": "s.png", "none": null},
            },
            "marathon": marathon(template),
            "licenses": [{"name": "MIT", "url": "u"}],
            "unknown": {"kept": [1.0, huge()]},
            "scm": null,
        }),
    ))
}

#[test]
fn an_app_has_options_resources_id_and_labels() {
    let package = service(
        r#"{"id": "{{name}}", "instances": {{count}}, "labels": {"MINE": "1", "DCOS_PACKAGE_NAME": "no"},
            "container": {"docker": {"image": "{{resource.assets.container.docker.image}}"}}}"#,
    );
    let rendered = render(&package, json!({"count": 2})).unwrap();
    assert_eq!(rendered.app["id"], "web");
    assert_eq!(rendered.app["instances"], 2);
    assert_eq!(rendered.app["container"]["docker"]["image"], "nginx:1");
    assert_eq!(Value::Object(rendered.resolved_options.clone()), json!({"name": "web", "count": 2}));
    let labels = rendered.app["labels"].as_object().unwrap();
    assert_eq!(labels["MINE"], "1");
    assert_eq!(labels["DCOS_PACKAGE_NAME"], "web", "a template cannot override it");
    assert_eq!(labels["DCOS_PACKAGE_VERSION"], "1.0");
    assert_eq!(labels["DCOS_PACKAGE_SOURCE"], URI);
    let text = |name: &str| STANDARD.decode(labels[name].as_str().unwrap()).unwrap();
    assert_eq!(text("DCOS_PACKAGE_OPTIONS"), br#"{"count":2}"#);
    let metadata: Value = serde_json::from_slice(&text("DCOS_PACKAGE_METADATA")).unwrap();
    assert_eq!(metadata["images"], json!({"icon-small": "s.png"}));
    assert_eq!(metadata["licenses"][0]["name"], "MIT");
    assert_eq!(metadata.get("config"), None);
    let envelope: Value = serde_json::from_slice(&text("DCOS_PACKAGE_DEFINITION")).unwrap();
    assert_eq!(
        envelope["metadata"],
        json!({
            "Content-Type": "application/vnd.dcos.universe.package+json;charset=utf-8;version=v4",
            "Content-Encoding": "gzip",
        })
    );
    let again = render(&service(&"{}".repeat(0)), json!({}));
    assert!(again.is_err(), "an empty template is no JSON");
}

#[test]
fn the_id_can_be_overridden_and_stays_in_its_place() {
    let package = service(r#"{"id": "{{name}}", "cmd": "x"}"#);
    let app = orrery_catalog::render(&package, URI, &Map::new(), Some("/a/b")).unwrap().app;
    assert_eq!(app["id"], "/a/b");
    assert_eq!(app.as_object().unwrap().keys().next().unwrap(), "id");
}

#[test]
fn what_labels_hold_can_be_read_back() {
    let package = service(r#"{"id": "x"}"#);
    let app = render(&package, json!({"name": "n", "count": 5})).unwrap().app;
    let label = |name: &str| app["labels"][name].as_str().unwrap().to_owned();
    let stored = package_of_label(&label("DCOS_PACKAGE_DEFINITION")).unwrap();
    assert_eq!((stored.name.as_str(), stored.release_version), ("web", 3));
    assert_eq!(stored.definition().unwrap(), package.definition().unwrap());
    assert_eq!(stored.definition().unwrap()["unknown"]["kept"].to_string(), "[1.0,1e+400]");
    assert_eq!(stored.definition().unwrap().get("scm"), None, "null fields are dropped");
    let options = options_of_label(&label("DCOS_PACKAGE_OPTIONS")).unwrap();
    assert_eq!(Value::Object(options), json!({"name": "n", "count": 5}));
    // A stored package renders as the original does.
    let again = orrery_catalog::render(&stored, URI, &map(json!({"count": 5})), None).unwrap();
    assert_eq!(again.app["labels"]["DCOS_PACKAGE_DEFINITION"], label("DCOS_PACKAGE_DEFINITION"));
}

#[test]
fn damaged_labels_are_errors() {
    for label in ["", "%%%", "e30=", "bnVsbA==", "W10="] {
        let error = package_of_label(label).unwrap_err();
        assert_eq!(error.kind(), "DefinitionUnreadable");
    }
    let envelope = |encoding: &str, data: &[u8]| {
        STANDARD.encode(json!({"metadata": {"Content-Encoding": encoding}, "data": STANDARD.encode(data)}).to_string())
    };
    assert!(package_of_label(&envelope("gzip", b"not gzip")).is_err());
    assert!(package_of_label(&envelope("identity", b"[]")).is_err());
    let plain = definition("p", "1", 0, json!({})).to_string();
    assert_eq!(package_of_label(&envelope("identity", plain.as_bytes())).unwrap().name, "p");
    assert!(options_of_label("W10=").is_err());
}

#[test]
fn no_options_are_stored_as_an_empty_object_and_nulls_are_dropped() {
    let package = package(definition(
        "p",
        "1",
        0,
        json!({
            "config": {}, "marathon": marathon("{}"),
        }),
    ));
    let app = render(&package, json!({})).unwrap().app;
    assert_eq!(app["labels"]["DCOS_PACKAGE_OPTIONS"], "e30=");
    let app = render(&package, json!({"a": null, "b": {"c": null}, "d": [null]})).unwrap().app;
    let stored = STANDARD.decode(app["labels"]["DCOS_PACKAGE_OPTIONS"].as_str().unwrap()).unwrap();
    assert_eq!(stored, br#"{"b":{},"d":[null]}"#);
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let render = || render(&service(r#"{"id": "x"}"#), json!({})).unwrap().app.to_string();
    assert_eq!(render(), render());
}

#[test]
fn of_equal_keys_the_last_counts() {
    let app = render(&service(r#"{"id": "a", "id": "b", "cpus": 1e400}"#), json!({})).unwrap().app;
    assert_eq!(app["id"], "b");
    assert_eq!(app["cpus"].to_string(), "1e+400", "numbers keep their digits");
}

#[test]
fn every_failure_has_its_type() {
    let kind = |template: &str| {
        let error = render(&service(template), json!({})).unwrap_err();
        (error.kind(), error.data())
    };
    assert_eq!(kind("[]"), ("MarathonTemplateMustBeJsonObject$", None));
    assert_eq!(kind("{\"a\": }").0, "JsonParsingError");
    assert_eq!(kind(r#"{"labels": {"a": 1}}"#).0, "JsonDecodingError");
    assert_eq!(kind(r#"{"labels": "a"}"#).0, "JsonDecodingError");
    assert_eq!(kind("{{#a}}").0, "TemplateFailed");
    let (_, data) = kind("{\"a\": \"secret\" }}");
    assert!(!data.unwrap().to_string().contains("secret"), "input is not echoed");
    assert!(render(&service(r#"{"labels": null}"#), json!({})).is_ok());

    let cli = package(definition(
        "cli",
        "1",
        0,
        json!({
            "resource": {"cli": {"binaries": {"linux": {}}}},
        }),
    ));
    let error = render(&cli, json!({})).unwrap_err();
    assert_eq!(error.kind(), "ServiceMarathonTemplateNotFound");
    assert_eq!(error.data().unwrap(), json!({"packageName": "cli", "packageVersion": "1"}));
    assert_eq!(cli.cli().unwrap(), json!({"binaries": {"linux": {}}}));

    let error = render(&service("{}"), json!({"count": "x"})).unwrap_err();
    assert_eq!(error.kind(), "JsonSchemaMismatch");
    let data = error.data().unwrap();
    assert_eq!(data["errors"][0]["instance"]["pointer"], "/count");

    let broken = package(definition(
        "p",
        "1",
        0,
        json!({
            "marathon": {"v2AppMustacheTemplate": "%%%"},
        }),
    ));
    assert_eq!(render(&broken, json!({})).unwrap_err().kind(), "PackageFileNotJson");
    let bytes = package(definition(
        "p",
        "1",
        0,
        json!({
            "marathon": {"v2AppMustacheTemplate": STANDARD.encode(b"{\"a\": \"\xff\"}")},
        }),
    ));
    assert_eq!(render(&bytes, json!({})).unwrap().app["a"], "\u{fffd}");
}

#[test]
fn resources_win_over_options_of_the_same_name() {
    let package = package(definition(
        "p",
        "1",
        0,
        json!({
            "config": {"properties": {"resource": {"default": {"mine": 1, "assets": {"x": "option"}}}}},
            "resource": {"assets": {"x": "resource"}},
            "marathon": marathon(r#"{"a": "{{resource.assets.x}}", "b": {{resource.mine}}}"#),
        }),
    ));
    let app = render(&package, json!({})).unwrap().app;
    assert_eq!((&app["a"], &app["b"]), (&json!("resource"), &json!(1)));
}

#[test]
fn strict_templates_refuse_missing_options() {
    let strict = |template: &str| {
        package(definition(
            "new",
            "1",
            0,
            json!({
                "config": {"properties": {
                    "name": {"default": "a\"b"}, "list": {"default": ["x", "y"]},
                    "flag": {"default": false}, "huge": {"default": huge()},
                }},
                "app": {"handlebarsTemplate": STANDARD.encode(template)},
            }),
        ))
    };
    let template = r#"{"id": {{json name}}, "l": {{json list}}, "n": {{huge}},
        "each": [{{#each list}}{{json this}}{{#unless @last}}, {{/unless}}{{/each}}]
        {{#if flag}}, "on": true{{/if}} }"#;
    let app = render(&strict(template), json!({})).unwrap().app;
    assert_eq!(app["id"], "a\"b");
    assert_eq!(app["l"], json!(["x", "y"]));
    assert_eq!(app["each"], json!(["x", "y"]));
    assert_eq!(app["n"].to_string(), "1e+400");
    assert_eq!(app.get("on"), None);
    let nested = |depth: usize| "{{#if name}}".repeat(depth) + "{}" + &"{{/if}}".repeat(depth);
    assert!(render(&strict(&nested(20)), json!({})).is_ok());
    // Whatever the engine says, it must not overflow the stack.
    for depth in [99, 400, 800, 3000] {
        let _ = render(&strict(&nested(depth)), json!({}));
        let _ = render(&strict(&format!("{{{{a {}}}}}", "(a ".repeat(depth) + &")".repeat(depth))), json!({}));
    }
    assert_eq!(render(&strict(&" ".repeat(1 << 20)), json!({})).unwrap_err().kind(), "TemplateFailed");
    for template in ["{{missing}}", "{{json missing}}", "{{#if}}", "{{> partial}}"] {
        assert_eq!(render(&strict(template), json!({})).unwrap_err().kind(), "TemplateFailed");
    }
}

fn linted(config: &Value, template: &str) -> Vec<(Severity, &'static str, String)> {
    let package = package(definition("web", "1.0", 3, json!({"config": config, "marathon": marathon(template)})));
    check(&package).into_iter().map(|fault| (fault.severity, fault.file, fault.reason)).collect()
}

#[test]
fn lint_finds_what_stops_an_installation_and_what_looks_wrong() {
    let template_file = "marathon.json.mustache";
    let option = json!({"type": "string", "description": "A name", "default": "web"});
    let config = json!({"type": "object", "properties": {"name": option}});
    let one = |config: &Value, template: &str| {
        let faults = linted(config, template);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.into_iter().next().map(|(severity, file, _)| (severity, file)).unwrap()
    };
    assert_eq!(linted(&config, r#"{"id": "{{name}}"}"#), []);
    assert_eq!(one(&config, r#"{"id": "{{nmae}}"}"#), (Severity::Warning, template_file));
    assert_eq!(one(&config, "{}"), (Severity::Warning, template_file));
    assert_eq!(one(&config, "{{#a}}"), (Severity::Error, template_file));
    assert_eq!(one(&config, "{\"id\": {{name}} }"), (Severity::Error, template_file));
    let mut needs = config.clone();
    needs["required"] = json!(["other"]);
    assert_eq!(one(&needs, "{\"id\": \"x\"}"), (Severity::Warning, "config.json"));
    let mut broken = config.clone();
    broken["properties"]["name"]["type"] = json!("nonsense");
    let faults = linted(&broken, "{\"id\": \"x\"}");
    assert!(faults.iter().any(|fault| (fault.0, fault.1) == (Severity::Error, "config.json")), "{faults:?}");
}

#[test]
fn lint_knows_the_published_schemas() {
    let odd = package(definition("P_1", "1", 0, json!({"licenses": 5, "tags": ["two words"], "unknown": 1})));
    let faults = check(&odd);
    assert!(faults.iter().all(|fault| fault.severity == Severity::Warning && fault.file == "package.json"));
    for part in ["name: ECMA 262 regex", "tags.0: ECMA 262", "licenses: instance type", "unknown", "installs nothing"] {
        assert!(faults.iter().any(|fault| fault.reason.contains(part)), "{part}: {faults:?}");
    }
}
