//! What one app has where: instances per node, and counted instances per configuration and value.

use super::counted::{Counted, add};
use super::fields::Fields;
use super::tree::NONE;
use super::{counts_own, follows_first};
use crate::app::App;
use crate::hash::Map;
use crate::{InstanceId, Timestamp};
use std::collections::BTreeMap;

/// Counters of one app.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Instances with a seat, by slot, whatever their configuration.
    pub(crate) nodes: Map<u32, u32>,
    /// Configurations that have constraints and instances that count for them.
    pub(crate) configs: Vec<Config>,
    /// When it last changed, by the ledger's count of changes; 0 when nothing is tallied.
    pub(crate) epoch: u64,
}

/// Instances of one configuration that count for its constraints.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// Last change of the configuration.
    pub(crate) at: Timestamp,
    /// Counted instances by slot and by value.
    pub(crate) counted: Counted,
    /// Counted instances in order of their ids, for CLUSTER without a value.
    ordered: Option<BTreeMap<InstanceId, u32>>,
}

impl Tally {
    /// Instances of the app on a slot.
    pub(crate) fn same_app(&self, slot: u32) -> u32 {
        self.nodes.get(&slot).copied().unwrap_or(0)
    }

    /// Adds or takes away an instance with a seat.
    pub(crate) fn seat(&mut self, slot: u32, more: bool) {
        add(&mut self.nodes, slot, more);
    }

    /// Adds or takes away an instance that counts for the constraints of its configuration.
    pub(crate) fn count(&mut self, id: &InstanceId, app: &App, slot: u32, more: bool, fields: &Fields) {
        if counts_own(app) {
            let index = self.config(app.version_info.last_config_change_at, follows_first(app));
            self.configs[index].count(Some(id), slot, more, fields);
        }
    }

    /// The configuration changed at `at`; its index.
    pub(crate) fn config(&mut self, at: Timestamp, ordered: bool) -> usize {
        let index = self.configs.iter().position(|config| config.at == at).unwrap_or_else(|| {
            self.configs.push(Config { at, ordered: ordered.then(BTreeMap::new), ..Config::default() });
            self.configs.len() - 1
        });
        if ordered {
            // A configuration that had no counted instance yet may have been made without order.
            let config = &mut self.configs[index];
            if config.ordered.is_none() && config.counted.is_empty() {
                config.ordered = Some(BTreeMap::new());
            }
        }
        index
    }

    /// Forgets configurations nothing runs of.
    pub(crate) fn tidy(&mut self) {
        self.configs.retain(|config| !config.counted.is_empty());
    }

    /// Whether nothing is left to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.configs.is_empty()
    }
}

impl Config {
    /// Adds or takes away a counted instance.
    pub(crate) fn count(&mut self, id: Option<&InstanceId>, slot: u32, more: bool, fields: &Fields) {
        self.counted.count(slot, more, fields);
        if let (Some(ordered), Some(id)) = (&mut self.ordered, id) {
            if more {
                ordered.insert(id.clone(), slot);
            } else {
                ordered.remove(id);
            }
        }
    }

    /// Value of the field on the node of the first counted instance that has one.
    pub(crate) fn first(&self, field: u32, fields: &Fields) -> Option<u32> {
        let values = self.ordered.iter().flat_map(BTreeMap::values).map(|slot| fields.get(field).value(*slot));
        values.into_iter().find(|value| *value != NONE)
    }
}
