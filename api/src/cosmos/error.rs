//! Errors of Cosmos: `{type, message, data?}` and their status (cosmos.md 1.4).

use orrery_core::Fault;
use serde_json::{Value, json};

/// `Content-Type` of every error.
pub const ERROR_MEDIA_TYPE: &str = "application/vnd.dcos.package.error+json;charset=utf-8;version=v1";

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub struct CosmosError {
    /// Word for machines.
    pub kind: &'static str,
    /// Sentence for people; the Go client shows only this.
    pub message: String,
    /// Details, where the kind has some.
    pub data: Option<Value>,
    /// HTTP status.
    pub status: u16,
}

impl CosmosError {
    fn new(status: u16, kind: &'static str, message: impl Into<String>, data: Option<Value>) -> Self {
        Self { kind, message: message.into(), data: data.map(crate::without_nulls), status }
    }

    fn bad(kind: &'static str, message: impl Into<String>, data: Value) -> Self {
        Self::new(400, kind, message, Some(data))
    }

    /// The body.
    pub fn body(&self) -> Value {
        let mut body = json!({"type": self.kind, "message": self.message});
        if let Some(data) = &self.data {
            body["data"] = data.clone();
        }
        body
    }

    /// A header is missing.
    pub fn not_present(message: impl Into<String>) -> Self {
        Self::new(400, "not_present", message, None)
    }

    /// The body does not read.
    pub fn not_parsed(message: impl Into<String>) -> Self {
        Self::new(400, "not_parsed", message, None)
    }

    /// The body is JSON of the wrong shape: all faults in one message, and in the data.
    pub fn not_decoded(faults: &[Fault]) -> Self {
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let errors: Vec<Value> = faults.iter().map(|fault| json!({"path": fault.path, "message": fault.message})).collect();
        Self::bad("not_parsed", texts.join("; "), json!({"errors": errors}))
    }

    /// A header or parameter is wrong.
    pub fn not_valid(message: impl Into<String>) -> Self {
        Self::new(400, "not_valid", message, None)
    }

    /// Several at once.
    pub fn multiple(errors: &[Self]) -> Self {
        let bodies: Vec<Value> = errors.iter().map(Self::body).collect();
        let texts: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        Self::bad("multiple_errors", texts.join("; "), json!({"errors": bodies}))
    }

    /// Something failed inside.
    pub fn unhandled(message: impl Into<String>) -> Self {
        Self::new(500, "unhandled_exception", message, None)
    }

    /// No repository has the package. 400, not 404: clients rely on it.
    pub fn package_not_found(name: &str) -> Self {
        Self::bad("PackageNotFound", format!("Package [{name}] not found"), json!({"packageName": name}))
    }

    /// The package has no such version.
    pub fn version_not_found(name: &str, version: &str) -> Self {
        let message = format!("Version [{version}] of package [{name}] not found");
        Self::bad("VersionNotFound", message, json!({"packageName": name, "packageVersion": version}))
    }

    /// No instance of the package is installed.
    pub fn package_not_installed(name: &str) -> Self {
        Self::bad("PackageNotInstalled", format!("Package [{name}] is not installed"), json!({"packageName": name}))
    }

    /// A file of the package is missing.
    pub fn package_file_missing(name: &str) -> Self {
        Self::bad("PackageFileMissing", format!("Package file [{name}] not found"), json!({"packageName": name}))
    }

    /// The package has no app template.
    pub fn no_template(name: &str, version: &str) -> Self {
        let message =
            format!("Package: [{name}] version: [{version}] does not have a Marathon template defined and can not be rendered");
        Self::bad("ServiceMarathonTemplateNotFound", message, json!({"packageName": name, "packageVersion": version}))
    }

    /// The package cannot be shown in the old form.
    pub fn no_v2_describe() -> Self {
        let message = "The package contains fields that cannot be shown in a v2 describe response; ask for v3";
        Self::new(400, "ConversionFromPackageToV2DescribeResponse", message, None)
    }

    /// The template rendered to something other than an object. The `$` is Cosmos' own.
    pub fn template_not_object() -> Self {
        let message = "Rendered Marathon JSON must be a JSON object";
        Self::new(400, "MarathonTemplateMustBeJsonObject$", message, None)
    }

    /// Options for a package without any.
    pub fn options_not_allowed() -> Self {
        let message = "No schema available to validate the provided options";
        Self::new(400, "OptionsNotAllowed", message, None)
    }

    /// The options of an installed package are not known.
    pub fn options_not_stored() -> Self {
        let message = "Unable to find stored options for the service; give all options with replace";
        Self::new(400, "OptionsNotStored", message, None)
    }

    /// Neither name nor URI of a repository.
    pub fn repository_unnamed() -> Self {
        Self::new(400, "RepoNameOrUriMissing", "Must specify either the name or URI of the repository", None)
    }

    /// Two writers at once.
    pub fn concurrent_access() -> Self {
        Self::new(400, "ConcurrentAccess", "Retry operation. Operation didn't complete due to concurrent access", None)
    }

    /// Options do not fit the schema. Each entry keeps the words old clients read: `unwanted`,
    /// `found`, `expected`, `missing`, `minimum`, `instance.pointer`.
    pub fn schema_mismatch(errors: &[Value]) -> Self {
        Self::bad("JsonSchemaMismatch", "Options JSON failed validation", json!({"errors": errors}))
    }

    /// JSON of the wrong type. The input is not echoed: it may hold secrets.
    pub fn json_decoding(type_name: &str, message: &str) -> Self {
        let text = format!("Unable to decode the JSON value as a {type_name}: {message}");
        Self::bad("JsonDecodingError", text, json!({"typeName": type_name, "decodingErrorMessage": message}))
    }

    /// Text that is no JSON. The input is not echoed: it may hold secrets.
    pub fn json_parsing(message: &str) -> Self {
        let text = format!("Unable to parse the string as a JSON value: {message}");
        Self::bad("JsonParsingError", text, json!({"underlyingType": "Json", "parsingErrorMessage": message}))
    }

    /// The app id is taken.
    pub fn already_installed() -> Self {
        Self::new(409, "PackageAlreadyInstalled", "Package is already installed", None)
    }

    /// The service runs already.
    pub fn already_started() -> Self {
        Self::new(409, "ServiceAlreadyStarted", "The service has already been started", None)
    }

    /// Several instances; the request has to name one.
    pub fn ambiguous_app_id(name: &str, ids: &[String]) -> Self {
        let message = format!("Multiple apps named [{name}] are installed: [{}]", ids.join(", "));
        Self::bad("AmbiguousAppId", message, json!({"packageName": name, "appIds": ids}))
    }

    /// Options changed the app's id.
    pub fn app_id_changed(old: &str, new: &str) -> Self {
        let message = format!("The new app id [{new}] does not match the old app id [{old}]");
        Self::bad("AppIdChanged", message, json!({"newAppId": new, "oldAppId": old}))
    }

    /// The app to uninstall is not there.
    pub fn no_such_instance(name: &str, app_id: &str) -> Self {
        let message = format!("Package [{name}] with id [{app_id}] is not installed");
        Self::bad("UninstallNonExistentAppForPackage", message, json!({"packageName": name, "appId": app_id}))
    }

    /// There is no such app.
    pub fn app_not_found(app_id: &str) -> Self {
        Self::bad(
            "MarathonAppNotFound",
            format!("Unable to locate service with marathon appId: '{app_id}'"),
            json!({"appId": app_id}),
        )
    }

    /// The app could not be removed.
    pub fn app_delete_failed(app_id: &str) -> Self {
        Self::bad("MarathonAppDeleteError", format!("Couldn't delete app with id: [{app_id}]"), json!({"appId": app_id}))
    }

    /// The uninstall failed.
    pub fn uninstall_failed(app_id: &str, why: &str) -> Self {
        Self::bad("UninstallFailed", format!("Failed to uninstall [{app_id}]: {why}"), json!({"appId": app_id}))
    }

    /// The uninstall could not begin.
    pub fn uninstall_not_started(app_id: &str, why: &str) -> Self {
        let message = format!("Failed to start uninstall of app [{app_id}]: {why}");
        Self::bad("FailedToStartUninstall", message, json!({"appId": app_id, "explanation": why}))
    }

    /// The app is gone, its framework is not.
    pub fn incomplete_uninstall(name: &str, status: u16) -> Self {
        let message = format!("Incomplete uninstall of package [{name}] due to Mesos unavailability");
        Self::new(503, "IncompleteUninstall", message, Some(json!({"packageName": name, "status": status})))
    }

    /// Several frameworks of one name.
    pub fn multiple_frameworks(name: &str, version: Option<&str>, framework: &str, ids: &[String]) -> Self {
        let message =
            format!("Uninstalled package [{name}], but there are several frameworks named [{framework}]: [{}]", ids.join(", "));
        let data = json!({"packageName": name, "packageVersion": version, "frameworkName": framework, "ids": ids});
        Self::bad("MultipleFrameworkIds", message, data)
    }

    /// The app definition was refused: `details` as Marathon gives them.
    pub fn app_refused(message: &str, details: Option<Value>) -> Self {
        Self::new(400, "MarathonBadResponse", message, details.map(|errors| json!({"errors": errors})))
    }

    /// The rendered app has faults.
    pub fn app_faults(faults: &[Fault]) -> Self {
        let (_, body) = crate::marathon::error::invalid_object(faults);
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let message = format!("The rendered app is not valid: {}", texts.join("; "));
        Self::app_refused(&message, body.get("details").cloned())
    }

    /// The app interface answered with an error.
    pub fn app_error(status: u16) -> Self {
        let message = format!("Received response status code [{status}] from Marathon");
        Self::new(500, "MarathonGenericError", message, Some(json!({"marathonStatus": status, "status": 500})))
    }

    /// The app interface is broken.
    pub fn app_gateway(status: u16) -> Self {
        let message = format!("Received response status code [{status}] from Marathon");
        Self::new(502, "MarathonBadGateway", message, Some(json!({"marathonStatus": status, "status": 502})))
    }

    /// Not logged in.
    pub fn unauthorized(service: &str, realm: Option<&str>) -> Self {
        let data = json!({"serviceName": service, "realm": realm, "status": 401});
        Self::new(
            401,
            "Unauthorized",
            format!("Unable to complete request due to Unauthorized response from service [{service}]"),
            Some(data),
        )
    }

    /// Not allowed.
    pub fn forbidden(service: &str, destination: Option<&str>) -> Self {
        let data = json!({"serviceName": service, "destination": destination, "status": 403});
        Self::new(
            403,
            "Forbidden",
            format!("Unable to complete request due to Forbidden response from service [{service}]"),
            Some(data),
        )
    }

    /// Something needed does not answer.
    pub fn unavailable(service: &str) -> Self {
        let message = format!("Unable to complete request due to downstream service [{service}] unavailability");
        Self::new(503, "ServiceUnavailable", message, Some(json!({"serviceName": service, "status": 503})))
    }

    /// A request of ours was answered with an error.
    pub fn http_error(method: &str, uri: &str, client_status: u16) -> Self {
        let message = format!("Unexpected down stream http error: {method} {uri} {client_status}");
        Self::bad(
            "GenericHttpError",
            message,
            json!({"method": method, "uri": uri, "clientStatus": client_status, "status": 400}),
        )
    }

    /// An address does not answer.
    pub fn endpoint_connection(destination: &str, cause: &str) -> Self {
        let message = format!("Could not connect to [{destination}]: {cause}");
        Self::new(502, "EndpointUriConnection", message, Some(json!({"destination": destination, "cause": cause})))
    }

    /// An address is no URI.
    pub fn endpoint_syntax(destination: &str, cause: &str) -> Self {
        let message = format!("URI for [{destination}] has invalid syntax: {cause}");
        Self::bad("EndpointUriSyntax", message, json!({"destination": destination, "cause": cause}))
    }

    /// A repository does not answer.
    pub fn repository_connection(name: &str, uri: &str, cause: &str) -> Self {
        let message = format!("Could not access data at URI for repository [{name}]: {uri}: {cause}");
        Self::bad("RepositoryUriConnection", message, json!({"repository": {"name": name, "uri": uri}, "cause": cause}))
    }

    /// The address of a repository is no URI.
    pub fn repository_syntax(name: &str, uri: &str, cause: &str) -> Self {
        let message = format!("URI for repository [{name}] has invalid syntax: {uri}: {cause}");
        Self::bad("RepositoryUriSyntax", message, json!({"repository": {"name": name, "uri": uri}, "cause": cause}))
    }

    /// A repository answered with an error; 400 while it is being added, 500 later.
    pub fn repository_http(name: &str, uri: &str, client_status: u16, adding: bool) -> Self {
        let status = if adding { 400 } else { 500 };
        let message = format!("Unexpected down stream http error while fetching repository [{name}]: GET {uri} {client_status}");
        let data = json!({
            "packageRepository": {"name": name, "uri": uri}, "method": "GET", "clientStatus": client_status, "status": status,
        });
        Self::new(status, "UniverseClientHttpError", message, Some(data))
    }

    /// Name or URI of a repository is taken.
    pub fn repository_present(name: Option<&str>, uri: Option<&str>) -> Self {
        let message = match (name, uri) {
            (Some(name), Some(uri)) => format!("Repository name [{name}] and URI [{uri}] are both already present in the list"),
            (Some(name), None) => format!("Repository name [{name}] is already present in the list"),
            (None, uri) => format!("Repository URI [{}] is already present in the list", uri.unwrap_or_default()),
        };
        Self::bad("RepositoryAlreadyPresent", message, json!({"name": name, "uri": uri}))
    }

    /// There is no such repository.
    pub fn repository_absent(name: Option<&str>, uri: Option<&str>) -> Self {
        let message = match (name, uri) {
            (Some(name), Some(uri)) => format!("Neither repository name [{name}] nor URI [{uri}] are present in the list"),
            (Some(name), None) => format!("Repository name [{name}] is not present in the list"),
            (None, uri) => format!("Repository URI [{}] is not present in the list", uri.unwrap_or_default()),
        };
        Self::bad("RepositoryNotPresent", message, json!({"name": name, "uri": uri}))
    }

    /// The place for a new repository is outside the list.
    pub fn repository_index(attempted: i64, max: usize) -> Self {
        let message = format!("Index out of range: {attempted}");
        Self::bad("RepositoryAddIndexOutOfBounds", message, json!({"attempted": attempted, "max": max}))
    }

    /// The scheme of a repository's URI is not supported.
    pub fn repository_scheme(uri: &str) -> Self {
        let message = format!("Repository URI [{uri}] uses an unsupported scheme. Only http, https and file are supported");
        Self::bad("UnsupportedRepositoryUri", message, json!({"uri": uri}))
    }

    /// A repository answered with the wrong type.
    pub fn content_type(supported: &[&str], actual: Option<&str>) -> Self {
        let message = format!("Unsupported Content-Type: {}, supported are [{}]", actual.unwrap_or("none"), supported.join(", "));
        Self::bad("UnsupportedContentType", message, json!({"supported": supported, "actual": actual}))
    }

    /// A repository answered with the wrong encoding.
    pub fn content_encoding(supported: &[&str], actual: Option<&str>) -> Self {
        let message =
            format!("Unsupported Content-Encoding: {}, supported are [{}]", actual.unwrap_or("none"), supported.join(", "));
        Self::bad("UnsupportedContentEncoding", message, json!({"supported": supported, "actual": actual}))
    }

    /// A repository redirected to another scheme.
    pub fn redirect(supported: &[&str], actual: Option<&str>) -> Self {
        let message =
            format!("Unsupported redirect scheme: {}, supported are [{}]", actual.unwrap_or("none"), supported.join(", "));
        Self::bad("UnsupportedRedirect", message, json!({"supported": supported, "actual": actual}))
    }

    /// The version cannot be reached by an update.
    pub fn version_upgrade(requested: Option<&str>, actual: &str) -> Self {
        let message = format!("The service is at version [{actual}], which cannot be updated to the version asked for");
        Self::bad("VersionUpgradeNotSupportedInOpen", message, json!({"requested": requested, "actual": actual}))
    }

    /// A package manager of its own answered with an error.
    pub fn manager_failed(manager: &str, status: u16, content: &str) -> Self {
        let message = format!("Received response status code [{status}] from custom package manager [{manager}]");
        Self::bad(
            "CustomPackageManagerError",
            message,
            json!({"managerId": manager, "statusCode": status, "responseContent": content}),
        )
    }

    /// There is no such package manager.
    pub fn manager_absent(manager: &str) -> Self {
        Self::bad(
            "CustomPackageManagerNotFound",
            format!("Custom package manager [{manager}] not found"),
            json!({"managerId": manager}),
        )
    }

    /// Something took too long.
    pub fn timed_out(operation: &str, destination: &str, seconds: u64) -> Self {
        let message = format!("{operation} timed out on [{destination}] after {seconds} seconds");
        Self::bad(
            "TimeoutError",
            message,
            json!({"operation": operation, "destination": destination, "timeout": format!("{seconds} seconds")}),
        )
    }
}
