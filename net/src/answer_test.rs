use crate::{Transport, Verdict, ZoneHandle, respond};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::Record as WireRecord;
use orrery_core::dns::{Owner, Record, RecordData, Service, master_records};
use orrery_core::{AppId, InstanceId, TaskId};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use uuid::Uuid;

const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const AXFR: u16 = 252;
const ANY: u16 = 255;

fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet
}

fn with_edns(mut packet: Vec<u8>, udp_bytes: u16, version: u8) -> Vec<u8> {
    packet[11] += 1;
    packet.extend_from_slice(&[0, 0, 41]);
    packet.extend_from_slice(&udp_bytes.to_be_bytes());
    packet.extend_from_slice(&[0, version, 0x80, 0, 0, 0]);
    packet
}

fn record(name: &str, data: RecordData) -> Record {
    Record { name: name.into(), data }
}

fn task(number: u32) -> Owner {
    let instance = InstanceId::new(&AppId::parse("/web").unwrap(), Uuid::from_u128(u128::from(number)));
    Owner::Task { id: TaskId::new(&instance, 1), framework: "marathon".into() }
}

/// `web`, with the given number of instances, and the masters.
fn zone(instances: u32) -> ZoneHandle {
    let zone = ZoneHandle::new();
    for number in 0..instances {
        let canonical = format!("web-{number:05}-s1.marathon.mesos");
        let address = RecordData::A(Ipv4Addr::from(0x0a00_0000 + number));
        zone.apply(
            task(number),
            vec![
                record("web.marathon.mesos", address.clone()),
                record(&canonical, address),
                record("_web._tcp.marathon.mesos", RecordData::Srv(Service { target: canonical.as_str().into(), port: 31_000 })),
            ],
        );
    }
    let masters = ["10.9.0.1:8080".parse().unwrap(), "[fd00::1]:8080".parse().unwrap()];
    zone.apply(Owner::Masters, master_records(&masters, Some(masters[0])));
    zone
}

fn ask_with(zone: &ZoneHandle, packet: &[u8], transport: Transport, entropy: u64) -> (Verdict, Message) {
    let mut out = Vec::new();
    let verdict = respond(packet, transport, &zone.snapshot(), false, entropy, &mut out);
    (verdict, Message::from_vec(&out).unwrap())
}

fn ask(zone: &ZoneHandle, name: &str, kind: u16) -> Message {
    let (verdict, message) = ask_with(zone, &query(name, kind), Transport::Udp, 1);
    assert_eq!(verdict, Verdict::Reply);
    assert_eq!((message.metadata.id, message.metadata.message_type), (0xabcd, MessageType::Response));
    message
}

fn texts(records: &[WireRecord]) -> Vec<String> {
    let mut texts: Vec<String> = records.iter().map(ToString::to_string).collect();
    texts.sort();
    texts
}

#[test]
fn addresses_and_services() {
    let zone = zone(2);
    let reply = ask(&zone, "WEB.Marathon.MESOS", A);
    assert!(reply.metadata.authoritative && !reply.metadata.recursion_available && reply.metadata.recursion_desired);
    assert_eq!(texts(&reply.answers), ["WEB.Marathon.MESOS. 5 IN A 10.0.0.0", "WEB.Marathon.MESOS. 5 IN A 10.0.0.1"]);
    assert!(reply.authorities.is_empty() && reply.additionals.is_empty());

    let reply = ask(&zone, "_web._tcp.marathon.mesos", SRV);
    assert_eq!(
        texts(&reply.answers),
        [
            "_web._tcp.marathon.mesos. 5 IN SRV 0 1 31000 web-00000-s1.marathon.mesos.",
            "_web._tcp.marathon.mesos. 5 IN SRV 0 1 31000 web-00001-s1.marathon.mesos.",
        ]
    );
    assert_eq!(
        texts(&reply.additionals),
        ["web-00000-s1.marathon.mesos. 5 IN A 10.0.0.0", "web-00001-s1.marathon.mesos. 5 IN A 10.0.0.1"]
    );

    let reply = ask(&zone, "master.mesos", AAAA);
    assert_eq!(texts(&reply.answers), ["master.mesos. 5 IN AAAA fd00::1"]);
    let reply = ask(&zone, "leader.mesos.thisdcos.directory", A);
    assert_eq!(texts(&reply.answers), ["leader.mesos.thisdcos.directory. 5 IN A 10.9.0.1"]);
}

#[test]
fn what_is_not_there() {
    let zone = zone(1);
    for (name, kind, code) in [
        ("nothing.marathon.mesos", A, ResponseCode::NXDomain),
        ("x.web.marathon.mesos", A, ResponseCode::NXDomain),
        ("nothing.thisdcos.directory", A, ResponseCode::NXDomain),
        ("mesos.thisdcos.directory", A, ResponseCode::NXDomain),
        ("web.marathon.mesos", AAAA, ResponseCode::NoError),
        ("web.marathon.mesos", TXT, ResponseCode::NoError),
        ("_web._tcp.marathon.mesos", A, ResponseCode::NoError),
        // Nothing there, but something below.
        ("_tcp.marathon.mesos", A, ResponseCode::NoError),
        ("dcos.thisdcos.directory", A, ResponseCode::NoError),
        ("mesos", A, ResponseCode::NoError),
        ("thisdcos.directory", SRV, ResponseCode::NoError),
    ] {
        let reply = ask(&zone, name, kind);
        assert_eq!(reply.metadata.response_code, code, "{name}");
        assert!(reply.metadata.authoritative && reply.answers.is_empty(), "{name}");
        let apex = if name.ends_with("mesos") { "mesos." } else { "thisdcos.directory." };
        let soa = format!("{apex} 1 IN SOA ns1.mesos. root.ns1.mesos. 2 60 600 86400 1");
        assert_eq!(texts(&reply.authorities), [soa], "{name}");
    }
    for (name, kind) in
        [("example.com", A), ("xmesos", A), ("", NS), ("mesos.example", A), ("mesos", AXFR), ("web.marathon.mesos", 251)]
    {
        let reply = ask(&zone, name, kind);
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused, "{name}");
        assert!(!reply.metadata.authoritative && reply.answers.is_empty());
    }
}

#[test]
fn the_tops_of_the_zones() {
    let zone = zone(0);
    let soa = "mesos. 5 IN SOA ns1.mesos. root.ns1.mesos. 1 60 600 86400 1";
    assert_eq!(texts(&ask(&zone, "mesos", SOA).answers), [soa]);
    assert_eq!(texts(&ask(&zone, "mesos", ANY).answers), [soa]);
    let reply = ask(&zone, "thisdcos.directory", NS);
    assert_eq!(texts(&reply.answers), ["thisdcos.directory. 5 IN NS ns1.mesos."]);
    assert_eq!(texts(&reply.additionals), ["ns1.mesos. 5 IN A 10.9.0.1", "ns1.mesos. 5 IN AAAA fd00::1"]);
    // Of several types one is enough.
    assert_eq!(texts(&ask(&zone, "master.mesos", ANY).answers), ["master.mesos. 5 IN A 10.9.0.1"]);
}

#[test]
fn forwarding_is_for_other_names_and_clients_that_want_it() {
    let zone = zone(1).snapshot();
    let mut out = Vec::new();
    let mut decide = |packet: &[u8]| respond(packet, Transport::Udp, &zone, true, 0, &mut out);
    assert_eq!(decide(&query("example.com", A)), Verdict::Forward);
    assert_eq!(decide(&query("1.0.0.10.in-addr.arpa", 12)), Verdict::Forward);
    assert_eq!(decide(&query("nothing.mesos", A)), Verdict::Reply);
    assert_eq!(decide(&query("example.com", AXFR)), Verdict::Reply);
    let mut iterative = query("example.com", A);
    iterative[2] = 0;
    assert_eq!(decide(&iterative), Verdict::Reply);
}

#[test]
fn long_answers_are_truncated_over_udp_and_whole_over_tcp() {
    let zone = zone(300);
    for (packet, limit) in [
        (query("web.marathon.mesos", A), 512),
        (with_edns(query("web.marathon.mesos", A), 100, 0), 512),
        (with_edns(query("web.marathon.mesos", A), 800, 0), 800),
        (with_edns(query("_web._tcp.marathon.mesos", SRV), 4096, 0), 1232),
    ] {
        let mut out = Vec::new();
        respond(&packet, Transport::Udp, &zone.snapshot(), false, 7, &mut out);
        assert!(out.len() <= limit && out.len() > limit - 60, "{} of {limit}", out.len());
        let reply = Message::from_vec(&out).unwrap();
        assert!(reply.metadata.truncation);
        assert_eq!(reply.edns.is_some(), limit != 512 || packet[11] == 1);
        let (_, reply) = ask_with(&zone, &packet, Transport::Tcp, 7);
        assert!(!reply.metadata.truncation);
        assert_eq!(texts(&reply.answers).into_iter().collect::<BTreeSet<_>>().len(), 300);
    }
    // Missing additional records do not make an answer incomplete.
    let (_, reply) = ask_with(&self::zone(8), &query("_web._tcp.marathon.mesos", SRV), Transport::Udp, 7);
    assert_eq!(reply.answers.len(), 8);
    assert!(reply.additionals.len() < 8 && !reply.metadata.truncation);
    // What TCP cannot carry either comes in part.
    let mut out = Vec::new();
    let huge = self::zone(3000);
    respond(&query("_web._tcp.marathon.mesos", SRV), Transport::Tcp, &huge.snapshot(), false, 7, &mut out);
    assert!(out.len() <= 65_535);
    assert!(Message::from_vec(&out).unwrap().answers.len() > 1000);
}

#[test]
fn edns() {
    let zone = zone(1);
    let (_, reply) = ask_with(&zone, &with_edns(query("web.marathon.mesos", A), 4096, 0), Transport::Udp, 0);
    let edns = reply.edns.unwrap();
    assert_eq!((edns.max_payload(), edns.version(), edns.flags().dnssec_ok), (1232, 0, true));
    let (_, reply) = ask_with(&zone, &with_edns(query("web.marathon.mesos", A), 4096, 3), Transport::Udp, 0);
    assert_eq!(u16::from(reply.metadata.response_code), 16, "BADVERS");
    assert!(reply.answers.is_empty());
    let twice = with_edns(with_edns(query("web.marathon.mesos", A), 4096, 0), 4096, 0);
    assert_eq!(ask_with(&zone, &twice, Transport::Udp, 0).1.metadata.response_code, ResponseCode::FormErr);
}

#[test]
fn what_is_no_query() {
    let zone = zone(1);
    let whole = query("web.marathon.mesos", A);
    let mut out = Vec::new();
    for length in 0..whole.len() {
        let verdict = respond(&whole[..length], Transport::Udp, &zone.snapshot(), true, 0, &mut out);
        assert_eq!(verdict, if length < 12 { Verdict::Drop } else { Verdict::Malformed }, "{length}");
        assert_eq!(out.len(), if length < 12 { 0 } else { 12 });
    }
    let changed = |at: usize, to: u8| {
        let mut packet = whole.clone();
        packet[at] = to;
        packet
    };
    let code = |packet: &[u8]| ask_with(&zone, packet, Transport::Udp, 0).1.metadata.response_code;
    assert_eq!(respond(&changed(2, 0x81), Transport::Udp, &zone.snapshot(), true, 0, &mut out), Verdict::Drop, "a response");
    assert_eq!(code(&changed(5, 0)), ResponseCode::FormErr, "no question");
    assert_eq!(code(&changed(5, 2)), ResponseCode::FormErr, "two questions");
    assert_eq!(code(&changed(12, 0xc0)), ResponseCode::FormErr, "a pointer to itself");
    assert_eq!(code(&changed(11, 200)), ResponseCode::FormErr, "records that are not there");
    assert_eq!(code(&changed(2, 5 << 3)), ResponseCode::Refused, "an update");
    assert_eq!(code(&changed(2, 4 << 3)), ResponseCode::Refused, "a notification");
    assert_eq!(code(&changed(2, 2 << 3)), ResponseCode::NotImp, "a status request");
    assert_eq!(code(&changed(whole.len() - 1, 3)), ResponseCode::Refused, "class CHAOS");
    // A dot within a label is not a dot between labels.
    assert_eq!(code(&changed(15, b'.')), ResponseCode::NXDomain);
    assert_eq!(code(&changed(14, 0xff)), ResponseCode::NXDomain);
}

#[test]
fn the_longest_names() {
    let zone = zone(1);
    let longest = format!("{}.{}.{}.{}.mesos", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(55));
    assert_eq!(longest.len(), 253);
    assert_eq!(ask(&zone, &longest, A).metadata.response_code, ResponseCode::NXDomain);
    let (verdict, _) = ask_with(&zone, &query(&format!("x{longest}").replacen("d.mesos", ".mesos", 1), A), Transport::Udp, 0);
    assert_eq!(verdict, Verdict::Malformed, "a label of 64 bytes");
    let (verdict, _) = ask_with(&zone, &query(&format!("x.{longest}"), A), Transport::Udp, 0);
    assert_eq!(verdict, Verdict::Malformed, "a name of 255 characters");
}

proptest! {
    #[test]
    fn any_packet_is_survived(packet in prop::collection::vec(any::<u8>(), 0..300), entropy in any::<u64>(), forwards in any::<bool>()) {
        let zone = zone(3).snapshot();
        let mut out = Vec::new();
        respond(&packet, Transport::Udp, &zone, forwards, entropy, &mut out);
        prop_assert!(out.len() <= 1232);
    }

    #[test]
    fn any_damaged_query_is_survived(
        name in prop::sample::select(vec!["web.marathon.mesos", "_web._tcp.marathon.mesos", "mesos", "example.com", "leader.mesos"]),
        kind in prop::sample::select(vec![A, NS, SOA, AAAA, SRV, ANY]),
        edns in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        entropy in any::<u64>(),
        is_tcp in any::<bool>(),
    ) {
        let mut packet = query(name, kind);
        if edns {
            packet = with_edns(packet, 1232, 0);
        }
        for (at, byte) in &damage {
            let at = at.index(packet.len());
            packet[at] = *byte;
        }
        let transport = if is_tcp { Transport::Tcp } else { Transport::Udp };
        let mut out = Vec::new();
        let verdict = respond(&packet, transport, &zone(40).snapshot(), false, entropy, &mut out);
        if verdict == Verdict::Drop {
            prop_assert!(out.is_empty());
        } else {
            let reply = Message::from_vec(&out);
            prop_assert!(reply.is_ok(), "{:?}", reply);
            prop_assert_eq!(&out[..2], &packet[..2]);
        }
    }
}
