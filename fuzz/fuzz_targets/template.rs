//! The template engine: any template over any options ends in text or in an error.
//!
//! Input: the template, a zero byte, the options as a JSON object.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orrery_catalog::template::{RENDERED_BYTES_MAX, Template};
use serde_json::{Map, Value};

fuzz_target!(|bytes: &[u8]| {
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let template = String::from_utf8_lossy(halves.next().unwrap_or_default());
    let options: Map<String, Value> = halves.next().and_then(|options| serde_json::from_slice(options).ok()).unwrap_or_default();
    if let Ok(template) = Template::parse(&template) {
        let names = template.names().len();
        assert!(names <= bytes.len());
        if let Ok(text) = template.render(&options) {
            // One value may exceed the limit, by no more than the options are long: digits of a
            // large exponent excepted, which have a limit of their own.
            assert!(text.len() <= RENDERED_BYTES_MAX + (1 << 20));
            assert_eq!(Ok(text), template.render(&options));
        }
    }
});
