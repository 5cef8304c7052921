//! Amounts of resources that belong together.

use crate::app::App;
use crate::{Fault, Scalar};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Amounts of scalar resources. Ports are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bundle {
    /// CPUs, each a full core.
    #[serde(skip_serializing_if = "is_zero")]
    pub cpus: Scalar,
    /// MiB of memory.
    #[serde(skip_serializing_if = "is_zero")]
    pub mem: Scalar,
    /// MiB of disk.
    #[serde(skip_serializing_if = "is_zero")]
    pub disk: Scalar,
    /// Whole GPUs.
    #[serde(skip_serializing_if = "is_none")]
    pub gpus: u32,
    /// Resources with names of the operator's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<String, Scalar>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(amount: &Scalar) -> bool {
    *amount == Scalar::ZERO
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Bundle {
    /// What one task of `app` takes, its volumes included.
    pub fn of(app: &App) -> Self {
        let custom = app.resources.iter().filter(|(_, amount)| amount.is_positive());
        let custom = custom.map(|(name, amount)| (name.clone(), *amount)).collect();
        Self { cpus: app.cpus, mem: app.mem, disk: app.disk_needed(), gpus: app.gpus, custom }
    }

    /// Cpus, memory, disk and GPUs in thousandths, GPUs whole.
    pub fn columns(&self) -> [i64; 4] {
        [self.cpus.thousandths(), self.mem.thousandths(), self.disk.thousandths(), i64::from(self.gpus)]
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Every amount with its name.
    pub fn amounts(&self) -> impl Iterator<Item = (&str, Scalar)> {
        let own = [("cpus", self.cpus), ("mem", self.mem), ("disk", self.disk), ("gpus", Scalar::from_units(self.gpus.into()))];
        own.into_iter()
            .filter(|(_, amount)| *amount != Scalar::ZERO)
            .chain(self.custom.iter().map(|(name, amount)| (name.as_str(), *amount)))
    }

    /// Adds an amount by its name; GPUs count whole.
    pub fn add(&mut self, name: &str, amount: Scalar) {
        match name {
            "cpus" => self.cpus += amount,
            "mem" => self.mem += amount,
            "disk" => self.disk += amount,
            "gpus" => {
                self.gpus = self.gpus.saturating_add(u32::try_from(amount.thousandths() / 1000).unwrap_or(0));
            }
            _ => *self.custom.entry(name.to_owned()).or_default() += amount,
        }
    }

    /// This much more.
    #[must_use]
    pub fn plus(&self, more: &Self) -> Self {
        let mut sum = self.clone();
        more.amounts().for_each(|(name, amount)| sum.add(name, amount));
        sum
    }

    /// This much less, nothing below zero.
    #[must_use]
    pub fn minus(&self, less: &Self) -> Self {
        let mut custom = self.custom.clone();
        for (name, amount) in &less.custom {
            if let Some(have) = custom.get_mut(name) {
                *have = have.minus_or_zero(*amount);
            }
        }
        custom.retain(|_, amount| amount.is_positive());
        Self {
            cpus: self.cpus.minus_or_zero(less.cpus),
            mem: self.mem.minus_or_zero(less.mem),
            disk: self.disk.minus_or_zero(less.disk),
            gpus: self.gpus.saturating_sub(less.gpus),
            custom,
        }
    }

    /// What of `need` is not in here.
    pub fn lacks(&self, need: &Self) -> Vec<Fault> {
        let short = need.minus(self);
        short.amounts().map(|(name, amount)| Fault::new(name, format!("{amount} more would be needed"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_add_and_subtract_by_name() {
        let mut bundle = Bundle::default();
        for (name, units) in [("cpus", 2), ("mem", 64), ("gpus", 1), ("tapes", 3)] {
            bundle.add(name, Scalar::from_units(units));
        }
        let twice = bundle.plus(&bundle);
        assert_eq!((twice.cpus, twice.gpus, twice.custom["tapes"]), (Scalar::from_units(4), 2, Scalar::from_units(6)));
        assert_eq!(twice.minus(&bundle), bundle);
        assert_eq!(bundle.minus(&twice), Bundle::default());
        assert_eq!(bundle.lacks(&twice).len(), 4);
        let text = serde_json::to_string(&bundle).unwrap();
        assert_eq!(serde_json::from_str::<Bundle>(&text).unwrap(), bundle);
    }
}
