//! Reading of `container`, with the legacy networking inside `docker`.

use super::network::read_port_mapping;
use crate::json::{Cursor, Object, Reader};
use orrery_core::app::{Container, ContainerKind, DockerOptions, Parameter, PersistentVolume, PortMapping, Volume, VolumeMode};
use orrery_core::{Fault, Scalar};
use serde_json::Value;

/// Longest name of a file or directory on Linux, bytes.
const FILE_NAME_BYTES_MAX: usize = 255;

/// Files that every sandbox has, where the output of the task goes.
const LOG_FILES: [&str; 2] = ["stdout", "stderr"];

/// A container as written, before its networking is normalised.
pub(super) struct RawContainer<'a> {
    pub(super) container: Container,
    /// `portMappings`, wherever written; `None` = not given.
    pub(super) port_mappings: Option<Vec<PortMapping>>,
    /// They were written inside `docker`.
    pub(super) has_legacy_mappings: bool,
    /// Legacy `docker.network`.
    pub(super) docker_network: Option<Cursor<'a>>,
}

pub(super) fn read_container<'a>(reader: &mut Reader, at: &Cursor<'a>) -> Option<RawContainer<'a>> {
    let object = reader.object(at)?;
    let docker_object = object.get("docker").and_then(|cursor| reader.object(&cursor));
    let kinds = [("MESOS", ContainerKind::Mesos), ("DOCKER", ContainerKind::Docker)];
    let kind = match object.get("type") {
        Some(cursor) => reader.word(&cursor, &kinds).unwrap_or_default(),
        None if docker_object.is_some() => ContainerKind::Docker,
        None => ContainerKind::Mesos,
    };
    let docker = docker_object.as_ref().map(|docker| read_docker(reader, docker));
    let volumes = object.get("volumes").and_then(|cursor| reader.list(&cursor, read_volume)).unwrap_or_default();
    let legacy = docker_object.as_ref().and_then(|docker| docker.get("portMappings"));
    let current = object.get("portMappings");
    if let (Some(_), Some(legacy)) = (&current, &legacy) {
        reader.fault(legacy.path.clone(), "is the old form of container.portMappings; give only one of the two");
    }
    let has_legacy_mappings = current.is_none() && legacy.is_some();
    let port_mappings = current.or(legacy).and_then(|cursor| reader.list(&cursor, read_port_mapping));
    // A `docker` block that only carried the network says nothing once that has been taken out.
    let docker = docker.filter(|docker| kind == ContainerKind::Docker || *docker != DockerOptions::default());
    Some(RawContainer {
        container: Container {
            kind,
            docker,
            volumes,
            port_mappings: Vec::new(),
            linux_info: object.get("linuxInfo").map(|cursor| cursor.value.clone()),
        },
        port_mappings,
        has_legacy_mappings,
        docker_network: docker_object.and_then(|docker| docker.get("network")),
    })
}

fn read_docker(reader: &mut Reader, object: &Object<'_>) -> DockerOptions {
    if object.get("credential").is_some() {
        reader.fault(format!("{}/credential", object.path), "is no longer supported; use pullConfig");
    }
    DockerOptions {
        image: object.get("image").and_then(|cursor| reader.text(&cursor)).unwrap_or_default(),
        force_pull_image: object.get("forcePullImage").and_then(|cursor| reader.boolean(&cursor)).unwrap_or(false),
        privileged: object.get("privileged").and_then(|cursor| reader.boolean(&cursor)).unwrap_or(false),
        parameters: object.get("parameters").and_then(|cursor| reader.list(&cursor, read_parameter)).unwrap_or_default(),
        pull_config: object.get("pullConfig").map(|cursor| cursor.value.clone()),
    }
}

fn read_parameter(reader: &mut Reader, at: &Cursor<'_>) -> Option<Parameter> {
    let object = reader.object(at)?;
    let key = required_text(reader, &object, "key");
    let value = match object.get("value") {
        Some(cursor) => reader.plain_text(&cursor),
        None => Some(String::new()),
    };
    Some(Parameter { key: key?, value: value? })
}

pub(super) fn required_text(reader: &mut Reader, object: &Object<'_>, key: &str) -> Option<String> {
    match object.get(key) {
        None => {
            reader.fault(format!("{}/{key}", object.path), "is missing");
            None
        }
        Some(cursor) => {
            let text = reader.text(&cursor)?;
            if text.is_empty() {
                reader.fault(cursor.path, "must not be empty");
                return None;
            }
            Some(text)
        }
    }
}

fn read_volume(reader: &mut Reader, at: &Cursor<'_>) -> Option<Volume> {
    let object = reader.object(at)?;
    let modes = [("RW", VolumeMode::ReadWrite), ("RO", VolumeMode::ReadOnly)];
    let volume = Volume {
        container_path: required_text(reader, &object, "containerPath").unwrap_or_default(),
        host_path: object.get("hostPath").and_then(|cursor| reader.text(&cursor)),
        mode: object.get("mode").and_then(|cursor| reader.word(&cursor, &modes)),
        persistent: object.get("persistent").and_then(|cursor| read_persistent(reader, &cursor)),
        external: object.get("external").and_then(|cursor| {
            let object = reader.object(&cursor)?;
            required_text(reader, &object, "provider");
            Some(cursor.value.clone())
        }),
        secret: object.get("secret").and_then(|cursor| reader.text(&cursor)),
    };
    let sources =
        [volume.host_path.is_some(), object.get("persistent").is_some(), volume.external.is_some(), volume.secret.is_some()];
    if sources.into_iter().filter(|given| *given).count() > 1 {
        reader.fault(at.path.clone(), "must have only one of hostPath, persistent, external and secret");
    }
    let host_path = volume.host_path.iter().map(|path| ("hostPath", path));
    for (name, path) in std::iter::once(("containerPath", &volume.container_path)).chain(host_path) {
        if path.contains('\0') {
            let message = "holds a null byte, which no path can";
            reader.faults.push(Fault::new(format!("{}/{name}", at.path), message).with_value(path.escape_debug()));
        }
    }
    if volume.persistent.is_some() {
        if let Some(message) = directory_fault(&volume.container_path) {
            let fault = Fault::new(format!("{}/containerPath", at.path), message);
            reader.faults.push(fault.with_value(volume.container_path.escape_debug()));
        }
        if volume.mode == Some(VolumeMode::ReadOnly) {
            reader.fault(format!("{}/mode", at.path), "of a persistent volume must be RW");
        }
    }
    (!volume.container_path.is_empty()).then_some(volume)
}

/// What is wrong with the name of a persistent volume, which is a directory in the sandbox.
fn directory_fault(name: &str) -> Option<String> {
    if name.contains('/') || matches!(name, "." | "..") {
        return Some("of a persistent volume must be a single name without a slash".to_owned());
    }
    if name.len() > FILE_NAME_BYTES_MAX {
        return Some(format!("of a persistent volume must be at most {FILE_NAME_BYTES_MAX} bytes long; it is {}", name.len()));
    }
    // The log itself and what it is rotated to.
    let is_log = LOG_FILES.iter().any(|log| name.strip_prefix(log).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
    is_log.then(|| format!("of a persistent volume must not be that of a log of the task ({})", LOG_FILES.join(", ")))
}

fn read_persistent(reader: &mut Reader, at: &Cursor<'_>) -> Option<PersistentVolume> {
    let object = reader.object(at)?;
    let kinds = [("root", "root"), ("path", "path"), ("mount", "mount")];
    let profile_name = object.get("profileName").and_then(|cursor| reader.text(&cursor));
    let kind = match object.get("type") {
        Some(cursor) => reader.word(&cursor, &kinds).map(str::to_owned),
        None => profile_name.is_some().then(|| "mount".to_owned()),
    };
    let smallest = Scalar::from_thousandths(1);
    let Some(size) = object.get("size") else {
        reader.fault(format!("{}/size", at.path), "is missing; give MiB");
        return None;
    };
    let size = reader.scalar(&size, smallest, None)?;
    let max_size = object.get("maxSize").and_then(|cursor| {
        let largest = reader.scalar(&cursor, smallest, None)?;
        if kind.as_deref() != Some("mount") {
            reader.wrong(&cursor, "is only for volumes of type mount");
        } else if largest <= size {
            reader.wrong(&cursor, format!("must be above size, which is {size}"));
        }
        Some(largest)
    });
    let constraints = object
        .get("constraints")
        .and_then(|cursor| reader.list(&cursor, |reader, entry| reader.list(entry, Reader::plain_text)))
        .unwrap_or_default();
    if !constraints.is_empty() && matches!(kind.as_deref(), None | Some("root")) {
        reader.fault(format!("{}/constraints", at.path), "are only for volumes of type path or mount");
    }
    Some(PersistentVolume { kind, size, max_size, profile_name, constraints })
}

/// The default of `residency` (marathon.md 1.4): no effect, but old clients look for it.
pub(super) fn default_residency() -> Value {
    serde_json::json!({"relaunchEscalationTimeoutSeconds": 3600, "taskLostBehavior": "WAIT_FOREVER"})
}
