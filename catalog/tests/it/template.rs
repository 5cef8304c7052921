//! The template language, rule by rule.

use crate::map;
use orrery_catalog::template::{
    CONTEXT_DEPTH_MAX, RENDERED_BYTES_MAX, SECTION_DEPTH_MAX, TEMPLATE_BYTES_MAX, Template, TemplateError,
};
use serde_json::{Value, json};

fn render(template: &str, context: Value) -> String {
    Template::parse(template).expect("parses").render(&map(context)).expect("renders")
}

#[track_caller]
fn table(context: &Value, cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        assert_eq!(render(template, context.clone()), *expected, "{template}");
    }
}

#[test]
fn values_print_as_in_java() {
    table(
        &json!({
            "text": "say \"hi\"\\\n\u{1}\u{7f} <b>&amp;</b> é", "yes": true, "no": false,
            "null": null, "zero": 0, "one": 1.0, "half": 0.5, "tiny": 1e-5, "empty": "",
            "list": ["a", "b \"q\"", 1, 2.0, true, null, [], ["c"], {"k": "v", "n": null}],
            "map": {"k": "v", "l": ["x"]},
        }),
        &[
            ("{{text}}", "say \\\"hi\\\"\\\\\\n\\u0001\\u007f <b>&amp;</b> é"),
            ("{{{text}}}", "say \\\"hi\\\"\\\\\\n\\u0001\\u007f <b>&amp;</b> é"),
            ("{{&text}}", "say \\\"hi\\\"\\\\\\n\\u0001\\u007f <b>&amp;</b> é"),
            ("{{yes}} {{no}} [{{null}}] [{{missing}}]", "true false [] []"),
            ("{{zero}} {{one}} {{half}} {{tiny}}", "0 1 0.5 1.0E-5"),
            ("{{list}}", "[\"a\", \"b \\\"q\\\"\", 1, 2, true, null, [], [\"c\"], {k=v, n=null}]"),
            ("{{map}}", "{k=v, l=[\"x\"]}"),
            ("{{ yes }}{{{ yes }}}{{& yes }}", "truetruetrue"),
        ],
    );
}

#[test]
fn truth_is_javas() {
    let context = json!({
        "yes": true, "no": false, "null": null, "zero": 0, "text": "t", "blank": "",
        "full": [1, 2], "bare": [], "map": {"in": "x"}, "hollow": {},
    });
    for (name, times) in [
        ("yes", 1),
        ("no", 0),
        ("null", 0),
        ("missing", 0),
        ("zero", 1),
        ("text", 1),
        ("blank", 0),
        ("full", 2),
        ("bare", 0),
        ("map", 1),
        ("hollow", 1),
    ] {
        let section = render(&format!("{{{{#{name}}}}}x{{{{/{name}}}}}"), context.clone());
        assert_eq!(section, "x".repeat(times), "#{name}");
        let inverted = render(&format!("{{{{^{name}}}}}x{{{{/{name}}}}}"), context.clone());
        assert_eq!(inverted.is_empty(), times > 0, "^{name}");
    }
}

#[test]
fn names_are_looked_up_scope_by_scope() {
    let context = json!({
        "a": {"b": {"c": "abc"}, "b.c": "literal below", "n": null, "only": 1},
        "a.b.x": "whole literal",
        "top": "top",
        "s": {"a": {"z": "inner"}, "t": 5},
        "t": {"deep": "outer"},
        "text": "some",
    });
    table(
        &context,
        &[
            ("{{a.b.c}}", "abc"),
            // The whole name as one key comes first; a part of it never does.
            ("{{a.b.x}}", "whole literal"),
            ("{{#s}}{{top}}{{/s}}", "top"),
            // Only the last part is missing in the inner scope: the search ends.
            ("{{#s}}[{{a.only}}]{{/s}}", "[]"),
            // An earlier part is missing in the inner scope: the search goes on.
            ("{{#s}}{{a.b.c}}{{/s}}", "abc"),
            // Null on the way ends the search.
            ("[{{a.n.x}}]", "[]"),
            ("{{#a}}[{{n}}]{{/a}}", "[]"),
            // A number is no map: its missing first part lets the search go on.
            ("{{#s}}{{#t}}{{top}}{{a.z}}{{/t}}{{/s}}", "topinner"),
            // The inner `t` is a number without members; only the last part is missing.
            ("{{#s}}[{{t.deep}}]{{/s}}", "[]"),
            ("{{#text}}{{top}} {{a.b.c}}{{/text}}", "top abc"),
            ("[{{a.}}][{{.a}}][{{a..b}}][{{..}}]", "[][][][]"),
        ],
    );
}

#[test]
fn lists_iterate_and_strings_in_them_keep_their_quotes() {
    table(
        &json!({
            "l": ["a", "", 1, null, {"k": "v"}, ["x", "y"]], "k": "outer", "t": "text",
        }),
        &[
            (
                "{{#l}}<{{.}}>{{/l}}",
                "<\"a\"><\"\"><1><{l=[\"a\", \"\", 1, null, {k=v}, [\"x\", \"y\"]], k=outer, t=text}><{k=v}><[\"x\", \"y\"]>",
            ),
            ("{{#l}}{{k}},{{/l}}", "outer,outer,outer,outer,v,outer,"),
            ("{{#t}}{{.}}{{/t}}", "text"),
        ],
    );
}

#[test]
fn some_java_members_can_be_named() {
    table(
        &json!({
            "full": ["a", "b"], "bare": [], "text": " Ab\"", "blank": "", "map": {"k": 1},
            "own": {"isEmpty": "mine"}, "s": {"list": []}, "n": 7, "f": true,
        }),
        &[
            ("{{^full.isEmpty}}x{{/full.isEmpty}}", "x"),
            ("{{^bare.isEmpty}}x{{/bare.isEmpty}}", ""),
            ("{{#bare.isEmpty}}x{{/bare.isEmpty}}", "x"),
            ("{{^s.list.isEmpty}}x{{/s.list.isEmpty}}", ""),
            ("{{full.empty}} {{full.isEmpty}} {{full.size}}", "false false 2"),
            // A missing list has no members, so the inverted section runs.
            ("{{^missing.isEmpty}}x{{/missing.isEmpty}}", "x"),
            // Maps have keys, never members.
            ("[{{map.isEmpty}}][{{map.size}}] {{own.isEmpty}}", "[][] mine"),
            ("{{text.length}} {{text.isEmpty}} {{blank.isEmpty}} [{{text.trim}}]", "5 false true [Ab\\\"]"),
            ("{{text.toUpperCase}}{{n.toString}}{{f.toString}}", " AB\\\"7true"),
            ("[{{full.get}}][{{text.class}}][{{n.size}}][{{text.value}}]", "[][][][]"),
            ("{{#full}}{{isEmpty}}{{/full}}", "falsefalse"),
        ],
    );
}

#[test]
fn as_json_inserts_a_top_level_string_raw() {
    let context = json!({
        "doc": "{\"a\": [1, \"b\"]}", "bad": "{", "number": 1, "nested": {"doc2": "{}"},
    });
    table(
        &context,
        &[
            ("{{#asJson}}doc{{/asJson}}", "{\"a\": [1, \"b\"]}"),
            ("{{#asJson}} doc {{/asJson}}", "{\"a\": [1, \"b\"]}"),
            ("{{#asJson}}bad{{/asJson}}", "null"),
            ("{{#asJson}}number{{/asJson}}", "null"),
            ("{{#asJson}}missing{{/asJson}}", "null"),
            ("{{#asJson}}nested.doc2{{/asJson}}", "null"),
            ("{{^asJson}}x{{/asJson}}", ""),
        ],
    );
}

#[test]
fn lines_of_tags_only_lose_their_line_ending() {
    table(
        &json!({"a": true, "l": [1, 2]}),
        &[
            ("x\n{{#a}}\ny\n{{/a}}\nz\n", "x\ny\nz\n"),
            ("x\n  {{#a}}\n  y\n  {{/a}}\nz\n", "x\n  y\nz\n"),
            ("{{#a}}y{{/a}}\nz", "y\nz"),
            // On one line nothing is lost, not even around it.
            ("x\n  {{#a}}y{{/a}}  \nz", "x\n  y  \nz"),
            ("{{#l}}\n{{.}},\n{{/l}}\n", "1,\n2,\n"),
            ("\"k\": [{{#l}}\n  {{.}}{{/l}}\n]", "\"k\": [  1  2\n]"),
            // Blanks after a closing tag stay, their line ending goes.
            ("{{#a}}\ny\n{{/a}}  \nz", "y\n  z"),
            // Comments and values are no sections: their lines stay.
            ("x\n{{! note }}\ny", "x\n\ny"),
            ("x\n{{none}}\ny", "x\n\ny"),
            ("a\r\nb\rc\r\n", "a\r\nbc\r\n"),
            ("{{#a}}\r\ny\r\n{{/a}}\r\nz", "y\r\nz"),
        ],
    );
}

#[test]
fn odd_tags_read_as_in_the_original() {
    table(
        &json!({"a": "A", "# a": "literal", "{b": "brace", "with space": "ws", "": "empty"}),
        &[
            ("{a}{ {{a}} }", "{a}{ A }"),
            ("{{{a}}}}", "A}"),
            // Before its sigil a tag has no blank.
            ("{{ # a}}", "literal"),
            ("{{ {b}}", "brace"),
            ("{{with space}}", "ws"),
            ("{{ }}", "empty"),
            ("{{! {{a}} }}", " }}"),
            ("{{%pragma}}x", "x"),
            ("x{{! never closed", "x"),
            ("{", "{"),
            ("", ""),
        ],
    );
}

#[test]
fn faults_name_their_line() {
    let parse = |text: &str| Template::parse(text).expect_err(text);
    assert_eq!(parse("\n{{}}"), TemplateError::EmptyTag { line: 2 });
    assert_eq!(parse("\n\n{{a"), TemplateError::UnclosedTag { line: 3 });
    assert_eq!(parse("{{{a}}"), TemplateError::UnclosedTag { line: 1 });
    assert_eq!(parse("\n{{#a}}\n\n"), TemplateError::UnclosedSection { line: 2, name: "a".into() });
    assert_eq!(parse("{{#a}}\n{{/b}}"), TemplateError::MismatchedSection { line: 2, found: "b".into(), open: Some("a".into()) });
    assert_eq!(parse("{{/b}}"), TemplateError::MismatchedSection { line: 1, found: "b".into(), open: None });
    for (text, what) in [
        ("{{> file}}", "partials"),
        ("{{< file}}{{/file}}", "inheritance tags"),
        ("{{$ block}}{{/block}}", "inheritance tags"),
        ("{{=<% %>=}}", "changed delimiters"),
    ] {
        assert!(matches!(parse(text), TemplateError::Unsupported { what: w, .. } if w == what));
    }
    assert_eq!(
        parse("{{> /etc/passwd}}").to_string(),
        "line 1: partials are not supported in package templates ({{> /etc/passwd}})"
    );
}

#[test]
fn limits_hold() {
    let deep = |depth: usize| "{{#a}}".repeat(depth) + &"{{/a}}".repeat(depth);
    assert!(Template::parse(&deep(SECTION_DEPTH_MAX)).is_ok());
    assert_eq!(Template::parse(&deep(SECTION_DEPTH_MAX + 1)).unwrap_err(), TemplateError::TooDeep { line: 1 });
    assert!(Template::parse(&deep(100_000)).is_err());
    assert!(Template::parse(&"\n".repeat(TEMPLATE_BYTES_MAX)).is_ok());
    assert!(matches!(Template::parse(&"x".repeat(TEMPLATE_BYTES_MAX + 1)).unwrap_err(), TemplateError::TooLong { .. }));

    let template = Template::parse("{{#l}}{{#l}}{{#l}}{{#l}}{{/l}}{{/l}}{{/l}}{{/l}}").unwrap();
    let context = map(json!({"l": vec![1; 1000]}));
    assert_eq!(template.render(&context).unwrap_err(), TemplateError::TooManySteps);

    let template = Template::parse("{{#l}}{{t}}{{/l}}").unwrap();
    let context = map(json!({"l": vec![1; 1000], "t": "x".repeat(RENDERED_BYTES_MAX / 900)}));
    assert_eq!(template.render(&context).unwrap_err(), TemplateError::OutputTooLong);

    // Numbers of few characters that print with many digits.
    let huge: Value = serde_json::from_str(&format!("[{}1]", "1e262000,".repeat(10_000))).unwrap();
    let context = map(json!({"l": huge}));
    let template = Template::parse("{{l}}").unwrap();
    assert_eq!(template.render(&context).unwrap_err(), TemplateError::OutputTooLong);

    // Little output, much work: long names, long texts, long chains of members.
    let context = map(json!({"l": vec![1; 100_000], "t": "x".repeat(1 << 20)}));
    for template in [
        format!("{{{{#l}}}}{{{{{}}}}}{{{{/l}}}}", "n".repeat(1 << 19)),
        "{{#l}}{{#t.trim.isEmpty}}{{/t.trim.isEmpty}}{{/l}}".to_owned(),
        format!("{{{{t{}.isEmpty}}}}", ".trim".repeat(100_000)),
        "{{#l}}{{^asJson}}{{/asJson}}{{#asJson}}t{{/asJson}}{{/l}}".to_owned(),
    ] {
        let template = Template::parse(&template).unwrap();
        assert!(template.render(&context).is_err());
    }

    let mut value = json!(1);
    for _ in 0..CONTEXT_DEPTH_MAX {
        value = json!([value]);
    }
    let template = Template::parse("{{a}}").unwrap();
    let deep = map(json!({"a": value}));
    assert_eq!(template.render(&deep).unwrap_err(), TemplateError::ContextTooDeep);
}

#[test]
fn names_are_listed_once() {
    let template = Template::parse("{{a}}{{#b.c}}{{a}}{{.}}{{/b.c}}{{^d}}{{/d}}").unwrap();
    assert_eq!(template.names(), ["a", "b.c", ".", "d"]);
}
