//! Mesos-DNS' HTTP interface as functions of the names of a moment (platform.md 3.1).
//!
//! Names come without regard to case, with or without the final dot; they go out with it. What is
//! not found is answered with one element of empty texts, on which clients rely.

use crate::answer::{
    NAME_SERVER, NEGATIVE_TTL_SECONDS, RESPONSIBLE, SOA_EXPIRE_SECONDS, SOA_REFRESH_SECONDS, SOA_RETRY_SECONDS, TTL_SECONDS,
};
use crate::snapshot::Snapshot;
use orrery_core::dns::{DIRECTORY_DOMAIN, MARATHON, MESOS_DOMAIN, RecordData, RecordKind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// `GET /v1/version`.
pub fn version() -> Value {
    json!({ "Service": "Mesos-DNS", "Version": env!("CARGO_PKG_VERSION"), "URL": env!("CARGO_PKG_REPOSITORY") })
}

/// `GET /v1/config`, for a server that listens on `listen` and asks `upstreams`.
pub fn config(listen: SocketAddr, upstreams: &[SocketAddr], zone: &Snapshot) -> Value {
    let resolvers: Vec<String> = upstreams.iter().map(|upstream| upstream.ip().to_string()).collect();
    json!({
        "RefreshSeconds": 0,
        "StateTimeoutSeconds": 0,
        "TTL": TTL_SECONDS,
        "Domain": MESOS_DOMAIN,
        "Listener": listen.ip().to_string(),
        "Port": listen.port(),
        "DNSOn": true,
        "HTTPOn": true,
        "ExternalOn": !resolvers.is_empty(),
        "RecurseOn": !resolvers.is_empty(),
        "Resolvers": resolvers,
        "EnforceRFC952": false,
        "EnumerationOn": true,
        "IPSources": ["host", "netinfo"],
        "SetTruncateBit": true,
        "SOAMname": format!("{NAME_SERVER}."),
        "SOARname": format!("{RESPONSIBLE}."),
        "SOASerial": zone.revision() as u32,
        "SOARefresh": SOA_REFRESH_SECONDS,
        "SOARetry": SOA_RETRY_SECONDS,
        "SOAExpire": SOA_EXPIRE_SECONDS,
        "SOAMinttl": NEGATIVE_TTL_SECONDS,
    })
}

/// `GET /v1/hosts/{host}`: the addresses of a name.
pub fn hosts(zone: &Snapshot, host: &str) -> Value {
    let host = host_key(host);
    let found = addresses(zone, &host).into_iter().map(|ip| json!({ "host": format!("{host}."), "ip": ip.to_string() }));
    let mut found: Vec<Value> = found.collect();
    if found.is_empty() {
        found.push(json!({ "host": "", "ip": "" }));
    }
    Value::Array(found)
}

/// `GET /v1/services/{service}`: where the instances of a service name are.
pub fn services(zone: &Snapshot, service: &str) -> Value {
    let name = host_key(service);
    let entry = zone.get(&name).unwrap_or_default();
    let found = entry.records.iter().filter_map(|data| {
        let RecordData::Srv(service) = data else { return None };
        let ip = addresses(zone, &service.target).first().map(ToString::to_string).unwrap_or_default();
        Some(json!({
            "service": format!("{name}."),
            "host": format!("{}.", service.target),
            "ip": ip,
            "port": service.port.to_string(),
        }))
    });
    let mut found: Vec<Value> = found.collect();
    if found.is_empty() {
        found.push(json!({ "service": "", "host": "", "ip": "", "port": "" }));
    }
    Value::Array(found)
}

/// `GET /v1/enumerate`: the records of every task, by framework. Costs the number of tasks.
pub fn enumerate(zone: &Snapshot) -> Value {
    let tasks: Vec<Value> = zone
        .zone()
        .tasks()
        .map(|(id, records)| {
            let records = records.iter().filter(|record| is_in(&record.name, MESOS_DOMAIN)).map(|record| {
                let rtype = match record.data.kind() {
                    RecordKind::A => "A",
                    RecordKind::Aaaa => "AAAA",
                    RecordKind::Srv => "SRV",
                };
                json!({ "name": format!("{}.", record.name), "host": data_text(&record.data), "rtype": rtype })
            });
            // Marathon names tasks by the reversed path.
            let name = id.instance().app().host_name();
            json!({ "name": name, "id": id, "records": records.collect::<Vec<Value>>() })
        })
        .collect();
    let frameworks = if tasks.is_empty() { Vec::new() } else { vec![json!({ "name": MARATHON, "tasks": tasks })] };
    json!({ "frameworks": frameworks })
}

/// `GET /v1/axfr`: all records of the `mesos` zone. Costs the number of tasks.
pub fn axfr(zone: &Snapshot) -> Value {
    let mut by_kind: [BTreeMap<String, BTreeSet<String>>; 3] = Default::default();
    let mut insert = |name: &str, data: &RecordData| {
        if is_in(name, MESOS_DOMAIN) {
            by_kind[data.kind() as usize].entry(format!("{name}.")).or_default().insert(data_text(data));
        }
    };
    for (name, records) in zone.zone().fixed().names() {
        records.iter().for_each(|data| insert(name, data));
    }
    for (_, records) in zone.zone().tasks() {
        for record in &records {
            insert(&record.name, &record.data);
        }
    }
    let [a, aaaa, srv] = by_kind.map(|names| json!(names));
    json!({
        "TTL": TTL_SECONDS,
        "Serial": zone.revision() as u32,
        "RefreshSeconds": 0,
        "Mname": format!("{NAME_SERVER}."),
        "Rname": format!("{RESPONSIBLE}."),
        "Domain": MESOS_DOMAIN,
        "Records": { "As": a, "AAAAs": aaaa, "SRVs": srv },
    })
}

fn host_key(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    match name.strip_suffix(DIRECTORY_DOMAIN).and_then(|rest| rest.strip_suffix('.')) {
        Some(rest) if is_in(rest, MESOS_DOMAIN) => rest.to_owned(),
        _ => name.to_owned(),
    }
}

/// Whether `name` lies below `domain`.
fn is_in(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn addresses(zone: &Snapshot, name: &str) -> Vec<IpAddr> {
    let address = |data: &RecordData| match data {
        RecordData::A(ip) => Some(IpAddr::V4(*ip)),
        RecordData::Aaaa(ip) => Some(IpAddr::V6(*ip)),
        RecordData::Srv(_) => None,
    };
    zone.get(name).map(|entry| entry.records.iter().filter_map(address).collect()).unwrap_or_default()
}

fn data_text(data: &RecordData) -> String {
    match data {
        RecordData::A(ip) => ip.to_string(),
        RecordData::Aaaa(ip) => ip.to_string(),
        RecordData::Srv(service) => format!("{}.:{}", service.target, service.port),
    }
}
