//! The recorded renderings of the public package collection, read as apps.

use super::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

fn shared() -> PathBuf {
    std::env::var_os("ORRERY_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from)
}

#[test]
fn recorded_renderings_read() {
    let path = shared().join("universe/rendered.jsonl.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("SKIPPED: {} is not there; set ORRERY_SHARED", path.display());
        return;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    // Cases named "mutated…" carry deliberately wild options: those may fail, but never without a
    // fault that says where.
    let (mut total, mut good, mut wild, mut wild_good) = (0_u32, 0_u32, 0_u32, 0_u32);
    let mut causes: BTreeMap<String, (u32, String)> = BTreeMap::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let Ok(app) = serde_json::from_str::<Value>(record["rendered"].as_str().unwrap_or_default()) else { continue };
        if !app.is_object() {
            continue;
        }
        let is_wild = record["case"].as_str().is_some_and(|case| case.starts_with("mutated"));
        *(if is_wild { &mut wild } else { &mut total }) += 1;
        match read_app(&app, ReadContext::default()) {
            Ok(read) => {
                *(if is_wild { &mut wild_good } else { &mut good }) += 1;
                let again = read_app(&write_app(&read), ReadContext::default());
                assert_eq!(again.as_ref(), Ok(&read), "{} {}", record["name"], record["releaseVersion"]);
                assert_eq!(patch_app(&read, &serde_json::json!({})).as_ref(), Ok(&read));
            }
            Err(faults) => {
                assert!(!faults.is_empty());
                let label = format!("{} {} {}", record["name"], record["releaseVersion"], record["case"]);
                for fault in faults {
                    assert!(fault.path.starts_with('/'), "{fault}");
                    if is_wild {
                        continue;
                    }
                    causes.entry(fault.to_string()).or_insert((0, label.clone())).0 += 1;
                }
            }
        }
    }
    println!("{good} of {total} renderings read as apps, and {wild_good} of {wild} with wild options");
    for (cause, (count, example)) in &causes {
        println!("{count:4} {cause}   e.g. {example}");
    }
    assert!(total > 0 && f64::from(good) >= 0.97 * f64::from(total), "only {good} of {total}");
}
