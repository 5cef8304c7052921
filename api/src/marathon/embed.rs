//! The `embed` parameter of apps.

/// What an answer about apps holds besides the apps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Marathon's words")]
pub struct Embed {
    pub tasks: bool,
    pub counts: bool,
    pub deployments: bool,
    pub readiness: bool,
    pub last_task_failure: bool,
    pub task_stats: bool,
}

impl Embed {
    /// What lists of apps always hold.
    pub const LIST: Self =
        Self { tasks: false, counts: true, deployments: true, readiness: false, last_task_failure: false, task_stats: false };

    /// What a single app always holds.
    pub const SINGLE: Self = Self { tasks: true, last_task_failure: true, ..Self::LIST };

    /// `self` and what the values of `embed` ask for, with any of Marathon's prefixes; unknown
    /// values are ignored, as Marathon does.
    #[must_use]
    pub fn with<'a>(mut self, values: impl IntoIterator<Item = &'a str>) -> Self {
        for value in values {
            let name = ["group.apps.", "apps.", "app."].iter().find_map(|prefix| value.strip_prefix(prefix)).unwrap_or(value);
            match name {
                "tasks" => self.tasks = true,
                "counts" => self.counts = true,
                "deployments" => self.deployments = true,
                "readiness" => self.readiness = true,
                "lastTaskFailure" => self.last_task_failure = true,
                "taskStats" => self.task_stats = true,
                "failures" => {
                    self.tasks = true;
                    self.last_task_failure = true;
                    self.deployments = true;
                }
                _ => {}
            }
        }
        self.deployments |= self.tasks;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_interchangeable() {
        for value in ["tasks", "apps.tasks", "app.tasks", "group.apps.tasks"] {
            let embed = Embed::default().with([value]);
            assert!(embed.tasks && embed.deployments && !embed.counts, "{value}");
        }
        let failures = Embed::default().with(["apps.failures", "nonsense"]);
        assert!(failures.tasks && failures.last_task_failure && !failures.task_stats);
    }
}
