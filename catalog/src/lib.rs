//! Packages: reading repositories, finding versions, and turning a package with options into an
//! app. Pure over bytes and paths: nothing here fetches, waits or keeps time.
//!
//! # Flow
//! ```text
//! Repository::from_json | from_directory | from_files   bytes → packages + faults
//! Index::new(vec![Arc<Repository>])                     ordered repositories → one view
//! index.search(query)            → Vec<Arc<SearchResult>>
//! index.list_versions(name)      → [(version, releaseVersion)], the latest first
//! index.resolve(name, version)   → &Found { repository, package }, derefs to Package
//! package.definition()           → the whole definition, without nulls
//! render(&package, source_uri, &user_options, app_id)
//!                                → Rendered { app, resolved_options, text }
//! index.upgrades_to(name, version), index.downgrades_to(&package)
//! label::package_of_label(text), label::options_of_label(text)   the way back from labels
//! check(&package)                → Vec<Fault>
//! ```
//! Steps of `render`, callable one by one: [`resolve_options`], [`validate_options`],
//! [`render_text`].
//!
//! # Guarantees
//! * A broken package version is left out with a reason ([`RepositoryFault`]) and stops nothing
//!   else; a broken repository is one [`RepositoryError`].
//! * [`CatalogError::kind`] and [`CatalogError::data`] give Cosmos' error `type` and `data`; its
//!   `Display` is the `message`.
//! * Equal inputs give equal bytes, labels included.
//! * What a template or a schema compiles to is kept with its package, for at most
//!   [`COMPILED_PACKAGES_MAX`] packages in the process.
//!
//! # Caveats
//! * JSON that nests deeper than 127 levels is refused by the parser, so callers get deep options
//!   as a parse error before they get here.
//! * [`Repository::digest`] is computed on the first call.

mod cache;
mod check;
mod compiled;
mod depth;
mod error;
mod index;
pub mod label;
mod options;
mod package;
mod render;
mod repository;
mod schema;
mod search;
mod strict;
pub mod template;
mod validate;

pub use cache::COMPILED_PACKAGES_MAX;
pub use check::{Fault, Severity, check};
pub use error::CatalogError;
pub use index::{Found, Index};
pub use options::{OPTIONS_DEPTH_MAX, defaults, drop_null_fields, drop_nulls, merge};
pub use package::{IDENTIFIER_BYTES_MAX, Package, PackagingVersion};
pub use render::{Rendered, render, render_text, resolve_options, validate_options};
pub use repository::{
    Checks, PACKAGE_FILE_BYTES_MAX, PACKAGE_VERSIONS_MAX, REPOSITORY_BYTES_MAX, REPOSITORY_FAULTS_MAX, Repository,
    RepositoryError, RepositoryFault, RepositorySource,
};
pub use search::SearchResult;
pub use strict::{STRICT_BLOCKS_MAX, STRICT_TEMPLATE_BYTES_MAX};
pub use validate::SCHEMA_FAULTS_MAX;
