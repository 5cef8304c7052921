//! The environment a task of an app gets (marathon.md 1.7).

use super::PortBinding;
use crate::app::{ContainerKind, EnvValue};
use crate::{App, Scalar, TaskId};
use std::collections::BTreeMap;

/// Labels with names or values of this many characters or more are not put into the environment.
const LABEL_NAME_MAX_CHARS: usize = 493;
/// See [`LABEL_NAME_MAX_CHARS`].
const LABEL_VALUE_MAX_CHARS: usize = 512;

/// The environment of `task`, complete but for what only its executor knows (`MESOS_SANDBOX`).
/// What the user wrote wins over what the platform injects. References to secrets are left out:
/// [`super::resolve`] refuses them.
pub fn task_environment(app: &App, task: &TaskId, host: &str, ports: &[PortBinding]) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    env.insert("HOST".to_owned(), host.to_owned());
    env.insert("MESOS_TASK_ID".to_owned(), task.to_string());
    add_context(&mut env, app);
    add_labels(&mut env, &app.labels);
    add_ports(&mut env, app, ports);
    for (name, value) in &app.env {
        if let EnvValue::Literal(value) = value {
            env.insert(name.clone(), value.clone());
        }
    }
    env
}

fn add_context(env: &mut BTreeMap<String, String>, app: &App) {
    let mut add = |name: &str, value: String| env.insert(name.to_owned(), value);
    add("MARATHON_APP_ID", app.id.to_string());
    add("MARATHON_APP_VERSION", app.version.to_string());
    add("MARATHON_APP_RESOURCE_CPUS", as_double(app.cpus));
    add("MARATHON_APP_RESOURCE_MEM", as_double(app.mem));
    add("MARATHON_APP_RESOURCE_DISK", as_double(app.disk));
    add("MARATHON_APP_RESOURCE_GPUS", app.gpus.to_string());
    add("MARATHON_APP_ENFORCE_GROUP_ROLE", "FALSE".to_owned());
    if let Some(container) = app.container.as_ref().filter(|container| container.kind == ContainerKind::Docker)
        && let Some(docker) = &container.docker
    {
        add("MARATHON_APP_DOCKER_IMAGE", docker.image.clone());
    }
}

/// Marathon prints these as Java doubles: `128.0`.
fn as_double(scalar: Scalar) -> String {
    let text = scalar.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

fn add_labels(env: &mut BTreeMap<String, String>, labels: &BTreeMap<String, String>) {
    let mut names = Vec::new();
    for (name, value) in labels {
        if name.chars().count() >= LABEL_NAME_MAX_CHARS || value.chars().count() >= LABEL_VALUE_MAX_CHARS {
            continue;
        }
        let escaped = as_variable_name(name);
        env.insert(format!("MARATHON_APP_LABEL_{escaped}"), value.clone());
        names.push(escaped);
    }
    env.insert("MARATHON_APP_LABELS".to_owned(), names.join(" "));
}

fn as_variable_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn add_ports(env: &mut BTreeMap<String, String>, app: &App, ports: &[PortBinding]) {
    let effective: Vec<u16> = ports.iter().map(|port| port.host_port.unwrap_or(port.container_port)).collect();
    let Some(first) = effective.first() else { return };
    env.insert("PORT".to_owned(), first.to_string());
    let texts: Vec<String> = effective.iter().map(u16::to_string).collect();
    env.insert("PORTS".to_owned(), texts.join(","));
    for (index, (request, port)) in app.ports().iter().zip(&effective).enumerate() {
        env.insert(format!("PORT{index}"), port.to_string());
        let requested = match request.container_port.unwrap_or(request.service_port) {
            0 => *port,
            requested => requested,
        };
        env.insert(format!("PORT_{requested}"), port.to_string());
        if let Some(name) = request.name {
            // Marathon only upper-cases, which a shell cannot read when there is a dash: give both.
            env.insert(format!("PORT_{}", name.to_ascii_uppercase()), port.to_string());
            env.insert(format!("PORT_{}", as_variable_name(name)), port.to_string());
        }
    }
}
