use crate::cluster_sample::Sample;
use crate::mesos_dns::{axfr, config, enumerate, hosts, services, version};
use crate::{Snapshot, ZoneHandle};
use orrery_core::TaskId;
use orrery_core::dns::{Owner, master_records, task_hash};
use serde_json::{Value, json};

/// One task of `/shop/web`, and the canonical name of it.
fn zone() -> (Snapshot, TaskId, String) {
    let zone = ZoneHandle::new();
    zone.apply(Owner::Masters, master_records(&["10.9.0.1:80".parse().unwrap()], Some("10.9.0.1:80".parse().unwrap())));
    let mut sample = Sample::of_nodes(8);
    let id = sample.launch("/shop/web", 7, 31_000);
    zone.publish(&sample.cluster, &sample.touched);
    let canonical = format!("web-shop-{}-s7.marathon.mesos.", task_hash(&id.to_string()));
    (zone.snapshot(), id, canonical)
}

#[test]
fn hosts_and_services() {
    let (zone, _, canonical) = zone();
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
            "host": canonical,
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
    let (zone, id, canonical) = zone();
    let all = enumerate(&zone);
    let task = &all["frameworks"][0]["tasks"][0];
    assert_eq!((&all["frameworks"][0]["name"], &task["name"], &task["id"]), (&json!("marathon"), &json!("web.shop"), &json!(id)));
    let records: Vec<Value> = task["records"].as_array().unwrap().clone();
    for record in [
        json!({ "name": "_web-shop._tcp.marathon.mesos.", "host": format!("{canonical}:31000"), "rtype": "SRV" }),
        json!({ "name": canonical, "host": "10.0.0.7", "rtype": "A" }),
        json!({ "name": "web-shop.marathon.mesos.", "host": "10.0.0.7", "rtype": "A" }),
        json!({ "name": "web.shop.marathon.mesos.", "host": "10.0.0.7", "rtype": "A" }),
    ] {
        assert!(records.contains(&record), "{record} is not in {records:#?}");
    }
    assert!(!all.to_string().contains("thisdcos"));
    let nothing = ZoneHandle::new().snapshot();
    assert_eq!(enumerate(&nothing), json!({ "frameworks": [] }));
    let axfr = axfr(&zone);
    assert_eq!(axfr["Serial"], zone.revision());
    assert_eq!((&axfr["Domain"], &axfr["TTL"]), (&json!("mesos"), &json!(5)));
    assert_eq!(axfr["Records"]["As"]["web-shop.marathon.mesos."], json!(["10.0.0.7"]));
    assert_eq!(axfr["Records"]["SRVs"]["_leader._tcp.mesos."], json!(["leader.mesos.:80"]));
    assert_eq!(axfr["Records"]["AAAAs"], json!({}));
    assert!(!axfr.to_string().contains("thisdcos"));
}

#[test]
fn about_the_server() {
    assert_eq!(version()["Service"], "Mesos-DNS");
    let (zone, _, _) = zone();
    let config = config("127.0.0.1:61053".parse().unwrap(), &["9.9.9.9:53".parse().unwrap()], &zone);
    assert_eq!((&config["Port"], &config["Resolvers"], &config["Domain"]), (&json!(61053), &json!(["9.9.9.9"]), &json!("mesos")));
}
