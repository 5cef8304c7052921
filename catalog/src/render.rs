//! Package and options to an app: defaults, merge, validation, template, JSON, labels.

use crate::compiled::{AnyTemplate, compiled};
use crate::depth;
use crate::error::CatalogError;
use crate::label;
use crate::options::{self, OPTIONS_DEPTH_MAX};
use crate::package::Package;
use crate::validate;
use serde_json::{Map, Value};

/// A rendered package.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The app, labels and id included.
    pub app: Value,
    /// Defaults with the user's options on top.
    pub resolved_options: Map<String, Value>,
    /// What the template printed, before parsing; without labels and id.
    pub text: String,
}

/// Renders `package` from the repository at `source_uri` with `user_options`; `app_id` replaces
/// the id that the template gives.
///
/// # Errors
/// The first step that fails; a schema mismatch lists all faults.
pub fn render(
    package: &Package,
    source_uri: &str,
    user_options: &Map<String, Value>,
    app_id: Option<&str>,
) -> Result<Rendered, CatalogError> {
    if !package.has_template() {
        return Err(CatalogError::ServiceMarathonTemplateNotFound {
            package_name: package.name.clone(),
            package_version: package.version.clone(),
        });
    }
    let resolved_options = resolve_options(package, user_options)?;
    validate_options(package, &resolved_options)?;
    let text = render_text(package, &resolved_options)?;
    let mut app = parse_app(package, &text)?;
    check_labels(&app)?;
    if let Some(id) = app_id {
        app.insert("id".to_owned(), id.into());
    }
    let compiled = compiled(package);
    let own = label::package_labels(package, compiled.labels(package)?, source_uri, user_options);
    let labels = app.entry("labels").or_insert(Value::Null);
    if !labels.is_object() {
        *labels = Value::Object(Map::new());
    }
    if let Value::Object(labels) = labels {
        labels.extend(own.map(|(name, value)| (name.to_owned(), Value::String(value))));
    }
    Ok(Rendered { app: Value::Object(app), resolved_options, text })
}

/// The package's defaults with `user_options` on top. Not validated.
pub fn resolve_options(package: &Package, user_options: &Map<String, Value>) -> Result<Map<String, Value>, CatalogError> {
    // Before anything walks them recursively.
    if !depth::map_within(user_options, OPTIONS_DEPTH_MAX) {
        return Err(CatalogError::OptionsTooDeep { limit: OPTIONS_DEPTH_MAX });
    }
    let mut resolved = compiled(package).defaults(package)?.clone();
    options::merge(&mut resolved, user_options);
    Ok(resolved)
}

/// Checks resolved options against the package's schema. Empty ones are not checked at all,
/// as in Cosmos.
pub fn validate_options(package: &Package, resolved: &Map<String, Value>) -> Result<(), CatalogError> {
    if resolved.is_empty() {
        return Ok(());
    }
    let compiled = compiled(package);
    let Some(validator) = compiled.validator(package)? else {
        return Err(CatalogError::OptionsNotAllowed);
    };
    let schema = || Value::Object(package.config().ok().flatten().unwrap_or_default());
    let errors = validate::errors(validator, &Value::Object(resolved.clone()), schema);
    if errors.is_empty() { Ok(()) } else { Err(CatalogError::JsonSchemaMismatch { errors }) }
}

/// Runs the template over resolved options, the package's resources on top of them.
pub fn render_text(package: &Package, resolved: &Map<String, Value>) -> Result<String, CatalogError> {
    let compiled = compiled(package);
    let template = compiled.template(package)?;
    let mut context = resolved.clone();
    if let Some(resource) = package.resource()? {
        let mut above = Map::new();
        above.insert("resource".to_owned(), Value::Object(resource));
        options::merge(&mut context, &above);
    }
    let text = match template {
        AnyTemplate::Mustache(template) => template.render(&context),
        AnyTemplate::Strict(template) => template.render(&context),
    };
    text.map_err(|source| CatalogError::TemplateFailed {
        package_name: package.name.clone(),
        package_version: package.version.clone(),
        source,
    })
}

/// Parses rendered text; of equal keys the last counts, which packages rely on.
fn parse_app(package: &Package, text: &str) -> Result<Map<String, Value>, CatalogError> {
    match serde_json::from_str(text) {
        Ok(Value::Object(app)) => Ok(app),
        Ok(_) => Err(CatalogError::MarathonTemplateMustBeJsonObject),
        Err(error) => Err(CatalogError::JsonParsingError {
            package_name: package.name.clone(),
            package_version: package.version.clone(),
            reason: error.to_string(),
        }),
    }
}

/// Labels must be text; Marathon says it less clearly.
fn check_labels(app: &Map<String, Value>) -> Result<(), CatalogError> {
    let wrong = |path: String, reason: &str| Err(CatalogError::JsonDecodingError { path, reason: reason.to_owned() });
    match app.get("labels") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(labels)) => match labels.iter().find(|(_, v)| !v.is_string()) {
            None => Ok(()),
            Some((name, _)) => wrong(format!("/labels/{name}"), "a label must be text"),
        },
        Some(_) => wrong("/labels".to_owned(), "labels must be an object"),
    }
}
