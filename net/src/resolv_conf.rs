//! Upstream servers of this machine.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// The file that lists them.
pub(crate) const PATH: &str = "/etc/resolv.conf";
/// Upstream servers used at most, as in the C library.
pub(crate) const UPSTREAMS_MAX: usize = 3;
const DNS_PORT: u16 = 53;

/// The `nameserver` lines of a resolv.conf. Lines that cannot be read are passed over.
pub(crate) fn parse(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
        })
        .map(|address| SocketAddr::new(address, DNS_PORT))
        .take(UPSTREAMS_MAX)
        .collect()
}

/// `upstreams` without the server that listens on `local` itself, without duplicates, and at most
/// [`UPSTREAMS_MAX`].
pub(crate) fn without_self(upstreams: &[SocketAddr], local: SocketAddr) -> Vec<SocketAddr> {
    let mut kept: Vec<SocketAddr> = Vec::new();
    for upstream in upstreams {
        let is_self = upstream.port() == local.port()
            && (upstream.ip() == local.ip() || (local.ip().is_unspecified() && is_of_this_machine(upstream.ip())));
        if !is_self && !kept.contains(upstream) && kept.len() < UPSTREAMS_MAX {
            kept.push(*upstream);
        }
    }
    kept
}

/// Only addresses of this machine can be bound.
fn is_of_this_machine(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines() {
        let text = "# nameserver 9.9.9.9\nsearch example.com\nnameserver 10.0.0.1\n  nameserver\t::1 # x\nnameserver\nnameserver x\nnameserver 1.1.1.1\nnameserver 2.2.2.2\n";
        let want: Vec<SocketAddr> = ["10.0.0.1:53", "[::1]:53", "1.1.1.1:53"].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(parse(text), want);
        assert!(parse("").is_empty());
    }

    #[test]
    fn never_asks_itself() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let upstreams = [address("127.0.0.1:53"), address("192.0.2.1:53"), address("127.0.0.1:54"), address("192.0.2.1:53")];
        assert_eq!(without_self(&upstreams, address("127.0.0.1:53")), upstreams[1..3]);
        assert_eq!(without_self(&upstreams, address("0.0.0.0:53")), upstreams[1..3]);
        assert_eq!(without_self(&upstreams, address("127.0.0.2:53")), upstreams[..3]);
    }
}
