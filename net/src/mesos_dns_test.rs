use crate::mesos_dns::{axfr, config, enumerate, hosts, services, version};
use orrery_core::dns::{Owner, Record, RecordData, Service, Zone, master_records};
use orrery_core::{AppId, InstanceId, TaskId};
use serde_json::json;
use uuid::Uuid;

fn zone() -> (Zone, TaskId) {
    let mut zone = Zone::new();
    zone.apply(Owner::Masters, master_records(&["10.9.0.1:80".parse().unwrap()], Some("10.9.0.1:80".parse().unwrap())));
    let id = TaskId::new(&InstanceId::new(&AppId::parse("/shop/web").unwrap(), Uuid::from_u128(1)), 2);
    let record = |name: &str, data| Record { name: name.into(), data };
    zone.apply(
        Owner::Task { id: id.clone(), framework: "marathon".into() },
        vec![
            record("web-shop.marathon.mesos", RecordData::A([10, 0, 0, 7].into())),
            record("web-shop-h-s1.marathon.mesos", RecordData::A([10, 0, 0, 7].into())),
            record(
                "_web-shop._tcp.marathon.mesos",
                RecordData::Srv(Service { target: "web-shop-h-s1.marathon.mesos".into(), port: 31_000 }),
            ),
            record("web-shop.marathon.autoip.dcos.thisdcos.directory", RecordData::A([10, 0, 0, 7].into())),
        ],
    );
    (zone, id)
}

#[test]
fn hosts_and_services() {
    let (zone, _) = zone();
    for name in ["web-shop.marathon.mesos", "Web-Shop.marathon.mesos.", "web-shop.marathon.mesos.thisdcos.directory"] {
        assert_eq!(hosts(&zone, name), json!([{ "host": "web-shop.marathon.mesos.", "ip": "10.0.0.7" }]), "{name}");
    }
    assert_eq!(hosts(&zone, "leader.mesos"), json!([{ "host": "leader.mesos.", "ip": "10.9.0.1" }]));
    for name in ["nothing.mesos", "", ".", "_web-shop._tcp.marathon.mesos", "marathon", "thisdcos.directory"] {
        assert_eq!(hosts(&zone, name), json!([{ "host": "", "ip": "" }]), "{name}");
    }
    assert_eq!(
        services(&zone, "_web-shop._TCP.marathon.mesos."),
        json!([{
            "service": "_web-shop._tcp.marathon.mesos.",
            "host": "web-shop-h-s1.marathon.mesos.",
            "ip": "10.0.0.7",
            "port": "31000",
        }])
    );
    for name in ["_nothing._tcp.marathon.mesos", "leader.mesos", ""] {
        assert_eq!(services(&zone, name), json!([{ "service": "", "host": "", "ip": "", "port": "" }]), "{name}");
    }
}

#[test]
fn everything_at_once() {
    let (zone, id) = zone();
    assert_eq!(
        enumerate(&zone),
        json!({ "frameworks": [{ "name": "marathon", "tasks": [{ "name": "web.shop", "id": id, "records": [
            { "name": "_web-shop._tcp.marathon.mesos.", "host": "web-shop-h-s1.marathon.mesos.:31000", "rtype": "SRV" },
            { "name": "web-shop-h-s1.marathon.mesos.", "host": "10.0.0.7", "rtype": "A" },
            { "name": "web-shop.marathon.mesos.", "host": "10.0.0.7", "rtype": "A" },
        ] }] }] })
    );
    let axfr = axfr(&zone);
    assert_eq!(axfr["Serial"], 2);
    assert_eq!((&axfr["Domain"], &axfr["TTL"]), (&json!("mesos"), &json!(5)));
    assert_eq!(axfr["Records"]["As"]["web-shop.marathon.mesos."], json!(["10.0.0.7"]));
    assert_eq!(axfr["Records"]["SRVs"]["_leader._tcp.mesos."], json!(["leader.mesos.:80"]));
    assert_eq!(axfr["Records"]["AAAAs"], json!({}));
    assert!(!axfr.to_string().contains("thisdcos"));
}

#[test]
fn about_the_server() {
    assert_eq!(version()["Service"], "Mesos-DNS");
    let (zone, _) = zone();
    let config = config("127.0.0.1:61053".parse().unwrap(), &["9.9.9.9:53".parse().unwrap()], &zone);
    assert_eq!((&config["Port"], &config["Resolvers"], &config["Domain"]), (&json!(61053), &json!(["9.9.9.9"]), &json!("mesos")));
}
