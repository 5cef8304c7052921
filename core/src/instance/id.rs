//! Instance and task ids.

use crate::AppId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// `<safePath>.instance-<uuid>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

/// `<instance id>._app.<incarnation>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Arc<str>);

/// A text that is no task or instance id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a task id; task ids look like web.instance-<uuid>._app.1")]
pub struct TaskIdError(String);

impl InstanceId {
    /// The id of an instance of `app`.
    pub fn new(app: &AppId, uuid: Uuid) -> Self {
        Self(format!("{}.instance-{uuid}", app.safe_path()).into())
    }

    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, TaskIdError> {
        let valid = text.rsplit_once(".instance-").is_some_and(|(path, uuid)| {
            AppId::from_safe_path(path).is_ok()
                && !uuid.is_empty()
                && uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        });
        if valid { Ok(Self(text.into())) } else { Err(TaskIdError(text.chars().take(200).collect())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TaskId {
    /// The task of one incarnation.
    pub fn new(instance: &InstanceId, incarnation: u32) -> Self {
        Self(format!("{instance}._app.{incarnation}").into())
    }

    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, TaskIdError> {
        let id = Self(text.into());
        id.split().map(|_| id)
    }

    /// The instance and the incarnation.
    pub fn split(&self) -> Result<(InstanceId, u32), TaskIdError> {
        let error = || TaskIdError(self.0.chars().take(200).collect());
        let mut parts = self.0.rsplitn(3, '.');
        let incarnation = parts.next().and_then(|text| text.parse().ok()).ok_or_else(error)?;
        let _container = parts.next().ok_or_else(error)?;
        let instance = InstanceId::parse(parts.next().ok_or_else(error)?)?;
        Ok((instance, incarnation))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_id {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}
text_id!(InstanceId);
text_id!(TaskId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_ids_split_into_instance_and_incarnation() {
        let app = AppId::parse("/shop/web.v1").unwrap();
        let instance = InstanceId::new(&app, Uuid::from_u128(7));
        let task = TaskId::new(&instance, 42);
        assert_eq!(task.as_str(), "shop_web.v1.instance-00000000-0000-0000-0000-000000000007._app.42");
        assert_eq!(TaskId::parse(task.as_str()).unwrap().split().unwrap(), (instance, 42));
        for text in ["", "a", "a.b.c", "a.instance-._app.1", "a.instance-1._app.x", "../etc.instance-1._app.1"] {
            assert!(TaskId::parse(text).is_err(), "{text}");
        }
    }
}
