//! Groups: the tree that app ids span.

use super::{Embed, app_info};
use orrery_core::app::AppId;
use orrery_core::cluster::Cluster;
use orrery_core::{App, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

/// What an answer about groups holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEmbed {
    /// Sub-groups.
    pub groups: bool,
    /// Apps.
    pub apps: bool,
    /// What each app holds.
    pub app: Embed,
}

impl GroupEmbed {
    /// Reads the values of `embed`; none = groups and apps.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let values: Vec<&str> = values.into_iter().collect();
        if values.is_empty() {
            return Self { groups: true, apps: true, app: Embed::default() };
        }
        let inner: Vec<&str> = values.iter().copied().filter(|value| value.starts_with("group.apps.")).collect();
        Self {
            groups: values.contains(&"group.groups"),
            apps: values.contains(&"group.apps") || !inner.is_empty(),
            app: Embed::default().with(inner),
        }
    }
}

/// Whether any app lies in the group, or it enforces its role; the root is always there.
pub fn group_exists(cluster: &Cluster, group: &str) -> bool {
    group == "/" || is_enforced(cluster, group) || cluster.apps.keys().any(|id| id.is_below(group))
}

fn is_enforced(cluster: &Cluster, group: &str) -> bool {
    cluster.roles.get(group.trim_start_matches('/')).is_some_and(|role| role.enforced)
}

/// The groups at or below `group` that enforce their roles, which are there without any app.
pub fn enforcing_groups(cluster: &Cluster, group: &str) -> Vec<String> {
    let enforcing = cluster.roles.values().filter(|role| role.enforced).map(|role| format!("/{}", role.name));
    enforcing.filter(|name| group == "/" || name == group).collect()
}

/// The group at the canonical path `group` with its apps and sub-groups.
pub fn group_info(cluster: &Cluster, group: &str, embed: GroupEmbed, now: Timestamp) -> Value {
    let apps: Vec<&Arc<App>> = cluster.apps.iter().filter(|(id, _)| id.is_below(group)).map(|(_, record)| &record.app).collect();
    build(cluster, group, &apps, embed, now)
}

/// `apps` are all apps below `group`, ordered by id.
fn build(cluster: &Cluster, group: &str, apps: &[&Arc<App>], embed: GroupEmbed, now: Timestamp) -> Value {
    let version = apps.iter().map(|app| app.version).max().unwrap_or_default();
    let depth = group.split('/').filter(|segment| !segment.is_empty()).count();
    let mut info = json!({"id": group, "dependencies": [], "pods": [], "version": version});
    if let Some(role) = cluster.roles.get(group.trim_start_matches('/')).filter(|_| depth == 1) {
        info["enforceRole"] = json!(role.enforced);
    }
    if embed.apps {
        let direct = apps.iter().filter(|app| app.id.group() == group);
        info["apps"] = direct.map(|app| app_info(cluster, app, embed.app, now)).collect();
    }
    if embed.groups {
        let mut children: Vec<(&str, Vec<&Arc<App>>)> = Vec::new();
        for app in apps.iter().copied().filter(|app| app.id.group() != group) {
            let Some(name) = segment(&app.id, depth) else { continue };
            match children.iter_mut().find(|(child, _)| *child == name) {
                Some((_, below)) => below.push(app),
                None => children.push((name, vec![app])),
            }
        }
        let empty = if group == "/" { enforcing_groups(cluster, group) } else { Vec::new() };
        for name in empty.iter().map(|name| name.trim_start_matches('/')) {
            if !children.iter().any(|(child, _)| *child == name) {
                children.push((name, Vec::new()));
            }
        }
        let base = if group == "/" { "" } else { group };
        info["groups"] =
            children.iter().map(|(name, below)| build(cluster, &format!("{base}/{name}"), below, embed, now)).collect();
    }
    info
}

fn segment(id: &AppId, depth: usize) -> Option<&str> {
    id.segments().nth(depth)
}
