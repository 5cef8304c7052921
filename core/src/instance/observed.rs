//! What an agent said last of a task, small: a leader holds a million of these.

use super::TaskId;
use crate::Timestamp;
use crate::health::Health;
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// Between the task and its run in the path of a sandbox.
const RUNS: &str = "/runs/";

/// What the sandboxes of a node have in common, shared by its tasks: a pointer, not a pointer with a
/// length, in each of them.
pub type SandboxBase = Arc<Box<str>>;

/// What the agent said last about the current incarnation. Never stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// When the task was seen running.
    pub started_at: Option<Timestamp>,
    /// All readiness checks have passed once.
    pub ready: bool,
    place: Option<Place>,
    rare: Option<Box<Rare>>,
}

/// Where the run lives.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The container is a UUID and the sandbox is `<base>/<task>/runs/<container>`: all but the
    /// base, which the tasks of a node share, follows from the ids.
    Usual {
        container: Uuid,
        base: SandboxBase,
    },
    Other(Box<(Option<String>, Option<String>)>),
}

/// What few tasks have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rare {
    addresses: Vec<IpAddr>,
    health: Vec<Health>,
    message: Option<String>,
}

impl Observed {
    /// An observation without a place.
    pub fn new(started_at: Option<Timestamp>, ready: bool) -> Self {
        Self { started_at, ready, place: None, rare: None }
    }

    /// Notes the id of the container or sandbox run and the sandbox directory. `known` is the base
    /// that other tasks of the node share, if there are any.
    #[must_use]
    pub fn at(mut self, task: &TaskId, container: Option<String>, sandbox: Option<String>, known: Option<&SandboxBase>) -> Self {
        self.place = match (&container, &sandbox) {
            (None, None) => None,
            (Some(id), Some(path)) => usual(task, id, path, known).or_else(|| Some(Place::Other(Box::new((container, sandbox))))),
            _ => Some(Place::Other(Box::new((container, sandbox)))),
        };
        self
    }

    /// Notes addresses, health and message.
    #[must_use]
    pub fn with(mut self, addresses: Vec<IpAddr>, health: Vec<Health>, message: Option<String>) -> Self {
        let rare = Rare { addresses, health, message };
        self.rare = (rare != Rare::default()).then(|| Box::new(rare));
        self
    }

    /// Replaces the text that came with the last state.
    #[must_use]
    pub fn with_message(mut self, message: &str) -> Self {
        self.rare.get_or_insert_default().message = Some(message.to_owned());
        self
    }

    /// Addresses of the task's own network; empty in host mode.
    pub fn addresses(&self) -> &[IpAddr] {
        self.rare.as_ref().map_or(&[], |rare| &rare.addresses)
    }

    /// Result of each health check.
    pub fn health(&self) -> &[Health] {
        self.rare.as_ref().map_or(&[], |rare| &rare.health)
    }

    /// Text that came with the last state.
    pub fn message(&self) -> Option<&str> {
        self.rare.as_ref()?.message.as_deref()
    }

    /// Id of the container or sandbox run.
    pub fn container(&self) -> Option<String> {
        match self.place.as_ref()? {
            Place::Usual { container, .. } => Some(container.to_string()),
            Place::Other(other) => other.0.clone(),
        }
    }

    /// Sandbox directory of `task` on its node.
    pub fn sandbox(&self, task: &TaskId) -> Option<String> {
        match self.place.as_ref()? {
            Place::Usual { container, base } => Some(format!("{base}/{task}{RUNS}{container}")),
            Place::Other(other) => other.1.clone(),
        }
    }

    /// What the sandboxes of the node have in common.
    pub fn sandbox_base(&self) -> Option<&SandboxBase> {
        match self.place.as_ref()? {
            Place::Usual { base, .. } => Some(base),
            Place::Other(_) => None,
        }
    }
}

fn usual(task: &TaskId, container: &str, sandbox: &str, known: Option<&SandboxBase>) -> Option<Place> {
    let id = Uuid::try_parse(container).ok()?;
    // Other forms of UUIDs would not read back as they were written.
    if id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) != container {
        return None;
    }
    let above = sandbox.strip_suffix(container)?.strip_suffix(RUNS)?;
    let below = |base: &&SandboxBase| {
        let name = above.strip_prefix(base.as_ref().as_ref())?.strip_prefix('/')?;
        is_name_of(name, task).then_some(())
    };
    if let Some(base) = known.filter(|base| below(base).is_some()) {
        return Some(Place::Usual { container: id, base: Arc::clone(base) });
    }
    let base = above.strip_suffix(task.to_string().as_str())?.strip_suffix('/')?;
    Some(Place::Usual { container: id, base: Arc::new(base.into()) })
}

/// Whether a text is the id of a task, found out without writing that down: a million tasks are told of when
/// all nodes come back.
fn is_name_of(text: &str, task: &TaskId) -> bool {
    struct Rest<'t>(&'t str);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    write!(rest, "{task}").is_ok() && rest.0.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_as_they_were_written() {
        let task = TaskId::parse("shop_web.instance-00000000-0000-0000-0000-000000000007._app.2").unwrap();
        let id = "6f0c7d11-6a5c-4c3e-9d0f-3f2f6f0c7d11";
        let usual = format!("/data/executors/{task}/runs/{id}");
        let first = Observed::default().at(&task, Some(id.into()), Some(usual.clone()), None);
        let base = first.sandbox_base().cloned();
        assert_eq!(base.as_deref().map(|base| &**base), Some("/data/executors"));
        let second = Observed::default().at(&task, Some(id.into()), Some(usual.clone()), base.as_ref());
        assert!(Arc::ptr_eq(second.sandbox_base().unwrap(), base.as_ref().unwrap()), "the base is shared");
        for (container, sandbox) in [
            (Some(id), Some(usual.as_str())),
            (Some(id), Some("/data/elsewhere")),
            (Some(id), None),
            (None, Some(usual.as_str())),
            (None, None),
            (Some("6F0C7D11-6a5c-4c3e-9d0f-3f2f6f0c7d11"), Some(usual.as_str())),
            (Some("c1"), Some("/data/executors/c1")),
        ] {
            let observed = Observed::default().at(&task, container.map(Into::into), sandbox.map(Into::into), base.as_ref());
            assert_eq!((observed.container().as_deref(), observed.sandbox(&task).as_deref()), (container, sandbox));
        }
    }
}
