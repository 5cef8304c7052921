//! Parameters of a Docker container, as `docker run --key=value` takes them.

use bollard::models::{ContainerCreateBody, DeviceMapping, HostConfig, HostConfigLogConfig, PortBinding, ResourcesUlimits};
use orrery_core::app::Parameter;
use std::collections::HashMap;

/// Applies all parameters; all faults at once.
pub(super) fn apply(parameters: &[Parameter], body: &mut ContainerCreateBody, host: &mut HostConfig) -> Result<(), String> {
    let mut faults = Vec::new();
    for parameter in parameters {
        let key = parameter.key.trim_start_matches('-');
        if let Err(why) = apply_one(key, &parameter.value, body, host) {
            faults.push(format!("docker parameter \"{}={}\": {why}", parameter.key, parameter.value));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn pair<'a>(value: &'a str, what: &str) -> Result<(&'a str, &'a str), String> {
    value.split_once('=').ok_or_else(|| format!("write it as {what}"))
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("it must be true or false".into()),
    }
}

fn number(value: &str) -> Result<i64, String> {
    value.parse().map_err(|_| "it must be a whole number".to_owned())
}

/// Bytes with an optional unit b, k, m or g, as Docker writes sizes; -1 = unlimited.
fn bytes(value: &str) -> Result<i64, String> {
    let text = value.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 10),
        Some(b'm') => (&text[..text.len() - 1], 20),
        Some(b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: i64 = digits.parse().map_err(|_| "it must be a size such as 64m".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "it is too large".to_owned())
}

fn push<T>(list: &mut Option<Vec<T>>, item: T) {
    list.get_or_insert_with(Vec::new).push(item);
}

fn insert(map: &mut Option<HashMap<String, String>>, key: &str, value: &str) {
    map.get_or_insert_with(HashMap::new).insert(key.to_owned(), value.to_owned());
}

/// Splits a command line into words, honouring simple quotes.
fn words(value: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut started) = (Vec::new(), String::new(), None, false);
    for letter in value.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => (quote, started) = (Some(letter), true),
            (None, _) if letter.is_whitespace() => {
                if started || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            _ => word.push(letter),
        }
    }
    if started || !word.is_empty() {
        words.push(word);
    }
    words
}

fn apply_one(key: &str, value: &str, body: &mut ContainerCreateBody, host: &mut HostConfig) -> Result<(), String> {
    let text = || Some(value.to_owned());
    match key {
        "label" | "l" => {
            let (name, content) = value.split_once('=').unwrap_or((value, ""));
            insert(&mut body.labels, name, content);
        }
        "env" | "e" => {
            pair(value, "NAME=VALUE")?;
            push(&mut body.env, value.to_owned());
        }
        "user" | "u" => body.user = text(),
        "hostname" | "h" => body.hostname = text(),
        "domainname" => body.domainname = text(),
        "workdir" | "w" => body.working_dir = text(),
        "entrypoint" => body.entrypoint = Some(words(value)),
        "stop-signal" => body.stop_signal = text(),
        "expose" => push(&mut body.exposed_ports, if value.contains('/') { value.to_owned() } else { format!("{value}/tcp") }),
        "tty" | "t" => body.tty = Some(flag(value)?),
        "interactive" | "i" => body.open_stdin = Some(flag(value)?),
        "volume" | "v" => push(&mut host.binds, value.to_owned()),
        "volumes-from" => push(&mut host.volumes_from, value.to_owned()),
        "volume-driver" => host.volume_driver = text(),
        "pid" => host.pid_mode = text(),
        "ipc" => host.ipc_mode = text(),
        "uts" => host.uts_mode = text(),
        "userns" => host.userns_mode = text(),
        "cgroup-parent" => host.cgroup_parent = text(),
        "runtime" => host.runtime = text(),
        "network" | "net" => host.network_mode = text(),
        "privileged" => host.privileged = Some(flag(value)?),
        "read-only" => host.readonly_rootfs = Some(flag(value)?),
        "init" => host.init = Some(flag(value)?),
        "publish-all" | "P" => host.publish_all_ports = Some(flag(value)?),
        "oom-kill-disable" => host.oom_kill_disable = Some(flag(value)?),
        "cap-add" => push(&mut host.cap_add, value.to_owned()),
        "cap-drop" => push(&mut host.cap_drop, value.to_owned()),
        "group-add" => push(&mut host.group_add, value.to_owned()),
        "security-opt" => security_option(value, host),
        "add-host" => push(&mut host.extra_hosts, value.to_owned()),
        "dns" => push(&mut host.dns, value.to_owned()),
        "dns-search" => push(&mut host.dns_search, value.to_owned()),
        "dns-opt" | "dns-option" => push(&mut host.dns_options, value.to_owned()),
        "link" => push(&mut host.links, value.to_owned()),
        "sysctl" => {
            let (name, content) = pair(value, "name=value")?;
            insert(&mut host.sysctls, name, content);
        }
        "storage-opt" => {
            let (name, content) = pair(value, "name=value")?;
            insert(&mut host.storage_opt, name, content);
        }
        "tmpfs" => {
            let (path, options) = value.split_once(':').unwrap_or((value, ""));
            insert(&mut host.tmpfs, path, options);
        }
        "log-driver" => host.log_config.get_or_insert_with(HostConfigLogConfig::default).typ = text(),
        "log-opt" => {
            let (name, content) = pair(value, "name=value")?;
            insert(&mut host.log_config.get_or_insert_with(HostConfigLogConfig::default).config, name, content);
        }
        "ulimit" => ulimit(value, host)?,
        "device" => device(value, host),
        "publish" | "p" => publish(value, body, host)?,
        "shm-size" => host.shm_size = Some(bytes(value)?),
        "memory" | "m" => host.memory = Some(bytes(value)?),
        "memory-swap" => host.memory_swap = Some(bytes(value)?),
        "memory-reservation" => host.memory_reservation = Some(bytes(value)?),
        "memory-swappiness" => host.memory_swappiness = Some(number(value)?),
        "oom-score-adj" => host.oom_score_adj = Some(number(value)?),
        "pids-limit" => host.pids_limit = Some(number(value)?),
        "cpu-shares" | "c" => host.cpu_shares = Some(number(value)?),
        "cpu-period" => host.cpu_period = Some(number(value)?),
        "cpu-quota" => host.cpu_quota = Some(number(value)?),
        "cpuset-cpus" => host.cpuset_cpus = text(),
        "cpuset-mems" => host.cpuset_mems = text(),
        // The agent names containers, removes them and never lets the engine restart them.
        "rm" | "name" | "detach" | "d" | "restart" => {}
        _ => return Err("this agent does not know it; remove it or use one that docker run knows".into()),
    }
    Ok(())
}

fn security_option(value: &str, host: &mut HostConfig) {
    let options = host.security_opt.get_or_insert_with(Vec::new);
    // The user's word replaces our default for the same option.
    let name = value.split(['=', ':']).next().unwrap_or(value);
    options.retain(|option| option.split(['=', ':']).next() != Some(name));
    options.push(value.to_owned());
}

fn ulimit(value: &str, host: &mut HostConfig) -> Result<(), String> {
    let (name, limits) = pair(value, "name=soft[:hard]")?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let limit = ResourcesUlimits { name: Some(name.to_owned()), soft: Some(number(soft)?), hard: Some(number(hard)?) };
    push(&mut host.ulimits, limit);
    Ok(())
}

fn device(value: &str, host: &mut HostConfig) {
    let mut parts = value.split(':');
    let outside = parts.next().unwrap_or(value).to_owned();
    let inside = parts.next().map_or_else(|| outside.clone(), str::to_owned);
    let permissions = parts.next().unwrap_or("rwm").to_owned();
    let mapping =
        DeviceMapping { path_on_host: Some(outside), path_in_container: Some(inside), cgroup_permissions: Some(permissions) };
    push(&mut host.devices, mapping);
}

/// `[[ip:]host port:]container port[/protocol]`.
fn publish(value: &str, body: &mut ContainerCreateBody, host: &mut HostConfig) -> Result<(), String> {
    let (ports, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
    let mut parts = ports.rsplitn(3, ':');
    let port =
        |text: &str| text.parse::<u16>().map_err(|_| "write it as [[address:]host port:]container port[/protocol]".to_owned());
    let inside = port(parts.next().unwrap_or(""))?;
    let outside = parts.next().filter(|text| !text.is_empty()).map(port).transpose()?;
    let address = parts.next().unwrap_or("0.0.0.0").to_owned();
    bind(body, host, inside, protocol, outside, &address);
    Ok(())
}

/// Publishes one port.
pub(super) fn bind(
    body: &mut ContainerCreateBody,
    host: &mut HostConfig,
    inside: u16,
    protocol: &str,
    outside: Option<u16>,
    address: &str,
) {
    let key = format!("{inside}/{protocol}");
    push(&mut body.exposed_ports, key.clone());
    let binding = PortBinding {
        host_ip: Some(address.to_owned()),
        host_port: Some(outside.map_or_else(String::new, |port| port.to_string())),
    };
    let bindings = host.port_bindings.get_or_insert_with(HashMap::new);
    bindings.entry(key).or_default().get_or_insert_with(Vec::new).push(binding);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(parameters: &[(&str, &str)]) -> Result<(ContainerCreateBody, HostConfig), String> {
        let parameters: Vec<Parameter> =
            parameters.iter().map(|(key, value)| Parameter { key: (*key).into(), value: (*value).into() }).collect();
        let (mut body, mut host) = (ContainerCreateBody::default(), HostConfig::default());
        host.security_opt = Some(vec!["no-new-privileges:true".into()]);
        apply(&parameters, &mut body, &mut host).map(|()| (body, host))
    }

    #[test]
    fn known_parameters() {
        let (body, host) = run(&[
            ("label", "a=b"),
            ("env", "X=1=2"),
            ("--entrypoint", "/bin/sh -c 'echo hi'"),
            ("ulimit", "nofile=10:20"),
            ("shm-size", "64m"),
            ("publish", "127.0.0.1:8080:80"),
            ("p", "53/udp"),
            ("device", "/dev/null:/dev/x"),
            ("log-opt", "max-size=1m"),
            ("security-opt", "no-new-privileges=false"),
            ("memory-swap", "-1"),
            ("rm", "true"),
            ("tmpfs", "/run:size=1m"),
        ])
        .unwrap();
        assert_eq!(body.labels.unwrap()["a"], "b");
        assert_eq!(body.env.unwrap(), ["X=1=2"]);
        assert_eq!(body.entrypoint.unwrap(), ["/bin/sh", "-c", "echo hi"]);
        assert_eq!(host.shm_size, Some(64 << 20));
        assert_eq!(host.memory_swap, Some(-1));
        let ports = host.port_bindings.unwrap();
        let binding = &ports["80/tcp"].as_ref().unwrap()[0];
        assert_eq!((binding.host_ip.as_deref(), binding.host_port.as_deref()), (Some("127.0.0.1"), Some("8080")));
        assert_eq!(ports["53/udp"].as_ref().unwrap()[0].host_port.as_deref(), Some(""));
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges=false"]);
        assert_eq!(host.tmpfs.unwrap()["/run"], "size=1m");
    }

    #[test]
    fn all_faults_are_named() {
        let error = run(&[("no-such", "1"), ("ulimit", "x"), ("shm-size", "9999999999g"), ("env", "X")]).unwrap_err();
        for text in ["no-such=1", "ulimit=x", "shm-size=9999999999g", "env=X"] {
            assert!(error.contains(text), "{error}");
        }
    }
}
