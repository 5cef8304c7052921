//! A repository as a tree of files: `packages/<LETTER>/<name>/<revision>/…`, on disk or in
//! memory.

use super::{
    Checks, Content, PACKAGE_FILE_BYTES_MAX, PACKAGE_VERSIONS_MAX, Repository, RepositoryError, RepositoryFault,
    RepositorySource, hexadecimal,
};
use crate::check::{Severity, check};
use crate::package::Package;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PACKAGE: &str = "package.json";
const CONFIG: &str = "config.json";
const RESOURCE: &str = "resource.json";
const COMMAND: &str = "command.json";
const MUSTACHE: &str = "marathon.json.mustache";
const HANDLEBARS: &str = "app.json.hbs";

/// Files that a package directory may hold; others are ignored.
const FILES: [&str; 6] = [PACKAGE, CONFIG, RESOURCE, COMMAND, MUSTACHE, HANDLEBARS];

/// The files of one package version, by name.
type Files<'a> = BTreeMap<&'static str, Cow<'a, [u8]>>;

/// Name and revision, in the order that packages are listed.
type Place = (String, u64);

impl Repository {
    /// Reads a tree on disk; `path` may be the root of a Universe checkout, its `repo` or its
    /// `packages`.
    ///
    /// # Errors
    /// When the tree cannot be listed or holds no packages. A broken version is left out and
    /// reported in [`Repository::faults`].
    pub fn from_directory(source: RepositorySource, path: &Path, checks: Checks) -> Result<Self, RepositoryError> {
        let packages = packages_directory(path)?;
        let mut faults = Vec::new();
        let mut versions: BTreeMap<Place, Files<'_>> = BTreeMap::new();
        for letter in directories(&packages)? {
            for name in directories(&letter)? {
                for revision in directories(&name)? {
                    let (name, revision_text) = (file_name(&name), file_name(&revision));
                    let Ok(number) = revision_text.parse::<u64>() else {
                        faults.push(not_a_revision(&name, &revision_text));
                        continue;
                    };
                    match read_files(&revision) {
                        Ok(files) => {
                            versions.insert((name, number), files);
                        }
                        Err((file, reason)) => faults.push(RepositoryFault {
                            package: Some(name),
                            version: Some(revision_text),
                            file: Some(file.to_owned()),
                            reason,
                        }),
                    }
                }
            }
        }
        Ok(build(source, &versions, faults, checks))
    }

    /// Reads a tree held in memory, such as one embedded in a program: pairs of a path that
    /// ends in `<LETTER>/<name>/<revision>/<file>` and the content. Other paths are ignored.
    pub fn from_files<'a, P: AsRef<str>>(
        source: RepositorySource,
        files: impl IntoIterator<Item = (P, Cow<'a, [u8]>)>,
        checks: Checks,
    ) -> Self {
        let mut faults = Vec::new();
        let mut versions: BTreeMap<Place, Files<'a>> = BTreeMap::new();
        for (path, content) in files {
            let mut parts = path.as_ref().rsplit(['/', '\\']);
            let file = parts.next().and_then(|file| FILES.into_iter().find(|known| *known == file));
            let (Some(file), Some(revision), Some(name), Some(_letter)) = (file, parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let Ok(number) = revision.parse::<u64>() else {
                if file == PACKAGE {
                    faults.push(not_a_revision(name, revision));
                }
                continue;
            };
            versions.entry((name.to_owned(), number)).or_default().insert(file, content);
        }
        build(source, &versions, faults, checks)
    }
}

fn not_a_revision(name: &str, revision: &str) -> RepositoryFault {
    RepositoryFault {
        package: Some(name.to_owned()),
        version: Some(revision.to_owned()),
        file: None,
        reason: "the directory's name is no whole number, so it is no revision".to_owned(),
    }
}

fn build(
    source: RepositorySource,
    versions: &BTreeMap<Place, Files<'_>>,
    mut faults: Vec<RepositoryFault>,
    checks: Checks,
) -> Repository {
    let mut digest = Sha256::new();
    let mut packages = Vec::with_capacity(versions.len());
    for ((name, revision), files) in versions {
        for (file, content) in files {
            let place = format!("{name}/{revision}/{file}\0{}\0", content.len());
            digest.update(place.as_bytes());
            digest.update(content);
        }
        let fault = |file: Option<&str>, reason: String| RepositoryFault {
            package: Some(name.clone()),
            version: Some(revision.to_string()),
            file: file.map(str::to_owned),
            reason,
        };
        if packages.len() >= PACKAGE_VERSIONS_MAX {
            faults.push(fault(None, format!("only {PACKAGE_VERSIONS_MAX} versions are read")));
            continue;
        }
        let package = match assemble(name, *revision, files) {
            Ok(package) => package,
            Err((file, reason)) => {
                faults.push(fault(Some(file), reason));
                continue;
            }
        };
        let errors = if checks == Checks::Full { check(&package) } else { Vec::new() };
        let mut broken = false;
        for error in errors.into_iter().filter(|error| error.severity == Severity::Error) {
            broken = true;
            faults.push(fault(Some(error.file), error.reason));
        }
        if !broken {
            packages.push(Arc::new(package));
        }
    }
    let digest = hexadecimal(&digest.finalize());
    Repository::new(source, packages, faults, Content::Files, Some(digest))
}

/// One definition, as a repository document would hold it, from the files of a version.
fn assemble(name: &str, revision: u64, files: &Files<'_>) -> Result<Package, (&'static str, String)> {
    let object = |file: &'static str| -> Result<Option<Map<String, Value>>, _> {
        let Some(content) = files.get(file) else { return Ok(None) };
        if content.len() > PACKAGE_FILE_BYTES_MAX {
            return Err((file, format!("larger than {PACKAGE_FILE_BYTES_MAX} bytes")));
        }
        serde_json::from_slice(content).map(Some).map_err(|error| (file, format!("not a JSON object: {error}")))
    };
    let mut definition = object(PACKAGE)?.ok_or((PACKAGE, "missing".to_owned()))?;
    if definition.get("name").and_then(Value::as_str) != Some(name) {
        return Err((PACKAGE, format!("its name is not that of its directory, '{name}'")));
    }
    definition.insert("releaseVersion".to_owned(), revision.into());
    for (file, field) in [(RESOURCE, "resource"), (CONFIG, "config"), (COMMAND, "command")] {
        if let Some(content) = object(file)? {
            definition.insert(field.to_owned(), Value::Object(content));
        }
    }
    let templates = [(MUSTACHE, "marathon", "v2AppMustacheTemplate"), (HANDLEBARS, "app", "handlebarsTemplate")];
    for (file, field, key) in templates {
        if let Some(content) = files.get(file) {
            let mut template = Map::new();
            template.insert(key.to_owned(), STANDARD.encode(content).into());
            definition.insert(field.to_owned(), Value::Object(template));
        }
    }
    if files.contains_key(MUSTACHE) && files.contains_key(HANDLEBARS) {
        return Err((HANDLEBARS, format!("stands beside {MUSTACHE}; keep one of them")));
    }
    Package::from_text(Value::Object(definition).to_string()).map_err(|fault| (PACKAGE, fault.reason))
}

/// The directory that holds the letters.
fn packages_directory(path: &Path) -> Result<PathBuf, RepositoryError> {
    for candidate in [path.join("repo/packages"), path.join("packages")] {
        if candidate.is_dir() {
            return Ok(candidate);
        }
    }
    let is_letter = |path: &PathBuf| file_name(path).chars().count() == 1;
    if directories(path)?.iter().any(is_letter) {
        return Ok(path.to_owned());
    }
    Err(RepositoryError::NoPackages { path: path.display().to_string() })
}

/// Subdirectories in order of their names; hidden ones are left out.
fn directories(path: &Path) -> Result<Vec<PathBuf>, RepositoryError> {
    let failed = |source| RepositoryError::Directory { path: path.display().to_string(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && !file_name(&path).starts_with('.') {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads the known files of one version.
fn read_files(directory: &Path) -> Result<Files<'static>, (&'static str, String)> {
    let mut files = Files::new();
    for file in FILES {
        match read_file(&directory.join(file)) {
            Ok(Some(content)) => {
                files.insert(file, Cow::Owned(content));
            }
            Ok(None) => {}
            Err(error) => return Err((file, format!("cannot be read: {error}"))),
        }
    }
    Ok(files)
}

/// The content of a regular file within the size limit; none when there is no such file.
fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // A pipe or a device would block or never end.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(io::Error::other("not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut content = Vec::new();
    File::open(path)?.take(PACKAGE_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut content)?;
    if content.len() > PACKAGE_FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {PACKAGE_FILE_BYTES_MAX} bytes")));
    }
    Ok(Some(content))
}
