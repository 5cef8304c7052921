//! What an agent does about one task: `plan(wanted, known)`, and what the end of a task means.

mod conclusion;
mod plan;
mod ports;

pub use conclusion::{Conclusion, Ending, StopCause, conclude, signal_name};
pub use plan::{Action, Known, Wanted, plan, plan_snapshot};
pub use ports::PortQueue;
