//! What a node says of itself, checked: a lying agent may not harm the cluster.

use super::{NodeFacts, PortRanges, RESERVATIONS_MAX};
use crate::Scalar;
use crate::role::{ANY_ROLE, name_fault};

/// Most CPUs a node may offer.
pub const CPUS_MAX: i64 = 100_000;
/// Most memory or disk a node may offer, MiB (64 PiB).
pub const MIB_MAX: i64 = 1 << 36;
/// Most GPUs a node may offer.
pub const GPUS_MAX: u32 = 1_024;
/// Most resources with names of a node's own; the rest is left out.
pub const CUSTOM_MAX: usize = 64;
/// Most attributes of a node; the rest is left out.
pub const ATTRIBUTES_MAX: usize = 256;
/// Most bytes of a text a node says of itself.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Most bytes of a host name (RFC 1035).
pub const HOSTNAME_BYTES_MAX: usize = 253;
/// Most executors of a node.
pub const EXECUTORS_MAX: usize = 16;

impl NodeFacts {
    /// The facts with everything impossible clamped or left out, and a sentence for each.
    pub fn checked(mut self) -> (Self, Vec<String>) {
        let mut faults = Vec::new();
        let resources = &mut self.resources;
        clamp(&mut resources.cpus, CPUS_MAX, "cpus", &mut faults);
        clamp(&mut resources.mem, MIB_MAX, "MiB of mem", &mut faults);
        clamp(&mut resources.disk, MIB_MAX, "MiB of disk", &mut faults);
        if resources.gpus > GPUS_MAX {
            faults.push(format!("it offers {} gpus; {GPUS_MAX} are counted", resources.gpus));
            resources.gpus = GPUS_MAX;
        }
        let before = resources.custom.len();
        resources.custom.retain(|name, amount| {
            let named = !name.is_empty() && name.len() <= TEXT_BYTES_MAX;
            named && amount.is_positive() && *amount <= Scalar::from_units(MIB_MAX)
        });
        while resources.custom.len() > CUSTOM_MAX {
            resources.custom.pop_last();
        }
        if resources.custom.len() < before {
            let left_out = before - resources.custom.len();
            faults.push(format!("{left_out} of its {before} resources of its own cannot be used or are too many and left out"));
        }
        self.check_reserved(&mut faults);
        let resources = &mut self.resources;
        if resources.ports.contains(0) {
            faults.push("it offers port 0, which is none".into());
            resources.ports = PortRanges::new(resources.ports.ranges().iter().map(|range| (range.begin.max(1), range.end)));
        }
        let usable =
            |text: &str| !text.is_empty() && text.len() <= HOSTNAME_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !usable(&self.hostname) {
            faults.push(format!("its host name cannot be used; it is called {}", self.id));
            self.hostname = self.id.to_string();
        }
        if !usable(&self.role) {
            faults.push("its role cannot be used; it counts as *".into());
            self.role = "*".into();
        }
        let before = self.attributes.len();
        self.attributes.retain(|name, value| !name.is_empty() && name.len() + value.len() <= TEXT_BYTES_MAX);
        while self.attributes.len() > ATTRIBUTES_MAX {
            self.attributes.pop_last();
        }
        if self.attributes.len() < before {
            faults.push(format!(
                "{} of its {before} attributes are too long or too many and left out",
                before - self.attributes.len()
            ));
        }
        for (text, name) in [(&mut self.region, "region"), (&mut self.zone, "zone")] {
            if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > TEXT_BYTES_MAX) {
                faults.push(format!("its {name} cannot be used and is left out"));
                *text = None;
            }
        }
        if self.version.len() > TEXT_BYTES_MAX {
            faults.push("its version cannot be used and is left out".into());
            self.version.clear();
        }
        let before = self.executors.len();
        self.executors.retain(|name| usable(name));
        self.executors.truncate(EXECUTORS_MAX);
        if self.executors.len() < before {
            faults.push(format!("{} of its {before} executors cannot be used", before - self.executors.len()));
        }
        (self, faults)
    }
}

impl NodeFacts {
    /// Static reservations: for roles that can be, and no more than there is.
    fn check_reserved(&mut self, faults: &mut Vec<String>) {
        let resources = &mut self.resources;
        let before = resources.reserved.len();
        resources.reserved.retain(|role, bundle| {
            let amounts = bundle.columns();
            let sound = name_fault(role).is_none() && role != ANY_ROLE && amounts.iter().all(|amount| *amount >= 0);
            sound && bundle.custom.is_empty() && !bundle.is_empty()
        });
        while resources.reserved.len() > RESERVATIONS_MAX {
            resources.reserved.pop_last();
        }
        let total = [resources.cpus, resources.mem, resources.disk, Scalar::from_units(resources.gpus.into())];
        let mut sums = [Scalar::ZERO; 4];
        resources.reserved.retain(|_, bundle| {
            let parts = [bundle.cpus, bundle.mem, bundle.disk, Scalar::from_units(bundle.gpus.into())];
            let next: [Scalar; 4] = std::array::from_fn(|column| sums[column] + parts[column]);
            let fits = next.iter().zip(total).all(|(sum, total)| *sum <= total);
            if fits {
                sums = next;
            }
            fits
        });
        if resources.reserved.len() < before {
            let left_out = before - resources.reserved.len();
            faults.push(format!(
                "{left_out} of its {before} reservations are impossible, more than it has or too many and left out"
            ));
        }
    }
}

fn clamp(amount: &mut Scalar, most: i64, what: &str, faults: &mut Vec<String>) {
    let most = Scalar::from_units(most);
    let clamped = (*amount).clamp(Scalar::ZERO, most);
    if clamped != *amount {
        faults.push(format!("it offers {amount} {what}; {clamped} are counted"));
        *amount = clamped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{NodeId, Resources};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn facts() -> NodeFacts {
        NodeFacts {
            port: 5051,
            resources: Resources {
                cpus: Scalar::from_units(4),
                mem: Scalar::from_units(4096),
                ports: PortRanges::new([(31_000, 32_000)]),
                ..Resources::default()
            },
            attributes: BTreeMap::from([("rack".into(), "r1".into())]),
            region: Some("eu".into()),
            executors: vec!["process".into()],
            version: "1".into(),
            ..NodeFacts::new(NodeId::parse("c-S1").unwrap(), "h1".into(), "10.0.0.1".parse().unwrap())
        }
    }

    #[test]
    fn honest_facts_stay_as_they_are() {
        assert_eq!(facts().checked(), (facts(), Vec::new()));
    }

    #[test]
    fn every_lie_is_named_and_clamped() {
        type Lie = fn(&mut NodeFacts);
        let lies: [(Lie, &str); 12] = [
            (|facts| facts.resources.cpus = Scalar::from_units(-4), "offers -4 cpus; 0 are counted"),
            (|facts| facts.resources.mem = Scalar::from_thousandths(i64::MAX), "MiB of mem; 68719476736 are counted"),
            (|facts| facts.resources.disk = Scalar::from_thousandths(i64::MIN), "MiB of disk; 0 are counted"),
            (|facts| facts.resources.gpus = u32::MAX, "gpus; 1024 are counted"),
            (|facts| facts.resources.ports = PortRanges::new([(0, 10)]), "port 0"),
            (|facts| facts.hostname.clear(), "called c-S1"),
            (|facts| facts.hostname = "a b".into(), "called c-S1"),
            (|facts| facts.role = "x".repeat(5000), "counts as *"),
            (
                |facts| facts.attributes = (0..1000).map(|n| (format!("a{n}"), String::new())).collect(),
                "744 of its 1000 attributes",
            ),
            (|facts| facts.zone = Some("z".repeat(5000)), "its zone"),
            (|facts| facts.version = "v".repeat(5000), "its version"),
            (|facts| facts.executors = vec!["process".into(); 100], "84 of its 100 executors"),
        ];
        for (lie, sentence) in lies {
            let mut lying = facts();
            lie(&mut lying);
            let (checked, faults) = lying.checked();
            assert!(faults.len() == 1 && faults[0].contains(sentence), "{faults:?} / {sentence}");
            assert_eq!(checked.clone().checked(), (checked, Vec::new()), "once is enough");
        }
    }

    proptest! {
        #[test]
        fn no_amount_gets_past(cpus in any::<i64>(), mem in any::<i64>(), disk in any::<i64>(), gpus in any::<u32>(), hostname in ".*") {
            let mut lying = facts();
            lying.resources.cpus = Scalar::from_thousandths(cpus);
            lying.resources.mem = Scalar::from_thousandths(mem);
            lying.resources.disk = Scalar::from_thousandths(disk);
            lying.resources.gpus = gpus;
            lying.hostname = hostname;
            let (checked, _) = lying.checked();
            let resources = &checked.resources;
            prop_assert!(resources.cpus >= Scalar::ZERO && resources.cpus <= Scalar::from_units(CPUS_MAX));
            for amount in [resources.mem, resources.disk] {
                prop_assert!(amount >= Scalar::ZERO && amount <= Scalar::from_units(MIB_MAX));
            }
            prop_assert!(resources.gpus <= GPUS_MAX && !checked.hostname.is_empty());
        }
    }
}
