//! Roles: who resources are charged to, with weights and quotas (Mesos' roles, DC/OS' group roles).

mod guarantee;
mod usage;

pub use guarantee::HeldBack;
pub(crate) use guarantee::guaranteed_in_all;
pub use usage::{Amounts, Exceeded, QuotaReached, Usage};

use crate::{App, AppId, Scalar};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The role of whoever has none.
pub const ANY_ROLE: &str = "*";
/// Most roles with a weight or a quota.
pub const ROLES_MAX: usize = 10_000;
/// Longest name of a role, bytes.
pub const ROLE_NAME_BYTES_MAX: usize = 512;

/// What operators decided about a role. Roles are paths: `eng/prod` is charged to `eng` as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Share of the cluster it should get, beside others; above 0, 1 by default.
    #[serde(default = "one")]
    pub weight: Scalar,
    /// Most of each resource (`cpus`, `mem`, `disk`, `gpus`, names of nodes' own) its tasks may take.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Scalar>,
    /// Amounts held back for its tasks: others may not take the last of them (Mesos: guarantees).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub guarantees: BTreeMap<String, Scalar>,
    /// New apps of the top-level group of this name are charged to it (Marathon: `enforceRole`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enforced: bool,
}

const fn one() -> Scalar {
    Scalar::ONE
}

impl Role {
    /// A role nobody has decided anything about.
    pub const fn new(name: String) -> Self {
        Self { name, weight: Scalar::ONE, limits: BTreeMap::new(), guarantees: BTreeMap::new(), enforced: false }
    }

    /// Whether it limits or guarantees something.
    pub fn has_quota(&self) -> bool {
        !self.limits.is_empty() || !self.guarantees.is_empty()
    }

    /// Whether there is nothing to remember.
    pub fn is_default(&self) -> bool {
        self.weight == Scalar::ONE && !self.is_charged()
    }

    /// Whether apps of the group of this name that name no role are charged to it.
    pub fn is_charged(&self) -> bool {
        self.has_quota() || self.enforced
    }
}

/// What is wrong with a name (Mesos' rules).
pub fn name_fault(name: &str) -> Option<String> {
    if name == ANY_ROLE {
        return None;
    }
    let segment = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part != ANY_ROLE
            && !part.starts_with('-')
            && !part.chars().any(|letter| letter.is_whitespace() || letter.is_control())
    };
    let valid = name.len() <= ROLE_NAME_BYTES_MAX && name.split('/').all(segment);
    (!valid).then(|| format!("\"{name}\" is no name of a role; write parts without blanks, joined by /, such as eng/prod"))
}

/// The role itself and those above it.
pub fn lineage(role: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(role), |role| role.rsplit_once('/').map(|(above, _)| above))
}

/// The role an app is charged to: its own, or that of its top-level group when that has a quota or
/// enforces its role.
pub fn role_of<'a>(app: &'a App, roles: &OrdMap<Arc<str>, Arc<Role>>) -> &'a str {
    if let Some(role) = &app.role {
        return role;
    }
    let group = top_group(&app.id);
    let is_charged = roles.get(group).is_some_and(|role| role.is_charged());
    if is_charged { group } else { ANY_ROLE }
}

/// First segment of the id of an app in a group; of one at the root, the empty text.
pub(crate) fn top_group(id: &AppId) -> &str {
    let path = id.as_str().trim_start_matches('/');
    path.split_once('/').map_or("", |(group, _)| group)
}
