//! Writing of replies.

use crate::query::{Edns, HEADER_BYTES, Query, number};
use std::net::{Ipv4Addr, Ipv6Addr};

/// UDP payload we accept and send at most, so that no packet is fragmented (DNS flag day 2020).
pub(crate) const UDP_BYTES: u16 = 1232;
/// UDP payload of clients that do not say more (RFC 1035 4.2.1).
const UDP_BYTES_WITHOUT_EDNS: u16 = 512;
/// Bytes of an empty OPT record.
const OPT_BYTES: usize = 11;
/// Highest offset a compression pointer can hold.
const POINTER_MAX: usize = 0x3fff;

/// Response codes (RFC 1035 4.1.1, RFC 6891 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    BadVers = 16,
}

/// Section of a message, as its count's place in the header.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Section {
    Answer = 6,
    Authority = 8,
    Additional = 10,
}

/// How a name is written in a reply.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Written<'a> {
    /// As a pointer to where it stands already.
    At(usize),
    /// In full.
    Name(&'a str),
}

/// A reply in the making.
#[derive(Debug)]
pub(crate) struct Reply<'o> {
    out: &'o mut Vec<u8>,
    limit: usize,
    edns: Option<Edns>,
}

impl<'o> Reply<'o> {
    /// Starts the reply to a query that came over UDP or over TCP.
    pub(crate) fn to(packet: &[u8], query: &Query, is_udp: bool, out: &'o mut Vec<u8>) -> Self {
        let message_bytes = if is_udp {
            query.edns.map_or(UDP_BYTES_WITHOUT_EDNS, |edns| edns.udp_bytes.clamp(UDP_BYTES_WITHOUT_EDNS, UDP_BYTES))
        } else {
            u16::MAX
        };
        let limit = usize::from(message_bytes) - if query.edns.is_some() { OPT_BYTES } else { 0 };
        out.clear();
        write_header(packet, 1, out);
        out.extend_from_slice(packet.get(HEADER_BYTES..query.question_end()).unwrap_or_default());
        Self { out, limit, edns: query.edns }
    }

    /// Ends the reply.
    pub(crate) fn finish(self, code: Code) {
        self.out[3] |= code as u8 & 0x0f;
        if let Some(edns) = self.edns {
            self.out.push(0);
            for number in [number::OPT, UDP_BYTES, u16::from(code as u8 >> 4) << 8, u16::from(edns.wants_dnssec) << 15, 0] {
                self.out.extend_from_slice(&number.to_be_bytes());
            }
            count_one(self.out, Section::Additional);
        }
    }

    pub(crate) fn set_authoritative(&mut self) {
        self.out[2] |= 0x04;
    }

    pub(crate) fn set_truncated(&mut self) {
        self.out[2] |= 0x02;
    }

    pub(crate) fn set_recursion_available(&mut self) {
        self.out[3] |= 0x80;
    }

    /// Bytes left for records.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.out.len())
    }

    /// Writes one record, `data` writing its data. False when it does not fit; then the reply is as
    /// before.
    pub(crate) fn record(
        &mut self,
        section: Section,
        owner: Written<'_>,
        kind: u16,
        ttl_seconds: u32,
        data: impl FnOnce(&mut Data<'_>),
    ) -> bool {
        let start = self.out.len();
        let mut writer = Data { out: self.out };
        writer.name(owner);
        writer.u16(kind);
        writer.u16(number::CLASS_IN);
        writer.u32(ttl_seconds);
        let length_at = writer.out.len();
        writer.u16(0);
        data(&mut writer);
        let length = (self.out.len() - length_at - 2) as u16;
        if self.out.len() > self.limit {
            self.out.truncate(start);
            return false;
        }
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        count_one(self.out, section);
        true
    }
}

/// Data of a record in the making.
#[derive(Debug)]
pub(crate) struct Data<'o> {
    out: &'o mut Vec<u8>,
}

impl Data<'_> {
    pub(crate) fn u16(&mut self, number: u16) {
        self.out.extend_from_slice(&number.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.out.extend_from_slice(&number.to_be_bytes());
    }

    pub(crate) fn ipv4(&mut self, address: Ipv4Addr) {
        self.out.extend_from_slice(&address.octets());
    }

    pub(crate) fn ipv6(&mut self, address: Ipv6Addr) {
        self.out.extend_from_slice(&address.octets());
    }

    /// Where the next byte goes.
    pub(crate) fn position(&self) -> usize {
        self.out.len()
    }

    /// Writes a name. Names of a zone have labels of 1–63 bytes; of a longer one the rest is cut
    /// rather than the packet broken.
    pub(crate) fn name(&mut self, name: Written<'_>) {
        match name {
            Written::At(offset) => self.u16(0xc000 | offset.min(POINTER_MAX) as u16),
            Written::Name(name) => {
                for label in name.split('.').filter(|label| !label.is_empty()) {
                    let label = &label.as_bytes()[..label.len().min(63)];
                    self.out.push(label.len() as u8);
                    self.out.extend_from_slice(label);
                }
                self.out.push(0);
            }
        }
    }
}

/// A place to point to, where one can.
pub(crate) fn written_at(offset: usize, name: &str) -> Written<'_> {
    if offset <= POINTER_MAX { Written::At(offset) } else { Written::Name(name) }
}

/// A reply without records to a packet that has at least a header. The question is repeated when
/// it could be read.
pub(crate) fn write_error(packet: &[u8], query: Option<&Query>, code: Code, out: &mut Vec<u8>) {
    if let Some(query) = query {
        Reply::to(packet, query, true, out).finish(code);
    } else {
        out.clear();
        write_header(packet, 0, out);
        out[3] |= code as u8 & 0x0f;
    }
}

/// Id, opcode, RD and CD of the query; everything else zero.
fn write_header(packet: &[u8], questions: u8, out: &mut Vec<u8>) {
    let byte = |at: usize| packet.get(at).copied().unwrap_or(0);
    out.extend_from_slice(&[byte(0), byte(1), 0x80 | byte(2) & 0x79, byte(3) & 0x10, 0, questions, 0, 0, 0, 0, 0, 0]);
}

fn count_one(out: &mut [u8], section: Section) {
    let at = section as usize;
    let count = u16::from_be_bytes([out[at], out[at + 1]]).wrapping_add(1);
    out[at..at + 2].copy_from_slice(&count.to_be_bytes());
}
