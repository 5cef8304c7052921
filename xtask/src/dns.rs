//! A DNS question, asked by hand: which host and port serve a name (RFC 1035,
//! RFC 2782). A machine without `dig` can so follow the demo.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const TYPE_A: u16 = 1;
const TYPE_SRV: u16 = 33;
/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer over UDP with no EDNS.
const ANSWER_BYTES: usize = 4096;
/// Labels of a name, and compression pointers within it.
const NAME_STEPS: usize = 128;

/// What an SRV record says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) target: String,
    pub(crate) port: u16,
}

/// The first SRV record of a name.
pub(crate) fn service(server: SocketAddr, name: &str) -> Result<Service> {
    let packet = ask(server, name, TYPE_SRV)?;
    let at = first_record(&packet, TYPE_SRV).with_context(|| format!("{name} has no SRV record"))??;
    // Priority and weight come before the port.
    let port = number(&packet, at + 4)?;
    let (target, _) = read_name(&packet, at + 6)?;
    Ok(Service { target, port })
}

/// The first address of a name.
pub(crate) fn address(server: SocketAddr, name: &str) -> Result<Ipv4Addr> {
    let packet = ask(server, name, TYPE_A)?;
    let at = first_record(&packet, TYPE_A).with_context(|| format!("{name} has no address"))??;
    let octets: [u8; 4] = packet.get(at..at + 4).context(SHORT)?.try_into()?;
    Ok(Ipv4Addr::from(octets))
}

const SHORT: &str = "the DNS answer ends too early";

fn ask(server: SocketAddr, name: &str, kind: u16) -> Result<Vec<u8>> {
    let id = std::process::id().to_be_bytes();
    let question = question([id[2], id[3]], name, kind)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.connect(server)?;
    socket.send(&question)?;
    let mut packet = vec![0; ANSWER_BYTES];
    let length = socket.recv(&mut packet).with_context(|| format!("no DNS answer from {server}"))?;
    packet.truncate(length);
    ensure!(packet.get(..2) == question.get(..2), "the DNS answer is to another question");
    Ok(packet)
}

fn question(id: [u8; 2], name: &str, kind: u16) -> Result<Vec<u8>> {
    let mut packet = id.to_vec();
    // Recursion desired, one question, no records.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        packet.push(length.with_context(|| format!("{name} is not a DNS name"))?);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]); // class IN
    Ok(packet)
}

/// Where the data of the first answer of a type begins; None if there is none.
fn first_record(packet: &[u8], wanted: u16) -> Option<Result<usize>> {
    find_record(packet, wanted).transpose()
}

fn find_record(packet: &[u8], wanted: u16) -> Result<Option<usize>> {
    let mut at = 12;
    for _ in 0..number(packet, 4)? {
        at = read_name(packet, at)?.1 + 4;
    }
    for _ in 0..number(packet, 6)? {
        at = read_name(packet, at)?.1;
        let data = at + 10;
        let end = data + usize::from(number(packet, at + 8)?);
        packet.get(data..end).context(SHORT)?;
        if number(packet, at)? == wanted {
            return Ok(Some(data));
        }
        at = end;
    }
    Ok(None)
}

fn number(packet: &[u8], at: usize) -> Result<u16> {
    let octets = packet.get(at..at + 2).context(SHORT)?;
    Ok(u16::from_be_bytes([octets[0], octets[1]]))
}

/// A name, and where it ends; names may point back to earlier ones.
fn read_name(packet: &[u8], start: usize) -> Result<(String, usize)> {
    let mut labels = Vec::new();
    let (mut at, mut end) = (start, None);
    for _ in 0..NAME_STEPS {
        let length = usize::from(*packet.get(at).context(SHORT)?);
        if length >= 0xc0 {
            end = end.or(Some(at + 2));
            at = usize::from(number(packet, at)? & 0x3fff);
        } else if length == 0 {
            return Ok((labels.join("."), end.unwrap_or(at + 1)));
        } else {
            let label = packet.get(at + 1..at + 1 + length).context(SHORT)?;
            labels.push(String::from_utf8_lossy(label).into_owned());
            at += 1 + length;
        }
    }
    bail!("a name in the DNS answer does not end")
}

#[cfg(test)]
mod tests {
    use super::{TYPE_A, TYPE_SRV, first_record, number, question, read_name};

    /// An answer with one SRV record whose target points into the question.
    fn answer() -> Vec<u8> {
        let mut packet = question([1, 2], "_web._tcp.marathon.mesos", TYPE_SRV).unwrap();
        packet[7] = 1;
        packet.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 12]);
        packet.extend([0, 0, 0, 0, 0x1f, 0x90]); // priority, weight, port 8080
        packet.extend([3, b'w', b'e', b'b', 0xc0, 22]); // web.marathon.mesos
        packet
    }

    #[test]
    fn a_service_record_is_read() {
        let packet = answer();
        let at = first_record(&packet, TYPE_SRV).unwrap().unwrap();
        assert_eq!(number(&packet, at + 4).unwrap(), 8080);
        assert_eq!(read_name(&packet, at + 6).unwrap().0, "web.marathon.mesos");
        assert!(first_record(&packet, TYPE_A).is_none());
    }

    #[test]
    fn bad_packets_are_refused() {
        let packet = answer();
        for length in 0..packet.len() {
            assert!(first_record(&packet[..length], TYPE_SRV).is_none_or(|found| found.is_err()));
        }
        // A name that points to itself.
        assert!(read_name(&[0xc0, 0], 0).is_err());
        assert!(question([0, 0], "a..b", TYPE_A).is_err());
    }
}
