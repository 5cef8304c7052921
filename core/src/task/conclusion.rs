//! What the end of a task means.

use crate::Scalar;
use crate::assignment::{Exit, FailureReason};
use crate::instance::Condition;

/// Why the agent stopped a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopCause {
    /// The controller asked; why, for people.
    Asked(String),
    /// Too many failed health checks; what failed.
    Unhealthy(String),
}

/// What is known about the end of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// How the command ended, if that is known.
    pub exit: Option<Exit>,
    /// The kernel killed one of its processes for exceeding the memory limit.
    pub out_of_memory: bool,
    /// Memory limit, MiB.
    pub mem_limit: Option<Scalar>,
    /// Why it was stopped, if it was.
    pub stop: Option<StopCause>,
    /// It ran before the machine was started last.
    pub other_boot: bool,
}

/// The terminal part of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// Finished, Failed or Killed.
    pub condition: Condition,
    /// Word for machines.
    pub reason: FailureReason,
    /// Sentence for people.
    pub message: String,
}

/// Name of a signal with its `SIG` prefix, for the signals tasks die of; the number otherwise.
pub fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        other => return format!("signal {other}"),
    };
    name.into()
}

fn exit_text(exit: Option<Exit>) -> String {
    match exit {
        Some(Exit::Code(code)) => format!("Command exited with status {code}"),
        Some(Exit::Signal(signal)) => format!("Command terminated with signal {}", signal_name(signal)),
        None => "The exit status of the command is not known".into(),
    }
}

/// Condition, reason and message of a task that has ended.
///
/// A stop that was asked for is Killed whatever the exit status; a kill for failed health checks is
/// a failure, so that it counts for the backoff (Marathon 1.11 delays such relaunches too).
pub fn conclude(ending: &Ending) -> Conclusion {
    let conclusion = |condition, reason, message| Conclusion { condition, reason, message };
    match &ending.stop {
        Some(StopCause::Asked(because)) => {
            let message =
                if because.is_empty() { exit_text(ending.exit) } else { format!("{}; {because}", exit_text(ending.exit)) };
            return conclusion(Condition::Killed, FailureReason::Stopped, message);
        }
        Some(StopCause::Unhealthy(cause)) => {
            return conclusion(
                Condition::Failed,
                FailureReason::Unhealthy,
                format!("Killed because its health check failed: {cause}"),
            );
        }
        None => {}
    }
    if ending.out_of_memory && ending.exit != Some(Exit::Code(0)) {
        let message = match ending.mem_limit {
            Some(limit) => {
                format!("Memory limit exceeded: it needed more than its {limit} MiB; raise \"mem\" or make it use less")
            }
            None => "The machine ran out of memory and the kernel killed it".into(),
        };
        return conclusion(Condition::Failed, FailureReason::OutOfMemory, message);
    }
    match ending.exit {
        Some(Exit::Code(0)) => conclusion(Condition::Finished, FailureReason::CommandExited, exit_text(ending.exit)),
        Some(_) => conclusion(Condition::Failed, FailureReason::CommandExited, exit_text(ending.exit)),
        None if ending.other_boot => {
            conclusion(Condition::Failed, FailureReason::NodeRestarted, "The node restarted while it was running".into())
        }
        None => conclusion(
            Condition::Failed,
            FailureReason::Unknown,
            "It ended without a trace: the process that watches it was killed".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings() {
        let stop = Some(StopCause::Asked("scaled down".into()));
        let rows = [
            (
                Ending { exit: Some(Exit::Code(0)), ..Ending::default() },
                Condition::Finished,
                FailureReason::CommandExited,
                "status 0",
            ),
            (
                Ending { exit: Some(Exit::Code(3)), ..Ending::default() },
                Condition::Failed,
                FailureReason::CommandExited,
                "status 3",
            ),
            (
                Ending { exit: Some(Exit::Signal(11)), ..Ending::default() },
                Condition::Failed,
                FailureReason::CommandExited,
                "SIGSEGV",
            ),
            (
                Ending { exit: Some(Exit::Code(0)), stop: stop.clone(), ..Ending::default() },
                Condition::Killed,
                FailureReason::Stopped,
                "scaled down",
            ),
            (
                Ending { exit: Some(Exit::Signal(9)), stop: Some(StopCause::Unhealthy("refused".into())), ..Ending::default() },
                Condition::Failed,
                FailureReason::Unhealthy,
                "refused",
            ),
            (
                Ending {
                    exit: Some(Exit::Signal(9)),
                    out_of_memory: true,
                    mem_limit: Some(Scalar::from_units(32)),
                    ..Ending::default()
                },
                Condition::Failed,
                FailureReason::OutOfMemory,
                "32 MiB",
            ),
            (
                Ending { exit: Some(Exit::Code(0)), out_of_memory: true, ..Ending::default() },
                Condition::Finished,
                FailureReason::CommandExited,
                "status 0",
            ),
            (Ending { other_boot: true, ..Ending::default() }, Condition::Failed, FailureReason::NodeRestarted, "restarted"),
            (Ending::default(), Condition::Failed, FailureReason::Unknown, "without a trace"),
        ];
        for (ending, condition, reason, text) in rows {
            let conclusion = conclude(&ending);
            assert_eq!((conclusion.condition, conclusion.reason), (condition, reason), "{ending:?}");
            assert!(conclusion.message.contains(text), "{}", conclusion.message);
        }
    }
}
