//! What one seed decides: how large the world is, which faults are in the air and how often.

use crate::chance::Chance;
use crate::planted::Planted;

/// The shape of a simulation. All rates are faults a minute; 0 is never.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Controllers.
    pub controllers: usize,
    /// Machines.
    pub machines: usize,
    /// Apps, each with a client of its own.
    pub apps: usize,
    /// How long faults happen, seconds.
    pub seconds: u64,
    /// What happens how often.
    pub rates: Vec<(Fault, u32)>,
    /// Chance per mille that a task ends by itself.
    pub crashes: u32,
    /// Chance per mille that a task falls sick at a probe.
    pub sickens: u32,
    /// The planted bug.
    pub planted: Planted,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A controller is killed, and started again after a while.
    ControllerCrash,
    /// A controller does not run for 1 to 60 seconds.
    ControllerPause,
    /// A controller does not reach the store, or does not hear it.
    StorePartition,
    /// Requests and answers are lost, late, stale, refused.
    StoreFlaky,
    /// The store has no quorum.
    QuorumLoss,
    /// Watches lose, repeat, break.
    WatchFaults,
    /// The store forgets its history.
    Compaction,
    /// An agent is killed, and started again.
    AgentCrash,
    /// A machine loses power.
    Reboot,
    /// A machine is cut off both ways, for shorter or longer.
    MachineCut,
    /// Messages of one direction do not arrive.
    OneWay,
    /// A connection is reset.
    Reset,
    /// It comes and goes.
    Flapping,
    /// Packets are lost: messages take long.
    SlowNetwork,
    /// Controllers do not reach each other.
    ControllersCut,
    /// A firewall between two controllers refuses connections in the other's name.
    ControllersRejected,
}

impl Fault {
    const ALL: [Self; 16] = [
        Self::ControllerCrash,
        Self::ControllerPause,
        Self::StorePartition,
        Self::StoreFlaky,
        Self::QuorumLoss,
        Self::WatchFaults,
        Self::Compaction,
        Self::AgentCrash,
        Self::Reboot,
        Self::MachineCut,
        Self::OneWay,
        Self::Reset,
        Self::Flapping,
        Self::SlowNetwork,
        Self::ControllersCut,
        Self::ControllersRejected,
    ];
}

impl Plan {
    /// The plan of a seed. Each seed leaves some kinds of faults out: what many faults together
    /// prevent is never seen otherwise.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed).split("plan");
        let rates = Fault::ALL.into_iter().filter_map(|fault| {
            let (wanted, rate) = (chance.hits(450), chance.between(1, 8) as u32);
            wanted.then_some((fault, rate))
        });
        let rates = rates.collect();
        Self {
            seed,
            controllers: if chance.hits(850) { 3 } else { 1 },
            machines: chance.between(3, 6) as usize,
            apps: chance.between(2, 4) as usize,
            seconds: chance.between(10, 40),
            rates,
            crashes: if chance.hits(500) { 0 } else { chance.between(1, 250) as u32 },
            sickens: if chance.hits(500) { 0 } else { chance.between(1, 60) as u32 },
            planted: Planted::Nothing,
        }
    }

    /// The plan of a seed with a planted bug: small, and with those faults that show such bugs best.
    pub fn with_bug(seed: u64, planted: Planted) -> Self {
        let rates = match planted {
            Planted::NoFencing | Planted::StaleTakeover => vec![
                (Fault::ControllerPause, 12),
                (Fault::StoreFlaky, 12),
                (Fault::StorePartition, 12),
                (Fault::ControllerCrash, 4),
            ],
            Planted::DuplicatesKept => vec![(Fault::MachineCut, 16), (Fault::AgentCrash, 4)],
            _ => vec![(Fault::AgentCrash, 10), (Fault::Reset, 10), (Fault::MachineCut, 4), (Fault::ControllerCrash, 4)],
        };
        Self { machines: 3, apps: 3, seconds: 30, rates, crashes: 200, sickens: 20, controllers: 3, planted, ..Self::of(seed) }
    }
}
