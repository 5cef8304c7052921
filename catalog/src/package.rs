//! One version of one package, as a repository describes it.

use crate::cache::CompiledSlot;
use crate::error::CatalogError;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Longest package name or version accepted, in bytes.
pub const IDENTIFIER_BYTES_MAX: usize = 128;

/// Version of the package format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackagingVersion {
    /// `2.0`: the CLI comes from pip (command.json).
    V2,
    /// `3.0`: CLI binaries, minDcosReleaseVersion.
    V3,
    /// `4.0`: upgradesFrom and downgradesTo.
    V4,
    /// `5.0`: manager.
    V5,
}

impl PackagingVersion {
    /// The text in package.json.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "2.0",
            Self::V3 => "3.0",
            Self::V4 => "4.0",
            Self::V5 => "5.0",
        }
    }

    /// The `version=` of the package's media type.
    pub fn media_version(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::V4 => "v4",
            Self::V5 => "v5",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::V2, Self::V3, Self::V4, Self::V5].into_iter().find(|v| v.as_str() == text)
    }
}

/// One version of a package. The fields that lists need are decoded; the rest stays text until
/// asked for, and nothing that the repository said is lost.
#[derive(Debug)]
pub struct Package {
    /// Version of the format.
    pub packaging_version: PackagingVersion,
    /// Name, unique in a repository together with [`Self::release_version`].
    pub name: String,
    /// Version, an opaque string: many are not semantic versions.
    pub version: String,
    /// The revision; the only order that versions have.
    pub release_version: u64,
    /// Who maintains it; empty when missing.
    pub maintainer: String,
    /// What it is; empty when missing.
    pub description: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Listed first in searches.
    pub selected: Option<bool>,
    /// Whether it is a Mesos framework; informational.
    pub framework: Option<bool>,
    /// Shown before an installation.
    pub pre_install_notes: Option<String>,
    /// Shown after an installation.
    pub post_install_notes: Option<String>,
    /// Shown after an uninstallation.
    pub post_uninstall_notes: Option<String>,
    /// Lowest platform version it is for; informational.
    pub min_dcos_release_version: Option<String>,
    /// Versions that may be upgraded to this one; `*` is any.
    pub upgrades_from: Vec<String>,
    /// Versions that this one may be downgraded to; `*` is any.
    pub downgrades_to: Vec<String>,
    text: Arc<String>,
    whole: Range<usize>,
    config: Option<Range<usize>>,
    resource: Option<Range<usize>>,
    marathon: Option<Range<usize>>,
    app: Option<Range<usize>>,
    pub(crate) compiled: CompiledSlot,
}

/// Why one package cannot be used, before its place in a repository is known.
#[derive(Debug, Clone)]
pub(crate) struct PackageFault {
    pub(crate) package: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) reason: String,
}

/// The fields of a package object, in order, undecoded.
pub(crate) type Fields<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

impl Package {
    /// Decodes the fields of the object that is `text[whole]`.
    pub(crate) fn from_fields(text: &Arc<String>, whole: Range<usize>, fields: &Fields<'_>) -> Result<Self, PackageFault> {
        // The last of equal keys counts.
        let raw = |key: &str| {
            let found = fields.iter().rev().find(|(name, _)| name == key);
            found.map(|(_, value)| value.get()).filter(|value| *value != "null")
        };
        let string = |key: &str| raw(key).and_then(|v| serde_json::from_str::<String>(v).ok());
        let strings = |key: &str| -> Vec<String> {
            let values: Option<Vec<Value>> = raw(key).and_then(|v| serde_json::from_str(v).ok());
            let text = |value: Value| match value {
                Value::String(text) => Some(text),
                _ => None,
            };
            values.unwrap_or_default().into_iter().filter_map(text).collect()
        };
        let flag = |key: &str| raw(key).and_then(|v| serde_json::from_str::<bool>(v).ok());
        let range = |key: &str| {
            raw(key).filter(|value| value.starts_with('{')).map(|value| {
                let start = value.as_ptr() as usize - text.as_ptr() as usize;
                start..start + value.len()
            })
        };
        let name = string("name");
        let version = string("version").or_else(|| {
            // A version such as 1.0 is sometimes written as a number.
            raw("version").filter(|v| v.starts_with(|c: char| c.is_ascii_digit())).map(Into::into)
        });
        let fault = |reason: String| PackageFault { package: name.clone(), version: version.clone(), reason };
        let identifier = |value: &Option<String>, what: &str| match value {
            None => Err(fault(format!("{what} is missing or not text"))),
            Some(value) if value.is_empty() => Err(fault(format!("{what} is empty"))),
            Some(value) if value.len() > IDENTIFIER_BYTES_MAX => {
                Err(fault(format!("{what} is longer than {IDENTIFIER_BYTES_MAX} bytes")))
            }
            Some(value) if value.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/') => {
                Err(fault(format!("{what} has a space, a slash or a control character")))
            }
            Some(value) => Ok(value.clone()),
        };
        let checked_name = identifier(&name, "name")?;
        let checked_version = identifier(&version, "version")?;
        let packaging_version = raw("packagingVersion")
            .and_then(|v| PackagingVersion::parse(v.trim_matches('"')))
            .ok_or_else(|| fault("packagingVersion is missing or none of 2.0, 3.0, 4.0, 5.0".to_owned()))?;
        let release_version = raw("releaseVersion")
            .and_then(|v| v.trim_matches('"').parse::<u64>().ok())
            .ok_or_else(|| fault("releaseVersion is missing or not a whole number".to_owned()))?;
        for key in ["config", "resource", "marathon", "app"] {
            if raw(key).is_some_and(|value| !value.starts_with('{')) {
                return Err(fault(format!("{key} is not a JSON object")));
            }
        }
        Ok(Self {
            packaging_version,
            name: checked_name,
            version: checked_version,
            release_version,
            maintainer: string("maintainer").unwrap_or_default(),
            description: string("description").unwrap_or_default(),
            tags: strings("tags"),
            selected: flag("selected"),
            framework: flag("framework"),
            pre_install_notes: string("preInstallNotes"),
            post_install_notes: string("postInstallNotes"),
            post_uninstall_notes: string("postUninstallNotes"),
            min_dcos_release_version: string("minDcosReleaseVersion"),
            upgrades_from: strings("upgradesFrom"),
            downgrades_to: strings("downgradesTo"),
            config: range("config"),
            resource: range("resource"),
            marathon: range("marathon"),
            app: range("app"),
            text: Arc::clone(text),
            whole,
            compiled: CompiledSlot::default(),
        })
    }

    /// Reads one package from the text of its definition: an object as it stands in the
    /// `packages` of a repository, or in a `DCOS_PACKAGE_DEFINITION` label.
    pub(crate) fn from_text(text: String) -> Result<Self, PackageFault> {
        let broken = |reason: String| PackageFault { package: None, version: None, reason };
        let text = Arc::new(text);
        let object: crate::repository::Object<'_> =
            serde_json::from_str(&text).map_err(|error| broken(format!("not JSON: {error}")))?;
        let fields = object.fields.ok_or_else(|| broken("not a JSON object".to_owned()))?;
        Self::from_fields(&text, 0..text.len(), &fields)
    }

    /// The whole definition as JSON text, exactly as the repository gave it.
    pub fn definition_text(&self) -> &str {
        &self.text[self.whole.clone()]
    }

    /// The whole definition, null fields dropped at every depth: describe-response v3.
    pub fn definition(&self) -> Result<Map<String, Value>, CatalogError> {
        let mut map: Map<String, Value> = self.json(self.definition_text(), "package.json")?;
        crate::options::drop_nulls(&mut map);
        Ok(map)
    }

    /// The schema of the options (config.json).
    pub fn config(&self) -> Result<Option<Map<String, Value>>, CatalogError> {
        self.part(self.config.as_ref(), "config.json")
    }

    /// Images, assets and CLI binaries (resource.json).
    pub fn resource(&self) -> Result<Option<Map<String, Value>>, CatalogError> {
        self.part(self.resource.as_ref(), "resource.json")
    }

    /// `resource.cli`: the binaries of the package's command.
    pub fn cli(&self) -> Option<Value> {
        self.resource().ok().flatten()?.shift_remove("cli").filter(|cli| !cli.is_null())
    }

    /// `resource.images`: icons and screenshots. Reads nothing else of the resources.
    pub fn images(&self) -> Option<Value> {
        #[derive(serde::Deserialize)]
        struct Images {
            images: Option<Value>,
        }
        let text = &self.text[self.resource.clone()?];
        let mut images = serde_json::from_str::<Images>(text).ok()?.images?;
        crate::options::drop_null_fields(&mut images);
        Some(images)
    }

    /// Any other field of the definition, such as `licenses`, `scm` or `manager`.
    pub fn field(&self, name: &str) -> Option<Value> {
        let mut map: Map<String, Value> = serde_json::from_str(self.definition_text()).ok()?;
        map.shift_remove(name).filter(|value| !value.is_null())
    }

    /// Whether the package runs anything; without a template it only brings a CLI command.
    pub fn has_template(&self) -> bool {
        self.marathon.is_some() || self.app.is_some()
    }

    /// Whether options can be given.
    pub fn has_config(&self) -> bool {
        self.config.is_some()
    }

    /// `marathon.v2AppMustacheTemplate`, in base64.
    pub(crate) fn mustache_base64(&self) -> Option<String> {
        self.nested_string(self.marathon.as_ref()?, "v2AppMustacheTemplate")
    }

    /// `app.handlebarsTemplate`, in base64: our own newer form.
    pub(crate) fn handlebars_base64(&self) -> Option<String> {
        self.nested_string(self.app.as_ref()?, "handlebarsTemplate")
    }

    fn nested_string(&self, range: &Range<usize>, key: &str) -> Option<String> {
        let mut map: Map<String, Value> = serde_json::from_str(&self.text[range.clone()]).ok()?;
        match map.shift_remove(key)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    fn part(&self, range: Option<&Range<usize>>, file: &'static str) -> Result<Option<Map<String, Value>>, CatalogError> {
        range.map(|range| self.json(&self.text[range.clone()], file)).transpose()
    }

    fn json(&self, text: &str, file: &'static str) -> Result<Map<String, Value>, CatalogError> {
        serde_json::from_str(text).map_err(|error| CatalogError::PackageFileNotJson {
            package_name: self.name.clone(),
            package_version: self.version.clone(),
            file,
            reason: error.to_string(),
        })
    }
}
