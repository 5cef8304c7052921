//! One task of a machine: the process, which lives whatever becomes of the agent, and what the
//! agent knows of it.

use orrery_core::assignment::{Assignment, Exit, TaskReport};
use orrery_core::task::{Known, StopCause};
use tokio::time::Instant;

/// Where the process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Life {
    /// The agent fetches and prepares; the process starts at this time if the agent lives.
    Preparing(Instant),
    /// The process runs, and ends by itself at this time.
    Running(Option<(Instant, Option<Exit>)>),
    /// The process has ended, and the agent has not yet seen it.
    Over(Option<Exit>),
    /// The agent has reported the end.
    Ended,
}

/// A task on a machine.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) assignment: Option<Assignment>,
    pub(super) life: Life,
    pub(super) report: TaskReport,
    pub(super) stop: Option<StopCause>,
    /// It ran before the machine was started last.
    pub(super) other_boot: bool,
    /// When the agent probes its health next, and until when it is sick.
    pub(super) probe_at: Option<Instant>,
    pub(super) sick_until: Option<Instant>,
}

impl Task {
    /// A task that nobody has asked to stop.
    pub(super) const fn new(assignment: Option<Assignment>, life: Life, report: TaskReport) -> Self {
        Self { assignment, life, report, stop: None, other_boot: false, probe_at: None, sick_until: None }
    }

    pub(super) const fn known(&self) -> Known {
        match self.life {
            Life::Ended => Known::Ended,
            _ if self.stop.is_some() => Known::Stopping,
            _ => Known::Alive,
        }
    }

    pub(super) const fn is_alive(&self) -> bool {
        matches!(self.life, Life::Running(_))
    }
}
