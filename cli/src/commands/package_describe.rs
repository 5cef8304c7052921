//! `dcos package describe`.

use base64::Engine;
use clap::Args;
use serde_json::{Value, json};

use crate::context::Context;
use crate::cosmos;
use crate::error::{Error, Outcome};
use crate::options::Options;
use crate::output::print_line;

/// Arguments of `dcos package describe`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dcos package describe redis                          everything about it
  dcos package describe redis --package-versions       its versions
  dcos package describe redis --config                 its options with their defaults
  dcos package describe redis --app --render --options=o.yaml   the app it would run")]
pub(crate) struct DescribeArgs {
    /// Name of the package
    name: String,
    /// Print the template of its app
    #[arg(long)]
    app: bool,
    /// Print what command it brings
    #[arg(long)]
    cli: bool,
    /// Print its options
    #[arg(long)]
    config: bool,
    /// Fill the template with options
    #[arg(long)]
    render: bool,
    /// File with options, JSON or YAML; `-` for standard input. Implies --render
    #[arg(long, value_name = "FILE")]
    options: Option<String>,
    /// Set one option, such as service.cpus=0.5. Implies --render
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Version of the package (default: the newest)
    #[arg(long, value_name = "VERSION")]
    package_version: Option<String>,
    /// Print its versions
    #[arg(long, conflicts_with_all = ["app", "cli", "config", "render", "options", "package_version"])]
    package_versions: bool,
}

/// Runs `dcos package describe`.
pub(crate) async fn run(context: &Context, args: DescribeArgs) -> Outcome {
    // A bad options file is reported before anything else.
    let options = Options::read(args.options.as_deref(), &args.set)?;
    let render = args.render || args.options.is_some() || !args.set.is_empty();
    let client = context.client()?;
    if args.package_versions {
        let body = json!({"packageName": args.name, "includePackageVersions": true});
        let answer = cosmos::post(&client, cosmos::LIST_VERSIONS, &body).await?;
        let results = answer.get("results").and_then(Value::as_object).cloned().unwrap_or_default();
        // Newest first, as the release versions say.
        let mut versions: Vec<(String, i64)> =
            results.iter().map(|(version, release)| (version.clone(), release_of(release))).collect();
        versions.sort_by_key(|(_, release)| std::cmp::Reverse(*release));
        context.print(&json!(versions.into_iter().map(|(version, _)| version).collect::<Vec<_>>()))?;
        return Ok(0);
    }
    let mut body = json!({"packageName": args.name});
    if let Some(version) = &args.package_version {
        body["packageVersion"] = json!(version);
    }
    let answer = cosmos::post(&client, cosmos::DESCRIBE, &body).await?;
    let package = answer.get("package").unwrap_or(&answer);
    if args.cli {
        // A package without a command prints nothing, as in the original.
        if let Some(cli) = package.pointer("/resource/cli").or_else(|| package.get("command")) {
            context.print(cli)?;
        }
    }
    if args.app && render {
        body["options"] = Value::Object(options.value.clone());
        let rendered = cosmos::post(&client, cosmos::RENDER, &body)
            .await
            .map_err(|error| Error { faults: options.locate(error.faults.clone()), ..error })?;
        context.print(rendered.get("marathonJson").unwrap_or(&Value::Null))?;
    } else if args.app {
        print_line(template(package)?.trim_end_matches('\n'))?;
    }
    if args.config {
        context.print(package.get("config").unwrap_or(&Value::Null))?;
    }
    if !(args.cli || args.app || args.config) {
        context.print(&answer)?;
    }
    Ok(0)
}

fn release_of(release: &Value) -> i64 {
    release.as_i64().or_else(|| release.as_str()?.parse().ok()).unwrap_or_default()
}

fn template(package: &Value) -> Result<String, Error> {
    let Some(encoded) = package.pointer("/marathon/v2AppMustacheTemplate").and_then(Value::as_str) else {
        return Err(Error::not_found("this package has no app template").fix("see what command it brings: --cli"));
    };
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .map_err(|error| Error::general("the template of the package is not valid base64").cause(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| Error::general("the template of the package is not UTF-8 text"))
}
