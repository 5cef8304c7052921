//! Mesos-DNS' HTTP interface as functions of a zone (platform.md 3.1).
//!
//! Names come without regard to case, with or without the final dot; they go out with it. What is
//! not found is answered with one element of empty texts, on which clients rely.

use crate::answer::{
    NAME_SERVER, NEGATIVE_TTL_SECONDS, RESPONSIBLE, SOA_EXPIRE_SECONDS, SOA_REFRESH_SECONDS, SOA_RETRY_SECONDS, TTL_SECONDS,
};
use orrery_core::TaskId;
use orrery_core::dns::{DIRECTORY_DOMAIN, MESOS_DOMAIN, Owner, RecordData, RecordKind, RrSet, Service, Zone};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// `GET /v1/version`.
pub fn version() -> Value {
    json!({ "Service": "Mesos-DNS", "Version": env!("CARGO_PKG_VERSION"), "URL": env!("CARGO_PKG_REPOSITORY") })
}

/// `GET /v1/config`, for a server that listens on `listen` and asks `upstreams`.
pub fn config(listen: SocketAddr, upstreams: &[SocketAddr], zone: &Zone) -> Value {
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
pub fn hosts(zone: &Zone, host: &str) -> Value {
    let host = host_key(host);
    let mut found: Vec<Value> =
        addresses(zone, &host).map(|ip| json!({ "host": format!("{host}."), "ip": ip.to_string() })).collect();
    if found.is_empty() {
        found.push(json!({ "host": "", "ip": "" }));
    }
    Value::Array(found)
}

/// `GET /v1/services/{service}`: where the instances of a service name are.
pub fn services(zone: &Zone, service: &str) -> Value {
    let name = host_key(service);
    let mut found: Vec<Value> = services_of(zone, &name)
        .map(|service| {
            let ip = addresses(zone, &service.target).next().map(|ip| ip.to_string()).unwrap_or_default();
            json!({
                "service": format!("{name}."),
                "host": format!("{}.", service.target),
                "ip": ip,
                "port": service.port.to_string(),
            })
        })
        .collect();
    if found.is_empty() {
        found.push(json!({ "service": "", "host": "", "ip": "", "port": "" }));
    }
    Value::Array(found)
}

/// `GET /v1/enumerate`: the records of every task, by framework. Costs the whole zone.
pub fn enumerate(zone: &Zone) -> Value {
    let mut frameworks: BTreeMap<&str, BTreeMap<&TaskId, Value>> = BTreeMap::new();
    for (owner, records) in zone.owners() {
        let Owner::Task { id, framework } = owner else { continue };
        // Marathon names tasks by the reversed path.
        let name = id.instance().app().host_name();
        let records: Vec<Value> = records
            .iter()
            .filter(|record| is_in(&record.name, MESOS_DOMAIN))
            .map(|record| {
                let rtype = match record.data.kind() {
                    RecordKind::A => "A",
                    RecordKind::Aaaa => "AAAA",
                    RecordKind::Srv => "SRV",
                };
                json!({ "name": format!("{}.", record.name), "host": data_text(&record.data), "rtype": rtype })
            })
            .collect();
        let task = json!({ "name": name, "id": id, "records": records });
        frameworks.entry(framework).or_default().insert(id, task);
    }
    let frameworks: Vec<Value> = frameworks
        .into_iter()
        .map(|(name, tasks)| json!({ "name": name, "tasks": tasks.into_values().collect::<Vec<Value>>() }))
        .collect();
    json!({ "frameworks": frameworks })
}

/// `GET /v1/axfr`: all records of the `mesos` zone. Costs the whole zone.
pub fn axfr(zone: &Zone) -> Value {
    let mut by_kind: [BTreeMap<&str, Vec<String>>; 3] = Default::default();
    for (name, records) in zone.names().filter(|(name, _)| is_in(name, MESOS_DOMAIN)) {
        for data in records.iter() {
            by_kind[data.kind() as usize].entry(name).or_default().push(data_text(data));
        }
    }
    let [a, aaaa, srv] = by_kind.map(|names| {
        let entries = names.into_iter().map(|(name, mut values)| {
            values.sort_unstable();
            (format!("{name}."), Value::from(values))
        });
        Value::Object(entries.collect::<Map<String, Value>>())
    });
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

fn addresses<'z>(zone: &'z Zone, name: &str) -> impl Iterator<Item = IpAddr> + use<'z> {
    let records = zone.get(name).map(|entry| &entry.records);
    records.into_iter().flat_map(RrSet::iter).filter_map(|data| match data {
        RecordData::A(ip) => Some(IpAddr::V4(*ip)),
        RecordData::Aaaa(ip) => Some(IpAddr::V6(*ip)),
        RecordData::Srv(_) => None,
    })
}

fn services_of<'z>(zone: &'z Zone, name: &str) -> impl Iterator<Item = &'z Service> + use<'z> {
    let records = zone.get(name).map(|entry| &entry.records);
    records.into_iter().flat_map(RrSet::iter).filter_map(|data| match data {
        RecordData::Srv(service) => Some(service),
        _ => None,
    })
}

fn data_text(data: &RecordData) -> String {
    match data {
        RecordData::A(ip) => ip.to_string(),
        RecordData::Aaaa(ip) => ip.to_string(),
        RecordData::Srv(service) => format!("{}.:{}", service.target, service.port),
    }
}
