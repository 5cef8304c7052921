//! The fields of a spec, one by one, put into an app.

use super::check::{read_health_check, read_readiness_check};
use super::container::{read_container, required_text};
use super::network::{IpAddress, legacy_networks, read_ip_address, read_legacy_port, read_network, read_port_definition};
use super::placement::read_placement_rules;
use super::validate::INSTANCES_MAX;
use crate::json::{Cursor, Object, Reader};
use orrery_core::app::{
    Artifact, Constraint, EnvValue, KillSelection, Limit, Network, Operator, PortDefinition, PortMapping, ResourceLimits, Secret,
    UnreachableStrategy, UpgradeStrategy,
};
use orrery_core::{App, AppId, Fault, Scalar};
use std::collections::BTreeMap;

/// Fields of answers and of older Marathons that clients send back: no part of a spec.
const IGNORED_FIELDS: [&str; 17] = [
    "deployments",
    "lastTaskFailure",
    "readinessCheckResults",
    "storeUrls",
    "taskStats",
    "tasks",
    "tasksHealthy",
    "tasksRunning",
    "tasksStaged",
    "tasksStats",
    "tasksUnhealthy",
    "tasksUnknown",
    "tasksDropped",
    "tasksKilled",
    "tasksFailed",
    "version",
    "versionInfo",
];

/// Fields with a meaning here; every other one is kept in [`App::unknown`].
const KNOWN_FIELDS: [&str; 48] = [
    "acceptedResourceRoles",
    "args",
    "backoffFactor",
    "backoffSeconds",
    "check",
    "cmd",
    "constraints",
    "container",
    "cpus",
    "dependencies",
    "disk",
    "env",
    "executor",
    "fetch",
    "gpus",
    "healthChecks",
    "id",
    "instances",
    "ipAddress",
    "killSelection",
    "labels",
    "maxLaunchDelaySeconds",
    "mem",
    "networks",
    "placement",
    "portDefinitions",
    "ports",
    "readinessChecks",
    "requirePorts",
    "residency",
    "resourceLimits",
    "resources",
    "role",
    "secrets",
    "taskKillGracePeriodSeconds",
    "tty",
    "unreachableStrategy",
    "upgradeStrategy",
    "uris",
    "user",
    // A spec that was shown by `dcos marathon app show` may carry its group's fields.
    "apps",
    "groups",
    "pods",
    "enforceRole",
    "scaleBy",
    "dryRun",
    "force",
    "partialUpdate",
];

/// Which fields with context-dependent defaults a spec gave.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) container: bool,
    pub(super) port_definitions: bool,
    pub(super) port_mappings: Option<Vec<PortMapping>>,
    pub(super) upgrade_strategy: bool,
    pub(super) unreachable_strategy: bool,
    /// Old forms that were used.
    uris: bool,
    ports: bool,
    docker_port_mappings: bool,
}

impl Given {
    /// The path of a field of the normalised app as the user wrote it.
    pub(super) fn written_path(&self, path: String) -> String {
        let old = |new: &str, suffix: &str, old: &str| {
            let rest = path.strip_prefix(new).filter(|rest| rest.starts_with('('))?;
            Some(format!("{old}{}", rest.strip_suffix(suffix).unwrap_or(rest)))
        };
        let renamed = if self.uris { old("/fetch", "/uri", "/uris") } else { None };
        let renamed = renamed.or_else(|| self.ports.then(|| old("/portDefinitions", "/port", "/ports")).flatten());
        let mappings = || old("/container/portMappings", "", "/container/docker/portMappings");
        let renamed = renamed.or_else(|| self.docker_port_mappings.then(mappings).flatten());
        renamed.unwrap_or(path)
    }
}

pub(super) fn read_fields(reader: &mut Reader, object: &Object<'_>, app: &mut App) -> Given {
    let mut given = Given::default();
    read_process(reader, object, app, &mut given);
    read_resources(reader, object, app);
    read_networking(reader, object, app, &mut given);
    read_placement(reader, object, app);
    read_lifecycle(reader, object, app, &mut given);
    for (name, cursor) in object.fields() {
        if !KNOWN_FIELDS.contains(&name) && !IGNORED_FIELDS.contains(&name) {
            app.unknown.insert(name.to_owned(), cursor.value.clone());
        }
    }
    given
}

/// Puts what `read` makes of the field `key`, if it is there, into `field`.
fn set<T>(
    reader: &mut Reader,
    object: &Object<'_>,
    key: &str,
    field: &mut T,
    read: impl FnOnce(&mut Reader, &Cursor<'_>) -> Option<T>,
) -> bool {
    let Some(cursor) = object.get(key) else { return false };
    if let Some(value) = read(reader, &cursor) {
        *field = value;
    }
    true
}

fn read_process(reader: &mut Reader, object: &Object<'_>, app: &mut App, given: &mut Given) {
    let cmd_given = set(reader, object, "cmd", &mut app.cmd, |reader, at| reader.text(at).map(Some));
    let args_given = set(reader, object, "args", &mut app.args, |reader, at| reader.list(at, Reader::plain_text));
    // In an update one replaces the other.
    if cmd_given && !args_given {
        app.args = Vec::new();
    } else if args_given && !cmd_given && !app.args.is_empty() {
        app.cmd = None;
    }
    app.cmd = app.cmd.take().filter(|cmd| !cmd.is_empty());
    set(reader, object, "user", &mut app.user, |reader, at| {
        reader.text(at).map(|user| Some(user).filter(|user| !user.is_empty()))
    });
    set(reader, object, "env", &mut app.env, read_env);
    set(reader, object, "executor", &mut app.executor, Reader::text);
    set(reader, object, "labels", &mut app.labels, Reader::texts);
    set(reader, object, "secrets", &mut app.secrets, read_secrets);
    set(reader, object, "tty", &mut app.tty, |reader, at| reader.boolean(at).map(Some));
    let uris = object.get("uris").filter(|cursor| cursor.value.as_array().is_none_or(|uris| !uris.is_empty()));
    let fetch = object.get("fetch").filter(|cursor| cursor.value.as_array().is_none_or(|fetch| !fetch.is_empty()));
    if let (Some(uris), Some(_)) = (&uris, &fetch) {
        reader.fault(uris.path.clone(), "is the old form of fetch; give only one of the two");
    }
    if let Some(fetch) = object.get("fetch")
        && let Some(artifacts) = reader.list(&fetch, read_artifact)
    {
        app.fetch = artifacts;
    }
    if (fetch.is_none() || object.get("fetch").is_none())
        && let Some(uris) = object.get("uris")
        && let Some(artifacts) = reader.list(&uris, read_uri)
    {
        app.fetch = artifacts;
        given.uris = true;
    }
}

fn read_env(reader: &mut Reader, at: &Cursor<'_>) -> Option<BTreeMap<String, EnvValue>> {
    let object = reader.object(at)?;
    let mut env = BTreeMap::new();
    for (name, cursor) in object.fields() {
        let value = if cursor.value.is_object() {
            let reference = reader.object(&cursor).and_then(|object| object.get("secret"));
            let secret = reference.and_then(|cursor| reader.text(&cursor));
            if secret.is_none() {
                reader.fault(cursor.path.clone(), "must be a text or {\"secret\": name}");
            }
            secret.map(|secret| EnvValue::Secret { secret })
        } else {
            reader.plain_text(&cursor).map(EnvValue::Literal)
        };
        if name.is_empty() || name.contains(['=', '\0']) {
            reader.fault(at.path.clone(), "has a variable whose name is empty or holds = or a null byte");
        }
        if let Some(value) = value {
            env.insert(name.to_owned(), value);
        }
    }
    Some(env)
}

fn read_secrets(reader: &mut Reader, at: &Cursor<'_>) -> Option<BTreeMap<String, Secret>> {
    let object = reader.object(at)?;
    let mut secrets = BTreeMap::new();
    for (name, cursor) in object.fields() {
        let source = reader.object(&cursor).and_then(|secret| required_text(reader, &secret, "source"));
        if name.is_empty() {
            reader.fault(at.path.clone(), "has a secret with an empty name");
        }
        if let Some(source) = source {
            secrets.insert(name.to_owned(), Secret { source });
        }
    }
    Some(secrets)
}

fn read_artifact(reader: &mut Reader, at: &Cursor<'_>) -> Option<Artifact> {
    let object = reader.object(at)?;
    let uri = match object.get("uri") {
        // Templates write an empty URI for an option that is not set.
        Some(cursor) if cursor.value == "" => return None,
        _ => required_text(reader, &object, "uri"),
    };
    let mut flag = |key, default| object.get(key).and_then(|cursor| reader.boolean(&cursor)).unwrap_or(default);
    let (extract, executable, cache) = (flag("extract", true), flag("executable", false), flag("cache", false));
    let dest_path = object.get("destPath").and_then(|cursor| reader.text(&cursor));
    Some(Artifact { uri: uri?, extract, executable, cache, dest_path })
}

/// Suffixes that old `uris` were unpacked for.
const ARCHIVE_SUFFIXES: [&str; 10] =
    [".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".gz", ".tgz", ".tbz2", ".txz", ".zip", ".jar.zip"];

fn read_uri(reader: &mut Reader, at: &Cursor<'_>) -> Option<Artifact> {
    let uri = reader.text(at).filter(|uri| !uri.is_empty())?;
    let extract = ARCHIVE_SUFFIXES.iter().any(|suffix| uri.ends_with(suffix));
    Some(Artifact { uri, extract, executable: false, cache: false, dest_path: None })
}

/// Least amount of what must be there.
const SMALLEST: Scalar = Scalar::from_thousandths(1);

fn read_resources(reader: &mut Reader, object: &Object<'_>, app: &mut App) {
    let amount = |reader: &mut Reader, at: &Cursor<'_>| reader.scalar(at, Scalar::ZERO, None);
    // Less is nothing once it is rounded, and the fault would tell a number that nobody wrote.
    let some = |reader: &mut Reader, at: &Cursor<'_>| reader.scalar(at, SMALLEST, None);
    set(reader, object, "cpus", &mut app.cpus, some);
    set(reader, object, "mem", &mut app.mem, amount);
    set(reader, object, "disk", &mut app.disk, amount);
    set(reader, object, "resources", &mut app.resources, |reader, at| {
        let object = reader.object(at)?;
        let read = |(name, cursor): (&str, Cursor<'_>)| Some((name.to_owned(), some(reader, &cursor)?));
        Some(object.fields().filter_map(read).collect())
    });
    set(reader, object, "gpus", &mut app.gpus, Reader::seconds);
    set(reader, object, "instances", &mut app.instances, |reader, at| {
        reader.whole(at, u64::from(INSTANCES_MAX)).and_then(|count| u32::try_from(count).ok())
    });
    set(reader, object, "resourceLimits", &mut app.resource_limits, |reader, at| {
        let object = reader.object(at)?;
        let mut limit = |key| {
            let cursor = object.get(key)?;
            if cursor.value == "unlimited" {
                return Some(Limit::Unlimited);
            }
            reader.scalar(&cursor, Scalar::ZERO, None).map(Limit::Amount)
        };
        Some(Some(ResourceLimits { cpus: limit("cpus"), mem: limit("mem") }))
    });
}

fn read_networking(reader: &mut Reader, object: &Object<'_>, app: &mut App, given: &mut Given) {
    let mut docker_network = None;
    if let Some(cursor) = object.get("container")
        && let Some(raw) = read_container(reader, &cursor)
    {
        given.container = true;
        app.container = Some(raw.container);
        docker_network = raw.docker_network;
        given.port_mappings = raw.port_mappings;
        given.docker_port_mappings = raw.has_legacy_mappings;
    }
    let ip_address: Option<IpAddress> = object.get("ipAddress").and_then(|cursor| read_ip_address(reader, &cursor));
    let legacy = legacy_networks(reader, docker_network.as_ref(), ip_address.as_ref());
    let is_legacy = legacy.is_some() && object.get("networks").is_none();
    if let Some(networks) = object.get("networks") {
        if docker_network.is_some() || ip_address.is_some() {
            let old = docker_network.map_or_else(|| "/ipAddress".to_owned(), |cursor| cursor.path);
            reader.fault(old, "is the old form of networks; give only one of the two");
        }
        if let Some(networks) = reader.list(&networks, read_network) {
            app.networks = if networks.is_empty() { Network::host_only() } else { networks };
        }
    } else if let Some(networks) = legacy {
        app.networks = networks;
    }
    if given.port_mappings.is_none() {
        given.port_mappings = ip_address.and_then(|ip_address| ip_address.port_mappings);
    }
    // Clients that send whole apps send the old form along, empty.
    let is_empty = |cursor: &Cursor<'_>| cursor.value.as_array().is_some_and(Vec::is_empty);
    let ports = object.get("ports").filter(|ports| !is_empty(ports) || object.get("portDefinitions").is_none());
    let definitions = object.get("portDefinitions");
    if let (Some(ports), Some(_)) = (&ports, &definitions) {
        reader.fault(ports.path.clone(), "is the old form of portDefinitions; give only one of the two");
    }
    if let Some(cursor) = definitions
        && let Some(definitions) = reader.list(&cursor, read_port_definition)
    {
        if is_legacy && !app.is_host_networked() {
            // Before Marathon 1.5 both could be given; the mappings won, the definitions completed them.
            complete_mappings(given.port_mappings.as_mut(), &definitions);
        } else {
            app.port_definitions = definitions;
            given.port_definitions = true;
        }
    } else if let Some(cursor) = ports
        && let Some(definitions) = reader.list(&cursor, read_legacy_port)
        && app.is_host_networked()
    {
        app.port_definitions = definitions;
        given.port_definitions = true;
        given.ports = true;
    }
    set(reader, object, "requirePorts", &mut app.require_ports, Reader::boolean);
}

fn complete_mappings(mappings: Option<&mut Vec<PortMapping>>, definitions: &[PortDefinition]) {
    for (mapping, definition) in mappings.into_iter().flatten().zip(definitions) {
        if mapping.service_port == 0 {
            mapping.service_port = definition.port;
        }
        if mapping.name.is_none() {
            mapping.name.clone_from(&definition.name);
        }
        if mapping.labels.is_empty() {
            mapping.labels.clone_from(&definition.labels);
        }
    }
}

fn read_placement(reader: &mut Reader, object: &Object<'_>, app: &mut App) {
    set(reader, object, "constraints", &mut app.constraints, |reader, at| reader.list(at, read_constraint));
    set(reader, object, "acceptedResourceRoles", &mut app.accepted_resource_roles, |reader, at| {
        // As in Marathon: an empty list would accept nothing, and never meant that.
        if at.value.as_array().is_some_and(Vec::is_empty) {
            reader.wrong(at, "must not be empty; leave it out, or name roles such as *");
        }
        reader.list(at, Reader::text)
    });
    let group = app.id.group().to_owned();
    set(reader, object, "placement", &mut app.placement, |reader, at| read_placement_rules(reader, at, &group));
    set(reader, object, "role", &mut app.role, |reader, at| reader.text(at).map(Some));
    set(reader, object, "dependencies", &mut app.dependencies, |reader, at| {
        reader.list(at, |reader, entry| {
            let text = reader.text(entry)?;
            match AppId::parse_in(&group, &text) {
                Ok(id) => Some(id),
                Err(error) => {
                    reader.wrong(entry, error.to_string());
                    None
                }
            }
        })
    });
}

fn read_constraint(reader: &mut Reader, at: &Cursor<'_>) -> Option<Constraint> {
    let (field, operator, value) =
        if at.value.is_object() { read_named_parts(reader, at)? } else { read_listed_parts(reader, at)? };
    let Some(operator) = Operator::parse(&operator) else {
        reader.faults.push(
            Fault::new(at.path.clone(), "has an unknown operator; use UNIQUE, CLUSTER, GROUP_BY, MAX_PER, LIKE, UNLIKE or IS")
                .with_value(operator),
        );
        return None;
    };
    Some(Constraint { field, operator, value: value.filter(|value| !value.is_empty()) })
}

/// `[field, operator, value]`, the value perhaps left out.
fn read_listed_parts(reader: &mut Reader, at: &Cursor<'_>) -> Option<(String, String, Option<String>)> {
    let before = reader.faults.len();
    let mut parts = reader.list(at, Reader::plain_text)?.into_iter();
    if let (Some(field), Some(operator), value, None) = (parts.next(), parts.next(), parts.next(), parts.next()) {
        return Some((field, operator, value));
    }
    // A part that could not be read has its own fault.
    if reader.faults.len() == before {
        reader.wrong(at, "must be [field, operator] or [field, operator, value]");
    }
    None
}

/// `{"fieldName", "operator", "value"}`, as Marathon's pods have them and newer clients write for apps too.
fn read_named_parts(reader: &mut Reader, at: &Cursor<'_>) -> Option<(String, String, Option<String>)> {
    const NAMES: [&str; 3] = ["fieldName", "operator", "value"];
    let object = reader.object(at)?;
    for (name, cursor) in object.fields().filter(|(name, _)| !NAMES.contains(name)) {
        reader.fault(cursor.path, format!("{name} is no field of a constraint; use {}", NAMES.join(", ")));
    }
    let (field, operator) = (required_text(reader, &object, NAMES[0]), required_text(reader, &object, NAMES[1]));
    let value = match object.get(NAMES[2]) {
        Some(cursor) => Some(reader.plain_text(&cursor)?),
        None => None,
    };
    Some((field?, operator?, value))
}

fn read_lifecycle(reader: &mut Reader, object: &Object<'_>, app: &mut App, given: &mut Given) {
    set(reader, object, "healthChecks", &mut app.health_checks, |reader, at| reader.list(at, read_health_check));
    set(reader, object, "readinessChecks", &mut app.readiness_checks, |reader, at| reader.list(at, read_readiness_check));
    set(reader, object, "check", &mut app.check, |_, at| Some(Some(at.value.clone())));
    given.upgrade_strategy = set(reader, object, "upgradeStrategy", &mut app.upgrade_strategy, |reader, at| {
        let object = reader.object(at)?;
        let mut share = |key: &str| {
            let Some(cursor) = object.get(key) else {
                reader.fault(format!("{}/{key}", at.path), "is missing; give a number from 0 to 1");
                return None;
            };
            reader.scalar(&cursor, Scalar::ZERO, Some(Scalar::ONE))
        };
        let (minimum, maximum) = (share("minimumHealthCapacity"), share("maximumOverCapacity"));
        Some(UpgradeStrategy { minimum_health_capacity: minimum?, maximum_over_capacity: maximum? })
    });
    given.unreachable_strategy = set(reader, object, "unreachableStrategy", &mut app.unreachable_strategy, |reader, at| {
        if at.value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("disabled")) {
            return Some(UnreachableStrategy::Disabled);
        }
        let object = reader.object(at)?;
        let mut after = |key| match object.get(key) {
            Some(cursor) => reader.seconds(&cursor),
            None => Some(0),
        };
        let (inactive, expunge) = (after("inactiveAfterSeconds"), after("expungeAfterSeconds"));
        Some(UnreachableStrategy::Replace { inactive_after_seconds: inactive?, expunge_after_seconds: expunge? })
    });
    let selections = [("YOUNGEST_FIRST", KillSelection::YoungestFirst), ("OLDEST_FIRST", KillSelection::OldestFirst)];
    set(reader, object, "killSelection", &mut app.kill_selection, |reader, at| reader.word(at, &selections));
    let seconds =
        |reader: &mut Reader, at: &Cursor<'_>| reader.scalar(at, Scalar::ZERO, Some(Scalar::from_units(i64::from(u32::MAX))));
    set(reader, object, "backoffSeconds", &mut app.backoff_seconds, seconds);
    set(reader, object, "maxLaunchDelaySeconds", &mut app.max_launch_delay_seconds, seconds);
    set(reader, object, "backoffFactor", &mut app.backoff_factor, |reader, at| reader.scalar(at, Scalar::ONE, None));
    set(reader, object, "taskKillGracePeriodSeconds", &mut app.task_kill_grace_period_seconds, |reader, at| {
        reader.seconds(at).map(Some)
    });
    set(reader, object, "residency", &mut app.residency, |reader, at| reader.object(at).map(|_| Some(at.value.clone())));
}
