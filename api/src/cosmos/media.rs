//! Media types `application/vnd.dcos.<namespace>.<kind>+json;charset=utf-8;version=vN`.
//!
//! Cosmos insisted on exact parameters; here plain JSON types, wildcards, missing parameters and
//! missing headers are understood too. Answers always carry the exact type, parameters in the order
//! `charset`, `version` without spaces: old clients look for their `Accept` as a substring.

use super::CosmosError;

/// An endpoint, with the versions of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the last parts of the paths")]
pub enum Endpoint {
    Capabilities,
    Describe,
    Install,
    Render,
    List,
    ListVersions,
    Search,
    Uninstall,
    RepositoryAdd,
    RepositoryDelete,
    RepositoryList,
    ServiceDescribe,
    ServiceUpdate,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Self; 13] = [
        Self::Capabilities,
        Self::Describe,
        Self::Install,
        Self::Render,
        Self::List,
        Self::ListVersions,
        Self::Search,
        Self::Uninstall,
        Self::RepositoryAdd,
        Self::RepositoryDelete,
        Self::RepositoryList,
        Self::ServiceDescribe,
        Self::ServiceUpdate,
    ];

    /// Path it is served at.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Capabilities => "/capabilities",
            Self::Describe => "/package/describe",
            Self::Install => "/package/install",
            Self::Render => "/package/render",
            Self::List => "/package/list",
            Self::ListVersions => "/package/list-versions",
            Self::Search => "/package/search",
            Self::Uninstall => "/package/uninstall",
            Self::RepositoryAdd => "/package/repository/add",
            Self::RepositoryDelete => "/package/repository/delete",
            Self::RepositoryList => "/package/repository/list",
            Self::ServiceDescribe => "/cosmos/service/describe",
            Self::ServiceUpdate => "/cosmos/service/update",
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Capabilities => "dcos.capabilities",
            Self::Describe => "dcos.package.describe",
            Self::Install => "dcos.package.install",
            Self::Render => "dcos.package.render",
            Self::List => "dcos.package.list",
            Self::ListVersions => "dcos.package.list-versions",
            Self::Search => "dcos.package.search",
            Self::Uninstall => "dcos.package.uninstall",
            Self::RepositoryAdd => "dcos.package.repository.add",
            Self::RepositoryDelete => "dcos.package.repository.delete",
            Self::RepositoryList => "dcos.package.repository.list",
            Self::ServiceDescribe => "dcos.service.describe",
            Self::ServiceUpdate => "dcos.service.update",
        }
    }

    /// Versions of the answer, latest first.
    const fn versions(self) -> &'static [u8] {
        match self {
            // Version 1 is of history, but dcoscli 0.4 asks for it after every refusal of version 2
            // and shows the answer to that: the reason must be told again.
            Self::Describe => &[3, 2, 1],
            Self::Install => &[2, 1],
            _ => &[1],
        }
    }

    fn subtype(self, suffix: &str) -> String {
        match self {
            Self::Capabilities => format!("application/vnd.{}+json", self.kind()),
            _ => format!("application/vnd.{}-{suffix}+json", self.kind()),
        }
    }

    /// `Content-Type` of requests.
    pub fn request_type(self) -> String {
        format!("{};charset=utf-8;version=v1", self.subtype("request"))
    }

    /// `Content-Type` of answers of one version.
    pub fn response_type(self, version: u8) -> String {
        format!("{};charset=utf-8;version=v{version}", self.subtype("response"))
    }
}

/// One type of an `Accept` or `Content-Type` header.
struct MediaType<'a> {
    essence: String,
    version: Option<&'a str>,
    quality: f32,
}

fn parse(text: &str) -> MediaType<'_> {
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut media = MediaType { essence, version: None, quality: 1.0 };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim().to_ascii_lowercase().as_str() {
            "version" => media.version = Some(value.trim().trim_matches('"')),
            "q" => media.quality = value.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(1.0),
            _ => {}
        }
    }
    media
}

/// Version of the answer that the headers ask for; the latest when they leave it open.
///
/// # Errors
/// `not_valid` when the request declares something other than JSON or another endpoint's type, or
/// accepts no version there is. All faults at once, as `multiple_errors`.
pub fn negotiate(endpoint: Endpoint, content_type: Option<&str>, accept: Option<&str>) -> Result<u8, CosmosError> {
    let mut errors = Vec::new();
    if let Some(text) = content_type.filter(|text| !text.trim().is_empty()) {
        let media = parse(text);
        let plain = matches!(media.essence.as_str(), "application/json" | "text/json" | "*/*" | "application/*");
        if !plain && media.essence != endpoint.subtype("request") {
            errors.push(CosmosError::not_valid(format!(
                "The Content-Type header is not valid: send {} or application/json, not {}",
                endpoint.request_type(),
                media.essence
            )));
        }
    }
    let version = accepted(endpoint, accept);
    if version.is_none() {
        let offered: Vec<String> = endpoint.versions().iter().map(|version| endpoint.response_type(*version)).collect();
        errors.push(CosmosError::not_valid(format!("The Accept header is not valid: accept {}", offered.join(" or "))));
    }
    match (errors.len(), version) {
        (0, Some(version)) => Ok(version),
        (1, _) => Err(errors.remove(0)),
        _ => Err(CosmosError::multiple(&errors)),
    }
}

fn accepted(endpoint: Endpoint, accept: Option<&str>) -> Option<u8> {
    let latest = endpoint.versions()[0];
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return Some(latest) };
    let mut wanted: Vec<MediaType<'_>> = accept.split(',').map(parse).filter(|media| media.quality > 0.0).collect();
    wanted.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    wanted.iter().find_map(|media| {
        let version_of = |text: &str| {
            let number: u8 = text.strip_prefix('v').unwrap_or(text).parse().ok()?;
            endpoint.versions().contains(&number).then_some(number)
        };
        match media.essence.as_str() {
            "*/*" | "application/*" | "application/json" | "text/json" => Some(latest),
            essence if essence == endpoint.subtype("response") => media.version.map_or(Some(latest), version_of),
            _ => None,
        }
    })
}
