//! When apps must be looked at again although nothing happens.

use crate::{AppId, Timestamp};
use imbl::{OrdMap, OrdSet};

/// At most one alarm per app, ordered by time, so that a step costs no more than what is due.
#[derive(Debug, Clone, Default)]
pub struct Alarms {
    by_app: OrdMap<AppId, Timestamp>,
    by_time: OrdSet<(Timestamp, AppId)>,
}

impl Alarms {
    /// Sets, moves or clears the alarm of an app.
    pub(super) fn set(&mut self, app: &AppId, at: Option<Timestamp>) {
        let before = self.by_app.get(app).copied();
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, app.clone()));
        }
        match at {
            Some(at) => {
                self.by_time.insert((at, app.clone()));
                self.by_app.insert(app.clone(), at);
            }
            None => {
                self.by_app.remove(app);
            }
        }
    }

    /// The next alarm.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.get_min().map(|(at, _)| *at)
    }

    /// Takes out the apps whose alarms are due.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<AppId> {
        let mut due = Vec::new();
        while let Some((at, app)) = self.by_time.get_min().filter(|(at, _)| *at <= now).cloned() {
            self.by_time.remove(&(at, app.clone()));
            self.by_app.remove(&app);
            due.push(app);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_app_rings_once_at_its_last_time() {
        let (a, b) = (AppId::parse("/a").unwrap(), AppId::parse("/b").unwrap());
        let at = Timestamp::from_millis;
        let mut alarms = Alarms::default();
        alarms.set(&a, Some(at(5)));
        alarms.set(&b, Some(at(3)));
        alarms.set(&a, Some(at(9)));
        assert_eq!((alarms.next(), alarms.take_due(at(2))), (Some(at(3)), vec![]));
        assert_eq!((alarms.take_due(at(8)), alarms.next()), (vec![b.clone()], Some(at(9))));
        alarms.set(&a, None);
        alarms.set(&b, None);
        assert_eq!((alarms.next(), alarms.take_due(at(100))), (None, vec![]));
    }
}
