//! Calls and answers, and that the JSON and the protobuf of an answer say the same.

use super::*;
use crate::fixture::NOW;
use crate::mesos::operator::wire::{Kind, Message, Read, read};
use crate::mesos::view_test::{TASK, cluster, facts};
use orrery_core::Scalar;
use orrery_core::node::{Bundle, Marks, Reservation};
use proptest::prelude::*;
use serde_json::{Value, json};

const READING: [CallType; 13] = [
    CallType::GetHealth,
    CallType::GetFlags,
    CallType::GetVersion,
    CallType::GetMetrics,
    CallType::GetState,
    CallType::GetAgents,
    CallType::GetFrameworks,
    CallType::GetExecutors,
    CallType::GetTasks,
    CallType::GetRoles,
    CallType::GetWeights,
    CallType::GetMaster,
    CallType::GetQuota,
];

fn answered(kind: CallType) -> Value {
    answer(kind, &facts(), &cluster(), NOW).unwrap()
}

#[test]
fn calls_in_both_forms() {
    for (bytes, kind) in [
        (&[0x08, 0x0a][..], CallType::GetAgents),
        (&[0x08, 0x0b], CallType::GetFrameworks),
        (&[0x08, 0x0d], CallType::GetTasks),
        (&[0x08, 0x1c], CallType::GetQuota),
        // The type after other fields.
        (&[0x12, 0x00, 0x08, 0x01], CallType::GetHealth),
    ] {
        assert_eq!(decode(bytes, true).unwrap(), Call { kind, arguments: Value::Null });
    }
    // REMOVE_QUOTA{role: "eng"} and TEARDOWN{framework_id{value: "f"}}.
    let call = decode(&[0x08, 0x1e, 0x7a, 5, 0x0a, 3, b'e', b'n', b'g'], true).unwrap();
    assert_eq!((call.kind, call.argument("role")), (CallType::RemoveQuota, Some("eng")));
    let call = decode(&[0x08, 0x1f, 0x82, 1, 5, 0x0a, 3, 0x0a, 1, b'f'], true).unwrap();
    assert_eq!((call.kind, call.argument("framework_id/value")), (CallType::Teardown, Some("f")));

    let text = json!({"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": "S0"}, "mark_gone": false}});
    let call = decode(text.to_string().as_bytes(), false).unwrap();
    assert_eq!((call.kind, call.argument("agent_id/value")), (CallType::DrainAgent, Some("S0")));
    for kind in CallType::ALL {
        let call = decode(json!({"type": kind.word()}).to_string().as_bytes(), false).unwrap();
        assert_eq!(call.kind, *kind);
    }
}

#[test]
fn bodies_that_are_no_calls() {
    for (body, is_protobuf, error) in [
        (&b"{"[..], false, CallError::Unreadable("JSON")),
        (b"{}", false, CallError::NoType),
        (b"[]", false, CallError::NoType),
        (br#"{"type": "DANCE"}"#, false, CallError::UnknownType("DANCE".into())),
        (b"", true, CallError::NoType),
        (&[0x08], true, CallError::Unreadable("protobuf")),
        (&[0x08, 0x7f], true, CallError::UnknownType("127".into())),
    ] {
        assert_eq!(decode(body, is_protobuf), Err(error));
    }
}

#[test]
fn media_types() {
    for (header, media) in [
        ("", Some(Media::Json)),
        ("*/*", Some(Media::Json)),
        ("application/json; charset=utf-8", Some(Media::Json)),
        ("application/json, text/plain, */*", Some(Media::Json)),
        ("application/x-protobuf", Some(Media::Protobuf)),
        ("text/html, application/x-protobuf;q=0.9", Some(Media::Protobuf)),
        ("text/html", None),
    ] {
        assert_eq!(Media::parse(header), media, "{header}");
    }
}

#[test]
fn agents_in_json() {
    let value = answered(CallType::GetAgents);
    assert_eq!(value["type"], "GET_AGENTS");
    let agent = &value["get_agents"]["agents"][0];
    assert_eq!(agent["agent_info"]["id"], json!({"value": "c1-S0"}));
    assert_eq!(agent["agent_info"]["hostname"], "node1");
    assert_eq!(agent["pid"], "slave(1)@10.0.0.1:5051");
    assert_eq!(agent["active"], true);
    assert_eq!(agent["registered_time"], json!({"nanoseconds": 500_000_000_000_i64}));
    assert_eq!(
        agent["agent_info"]["attributes"],
        json!([
            {"name": "rack", "type": "TEXT", "text": {"value": "r1"}},
            {"name": "weight", "type": "SCALAR", "scalar": {"value": 3.0}},
        ])
    );
    assert_eq!(value["get_agents"]["recovered_agents"], json!([]));
}

/// What is reserved stands for its role, with its reservation; all parts together are what the node has.
#[test]
fn agents_show_what_is_reserved() {
    let mut cluster = cluster();
    let mut node = cluster.nodes.values().next().unwrap().as_ref().clone();
    let before = node.facts.resources.cpus;
    let one = Bundle { cpus: Scalar::ONE, ..Bundle::default() };
    let made =
        Reservation { fixed: one.clone(), ..Reservation::of(one, Marks { principal: Some("ops".into()), ..Marks::default() }) };
    node.claims.put_reservation("eng", made);
    cluster.nodes.insert(node.facts.id.clone(), std::sync::Arc::new(node));
    let value = answer(CallType::GetAgents, &facts(), &cluster, NOW).unwrap();
    let total = value["get_agents"]["agents"][0]["total_resources"].as_array().unwrap();
    let cpus: Vec<&Value> = total.iter().filter(|resource| resource["name"] == "cpus").collect();
    assert_eq!(cpus[0], &json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}, "role": "eng"}));
    assert_eq!((&cpus[1]["role"], &cpus[1]["reservation"]), (&json!("eng"), &json!({"principal": "ops"})));
    assert_eq!((&cpus[2]["role"], cpus.len()), (&json!("*"), 3));
    let sum: f64 = cpus.iter().filter_map(|resource| resource["scalar"]["value"].as_f64()).sum();
    assert!((sum - before.to_f64()).abs() < 0.001);

    let mut lost = Vec::new();
    find_lost(schema::RESPONSE, &value, "", &mut lost);
    assert!(!lost.iter().any(|path| path.contains("reservation")), "{lost:?}");
    let bytes = to_protobuf(&value);
    let agents = message(&read(&bytes).unwrap(), 10);
    let resources = message(&agents, 1).into_iter().filter(|field| field.0 == 7).map(|field| field.1);
    let resources: Vec<_> = resources.map(|bytes| message(&[(7, bytes)], 7)).collect();
    let reservation = resources.iter().find(|resource| resource.iter().any(|field| field.0 == 8)).unwrap();
    assert_eq!((text(reservation, 6), text(&message(reservation, 8), 1)), ("eng".into(), "ops".into()));
}

#[test]
fn tasks_in_json() {
    let value = answered(CallType::GetTasks);
    let task = &value["get_tasks"]["tasks"][0];
    assert_eq!(task["task_id"], json!({"value": TASK}));
    assert_eq!(task["framework_id"], json!({"value": "c1-0001"}));
    assert_eq!(task["agent_id"], json!({"value": "c1-S0"}));
    assert_eq!(task["labels"], json!({"labels": [{"key": "tier", "value": "front"}]}));
    assert_eq!(task["statuses"][0]["task_id"], json!({"value": TASK}));
    assert_eq!(task["resources"][0]["allocation_info"], json!({"role": "*"}));
    assert_eq!(value["get_tasks"]["completed_tasks"][0]["state"], "TASK_FAILED");
}

/// Checked with the protobuf compiler, which also takes all other answers apart and writes the same bytes.
#[test]
fn short_answers_byte_for_byte() {
    for (kind, bytes) in [
        (CallType::GetHealth, &[0x08, 0x01, 0x12, 0x02, 0x08, 0x01][..]),
        // A status must be there, though it is empty (clients.md, gotcha 1).
        (CallType::GetQuota, &[0x08, 0x12, 0x9a, 0x01, 0x02, 0x0a, 0x00]),
        (CallType::GetWeights, &[0x08, 0x0e, 0x7a, 0x00]),
        (CallType::GetExecutors, &[0x08, 0x0b, 0x62, 0x00]),
    ] {
        assert_eq!(to_protobuf(&answered(kind)), bytes, "{kind:?}");
    }
}

/// The fields that the command line reads, by their numbers (clients.md, gotcha 1).
#[test]
fn agents_and_frameworks_in_protobuf() {
    let bytes = to_protobuf(&answered(CallType::GetAgents));
    let response = read(&bytes).unwrap();
    assert_eq!(response[0], (1, Read::Int(9)));
    let agents = message(&response, 10);
    let agent = message(&agents, 1);
    let info = message(&agent, 1);
    assert_eq!(text(&info, 1), "node1");
    assert_eq!(text(&message(&info, 6), 1), "c1-S0");
    assert_eq!(field(&agent, 2), Read::Int(1));
    assert_eq!(text(&agent, 3), "0.1.0");
    assert_eq!(text(&agent, 4), "slave(1)@10.0.0.1:5051");

    let bytes = to_protobuf(&answered(CallType::GetFrameworks));
    let response = read(&bytes).unwrap();
    assert_eq!(response[0], (1, Read::Int(10)));
    let frameworks = message(&response, 11);
    let framework = message(&frameworks, 1);
    let info = message(&framework, 1);
    assert_eq!((text(&info, 1), text(&info, 2)), ("root".into(), "marathon".into()));
    assert_eq!(text(&message(&info, 3), 1), "c1-0001");
    for (number, value) in [(2, 1), (3, 1), (11, 0)] {
        assert_eq!(field(&framework, number), Read::Int(value), "{number}");
    }
}

fn field<'a>(fields: &[(u64, Read<'a>)], number: u64) -> Read<'a> {
    fields.iter().find(|field| field.0 == number).unwrap_or_else(|| panic!("no field {number} in {fields:?}")).1
}

fn message<'a>(fields: &[(u64, Read<'a>)], number: u64) -> Vec<(u64, Read<'a>)> {
    let Read::Bytes(bytes) = field(fields, number) else { panic!("field {number} is no message") };
    read(bytes).unwrap()
}

fn text(fields: &[(u64, Read<'_>)], number: u64) -> String {
    let Read::Bytes(bytes) = field(fields, number) else { panic!("field {number} is no text") };
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Everything that the JSON says is in the protobuf too, but for lists that are always empty and
/// fields that Mesos' messages do not have.
#[test]
fn no_field_is_lost() {
    const ONLY_JSON: [&str; 10] = [
        "recovered_agents",
        "resource_providers",
        "offered_resources",
        "completed_frameworks",
        "recovered_frameworks",
        "orphan_executors",
        "executors",
        "pending_tasks",
        "orphan_tasks",
        "infos",
    ];
    for kind in READING {
        let mut lost = Vec::new();
        find_lost(schema::RESPONSE, &answered(kind), "", &mut lost);
        lost.retain(|path: &String| {
            let name = path.rsplit('/').next().unwrap_or_default();
            !ONLY_JSON.contains(&name) && name != "configs" && name != "weight_infos"
        });
        assert!(lost.is_empty(), "{kind:?}: {lost:?}");
    }
}

fn find_lost(message: Message, value: &Value, path: &str, lost: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}/{key}");
        let Some((_, _, kind)) = message.iter().find(|(name, _, _)| name == key) else {
            lost.push(path);
            continue;
        };
        let single = [value.clone()];
        for entry in value.as_array().map_or(&single[..], Vec::as_slice) {
            match kind {
                Kind::Message(inner) => find_lost(inner, entry, &path, lost),
                Kind::Enum(words) if !words.iter().any(|(word, _)| entry == word) => lost.push(format!("{path}={entry}")),
                Kind::Bool if !entry.is_boolean() => lost.push(format!("{path}={entry}")),
                Kind::Text if !entry.is_string() => lost.push(format!("{path}={entry}")),
                Kind::Int if !entry.is_u64() => lost.push(format!("{path}={entry}")),
                Kind::Double if !entry.is_number() => lost.push(format!("{path}={entry}")),
                _ => {}
            }
        }
    }
}

#[test]
fn only_reading_calls_are_answered() {
    for kind in CallType::ALL {
        assert_eq!(answer(*kind, &facts(), &cluster(), NOW).is_some(), READING.contains(kind), "{kind:?}");
    }
}

proptest! {
    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), is_protobuf: bool) {
        let _ = decode(&bytes, is_protobuf);
    }
}
