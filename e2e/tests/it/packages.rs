//! The main job: a package from the catalog becomes a healthy, discoverable service, and goes again.

use orrery_e2e::{TestCluster, dns, eventually};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

/// Waits until SRV and A records name exactly `count` ports of a service, and gives their addresses.
async fn named(cluster: &TestCluster, service: &str, count: usize) -> Vec<SocketAddr> {
    let server = cluster.dns_server().await;
    let name = format!("{service}.marathon.mesos");
    eventually(&format!("{count} addresses of {name}"), async || {
        let answer = dns::services(server, &format!("_{service}._tcp.marathon.mesos"));
        let mut addresses = Vec::new();
        for (port, target) in &answer.services {
            addresses.extend(dns::addresses(server, target).addresses.first().map(|ip| SocketAddr::from((*ip, *port))));
        }
        let hosts = dns::addresses(server, &name).addresses;
        if addresses.len() == count && hosts.is_empty() == (count == 0) {
            Ok(addresses)
        } else {
            Err(format!("{answer:?} {hosts:?}"))
        }
    })
    .await
}

/// Asserts that a service has gone without a trace: tasks, names, package list and, after a stop, the store.
async fn nothing_is_left(mut cluster: TestCluster, service: &str) {
    cluster.settled().await;
    assert_eq!(cluster.get("/v2/tasks").await["tasks"], json!([]));
    assert_eq!(cluster.get("/v2/apps").await["apps"], json!([]));
    assert_eq!(cluster.cosmos_ok("/package/list", &json!({})).await["packages"], json!([]));
    let server = cluster.dns_server().await;
    assert_eq!(dns::addresses(server, &format!("{service}.marathon.mesos")).code, 3, "the name is gone");
    assert_eq!(dns::services(server, &format!("_{service}._tcp.marathon.mesos")).services, []);
    cluster.down();
    let stored = cluster.dump();
    assert!(!stored.contains(service), "the store remembers {service}:\n{stored}");
    cluster.up();
}

async fn page(cluster: &TestCluster, address: SocketAddr) -> String {
    eventually("a page", async || {
        let (status, text) = cluster.fetch(&format!("http://{address}/")).await?;
        if status == 200 { Ok(text) } else { Err(format!("{status} {text}")) }
    })
    .await
}

/// Options of an installed service, changed as package clients do it.
async fn update(cluster: &TestCluster, body: &Value) -> Value {
    let answer = cluster.cosmos_ok("/cosmos/service/update", body).await;
    cluster.settled().await;
    answer
}

#[tokio::test]
async fn hello_world_from_search_to_uninstall() {
    let cluster = TestCluster::start(&[]);
    assert!(cluster.dcos(&["package", "search", "hello"]).success().contains("hello-world"));
    let installed = cluster.dcos(&["package", "install", "hello-world", "--package-version=1.1.0", "--yes", "--wait"]);
    assert_eq!(installed.code, 0, "{installed:?}");
    cluster.healthy("/hello-world", 1).await;
    let first = named(&cluster, "hello-world", 1).await[0];
    let text = page(&cluster, first).await;
    assert!(text.contains("Hello, world!") && text.contains("1.1.0"), "{text}");

    let list: Value = serde_json::from_str(&cluster.dcos(&["package", "list", "--json"]).success()).unwrap();
    assert_eq!((&list[0]["name"], &list[0]["version"]), (&json!("hello-world"), &json!("1.1.0")), "{list}");

    update(&cluster, &json!({ "appId": "/hello-world", "options": { "page": { "greeting": "Hej <b>" } }, "replace": false }))
        .await;
    let changed = page(&cluster, named(&cluster, "hello-world", 1).await[0]).await;
    assert!(changed.contains("Hej &lt;b&gt;") && changed.contains("1.1.0"), "{changed}");

    // A real upgrade, from a file, with the options kept in that file.
    let file = json!({
        "packageName": "hello-world", "packageVersion": "2.0.0",
        "options": { "page": { "greeting": "Ciao" }, "service": { "instances": 2 } },
    });
    let file = cluster.write("hello.json", file.to_string());
    let file = file.to_str().unwrap();
    assert_eq!(cluster.dcos(&["diff", "-f", file]).code, 1);
    cluster.dcos(&["apply", "-f", file, "--wait"]).success();
    assert_eq!(cluster.dcos(&["diff", "-f", file]).code, 0);
    cluster.healthy("/hello-world", 2).await;
    for address in named(&cluster, "hello-world", 2).await {
        let text = page(&cluster, address).await;
        assert!(text.contains("Ciao") && text.contains("2.0.0"), "{text}");
    }
    let described = cluster.cosmos_ok("/cosmos/service/describe", &json!({ "appId": "/hello-world" })).await;
    assert_eq!(described["package"]["version"], "2.0.0");
    assert_eq!(described["userProvidedOptions"]["page"]["greeting"], "Ciao");

    cluster.dcos(&["marathon", "app", "update", "/hello-world", "instances=3"]).success();
    cluster.settled().await;
    named(&cluster, "hello-world", 3).await;
    cluster.dcos(&["package", "uninstall", "hello-world", "--yes"]).success();
    nothing_is_left(cluster, "hello-world").await;
}

#[tokio::test]
async fn static_site_serves_pages_from_its_options() {
    let cluster = TestCluster::start(&[]);
    let options = json!({ "site": { "index_html": "<p>one \"quoted\" $(id)</p>" } });
    let body = json!({ "packageName": "static-site", "packageVersion": "1.0.0", "options": options, "appId": "/shop/site" });
    assert_eq!(cluster.cosmos_ok("/package/install", &body).await["appId"], "/shop/site");
    cluster.healthy("/shop/site", 1).await;
    assert_eq!(page(&cluster, named(&cluster, "site-shop", 1).await[0]).await.trim(), "<p>one \"quoted\" $(id)</p>");

    let change = json!({ "appId": "/shop/site", "packageName": "static-site", "packageVersion": "1.1.0", "options": { "site": { "index_html": "two" } }, "replace": true });
    let answer = update(&cluster, &change).await;
    assert_eq!(answer["package"]["version"], "1.1.0", "{answer}");
    assert_eq!(answer["resolvedOptions"]["service"]["instances"], 1);
    assert_eq!(page(&cluster, named(&cluster, "site-shop", 1).await[0]).await.trim(), "two");
    cluster.change("/shop/site", &json!({ "instances": 2 })).await;
    named(&cluster, "site-shop", 2).await;
    cluster.cosmos_ok("/package/uninstall", &json!({ "packageName": "static-site", "appId": "/shop/site" })).await;
    nothing_is_left(cluster, "site-shop").await;
}

fn echo(address: SocketAddr, line: &str) -> Result<String, String> {
    let stream = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
    writeln!(&stream, "{line}").map_err(|error| error.to_string())?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(answer.trim().to_owned())
}

#[tokio::test]
async fn echo_server_behind_a_balancer() {
    let cluster = TestCluster::start(&[]);
    cluster.dcos(&["package", "install", "echo-server", "--package-version=1.0.0", "--yes", "--wait"]).success();
    let echoes = named(&cluster, "echo-server", 1).await;
    assert_eq!(echo(echoes[0], "who is there"), Ok("who is there".to_owned()));

    let options = cluster.write("balancer.json", json!({ "balancer": { "targets": echoes[0].to_string() } }).to_string());
    let options = format!("--options={}", options.display());
    cluster.dcos(&["package", "install", "tcp-balancer", &options, "--yes", "--wait"]).success();
    let balancer = named(&cluster, "tcp-balancer", 1).await[0];
    eventually("the balancer passes lines on", async || {
        let answer = echo(balancer, "through")?;
        if answer == "through" { Ok(()) } else { Err(answer) }
    })
    .await;

    update(&cluster, &json!({ "appId": "/echo-server", "packageVersion": "1.1.0", "options": { "echo": { "banner": "hi" } }, "replace": false })).await;
    let echoes = named(&cluster, "echo-server", 1).await;
    assert_eq!(echo(echoes[0], "x"), Ok("hi".to_owned()), "the option of the new version works");
    cluster.dcos(&["package", "uninstall", "tcp-balancer", "--yes"]).success();
    cluster.dcos(&["package", "uninstall", "echo-server", "--yes"]).success();
    nothing_is_left(cluster, "echo-server").await;
}

#[tokio::test]
async fn batch_job_runs_again_and_again() {
    let cluster = TestCluster::start(&[]);
    let install = |command: &str, runs: &str| {
        let (command, runs) = (format!("--set=job.command={command}"), format!("--set=job.runs={runs}"));
        cluster.dcos(&["package", "install", "batch-job", &command, &runs, "--set=job.interval_seconds=0", "--yes", "--wait"])
    };
    install("echo the answer is $((6*7))", "3").success();
    cluster.healthy("/batch-job", 1).await;
    let log = eventually("three runs", async || {
        let log = cluster.dcos(&["task", "log", "batch-job", "--lines=100"]);
        if log.stdout.contains("all 3 runs are done") { Ok(log.stdout) } else { Err(format!("{log:?}")) }
    })
    .await;
    assert_eq!(log.matches("the answer is 42").count(), 3, "{log}");
    let server = cluster.dns_server().await;
    assert_eq!(dns::addresses(server, "batch-job.marathon.mesos").addresses.len(), 1);
    cluster.dcos(&["package", "uninstall", "batch-job", "--yes"]).success();
    nothing_is_left(cluster, "batch-job").await;
}

#[tokio::test]
async fn a_package_without_an_app_shows_its_notes() {
    let cluster = TestCluster::start(&[]);
    let output = cluster.dcos(&["package", "install", "getting-started", "--yes"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("dcos ") || output.stderr.contains("dcos "), "{output:?}");
    assert_eq!(cluster.get("/v2/apps").await["apps"], json!([]));
}

#[tokio::test]
async fn every_package_of_our_universe_renders_and_describes() {
    let cluster = TestCluster::start(&[]);
    let found = cluster.cosmos_ok("/package/search", &json!({})).await;
    let packages = found["packages"].as_array().unwrap();
    assert!(packages.len() >= 10, "{found}");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for version in package["versions"].as_object().unwrap().keys() {
            let which = json!({ "packageName": name, "packageVersion": version });
            assert_eq!(cluster.cosmos_ok("/package/describe", &which).await["package"]["version"], **version);
            let (status, rendered) = cluster.cosmos("/package/render", &which).await;
            let expected = if ["getting-started", "cluster-report"].contains(&name) { 400 } else { 200 };
            assert_eq!(status, expected, "{name} {version}: {rendered}");
        }
        assert!(cluster.dcos(&["package", "describe", name]).success().contains(name));
    }
}

#[tokio::test]
async fn what_cannot_be_installed_is_told_and_leaves_nothing() {
    let cluster = TestCluster::start(&[]);
    let refusals = [
        (json!({ "packageName": "helo-world" }), "PackageNotFound", "helo-world"),
        (json!({ "packageName": "hello-world", "packageVersion": "9.9" }), "VersionNotFound", "9.9"),
        (json!({ "packageName": "hello-world", "options": { "page": { "greeting": 1 } } }), "JsonSchemaMismatch", ""),
        (json!({ "packageName": "hello-world", "options": { "servic": {} } }), "JsonSchemaMismatch", ""),
        (json!({ "packageName": "hello-world", "appId": "/Bad_Id" }), "", ""),
        (json!({ "packageName": "hello-world", "options": [] }), "", ""),
        (json!({}), "", "packageName"),
    ];
    for (body, kind, word) in refusals {
        let (status, answer) = cluster.cosmos("/package/install", &body).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(kind.is_empty() || answer["type"] == kind, "{body}: {answer}");
        assert!(answer.to_string().contains(word), "{body}: {answer}");
    }
    let typo = cluster.dcos(&["package", "install", "helo-world", "--yes"]);
    assert_ne!(typo.code, 0);
    assert!(typo.stderr.contains("hello-world"), "the near name is offered: {typo:?}");
    assert_eq!(cluster.get("/v2/apps").await["apps"], json!([]));
    cluster.cosmos_ok("/package/install", &json!({ "packageName": "hello-world" })).await;
    let (status, answer) = cluster.cosmos("/package/install", &json!({ "packageName": "hello-world" })).await;
    assert_eq!((status, &answer["type"]), (409, &json!("PackageAlreadyInstalled")), "{answer}");
}

#[tokio::test]
async fn two_copies_of_a_package_need_a_name_to_be_removed() {
    let cluster = TestCluster::start(&[]);
    for id in ["/a", "/b"] {
        cluster.cosmos_ok("/package/install", &json!({ "packageName": "echo-server", "appId": id })).await;
    }
    let (status, answer) = cluster.cosmos("/package/uninstall", &json!({ "packageName": "echo-server" })).await;
    assert_eq!((status, &answer["type"]), (400, &json!("AmbiguousAppId")), "{answer}");
    cluster.cosmos_ok("/package/uninstall", &json!({ "packageName": "echo-server", "all": true })).await;
    nothing_is_left(cluster, "echo-server").await;
}
