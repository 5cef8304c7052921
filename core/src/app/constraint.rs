//! Placement constraints (marathon.md 1.9).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a constraint demands of the field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are Marathon's operators")]
pub enum Operator {
    Unique,
    Cluster,
    GroupBy,
    MaxPer,
    Like,
    Unlike,
    Is,
}

impl Operator {
    /// The word in specs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unique => "UNIQUE",
            Self::Cluster => "CLUSTER",
            Self::GroupBy => "GROUP_BY",
            Self::MaxPer => "MAX_PER",
            Self::Like => "LIKE",
            Self::Unlike => "UNLIKE",
            Self::Is => "IS",
        }
    }

    /// Reads the word, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Unique, Self::Cluster, Self::GroupBy, Self::MaxPer, Self::Like, Self::Unlike, Self::Is]
            .into_iter()
            .find(|operator| operator.as_str().eq_ignore_ascii_case(text))
    }
}

/// `[field, operator, value?]`; the field is `hostname`, `@hostname`, `@region`, `@zone` or an
/// attribute of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// Field of the node.
    pub field: String,
    /// Demand.
    pub operator: Operator,
    /// Operand, where the operator takes one.
    pub value: Option<String>,
}

impl Constraint {
    /// Whether it lets a value in or not whatever is placed where.
    pub fn is_fixed(&self) -> bool {
        match self.operator {
            Operator::Like | Operator::Unlike | Operator::Is => true,
            Operator::Cluster => self.value.as_deref().is_some_and(|text| !text.is_empty()),
            Operator::Unique | Operator::GroupBy | Operator::MaxPer => false,
        }
    }
}

impl std::fmt::Display for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.field, self.operator.as_str())?;
        self.value.iter().try_for_each(|value| write!(f, ":{value}"))
    }
}

impl Serialize for Constraint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts: Vec<&str> = [self.field.as_str(), self.operator.as_str()].into_iter().chain(self.value.as_deref()).collect();
        parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Constraint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts: Vec<String> = Vec::deserialize(deserializer)?;
        let mut parts = parts.into_iter();
        let (Some(field), Some(operator)) = (parts.next(), parts.next()) else {
            return Err(de::Error::custom("a constraint is [field, operator, value?]"));
        };
        let operator = Operator::parse(&operator).ok_or_else(|| de::Error::custom(format!("{operator} is not an operator")))?;
        Ok(Self { field, operator, value: parts.next() })
    }
}
