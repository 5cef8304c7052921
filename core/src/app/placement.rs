//! Where instances should rather run: Orrery's own field `placement`, beside Marathon's constraints.
//!
//! A rule without a `weight` is a demand, one with a weight a wish: a node that fulfils it gains the
//! weight (or is spared it), and the node with the most is taken (docs/scheduling.md).

use super::{AppId, Operator};
use serde::{Deserialize, Serialize};

/// Most rules of each kind in one app.
pub const PLACEMENT_RULES_MAX: usize = 16;
/// Largest weight, and largest priority on either side of 0.
pub const WEIGHT_MAX: u32 = 1_000;

/// Which of the nodes that take a task is best, weights being equal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Packing {
    /// The node with the fewest instances of the app, then the least loaded.
    #[default]
    Spread,
    /// The node whose free resources are shaped most like the task, empty nodes last.
    Binpack,
}

/// Instances evenly over the values of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpreadRule {
    /// Field of the node.
    pub field: String,
    /// By how many instances the fullest value may be ahead of the emptiest; at least 1.
    pub maximum_skew: u32,
    /// Cost of each instance beyond the skew; `None` forbids it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// Nodes that are liked better: LIKE, UNLIKE or IS as in constraints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preference {
    /// Field of the node.
    pub field: String,
    /// LIKE, UNLIKE or IS.
    #[serde(with = "operator_word")]
    pub operator: Operator,
    /// Operand.
    pub value: String,
    /// What a node that matches gains.
    pub weight: u32,
}

/// Instances of which apps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// Those of this app.
    App(AppId),
    /// Those of apps with this label, `key=value`.
    Label(String),
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::App(id) => write!(f, "{id}"),
            Self::Label(label) => write!(f, "label {label}"),
        }
    }
}

impl Selector {
    /// Whether instances of `app` are meant.
    pub fn selects(&self, app: &super::App) -> bool {
        match self {
            Self::App(id) => *id == app.id,
            Self::Label(label) => {
                label.split_once('=').is_some_and(|(key, value)| app.labels.get(key).is_some_and(|have| have == value))
            }
        }
    }
}

/// Near to, or away from, instances of other apps (or the app itself).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredAffinity", into = "StoredAffinity")]
pub struct Affinity {
    /// Of whom.
    pub selector: Selector,
    /// Near is where this field has the same value: `hostname`, `@zone`, `rack` …
    pub field: String,
    /// What such a node gains, or loses; `None` makes it a demand.
    pub weight: Option<u32>,
}

/// The written form: `{"app": …}` or `{"label": …}`.
#[derive(Clone, Serialize, Deserialize)]
struct StoredAffinity {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app: Option<AppId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    field: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
}

impl From<Affinity> for StoredAffinity {
    fn from(affinity: Affinity) -> Self {
        let (app, label) = match affinity.selector {
            Selector::App(id) => (Some(id), None),
            Selector::Label(label) => (None, Some(label)),
        };
        Self { app, label, field: affinity.field, weight: affinity.weight }
    }
}

impl TryFrom<StoredAffinity> for Affinity {
    type Error = String;

    fn try_from(stored: StoredAffinity) -> Result<Self, String> {
        let selector = match (stored.app, stored.label) {
            (Some(id), None) => Selector::App(id),
            (None, Some(label)) => Selector::Label(label),
            _ => return Err("an affinity names either an app or a label".into()),
        };
        Ok(Self { selector, field: stored.field, weight: stored.weight })
    }
}

/// All placement rules of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// Spread over nodes, or fill them; spread when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Packing>,
    /// At most one instance of a configuration on a node.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub one_per_node: bool,
    /// Even distribution over fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<SpreadRule>,
    /// Nodes liked better.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefer: Vec<Preference>,
    /// Apps to be near to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub affinity: Vec<Affinity>,
    /// Apps to stay away from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anti_affinity: Vec<Affinity>,
    /// Who goes first when there is not room for all: higher before lower. Instances of a lower
    /// priority may be moved or stopped for those of a higher one.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

impl Placement {
    /// Whether there is nothing in it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether instances of the app itself decide where more may go.
    pub fn counts_own(&self) -> bool {
        self.one_per_node || !self.spread.is_empty()
    }
}

mod operator_word {
    use super::Operator;
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(operator: &Operator, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(operator.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Operator, D::Error> {
        let text = String::deserialize(deserializer)?;
        Operator::parse(&text).ok_or_else(|| de::Error::custom(format!("{text} is not an operator")))
    }
}
