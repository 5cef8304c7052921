//! placeholder
use serde_json::{Map, Value};
use std::io::Read as _;
use base64::Engine as _;
fn defaults(properties: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for (k, v) in properties {
        if let Some(d) = v.get("default") { out.insert(k.clone(), d.clone()); }
        else if let Some(p) = v.get("properties").and_then(Value::as_object) {
            let s = defaults(p);
            if !s.is_empty() { out.insert(k.clone(), s.into()); }
        }
    }
    out
}
fn merge(a: &mut Map<String, Value>, b: &Map<String, Value>) {
    for (k, v) in b {
        match (a.get_mut(k), v) {
            (Some(Value::Object(x)), Value::Object(y)) => merge(x, y),
            _ => { a.insert(k.clone(), v.clone()); }
        }
    }
}
#[test]
fn corpus() {
    let dir = std::env::var("ORRERY_SHARED").unwrap_or("../../shared".into());
    let read = |f: &str| { let mut s = String::new(); flate2::read::GzDecoder::new(std::fs::File::open(format!("{dir}/universe/{f}")).unwrap()).read_to_string(&mut s).unwrap(); s };
    let repo: Value = serde_json::from_str(&read("repo.json.gz")).unwrap();
    let (mut exact, mut equal, mut bad) = (0, 0, 0);
    for line in read("rendered.jsonl.gz").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let p = repo["packages"].as_array().unwrap().iter().find(|p| p["name"] == row["name"] && p["releaseVersion"] == row["releaseVersion"]).unwrap();
        let t = base64::engine::general_purpose::STANDARD.decode(p["marathon"]["v2AppMustacheTemplate"].as_str().unwrap()).unwrap();
        let t = String::from_utf8(t).unwrap();
        let mut c = p["config"]["properties"].as_object().map(defaults).unwrap_or_default();
        merge(&mut c, row["options"].as_object().unwrap());
        if let Some(r) = p.get("resource") { let mut m = Map::new(); m.insert("resource".into(), r.clone()); merge(&mut c, &m); }
        let out = orrery_catalog::template::Template::parse(&t).unwrap().render(&c).unwrap();
        let want = row["rendered"].as_str().unwrap();
        if out == want { exact += 1; }
        match (serde_json::from_str::<Value>(&out), serde_json::from_str::<Value>(want)) {
            (Ok(a), Ok(b)) if a == b => equal += 1,
            (Err(_), Err(_)) => equal += 1,
            _ => { bad += 1; println!("{} {} {}", row["name"], row["releaseVersion"], row["case"]); }
        }
    }
    panic!("exact {exact} equal {equal} bad {bad}");
}
