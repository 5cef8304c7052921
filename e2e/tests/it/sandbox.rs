//! What a task finds around it, and what it leaves: environment, limits, files, output.

use orrery_e2e::app::{task, web_server, with};
use orrery_e2e::{TestCluster, eventually};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};

#[tokio::test]
async fn the_environment_is_marathons() {
    let cluster = TestCluster::start(&[]);
    let fields = json!({
        "portDefinitions": [{ "port": 0, "name": "http" }, { "port": 10_123, "name": "ad-min" }],
        "env": { "MINE": "yes", "HOST": "mine wins" }, "labels": { "tier": "front", "odd-name": "x" }, "cpus": 0.5, "mem": 64,
    });
    cluster.create(&with(&web_server("/env/web"), &fields)).await;
    let shown = cluster.running("/env/web", 1).await.remove(0);
    let address = TestCluster::address(&shown, 0);
    let text = eventually("it answers", async || cluster.fetch(&format!("{address}/env")).await).await.1;
    let env: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let ports: Vec<String> = shown["ports"].as_array().unwrap().iter().map(ToString::to_string).collect();
    let version = shown["version"].as_str().unwrap();
    let expected = [
        ("PORT", ports[0].as_str()),
        ("PORT0", &ports[0]),
        ("PORT1", &ports[1]),
        ("PORTS", &ports.join(",")),
        ("PORT_HTTP", &ports[0]),
        ("PORT_10123", &ports[1]),
        ("PORT_AD_MIN", &ports[1]),
        ("HOST", "mine wins"),
        ("MINE", "yes"),
        ("MESOS_TASK_ID", shown["id"].as_str().unwrap()),
        ("MARATHON_APP_ID", "/env/web"),
        ("MARATHON_APP_VERSION", version),
        ("MARATHON_APP_RESOURCE_CPUS", "0.5"),
        ("MARATHON_APP_RESOURCE_MEM", "64.0"),
        ("MARATHON_APP_RESOURCE_DISK", "0.0"),
        ("MARATHON_APP_RESOURCE_GPUS", "0"),
        ("MARATHON_APP_LABEL_TIER", "front"),
        ("MARATHON_APP_LABEL_ODD_NAME", "x"),
    ];
    for (name, value) in expected {
        assert_eq!(env.get(name), Some(&value), "{name} in\n{text}");
    }
    let labels = env["MARATHON_APP_LABELS"];
    assert!(labels.contains("TIER") && labels.contains("ODD_NAME"), "{labels}");
    assert!(env.contains_key("MESOS_SANDBOX"), "{text}");
    assert!(!env.contains_key("MARATHON_APP_DOCKER_IMAGE"), "{text}");
}

#[tokio::test]
async fn files_and_output_are_read_from_outside() {
    let cluster = TestCluster::start(&[]);
    let command = "mkdir -p deep/er; echo content > deep/er/file; seq 1 100; echo wrong >&2; exec sleep 1000";
    cluster.create(&task("/files", command)).await;
    let log = eventually("the output is there", async || {
        let log = cluster.dcos(&["task", "log", "files"]);
        if log.code == 0 && log.stdout.lines().last() == Some("100") { Ok(log.stdout) } else { Err(format!("{log:?}")) }
    })
    .await;
    assert_eq!(log.lines().count(), 10);
    assert_eq!(cluster.dcos(&["task", "log", "files", "--lines=3"]).success(), "98\n99\n100\n");
    assert_eq!(cluster.dcos(&["task", "log", "files", "stderr"]).success().trim(), "wrong");
    let listed = cluster.dcos(&["task", "ls", "files"]).success();
    assert!(["deep", "stdout", "stderr"].iter().all(|name| listed.contains(name)), "{listed}");
    assert!(cluster.dcos(&["task", "ls", "files", "deep/er"]).success().contains("file"));
    cluster.dcos(&["task", "download", "files", "deep", "--target-dir=copy"]).success();
    let copied =
        ["copy/deep/er/file", "copy/er/file"].iter().find_map(|path| std::fs::read_to_string(cluster.scratch().join(path)).ok());
    assert_eq!(copied.as_deref(), Some("content\n"));
    assert_ne!(cluster.dcos(&["task", "log", "no-such-task"]).code, 0);
    assert_ne!(cluster.dcos(&["task", "log", "files", "no-such-file"]).code, 0);

    // The same through the agent's own interface, as old clients do; nothing outside is shown.
    let state = cluster.get("/mesos/master/state").await;
    let slave = state["slaves"][0]["id"].as_str().unwrap().to_owned();
    let agent = cluster.get(&format!("/agent/{slave}/slave(1)/state")).await;
    let executor = &agent["frameworks"][0]["executors"][0];
    let directory = executor["directory"].as_str().unwrap_or_else(|| panic!("{agent}"));
    let read = cluster.get(&format!("/agent/{slave}/files/read?path={directory}/deep/er/file&offset=0&length=100")).await;
    assert_eq!(read["data"], "content\n", "{read}");
    let browsed = cluster.get(&format!("/agent/{slave}/files/browse?path={directory}")).await;
    assert!(browsed.to_string().contains("/deep"), "{browsed}");
    for outside in [
        "/etc/passwd".to_owned(),
        format!("{directory}/../../../../../../../../../../../../etc/passwd"),
        format!("{directory}/deep/../../../secret"),
    ] {
        let url = format!("{}/agent/{slave}/files/read?path={outside}&offset=0&length=100", cluster.url);
        let (status, text) = cluster.fetch(&url).await.unwrap();
        assert!((400..500).contains(&status), "{outside}: {status} {text}");
        assert!(!text.contains("root:"), "{outside}: {text}");
    }
}

#[tokio::test]
async fn a_link_out_of_the_sandbox_is_not_followed() {
    let cluster = TestCluster::start(&[]);
    cluster.create(&task("/link", "ln -s /etc/passwd leak; ln -s /etc dir; touch made; exec sleep 1000")).await;
    eventually("the links are made", async || {
        let listed = cluster.dcos(&["task", "ls", "link"]);
        if listed.stdout.contains("made") { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await;
    for path in ["leak", "dir/passwd"] {
        let output = cluster.dcos(&["task", "log", "link", path]);
        assert!(output.code != 0 && !output.stdout.contains("root:"), "{path}: {output:?}");
    }
}

#[tokio::test]
async fn output_is_followed_until_the_reader_leaves() {
    let cluster = TestCluster::start(&[]);
    cluster.create(&task("/talk", "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done")).await;
    let mut follower = cluster.dcos_in_background(&["task", "log", "--follow", "talk"]);
    let output = BufReader::new(follower.stdout.take().expect("piped"));
    let lines: Vec<String> = output.lines().map_while(Result::ok).take(15).collect();
    follower.kill().expect("it runs");
    follower.wait().expect("it ends");
    let numbers: Vec<u64> = lines.iter().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
    assert_eq!(numbers.len(), 15, "{lines:?}");
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "no line is lost or doubled: {numbers:?}");
}

#[tokio::test]
async fn output_outlives_the_task() {
    let cluster = TestCluster::start(&[]);
    let app = with(&task("/last-words", "echo famous; exit 7"), &json!({ "backoffSeconds": 300, "maxLaunchDelaySeconds": 300 }));
    cluster.launch(&app).await;
    cluster.failure_with("/last-words", &["7"]).await;
    let log = cluster.dcos(&["task", "log", "--completed", "last-words"]);
    assert!(log.stdout.contains("famous"), "{log:?}");
    assert!(cluster.dcos(&["task", "--completed"]).success().contains("last-words"));
}

/// Needs root and a cgroup hierarchy that can be written.
#[tokio::test]
async fn memory_beyond_the_limit_is_reported_as_such() {
    let writable = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].iter().any(|path| {
        let probe = std::path::Path::new(path).join(format!("orrery-e2e-probe-{}", std::process::id()));
        std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe)).is_ok()
    });
    if !writable {
        eprintln!("SKIPPED: memory_beyond_the_limit_is_reported_as_such: cgroups cannot be made here (needs root)");
        return;
    }
    let cluster = TestCluster::start(&[]);
    let app = with(
        &task("/greedy", "exec perl -e 'my @a; push @a, \"x\" x 1048576 while 1'"),
        &json!({ "mem": 32, "backoffSeconds": 300 }),
    );
    cluster.launch(&app).await;
    let failure = cluster.failure_with("/greedy", &["memory"]).await;
    assert_eq!(failure["state"], "TASK_FAILED", "{failure}");
}
