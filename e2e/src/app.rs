//! App definitions that tests use.

use serde_json::{Value, json};

/// Source of the tests' web server task.
const SERVER: &str = include_str!("server.pl");

/// An app that does nothing for long.
pub fn sleeper(id: &str, instances: u32) -> Value {
    with(&task(id, "exec sleep 1000"), &json!({ "instances": instances }))
}

/// A small app with a shell command.
pub fn task(id: &str, command: &str) -> Value {
    json!({ "id": id, "cmd": command, "cpus": 0.01, "mem": 32 })
}

/// A web server on `PORT0` that needs nothing but perl. Its answers' status is `START_STATUS` (200)
/// until somebody asks for `/set/STATUS`; `/hang` makes it stop answering; `/env` tells its
/// environment; everything else answers `BODY`.
pub fn web_server(id: &str) -> Value {
    let command = format!("cat > server.pl <<'END'\n{SERVER}END\nexec perl server.pl");
    with(&task(id, &command), &json!({ "portDefinitions": [{ "port": 0, "name": "http" }] }))
}

/// A health check that is quick enough for tests.
pub fn health_check(protocol: &str, fields: &Value) -> Value {
    let quick = json!({
        "protocol": protocol, "intervalSeconds": 1, "timeoutSeconds": 1, "maxConsecutiveFailures": 2, "gracePeriodSeconds": 20, "delaySeconds": 0,
    });
    with(&quick, fields)
}

/// `value` with `fields` put over it.
///
/// # Panics
/// When one of them is no object.
pub fn with(value: &Value, fields: &Value) -> Value {
    let mut value = value.clone();
    for (key, field) in fields.as_object().expect("fields are an object") {
        value[key] = field.clone();
    }
    value
}
