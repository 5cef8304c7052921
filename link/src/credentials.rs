//! What a machine keeps to be recognised: its certificate, its key, the authority, and where
//! controllers are.

use crate::authority::certificate_der;
use crate::identity::Peer;
use crate::tls::Certified;
use orrery_core::NodeId;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// File below the data directory. One file, so that certificate and key always belong together.
const FILE: &str = "credentials.json";

/// Credentials of a node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Id of the cluster.
    pub cluster: String,
    /// Id of the node.
    pub node: NodeId,
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM: a secret.
    pub key: String,
    /// The authority's certificate, PEM.
    pub authority: String,
    /// URLs of controllers, the last known.
    pub controllers: Vec<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .field("controllers", &self.controllers)
            .finish_non_exhaustive()
    }
}

/// Credentials cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file system fault.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{} is damaged: {reason}; restore it, or move it away and join again with a new token (`orrery token create`)",
        path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Others may read the private key.
    #[error("{} may be read by others (mode {mode:o}), and it holds the node's private key; run `chmod 600` on it, and if others use this machine join again with a new token", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

impl Credentials {
    /// Where they lie.
    pub fn path(data: &Path) -> PathBuf {
        data.join(FILE)
    }

    /// Reads the credentials of a data directory; `None` when it has none yet.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn read(data: &Path) -> Result<Option<Self>, CredentialsError> {
        let path = Self::path(data);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CredentialsError::File { what: "read", path, source }),
        };
        let mode = fs::metadata(&path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
        if mode & 0o077 != 0 {
            return Err(CredentialsError::Open { path, mode });
        }
        let own: Self = serde_json::from_slice(&text)
            .map_err(|error| CredentialsError::Damaged { path: path.clone(), reason: error.to_string() })?;
        own.peer().map_err(|reason| CredentialsError::Damaged { path, reason })?;
        Ok(Some(own))
    }

    /// Replaces the credentials of a data directory, all or nothing, readable by the owner alone.
    ///
    /// # Errors
    /// [`CredentialsError::File`].
    pub fn write(&self, data: &Path) -> Result<(), CredentialsError> {
        let path = Self::path(data);
        let failed = |what: &'static str| {
            let path = path.clone();
            move |source: io::Error| CredentialsError::File { what, path, source }
        };
        // Plain types with string keys always serialize.
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        write_private(&path, &text).map_err(failed("write"))
    }

    /// What the certificate says of its holder.
    ///
    /// # Errors
    /// A sentence when it does not parse.
    pub fn peer(&self) -> Result<Peer, String> {
        let der = certificate_der(&self.certificate).map_err(|error| error.to_string())?;
        Peer::of(&der).map_err(|error| error.to_string())
    }

    /// As TLS needs them.
    pub fn certified(&self) -> Certified {
        Certified { certificate: self.certificate.clone(), key: self.key.clone(), authority: self.authority.clone() }
    }
}

/// Writes a file that only the owner may read, all or nothing: after a crash there is the old
/// content or the new.
///
/// # Errors
/// Those of the file system.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    // One left over could have another mode.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    match path.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
