//! The forms in which the name of an app stands in names of its tasks.

use super::{LABEL_MAX_BYTES, mangle};
use crate::{AppId, NodeId};

/// The mangled label and, when it differs, the discovery name with its dots. `/shop/web`:
/// `web-shop` and `web.shop`.
#[derive(Debug)]
pub(super) struct Forms {
    label: String,
    discovery: Option<String>,
}

impl Forms {
    pub(super) fn of(app: &AppId) -> Self {
        let discovery = app.host_name();
        let label = mangle(&discovery);
        Self { discovery: Some(discovery).filter(|discovery| *discovery != label), label }
    }

    /// The mangled label; at most [`LABEL_MAX_BYTES`].
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Both, the label first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.label.as_str()).chain(self.discovery.as_deref())
    }
}

/// What tells the canonical name of a task from the name of its app: the hash of the task and the
/// tail of the node.
pub(super) fn canonical_suffix(hash: &str, node: &NodeId) -> String {
    format!("-{hash}-{}", node_tail(node))
}

/// The part of a node id that names the node: its last dash-separated field, as a label.
pub(super) fn node_tail(node: &NodeId) -> String {
    mangle(node.as_str().rsplit('-').next().unwrap_or_default())
}

/// Appends `suffix` to the last label of `form`, cutting that label so that it stays a label.
pub(super) fn with_suffix(form: &str, suffix: &str) -> String {
    let start = form.rfind('.').map_or(0, |at| at + 1);
    let kept = form[start..].len().min(suffix_room(suffix));
    format!("{}{suffix}", form[..start + kept].trim_end_matches('-'))
}

/// How much of a label is kept before `suffix`, bytes.
pub(super) fn suffix_room(suffix: &str) -> usize {
    LABEL_MAX_BYTES.saturating_sub(suffix.len())
}

/// How much of a label is kept behind an underscore, bytes.
pub(super) const UNDERSCORED_BYTES: usize = LABEL_MAX_BYTES - 1;

/// Puts `_` before the first label of `form`, cutting that label so that it stays a label.
pub(super) fn underscore(form: &str) -> String {
    let (first, rest) = form.split_at(form.find('.').unwrap_or(form.len()));
    format!("_{}{rest}", &first[..first.len().min(UNDERSCORED_BYTES)])
}

/// The labels of `form` in reverse order: what lies below a name begins with it.
pub(super) fn reversed(form: &str) -> String {
    let mut labels = String::with_capacity(form.len());
    for label in form.rsplit('.') {
        if !labels.is_empty() {
            labels.push('.');
        }
        labels.push_str(label);
    }
    labels
}
