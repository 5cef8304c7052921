//! A running server, asked over real sockets.

use hickory_proto::op::{Message, ResponseCode};
use orrery_core::NodeId;
use orrery_core::dns::{Owner, Record, RecordData, Service};
use orrery_net::{DnsConfig, ServerHandle, ZoneHandle, serve};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Only so that a broken server does not hang the tests.
const PATIENCE: Duration = Duration::from_secs(20);
const A: u16 = 1;

fn localhost() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn start(zone: &ZoneHandle, upstreams: &[SocketAddr]) -> (ServerHandle, DropGuard) {
    start_with(zone, DnsConfig { upstreams: Some(upstreams.to_vec()), ..DnsConfig::new(localhost()) }).await
}

async fn start_with(zone: &ZoneHandle, config: DnsConfig) -> (ServerHandle, DropGuard) {
    let cancel = CancellationToken::new();
    let server = serve(config, zone.clone(), &cancel).await.unwrap();
    (server, cancel.drop_guard())
}

fn owner(number: u32) -> Owner {
    Owner::Node(NodeId::parse(&format!("n-{number}")).unwrap())
}

fn a(name: &str, last: u8) -> Record {
    Record { name: name.into(), data: RecordData::A(Ipv4Addr::new(10, 0, 0, last)) }
}

fn srv(name: &str, target: &str, port: u16) -> Record {
    Record { name: name.into(), data: RecordData::Srv(Service { target: target.into(), port }) }
}

fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut packet = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet
}

async fn ask_udp(server: SocketAddr, packet: &[u8]) -> Message {
    let socket = UdpSocket::bind(localhost()).await.unwrap();
    socket.send_to(packet, server).await.unwrap();
    let mut reply = vec![0; 65_535];
    let (length, from) = timeout(PATIENCE, socket.recv_from(&mut reply)).await.unwrap().unwrap();
    assert_eq!(from, server);
    Message::from_vec(&reply[..length]).unwrap()
}

async fn ask_tcp(stream: &mut TcpStream, packet: &[u8]) -> Message {
    let length = (packet.len() as u16).to_be_bytes();
    stream.write_all(&[&length[..], packet].concat()).await.unwrap();
    let length = timeout(PATIENCE, stream.read_u16()).await.unwrap().unwrap();
    let mut reply = vec![0; usize::from(length)];
    timeout(PATIENCE, stream.read_exact(&mut reply)).await.unwrap().unwrap();
    Message::from_vec(&reply).unwrap()
}

fn addresses(message: &Message) -> BTreeSet<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

#[tokio::test]
async fn a_change_is_in_the_next_answer() {
    let zone = ZoneHandle::new();
    let (server, _guard) = start(&zone, &[]).await;
    for number in 0..200_u8 {
        zone.apply(owner(1), vec![a("web.marathon.mesos", number)]);
        let reply = ask_udp(server.local_addr, &query(u16::from(number), "web.marathon.mesos", A)).await;
        assert_eq!(reply.metadata.id, u16::from(number));
        assert_eq!(addresses(&reply), BTreeSet::from([format!("10.0.0.{number}")]));
    }
    zone.remove(&owner(1));
    let reply = ask_udp(server.local_addr, &query(1, "web.marathon.mesos", A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(server.counts.queries(), 201);
}

#[tokio::test]
async fn several_workers_and_many_clients_at_once() {
    let zone = ZoneHandle::new();
    for number in 0..100 {
        zone.apply(owner(number), vec![a(&format!("web{number}.mesos"), number as u8)]);
    }
    let config = DnsConfig { upstreams: Some(Vec::new()), workers: 3, ..DnsConfig::new(localhost()) };
    let (server, _guard) = start_with(&zone, config).await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..100_u16 {
        let address = server.local_addr;
        clients.spawn(async move {
            let reply = ask_udp(address, &query(number, &format!("web{number}.mesos"), A)).await;
            assert_eq!(reply.metadata.id, number);
            assert_eq!(addresses(&reply), BTreeSet::from([format!("10.0.0.{number}")]));
        });
    }
    while let Some(result) = clients.join_next().await {
        result.unwrap();
    }
}

#[tokio::test]
async fn long_answers_come_over_tcp() {
    let zone = ZoneHandle::new();
    for number in 0..200 {
        zone.apply(owner(number), vec![a("web.marathon.mesos", number as u8)]);
    }
    let (server, _guard) = start(&zone, &[]).await;
    let packet = query(9, "web.marathon.mesos", A);
    assert!(ask_udp(server.local_addr, &packet).await.metadata.truncation);
    let mut stream = TcpStream::connect(server.local_addr).await.unwrap();
    for _ in 0..3 {
        let reply = ask_tcp(&mut stream, &packet).await;
        assert_eq!((reply.metadata.truncation, addresses(&reply).len()), (false, 200));
    }
}

#[tokio::test]
async fn rubbish_does_not_stop_the_server() {
    let zone = ZoneHandle::new();
    zone.apply(owner(1), vec![a("web.mesos", 1)]);
    let (server, _guard) = start(&zone, &[]).await;
    let socket = UdpSocket::bind(localhost()).await.unwrap();
    for length in [0_usize, 1, 11, 12, 100, 1232, 1233, 9000] {
        for byte in [0_u8, 0x3f, 0x41, 0xc0, 0xff] {
            socket.send_to(&vec![byte; length], server.local_addr).await.unwrap();
        }
    }
    let mut stream = TcpStream::connect(server.local_addr).await.unwrap();
    stream.write_all(&[0xff, 0xff, 1]).await.unwrap();
    let mut rest = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap() {
        Ok(_) => assert!(rest.is_empty()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(addresses(&ask_udp(server.local_addr, &query(1, "web.mesos", A)).await).len(), 1);
    assert!(server.counts.malformed() > 0);
}

#[tokio::test]
async fn other_names_are_asked_upstream() {
    // The upstream server is another one of ours, reached through names that are not the first's.
    let upstream_answers = UpstreamStub::start(Stub::Answer).await;
    let (server, _guard) = start(&ZoneHandle::new(), &[upstream_answers.address]).await;
    let reply = ask_udp(server.local_addr, &query(77, "example.com", A)).await;
    assert_eq!(reply.metadata.id, 77);
    assert!(reply.metadata.recursion_available || reply.answers.len() == 1);
    assert_eq!(addresses(&reply), BTreeSet::from(["192.0.2.1".into()]));
    let mut stream = TcpStream::connect(server.local_addr).await.unwrap();
    assert_eq!(ask_tcp(&mut stream, &query(78, "example.com", A)).await.metadata.id, 78);
    assert_eq!(server.counts.forwarded(), 2);
}

#[tokio::test]
async fn a_second_server_of_ours_as_upstream() {
    let (upstream, _upstream_guard) = start(&ZoneHandle::new(), &[]).await;
    let (server, _guard) = start(&ZoneHandle::new(), &[upstream.local_addr]).await;
    // It knows nothing of the rest of the world and says so; that is passed back.
    let reply = ask_udp(server.local_addr, &query(5, "example.com", A)).await;
    assert_eq!((reply.metadata.id, reply.metadata.response_code), (5, ResponseCode::Refused));
    assert_eq!(upstream.counts.queries(), 2, "tried twice");
}

#[tokio::test]
async fn the_next_upstream_is_asked_when_one_fails() {
    let refuses = UpstreamStub::start(Stub::Fail).await;
    let answers = UpstreamStub::start(Stub::Answer).await;
    let closed = {
        let socket = UdpSocket::bind(localhost()).await.unwrap();
        socket.local_addr().unwrap()
    };
    let (server, _guard) = start(&ZoneHandle::new(), &[closed, refuses.address, answers.address]).await;
    for id in 0..3 {
        let reply = ask_udp(server.local_addr, &query(id, "example.com", A)).await;
        assert_eq!(addresses(&reply), BTreeSet::from(["192.0.2.1".into()]));
    }
}

#[tokio::test]
async fn forged_replies_are_passed_over() {
    let upstream = UpstreamStub::start(Stub::ForgeThenAnswer).await;
    let (server, _guard) = start(&ZoneHandle::new(), &[upstream.address]).await;
    let reply = ask_udp(server.local_addr, &query(3, "example.com", A)).await;
    assert_eq!(addresses(&reply), BTreeSet::from(["192.0.2.1".into()]));
}

#[tokio::test]
async fn truncated_upstream_replies_are_asked_for_over_tcp() {
    let upstream = UpstreamStub::start(Stub::Truncate).await;
    let (server, _guard) = start(&ZoneHandle::new(), &[upstream.address]).await;
    assert!(ask_udp(server.local_addr, &query(3, "example.com", A)).await.metadata.truncation);
    let mut stream = TcpStream::connect(server.local_addr).await.unwrap();
    let reply = ask_tcp(&mut stream, &query(3, "example.com", A)).await;
    assert_eq!((reply.metadata.truncation, addresses(&reply).len()), (false, 1));
}

#[tokio::test]
async fn without_a_living_upstream() {
    let (server, _guard) = start(&ZoneHandle::new(), &[]).await;
    let reply = ask_udp(server.local_addr, &query(1, "example.com", A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
    let closed = UdpSocket::bind(localhost()).await.unwrap().local_addr().unwrap();
    let (server, _guard) = start(&ZoneHandle::new(), &[closed]).await;
    let reply = ask_udp(server.local_addr, &query(1, "example.com", A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn it_never_asks_itself() {
    let free = UdpSocket::bind(localhost()).await.unwrap().local_addr().unwrap();
    let config = DnsConfig { upstreams: Some(vec![free]), ..DnsConfig::new(free) };
    let (server, _guard) = start_with(&ZoneHandle::new(), config).await;
    assert!(server.upstreams.is_empty());
}

#[tokio::test]
async fn stopping_frees_the_port_and_taken_ports_are_explained() {
    let zone = ZoneHandle::new();
    zone.apply(owner(1), vec![a("web.mesos", 1)]);
    let (server, guard) = start(&zone, &[]).await;
    let address = server.local_addr;
    let idle_connection = TcpStream::connect(address).await.unwrap();
    let error = serve(DnsConfig::new(address), zone.clone(), &CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot serve DNS on {address}: ")), "{error}");
    drop(guard);
    timeout(PATIENCE, server.closed()).await.unwrap();
    drop(idle_connection);
    let (again, _guard) = start_with(&zone, DnsConfig { upstreams: Some(Vec::new()), ..DnsConfig::new(address) }).await;
    assert_eq!(addresses(&ask_udp(again.local_addr, &query(1, "web.mesos", A)).await).len(), 1);
}

#[tokio::test]
async fn dig_understands_it() {
    let zone = ZoneHandle::new();
    for number in 0..200_u16 {
        let canonical = format!("web-{number}-s1.marathon.mesos");
        zone.apply(
            owner(number.into()),
            vec![a(&canonical, number as u8), srv("_web._tcp.marathon.mesos", &canonical, 31_000 + number)],
        );
    }
    zone.apply(owner(1000), vec![a("leader.mesos", 9)]);
    let (server, _guard) = start(&zone, &[]).await;
    let dig = |arguments: &'static [&'static str]| {
        let (ip, port) = (server.local_addr.ip(), server.local_addr.port());
        tokio::task::spawn_blocking(move || {
            let mut command = Command::new("dig");
            command.arg(format!("@{ip}")).args(["-p", &port.to_string(), "+time=10", "+tries=1"]).args(arguments);
            command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        })
    };
    let text = match dig(&["+short", "Leader.Mesos"]).await.unwrap() {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: dig is not installed (Debian package dnsutils)");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(text.trim(), "10.0.0.9");
    let text = dig(&["+noedns", "SRV", "_web._tcp.marathon.mesos"]).await.unwrap().unwrap();
    assert!(text.contains("Truncated, retrying in TCP mode"), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("\tSRV\t0 1 ")).count(), 200, "{text}");
    let text = dig(&["nothing.mesos"]).await.unwrap().unwrap();
    assert!(text.contains("status: NXDOMAIN") && text.contains("flags: qr aa rd"), "{text}");
    assert!(!text.contains("Warning: Message parser"), "{text}");
    let text = dig(&["AXFR", "mesos"]).await.unwrap().unwrap();
    assert!(text.contains("Transfer failed"), "{text}");
}

/// An upstream server of the tests.
struct UpstreamStub {
    address: SocketAddr,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

#[derive(Clone, Copy, PartialEq)]
enum Stub {
    Answer,
    Fail,
    Truncate,
    ForgeThenAnswer,
}

impl UpstreamStub {
    async fn start(stub: Stub) -> Self {
        let listener = TcpListener::bind(localhost()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).await.unwrap();
        let udp = tokio::spawn(async move {
            let mut packet = [0; 2048];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                let asked = &packet[..length];
                let mut reply = answer(asked);
                match stub {
                    Stub::Answer => {}
                    Stub::Fail => reply = [&asked[..2], &[0x81, 0x82], &asked[4..]].concat(),
                    Stub::Truncate => reply = [&asked[..2], &[0x83, 0x80], &asked[4..]].concat(),
                    Stub::ForgeThenAnswer => {
                        let mut other_id = reply.clone();
                        other_id[0] ^= 1;
                        let mut other_name = reply.clone();
                        other_name[13] ^= 1;
                        let mut forged_address = reply.clone();
                        *forged_address.last_mut().unwrap() = 66;
                        forged_address[1] ^= 0x80;
                        for forged in [other_id, other_name, forged_address, vec![1, 2, 3], asked.to_vec()] {
                            socket.send_to(&forged, client).await.unwrap();
                        }
                    }
                }
                socket.send_to(&reply, client).await.unwrap();
            }
        });
        let tcp = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut asked).await.unwrap();
                let reply = answer(&asked);
                stream.write_u16(reply.len() as u16).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        });
        Self { address, tasks: [udp, tcp] }
    }
}

impl Drop for UpstreamStub {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// `192.0.2.1` to any question.
fn answer(asked: &[u8]) -> Vec<u8> {
    let counts = [0, 1, 0, 1, 0, 0, 0, 0];
    let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
    [&asked[..2], &[0x81, 0x80], &counts, &asked[12..], &record].concat()
}
