use super::*;
use crate::AppId;
use crate::app::{ContainerKind, DockerOptions, HealthCheck, Network, PortDefinition, PortMapping, ResourceLimits, Volume};
use uuid::Uuid;

fn resolved(app: &App, host_ports: &[u16]) -> Result<Assignment, String> {
    let launched = Launched { uuid: Uuid::nil(), incarnation: 3, host_ports: host_ports.to_vec().into() };
    resolve(app, &launched, "node1")
}

fn app() -> App {
    let mut app = App::new(AppId::parse("/shop/web").unwrap());
    app.cmd = Some("serve $PORT0".into());
    app
}

#[test]
fn host_app() {
    let mut app = app();
    app.port_definitions = vec![
        PortDefinition { port: 10_001, name: Some("http-api".into()), ..PortDefinition::default() },
        PortDefinition::default(),
    ];
    app.health_checks = vec![HealthCheck { port_index: Some(1), ..HealthCheck::default() }];
    app.readiness_checks = vec![serde_json::from_str("{}").unwrap()];
    app.labels.insert("a.b".into(), "c".into());
    app.env.insert("PORT1".into(), EnvValue::Literal("mine".into()));
    let assignment = resolved(&app, &[31_005, 31_009]).unwrap();
    assert_eq!(assignment.task_id().to_string(), format!("shop_web.instance-{}._app.3", Uuid::nil()));
    assert_eq!(assignment.kill_grace_ms, DEFAULT_KILL_GRACE_MS);
    let container = &assignment.containers[0];
    assert_eq!(container.executor, ExecutorKind::Process);
    assert_eq!(container.mem_limit, Some(Scalar::from_units(128)));
    assert_eq!((container.health_checks[0].host_port, container.health_checks[0].container_port), (Some(31_009), Some(31_009)));
    assert_eq!(container.readiness_checks[0].1, 31_005);
    let expected = [
        ("HOST", "node1"),
        ("PORT", "31005"),
        ("PORT0", "31005"),
        ("PORT1", "mine"),
        ("PORTS", "31005,31009"),
        ("PORT_10001", "31005"),
        ("PORT_31009", "31009"),
        ("PORT_HTTP-API", "31005"),
        ("PORT_HTTP_API", "31005"),
        ("MARATHON_APP_ID", "/shop/web"),
        ("MARATHON_APP_RESOURCE_MEM", "128.0"),
        ("MARATHON_APP_LABELS", "A_B"),
        ("MARATHON_APP_LABEL_A_B", "c"),
    ];
    for (name, value) in expected {
        assert_eq!(container.env.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!container.env.contains_key("MARATHON_APP_DOCKER_IMAGE"));
}

#[test]
fn bridged_image() {
    let mut app = app();
    app.networks = vec![Network { mode: NetworkMode::Bridge, ..Network::default() }];
    app.cmd = None;
    app.container = Some(Container {
        kind: ContainerKind::Docker,
        docker: Some(DockerOptions { image: "nginx:1".into(), force_pull_image: true, ..DockerOptions::default() }),
        port_mappings: vec![
            PortMapping { container_port: 80, ..PortMapping::default() },
            PortMapping { host_port: Some(0), ..PortMapping::default() },
        ],
        ..Container::default()
    });
    app.resource_limits = Some(ResourceLimits { cpus: Some(Limit::Amount(Scalar::ONE)), mem: Some(Limit::Unlimited) });
    app.health_checks = vec![HealthCheck::default()];
    let assignment = resolved(&app, &[31_000, 31_001]).unwrap();
    let container = &assignment.containers[0];
    assert_eq!(container.executor, ExecutorKind::Docker);
    assert_eq!(container.command, None);
    assert!(container.image.as_ref().unwrap().force_pull);
    assert_eq!((container.cpus_limit, container.mem_limit), (Some(Scalar::ONE), None));
    let ports: Vec<_> = container.ports.iter().map(|port| (port.host_port, port.container_port)).collect();
    assert_eq!(ports, [(Some(31_000), 80), (Some(31_001), 31_001)]);
    assert_eq!(container.env["PORT_80"], "31000");
    assert_eq!(container.env["MARATHON_APP_DOCKER_IMAGE"], "nginx:1");
    assert_eq!((container.health_checks[0].host_port, container.health_checks[0].container_port), (Some(31_000), Some(80)));
}

#[test]
fn container_network_without_host_port() {
    let mut app = app();
    app.networks = vec![Network { mode: NetworkMode::Container, name: Some("dcos".into()), ..Network::default() }];
    app.container = Some(Container {
        port_mappings: vec![PortMapping { container_port: 8080, ..PortMapping::default() }, PortMapping::default()],
        ..Container::default()
    });
    let assignment = resolved(&app, &[0, 0]).unwrap();
    let container = &assignment.containers[0];
    let ports: Vec<_> = container.ports.iter().map(|port| (port.host_port, port.container_port)).collect();
    assert_eq!(ports, [(None, 8080), (None, PRIVATE_PORT_FIRST)]);
    assert_eq!(container.env["PORT0"], "8080");
    assert_eq!(container.network_name.as_deref(), Some("dcos"));
}

#[test]
fn says_what_cannot_be_resolved() {
    let mut nothing = app();
    nothing.cmd = None;
    let mut secret = app();
    secret.env.insert("P".into(), EnvValue::Secret { secret: "pw".into() });
    let mut volume = app();
    let secret_volume = Volume { container_path: "pw".into(), secret: Some("pw".into()), ..Volume::default() };
    volume.container = Some(Container { volumes: vec![secret_volume], ..Container::default() });
    let mut port = app();
    port.port_definitions = vec![PortDefinition::default()];
    let mut readiness = app();
    readiness.readiness_checks = vec![serde_json::from_str("{}").unwrap()];
    for (app, word) in
        [(nothing, "neither"), (secret, "variable P"), (volume, "volume pw"), (port, "port 0"), (readiness, "http-api")]
    {
        let error = resolved(&app, &[]).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}
