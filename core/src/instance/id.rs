//! Instance and task ids.

use crate::AppId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use uuid::Uuid;

/// Between the path of the app and the UUID.
const MARK: &str = ".instance-";
/// Between the instance and the incarnation: the name of an app's only container.
const CONTAINER: &str = "._app.";
/// Length of a UUID's text.
const UUID_BYTES: usize = 36;

/// `<safePath>.instance-<uuid>`. The path is shared by all instances of an app, so that an id takes
/// no memory of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    app: AppId,
    uuid: Uuid,
}

/// `<instance id>._app.<incarnation>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    instance: InstanceId,
    incarnation: u32,
}

/// A text that is no task or instance id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a task id; task ids look like web.instance-<uuid>._app.1")]
pub struct TaskIdError(String);

impl TaskIdError {
    fn of(text: &str) -> Self {
        Self(text.chars().take(200).collect())
    }
}

impl InstanceId {
    /// The id of an instance of `app`.
    pub fn new(app: &AppId, uuid: Uuid) -> Self {
        Self { app: app.clone(), uuid }
    }

    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, TaskIdError> {
        let read = || {
            let (path, uuid) = text.rsplit_once(MARK)?;
            // Other forms of UUIDs would not read back as they were written.
            let uuid = Some(uuid).filter(|uuid| uuid.len() == UUID_BYTES)?;
            Some(Self { app: AppId::from_safe_path(path).ok()?, uuid: Uuid::try_parse(uuid).ok()? })
        };
        read().ok_or_else(|| TaskIdError::of(text))
    }

    /// The app, pod or job it is an instance of.
    pub const fn app(&self) -> &AppId {
        &self.app
    }

    /// What tells it from the other instances of its app.
    pub const fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl TaskId {
    /// The task of one incarnation.
    pub fn new(instance: &InstanceId, incarnation: u32) -> Self {
        Self { instance: instance.clone(), incarnation }
    }

    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, TaskIdError> {
        let read = || {
            let (instance, incarnation) = text.rsplit_once(CONTAINER)?;
            let canonical = incarnation == "0" || !incarnation.starts_with(['0', '+']);
            Some(Self {
                instance: InstanceId::parse(instance).ok()?,
                incarnation: incarnation.parse().ok().filter(|_| canonical)?,
            })
        };
        read().ok_or_else(|| TaskIdError::of(text))
    }

    /// The instance.
    pub const fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// Which launch of the instance.
    pub const fn incarnation(&self) -> u32 {
        self.incarnation
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, segment) in self.app.segments().enumerate() {
            if number > 0 {
                f.write_str("_")?;
            }
            f.write_str(segment)?;
        }
        f.write_str(MARK)?;
        f.write_str(self.uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{CONTAINER}{}", self.instance, self.incarnation)
    }
}

macro_rules! text_id {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(Self::parse))
            }
        }
    };
}
text_id!(InstanceId);
text_id!(TaskId);

/// Reads a text without copying it first.
struct Text<T>(fn(&str) -> Result<T, TaskIdError>);

impl<T> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a task or instance id")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_ids_split_into_instance_and_incarnation() {
        let app = AppId::parse("/shop/web.v1").unwrap();
        let instance = InstanceId::new(&app, Uuid::from_u128(7));
        let task = TaskId::new(&instance, 42);
        let text = "shop_web.v1.instance-00000000-0000-0000-0000-000000000007._app.42";
        assert_eq!(task.to_string(), text);
        assert_eq!(TaskId::parse(text).unwrap(), task);
        assert_eq!((task.instance(), task.incarnation()), (&instance, 42));
        assert_eq!(serde_json::from_str::<TaskId>(&serde_json::to_string(&task).unwrap()).unwrap(), task);
        let uuid = Uuid::nil();
        for text in [
            "",
            "a",
            "a.b.c",
            "a.instance-._app.1",
            "a.instance-1._app.1",
            &format!("a.instance-{}._app.1", uuid.simple()),
            &format!("a.instance-{uuid}._app.x"),
            &format!("a.instance-{uuid}._app.+1"),
            &format!("a.instance-{uuid}._app.01"),
            &format!("a.instance-{uuid}.1"),
            &format!("../etc.instance-{uuid}._app.1"),
        ] {
            assert!(TaskId::parse(text).is_err(), "{text}");
        }
    }
}
