//! Reading of queries (RFC 1035 4.1, RFC 6891).

use orrery_core::dns::{LABEL_MAX_BYTES, NAME_MAX_BYTES};

/// Bytes of a message header.
pub(crate) const HEADER_BYTES: usize = 12;
/// Stands in names for every byte that no name of ours contains.
const FOREIGN_BYTE: u8 = 0;

/// Record types and classes, as numbers (RFC 1035 3.2, RFC 2782, RFC 6891).
pub(crate) mod number {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const IXFR: u16 = 251;
    pub(crate) const AXFR: u16 = 252;
    pub(crate) const MAILB: u16 = 253;
    pub(crate) const MAILA: u16 = 254;
    pub(crate) const ANY: u16 = 255;
    pub(crate) const CLASS_IN: u16 = 1;
    pub(crate) const CLASS_ANY: u16 = 255;
}

/// A name in lower case, with dots between its labels and none at the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    bytes: [u8; NAME_MAX_BYTES],
    length: usize,
}

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        // ASCII by construction.
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.length)? = byte;
        self.length += 1;
        Some(())
    }
}

/// What a client says with EDNS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edns {
    pub(crate) udp_bytes: u16,
    pub(crate) version: u8,
    pub(crate) wants_dnssec: bool,
}

/// The header of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    flags: [u8; 2],
    counts: [u16; 4],
}

impl Header {
    /// The header, if the packet is long enough to have one.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<HEADER_BYTES>()?;
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        Some(Self { flags: [header[2], header[3]], counts: [count(4), count(6), count(8), count(10)] })
    }

    pub(crate) const fn is_response(self) -> bool {
        self.flags[0] & 0x80 != 0
    }

    pub(crate) const fn opcode(self) -> u8 {
        self.flags[0] >> 3 & 0x0f
    }

    pub(crate) const fn is_truncated(self) -> bool {
        self.flags[0] & 0x02 != 0
    }

    pub(crate) const fn wants_recursion(self) -> bool {
        self.flags[0] & 0x01 != 0
    }

    pub(crate) const fn response_code(self) -> u8 {
        self.flags[1] & 0x0f
    }
}

/// A well-formed query with its one question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    pub(crate) name: Name,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    /// Bytes of the name in the packet, the final zero included. It starts behind the header.
    pub(crate) name_bytes: usize,
    pub(crate) edns: Option<Edns>,
}

impl Query {
    /// Where the question ends in the packet.
    pub(crate) const fn question_end(&self) -> usize {
        HEADER_BYTES + self.name_bytes + 4
    }

    /// Reads the question and the EDNS record. `None` when the packet is malformed.
    pub(crate) fn read(packet: &[u8], header: Header) -> Option<Self> {
        let [questions, answers, authorities, additionals] = header.counts;
        if questions != 1 {
            return None;
        }
        let (name, mut at) = read_question_name(packet)?;
        let name_bytes = at - HEADER_BYTES;
        let [kind, class] = read_u16s(packet, at)?;
        at += 4;
        let mut edns = None;
        let unimportant = u32::from(answers) + u32::from(authorities);
        for index in 0..unimportant + u32::from(additionals) {
            let starts_with_root = packet.get(at) == Some(&0);
            at = skip_name(packet, at)?;
            let [kind, class, ttl_high, ttl_low, length] = read_u16s(packet, at)?;
            at += 10 + usize::from(length);
            if at > packet.len() {
                return None;
            }
            if kind == number::OPT && index >= unimportant {
                if edns.is_some() || !starts_with_root {
                    return None;
                }
                edns = Some(Edns { udp_bytes: class, version: ttl_high as u8, wants_dnssec: ttl_low & 0x8000 != 0 });
            }
        }
        Some(Self { name, kind, class, name_bytes, edns })
    }
}

/// The first name of a packet and where it ends. There is nothing yet that it could point to.
fn read_question_name(packet: &[u8]) -> Option<(Name, usize)> {
    let mut name = Name { bytes: [0; NAME_MAX_BYTES], length: 0 };
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if length > LABEL_MAX_BYTES {
            return None;
        }
        if name.length > 0 {
            name.push(b'.')?;
        }
        for byte in packet.get(at..at + length)? {
            let byte = byte.to_ascii_lowercase();
            name.push(if byte.is_ascii_graphic() && byte != b'.' { byte } else { FOREIGN_BYTE })?;
        }
        at += length;
    }
}

/// Where the name that starts at `at` ends. Does not follow pointers, so it cannot loop.
fn skip_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *packet.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

fn read_u16s<const N: usize>(packet: &[u8], at: usize) -> Option<[u16; N]> {
    let bytes = packet.get(at..at + 2 * N)?;
    let mut numbers = [0; N];
    for (number, pair) in numbers.iter_mut().zip(bytes.chunks_exact(2)) {
        *number = u16::from_be_bytes([pair[0], pair[1]]);
    }
    Some(numbers)
}
