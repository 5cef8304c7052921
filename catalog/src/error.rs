//! What can go wrong between a package name and an app, named as Cosmos named it.

use crate::template::TemplateError;
use serde_json::{Value, json};

/// A failed catalog operation. Variants carry Cosmos' error types where one exists;
/// [`CatalogError::kind`] and [`CatalogError::data`] give the wire form.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// No repository has a package of this name.
    #[error("Package [{package_name}] not found.{}", suggestion("Did you mean", .similar))]
    PackageNotFound {
        /// The name asked for.
        package_name: String,
        /// Names that look like it, the likeliest first.
        similar: Vec<String>,
    },
    /// The package exists, this version of it does not.
    #[error(
        "Version [{package_version}] of package [{package_name}] not found.{}",
        suggestion("There are", .known)
    )]
    VersionNotFound {
        /// The name asked for.
        package_name: String,
        /// The version asked for.
        package_version: String,
        /// The newest versions there are.
        known: Vec<String>,
    },
    /// A package that only brings a command for the CLI cannot be rendered.
    #[error(
        "Package: [{package_name}] version: [{package_version}] does not have a Marathon \
         template defined and can not be rendered. Install its command with --cli."
    )]
    ServiceMarathonTemplateNotFound {
        /// Name of the package.
        package_name: String,
        /// Its version.
        package_version: String,
    },
    /// Options were given to a package that declares none.
    #[error("This package takes no options. Install it without any.")]
    OptionsNotAllowed,
    /// The options break the package's schema; every fault is listed.
    #[error("Options JSON failed validation: {}", schema_faults(.errors))]
    JsonSchemaMismatch {
        /// One message for each fault, in the form of the fge JSON Schema validator.
        errors: Vec<Value>,
    },
    /// The options nest too deep to be handled.
    #[error("The options nest deeper than {limit} levels. Flatten them.")]
    OptionsTooDeep {
        /// The limit, in levels.
        limit: usize,
    },
    /// The rendered text is not JSON. It is not repeated here: it may hold secrets.
    #[error(
        "Package [{package_name}] [{package_version}] renders to text that is not JSON with \
         these options: {reason}. Look for an option that the template puts outside quotes."
    )]
    JsonParsingError {
        /// Name of the package.
        package_name: String,
        /// Its version.
        package_version: String,
        /// What the parser says, with line and column of the rendered text.
        reason: String,
    },
    /// The rendered JSON does not have the expected types (labels that are not text).
    #[error("The rendered app has a wrong type at {path}: {reason}.")]
    JsonDecodingError {
        /// JSON pointer into the rendered app.
        path: String,
        /// What is expected there.
        reason: String,
    },
    /// The rendered JSON is an array or a scalar.
    #[error("Rendered Marathon JSON must be a JSON object.")]
    MarathonTemplateMustBeJsonObject,
    /// A file of the package is not usable JSON.
    #[error("{file} of package [{package_name}] [{package_version}] is not usable: {reason}.")]
    PackageFileNotJson {
        /// Name of the package.
        package_name: String,
        /// Its version.
        package_version: String,
        /// The file.
        file: &'static str,
        /// Why.
        reason: String,
    },
    /// The package's option schema is not a valid draft-04 schema.
    #[error(
        "{file} of package [{package_name}] [{package_version}] is not a valid JSON Schema \
         (draft 4): {reason}."
    )]
    PackageFileSchemaMismatch {
        /// Name of the package.
        package_name: String,
        /// Its version.
        package_version: String,
        /// The file.
        file: &'static str,
        /// Why.
        reason: String,
    },
    /// The template cannot be parsed, or rendering it reached a limit. Cosmos had no name for
    /// this: it answered 500.
    #[error("The template of package [{package_name}] [{package_version}] fails: {source}.")]
    TemplateFailed {
        /// Name of the package.
        package_name: String,
        /// Its version.
        package_version: String,
        /// Why.
        source: TemplateError,
    },
    /// A `DCOS_PACKAGE_DEFINITION` label that cannot be read.
    #[error("The package definition stored with the app cannot be read: {reason}.")]
    DefinitionUnreadable {
        /// Why.
        reason: String,
    },
}

impl CatalogError {
    /// The `type` of Cosmos' error response.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PackageNotFound { .. } => "PackageNotFound",
            Self::VersionNotFound { .. } => "VersionNotFound",
            Self::ServiceMarathonTemplateNotFound { .. } => "ServiceMarathonTemplateNotFound",
            Self::OptionsNotAllowed => "OptionsNotAllowed",
            Self::JsonSchemaMismatch { .. } => "JsonSchemaMismatch",
            Self::OptionsTooDeep { .. } => "OptionsTooDeep",
            Self::JsonParsingError { .. } => "JsonParsingError",
            Self::JsonDecodingError { .. } => "JsonDecodingError",
            // The dollar sign is on the wire: the original is a Scala object, not a class.
            Self::MarathonTemplateMustBeJsonObject => "MarathonTemplateMustBeJsonObject$",
            Self::PackageFileNotJson { .. } => "PackageFileNotJson",
            Self::PackageFileSchemaMismatch { .. } => "PackageFileSchemaMismatch",
            Self::TemplateFailed { .. } => "TemplateFailed",
            Self::DefinitionUnreadable { .. } => "DefinitionUnreadable",
        }
    }

    /// The `data` of Cosmos' error response, where the type has one.
    pub fn data(&self) -> Option<Value> {
        match self {
            Self::PackageNotFound { package_name, .. } => Some(json!({ "packageName": package_name })),
            Self::VersionNotFound { package_name, package_version, .. }
            | Self::ServiceMarathonTemplateNotFound { package_name, package_version }
            | Self::TemplateFailed { package_name, package_version, .. } => {
                Some(json!({ "packageName": package_name, "packageVersion": package_version }))
            }
            Self::JsonSchemaMismatch { errors } => Some(json!({ "errors": errors })),
            // The original echoed its whole input here; that can hold secrets.
            Self::JsonParsingError { reason, .. } => Some(json!({
                "underlyingType": "app", "parsingErrorMessage": reason, "parsingInput": "",
            })),
            Self::JsonDecodingError { path, reason } => Some(json!({
                "typeName": "app", "decodingErrorMessage": format!("{path}: {reason}"),
                "decodeInput": "",
            })),
            Self::PackageFileNotJson { package_name, package_version, file, reason }
            | Self::PackageFileSchemaMismatch { package_name, package_version, file, reason } => Some(json!({
                "packageName": package_name, "packageVersion": package_version,
                "fileName": file, "reason": reason,
            })),
            Self::OptionsNotAllowed
            | Self::OptionsTooDeep { .. }
            | Self::MarathonTemplateMustBeJsonObject
            | Self::DefinitionUnreadable { .. } => None,
        }
    }
}

fn suggestion(lead: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" {lead}: {}.", names.join(", ")) }
}

/// All faults in one line, each with the option it is about.
fn schema_faults(errors: &[Value]) -> String {
    errors.iter().map(crate::validate::sentence).collect::<Vec<_>>().join("; ")
}
