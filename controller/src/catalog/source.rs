//! What the URI of a repository points to.

use std::path::PathBuf;
use url::Url;

/// URI of the repository that ships inside the program.
pub const BUILTIN_URI: &str = "builtin:universe";

/// Where to read a repository from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The one inside the program.
    Builtin,
    /// A directory or document on this machine.
    Local(PathBuf),
    /// Over http or https.
    Remote(Url),
}

/// Why a URI is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Not a URI at all.
    #[error("\"{0}\" is not a URI")]
    Syntax(String),
    /// A scheme we do not read.
    #[error("\"{0}\" cannot be read: use an http, https or file URI, an absolute path or {BUILTIN_URI}")]
    Unsupported(String),
}

impl Source {
    /// Reads a URI or an absolute path.
    ///
    /// # Errors
    /// [`SourceError`] when it is neither.
    pub fn parse(uri: &str) -> Result<Self, SourceError> {
        if uri == BUILTIN_URI {
            return Ok(Self::Builtin);
        }
        if uri.starts_with('/') {
            return Ok(Self::Local(uri.into()));
        }
        let url = Url::parse(uri).map_err(|_| SourceError::Syntax(uri.chars().take(200).collect()))?;
        match url.scheme() {
            "http" | "https" if url.host().is_some() => Ok(Self::Remote(url)),
            "file" => url.to_file_path().map(Self::Local).map_err(|()| SourceError::Syntax(uri.into())),
            _ => Err(SourceError::Unsupported(uri.chars().take(200).collect())),
        }
    }

    /// Whether the URI needs the network.
    pub fn is_remote(uri: &str) -> bool {
        matches!(Self::parse(uri), Ok(Self::Remote(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        assert_eq!(Source::parse(BUILTIN_URI), Ok(Source::Builtin));
        assert_eq!(Source::parse("/srv/universe"), Ok(Source::Local("/srv/universe".into())));
        assert_eq!(Source::parse("file:///srv/u.json"), Ok(Source::Local("/srv/u.json".into())));
        assert!(matches!(Source::parse("https://h/repo"), Ok(Source::Remote(_))));
        assert!(matches!(Source::parse("ftp://h/repo"), Err(SourceError::Unsupported(_))));
        assert!(matches!(Source::parse("not a uri"), Err(SourceError::Syntax(_))));
    }
}
