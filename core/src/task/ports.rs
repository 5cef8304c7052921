//! Who has the host ports of a node, and who waits for them.

use crate::TaskId;
use std::collections::{BTreeMap, VecDeque};

/// The tasks of each host port, in the order in which they came. A task may start when it is the first at
/// all of its ports: one that still stops, although the cluster has forgotten it, keeps its ports until it
/// has ended. Whoever comes takes its place at all of its ports at once, so that no two wait for each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortQueue {
    queues: BTreeMap<u16, VecDeque<TaskId>>,
    ports: BTreeMap<TaskId, Vec<u16>>,
}

impl PortQueue {
    /// A task comes that has, or is to have, these ports.
    pub fn enter(&mut self, task: &TaskId, ports: impl IntoIterator<Item = u16>) {
        self.leave(task);
        let ports: Vec<u16> = ports.into_iter().collect();
        for port in &ports {
            self.queues.entry(*port).or_default().push_back(task.clone());
        }
        self.ports.insert(task.clone(), ports);
    }

    /// A task has ended.
    pub fn leave(&mut self, task: &TaskId) {
        for port in self.ports.remove(task).unwrap_or_default() {
            if let Some(queue) = self.queues.get_mut(&port) {
                queue.retain(|other| other != task);
                if queue.is_empty() {
                    self.queues.remove(&port);
                }
            }
        }
    }

    /// A port that a task waits for, and who has it; `None` when it may start.
    pub fn holder(&self, task: &TaskId) -> Option<(u16, &TaskId)> {
        let ports = self.ports.get(task).into_iter().flatten();
        ports.filter_map(|port| Some((*port, self.queues.get(port)?.front()?))).find(|(_, first)| *first != task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppId, InstanceId};

    fn task(number: u32) -> TaskId {
        let app = AppId::parse("/a").unwrap();
        TaskId::new(&InstanceId::new(&app, uuid::Uuid::from_u128(u128::from(number))), 1)
    }

    #[test]
    fn a_port_is_passed_on_when_its_holder_has_ended() {
        let (orphan, next, other) = (task(1), task(2), task(3));
        let mut queue = PortQueue::default();
        queue.enter(&orphan, [31_000, 31_001]);
        queue.enter(&next, [31_001, 31_002]);
        queue.enter(&other, [31_003]);
        assert_eq!(queue.holder(&orphan), None);
        assert_eq!(queue.holder(&next), Some((31_001, &orphan)));
        assert_eq!(queue.holder(&other), None);
        queue.leave(&orphan);
        assert_eq!(queue.holder(&next), None);
        queue.leave(&next);
        queue.leave(&other);
        assert_eq!(queue, PortQueue::default(), "nothing is kept of who has left");
    }

    #[test]
    fn one_that_leaves_while_it_waits_holds_up_nobody() {
        let (first, second, third) = (task(1), task(2), task(3));
        let mut queue = PortQueue::default();
        for task in [&first, &second, &third] {
            queue.enter(task, [31_000]);
        }
        queue.leave(&second);
        assert_eq!(queue.holder(&third), Some((31_000, &first)));
        queue.leave(&first);
        assert_eq!(queue.holder(&third), None);
        assert_eq!(queue.holder(&task(9)), None, "who has no ports waits for none");
    }
}
