//! Invariants of reading and writing.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z0-9/._ -]{0,12}".prop_map(Value::from),
        Just(json!("MESOS_HTTP")),
        Just(json!("container/bridge")),
        Just(json!(0)),
        Just(json!(8080)),
    ]
}

/// Any JSON made of the field names of apps.
fn anything() -> impl Strategy<Value = Value> {
    let key = proptest::sample::select(vec![
        "id",
        "cmd",
        "args",
        "cpus",
        "env",
        "labels",
        "container",
        "docker",
        "image",
        "type",
        "volumes",
        "portMappings",
        "containerPort",
        "hostPort",
        "networks",
        "mode",
        "name",
        "healthChecks",
        "protocol",
        "portIndex",
        "port",
        "ports",
        "portDefinitions",
        "upgradeStrategy",
        "minimumHealthCapacity",
        "constraints",
        "fetch",
        "uris",
        "uri",
        "ipAddress",
        "discovery",
        "number",
        "network",
        "persistent",
        "size",
        "secrets",
        "dependencies",
        "other",
    ]);
    scalar().prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

fn valid() -> impl Strategy<Value = Value> {
    let networking = prop_oneof![
        Just(json!({})),
        (0_u16..3, any::<bool>()).prop_map(|(count, require)| {
            let ports: Vec<Value> =
                (0..count).map(|n| json!({"port": n * 100, "name": format!("p{n}"), "labels": {"VIP_0": "/a:1"}})).collect();
            json!({"portDefinitions": ports, "requirePorts": require})
        }),
        any::<u16>().prop_map(|port| {
            json!({"networks": [{"mode": "container/bridge"}],
                   "container": {"type": "DOCKER", "docker": {"image": "i"}, "portMappings": [{"containerPort": port}]}})
        }),
        any::<u16>().prop_map(|port| {
            json!({"container": {"docker": {"image": "i", "network": "BRIDGE", "portMappings": [{"hostPort": port, "protocol": "udp"}]}}})
        }),
        Just(json!({"ipAddress": {"networkName": "n"}, "container": {"type": "MESOS", "volumes": [{"containerPath": "c", "hostPath": "/h", "mode": "RO"}]}})),
        Just(json!({"container": {"volumes": [{"containerPath": "d", "persistent": {"size": 100, "type": "mount", "maxSize": 200}}]}})),
    ];
    let text = "[a-zA-Z0-9_]{1,8}";
    (
        networking,
        0_u32..100,
        1_u32..1_000_000,
        proptest::collection::btree_map(text, text, 0..4),
        proptest::option::of(any::<u32>()),
        any::<bool>(),
    )
        .prop_map(|(mut app, instances, millis, texts, grace, disabled)| {
            app["id"] = json!("/g/app");
            app["cmd"] = json!("run");
            app["instances"] = json!(instances);
            app["cpus"] = json!(f64::from(millis) / 1000.0);
            app["env"] = json!(texts);
            app["labels"] = json!(texts);
            app["taskKillGracePeriodSeconds"] = json!(grace);
            app["other"] = json!(texts);
            app["constraints"] = json!([["hostname", "GROUP_BY", "3"], ["rack", "UNLIKE", "r.*"]]);
            if disabled {
                app["unreachableStrategy"] = json!("disabled");
            }
            app
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_apps_read_back(value in valid(), millis in 0_i64..4_000_000_000_000) {
        let mut app = read_app(&value, ReadContext::default()).unwrap();
        prop_assert_eq!(read_app(&write_app(&app), ReadContext::default()), Ok(app.clone()));
        prop_assert_eq!(patch_app(&app, &json!({})), Ok(app.clone()));
        prop_assert_eq!(patch_app(&app, &write_app(&app)), Ok(app.clone()));
        prop_assert!(diff(&app, &app).is_empty());
        app.version = orrery_core::Timestamp::from_millis(millis);
        let text = serde_json::to_string(&write_app(&app)).unwrap();
        prop_assert!(!text.contains("null"));
        let mut again = read_app(&serde_json::from_str(&text).unwrap(), ReadContext::default()).unwrap();
        again.version = app.version;
        prop_assert_eq!(again, app);
    }

    #[test]
    fn any_json_reads_or_says_why(value in anything()) {
        match read_app(&value, ReadContext::default()) {
            Ok(app) => prop_assert!(validate_app(&app).is_empty()),
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
        let app = read_app(&json!({"id": "/a", "cmd": "x"}), ReadContext::default()).unwrap();
        if let Ok(patched) = patch_app(&app, &value) {
            prop_assert!(validate_app(&patched).is_empty());
        }
        let _ = rollback_version(&value);
    }
}
