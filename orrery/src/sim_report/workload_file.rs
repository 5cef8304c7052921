//! A workload of the user's own, from a file.

use super::yaml_document;
use super::{NODES_MAX, TASKS_MAX};
use crate::up::attributes::{self, Source};
use crate::up::nodes::override_resources;
use anyhow::Context as _;
use orrery_api::marathon::app::{ReadContext, read_app};
use orrery_core::node::{Node, NodeFacts, NodeId, PortRanges, Resources};
use orrery_core::report::{Closing, Event};
use orrery_core::{App, Fault, Timestamp};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// Largest file, bytes.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Faults that are told; beyond it their number.
const FAULTS_TOLD: usize = 100;
/// Fields of a node.
const NODE_FIELDS: [&str; 8] = ["count", "hostname", "resources", "attributes", "region", "zone", "role", "state"];

/// What a file asks for.
#[derive(Debug, Default)]
pub(super) struct Workload {
    pub(super) nodes: Vec<Node>,
    pub(super) events: Vec<Event>,
}

/// Reads a file.
///
/// # Errors
/// All that is wrong with it, each with file, field and value.
pub(super) fn read(path: &Path) -> anyhow::Result<Workload> {
    let name = path.display();
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("cannot read the workload {name}"))?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("cannot read {name} as text"))?;
    anyhow::ensure!(
        read as u64 <= FILE_BYTES_MAX,
        "{name} is larger than {} MiB; use `count` for nodes that are alike",
        FILE_BYTES_MAX >> 20
    );
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let (value, lost) = if is_json {
        let value = serde_json::from_str(&text).map_err(|error| anyhow::anyhow!("{name} is not valid JSON: {error}"))?;
        (value, Vec::new())
    } else {
        yaml_document::read(&text).map_err(|error| anyhow::anyhow!("{name} is not valid YAML: {error}"))?
    };
    workload_of(&value, lost).map_err(|faults| {
        let mut lines: Vec<String> = faults.iter().take(FAULTS_TOLD).map(|fault| format!("{name}: {fault}")).collect();
        let rest = faults.len().saturating_sub(FAULTS_TOLD);
        if rest > 0 {
            lines.push(format!("and {rest} more"));
        }
        match &lines[..] {
            [line] => anyhow::anyhow!("{line}"),
            _ => anyhow::anyhow!("{} faults in the workload:\n  {}", faults.len(), lines.join("\n  ")),
        }
    })
}

/// Understands a document that has `lost` some numbers: without a word their fields would get their defaults.
fn workload_of(value: &Value, lost: Vec<Fault>) -> Result<Workload, Vec<Fault>> {
    match workload(value) {
        read if lost.is_empty() => read,
        Ok(_) => Err(lost),
        Err(others) => {
            let others = others.into_iter().filter(|other| !lost.iter().any(|fault| fault.path == other.path));
            let others: Vec<Fault> = others.collect();
            Err(lost.into_iter().chain(others).collect())
        }
    }
}

/// Understands a document.
///
/// # Errors
/// All its faults.
pub(super) fn workload(value: &Value) -> Result<Workload, Vec<Fault>> {
    let Some(object) = value.as_object() else {
        return Err(vec![Fault::new("/", "a workload is an object with the lists `nodes` and `apps`")]);
    };
    let mut reader = Reader::default();
    for field in object.keys().filter(|field| !["nodes", "apps"].contains(&field.as_str())) {
        reader.fault(&format!("/{field}"), "is unknown; a workload has `nodes` and `apps`", None);
    }
    let list = |reader: &mut Reader, name: &str| match object.get(name) {
        Some(Value::Array(items)) => items.clone(),
        Some(other) => {
            reader.fault(&format!("/{name}"), "must be a list", Some(other));
            Vec::new()
        }
        None => {
            reader.fault(&format!("/{name}"), "is missing", None);
            Vec::new()
        }
    };
    let (nodes, apps) = (list(&mut reader, "nodes"), list(&mut reader, "apps"));
    nodes.iter().enumerate().for_each(|(at, node)| reader.nodes_of(&format!("/nodes/{at}"), node));
    apps.iter().enumerate().for_each(|(at, app)| reader.app(&format!("/apps/{at}"), app));
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    // The leader gives seats to what matters most first; among equals the file decides.
    reader.apps.sort_by_key(|app| Reverse(app.placement.priority));
    let mut events = vec![Event::Close(reader.closings)];
    events.extend(reader.apps.into_iter().map(|app| Event::Start(Arc::new(app))));
    Ok(Workload { nodes: reader.nodes, events })
}

#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
    nodes: Vec<Node>,
    hostnames: BTreeSet<String>,
    closings: Vec<(NodeId, Closing)>,
    apps: Vec<App>,
    ids: BTreeSet<String>,
    tasks: u64,
}

impl Reader {
    fn fault(&mut self, path: &str, message: &str, value: Option<&Value>) {
        let fault = Fault::new(path, message);
        self.faults.push(match value {
            Some(value) => fault.with_value(value),
            None => fault,
        });
    }

    fn text<'a>(&mut self, path: &str, node: &'a Value, field: &str) -> Option<&'a str> {
        let value = node.get(field).filter(|value| !value.is_null())?;
        if value.as_str().is_none() {
            self.fault(&format!("{path}/{field}"), "must be a text; put it in quotes", Some(value));
        }
        value.as_str()
    }

    /// One entry of the list of nodes, which may stand for many.
    fn nodes_of(&mut self, path: &str, value: &Value) {
        let Some(object) = value.as_object() else {
            return self.fault(path, "a node is an object with `resources`", Some(value));
        };
        for field in object.keys().filter(|field| !NODE_FIELDS.contains(&field.as_str())) {
            let message = format!("is unknown; a node has {}", NODE_FIELDS.join(", "));
            self.fault(&format!("{path}/{field}"), &message, object.get(field));
        }
        let count = match value.get("count") {
            None | Some(Value::Null) => 1,
            Some(given) => match given.as_u64().filter(|count| (1..=u64::from(NODES_MAX)).contains(count)) {
                Some(count) => count as usize,
                None => return self.fault(&format!("{path}/count"), &format!("must be 1 to {NODES_MAX}"), Some(given)),
            },
        };
        if self.nodes.len() + count > NODES_MAX as usize {
            return self.fault(path, &format!("more than {NODES_MAX} nodes; leave some out"), None);
        }
        let resources = self.resources(path, value);
        let (attributes, wrong) = attributes::read(self.text(path, value, "attributes").unwrap_or_default(), Source::Workload);
        for fault in wrong {
            self.fault(&format!("{path}/attributes"), &fault, value.get("attributes"));
        }
        let closing = self.state(path, value);
        let hostname = self.text(path, value, "hostname").map(str::to_owned);
        let [region, zone, role] = ["region", "zone", "role"].map(|field| self.text(path, value, field).map(str::to_owned));
        for at in 0..count {
            let number = self.nodes.len();
            let name = match &hostname {
                Some(name) if count == 1 => name.clone(),
                Some(name) => format!("{name}-{at}"),
                None => format!("node-{number}"),
            };
            if !self.hostnames.insert(name.clone()) {
                return self.fault(&format!("{path}/hostname"), "is the name of another node", Some(&Value::String(name)));
            }
            let Ok(id) = NodeId::parse(&format!("{}-S{number}", uuid::Uuid::nil())) else { return };
            let facts = NodeFacts {
                resources: resources.clone(),
                attributes: attributes.clone(),
                region: region.clone(),
                zone: zone.clone(),
                role: role.clone().unwrap_or_else(|| "*".into()),
                executors: vec!["process".into(), "docker".into()],
                ..NodeFacts::new(id.clone(), name, [10, (number >> 16) as u8, (number >> 8) as u8, number as u8].into())
            };
            let (facts, faults) = facts.checked();
            if !faults.is_empty() {
                // The others of the entry would say the same.
                return faults.iter().for_each(|fault| self.fault(path, fault, None));
            }
            self.closings.extend(closing.map(|closing| (id, closing)));
            self.nodes.push(Node::joined(facts, Timestamp::EPOCH));
        }
    }

    fn resources(&mut self, path: &str, value: &Value) -> Resources {
        let mut resources = Resources { ports: PortRanges::new([(31_000, 32_000)]), ..Resources::default() };
        let path = format!("{path}/resources");
        let Some(text) = value.get("resources").and_then(Value::as_str) else {
            let message = "must be there, as for `orrery agent --resources`: cpus:8;mem:32768;disk:200000";
            self.fault(&path, message, value.get("resources"));
            return resources;
        };
        for fault in override_resources(&mut resources, text, 0, 1) {
            self.fault(&path, &fault.message, Some(&Value::String(fault.part)));
        }
        resources
    }

    fn state(&mut self, path: &str, value: &Value) -> Option<Closing> {
        match self.text(path, value, "state")? {
            "active" => None,
            "draining" => Some(Closing::Draining),
            "drained" => Some(Closing::Drained),
            "lost" => Some(Closing::Lost),
            _ => {
                self.fault(&format!("{path}/state"), "must be active, draining, drained or lost", value.get("state"));
                None
            }
        }
    }

    fn app(&mut self, path: &str, value: &Value) {
        let mut value = value.clone();
        // What it would run does not matter here.
        if let Some(object) = value.as_object_mut()
            && ["cmd", "args", "container"].iter().all(|field| object.get(*field).is_none_or(Value::is_null))
        {
            object.insert("cmd".into(), "true".into());
        }
        let app = match read_app(&value, ReadContext::default()) {
            Ok(app) => app,
            Err(faults) => {
                let placed = faults.into_iter().map(|fault| Fault {
                    path: if fault.path == "/" { path.to_owned() } else { format!("{path}{}", fault.path) },
                    ..fault
                });
                return self.faults.extend(placed);
            }
        };
        if app.is_resident() {
            let message = "persistent volumes are not simulated; leave them out and add their sizes to disk";
            self.fault(&format!("{path}/container/volumes"), message, None);
        }
        if !self.ids.insert(app.id.to_string()) {
            self.fault(&format!("{path}/id"), "is the id of another app", Some(&Value::String(app.id.to_string())));
        }
        let before = self.tasks;
        self.tasks += u64::from(app.instances);
        if before <= TASKS_MAX && self.tasks > TASKS_MAX {
            let message = format!("with these there are more than {TASKS_MAX} tasks; ask for fewer");
            self.fault(&format!("{path}/instances"), &message, Some(&app.instances.into()));
        }
        self.apps.push(app);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nodes_and_apps_are_read() {
        let made = workload(&json!({
            "nodes": [
                {"count": 3, "hostname": "n", "resources": "cpus:8;mem:1024;cpus(eng):2", "attributes": "rack:a;disk:ssd", "region": "eu", "zone": "z"},
                {"resources": "cpus:1;mem:64", "role": "slave_public", "state": "lost"},
            ],
            "apps": [{"id": "/a", "instances": 2}, {"id": "/b", "cmd": "x", "placement": {"priority": 5}}],
        }))
        .unwrap();
        assert_eq!(made.nodes.len(), 4);
        assert_eq!(made.nodes[1].facts.hostname, "n-1");
        assert_eq!(made.nodes[0].facts.resources.cpus.to_string(), "10");
        assert_eq!(made.nodes[0].field("rack"), Some("a"));
        let [Event::Close(closings), Event::Start(first), Event::Start(_)] = &made.events[..] else { panic!() };
        assert_eq!((closings.len(), closings[0].1, first.id.as_str()), (1, Closing::Lost, "/b"));
    }

    #[test]
    fn every_fault_is_told_with_its_field_and_value() {
        let faults = workload(&json!({
            "nodes": [
                {"resources": "cpus:-1;memory:4", "attributes": "rack", "state": "gone", "colour": "red"},
                {"count": 0, "resources": "cpus:1"},
                {"hostname": "a b", "resources": "cpus:1"},
                {"hostname": "x", "resources": "cpus:1"}, {"hostname": "x", "resources": "cpus:1"},
                {}, 7, {"zone": 5, "resources": "cpus:1"},
            ],
            "apps": [{"id": "/a", "cpus": -1}, {"instances": 1}, {"id": "/c"}, {"id": "/c", "instances": 1_000_000_000}],
            "more": [],
        }))
        .unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        for start in [
            "/more: is unknown",
            "/nodes/0/colour: is unknown",
            "/nodes/0/resources: \"-1\" is no amount of cpus (given: \"cpus:-1\")",
            "/nodes/0/resources: \"memory\" is unknown",
            "/nodes/0/attributes: \"rack\" is not NAME:VALUE",
            "/nodes/0/state: must be active",
            "/nodes/1/count: must be 1 to 100000 (given: 0)",
            "/nodes/2: its host name",
            "/nodes/4/hostname: is the name of another node",
            "/nodes/5/resources: must be there",
            "/nodes/6: a node is an object",
            "/nodes/7/zone: must be a text",
            "/apps/0/cpus: ",
            "/apps/1/id: is missing",
            "/apps/3/instances: ",
        ] {
            assert!(told.iter().any(|fault| fault.starts_with(start)), "{start} is not in {told:#?}");
        }
        for value in [json!(null), json!([]), json!({"nodes": 1, "apps": {}})] {
            assert!(workload(&value).is_err());
        }
    }

    #[test]
    fn numbers_without_end_are_faults() {
        let text =
            "nodes: [{count: .inf, resources: 'cpus:1'}]\napps:\n- {id: /a, cpus: .nan, mem: -1}\n- {id: /b, instances: -.INF}\n";
        let (value, lost) = yaml_document::read(text).unwrap();
        let told: Vec<String> = workload_of(&value, lost).unwrap_err().iter().map(ToString::to_string).collect();
        let message = "must be a finite number; leave the field out for its default";
        assert_eq!(
            told[..3],
            [
                format!("/nodes/0/count: {message} (given: .inf)"),
                format!("/apps/0/cpus: {message} (given: .nan)"),
                format!("/apps/1/instances: {message} (given: -.inf)"),
            ]
        );
        assert!(told.len() == 4 && told[3].starts_with("/apps/0/mem: "), "{told:#?}");
        let (value, lost) = yaml_document::read("nodes: [{resources: 'cpus:1'}]\napps: [{id: /a, cpus: .nan}]\n").unwrap();
        assert_eq!(workload_of(&value, lost).unwrap_err().len(), 1);
    }

    #[test]
    fn limits_are_told() {
        let many = json!({"count": 60_000, "resources": "cpus:1"});
        let faults = workload(&json!({"nodes": [many, many], "apps": []})).unwrap_err();
        assert!(faults[0].message.contains("more than 100000 nodes"), "{faults:?}");
        let apps: Vec<Value> = (0..6).map(|number| json!({"id": format!("/a{number}"), "instances": 1_000_000})).collect();
        let faults = workload(&json!({"nodes": [], "apps": apps})).unwrap_err();
        assert!(faults.len() == 1 && faults[0].path == "/apps/5/instances", "{faults:?}");
    }
}
