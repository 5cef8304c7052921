//! The package interface of Cosmos 0.6 (`/package/…`, `/cosmos/service/…`).

mod definition;
pub mod error;
mod media;
mod request;
mod resource;
mod response;

pub use definition::{describe_v2, describe_v3};
pub use error::{CosmosError, ERROR_MEDIA_TYPE};
pub use media::{Endpoint, negotiate};
pub use request::{
    DescribeRequest, InstallRequest, ListRequest, ListVersionsRequest, RepositoryAddRequest, RepositoryDeleteRequest,
    SearchRequest, ServiceDescribeRequest, ServiceUpdateRequest, UninstallRequest, parse_body,
};
pub use resource::{ASSET_SCHEME, ResourceProxy, resource_urls, rewrite_resources};
pub use response::{
    Installed, SearchEntry, Uninstalled, capabilities_json, install_v1, install_v2, list_json, list_versions_json, render_json,
    repositories_json, search_json, service_describe_json, service_update_json, uninstall_json,
};

#[cfg(test)]
mod cosmos_test;
