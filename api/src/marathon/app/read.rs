//! Reading of whole and partial app definitions.

use super::complete::complete;
use super::fields::{Given, read_fields};
use super::validate::validate_app;
use crate::json::{Cursor, Object, Reader};
use orrery_core::{App, AppId, Fault, Timestamp};
use serde_json::Value;

/// What a spec is read against.
#[derive(Debug, Clone, Copy)]
pub struct ReadContext<'a> {
    /// Group that relative ids are resolved in, `/` for the root.
    pub base_group: &'a str,
    /// Id given outside the spec (in the URL); wins over the one inside.
    pub path_id: Option<&'a AppId>,
}

impl Default for ReadContext<'_> {
    fn default() -> Self {
        Self { base_group: "/", path_id: None }
    }
}

/// Reads a complete app: defaults fill what is absent, old forms are normalised as Marathon did.
///
/// # Errors
/// Every fault of the spec, with paths as Marathon prints them.
pub fn read_app(value: &Value, context: ReadContext<'_>) -> Result<App, Vec<Fault>> {
    let mut reader = Reader::default();
    let Some(object) = reader.object(&Cursor { value, path: String::new() }) else {
        return Err(vec![Fault::new("/", "an app must be an object with fields such as id and cmd")]);
    };
    let id = read_id(&mut reader, &object, context);
    // A wrong id must not hide the other faults: go on under a stand-in.
    let stand_in = || AppId::parse("/unnamed").unwrap_or_else(|_| unreachable!("a constant id"));
    let mut app = App::new(id.unwrap_or_else(stand_in));
    let given = read_fields(&mut reader, &object, &mut app);
    complete(&mut app, &given, None);
    finish(reader, app, &given)
}

/// Merges a partial spec into `current` (PUT and PATCH of Marathon, `partialUpdate=true`): fields
/// that are present replace, null counts as absent. The id of `current` stays.
///
/// # Errors
/// Every fault of the result.
pub fn patch_app(current: &App, patch: &Value) -> Result<App, Vec<Fault>> {
    let mut reader = Reader::default();
    let Some(object) = reader.object(&Cursor { value: patch, path: String::new() }) else {
        return Err(vec![Fault::new("/", "an app update must be an object of the fields to change")]);
    };
    let mut app = current.clone();
    let given = read_fields(&mut reader, &object, &mut app);
    complete(&mut app, &given, Some(current));
    finish(reader, app, &given)
}

/// The version to go back to when an update consists of `version` (and perhaps `id`) alone.
///
/// # Errors
/// A fault when `version` is no time. `Ok(None)` when the update is an ordinary one.
pub fn rollback_version(update: &Value) -> Result<Option<Timestamp>, Fault> {
    let Some(fields) = update.as_object() else { return Ok(None) };
    let mut others = fields.iter().filter(|(key, value)| !value.is_null() && *key != "id" && *key != "version");
    let version = fields.get("version").filter(|version| !version.is_null());
    let (Some(version), None) = (version, others.next()) else { return Ok(None) };
    let time = version.as_str().and_then(|text| text.parse().ok());
    time.map(Some).ok_or_else(|| Fault::new("/version", "must be a time such as 2026-01-31T12:00:00.000Z").with_value(version))
}

fn finish(mut reader: Reader, app: App, given: &Given) -> Result<App, Vec<Fault>> {
    let mut faults = Vec::new();
    for mut fault in validate_app(&app) {
        fault.path = given.written_path(fault.path);
        // What could not be read has been said; what follows from its default would only confuse,
        // and in a list that lost an entry the numbers of the others are wrong.
        if !reader.faults.iter().any(|earlier| is_consequence(&fault.path, &earlier.path)) {
            faults.push(fault);
        }
    }
    reader.faults.append(&mut faults);
    if reader.faults.is_empty() { Ok(app) } else { Err(reader.faults) }
}

fn is_consequence(path: &str, earlier: &str) -> bool {
    let list = |path: &str| path.find('(').map(|at| path[..at].to_owned());
    let below = path.strip_prefix(earlier).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '(']));
    below || (list(path).is_some() && list(path) == list(earlier))
}

fn read_id(reader: &mut Reader, object: &Object<'_>, context: ReadContext<'_>) -> Option<AppId> {
    if let Some(id) = context.path_id {
        return Some(id.clone());
    }
    let Some(cursor) = object.get("id") else {
        reader.fault("/id", "is missing; give a path such as /web");
        return None;
    };
    let text = reader.text(&cursor)?;
    match AppId::parse_in(context.base_group, &text) {
        Ok(id) => Some(id),
        Err(error) => {
            reader.wrong(&cursor, error.to_string());
            None
        }
    }
}
