//! Specs from files: apply, diff, faults with their place.

use orrery_e2e::{TestCluster, eventually};
use serde_json::{Value, json};

const WEB: &str = "# the shop\nid: /shop/web\ncmd: exec sleep 1000\ncpus: 0.01\nmem: 16\ninstances: 2\n---\nid: /shop/worker\ncmd: exec sleep 1000\ncpus: 0.01\nmem: 16\n";

#[tokio::test]
async fn applying_twice_writes_nothing() {
    let cluster = TestCluster::start(&[]);
    cluster.write("specs/web.yaml", WEB);
    cluster.write(
        "specs/deep/er/tool.json",
        json!({ "id": "/tool", "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16 }).to_string(),
    );
    cluster.write("specs/deep/hello.yml", "packageName: hello-world\noptions:\n  page: { greeting: Moin }\n");
    cluster.write("specs/README.md", "no spec: [");
    let apply = || cluster.dcos(&["apply", "-f", "specs", "-R", "--wait"]);
    assert_eq!(cluster.dcos(&["diff", "-f", "specs", "-R"]).code, 1);
    let dry = cluster.dcos(&["apply", "-f", "specs", "-R", "--dry-run"]).success();
    assert!(dry.contains("/shop/web") && dry.contains("/tool") && dry.contains("/hello-world"), "{dry}");
    assert_eq!(cluster.get("/v2/apps").await["apps"], json!([]), "a dry run changes nothing");
    apply().success();
    assert_eq!(cluster.get("/v2/apps").await["apps"].as_array().map(Vec::len), Some(4));
    cluster.healthy("/hello-world", 1).await;
    let store = cluster.data().join("store.redb");
    let (generation, tasks) = (cluster.generation().await, cluster.get("/v2/tasks").await);
    let stored = std::fs::read(&store).unwrap();
    let again = apply().success();
    assert!(again.contains("unchanged"), "{again}");
    assert_eq!(cluster.generation().await, generation);
    assert!(std::fs::read(&store).unwrap() == stored, "the store was written");
    assert_eq!(cluster.get("/v2/tasks").await["tasks"].as_array().map(Vec::len), tasks["tasks"].as_array().map(Vec::len));
    let same = cluster.dcos(&["diff", "-f", "specs", "-R"]);
    assert_eq!(same.code, 0, "{same:?}");

    cluster.write("specs/web.yaml", WEB.replace("instances: 2", "instances: 3"));
    let differs = cluster.dcos(&["diff", "-f", "specs", "-R"]);
    assert_eq!(differs.code, 1, "{differs:?}");
    assert!(
        differs.stdout.contains("instances") && differs.stdout.contains('3') && !differs.stdout.contains("/tool"),
        "{differs:?}"
    );
    apply().success();
    assert_eq!(cluster.tasks("/shop/web").await.len(), 3);
    let mut before = tasks["tasks"].as_array().unwrap().iter().filter(|task| task["appId"] == "/shop/web");
    let after = cluster.tasks("/shop/web").await;
    assert!(before.all(|task| after.iter().any(|new| new["id"] == task["id"])), "scaling replaces nothing");
}

#[tokio::test]
async fn specs_come_from_standard_input_and_in_json() {
    let cluster = TestCluster::start(&[]);
    cluster.dcos_with_input(&["apply", "-f", "-", "--wait"], WEB).success();
    cluster.running("/shop/web", 2).await;
    let exported = cluster.dcos(&["marathon", "app", "show", "/shop/web"]).success();
    let same = cluster.dcos_with_input(&["diff", "-f", "-"], &exported);
    assert_eq!(same.code, 0, "what is shown can be applied: {same:?}");
    let group = json!({ "id": "/shop", "apps": [{ "id": "db", "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16 }] });
    cluster.dcos_with_input(&["apply", "-f", "-", "--wait"], &group.to_string()).success();
    cluster.running("/shop/db", 1).await;
    cluster.running("/shop/web", 2).await;
}

#[tokio::test]
async fn every_fault_is_told_with_file_line_field_and_value() {
    let cluster = TestCluster::start(&[]);
    cluster.write("specs/a.yaml", "id: /Bad_Id\ncmd: x\ncpus: -1\n---\nid: /good\ncmd: x\ninstances: many\n");
    cluster.write("specs/b.json", "{\n  \"id\": \"/b\",\n  \"cmd\": \"x\",\n  \"mem\": \"much\"\n}\n");
    cluster.write("specs/c.yaml", "id: /c\n  cmd: [\n");
    cluster.write("specs/d.yaml", "id: /d\ncmd: x\ncmd: y\n");
    cluster.write("specs/e.yaml", "packageName: no-such-package\n");
    let output = cluster.dcos(&["apply", "-f", "specs", "-R"]);
    assert_ne!(output.code, 0);
    for part in ["a.yaml:1", "a.yaml:3", "a.yaml:7", "b.json:4", "c.yaml", "d.yaml:3", "Bad_Id", "many", "much"] {
        assert!(output.stderr.contains(part), "{part} is missing in\n{}", output.stderr);
    }
    assert_eq!(cluster.get("/v2/apps").await["apps"], json!([]), "nothing was applied");
    let slip = cluster.dcos_with_input(&["apply", "-f", "-", "--dry-run"], "id: /slip\ncmd: x\ninstnces: 2\n");
    assert!(slip.stderr.contains("instnces") && slip.stderr.contains("did you mean instances"), "{slip:?}");
    let package = cluster.dcos(&["apply", "-f", "specs/e.yaml"]);
    assert!(package.code != 0 && package.stderr.contains("no-such-package"), "{package:?}");
    let options = "packageName: hello-world\noptions:\n  page:\n    greeting: 7\n";
    let output = cluster.dcos_with_input(&["apply", "-f", "-"], options);
    assert!(output.code != 0 && output.stderr.contains("greeting"), "{output:?}");
}

#[tokio::test]
async fn bombs_and_absent_files_are_refused() {
    let cluster = TestCluster::start(&[]);
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let previous = format!("*a{},", level - 1).repeat(9);
        bomb.extend([format!("a{level}: &a{level} ["), previous.trim_end_matches(',').to_owned(), "]\n".to_owned()]);
    }
    let deep_yaml = "[".repeat(100_000);
    let deep_json = "{\"a\":".repeat(100_000);
    for (name, text) in [("bomb", &bomb), ("deep YAML", &deep_yaml), ("deep JSON", &deep_json)] {
        let output = cluster.dcos_with_input(&["apply", "-f", "-"], text);
        assert!(output.code > 0, "{name}: a fault, no crash: {output:?}");
        assert!(
            output.stderr.len() > 10 && output.stderr.len() < 5_000 && !output.stderr.contains("panicked"),
            "{name}: {output:?}"
        );
    }
    let absent = cluster.dcos(&["apply", "-f", "no-such-file.yaml"]);
    assert!(absent.code != 0 && absent.stderr.contains("no-such-file.yaml"), "{absent:?}");
    let empty = cluster.dcos_with_input(&["apply", "-f", "-"], "");
    assert!(!empty.stderr.contains("panicked"), "{empty:?}");
    assert_eq!(cluster.get("/v2/apps").await["apps"], json!([]));
}

#[tokio::test]
async fn marathon_commands_work_as_they_did() {
    let cluster = TestCluster::start(&[]);
    let app = json!({ "id": "/web", "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16 });
    let added = cluster.dcos_with_input(&["marathon", "app", "add"], &app.to_string()).success();
    assert!(added.contains("Created deployment"), "{added}");
    cluster.settled().await;
    let listed = cluster.dcos(&["marathon", "app", "list"]).success();
    assert!(listed.contains("/web") && listed.contains("1/1"), "{listed}");
    let shown: Value = serde_json::from_str(&cluster.dcos(&["marathon", "app", "show", "web"]).success()).unwrap();
    assert_eq!(shown["id"], "/web");
    cluster.dcos(&["marathon", "app", "update", "web", "instances=2"]).success();
    cluster.settled().await;
    let ids = cluster.dcos(&["marathon", "task", "list", "web"]).success();
    assert_eq!(ids.matches("_app.").count(), 2, "{ids}");
    cluster.dcos(&["marathon", "app", "stop", "web"]).success();
    cluster.settled().await;
    assert!(cluster.tasks("/web").await.is_empty());
    cluster.dcos(&["marathon", "app", "start", "web", "1"]).success();
    cluster.settled().await;
    let before = cluster.tasks("/web").await;
    cluster.dcos(&["marathon", "app", "restart", "web"]).success();
    cluster.settled().await;
    assert_ne!(before[0]["id"], cluster.tasks("/web").await[0]["id"]);
    assert_eq!(cluster.dcos(&["marathon", "deployment", "list", "--json"]).success().trim(), "[]");
    let nodes: Value = serde_json::from_str(&cluster.dcos(&["node", "list", "--json"]).success()).unwrap();
    let agents = nodes.as_array().unwrap().iter().filter(|node| node["type"] == "agent").count();
    assert_eq!(agents, 1, "{nodes}");
    assert!(cluster.dcos(&["service", "list"]).success().contains("marathon"));
    assert!(cluster.dcos(&["task", "list", "-q"]).success().starts_with("web."));
    cluster.dcos(&["marathon", "app", "remove", "web"]).success();
    cluster.settled().await;
    let gone = cluster.dcos(&["marathon", "app", "show", "web"]);
    assert!(gone.code == 1 && gone.stderr.contains("/web"), "{gone:?}");
}

#[tokio::test]
async fn slips_and_silence_are_explained() {
    let mut cluster = TestCluster::start(&[]);
    let slip = cluster.dcos(&["pakage", "list"]);
    assert!(slip.code != 0 && slip.stderr.contains("package"), "{slip:?}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(cluster.dcos(&["completion", shell]).success().contains("dcos"), "{shell}");
    }
    let url = cluster.url.clone();
    cluster.down();
    let silent = cluster.dcos(&["marathon", "app", "list"]);
    assert!(silent.code != 0 && silent.stderr.contains(&url), "{silent:?}");
    assert!(silent.stderr.contains("orrery"), "it says what to do: {silent:?}");
    cluster.up();
    eventually("it is attached again", async || {
        let output = cluster.dcos(&["marathon", "app", "list"]);
        if output.code == 0 { Ok(()) } else { Err(format!("{output:?}")) }
    })
    .await;
}
