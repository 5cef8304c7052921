//! Reading of health and readiness checks.

use super::container::required_text;
use crate::json::{Cursor, Reader};
use orrery_core::app::{CommandLine, HealthCheck, HealthProtocol, IpProtocol, ReadinessCheck};

const PROTOCOLS: [(&str, HealthProtocol); 7] = [
    ("HTTP", HealthProtocol::Http),
    ("HTTPS", HealthProtocol::Https),
    ("TCP", HealthProtocol::Tcp),
    ("COMMAND", HealthProtocol::Command),
    ("MESOS_HTTP", HealthProtocol::MesosHttp),
    ("MESOS_HTTPS", HealthProtocol::MesosHttps),
    ("MESOS_TCP", HealthProtocol::MesosTcp),
];

pub(super) fn read_health_check(reader: &mut Reader, at: &Cursor<'_>) -> Option<HealthCheck> {
    let object = reader.object(at)?;
    let mut check = HealthCheck::default();
    let command = object.get("command").and_then(|cursor| {
        let object = reader.object(&cursor)?;
        required_text(reader, &object, "value").map(|value| CommandLine { value })
    });
    // Marathon takes a check that gives only a command for an HTTP one; that is never meant.
    let default = if command.is_some() { HealthProtocol::Command } else { HealthProtocol::Http };
    check.protocol = match object.get("protocol") {
        Some(cursor) => reader.word(&cursor, &PROTOCOLS)?,
        None => default,
    };
    check.path = object.get("path").and_then(|cursor| reader.text(&cursor));
    check.port = object.get("port").and_then(|cursor| reader.port(&cursor)).filter(|port| *port != 0);
    check.port_index = object.get("portIndex").and_then(|cursor| reader.seconds(&cursor));
    check.command = command;
    let mut set = |field: &mut u32, key: &str| {
        if let Some(seconds) = object.get(key).and_then(|cursor| reader.seconds(&cursor)) {
            *field = seconds;
        }
    };
    set(&mut check.grace_period_seconds, "gracePeriodSeconds");
    set(&mut check.interval_seconds, "intervalSeconds");
    set(&mut check.timeout_seconds, "timeoutSeconds");
    set(&mut check.max_consecutive_failures, "maxConsecutiveFailures");
    set(&mut check.delay_seconds, "delaySeconds");
    if let Some(flag) = object.get("ignoreHttp1xx").and_then(|cursor| reader.boolean(&cursor)) {
        check.ignore_http1xx = flag;
    }
    let versions = [("IPv4", IpProtocol::IPv4), ("IPv6", IpProtocol::IPv6)];
    if let Some(version) = object.get("ipProtocol").and_then(|cursor| reader.word(&cursor, &versions)) {
        check.ip_protocol = version;
    }
    if check.protocol == HealthProtocol::Command {
        if check.command.is_none() && object.get("command").is_none() {
            reader.fault(format!("{}/command", at.path), "is missing; a COMMAND check needs command.value");
        }
        // A command has no address: what templates write there means nothing.
        check.path = None;
        check.port = None;
        check.port_index = None;
    } else {
        check.command = None;
    }
    if let Some(path) = object.get("path").filter(|_| check.path.as_ref().is_some_and(|path| path.contains(['\r', '\n', ' ']))) {
        reader.wrong(&path, "must not contain spaces or line breaks");
    }
    Some(check)
}

pub(super) fn read_readiness_check(reader: &mut Reader, at: &Cursor<'_>) -> Option<ReadinessCheck> {
    let object = reader.object(at)?;
    let protocols = [("HTTP", HealthProtocol::Http), ("HTTPS", HealthProtocol::Https)];
    let mut text =
        |key: &str, default: &str| object.get(key).and_then(|cursor| reader.text(&cursor)).unwrap_or_else(|| default.to_owned());
    let (name, path, port_name) = (text("name", "readinessCheck"), text("path", "/"), text("portName", "http-api"));
    let protocol = object.get("protocol").and_then(|cursor| reader.word(&cursor, &protocols)).unwrap_or_default();
    let mut seconds = |key: &str, default| object.get(key).and_then(|cursor| reader.seconds(&cursor)).unwrap_or(default);
    let (interval_seconds, timeout_seconds) = (seconds("intervalSeconds", 30), seconds("timeoutSeconds", 10));
    let codes = object.get("httpStatusCodesForReady").and_then(|cursor| {
        reader.list(&cursor, |reader, entry| {
            let code = reader.port(entry)?;
            if !(100..=599).contains(&code) {
                reader.wrong(entry, "must be an HTTP status code from 100 to 599");
            }
            Some(code)
        })
    });
    let preserve = object.get("preserveLastResponse").and_then(|cursor| reader.boolean(&cursor)).unwrap_or(false);
    if timeout_seconds >= interval_seconds {
        let message = format!("must be below intervalSeconds, which is {interval_seconds}");
        reader.faults.push(orrery_core::Fault::new(format!("{}/timeoutSeconds", at.path), message).with_value(timeout_seconds));
    }
    Some(ReadinessCheck {
        name,
        protocol,
        path,
        port_name,
        interval_seconds,
        timeout_seconds,
        http_status_codes_for_ready: codes.filter(|codes| !codes.is_empty()).unwrap_or_else(|| vec![200]),
        preserve_last_response: preserve,
    })
}
