//! A repository: many package versions, and the faults of those that could not be read.

mod directory;
mod document;

pub(crate) use document::Object;

use crate::package::Package;
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, OnceLock};

/// Largest repository document accepted, unpacked, in bytes. The public Universe has 30 MB.
pub const REPOSITORY_BYTES_MAX: usize = 256 << 20;

/// Largest file of a package accepted, in bytes.
pub const PACKAGE_FILE_BYTES_MAX: usize = 8 << 20;

/// Most package versions in one repository.
pub const PACKAGE_VERSIONS_MAX: usize = 100_000;

/// Most faults kept of one repository; further broken versions are only counted.
pub const REPOSITORY_FAULTS_MAX: usize = 1000;

/// Where a repository comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositorySource {
    /// The name users give it.
    pub name: String,
    /// Its URI; goes into the `DCOS_PACKAGE_SOURCE` label.
    pub uri: String,
}

/// One package version, or one file, that was left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}{}{}: {reason}",
    .package.as_deref().unwrap_or("a package"),
    .version.as_ref().map(|version| format!(" {version}")).unwrap_or_default(),
    .file.as_ref().map(|file| format!(", {file}")).unwrap_or_default()
)]
pub struct RepositoryFault {
    /// Name of the package, where known.
    pub package: Option<String>,
    /// Its version, or the revision in a directory, where known.
    pub version: Option<String>,
    /// The file, or the place in the document.
    pub file: Option<String>,
    /// What is wrong.
    pub reason: String,
}

/// Why a repository cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// More than [`REPOSITORY_BYTES_MAX`].
    #[error("the repository is larger than {REPOSITORY_BYTES_MAX} bytes unpacked")]
    TooLarge,
    /// The gzip stream is damaged.
    #[error("the repository cannot be unpacked")]
    Unpack(#[source] std::io::Error),
    /// The document is not UTF-8.
    #[error("the repository is not text in UTF-8")]
    NotText,
    /// The document is not JSON of the expected form.
    #[error("the repository is not a JSON object with a list 'packages'")]
    NotJson(#[source] serde_json::Error),
    /// The directory cannot be listed.
    #[error("cannot read the repository directory {path}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// There are no packages below the directory.
    #[error(
        "{path} is no repository: neither it, nor its 'repo' or 'packages', has directories \
         <LETTER>/<name>/<revision>"
    )]
    NoPackages {
        /// The directory.
        path: String,
    },
}

/// Whether a directory's packages are checked beyond what reading needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// Only what reading needs; later faults appear when a package is used.
    Read,
    /// [`crate::check()`] for every version; versions with errors are left out.
    Full,
}

/// A repository in memory.
#[derive(Debug)]
pub struct Repository {
    /// Where it comes from.
    pub source: RepositorySource,
    /// Every readable version, in the order found.
    pub packages: Vec<Arc<Package>>,
    /// What was left out, and why; at most [`REPOSITORY_FAULTS_MAX`].
    pub faults: Vec<RepositoryFault>,
    content: Content,
    digest: OnceLock<String>,
}

/// What the digest is computed from.
#[derive(Debug)]
enum Content {
    /// The unpacked document.
    Document(Arc<String>),
    /// Computed already while files were read.
    Files,
}

impl Repository {
    /// SHA-256 of the content, in hexadecimal: of the unpacked document, or of all file names
    /// and contents. Computed when first asked for, tens of milliseconds for the largest.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| match &self.content {
            Content::Document(text) => hexadecimal(&Sha256::digest(text.as_bytes())),
            // Always set when the files were read.
            Content::Files => String::new(),
        })
    }

    fn new(
        source: RepositorySource,
        packages: Vec<Arc<Package>>,
        mut faults: Vec<RepositoryFault>,
        content: Content,
        digest: Option<String>,
    ) -> Self {
        faults.truncate(REPOSITORY_FAULTS_MAX);
        let cell = OnceLock::new();
        if let Some(digest) = digest {
            // A new cell is empty.
            let _ = cell.set(digest);
        }
        Self { source, packages, faults, content, digest: cell }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
