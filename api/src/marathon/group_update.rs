//! Updates of groups, flattened to changes of apps.

use super::app::{INSTANCES_MAX, ReadContext, read_app, rollback_version};
use super::path::parse_group_id;
use crate::json::{Cursor, Object, Reader};
use orrery_core::{App, AppId, Fault, Scalar, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Deepest nesting of groups accepted.
const DEPTH_MAX: usize = 32;

/// What a group update asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupEdit {
    /// Create or replace the first, remove the second.
    Change(Vec<App>, Vec<AppId>),
    /// Set the instances of these apps.
    Scale(Vec<(AppId, u32)>),
    /// Go back to a version of the group.
    Rollback(Timestamp),
}

/// Reads a GroupUpdate for the group `group` (canonical path from the URL). `apps` are all apps of
/// the cluster. Lists that are absent keep what is there, lists that are present replace it.
///
/// # Errors
/// Every fault, with paths below the group update.
pub fn read_group(update: &Value, group: &str, apps: &[&Arc<App>]) -> Result<GroupEdit, Vec<Fault>> {
    let mut reader = Reader::default();
    let Some(object) = reader.object(&Cursor { value: update, path: String::new() }) else {
        return Err(vec![Fault::new("/", "a group must be an object with apps and groups")]);
    };
    match rollback_version(update) {
        Ok(None) => {}
        Ok(Some(version)) => return Ok(GroupEdit::Rollback(version)),
        Err(fault) => return Err(vec![fault]),
    }
    let group = match object.get("id").map(|cursor| (reader.text(&cursor), cursor)) {
        Some((Some(text), cursor)) => parse_group_id(group, &text).unwrap_or_else(|error| {
            reader.wrong(&cursor, error.to_string());
            group.to_owned()
        }),
        _ => group.to_owned(),
    };
    if let Some(cursor) = object.get("scaleBy") {
        return scale(reader, &object, &cursor, &group, apps);
    }
    let existing: Vec<&AppId> = apps.iter().map(|app| &app.id).collect();
    let mut edit = Edit { existing, put: Vec::new(), remove: BTreeSet::new() };
    edit.read(&mut reader, &object, &group, 0);
    let mut ids = BTreeSet::new();
    for app in &edit.put {
        if !ids.insert(&app.id) {
            reader.faults.push(Fault::new("/apps", "declares an app twice").with_value(&app.id));
        }
    }
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let remove = edit.remove.iter().filter(|id| !ids.contains(id)).cloned().collect();
    Ok(GroupEdit::Change(edit.put, remove))
}

fn scale(
    mut reader: Reader,
    object: &Object<'_>,
    at: &Cursor<'_>,
    group: &str,
    apps: &[&Arc<App>],
) -> Result<GroupEdit, Vec<Fault>> {
    if let Some((name, _)) = object.fields().find(|(name, _)| !matches!(*name, "id" | "scaleBy")) {
        reader.fault(at.path.clone(), format!("must be the only field, but {name} is given too"));
    }
    let factor = reader.scalar(at, Scalar::ZERO, None);
    let (Some(factor), true) = (factor, reader.faults.is_empty()) else { return Err(reader.faults) };
    let mut scaled = Vec::new();
    for app in apps.iter().filter(|app| app.id.is_below(group)) {
        let instances = (i128::from(app.instances) * i128::from(factor.thousandths()) + 999) / 1000;
        if let Some(instances) = u32::try_from(instances).ok().filter(|instances| *instances <= INSTANCES_MAX) {
            scaled.push((app.id.clone(), instances));
        } else {
            let message = format!("would give {} {instances} instances, and {INSTANCES_MAX} are the most there may be", app.id);
            reader.faults.push(Fault::new("/scaleBy", message).with_value(factor.to_f64()));
        }
    }
    if reader.faults.is_empty() { Ok(GroupEdit::Scale(scaled)) } else { Err(reader.faults) }
}

struct Edit<'a> {
    existing: Vec<&'a AppId>,
    put: Vec<App>,
    remove: BTreeSet<AppId>,
}

impl Edit<'_> {
    fn read(&mut self, reader: &mut Reader, object: &Object<'_>, group: &str, depth: usize) {
        if depth > DEPTH_MAX {
            reader.fault(object.path.clone(), format!("is nested deeper than {DEPTH_MAX} groups"));
            return;
        }
        if let Some(cursor) = object.get("apps") {
            self.remove_where(|id| id.group() == group);
            let apps = reader.list(&cursor, |reader, entry| {
                let context = ReadContext { base_group: group, path_id: None };
                let app = match read_app(entry.value, context) {
                    Ok(app) => app,
                    Err(faults) => {
                        let prefixed =
                            faults.into_iter().map(|fault| Fault { path: format!("{}{}", entry.path, fault.path), ..fault });
                        reader.faults.extend(prefixed);
                        return None;
                    }
                };
                if app.id.group() != group {
                    let fault = Fault::new(format!("{}/id", entry.path), format!("must lie directly in the group {group}"));
                    reader.faults.push(fault.with_value(&app.id));
                }
                Some(app)
            });
            self.put.extend(apps.unwrap_or_default());
        }
        if let Some(cursor) = object.get("groups") {
            let mut kept = Vec::new();
            let children = reader.list(&cursor, |reader, entry| {
                let child = reader.object(entry)?;
                let Some(id) = child.get("id") else {
                    reader.fault(format!("{}/id", entry.path), "is missing");
                    return None;
                };
                let text = reader.text(&id)?;
                match parse_group_id(group, &text) {
                    Ok(path) if path != "/" && path != group => Some((child, path)),
                    _ => {
                        reader.wrong(&id, "must name a group inside the enclosing one");
                        None
                    }
                }
            });
            for (child, path) in children.unwrap_or_default() {
                self.read(reader, &child, &path, depth + 1);
                kept.push(path);
            }
            self.remove_where(|id| id.is_below(group) && id.group() != group && !kept.iter().any(|path| id.is_below(path)));
        }
    }

    fn remove_where(&mut self, keep: impl Fn(&AppId) -> bool) {
        self.remove.extend(self.existing.iter().filter(|id| keep(id)).map(|id| (*id).clone()));
    }
}
