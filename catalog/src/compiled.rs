//! What is computed once from a package and used by every rendering of it.

use crate::error::CatalogError;
use crate::label;
use crate::options;
use crate::package::Package;
use crate::strict::StrictTemplate;
use crate::template::{TEMPLATE_BYTES_MAX, Template, TemplateError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value};
use std::sync::{Arc, OnceLock};

type Kept<T> = OnceLock<Result<T, CatalogError>>;

/// The parts of a package that rendering needs; each is computed when first asked for.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    defaults: Kept<Map<String, Value>>,
    validator: Kept<Option<Validator>>,
    template: Kept<AnyTemplate>,
    labels: Kept<label::PackageLabels>,
}

/// A template in one of the two languages.
#[derive(Debug)]
pub(crate) enum AnyTemplate {
    /// Mustache with Cosmos' semantics.
    Mustache(Template),
    /// Handlebars, strict.
    Strict(Box<StrictTemplate>),
}

/// What has been compiled from `package`, which may be nothing yet.
pub(crate) fn compiled(package: &Package) -> Arc<Compiled> {
    package.compiled.get(Compiled::default)
}

fn kept<T>(cell: &Kept<T>, compute: impl FnOnce() -> Result<T, CatalogError>) -> Result<&T, CatalogError> {
    cell.get_or_init(compute).as_ref().map_err(Clone::clone)
}

impl Compiled {
    pub(crate) fn defaults(&self, package: &Package) -> Result<&Map<String, Value>, CatalogError> {
        kept(&self.defaults, || Ok(package.config()?.map(|schema| options::defaults(&schema)).unwrap_or_default()))
    }

    /// The validator of the options; none when the package declares none.
    pub(crate) fn validator(&self, package: &Package) -> Result<Option<&Validator>, CatalogError> {
        let validator = kept(&self.validator, || {
            let Some(schema) = package.config()? else { return Ok(None) };
            let schema = Value::Object(schema);
            // Most schemas name no draft, some an unversioned one: all are draft 4. Nothing
            // fetches: the crate is built without resolvers, so a remote $ref is an error.
            let built = jsonschema::options().with_draft(Draft::Draft4).build(&schema);
            built.map(Some).map_err(|error| CatalogError::PackageFileSchemaMismatch {
                package_name: package.name.clone(),
                package_version: package.version.clone(),
                file: "config.json",
                reason: format!("{error} (at {})", error.instance_path()),
            })
        })?;
        Ok(validator.as_ref())
    }

    pub(crate) fn template(&self, package: &Package) -> Result<&AnyTemplate, CatalogError> {
        kept(&self.template, || {
            let failed = |source| CatalogError::TemplateFailed {
                package_name: package.name.clone(),
                package_version: package.version.clone(),
                source,
            };
            if let Some(encoded) = package.mustache_base64() {
                let text = decode(package, &encoded, "marathon.json.mustache")?;
                Ok(AnyTemplate::Mustache(Template::parse(&text).map_err(failed)?))
            } else if let Some(encoded) = package.handlebars_base64() {
                let text = decode(package, &encoded, "app.json.hbs")?;
                Ok(AnyTemplate::Strict(Box::new(StrictTemplate::parse(&text).map_err(failed)?)))
            } else {
                Err(CatalogError::ServiceMarathonTemplateNotFound {
                    package_name: package.name.clone(),
                    package_version: package.version.clone(),
                })
            }
        })
    }

    pub(crate) fn labels(&self, package: &Package) -> Result<&label::PackageLabels, CatalogError> {
        kept(&self.labels, || label::PackageLabels::of(package))
    }
}

fn decode(package: &Package, encoded: &str, file: &'static str) -> Result<String, CatalogError> {
    let failed = |reason: String| CatalogError::PackageFileNotJson {
        package_name: package.name.clone(),
        package_version: package.version.clone(),
        file,
        reason,
    };
    // Before decoding, so that a huge one costs nothing.
    if encoded.len() / 4 * 3 > TEMPLATE_BYTES_MAX + 3 {
        return Err(failed(TemplateError::TooLong { bytes: encoded.len() / 4 * 3 }.to_string()));
    }
    let bytes = STANDARD.decode(encoded.trim()).map_err(|error| failed(format!("its base64 is broken: {error}")))?;
    // As Java decodes: bytes that are not UTF-8 become replacement characters.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
