//! Asking DNS servers: one question, or as many as they answer.

use crate::process;
use anyhow::{Context as _, bail};
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// Record types that are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    A = 1,
    Srv = 33,
}

/// A name and a type.
pub(crate) type Question = (String, Kind);

/// Questions under way at once.
const WINDOW: usize = 200;
/// A reply that has not come by then is lost.
const LOST_AFTER: Duration = Duration::from_millis(200);
/// Share of questions that may be lost, or answered without a record, before a figure counts as none.
const FAULTY_SHARE_MAX: f64 = 0.01;

/// A packet that asks.
pub(crate) fn query(id: u16, (name, kind): &Question) -> Vec<u8> {
    let mut packet = Vec::with_capacity(name.len() + 18);
    packet.extend(id.to_be_bytes());
    // A standard query, recursion desired as dig and dnsperf have it; one question.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, *kind as u8, 0, 1]);
    packet
}

/// Whether a packet is a reply with an answer.
pub(crate) fn has_answer(packet: &[u8]) -> bool {
    packet.len() > 12 && packet[2] & 0x80 != 0 && packet[3].trailing_zeros() >= 4 && (packet[6], packet[7]) != (0, 0)
}

/// A socket to a server.
pub(crate) fn connect(server: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(LOST_AFTER))?;
    Ok(socket)
}

/// Asks one question; whether it was answered with records.
pub(crate) fn is_answered(socket: &UdpSocket, packet: &[u8]) -> anyhow::Result<bool> {
    let mut buffer = [0; 1500];
    // A server that does not listen yet refuses; that is no answer either.
    if socket.send(packet).is_err() {
        return Ok(false);
    }
    match socket.recv(&mut buffer) {
        Ok(length) => Ok(has_answer(&buffer[..length])),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks until there is an answer: the server is ready.
pub(crate) fn wait_ready(server: SocketAddr, question: &Question, patience: Duration) -> anyhow::Result<()> {
    let (socket, packet, start) = (connect(server)?, query(1, question), Instant::now());
    while !is_answered(&socket, &packet)? {
        if start.elapsed() > patience {
            bail!("the DNS server on {server} did not answer within {} s", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Generates load, pinned to one core.
pub(crate) enum Load {
    /// Debian's `dnsperf`.
    Dnsperf { program: std::path::PathBuf, file: std::path::PathBuf, core: usize },
    /// A loop of our own, where dnsperf is not installed.
    Own { packets: Vec<Vec<u8>> },
}

impl Load {
    /// Prepares the questions.
    pub(crate) fn new(questions: &[Question], directory: &Path, core: usize) -> anyhow::Result<Self> {
        let Some(program) = process::find("dnsperf") else {
            return Ok(Self::Own { packets: questions.iter().map(|question| query(0, question)).collect() });
        };
        let file = directory.join("questions");
        let text = questions.iter().fold(String::new(), |mut text, (name, kind)| {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{name} {}", if matches!(kind, Kind::A) { "A" } else { "SRV" });
            text
        });
        fs::write(&file, text)?;
        Ok(Self::Dnsperf { program, file, core })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Dnsperf { .. } => "dnsperf",
            Self::Own { .. } => "our own load (dnsperf is not installed)",
        }
    }

    /// Answered questions per second.
    pub(crate) fn rate(&self, server: SocketAddr, time: Duration) -> anyhow::Result<f64> {
        match self {
            Self::Dnsperf { program, file, core } => {
                let output = process::pinned(*core, program)
                    .args(["-s", &server.ip().to_string(), "-p", &server.port().to_string(), "-d"])
                    .arg(file)
                    .args(["-l", &time.as_secs().to_string(), "-c", "10", "-T", "1", "-q", &WINDOW.to_string()])
                    .output()
                    .context("cannot run dnsperf")?;
                let text = String::from_utf8_lossy(&output.stdout);
                read_dnsperf(&text).with_context(|| format!("dnsperf said: {text}{}", String::from_utf8_lossy(&output.stderr)))
            }
            Self::Own { packets } => own_rate(packets, server, time),
        }
    }
}

fn read_dnsperf(text: &str) -> anyhow::Result<f64> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).with_context(|| format!("no {name:?}"))
    };
    let (sent, lost) = (value("Queries sent:")?, value("Queries lost:")?);
    if lost > sent * FAULTY_SHARE_MAX {
        bail!("{lost} of {sent} queries were lost");
    }
    if !text.contains("NOERROR") {
        bail!("no query was answered well");
    }
    value("Queries per second:")
}

fn own_rate(packets: &[Vec<u8>], server: SocketAddr, time: Duration) -> anyhow::Result<f64> {
    let socket = connect(server)?;
    let mut next = packets.iter().cycle();
    let mut buffer = [0; 1500];
    let (mut answered, mut faulty) = (0_u64, 0_u64);
    let mut send = |count: usize| -> anyhow::Result<()> {
        for packet in next.by_ref().take(count) {
            socket.send(packet)?;
        }
        Ok(())
    };
    send(WINDOW)?;
    let start = Instant::now();
    while start.elapsed() < time {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                answered += 1;
                faulty += u64::from(!has_answer(&buffer[..length]));
                send(1)?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                faulty += WINDOW as u64;
                send(WINDOW)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if faulty as f64 > answered as f64 * FAULTY_SHARE_MAX {
        bail!("{faulty} of {answered} questions were lost or not answered well");
    }
    Ok(answered as f64 / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::{Kind, has_answer, query, read_dnsperf};

    #[test]
    fn a_query_is_as_rfc_1035_has_it() {
        let packet = query(0x1234, &("a.bc".into(), Kind::Srv));
        assert_eq!(packet, [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 2, b'b', b'c', 0, 0, 33, 0, 1]);
        assert!(!has_answer(&packet));
    }

    #[test]
    fn dnsperf_is_read_and_losses_are_not_hidden() {
        let text = |lost: u32| {
            format!(
                "  Queries sent: 1000\n  Queries lost: {lost} (x%)\n  Response codes: NOERROR 1000\n  Queries per second:   5000.5\n"
            )
        };
        assert!((read_dnsperf(&text(0)).unwrap() - 5000.5).abs() < 1e-9);
        assert!(read_dnsperf(&text(50)).is_err());
        assert!(read_dnsperf("nonsense").is_err());
    }
}
