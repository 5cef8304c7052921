//! What is answered: a pure function from a packet and the names of a moment to a packet.

use crate::query::{HEADER_BYTES, Header, Query, number};
use crate::reply::{Code, Reply, Section, Written, write_error, written_at};
use crate::snapshot::Snapshot;
use orrery_core::dns::{DIRECTORY_DOMAIN, Entry, MESOS_DOMAIN, RecordData, RecordKind};

/// How long clients may keep an answer. Short: tasks come and go.
pub const TTL_SECONDS: u32 = 5;
/// How long clients may remember that there is no such name.
pub const NEGATIVE_TTL_SECONDS: u32 = 1;
/// How many SRV targets get their addresses added to an answer.
const ADDITIONAL_TARGETS_MAX: usize = 32;
/// The shortest record of an address: a pointer, type, class, TTL, length and four bytes.
const ADDRESS_BYTES: usize = 16;
/// Timers of the SOA record, as Mesos-DNS has them. Nobody transfers our zones.
pub(crate) const SOA_REFRESH_SECONDS: u32 = 60;
pub(crate) const SOA_RETRY_SECONDS: u32 = 600;
pub(crate) const SOA_EXPIRE_SECONDS: u32 = 86_400;
/// The server's own name.
pub(crate) const NAME_SERVER: &str = "ns1.mesos";
/// Whom to write to about the zones, as a name.
pub(crate) const RESPONSIBLE: &str = "root.ns1.mesos";
const NOTIFY_OPCODE: u8 = 4;
const UPDATE_OPCODE: u8 = 5;

/// What carried the query; decides how long a reply may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "protocol names")]
pub enum Transport {
    Udp,
    Tcp,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send the reply that was written.
    Reply,
    /// Send the reply that was written; the packet was malformed.
    Malformed,
    /// Ask the upstream servers.
    Forward,
    /// Nothing can be answered to this.
    Drop,
}

/// Decides on one packet and writes the reply, if any, to `out`, whose former content is lost.
///
/// Names under `mesos` and `thisdcos.directory` are answered from `zone`; others are to be forwarded
/// when `forwards` and the client wants recursion, and refused otherwise. `entropy` chooses where
/// an answer starts among several records.
pub fn respond(packet: &[u8], transport: Transport, zone: &Snapshot, forwards: bool, entropy: u64, out: &mut Vec<u8>) -> Verdict {
    out.clear();
    let Some(header) = Header::read(packet) else { return Verdict::Drop };
    if header.is_response() {
        // Answering answers would let two servers talk for ever.
        return Verdict::Drop;
    }
    match header.opcode() {
        0 => {}
        NOTIFY_OPCODE | UPDATE_OPCODE => {
            write_error(packet, None, Code::Refused, out);
            return Verdict::Reply;
        }
        _ => {
            write_error(packet, None, Code::NotImp, out);
            return Verdict::Reply;
        }
    }
    let Some(query) = Query::read(packet, header) else {
        write_error(packet, None, Code::FormErr, out);
        return Verdict::Malformed;
    };
    if query.edns.is_some_and(|edns| edns.version > 0) {
        write_error(packet, Some(&query), Code::BadVers, out);
        return Verdict::Reply;
    }
    let is_transfer = matches!(query.kind, number::IXFR | number::AXFR | number::MAILB | number::MAILA);
    let is_internet = matches!(query.class, number::CLASS_IN | number::CLASS_ANY);
    let apex = if is_transfer || !is_internet { None } else { apex_of(query.name.as_str()) };
    let Some(apex) = apex else {
        if forwards && header.wants_recursion() && is_internet && !is_transfer {
            return Verdict::Forward;
        }
        write_error(packet, Some(&query), Code::Refused, out);
        return Verdict::Reply;
    };
    let mut reply = Reply::to(packet, &query, transport == Transport::Udp, out);
    reply.set_authoritative();
    if forwards {
        reply.set_recursion_available();
    }
    let code = write_answer(&query, apex, zone, entropy, &mut reply);
    reply.finish(code);
    Verdict::Reply
}

/// The top of the zone of ours that `name` lies in.
fn apex_of(name: &str) -> Option<&'static str> {
    [MESOS_DOMAIN, DIRECTORY_DOMAIN]
        .into_iter()
        .find(|apex| name.strip_suffix(apex).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// The name under which the zone knows `name`: everything in `mesos` can be asked for in
/// `mesos.thisdcos.directory` too (platform.md 3.2).
fn known_as(name: &str) -> &str {
    match name.strip_suffix(DIRECTORY_DOMAIN).and_then(|rest| rest.strip_suffix('.')) {
        Some(rest) if rest.strip_suffix(MESOS_DOMAIN).is_some_and(|rest| rest.ends_with('.')) => rest,
        _ => name,
    }
}

fn write_answer(query: &Query, apex: &'static str, zone: &Snapshot, entropy: u64, reply: &mut Reply<'_>) -> Code {
    let name = query.name.as_str();
    // The apex is the end of the question's name, so it can be pointed to.
    let apex_at = HEADER_BYTES + query.name_bytes - (apex.len() + 2);
    if name.len() == apex.len() {
        let is_any = query.kind == number::ANY;
        if query.kind == number::SOA || is_any {
            write_soa(zone, Section::Answer, Written::At(HEADER_BYTES), reply);
            return Code::NoError;
        }
        if query.kind == number::NS {
            reply.record(Section::Answer, Written::At(HEADER_BYTES), number::NS, TTL_SECONDS, |data| {
                data.name(Written::Name(NAME_SERVER));
            });
            if let Some(entry) = zone.get(NAME_SERVER) {
                for kind in [RecordKind::A, RecordKind::Aaaa] {
                    write_addresses(&entry, kind, Section::Additional, Written::Name(NAME_SERVER), entropy, reply);
                }
            }
            return Code::NoError;
        }
        write_soa(zone, Section::Authority, Written::At(apex_at), reply);
        return Code::NoError;
    }
    let Some(entry) = zone.get(known_as(name)) else {
        write_soa(zone, Section::Authority, Written::At(apex_at), reply);
        return Code::NxDomain;
    };
    let kind = match query.kind {
        number::A => Some(RecordKind::A),
        number::AAAA => Some(RecordKind::Aaaa),
        number::SRV => Some(RecordKind::Srv),
        // One set of records is enough (RFC 8482 4.1).
        number::ANY => [RecordKind::A, RecordKind::Aaaa, RecordKind::Srv]
            .into_iter()
            .find(|kind| entry.records.rotated(*kind, 0).next().is_some()),
        _ => None,
    };
    let answered = match kind {
        Some(RecordKind::Srv) => write_services(&entry, zone, entropy, reply),
        Some(kind) => write_addresses(&entry, kind, Section::Answer, Written::At(HEADER_BYTES), entropy, reply),
        None => 0,
    };
    if answered == 0 {
        write_soa(zone, Section::Authority, Written::At(apex_at), reply);
    }
    Code::NoError
}

/// Writes addresses and returns how many there were. Says so when not all of an answer fitted.
fn write_addresses(
    entry: &Entry,
    kind: RecordKind,
    section: Section,
    owner: Written<'_>,
    entropy: u64,
    reply: &mut Reply<'_>,
) -> usize {
    let mut count = 0;
    for data in entry.records.rotated(kind, entropy) {
        let fits = match data {
            RecordData::A(ip) => reply.record(section, owner, number::A, TTL_SECONDS, |out| out.ipv4(*ip)),
            RecordData::Aaaa(ip) => reply.record(section, owner, number::AAAA, TTL_SECONDS, |out| out.ipv6(*ip)),
            RecordData::Srv(_) => true,
        };
        count += 1;
        if !fits {
            if matches!(section, Section::Answer) {
                reply.set_truncated();
            }
            break;
        }
    }
    count
}

/// Writes SRV records and the addresses of their targets, and returns how many there were.
fn write_services(entry: &Entry, zone: &Snapshot, entropy: u64, reply: &mut Reply<'_>) -> usize {
    let mut targets = [(0_usize, ""); ADDITIONAL_TARGETS_MAX];
    let mut target_count = 0;
    let mut count = 0;
    for data in entry.records.rotated(RecordKind::Srv, entropy) {
        let RecordData::Srv(service) = data else { continue };
        let mut target_at = 0;
        let fits = reply.record(Section::Answer, Written::At(HEADER_BYTES), number::SRV, TTL_SECONDS, |out| {
            out.u16(0);
            out.u16(1);
            out.u16(service.port);
            target_at = out.position();
            // Never compressed (RFC 2782).
            out.name(Written::Name(&service.target));
        });
        count += 1;
        if !fits {
            reply.set_truncated();
            return count;
        }
        let is_known = targets[..target_count].iter().any(|(_, target)| *target == &*service.target);
        if !is_known && target_count < ADDITIONAL_TARGETS_MAX {
            targets[target_count] = (target_at, &service.target);
            target_count += 1;
        }
    }
    for (target_at, target) in &targets[..target_count] {
        if reply.room() < ADDRESS_BYTES {
            // Nothing more fits: the rest need not be looked up.
            break;
        }
        let Some(entry) = zone.get(target) else { continue };
        for kind in [RecordKind::A, RecordKind::Aaaa] {
            write_addresses(&entry, kind, Section::Additional, written_at(*target_at, target), entropy, reply);
        }
    }
    count
}

fn write_soa(zone: &Snapshot, section: Section, owner: Written<'_>, reply: &mut Reply<'_>) {
    let ttl = if matches!(section, Section::Answer) { TTL_SECONDS } else { NEGATIVE_TTL_SECONDS };
    reply.record(section, owner, number::SOA, ttl, |out| {
        out.name(Written::Name(NAME_SERVER));
        out.name(Written::Name(RESPONSIBLE));
        out.u32(zone.revision() as u32);
        for seconds in [SOA_REFRESH_SECONDS, SOA_RETRY_SECONDS, SOA_EXPIRE_SECONDS, NEGATIVE_TTL_SECONDS] {
            out.u32(seconds);
        }
    });
}
