use super::*;
use orrery_core::app::{NetworkMode, Protocol, UnreachableStrategy};
use orrery_core::{App, AppId, Scalar};
use serde_json::{Value, json};

fn with(fields: &Value) -> Value {
    let mut value = json!({"id": "/a", "cmd": "x"});
    for (key, field) in fields.as_object().unwrap() {
        value[key] = field.clone();
    }
    value
}

fn read(fields: &Value) -> App {
    read_app(&with(fields), ReadContext::default()).unwrap_or_else(|faults| panic!("{fields}: {faults:?}"))
}

fn faults(fields: &Value) -> Vec<String> {
    match read_app(&with(fields), ReadContext::default()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().map(|fault| fault.path).collect(),
    }
}

#[test]
fn defaults_are_marathons() {
    let app = read(&json!({}));
    assert_eq!(
        write_app(&app),
        json!({
            "id": "/a", "cmd": "x", "env": {}, "instances": 1, "cpus": 1, "mem": 128, "disk": 0, "gpus": 0, "executor": "",
            "constraints": [], "networks": [{"mode": "host"}],
            "portDefinitions": [{"port": 0, "protocol": "tcp", "name": "default"}], "requirePorts": false, "fetch": [],
            "healthChecks": [], "readinessChecks": [], "dependencies": [],
            "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1},
            "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}, "killSelection": "YOUNGEST_FIRST",
            "backoffSeconds": 1, "backoffFactor": 1.15, "maxLaunchDelaySeconds": 300, "labels": {},
            "version": "1970-01-01T00:00:00.000Z",
            "versionInfo": {"lastScalingAt": "1970-01-01T00:00:00.000Z", "lastConfigChangeAt": "1970-01-01T00:00:00.000Z"},
        })
    );
    assert!(read(&json!({"portDefinitions": []})).port_definitions.is_empty());
    assert_eq!(read(&json!({"portDefinitions": null})), app);
}

#[test]
fn old_forms_become_new_ones() {
    let table = [
        (
            json!({"uris": ["http://h/a.tar.gz", "http://h/b.bin", ""]}),
            json!({"fetch": [{"uri": "http://h/a.tar.gz", "extract": true}, {"uri": "http://h/b.bin", "extract": false}]}),
        ),
        (json!({"ports": [80, 0]}), json!({"portDefinitions": [{"port": 80}, {"port": 0}]})),
        (json!({"ports": [], "portDefinitions": [{"port": 80}]}), json!({"portDefinitions": [{"port": 80}]})),
        (
            json!({"container": {"type": "DOCKER", "docker": {"image": "i", "network": "HOST"}}}),
            json!({"container": {"type": "DOCKER", "docker": {"image": "i"}}, "networks": [{"mode": "host"}]}),
        ),
        (
            json!({"container": {"docker": {"image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}}, "ports": [9]}),
            json!({"container": {"type": "DOCKER", "docker": {"image": "i"}, "portMappings": [{"containerPort": 80, "hostPort": 0}]},
                   "networks": [{"mode": "container/bridge"}]}),
        ),
        (
            json!({"container": {"docker": {"image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}},
                   "portDefinitions": [{"port": 18080, "name": "web"}]}),
            json!({"container": {"type": "DOCKER", "docker": {"image": "i"},
                    "portMappings": [{"containerPort": 80, "hostPort": 0, "servicePort": 18080, "name": "web"}]},
                   "networks": [{"mode": "container/bridge"}]}),
        ),
        (
            json!({"container": {"docker": {"image": "i", "network": "USER", "portMappings": [{"containerPort": 80}]}},
                   "ipAddress": {"networkName": "n", "labels": {"a": "b"}}}),
            json!({"container": {"type": "DOCKER", "docker": {"image": "i"}, "portMappings": [{"containerPort": 80}]},
                   "networks": [{"mode": "container", "name": "n", "labels": {"a": "b"}}]}),
        ),
        (
            json!({"ipAddress": {"discovery": {"ports": [{"number": 80, "name": "http", "protocol": "udp"}]}}}),
            json!({"networks": [{"mode": "container", "name": "dcos"}],
                   "container": {"type": "MESOS", "portMappings": [{"containerPort": 80, "name": "http", "protocol": "udp"}]}}),
        ),
        (
            json!({"networks": [{"mode": "container"}], "container": {"type": "MESOS"}}),
            json!({"networks": [{"mode": "container", "name": "dcos"}],
                   "container": {"type": "MESOS", "portMappings": [{"containerPort": 0, "name": "default"}]}}),
        ),
    ];
    for (old, new) in table {
        assert_eq!(read(&old), read(&new), "{old}");
    }
    let app = read(&json!({"networks": [{"mode": "container/bridge"}], "requirePorts": true}));
    assert!(!app.require_ports && app.port_definitions.is_empty());
    assert_eq!(app.networks[0].mode, NetworkMode::Bridge);
    assert_eq!(app.container.unwrap().port_mappings[0].host_port, Some(0));
}

#[test]
fn takes_loose_types() {
    let app =
        read(&json!({"env": {"A": 1, "B": true, "C": 1.50, "D": null, "E": {"secret": "s"}}, "secrets": {"s": {"source": "p"}},
        "labels": {"n": 3}, "instances": 2.0, "constraints": [["hostname", "unique", ""], ["hostname", "MAX_PER", 2]],
        "portDefinitions": [{"protocol": "tcp,udp"}], "maintainer": {"a": 1}, "tasksRunning": 3, "version": "x", "args": null}));
    let env: Vec<Value> = app.env.values().map(|value| serde_json::to_value(value).unwrap()).collect();
    assert_eq!(env, [json!("1"), json!("true"), json!("1.5"), json!({"secret": "s"})]);
    assert_eq!(app.instances, 2);
    assert_eq!(app.constraints[1].value.as_deref(), Some("2"));
    assert_eq!(app.port_definitions[0].protocol, Protocol::Both);
    assert_eq!(app.unknown.keys().collect::<Vec<_>>(), ["maintainer"]);
    assert_eq!(write_app(&app)["maintainer"], json!({"a": 1}));
}

#[test]
fn context_defaults() {
    let single = read(&json!({"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}}));
    assert_eq!(single.upgrade_strategy.maximum_over_capacity, Scalar::ZERO);
    let volume = json!({"containerPath": "data", "persistent": {"size": 10}});
    let resident = read(&json!({"container": {"type": "MESOS", "volumes": [volume]}}));
    assert_eq!(resident.upgrade_strategy.minimum_health_capacity, Scalar::from_thousandths(500));
    assert_eq!(resident.unreachable_strategy, UnreachableStrategy::Disabled);
    assert!(resident.residency.is_some());
    let checked =
        read(&json!({"healthChecks": [{"path": "/"}, {"protocol": "COMMAND", "command": {"value": "true"}, "portIndex": 7}]}));
    assert_eq!((checked.health_checks[0].port_index, checked.health_checks[1].port_index), (Some(0), None));
    let context = ReadContext { base_group: "/g", path_id: None };
    let app = read_app(&json!({"id": "a", "cmd": "x", "dependencies": ["b", "../c"]}), context).unwrap();
    assert_eq!((app.id.as_str(), app.dependencies[0].as_str(), app.dependencies[1].as_str()), ("/g/a", "/g/b", "/c"));
    let id = AppId::parse("/url").unwrap();
    assert_eq!(read_app(&json!({"id": "no/", "cmd": "x"}), ReadContext { base_group: "/", path_id: Some(&id) }).unwrap().id, id);
}

#[test]
fn every_rule_names_its_field() {
    let image = json!({"image": "i"});
    let table = [
        (json!({"id": "/A"}), "/id"),
        (json!({"id": 3}), "/id"),
        (json!({"args": ["y"]}), "/cmd"),
        (json!({"cmd": null}), "/cmd"),
        (json!({"cmd": 5}), "/cmd"),
        (json!({"cpus": -1}), "/cpus"),
        (json!({"cpus": 0}), "/cpus"),
        (json!({"cpus": "1"}), "/cpus"),
        (json!({"cpus": 0.0001}), "/cpus"),
        (json!({"resources": {"tapes": 0.0001}}), "/resources/tapes"),
        (json!({"mem": 1e308}), "/mem"),
        (json!({"instances": -1}), "/instances"),
        (json!({"instances": 1.5}), "/instances"),
        (json!({"instances": 1_000_001}), "/instances"),
        (json!({"instances": 2, "labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}}), "/instances"),
        (json!({"gpus": 1, "container": {"type": "DOCKER", "docker": image}}), "/gpus"),
        (json!({"resourceLimits": {"cpus": 0.5}}), "/resourceLimits/cpus"),
        (json!({"executor": "a//b"}), "/executor"),
        (json!({"env": {"A": []}}), "/env/A"),
        (json!({"env": {"A": {"secret": "s"}}}), "/env/A"),
        (json!({"env": []}), "/env"),
        (json!({"labels": {"A": {}}}), "/labels/A"),
        (json!({"secrets": {"s": {}}}), "/secrets/s/source"),
        (json!({"container": {"type": "LXC"}}), "/container/type"),
        (json!({"container": {"type": "DOCKER"}}), "/container/docker/image"),
        (json!({"container": {"docker": {"image": "i", "credential": {}}}}), "/container/docker/credential"),
        (json!({"container": {"volumes": [{"hostPath": "/a"}]}}), "/container/volumes(0)/containerPath"),
        (
            json!({"container": {"volumes": [{"containerPath": "a/b", "persistent": {"size": 1}}]}}),
            "/container/volumes(0)/containerPath",
        ),
        (
            json!({"container": {"volumes": [
                {"containerPath": "a", "persistent": {"size": 1}},
                {"containerPath": "a", "persistent": {"size": 2}},
            ]}}),
            "/container/volumes(1)/containerPath",
        ),
        (
            json!({"container": {"volumes": [{"containerPath": "a", "persistent": {"size": 0}}]}}),
            "/container/volumes(0)/persistent/size",
        ),
        (json!({"container": {"volumes": [{"containerPath": "a", "hostPath": "/a", "secret": "s"}]}}), "/container/volumes(0)"),
        (json!({"container": {"portMappings": [{"containerPort": 65536}]}}), "/container/portMappings(0)/containerPort"),
        (
            json!({"networks": [{"mode": "container/bridge"}], "container": {"portMappings": [{"hostPort": 9}, {"hostPort": 9}]}}),
            "/container/portMappings(1)/hostPort",
        ),
        (json!({"networks": [{"mode": "host"}, {"mode": "container"}]}), "/networks"),
        (json!({"networks": [{"mode": "host", "name": "n"}]}), "/networks(0)/name"),
        (json!({"networks": [{"mode": "bridge"}]}), "/networks(0)/mode"),
        (json!({"networks": [{"mode": "container/bridge"}], "portDefinitions": [{}]}), "/portDefinitions"),
        (json!({"networks": [{"mode": "host"}], "ipAddress": {}}), "/ipAddress"),
        (
            json!({"networks": [{"mode": "host"}], "container": {"docker": {"image": "i", "network": "HOST"}}}),
            "/container/docker/network",
        ),
        (json!({"ports": [1], "portDefinitions": []}), "/ports"),
        (json!({"ports": [70000]}), "/ports(0)"),
        (json!({"cmd": "echo \u{0}x"}), "/cmd"),
        (json!({"uris": ["http://a b"]}), "/uris(0)"),
        (json!({"ports": [5, 5]}), "/ports(1)"),
        (
            json!({"container": {"docker": {"image": "i", "network": "BRIDGE", "portMappings": [{"name": "a"}, {"name": "a"}]}}}),
            "/container/docker/portMappings(1)/name",
        ),
        (json!({"healthChecks": [{"protocol": "PING"}, {"portIndex": 9}]}), "/healthChecks(0)/protocol"),
        (json!({"uris": ["/a"], "fetch": [{"uri": "/b"}]}), "/uris"),
        (json!({"fetch": [{"uri": "x".repeat(1025)}]}), "/fetch(0)/uri"),
        (json!({"fetch": [{"uri": "http://a b"}]}), "/fetch(0)/uri"),
        (json!({"fetch": [{"uri": "/a", "destPath": "../b"}]}), "/fetch(0)/destPath"),
        (json!({"portDefinitions": [{"name": "a"}, {"name": "a"}]}), "/portDefinitions(1)/name"),
        (json!({"portDefinitions": [{"port": 5}, {"port": 5}]}), "/portDefinitions(1)/port"),
        (json!({"constraints": [["hostname"]]}), "/constraints(0)"),
        (json!({"constraints": [["hostname", "NEAR"]]}), "/constraints(0)"),
        (json!({"constraints": [["hostname", "UNIQUE", "1"]]}), "/constraints(0)"),
        (json!({"constraints": [["hostname", "MAX_PER"]]}), "/constraints(0)"),
        (json!({"constraints": [["hostname", "GROUP_BY", "0"]]}), "/constraints(0)"),
        (json!({"constraints": [["hostname", "LIKE", "("]]}), "/constraints(0)"),
        (json!({"constraints": [["hostname", "LIKE", "(a{1000}){1000}"]]}), "/constraints(0)"),
        (json!({"constraints": [["r", "IS", "a b"]]}), "/constraints(0)"),
        (json!({"constraints": [["h", "UNIQUE"], ["h", "UNIQUE"]]}), "/constraints(1)"),
        (json!({"constraints": ["hostname"]}), "/constraints(0)"),
        (json!({"dependencies": ["/a"]}), "/dependencies(0)"),
        (json!({"dependencies": ["A"]}), "/dependencies(0)"),
        (json!({"healthChecks": [{"portIndex": 1}]}), "/healthChecks(0)/portIndex"),
        (json!({"healthChecks": [{}], "portDefinitions": []}), "/healthChecks(0)/port"),
        (json!({"healthChecks": [{"protocol": "COMMAND"}]}), "/healthChecks(0)/command"),
        (json!({"healthChecks": [{"protocol": "PING"}]}), "/healthChecks(0)/protocol"),
        (json!({"healthChecks": [{"intervalSeconds": 0}]}), "/healthChecks(0)/intervalSeconds"),
        (json!({"healthChecks": [{"protocol": "MESOS_TCP"}, {"protocol": "MESOS_TCP"}]}), "/healthChecks"),
        (json!({"healthChecks": [{"ipProtocol": "IPv6"}]}), "/healthChecks(0)/ipProtocol"),
        (json!({"readinessChecks": [{"portName": "x"}]}), "/readinessChecks(0)/portName"),
        (json!({"readinessChecks": [{"portName": "default", "timeoutSeconds": 30}]}), "/readinessChecks(0)/timeoutSeconds"),
        (json!({"upgradeStrategy": {"minimumHealthCapacity": 1}}), "/upgradeStrategy/maximumOverCapacity"),
        (
            json!({"upgradeStrategy": {"minimumHealthCapacity": 1.1, "maximumOverCapacity": 1}}),
            "/upgradeStrategy/minimumHealthCapacity",
        ),
        (json!({"unreachableStrategy": {"inactiveAfterSeconds": 1}}), "/unreachableStrategy/inactiveAfterSeconds"),
        (json!({"killSelection": "RANDOM"}), "/killSelection"),
        (json!({"backoffFactor": 0.5}), "/backoffFactor"),
        (json!({"taskKillGracePeriodSeconds": -1}), "/taskKillGracePeriodSeconds"),
    ];
    for (fields, path) in table {
        assert_eq!(faults(&fields), [path], "{fields}");
    }
}

#[test]
fn all_faults_at_once_without_secrets() {
    let value = json!({"instances": -1, "cpus": "a", "env": {"DB_PASSWORD": ["hunter2"]}, "constraints": [["h", "X"]]});
    let faults = read_app(&value, ReadContext::default()).unwrap_err();
    let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    for path in ["/id", "/instances", "/cpus", "/env/DB_PASSWORD", "/constraints(0)", "/cmd"] {
        assert!(paths.contains(&path), "{path} in {paths:?}");
    }
    assert!(!format!("{faults:?}").contains("hunter2"));
    assert_eq!(faults.iter().find(|fault| fault.path == "/instances").unwrap().value.as_deref(), Some("-1"));
    for wrong in [json!(null), json!([]), json!("x"), json!(1)] {
        assert!(read_app(&wrong, ReadContext::default()).is_err());
    }
}

/// Bad input that would cost others something: every one is refused by name, with a short value.
#[test]
fn constraints_are_bounded() {
    let many = |count: usize| -> Vec<Value> { (0..count).map(|number| json!([format!("a{number}"), "UNIQUE"])).collect() };
    assert_eq!(read(&json!({"constraints": many(CONSTRAINTS_MAX)})).constraints.len(), CONSTRAINTS_MAX);
    let long = "x".repeat(16 << 10);
    let table = [
        (json!(many(CONSTRAINTS_MAX + 1)), "/constraints", "at most 100 constraints"),
        (json!(many(50_000)), "/constraints", "at most 100 constraints"),
        (json!([["rack", "LIKE", format!("{long}y")]]), "/constraints(0)", "at most 16384 bytes"),
        (json!([["rack", "UNLIKE", format!("{long}y")]]), "/constraints(0)", "at most 16384 bytes"),
        (json!([["rack", "IS", format!("{long}y")]]), "/constraints(0)", "at most 16384 bytes"),
        (json!([[format!("{long}y"), "UNIQUE"]]), "/constraints(0)", "at most 16384 bytes"),
        (json!([["rack", "LIKE", "(a{1000}){1000}"]]), "/constraints(0)", "too large"),
        (json!([["rack", "LIKE", "((((x{99}){99}){99}){99})"]]), "/constraints(0)", "too large"),
        (json!([["rack", "LIKE", "(?=look)"]]), "/constraints(0)", "look-around"),
        (json!([["rack", "LIKE", "(a)\\1"]]), "/constraints(0)", "back-reference"),
        (json!([["rack", "LIKE", "("]]), "/constraints(0)", "not a regular expression"),
        (json!([["rack", "MAX_PER", "99999999999999999999"]]), "/constraints(0)", "whole number"),
        (json!([["rack", "GROUP_BY", "-1"]]), "/constraints(0)", "whole number"),
        (json!([["rack", "GROUP_BY", "1e308"]]), "/constraints(0)", "whole number"),
    ];
    for (constraints, path, words) in table {
        let faults = read_app(&with(&json!({"constraints": constraints})), ReadContext::default()).unwrap_err();
        let found = faults.iter().find(|fault| fault.path == path && fault.message.contains(words));
        assert!(found.is_some(), "{words}: {faults:?}");
        assert!(faults.iter().all(|fault| fault.to_string().len() < 500), "{words}: faults are short");
    }
    // What fits is taken, however slow it would be elsewhere.
    read(&json!({"constraints": [["rack", "LIKE", "(((a|b|1)*)*)*4"], ["rack", "UNLIKE", &long[..4_096]]]}));
}

#[test]
fn constraints_in_the_form_of_pods() {
    let listed = read(&json!({"constraints": [["hostname", "UNIQUE"], ["rack", "MAX_PER", "2"], ["zone", "LIKE", "a|b"]]}));
    let named = read(&json!({"constraints": [
        {"fieldName": "hostname", "operator": "UNIQUE"},
        {"fieldName": "rack", "operator": "max_per", "value": 2},
        {"fieldName": "zone", "operator": "LIKE", "value": "a|b"},
    ]}));
    assert_eq!(named, listed);
    assert_eq!(
        write_app(&named)["constraints"],
        json!([["hostname", "UNIQUE"], ["rack", "MAX_PER", "2"], ["zone", "LIKE", "a|b"]])
    );
    for (constraint, path) in [
        (json!({"operator": "UNIQUE"}), "/constraints(0)/fieldName"),
        (json!({"fieldName": "rack"}), "/constraints(0)/operator"),
        (json!({"fieldName": "rack", "operator": "NEAR"}), "/constraints(0)"),
        (json!({"fieldName": "rack", "operator": "UNIQUE", "values": "x"}), "/constraints(0)/values"),
        (json!({"fieldName": "rack", "operator": "LIKE", "value": ["x"]}), "/constraints(0)/value"),
    ] {
        assert_eq!(faults(&json!({"constraints": [constraint]})), [path], "{constraint}");
    }
}

#[test]
fn null_is_no_entry_of_a_list() {
    for (fields, path) in [
        (json!({"constraints": [null]}), "/constraints(0)"),
        (json!({"constraints": [["hostname", "UNIQUE"], null]}), "/constraints(1)"),
        (json!({"constraints": [["hostname", null]]}), "/constraints(0)(1)"),
        (json!({"healthChecks": [null]}), "/healthChecks(0)"),
        (json!({"fetch": [null]}), "/fetch(0)"),
        (json!({"uris": [null]}), "/uris(0)"),
        (json!({"dependencies": [null]}), "/dependencies(0)"),
        (json!({"portDefinitions": [null]}), "/portDefinitions(0)"),
        (json!({"acceptedResourceRoles": [null]}), "/acceptedResourceRoles(0)"),
        (json!({"container": {"volumes": [null]}}), "/container/volumes(0)"),
        (json!({"placement": {"prefer": [null]}}), "/placement/prefer(0)"),
    ] {
        assert_eq!(faults(&fields), [path], "{fields}");
    }
}

#[test]
fn roles_have_names() {
    for role in ["", "a/../b", "-x y", ".", "a//b", "eng/*"] {
        assert_eq!(faults(&json!({"role": role})), ["/role"], "{role}");
        assert_eq!(faults(&json!({"acceptedResourceRoles": ["*", role]})), ["/acceptedResourceRoles(1)"], "{role}");
    }
    assert_eq!(faults(&json!({"acceptedResourceRoles": []})), ["/acceptedResourceRoles"]);
    let found = read_app(&with(&json!({"role": "-x y"})), ReadContext::default()).unwrap_err();
    assert_eq!(found[0].value.as_deref(), Some("-x y"));
    assert_eq!(read(&json!({"role": "eng/prod", "acceptedResourceRoles": ["*", "eng/prod"]})).role.as_deref(), Some("eng/prod"));
}

#[test]
fn volumes_have_names_that_can_be_made() {
    let volume = |name: &str| json!({"container": {"volumes": [{"containerPath": name, "persistent": {"size": 1}}]}});
    for name in ["stdout", "stderr", "stdout.1", "a\0b", "..", "a/b", &"x".repeat(256), &"ü".repeat(128)] {
        assert_eq!(faults(&volume(name)), ["/container/volumes(0)/containerPath"], "{name}");
    }
    for name in ["data", "stdout2", ".x", &"x".repeat(255)] {
        read(&volume(name));
    }
    let host = json!({"container": {"volumes": [{"containerPath": "/a", "hostPath": "/b\0", "mode": "RO"}]}});
    assert_eq!(faults(&host), ["/container/volumes(0)/hostPath"]);
}

#[test]
fn impossible_amounts_are_refused() {
    for (field, value) in [
        ("cpus", json!(-1)),
        ("cpus", json!(1e308)),
        ("cpus", json!("NaN")),
        ("cpus", json!("inf")),
        ("mem", json!(-0.001)),
        ("mem", json!(1e300)),
        ("disk", json!(-5)),
        ("gpus", json!(-1)),
        ("gpus", json!(1.5)),
        ("instances", json!(1_000_000_000)),
        ("instances", json!(-1)),
        ("instances", json!(1e20)),
        ("instances", json!(18_446_744_073_709_551_615_u64)),
    ] {
        assert_eq!(faults(&json!({field: value})), [format!("/{field}")], "{value}");
    }
    assert_eq!(faults(&json!({"placement": {"priority": 1e9}, "resources": {"licences": -1}})).len(), 2);
}

#[test]
fn patches_merge() {
    let app = read(&json!({"portDefinitions": [{"port": 10_000, "name": "p"}], "env": {"A": "1"}, "instances": 3}));
    assert_eq!(patch_app(&app, &json!({})).unwrap(), app);
    assert_eq!(patch_app(&app, &json!({"id": "/other", "ports": null, "dependencies": null})).unwrap(), app);
    let scaled = patch_app(&app, &json!({"instances": 0})).unwrap();
    assert_eq!((scaled.instances, &scaled.port_definitions), (0, &app.port_definitions));
    let switched = patch_app(&app, &json!({"args": ["a"], "env": {"B": "2"}})).unwrap();
    assert!(switched.cmd.is_none() && switched.args == ["a"] && !switched.env.contains_key("A"));
    let bridged = patch_app(&app, &json!({"networks": [{"mode": "container/bridge"}]})).unwrap();
    assert!(bridged.port_definitions.is_empty() && bridged.container.is_some());
    let back = patch_app(&bridged, &json!({"networks": [{"mode": "host"}]})).unwrap();
    assert_eq!(back.port_definitions.len(), 1);
    assert_eq!(patch_app(&app, &json!({"cpus": 0, "mem": -1})).unwrap_err().len(), 2);
    assert!(patch_app(&app, &json!([])).is_err());
}

#[test]
fn rollbacks_are_told_apart() {
    let time = "2020-01-02T03:04:05.006Z";
    assert_eq!(rollback_version(&json!({"version": time, "id": "/a", "cmd": null})).unwrap().unwrap().to_string(), time);
    for update in [json!({"version": time, "cmd": "x"}), json!({"cmd": "x"}), json!({"version": null}), json!([])] {
        assert_eq!(rollback_version(&update), Ok(None), "{update}");
    }
    assert!(rollback_version(&json!({"version": "yesterday"})).is_err());
}

#[test]
fn amounts_too_small_are_told_as_they_were_written() {
    let spec = |field: &str, value: Value| json!({"id": "/a", "cmd": "x", field: value});
    let message = "must be a number from 0.001 to 1000000000000";
    for (value, told) in [
        (spec("cpus", json!(0.0001)), format!("/cpus: {message} (given: 0.0001)")),
        (spec("cpus", json!(0)), format!("/cpus: {message} (given: 0)")),
        (spec("resources", json!({"tapes": 0.0004})), format!("/resources/tapes: {message} (given: 0.0004)")),
    ] {
        let faults = read_app(&value, ReadContext::default()).unwrap_err();
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
    }
    assert!(read_app(&spec("cpus", json!(0.001)), ReadContext::default()).is_ok());
}
