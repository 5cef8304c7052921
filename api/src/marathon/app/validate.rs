//! Rules across the fields of an app (marathon.md 1.4, 1.6, 1.8).

use super::pattern::pattern_fault;
use super::placement::check_placement;
use orrery_core::app::{
    Constraint, ContainerKind, HealthCheck, HealthProtocol, IpProtocol, Limit, NetworkMode, Operator, SINGLE_INSTANCE_LABEL,
    UnreachableStrategy,
};
use orrery_core::role::name_fault;
use orrery_core::{App, Fault, Scalar};
use std::collections::BTreeSet;

/// Most instances one app may ask for.
pub const INSTANCES_MAX: u32 = 1_000_000;

/// Longest URI of an artifact, characters (Marathon's limit).
pub const URI_MAX_CHARS: usize = 1024;

/// Most constraints of one app; each may be asked of every node.
pub const CONSTRAINTS_MAX: usize = 100;

/// Longest field or value of a constraint, bytes.
const OPERAND_BYTES_MAX: usize = 16 << 10;

/// All faults of a complete app; none for what [`super::read_app`] returned.
pub fn validate_app(app: &App) -> Vec<Fault> {
    let mut faults = Vec::new();
    check_command(app, &mut faults);
    check_resources(app, &mut faults);
    check_networks(app, &mut faults);
    check_ports(app, &mut faults);
    check_artifacts(app, &mut faults);
    check_roles(app, &mut faults);
    check_constraints(&app.constraints, &mut faults);
    check_placement(app, &mut faults);
    check_probes(app, &mut faults);
    check_strategies(app, &mut faults);
    check_secrets(app, &mut faults);
    for (index, dependency) in app.dependencies.iter().enumerate() {
        if *dependency == app.id {
            faults.push(Fault::new(format!("/dependencies({index})"), "is the app itself").with_value(dependency));
        }
    }
    faults
}

fn check_command(app: &App, faults: &mut Vec<Fault>) {
    let image = app.container.as_ref().and_then(|container| container.docker.as_ref()).map_or("", |docker| &docker.image);
    if app.cmd.is_some() && !app.args.is_empty() {
        faults.push(Fault::new("/cmd", "and args exclude each other; give only one"));
    }
    let words = app.cmd.iter().map(|cmd| ("/cmd".to_owned(), cmd));
    let args = app.args.iter().enumerate().map(|(index, arg)| (format!("/args({index})"), arg));
    for (path, _) in words.chain(args).filter(|(_, word)| word.contains('\0')) {
        faults.push(Fault::new(path, "holds a null byte, which no program can be given"));
    }
    if app.cmd.is_none() && app.args.is_empty() && image.is_empty() {
        faults.push(Fault::new("/cmd", "is missing; give cmd, args or a container image"));
    }
    if app.container.as_ref().is_some_and(|container| container.kind == ContainerKind::Docker) && image.is_empty() {
        faults.push(Fault::new("/container/docker/image", "is missing; a DOCKER container needs an image"));
    }
    if !is_executor(&app.executor) {
        faults.push(Fault::new("/executor", "must be empty, //cmd or a path").with_value(&app.executor));
    }
}

/// `^(//cmd)|(/?[^/]+(/[^/]+)*)|$`
fn is_executor(text: &str) -> bool {
    let path = text.strip_prefix('/').unwrap_or(text);
    text.is_empty() || text == "//cmd" || (!path.is_empty() && path.split('/').all(|segment| !segment.is_empty()))
}

fn check_resources(app: &App, faults: &mut Vec<Fault>) {
    if app.cpus < Scalar::from_thousandths(1) {
        faults.push(Fault::new("/cpus", "must be at least 0.001").with_value(app.cpus));
    }
    if app.instances > 1 && app.is_single_instance() {
        let message = format!("must be at most 1 with label {SINGLE_INSTANCE_LABEL}");
        faults.push(Fault::new("/instances", message).with_value(app.instances));
    }
    if app.instances > INSTANCES_MAX {
        faults.push(Fault::new("/instances", format!("must be at most {INSTANCES_MAX}")).with_value(app.instances));
    }
    if app.gpus > 0 && app.container.as_ref().is_some_and(|container| container.kind == ContainerKind::Docker) {
        faults.push(Fault::new("/gpus", "are not available to DOCKER containers; use container type MESOS").with_value(app.gpus));
    }
    if let Some(limits) = &app.resource_limits {
        for (name, limit, request) in [("cpus", limits.cpus, app.cpus), ("mem", limits.mem, app.mem)] {
            if let Some(Limit::Amount(amount)) = limit
                && amount < request
            {
                let message = format!("must be at least the request, which is {request}");
                faults.push(Fault::new(format!("/resourceLimits/{name}"), message).with_value(amount));
            }
        }
    }
    if app.is_resident() && !(app.accepted_resource_roles.is_empty() || app.accepted_resource_roles == ["*"]) {
        let message = "must be [\"*\"] for an app with persistent volumes";
        faults.push(Fault::new("/acceptedResourceRoles", message).with_value(app.accepted_resource_roles.join(", ")));
    }
}

fn check_roles(app: &App, faults: &mut Vec<Fault>) {
    let own = app.role.iter().map(|role| ("/role".to_owned(), role));
    let accepted = app.accepted_resource_roles.iter().enumerate();
    let accepted = accepted.map(|(index, role)| (format!("/acceptedResourceRoles({index})"), role));
    for (path, role) in own.chain(accepted).filter(|(_, role)| name_fault(role).is_some()) {
        let message = "is no name of a role; write parts without blanks, joined by /, such as eng/prod";
        faults.push(Fault::new(path, message).with_value(shown(role)));
    }
}

/// An empty text as words: nothing between two signs is easily overlooked.
fn shown(text: &str) -> &str {
    if text.is_empty() { "an empty text" } else { text }
}

fn check_networks(app: &App, faults: &mut Vec<Fault>) {
    let count = |mode| app.networks.iter().filter(|network| network.mode == mode).count();
    let (host, bridge) = (count(NetworkMode::Host), count(NetworkMode::Bridge));
    if (host + bridge > 0 && app.networks.len() > 1) || app.networks.is_empty() {
        let message = "must be one host network, one container/bridge network, or one or more container networks";
        faults.push(Fault::new("/networks", message));
    }
    let mut names = BTreeSet::new();
    for (index, network) in app.networks.iter().enumerate() {
        if network.mode != NetworkMode::Container
            && let Some(name) = &network.name
        {
            faults
                .push(Fault::new(format!("/networks({index})/name"), "is only for networks of mode container").with_value(name));
        }
        if network.mode == NetworkMode::Host && !network.labels.is_empty() {
            faults.push(Fault::new(format!("/networks({index})/labels"), "are not allowed on the host network"));
        }
        if let Some(name) = network.name.as_ref().filter(|name| !names.insert(*name)) {
            faults.push(Fault::new(format!("/networks({index})/name"), "is given twice").with_value(name));
        }
    }
    let docker = app.container.as_ref().is_some_and(|container| container.kind == ContainerKind::Docker);
    if docker && app.networks.len() > 1 {
        faults.push(Fault::new("/networks", "may hold only one network for DOCKER containers"));
    }
}

fn check_ports(app: &App, faults: &mut Vec<Fault>) {
    let mut names = BTreeSet::new();
    let mut twice = |faults: &mut Vec<Fault>, path: String, name: Option<&String>| {
        if let Some(name) = name
            && !names.insert(name.clone())
        {
            faults.push(Fault::new(path, "is used by two ports").with_value(name));
        }
    };
    let mut numbers = BTreeSet::new();
    for (index, definition) in app.port_definitions.iter().enumerate() {
        twice(faults, format!("/portDefinitions({index})/name"), definition.name.as_ref());
        if definition.port != 0 && !numbers.insert(definition.port) {
            faults.push(Fault::new(format!("/portDefinitions({index})/port"), "is given twice").with_value(definition.port));
        }
    }
    if !app.is_host_networked() && !app.port_definitions.is_empty() {
        let message = "is only for the host network; use container.portMappings";
        faults.push(Fault::new("/portDefinitions", message));
    }
    let mappings = app.container.iter().flat_map(|container| &container.port_mappings);
    let several = app.networks.len() > 1;
    let networks: BTreeSet<&String> = app.networks.iter().filter_map(|network| network.name.as_ref()).collect();
    let mut host_ports = BTreeSet::new();
    for (index, mapping) in mappings.enumerate() {
        let path = format!("/container/portMappings({index})");
        twice(faults, format!("{path}/name"), mapping.name.as_ref());
        if let Some(port) = mapping.host_port.filter(|port| *port != 0) {
            for protocol in mapping.protocol.names() {
                if !host_ports.insert((port, *protocol)) {
                    faults.push(Fault::new(format!("{path}/hostPort"), "is given twice").with_value(port));
                    break;
                }
            }
        }
        for name in &mapping.network_names {
            if !networks.contains(name) {
                faults.push(Fault::new(format!("{path}/networkNames"), "names a network the app is not on").with_value(name));
            }
        }
        if several && mapping.host_port.is_some() && mapping.network_names.len() != 1 {
            let message = "must name exactly one network when the app is on several and the port has a hostPort";
            faults.push(Fault::new(format!("{path}/networkNames"), message));
        }
    }
}

fn check_artifacts(app: &App, faults: &mut Vec<Fault>) {
    for (index, artifact) in app.fetch.iter().enumerate() {
        let path = format!("/fetch({index})/uri");
        if artifact.uri.chars().count() > URI_MAX_CHARS {
            faults.push(Fault::new(path, format!("must be at most {URI_MAX_CHARS} characters")).with_value(&artifact.uri));
        } else if !is_uri(&artifact.uri) {
            let message = "is not a URI; give http://…, https://…, file://… or an absolute path";
            faults.push(Fault::new(path, message).with_value(&artifact.uri));
        }
        if let Some(dest) = &artifact.dest_path
            && (dest.is_empty() || dest.starts_with('/') || dest.split('/').any(|segment| segment == ".."))
        {
            let message = "must be a relative path that stays in the sandbox";
            faults.push(Fault::new(format!("/fetch({index})/destPath"), message).with_value(dest));
        }
    }
}

fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return false;
    }
    match text.split_once("://") {
        Some(_) => url::Url::parse(text).is_ok(),
        None => true,
    }
}

/// What is wrong with the operand of LIKE, UNLIKE or IS.
pub(super) fn check_operand(operator: Operator, value: &str) -> Option<String> {
    let word = operator.as_str();
    if value.len() > OPERAND_BYTES_MAX {
        return Some(format!("the value of {word} must be at most {OPERAND_BYTES_MAX} bytes long; it is {}", value.len()));
    }
    if operator == Operator::Is {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_/.-".contains(&byte);
        let wrong = !value.bytes().all(allowed);
        return wrong.then(|| "the value of IS may hold letters, digits, _ / . and - only".to_owned());
    }
    pattern_fault(value).map(|fault| format!("the value of {word} {fault}"))
}

fn check_constraints(constraints: &[Constraint], faults: &mut Vec<Fault>) {
    if constraints.len() > CONSTRAINTS_MAX {
        let message = format!("may hold at most {CONSTRAINTS_MAX} constraints; one LIKE with a|b|c does for many");
        faults.push(Fault::new("/constraints", message).with_value(constraints.len()));
    }
    for (index, constraint) in constraints.iter().take(CONSTRAINTS_MAX).enumerate() {
        check_constraint(constraint, &format!("/constraints({index})"), faults);
        if constraints[..index].contains(constraint) {
            faults.push(Fault::new(format!("/constraints({index})"), "is given twice").with_value(constraint));
        }
    }
}

fn check_constraint(constraint: &Constraint, path: &str, faults: &mut Vec<Fault>) {
    let mut fault = |message: String| faults.push(Fault::new(path, message).with_value(constraint));
    if constraint.field.is_empty() {
        fault("must name a field such as hostname".to_owned());
    }
    if constraint.field.len() > OPERAND_BYTES_MAX {
        fault(format!("must name a field of at most {OPERAND_BYTES_MAX} bytes"));
    }
    let operator = constraint.operator.as_str();
    match (constraint.operator, &constraint.value) {
        (Operator::Unique, Some(_)) => fault("UNIQUE takes no value".to_owned()),
        (Operator::Unique | Operator::Cluster | Operator::GroupBy, None) | (Operator::Cluster, Some(_)) => {}
        (Operator::GroupBy | Operator::MaxPer, Some(value)) => {
            let number: Option<u32> = value.parse().ok();
            let smallest = u32::from(constraint.operator == Operator::GroupBy);
            if number.is_none_or(|number| number < smallest) {
                fault(format!("the value of {operator} must be a whole number, at least {smallest}"));
            }
        }
        (Operator::MaxPer, None) => fault("MAX_PER needs a value: how many instances may share one value".to_owned()),
        (Operator::Like | Operator::Unlike | Operator::Is, Some(value)) => {
            if let Some(message) = check_operand(constraint.operator, value) {
                fault(message);
            }
        }
        (Operator::Like | Operator::Unlike, None) => fault(format!("{operator} needs a regular expression as value")),
        (Operator::Is, None) => fault("IS needs a value".to_owned()),
    }
}

fn check_probes(app: &App, faults: &mut Vec<Fault>) {
    let ports = app.ports();
    let mut local = 0;
    for (index, check) in app.health_checks.iter().enumerate() {
        check_health(app, check, ports.len(), &format!("/healthChecks({index})"), faults);
        if matches!(check.protocol, HealthProtocol::MesosHttp | HealthProtocol::MesosHttps | HealthProtocol::MesosTcp) {
            local += 1;
        }
    }
    if local > 1 {
        faults.push(Fault::new("/healthChecks", "may hold only one check with a MESOS_ protocol").with_value(local));
    }
    if app.readiness_checks.len() > 1 {
        faults.push(Fault::new("/readinessChecks", "may hold only one check").with_value(app.readiness_checks.len()));
    }
    for (index, check) in app.readiness_checks.iter().enumerate() {
        if !ports.iter().any(|port| port.name == Some(&check.port_name)) {
            let message = "must be the name of a port of the app";
            faults.push(Fault::new(format!("/readinessChecks({index})/portName"), message).with_value(&check.port_name));
        }
    }
}

fn check_health(app: &App, check: &HealthCheck, port_count: usize, path: &str, faults: &mut Vec<Fault>) {
    for (name, seconds) in [("intervalSeconds", check.interval_seconds), ("timeoutSeconds", check.timeout_seconds)] {
        if seconds == 0 {
            faults.push(Fault::new(format!("{path}/{name}"), "must be at least 1").with_value(seconds));
        }
    }
    if check.protocol == HealthProtocol::Command {
        return;
    }
    match (check.port, check.port_index) {
        (Some(_), _) => {}
        (None, Some(index)) if (index as usize) < port_count => {}
        (None, Some(index)) => {
            let message = format!("must be the index of one of the app's {port_count} ports, counted from 0");
            faults.push(Fault::new(format!("{path}/portIndex"), message).with_value(index));
        }
        (None, None) => {
            faults.push(Fault::new(format!("{path}/port"), "is missing; the app has no ports, so give the port to probe"));
        }
    }
    let docker = app.container.as_ref().is_some_and(|container| container.kind == ContainerKind::Docker);
    if check.ip_protocol == IpProtocol::IPv6 && !(docker && check.protocol.is_local()) {
        let message = "IPv6 is only for MESOS_ checks of DOCKER containers";
        faults.push(Fault::new(format!("{path}/ipProtocol"), message).with_value("IPv6"));
    }
}

fn check_strategies(app: &App, faults: &mut Vec<Fault>) {
    let upgrade = app.upgrade_strategy;
    if app.is_single_instance() {
        for (name, share) in
            [("minimumHealthCapacity", upgrade.minimum_health_capacity), ("maximumOverCapacity", upgrade.maximum_over_capacity)]
        {
            if share != Scalar::ZERO {
                let message = format!("must be 0 with label {SINGLE_INSTANCE_LABEL}");
                faults.push(Fault::new(format!("/upgradeStrategy/{name}"), message).with_value(share));
            }
        }
    } else if app.is_resident() && upgrade.maximum_over_capacity != Scalar::ZERO {
        let message = "must be 0 for an app with persistent volumes";
        faults.push(Fault::new("/upgradeStrategy/maximumOverCapacity", message).with_value(upgrade.maximum_over_capacity));
    }
    if let UnreachableStrategy::Replace { inactive_after_seconds, expunge_after_seconds } = app.unreachable_strategy {
        if inactive_after_seconds > expunge_after_seconds {
            let message = format!("must be at most expungeAfterSeconds, which is {expunge_after_seconds}");
            faults.push(Fault::new("/unreachableStrategy/inactiveAfterSeconds", message).with_value(inactive_after_seconds));
        }
        if app.is_resident() {
            faults.push(Fault::new("/unreachableStrategy", "must be \"disabled\" for an app with persistent volumes"));
        }
    }
}

fn check_secrets(app: &App, faults: &mut Vec<Fault>) {
    use orrery_core::app::EnvValue;
    for (name, value) in &app.env {
        if let EnvValue::Secret { secret } = value
            && !app.secrets.contains_key(secret)
        {
            faults.push(Fault::new(
                format!("/env/{name}"),
                format!("refers to the secret \"{secret}\", which secrets does not declare"),
            ));
        }
    }
    let volumes = app.container.iter().flat_map(|container| &container.volumes);
    let mut directories = BTreeSet::new();
    for (index, volume) in volumes.enumerate() {
        if volume.persistent.is_some() && !directories.insert(&volume.container_path) {
            let fault = Fault::new(format!("/container/volumes({index})/containerPath"), "is that of another persistent volume");
            faults.push(fault.with_value(&volume.container_path));
        }
        if let Some(secret) = volume.secret.as_ref().filter(|secret| !app.secrets.contains_key(*secret)) {
            let message = format!("refers to the secret \"{secret}\", which secrets does not declare");
            faults.push(Fault::new(format!("/container/volumes({index})/secret"), message));
        }
    }
}
