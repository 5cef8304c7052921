//! Documents that people write: YAML and JSON to an app. Nothing may panic, and what was read once
//! must be read again from what we print.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orrery_api::marathon::app::{ReadContext, read_app, unknown_fields, write_app};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let json = serde_json::from_str::<serde_json::Value>(text).ok();
    let yaml = serde_yaml::from_str::<serde_json::Value>(text).ok();
    for value in [json, yaml].into_iter().flatten() {
        let _ = unknown_fields(&value);
        let context = ReadContext { base_group: "/", path_id: None };
        if let Ok(app) = read_app(&value, context) {
            let again = read_app(&write_app(&app), context).expect("what we print can be read");
            assert_eq!(again.id, app.id);
        }
    }
});
