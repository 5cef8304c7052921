//! `cargo x demo`: from nothing to a package that runs and is found by name.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::binaries::Binaries;
use crate::{binaries, command, dns, http, workspace};

/// The package that the demo installs; it needs no image and no download.
const PACKAGE: &str = "hello-world";
/// Its names in the cluster's DNS, as Mesos-DNS forms them.
const SERVICE_NAME: &str = "_hello-world._tcp.marathon.mesos";
const HOST_NAME: &str = "hello-world.marathon.mesos";
/// How long the name may take to appear once the package is healthy.
const NAME_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait before a name is asked for again.
const NAME_PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    Arguments::new(arguments).none()?;
    let built = binaries::build(false)?;
    let data = workspace::target()?.join("demo");

    stop_earlier(&built, &data)?;
    let url = start(&built, &data)?;
    let server = dns_address(&status(&built, &data)?)?;
    println!("The cluster serves {url}, its names are at {server}.\n");

    if installed(&built)? {
        println!("{PACKAGE} is installed already, from an earlier demo.\n");
    } else {
        show(dcos(&built).args(["package", "install", PACKAGE, "--yes", "--wait"]))?;
    }
    let page = page_address(server)?;
    println!("{SERVICE_NAME} is port {}, {HOST_NAME} is {}.", page.port(), page.ip());
    let body = http::get(page, &format!("{HOST_NAME}:{}", page.port()), "/")
        .with_context(|| format!("could not fetch http://{page}/"))?;
    println!("GET http://{HOST_NAME}:{}/ answers:\n\n{}\n", page.port(), body.trim_end());

    show(dcos(&built).args(["marathon", "app", "list"]))?;
    show(dcos(&built).args(["task", "list"]))?;
    println!("{}", next_steps(&built, &data, server));
    Ok(())
}

fn dcos(built: &Binaries) -> Command {
    command::program(&built.dcos)
}

/// Shows what a user would type, and its output.
fn show(command: &mut Command) -> Result<()> {
    let shown = command::shown(command);
    println!("$ {shown}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("could not start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status}).");
    }
    println!();
    Ok(())
}

/// An earlier demo may run an older build; its state stays on disk.
fn stop_earlier(built: &Binaries, data: &Path) -> Result<()> {
    if status(built, data).is_ok() {
        command::step("stopping the earlier demo");
        command::output(command::program(&built.orrery).args(["down", "--data-dir"]).arg(data))?;
    }
    Ok(())
}

/// Starts the cluster in the background and returns its address.
fn start(built: &Binaries, data: &Path) -> Result<String> {
    let mut orrery = command::program(&built.orrery);
    orrery
        .args(["up", "--detach", "--listen", "127.0.0.1:0", "--dns-listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command::step(&command::shown(&orrery));
    let mut child = orrery.spawn().with_context(|| format!("could not start {}", built.orrery.display()))?;
    let stdout = child.stdout.take().context("orrery up has no output")?;
    // Until the line, not until the end: the daemon may keep the pipe open.
    let url = BufReader::new(stdout).lines().map_while(Result::ok).find_map(|line| ready_url(&line));
    let status = child.wait()?;
    match url {
        Some(url) if status.success() => Ok(url),
        _ => bail!("the cluster did not become ready ({status}). Logs are under {}.", data.display()),
    }
}

fn ready_url(line: &str) -> Option<String> {
    let url = line.strip_prefix("ready ")?.trim();
    url.starts_with("http").then(|| url.to_owned())
}

fn status(built: &Binaries, data: &Path) -> Result<Value> {
    let text = command::output(command::program(&built.orrery).args(["status", "--json", "--data-dir"]).arg(data))?;
    serde_json::from_str(&text).context("`orrery status --json` did not print JSON")
}

fn dns_address(status: &Value) -> Result<SocketAddr> {
    let text = status["dns"].as_str().context("`orrery status` names no DNS address")?;
    text.parse().with_context(|| format!("`orrery status` names the DNS address `{text}`"))
}

fn installed(built: &Binaries) -> Result<bool> {
    let text = command::output(dcos(built).args(["package", "list", "--json"]))?;
    let packages: Value = serde_json::from_str(&text).context("`dcos package list --json` did not print JSON")?;
    Ok(lists_package(&packages))
}

fn lists_package(packages: &Value) -> bool {
    packages.as_array().is_some_and(|list| list.iter().any(|package| package["name"] == PACKAGE))
}

/// Where the package's page is, asked of the cluster's DNS alone.
fn page_address(server: SocketAddr) -> Result<SocketAddr> {
    let deadline = Instant::now() + NAME_DEADLINE;
    loop {
        let found = dns::service(server, SERVICE_NAME).and_then(|service| {
            let address = dns::address(server, &service.target)?;
            dns::address(server, HOST_NAME)?;
            Ok(SocketAddr::new(IpAddr::V4(address), service.port))
        });
        if found.is_ok() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(NAME_PAUSE);
    }
}

fn next_steps(built: &Binaries, data: &Path, server: SocketAddr) -> String {
    let (dcos, orrery, data) = (shortened(&built.dcos), shortened(&built.orrery), shortened(data));
    let (dcos, orrery, data) = (dcos.display(), orrery.display(), data.display());
    let (dns, port) = (server.ip(), server.port());
    let steps = [
        (format!("{dcos} package search"), "what else can be installed"),
        (format!("{dcos} marathon app update /{PACKAGE} instances=3"), "three of them"),
        (format!("{dcos} task log {PACKAGE}"), "what it prints"),
        (format!("dig @{dns} -p {port} {SERVICE_NAME} SRV"), "all its hosts and ports"),
        (format!("{dcos} package uninstall {PACKAGE} --yes"), "remove it"),
        (format!("{orrery} down --data-dir {data}"), "stop the cluster"),
    ];
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    let lines: Vec<String> = steps.iter().map(|(command, what)| format!("  {command:width$}  {what}")).collect();
    format!("The cluster goes on running. What to try next:\n{}", lines.join("\n"))
}

/// A path as typed from the current directory, if it is below it.
fn shortened(path: &Path) -> PathBuf {
    std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_path_buf()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{dns_address, lists_package, ready_url};

    #[test]
    fn outputs_are_read() {
        assert_eq!(ready_url("ready http://127.0.0.1:80").as_deref(), Some("http://127.0.0.1:80"));
        assert_eq!(ready_url("not ready"), None);
        assert!(dns_address(&json!({"dns": "127.0.0.1:53"})).is_ok());
        assert!(dns_address(&json!({})).is_err());
        assert!(lists_package(&json!([{"name": "hello-world"}])));
        assert!(!lists_package(&json!([{"name": "other"}])));
    }
}
