//! Nothing panics, whatever the template, the options or the document.

use crate::{definition, map, marathon, package, source};
use orrery_catalog::template::{Template, number_text};
use orrery_catalog::{Repository, check, merge, render};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Pieces that make tags, sections, and broken ones, likely.
fn template() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "{{", "}}", "{{{", "}}}", "{", "}", "#", "^", "/", "&", "!", ">", "=", ".", " ", "\t",
            "\n", "\r\n", "\r", "\"", "a", "b", "a.b", "{{#a}}", "{{/a}}", "{{^b}}", "{{/b}}",
            "{{.}}", "{{a.b.isEmpty}}", "{{#asJson}}", "{{/asJson}}", "é", "\u{0}",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9]{1,3}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?"
            .prop_map(|text| { serde_json::from_str(&text).unwrap_or(Value::Null) }),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let key = prop::sample::select(vec!["a", "b", "a.b", "isEmpty", "", "asJson"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|fields| { Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()) }),
        ]
    })
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((prop::sample::select(vec!["a", "b", "a.b", "resource"]), value()), 0..4)
        .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn templates_never_panic(template in template(), context in object()) {
        if let Ok(parsed) = Template::parse(&template) {
            let first = parsed.render(&context);
            prop_assert_eq!(first, parsed.render(&context));
        }
    }

    #[test]
    fn text_without_braces_is_copied(text in "[^{\r]*") {
        let rendered = Template::parse(&text).unwrap().render(&Map::new()).unwrap();
        prop_assert_eq!(rendered, text);
    }

    #[test]
    fn a_quoted_string_is_always_json(text in any::<String>()) {
        let context = map(json!({"a": text.clone()}));
        let rendered = Template::parse("{\"a\": \"{{a}}\"}").unwrap().render(&context).unwrap();
        let back: Value = serde_json::from_str(&rendered).unwrap();
        prop_assert_eq!(&back["a"], &Value::from(text));
    }

    #[test]
    fn a_list_of_strings_and_integers_is_always_json(
        texts in prop::collection::vec(any::<String>(), 0..5), number in any::<i64>(),
    ) {
        let list = json!([texts, number]);
        let context = map(json!({"l": list.clone()}));
        let rendered = Template::parse("{{l}}").unwrap().render(&context).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&rendered).unwrap(), list);
    }

    #[test]
    fn numbers_keep_their_value(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
        let printed = number_text(&format!("{number:e}")).into_owned();
        prop_assert_eq!(printed.parse::<f64>().unwrap().abs().to_bits(), number.abs().to_bits());
    }

    #[test]
    fn number_text_never_panics(text in any::<String>()) {
        let _ = number_text(&text);
    }

    #[test]
    fn merging_twice_changes_nothing(base in object(), over in object()) {
        let mut once = base.clone();
        merge(&mut once, &over);
        let mut twice = once.clone();
        merge(&mut twice, &over);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn rendering_never_panics(template in template(), config in object(), options in object()) {
        let properties: Map<String, Value> = config
            .into_iter()
            .map(|(name, default)| (name, json!({"default": default})))
            .collect();
        let package = package(definition("p", "1", 0, json!({
            "config": {"properties": properties},
            "marathon": marathon(&template),
        })));
        let _ = check(&package);
        if let Err(error) = render(&package, "", &options, Some("/x")) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn documents_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0usize..200) {
        let _ = Repository::from_json(source("r"), bytes);
        let text = json!({"packages": [definition("p", "1", 0, json!({"config": {}}))]}).to_string();
        let cut = cut.min(text.len());
        let _ = Repository::from_json(source("r"), text.as_bytes()[..cut].to_vec());
    }
}
