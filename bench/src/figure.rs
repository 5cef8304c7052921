//! One measured figure, and what is said of it.

use serde_json::{Value, json};

/// What a figure should reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {} {unit}", number(limit)),
            Self::AtLeast(limit) => format!("≥ {} {unit}", number(limit)),
        }
    }
}

/// What we are compared with.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Quoted from an earlier run on the same kind of machine: such a peer gives no ratio.
    pub(crate) is_recorded: bool,
}

impl Peer {
    /// A peer measured in this run.
    pub(crate) fn measured(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, is_recorded: false }
    }

    /// A figure on record, where the peer cannot run here.
    pub(crate) fn recorded(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, is_recorded: true }
    }
}

/// One figure.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    bench: &'static str,
    metric: String,
    value: f64,
    unit: &'static str,
    scale: String,
    peer: Option<Peer>,
    ratio: Option<f64>,
    goal: Option<Goal>,
    goal_is_of_ratio: bool,
}

impl Figure {
    pub(crate) fn new(bench: &'static str, metric: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let (metric, scale) = (metric.into(), String::new());
        Self { bench, metric, value, unit, scale, peer: None, ratio: None, goal: None, goal_is_of_ratio: false }
    }

    /// How much was measured: sizes, counts, executor.
    #[must_use]
    pub(crate) fn scale(mut self, scale: impl Into<String>) -> Self {
        self.scale = scale.into();
        self
    }

    /// Compares; the ratio says how many times better we are, below 1 worse.
    #[must_use]
    pub(crate) fn peer(mut self, peer: Option<Peer>) -> Self {
        if let Some(peer) = &peer
            && !peer.is_recorded
        {
            let ratio = if self.is_better_when_lower() { peer.value / self.value } else { self.value / peer.value };
            self.ratio = ratio.is_finite().then_some(ratio);
        }
        self.peer = peer;
        self
    }

    /// A ratio of its own, such as the median over interleaved rounds.
    #[must_use]
    pub(crate) fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = Some(ratio);
        self
    }

    /// What the value should reach.
    #[must_use]
    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// What the ratio should reach.
    #[must_use]
    pub(crate) fn goal_of_ratio(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self.goal_is_of_ratio = true;
        self
    }

    fn is_better_when_lower(&self) -> bool {
        !self.unit.ends_with("/s")
    }

    /// Whether the goal is reached; `None` without one, or when its peer is missing.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let goal = self.goal?;
        let value = if self.goal_is_of_ratio { self.ratio? } else { self.value };
        Some(goal.is_met(value))
    }

    fn goal_text(&self) -> Option<String> {
        self.goal.map(|goal| goal.text(if self.goal_is_of_ratio { "× peer" } else { self.unit }))
    }

    /// One line of `--json`.
    pub(crate) fn json(&self, machine: &Value) -> Value {
        json!({
            "bench": self.bench,
            "metric": self.metric,
            "value": self.value,
            "unit": self.unit,
            "scale": self.scale,
            "peer": self.peer.as_ref().map(|peer| peer.name.as_str()),
            "ratio": self.ratio,
            "peerValue": self.peer.as_ref().map(|peer| peer.value),
            "peerIsRecorded": self.peer.as_ref().map(|peer| peer.is_recorded),
            "goal": self.goal_text(),
            "met": self.is_met(),
            "machine": machine,
        })
    }

    /// The cells of a table's row.
    pub(crate) fn cells(&self) -> [String; 6] {
        let peer = self.peer.as_ref().map(|peer| {
            let note = if peer.is_recorded { " (recorded)" } else { "" };
            format!("{} {} {}{note}", peer.name, number(peer.value), self.unit)
        });
        let verdict = match self.is_met() {
            None => String::new(),
            Some(true) => "met".to_owned(),
            Some(false) => "MISSED".to_owned(),
        };
        let goal = self.goal_text().map(|goal| format!("{goal} {verdict}").trim_end().to_owned());
        [
            self.metric.clone(),
            format!("{} {}", number(self.value), self.unit),
            goal.unwrap_or_default(),
            peer.unwrap_or_default(),
            self.ratio.map(|ratio| format!("{}×", number(ratio))).unwrap_or_default(),
            self.scale.clone(),
        ]
    }

    /// Name for the summary.
    pub(crate) fn title(&self) -> String {
        format!("{} {}: {} {}", self.bench, self.metric, number(self.value), self.unit)
    }
}

/// Three significant digits, no exponent.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    let digits = if magnitude >= 100.0 || magnitude == 0.0 {
        0
    } else if magnitude >= 10.0 {
        1
    } else if magnitude >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::{Figure, Goal, Peer};

    #[test]
    fn ratios_say_how_many_times_better_we_are() {
        let time = Figure::new("b", "m", 10.0, "ms").peer(Some(Peer::measured("p", 50.0)));
        assert_eq!(time.ratio, Some(5.0));
        let rate = Figure::new("b", "m", 10.0, "queries/s").peer(Some(Peer::measured("p", 50.0)));
        assert_eq!(rate.ratio, Some(0.2));
        let recorded = Figure::new("b", "m", 10.0, "ms").peer(Some(Peer::recorded("p", 50.0)));
        assert_eq!(recorded.ratio, None, "ratios come from one run");
    }

    #[test]
    fn a_missed_goal_is_said() {
        let figure = |value| Figure::new("b", "m", value, "ms").goal(Goal::AtMost(12.0));
        assert_eq!(figure(12.0).is_met(), Some(true));
        assert_eq!(figure(12.1).is_met(), Some(false));
        assert!(figure(12.1).cells()[2].ends_with("MISSED"));
        let ratio = Figure::new("b", "m", 1.0, "ms").goal_of_ratio(Goal::AtLeast(2.0));
        assert_eq!(ratio.is_met(), None, "no peer, no verdict");
        assert_eq!(ratio.peer(Some(Peer::measured("p", 1.0))).is_met(), Some(false));
    }
}
