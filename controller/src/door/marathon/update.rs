//! Updates that are read against what is there: by the request's own task, so that the leader, who decides
//! for everybody, is not kept from it by a document of thousands of apps.

use super::{Call, refused};
use crate::handle::ControlError;
use crate::surroundings::compute;
use axum::response::Response;
use orrery_core::App;
use orrery_core::cluster::{AppEdit, Cluster, Draft, EditError};
use std::sync::Arc;

/// An update whose meaning depends on some apps that are there.
pub(super) trait Update: Send + 'static {
    /// These apps.
    fn looks_at(&self, cluster: &Cluster) -> Vec<Arc<App>>;

    /// What it amounts to.
    ///
    /// # Errors
    /// All its faults.
    fn read(&self, cluster: &Cluster) -> Result<Vec<AppEdit>, EditError>;
}

/// An update that has been read.
pub(super) struct Prepared<U> {
    update: U,
    seen: Vec<Arc<App>>,
    edits: Vec<AppEdit>,
}

impl<U: Update> Prepared<U> {
    /// Reads an update.
    ///
    /// # Errors
    /// As [`Update::read`].
    pub(super) fn of(update: U, cluster: &Cluster) -> Result<Self, EditError> {
        let edits = compute(|| update.read(cluster))?;
        Ok(Self { seen: update.looks_at(cluster), update, edits })
    }

    /// What it amounts to now: it is read again when what it was read against has changed.
    ///
    /// # Errors
    /// As [`Update::read`].
    pub(super) fn edits(self, draft: &Draft) -> Result<Vec<AppEdit>, EditError> {
        let now = self.update.looks_at(draft.cluster());
        let is_same = now.len() == self.seen.len() && now.iter().zip(&self.seen).all(|(one, other)| Arc::ptr_eq(one, other));
        if is_same { Ok(self.edits) } else { self.update.read(draft.cluster()) }
    }
}

/// Reads an update against what this controller shows, or gives the answer that it is wrong.
pub(super) fn prepare<U: Update>(call: &Call, update: U) -> Result<Prepared<U>, Response> {
    let handle = &call.door.handle;
    Prepared::of(update, &handle.cluster()).map_err(|fault| {
        // What another one leads by now may be newer.
        refused(&if handle.leads() { ControlError::Edit(fault) } else { ControlError::NotLeading })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_core::cluster::Entropy;
    use orrery_core::{AppId, Timestamp};

    /// Adds one instance to an app, and counts how often it was read.
    struct OneMore(AppId, Arc<std::sync::atomic::AtomicUsize>);

    impl Update for OneMore {
        fn looks_at(&self, cluster: &Cluster) -> Vec<Arc<App>> {
            cluster.app(&self.0).cloned().into_iter().collect()
        }
        fn read(&self, cluster: &Cluster) -> Result<Vec<AppEdit>, EditError> {
            self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let app = cluster.app(&self.0).ok_or_else(|| EditError::NoApp(self.0.clone()))?;
            Ok(vec![AppEdit::Scale(self.0.clone(), app.instances + 1)])
        }
    }

    fn after(cluster: &Cluster, edit: AppEdit) -> Cluster {
        let mut draft = Draft::new(cluster, Timestamp::from_millis(1), 1, Entropy::new(1));
        draft.edit(vec![edit], true, "").unwrap();
        draft.settle().cluster
    }

    #[test]
    fn what_has_changed_meanwhile_is_read_again() {
        let id = |text: &str| AppId::parse(text).unwrap();
        let app = |text: &str| App { cmd: Some("true".into()), ..App::new(id(text)) };
        let before = after(&after(&Cluster::default(), AppEdit::Create(app("/a"))), AppEdit::Create(app("/b")));
        for (between, reads, instances) in
            [(None, 1, 2), (Some(AppEdit::Scale(id("/b"), 5)), 1, 2), (Some(AppEdit::Scale(id("/a"), 5)), 2, 6)]
        {
            let count = Arc::default();
            let prepared = Prepared::of(OneMore(id("/a"), Arc::clone(&count)), &before).unwrap();
            let now = between.map_or_else(|| before.clone(), |edit| after(&before, edit));
            let draft = Draft::new(&now, Timestamp::from_millis(2), 1, Entropy::new(1));
            let edits = prepared.edits(&draft).unwrap();
            assert!(matches!(&edits[..], [AppEdit::Scale(_, count)] if *count == instances), "{edits:?}");
            assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), reads);
        }
        let gone = after(&before, AppEdit::Remove(id("/a")));
        let prepared = Prepared::of(OneMore(id("/a"), Arc::default()), &before).unwrap();
        let draft = Draft::new(&gone, Timestamp::from_millis(2), 1, Entropy::new(1));
        assert!(matches!(prepared.edits(&draft), Err(EditError::NoApp(_))));
    }
}
