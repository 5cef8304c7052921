//! Questions to a DNS server over UDP, written by hand so that nothing of Orrery answers for itself.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// What a DNS server answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Response code of RFC 1035: 0 no error, 3 no such name, 5 refused.
    pub code: u8,
    /// Addresses of A records.
    pub addresses: Vec<Ipv4Addr>,
    /// Port and target of SRV records.
    pub services: Vec<(u16, String)>,
}

/// Type numbers of RFC 1035 and RFC 2782.
const A: u16 = 1;
const SRV: u16 = 33;

/// Asks for the A records of `name`.
pub fn addresses(server: SocketAddr, name: &str) -> Answer {
    ask(server, name, A)
}

/// Asks for the SRV records of `name`.
pub fn services(server: SocketAddr, name: &str) -> Answer {
    ask(server, name, SRV)
}

fn ask(server: SocketAddr, name: &str, kind: u16) -> Answer {
    const IDENTIFIER: u16 = 0x4f52;
    let mut question = Vec::new();
    for word in [IDENTIFIER, 0x0100, 1, 0, 0, 0] {
        question.extend(word.to_be_bytes());
    }
    for label in name.trim_end_matches('.').split('.') {
        question.push(u8::try_from(label.len()).expect("a label has at most 63 bytes"));
        question.extend(label.as_bytes());
    }
    question.push(0);
    question.extend(kind.to_be_bytes());
    question.extend(1u16.to_be_bytes());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut bytes = vec![0; 65_535];
    socket.send_to(&question, server).expect("the question is sent");
    let length = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{server} does not answer for {name}: {error}"));
    let reader = Reader { bytes: &bytes[..length] };
    assert_eq!(reader.word(0), IDENTIFIER, "the answer belongs to the question");
    reader.answer()
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn answer(&self) -> Answer {
        let mut answer = Answer { code: self.bytes[3] & 15, ..Answer::default() };
        let mut at = 12;
        for _ in 0..self.word(4) {
            at = self.name(at).1 + 4;
        }
        for _ in 0..self.word(6) {
            at = self.name(at).1;
            let (kind, length, data) = (self.word(at), usize::from(self.word(at + 8)), at + 10);
            match kind {
                A => answer.addresses.push(<[u8; 4]>::try_from(&self.bytes[data..data + 4]).expect("four bytes").into()),
                SRV => answer.services.push((self.word(data + 4), self.name(data + 6).0)),
                _ => {}
            }
            at = data + length;
        }
        answer
    }

    /// The name at an offset, and the offset behind it.
    fn name(&self, start: usize) -> (String, usize) {
        let (mut labels, mut at, mut end) = (Vec::new(), start, None);
        loop {
            let length = usize::from(self.bytes[at]);
            if length >= 0xc0 {
                end.get_or_insert(at + 2);
                at = usize::from(self.word(at) & 0x3fff);
            } else if length == 0 {
                return (labels.join("."), end.unwrap_or(at + 1));
            } else {
                labels.push(String::from_utf8_lossy(&self.bytes[at + 1..=at + length]).into_owned());
                at += length + 1;
            }
        }
    }
}
