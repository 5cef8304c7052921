//! Machines that join a cluster with a token.

use orrery_e2e::{Disk, TestAgent, TestCluster, eventually};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Makes a token with more arguments.
fn token(cluster: &TestCluster, arguments: &[&str]) -> String {
    let data = cluster.data();
    let fixed = ["token", "--data-dir", data.to_str().unwrap(), "create"];
    let arguments: Vec<&str> = fixed.iter().chain(arguments).copied().collect();
    let text = cluster.orrery(&arguments).success();
    text.lines().next().unwrap().to_owned()
}

fn join<'a>(cluster: &'a TestCluster, token: &'a str) -> Vec<&'a str> {
    vec![
        "--join",
        &cluster.url,
        "--token",
        token,
        "--resources",
        "cpus:1;mem:256;ports:[33000-33010]",
        "--attributes",
        "rack:far",
    ]
}

/// An app that runs on the joined node only.
fn far_app(id: &str) -> Value {
    json!({
        "id": id, "cmd": "echo from afar; exec sleep 1000", "cpus": 0.1, "mem": 32, "instances": 1,
        "constraints": [["rack", "CLUSTER", "far"]],
    })
}

async fn node(cluster: &TestCluster, id: &str) -> Value {
    let slaves = cluster.get("/mesos/master/slaves").await;
    slaves["slaves"].as_array().into_iter().flatten().find(|slave| slave["id"] == id).cloned().unwrap_or_default()
}

fn serial_of(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("credentials.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["certificate"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_machine_joins_and_its_tasks_outlive_its_agent() {
    let cluster = TestCluster::start(&[]);
    let data = cluster.scratch().join("far");
    let first = token(&cluster, &[]);
    let mut agent = TestAgent::spawn(&data, &join(&cluster, &first));
    let id = agent.ready();
    assert_eq!(node(&cluster, &id).await["attributes"]["rack"], "far");
    cluster.create(&far_app("/far")).await;
    let before = cluster.running("/far", 1).await[0]["id"].clone();
    // The way back to the agent leads through its own connection.
    eventually("the log of the far task", async || {
        let output = cluster.dcos(&["task", "log", "far"]);
        if output.stdout.contains("from afar") { Ok(()) } else { Err(format!("{output:?}")) }
    })
    .await;
    // Later starts need neither URL nor token.
    for kill in [false, true] {
        if kill {
            agent.kill();
        } else {
            agent.down(&[]);
        }
        agent = TestAgent::spawn(&data, &["--resources", "cpus:1;mem:256;ports:[33000-33010]", "--attributes", "rack:far"]);
        assert_eq!(agent.ready(), id);
        assert_eq!(cluster.running("/far", 1).await[0]["id"], before);
    }
    let mut second = TestAgent::spawn(&cluster.scratch().join("second"), &join(&cluster, &first));
    assert!(!second.end().success());
    assert!(second.log().contains("was used by"), "{}", second.log());
}

#[tokio::test]
async fn an_agent_takes_its_tasks_back_on_a_full_disk() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("SKIPPED an_agent_takes_its_tasks_back_on_a_full_disk: mounting needs root");
        return;
    }
    let cluster = TestCluster::start(&[]);
    let data = cluster.scratch().join("far");
    let disk = Disk::mount(&data, "32m");
    let token = token(&cluster, &[]);
    let mut agent = TestAgent::spawn(&data, &join(&cluster, &token));
    let id = agent.ready();
    cluster.create(&far_app("/far")).await;
    let before = cluster.running("/far", 1).await[0]["id"].clone();
    disk.fill();
    agent.kill();
    let mut agent = TestAgent::spawn(&data, &["--resources", "cpus:1;mem:256;ports:[33000-33010]", "--attributes", "rack:far"]);
    assert_eq!(agent.ready(), id);
    assert_eq!(cluster.running("/far", 1).await[0]["id"], before);
    assert!(agent.log().contains("do not find this agent"), "{}", agent.log());
    agent.kill();
    disk.clear();
    let agent = TestAgent::spawn(&data, &["--resources", "cpus:1;mem:256;ports:[33000-33010]", "--attributes", "rack:far"]);
    assert_eq!(agent.ready(), id);
    assert_eq!(cluster.running("/far", 1).await[0]["id"], before);
    drop(agent);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let cluster = TestCluster::start(&[]);
    let other = TestCluster::start(&[]);
    let good = token(&cluster, &[]);
    let revoked = token(&cluster, &[]);
    let data = cluster.data();
    cluster.orrery(&["token", "--data-dir", data.to_str().unwrap(), "revoke", &revoked]).success();
    let list = cluster.orrery(&["token", "--data-dir", data.to_str().unwrap(), "list"]).success();
    assert!(list.contains(good.split('.').nth(1).unwrap()) && !list.contains(&good) && list.contains("valid"), "{list}");
    let cases: [(&str, &str, &[&str]); 5] = [
        (&cluster.url, &revoked, &["does not know", "orrery token create"]),
        (&other.url, &good, &["another cluster than this token"]),
        (&cluster.url, "eyJhbGciOiJ.x.y", &["no join token"]),
        (&cluster.url, &good[..good.len() - 1], &["damaged"]),
        ("ftp://x", &good, &["no URL of a controller"]),
    ];
    for (number, (url, token, parts)) in cases.into_iter().enumerate() {
        let mut agent =
            TestAgent::spawn(&cluster.scratch().join(format!("refused-{number}")), &["--join", url, "--token", token]);
        assert!(!agent.end().success());
        let log = agent.log();
        assert!(parts.iter().all(|part| log.contains(part)), "{log} lacks {parts:?}");
    }
    let mut agent = TestAgent::spawn(&cluster.scratch().join("nothing"), &[]);
    assert!(!agent.end().success());
    assert!(agent.log().contains("give --join URL and --token TOKEN"), "{}", agent.log());
}

#[tokio::test]
async fn certificates_are_renewed_under_running_tasks() {
    let cluster = TestCluster::start_at("127.0.0.1:0", &[], &[("ORRERY_CERTIFICATE_SECONDS", "9")]);
    let data = cluster.scratch().join("far");
    let token = token(&cluster, &[]);
    let agent = TestAgent::spawn(&data, &join(&cluster, &token));
    let id = agent.ready();
    cluster.create(&far_app("/far")).await;
    let before = cluster.running("/far", 1).await[0]["id"].clone();
    for _ in 0..2 {
        let serial = serial_of(&data);
        eventually("a new certificate", async || if serial_of(&data) == serial { Err(agent.log()) } else { Ok(()) }).await;
    }
    eventually("the node is there after it", async || {
        let node = node(&cluster, &id).await;
        if node["active"] == true { Ok(()) } else { Err(format!("{node}\n{}", agent.log())) }
    })
    .await;
    assert_eq!(cluster.running("/far", 1).await[0]["id"], before);
    assert!(!cluster.log().contains("the agent is lost"), "{}", cluster.log());
}

#[tokio::test]
async fn a_copy_of_a_node_leaves_its_tasks_alone() {
    let cluster = TestCluster::start(&[]);
    let data = cluster.scratch().join("far");
    let token = token(&cluster, &[]);
    let agent = TestAgent::spawn(&data, &join(&cluster, &token));
    let id = agent.ready();
    cluster.create(&far_app("/far")).await;
    let before = cluster.running("/far", 1).await[0]["id"].clone();
    let copied = cluster.scratch().join("copied");
    std::fs::create_dir_all(&copied).unwrap();
    std::fs::copy(data.join("credentials.json"), copied.join("credentials.json")).unwrap();
    let mut copy = TestAgent::spawn(&copied, &[]);
    assert!(!copy.end().success());
    assert!(copy.log().contains("runs on this machine already"), "{}", copy.log());
    assert_eq!(node(&cluster, &id).await["attributes"]["rack"], "far");
    assert_eq!(cluster.running("/far", 1).await[0]["id"], before);
}

#[tokio::test]
async fn a_door_that_others_reach_wants_a_login() {
    let cluster = TestCluster::start_at("0.0.0.0:0", &[], &[]);
    let port = cluster.url.rsplit_once(':').unwrap().1;
    let url = format!("https://127.0.0.1:{port}");
    let authority = cluster.scratch().join("ca.crt");
    let careless = reqwest::Client::builder().danger_accept_invalid_certs(true).build().unwrap();
    let pem = careless.get(format!("{url}/ca/dcos-ca.crt")).send().await.unwrap().text().await.unwrap();
    std::fs::write(&authority, &pem).unwrap();
    let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    for (path, status) in [
        ("/v2/apps", 401),
        ("/", 401),
        ("/pkgpanda/active.buildinfo.full.json", 401),
        ("/acs/api/v1/users", 401),
        ("/dcos-metadata/dcos-version.json", 200),
        ("/acs/api/v1/auth/providers", 200),
    ] {
        let response = client.get(format!("{url}{path}")).header("authorization", "token=").send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        if status == 401 {
            assert_eq!(response.headers()["www-authenticate"], "acsjwt");
        }
    }
    let plain = reqwest::Client::new().get(format!("http://127.0.0.1:{port}/ping")).send().await.unwrap();
    assert_eq!(plain.status(), 400);

    let password = cluster.data().join("admin-password");
    let login = ["--username=admin", &format!("--password-file={}", password.display())];
    let setup = |login: &[&str]| {
        let fixed = ["cluster", "setup", &url, "--ca-certs", authority.to_str().unwrap()];
        cluster.dcos(&fixed.iter().chain(login).copied().collect::<Vec<_>>())
    };
    let wrong = cluster.write("wrong", "not it");
    let refused = setup(&["--username=admin", &format!("--password-file={}", wrong.display())]);
    assert!(refused.code != 0 && refused.stderr.contains("wrong"), "{refused:?}");
    setup(&login).success();
    cluster.dcos(&["marathon", "app", "list"]).success();
    // Who is logged in is not taken for whoever he says he is.
    let refused = cluster.dcos(&["auth", "login", "--username=nobody", &format!("--password-file={}", wrong.display())]);
    assert!(refused.code != 0 && refused.stderr.contains("wrong"), "{refused:?}");
    cluster.dcos(&["auth", "logout"]).success();
    let refused = cluster.dcos(&["marathon", "app", "list"]);
    assert!(refused.code != 0 && refused.stderr.contains("dcos auth login"), "{refused:?}");
    let mut login = login.to_vec();
    login.splice(0..0, ["auth", "login"]);
    cluster.dcos(&login).success();
    cluster.dcos(&["node"]).success();

    // Agents need no login: they have certificates.
    let token = token(&cluster, &[]);
    let agent = TestAgent::spawn(&cluster.scratch().join("far"), &["--join", &url, "--token", &token]);
    agent.ready();
}
