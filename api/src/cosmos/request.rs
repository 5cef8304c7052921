//! Bodies of requests.

use super::CosmosError;
use crate::json::{Cursor, Object, Reader};
use serde_json::{Map, Value};

/// Reads a body. No body, `null` and `{}` are the same: old clients send any of them.
///
/// # Errors
/// `not_parsed` for anything that is no JSON object.
pub fn parse_body(body: &[u8]) -> Result<Value, CosmosError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Null) => Ok(Value::Object(Map::new())),
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(CosmosError::not_parsed("The body must be a JSON object")),
        Err(error) => Err(CosmosError::not_parsed(format!("The body is not JSON: {error}"))),
    }
}

struct Fields<'a> {
    object: Object<'a>,
    reader: Reader,
}

impl<'a> Fields<'a> {
    fn new(body: &'a Value) -> Result<Self, CosmosError> {
        let mut reader = Reader::default();
        match reader.object(&Cursor { value: body, path: String::new() }) {
            Some(object) => Ok(Self { object, reader }),
            None => Err(CosmosError::not_parsed("The body must be a JSON object")),
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.object.get(key).and_then(|cursor| self.reader.text(&cursor))
    }

    fn required(&mut self, key: &str) -> String {
        if self.object.get(key).is_none() {
            self.reader.fault(format!("/{key}"), "is missing");
        }
        self.text(key).unwrap_or_default()
    }

    fn boolean(&mut self, key: &str) -> Option<bool> {
        self.object.get(key).and_then(|cursor| self.reader.boolean(&cursor))
    }

    fn options(&mut self) -> Option<Map<String, Value>> {
        self.object.get("options").and_then(|cursor| self.reader.object(&cursor)).map(|object| object.map.clone())
    }

    fn done<T>(self, request: T) -> Result<T, CosmosError> {
        if self.reader.faults.is_empty() { Ok(request) } else { Err(CosmosError::not_decoded(&self.reader.faults)) }
    }
}

macro_rules! request {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $read:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $name {
            /// Takes the request out of a body.
            ///
            /// # Errors
            /// `not_parsed` with every fault.
            pub fn read(body: &Value) -> Result<Self, CosmosError> {
                let mut fields = Fields::new(body)?;
                $(let read: fn(&mut Fields<'_>) -> $kind = $read; let $field = read(&mut fields);)*
                fields.done(Self { $($field,)* })
            }
        }
    };
}

request! {
    /// `/package/describe`.
    DescribeRequest {
        /// Package.
        package_name: String = |fields| fields.required("packageName"),
        /// Version; the latest when absent.
        package_version: Option<String> = |fields| fields.text("packageVersion"),
    }
}

request! {
    /// `/package/install` and `/package/render`.
    InstallRequest {
        /// Package.
        package_name: String = |fields| fields.required("packageName"),
        /// Version; the latest when absent.
        package_version: Option<String> = |fields| fields.text("packageVersion"),
        /// What the user chose.
        options: Option<Map<String, Value>> = |fields| fields.options(),
        /// Overrides the id that the template gives.
        app_id: Option<String> = |fields| fields.text("appId"),
        /// Another package manager to hand over to.
        manager_id: Option<String> = |fields| fields.text("managerId"),
    }
}

request! {
    /// `/package/list`.
    ListRequest {
        /// Only this package.
        package_name: Option<String> = |fields| fields.text("packageName"),
        /// Only this app.
        app_id: Option<String> = |fields| fields.text("appId"),
    }
}

request! {
    /// `/package/list-versions`.
    ListVersionsRequest {
        /// Package.
        package_name: String = |fields| fields.required("packageName"),
        /// No effect; Cosmos demanded it.
        include_package_versions: Option<bool> = |fields| fields.boolean("includePackageVersions"),
    }
}

request! {
    /// `/package/search`.
    SearchRequest {
        /// Substring, or a pattern with `*`; everything when absent.
        query: Option<String> = |fields| fields.text("query"),
    }
}

request! {
    /// `/package/uninstall`.
    UninstallRequest {
        /// Package.
        package_name: String = |fields| fields.required("packageName"),
        /// Instance.
        app_id: Option<String> = |fields| fields.text("appId"),
        /// All instances.
        all: Option<bool> = |fields| fields.boolean("all"),
        /// Another package manager to hand over to.
        manager_id: Option<String> = |fields| fields.text("managerId"),
        /// Version.
        package_version: Option<String> = |fields| fields.text("packageVersion"),
    }
}

request! {
    /// `/package/repository/add`.
    RepositoryAddRequest {
        /// Name.
        name: String = |fields| fields.required("name"),
        /// Address.
        uri: String = |fields| fields.required("uri"),
        /// Place in the list; the end when absent. Negative ones are refused by the list.
        index: Option<i64> = |fields| {
            let cursor = fields.object.get("index")?;
            // The Python clients send the number as it was typed, a string; Cosmos read both.
            let index = cursor.value.as_i64().or_else(|| cursor.value.as_str()?.trim().parse().ok());
            if index.is_none() {
                fields.reader.wrong(&cursor, "must be a whole number");
            }
            index
        },
    }
}

request! {
    /// `/package/repository/delete`: at least one of the two; both must match when both are given.
    RepositoryDeleteRequest {
        /// Name.
        name: Option<String> = |fields| fields.text("name"),
        /// Address.
        uri: Option<String> = |fields| fields.text("uri"),
    }
}

request! {
    /// `/cosmos/service/describe`.
    ServiceDescribeRequest {
        /// Instance.
        app_id: String = |fields| fields.required("appId"),
    }
}

request! {
    /// `/cosmos/service/update`.
    ServiceUpdateRequest {
        /// Instance.
        app_id: String = |fields| fields.required("appId"),
        /// The options are all there are, instead of being merged into the stored ones.
        replace: bool = |fields| {
            if fields.object.get("replace").is_none() {
                fields.reader.fault("/replace", "is missing");
            }
            fields.boolean("replace").unwrap_or(false)
        },
        /// Version to go to; the installed one when absent.
        package_version: Option<String> = |fields| fields.text("packageVersion"),
        /// Options.
        options: Option<Map<String, Value>> = |fields| fields.options(),
    }
}
