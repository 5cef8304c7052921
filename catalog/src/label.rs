//! The `DCOS_PACKAGE_*` labels: what old clients know of an installed package.

use crate::error::CatalogError;
use crate::options;
use crate::package::Package;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value, json};
use std::io::{Read as _, Write as _};

/// Name of the package.
pub const NAME: &str = "DCOS_PACKAGE_NAME";
/// Version of the package.
pub const VERSION: &str = "DCOS_PACKAGE_VERSION";
/// URI of the repository it came from.
pub const SOURCE: &str = "DCOS_PACKAGE_SOURCE";
/// The user's options, JSON in base64.
pub const OPTIONS: &str = "DCOS_PACKAGE_OPTIONS";
/// The whole definition, in an envelope.
pub const DEFINITION: &str = "DCOS_PACKAGE_DEFINITION";
/// A part of the definition that old dashboards read, JSON in base64.
pub const METADATA: &str = "DCOS_PACKAGE_METADATA";
/// Written by package authors; names the Mesos framework to tear down at uninstall.
pub const FRAMEWORK_NAME: &str = "DCOS_PACKAGE_FRAMEWORK_NAME";

/// Largest definition unpacked from a label, in bytes. The largest known package has 200 kB.
pub const DEFINITION_BYTES_MAX: u64 = 16 << 20;

/// Measured over the Universe: 3 % larger than level 6, in 30 % less time.
const GZIP_LEVEL: u32 = 3;

/// Fields of the legacy metadata, besides the images.
const METADATA_FIELDS: [&str; 13] = [
    "packagingVersion",
    "name",
    "version",
    "maintainer",
    "description",
    "tags",
    "selected",
    "scm",
    "website",
    "framework",
    "preInstallNotes",
    "postInstallNotes",
    "postUninstallNotes",
];

/// The labels that depend on nothing but the package.
#[derive(Debug)]
pub(crate) struct PackageLabels {
    pub(crate) definition: String,
    pub(crate) metadata: String,
}

impl PackageLabels {
    pub(crate) fn of(package: &Package) -> Result<Self, CatalogError> {
        let definition = package.definition()?;
        Ok(Self { metadata: metadata(&definition), definition: envelope(package, &definition) })
    }
}

/// The labels of an app that renders `package` with `user_options`.
pub(crate) fn package_labels(
    package: &Package,
    labels: &PackageLabels,
    source_uri: &str,
    user_options: &Map<String, Value>,
) -> [(&'static str, String); 6] {
    let mut stored = user_options.clone();
    options::drop_nulls(&mut stored);
    [
        (NAME, package.name.clone()),
        (VERSION, package.version.clone()),
        (SOURCE, source_uri.to_owned()),
        (OPTIONS, STANDARD.encode(Value::Object(stored).to_string())),
        (DEFINITION, labels.definition.clone()),
        (METADATA, labels.metadata.clone()),
    ]
}

fn metadata(definition: &Map<String, Value>) -> String {
    let mut legacy = Map::new();
    for key in METADATA_FIELDS.into_iter().chain(["licenses"]) {
        if let Some(value) = definition.get(key) {
            legacy.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(images) = definition.get("resource").and_then(|resource| resource.get("images")) {
        legacy.insert("images".to_owned(), images.clone());
    }
    STANDARD.encode(Value::Object(legacy).to_string())
}

fn envelope(package: &Package, definition: &Map<String, Value>) -> String {
    // No time and no name in the header: equal packages give equal labels.
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(GZIP_LEVEL));
    let packed = serde_json::to_vec(definition)
        .map_err(std::io::Error::other)
        .and_then(|text| gzip.write_all(&text))
        .and_then(|()| gzip.finish())
        // Neither can fail: the map has text keys, and the sink is memory.
        .unwrap_or_default();
    let media_type =
        format!("application/vnd.dcos.universe.package+json;charset=utf-8;version={}", package.packaging_version.media_version());
    let envelope = json!({
        "metadata": { "Content-Type": media_type, "Content-Encoding": "gzip" },
        "data": STANDARD.encode(packed),
    });
    STANDARD.encode(envelope.to_string())
}

/// Reads the package back from the value of a `DCOS_PACKAGE_DEFINITION` label.
///
/// # Errors
/// [`CatalogError::DefinitionUnreadable`], with the step that failed.
pub fn package_of_label(value: &str) -> Result<Package, CatalogError> {
    let unreadable = |reason: String| CatalogError::DefinitionUnreadable { reason };
    let decoded = STANDARD.decode(value.trim()).map_err(|error| unreadable(format!("its base64 is broken: {error}")))?;
    let envelope: Value =
        serde_json::from_slice(&decoded).map_err(|error| unreadable(format!("its envelope is not JSON: {error}")))?;
    let data = envelope["data"].as_str().ok_or_else(|| unreadable("its envelope has no data".to_owned()))?;
    let packed = STANDARD.decode(data).map_err(|error| unreadable(format!("the base64 of its data is broken: {error}")))?;
    let mut text = String::new();
    if envelope["metadata"]["Content-Encoding"].as_str() == Some("gzip") {
        GzDecoder::new(packed.as_slice())
            .take(DEFINITION_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(|error| unreadable(format!("its data cannot be unpacked: {error}")))?;
        if text.len() as u64 > DEFINITION_BYTES_MAX {
            return Err(unreadable(format!("it is larger than {DEFINITION_BYTES_MAX} bytes")));
        }
    } else {
        text = String::from_utf8(packed).map_err(|error| unreadable(format!("its data is not text: {error}")))?;
    }
    Package::from_text(text).map_err(|fault| unreadable(fault.reason))
}

/// Reads user options back from the value of a `DCOS_PACKAGE_OPTIONS` label.
///
/// # Errors
/// [`CatalogError::DefinitionUnreadable`], with the step that failed.
pub fn options_of_label(value: &str) -> Result<Map<String, Value>, CatalogError> {
    let unreadable = |reason: String| CatalogError::DefinitionUnreadable { reason };
    let decoded = STANDARD.decode(value.trim()).map_err(|error| unreadable(format!("the options' base64 is broken: {error}")))?;
    serde_json::from_slice(&decoded).map_err(|error| unreadable(format!("the options are not a JSON object: {error}")))
}
