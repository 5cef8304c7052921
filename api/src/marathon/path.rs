//! Paths below `/v2/apps` and `/v2/groups`, which embed slash ids raw.

use orrery_core::app::IdError;
use orrery_core::{AppId, TaskId, Timestamp};

/// What a path below `/v2/apps` names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the last parts of the paths")]
pub enum AppPath {
    All,
    App(AppId),
    /// `{group}/*`: every app below the group.
    Subtree(String),
    Tasks(AppId),
    /// `{group}/*/tasks`.
    SubtreeTasks(String),
    Task(AppId, TaskId),
    Versions(AppId),
    Version(AppId, Timestamp),
    Restart(AppId),
}

/// What a path below `/v2/groups` names; groups are canonical paths, `/` the root.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the last parts of the paths")]
pub enum GroupPath {
    Group(String),
    Apps(String),
    Versions(String),
    Version(String, Timestamp),
}

/// Why a path names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The id is not allowed.
    #[error("{0}")]
    Id(#[from] IdError),
    /// The version is no time.
    #[error("Invalid format: \"{0}\" is not a time such as 2026-01-31T12:00:00.000Z")]
    Time(String),
    /// The last part is no task id.
    #[error("Invalid task id '{0}'")]
    Task(String),
}

/// Reads what follows `/v2/apps`, percent-decoded. Doubled and trailing slashes are ignored.
///
/// # Errors
/// When the id, the task or the version cannot be read.
pub fn parse_app_path(rest: &str) -> Result<AppPath, PathError> {
    let segments = split(rest);
    let id = |segments: &[&str]| AppId::parse(&segments.join("/")).map_err(PathError::Id);
    Ok(match segments.as_slice() {
        [] => AppPath::All,
        [group @ .., "*"] => AppPath::Subtree(group_of(group)?),
        [group @ .., "*", "tasks"] => AppPath::SubtreeTasks(group_of(group)?),
        [app @ .., "tasks"] if !app.is_empty() => AppPath::Tasks(id(app)?),
        [app @ .., "versions"] if !app.is_empty() => AppPath::Versions(id(app)?),
        [app @ .., "restart"] if !app.is_empty() => AppPath::Restart(id(app)?),
        [app @ .., "tasks", task] if !app.is_empty() => {
            AppPath::Task(id(app)?, TaskId::parse(task).map_err(|_| PathError::Task((*task).to_owned()))?)
        }
        [app @ .., "versions", version] if !app.is_empty() => AppPath::Version(id(app)?, time(version)?),
        app => AppPath::App(id(app)?),
    })
}

/// Reads what follows `/v2/groups`.
///
/// # Errors
/// When the id or the version cannot be read.
pub fn parse_group_path(rest: &str) -> Result<GroupPath, PathError> {
    let segments = split(rest);
    Ok(match segments.as_slice() {
        [group @ .., "apps"] => GroupPath::Apps(group_of(group)?),
        [group @ .., "versions"] => GroupPath::Versions(group_of(group)?),
        [group @ .., "versions", version] => GroupPath::Version(group_of(group)?, time(version)?),
        group => GroupPath::Group(group_of(group)?),
    })
}

/// The canonical path of a group, relative ones being resolved against `base`; `/` for the root.
///
/// # Errors
/// When a segment is not allowed.
pub fn parse_group_id(base: &str, text: &str) -> Result<String, IdError> {
    match AppId::parse_in(base, text) {
        Ok(id) => Ok(id.to_string()),
        Err(IdError::Empty) => Ok("/".to_owned()),
        Err(error) => Err(error),
    }
}

fn split(rest: &str) -> Vec<&str> {
    rest.split('/').filter(|segment| !segment.is_empty()).collect()
}

fn group_of(segments: &[&str]) -> Result<String, PathError> {
    parse_group_id("/", &segments.join("/")).map_err(PathError::Id)
}

fn time(text: &str) -> Result<Timestamp, PathError> {
    text.parse().map_err(|_| PathError::Time(text.chars().take(100).collect()))
}

/// A boolean parameter in any case: old clients send `True` and `False`. `None` = unreadable.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lax_paths() {
        let id = |text: &str| AppId::parse(text).unwrap();
        let task = "g_a.instance-c0caec0a-863a-11e9-915b-c610fee06dff._app.42";
        let version = "2020-01-02T03:04:05.006Z";
        let table = [
            ("", AppPath::All),
            ("/", AppPath::All),
            ("//m1/", AppPath::App(id("/m1"))),
            ("/g/a", AppPath::App(id("/g/a"))),
            ("/*", AppPath::Subtree("/".into())),
            ("/g/*", AppPath::Subtree("/g".into())),
            ("/g/*/tasks", AppPath::SubtreeTasks("/g".into())),
            ("/g/a/tasks", AppPath::Tasks(id("/g/a"))),
            ("/g/a/tasks/", AppPath::Tasks(id("/g/a"))),
            ("/g/a/restart", AppPath::Restart(id("/g/a"))),
            ("/g/a/versions", AppPath::Versions(id("/g/a"))),
            (&format!("/g/a/tasks/{task}"), AppPath::Task(id("/g/a"), TaskId::parse(task).unwrap())),
            (&format!("/g/a/versions/{version}"), AppPath::Version(id("/g/a"), version.parse().unwrap())),
        ];
        for (text, path) in table {
            assert_eq!(parse_app_path(text), Ok(path), "{text}");
        }
        for text in ["/A", "/a/tasks/x", "/a/versions/x", "/tasks", "/a/../.."] {
            assert!(parse_app_path(text).is_err(), "{text}");
        }
        assert_eq!(parse_group_path("//mg"), Ok(GroupPath::Group("/mg".into())));
        assert_eq!(parse_group_path("/"), Ok(GroupPath::Group("/".into())));
        assert_eq!(parse_group_path("/versions"), Ok(GroupPath::Versions("/".into())));
        assert_eq!(parse_group_path("/g/apps"), Ok(GroupPath::Apps("/g".into())));
        assert_eq!(parse_boolean("False"), Some(false));
        assert_eq!(parse_boolean("yes"), None);
    }
}
