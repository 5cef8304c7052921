//! The DNS packet path: any packet ends in a bounded reply, in forwarding or in silence.
//!
//! Input: one byte of choices (transport, forwarding, entropy), then the packet.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orrery_core::dns::{Owner, master_records};
use orrery_net::{Snapshot, Transport, Verdict, ZoneHandle, respond};
use std::net::SocketAddr;
use std::sync::LazyLock;

/// As many masters as make answers long enough to be truncated.
static ZONE: LazyLock<Snapshot> = LazyLock::new(|| {
    let masters: Vec<SocketAddr> = (0..100_u8)
        .flat_map(|last| [([10, 0, 0, last], 80).into(), ([0, 0, 0, 0, 0, 0, 1, u16::from(last)], 80).into()])
        .collect();
    let zone = ZoneHandle::new();
    zone.apply(Owner::Masters, master_records(&masters, masters.first().copied()));
    zone.snapshot()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((choices, packet)) = bytes.split_first() else { return };
    let transport = if choices & 1 == 0 { Transport::Udp } else { Transport::Tcp };
    let mut reply = Vec::new();
    let verdict = respond(packet, transport, &ZONE, choices & 2 != 0, u64::from(*choices) << 56, &mut reply);
    match verdict {
        Verdict::Reply | Verdict::Malformed => {
            assert!(reply.len() >= 12 && reply[..2] == packet[..2] && reply[2] & 0x80 != 0);
            assert!(reply.len() <= if transport == Transport::Udp { 1232 } else { 65_535 });
            // A reply is never taken for a query.
            assert_eq!(respond(&reply, transport, &ZONE, true, 0, &mut Vec::new()), Verdict::Drop);
        }
        Verdict::Forward | Verdict::Drop => assert!(reply.is_empty()),
    }
});
