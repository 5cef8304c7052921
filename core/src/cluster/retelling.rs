//! When apps that wait are told anew why: what others take or leave changes the reasons, and nobody else looks.

use super::draft::Draft;
use crate::{AppId, Timestamp};
use std::ops::Bound;

/// Milliseconds after a change until those who wait are told what it means for them.
pub(super) const RETELL_PAUSE_MS: i64 = 1_000;
/// Apps told at a time; the others after as long again.
pub(super) const RETOLD_MAX: usize = 500;

/// Who is to be told, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retelling {
    /// When; nothing when all have heard of everything.
    pub at: Option<Timestamp>,
    /// The last who has been told of those who are told by turns.
    after: Option<AppId>,
    /// Something changed since the first of them were told.
    again: bool,
}

impl Draft {
    /// Looks again at those whose time has come.
    pub(super) fn retell(&mut self) {
        if self.cluster.retelling.at.is_none_or(|at| at > self.now) {
            return;
        }
        let Retelling { after, again, .. } = std::mem::take(&mut self.cluster.retelling);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut waiting = self.cluster.pending.range((from, Bound::Unbounded)).map(|(id, _)| id.clone());
        let told: Vec<AppId> = waiting.by_ref().take(RETOLD_MAX).collect();
        let more = waiting.next().is_some();
        drop(waiting);
        if more || again {
            let after = told.last().filter(|_| more).cloned();
            let at = Some(self.now.plus_millis(RETELL_PAUSE_MS));
            self.cluster.retelling = Retelling { at, after, again: more && again };
        }
        self.dirty_apps.extend(told);
        self.dirty_apps.extend(self.cluster.stranded.keys().cloned());
    }

    /// Notes that those who wait have to be told, if room was taken or left, or nodes changed.
    pub(super) fn note_retelling(&mut self) {
        let somebody_waits = !self.cluster.pending.is_empty() || !self.cluster.stranded.is_empty();
        if !self.room_changed || !somebody_waits {
            return;
        }
        let retelling = &mut self.cluster.retelling;
        retelling.at.get_or_insert(self.now.plus_millis(RETELL_PAUSE_MS));
        retelling.again |= retelling.after.is_some();
    }
}
