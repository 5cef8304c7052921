//! The picture as a whole.

use super::mixed::{self, Mix};
use super::{View, picture, summary, workload_file};
use crate::arguments::{Arguments, Command, SimCommand};
use clap::Parser as _;
use orrery_core::placement::Strategy;
use serde_json::json;
use std::path::Path;

fn mixed(nodes: u32, fill_percent: u32, strategy: Strategy) -> View {
    let mix = Mix { nodes, tasks: 3_000, seed: 3, fill_percent };
    let made = mixed::nodes(&mix);
    let events = mixed::events(&mix, &made);
    View::of("test".into(), made, events, strategy, 3)
}

fn hostile() -> View {
    let evil = "<script>alert('&\"')</script>]]>";
    let workload = workload_file::workload(&json!({
        "nodes": [
            {"count": 3, "hostname": "<b>&\"'", "resources": "cpus:2;mem:1024;disk:10;gpus:1", "attributes": format!("rack:{evil}"), "region": evil, "zone": "\u{1}&amp;"},
            {"resources": "cpus:0;mem:0"},
        ],
        "apps": [{"id": "/a", "instances": 9, "role": "<i>"}, {"id": "/huge", "cpus": 1e9, "mem": 1e9}],
    }));
    let workload = workload.unwrap();
    View::of(evil.into(), workload.nodes, workload.events, Strategy::Binpack, 1)
}

fn nothing() -> View {
    View::of(String::new(), Vec::new(), Vec::new(), Strategy::Spread, 0)
}

/// Reads XML as far as we write it.
fn check(text: &str) {
    let mut open = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        assert!(entities_are_sound(&rest[..at]), "{}", &rest[..at]);
        let end = rest[at..].find('>').expect("every tag ends") + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{tag}");
        assert!(tag.matches('"').count().is_multiple_of(2) && !tag.contains('<') && entities_are_sound(tag), "{tag}");
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    assert!(text.chars().all(|letter| letter == '\n' || letter >= ' '));
}

fn entities_are_sound(text: &str) -> bool {
    // What stands before the first `&` holds no entity.
    text.split('&').skip(1).all(|rest| ["lt;", "gt;", "amp;", "quot;", "#39;"].iter().any(|name| rest.starts_with(name)))
}

#[test]
fn pictures_are_well_formed() {
    for view in
        [mixed(90, 70, Strategy::Spread), mixed(7, 150, Strategy::Binpack), mixed(1, 0, Strategy::Spread), hostile(), nothing()]
    {
        let svg = picture::svg(&view);
        check(&svg);
        assert_eq!(svg.matches("xmlns").count(), 1);
        assert!(!svg.contains("href") && !svg.contains("url(") && svg.matches("http").count() == 1, "nothing from elsewhere");
        // One for each node, for each bar and for the whole.
        assert_eq!(svg.matches("</title>").count(), view.outcome.nodes.len() + 21);
        let page = picture::html(&view, &summary::summary(&view));
        assert!(page.contains(&svg) && page.contains("<pre>Placement"));
    }
}

#[test]
fn hostile_names_stay_names() {
    let view = hostile();
    let svg = picture::svg(&view);
    let page = picture::html(&view, &summary::summary(&view));
    for text in [&svg, &page] {
        assert!(!text.contains("<script") && !text.contains("<b>") && !text.contains("<i>") && !text.contains("]]>"));
    }
    assert!(svg.contains("&lt;script&gt;") && svg.contains("&lt;b&gt;&amp;&quot;&#39;-2: "));
}

#[test]
fn the_same_view_gives_the_same_bytes() {
    let draw = || picture::svg(&mixed(60, 80, Strategy::Spread));
    assert_eq!(draw(), draw());
}

#[test]
fn words_tell_what_waits_and_why() {
    let text = summary::summary(&hostile());
    for part in ["Nodes          4: ", "placed, ", "/huge: 1 wait; none of 4 nodes fits", "Fragmentation", "Roles"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(summary::summary(&nothing()).contains("Nodes          none"));
}

/// docs/scheduling.md shows it, with the command that makes it.
#[test]
fn the_picture_of_the_guide_is_the_one_drawn_now() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let guide = std::fs::read_to_string(docs.join("scheduling.md")).unwrap();
    let command =
        guide.lines().map(str::trim).find(|line| line.starts_with("orrery sim report") && line.ends_with("placement.svg"));
    let arguments = Arguments::try_parse_from(command.unwrap().split(' ')).unwrap();
    let Command::Sim(options) = arguments.command else { panic!() };
    let SimCommand::Report(options) = options.command;
    let drawn = picture::svg(&super::view(&options).unwrap());
    let kept = std::fs::read_to_string(docs.join("pictures/placement.svg")).unwrap();
    assert!(drawn.len() < 150_000, "{} bytes", drawn.len());
    assert!(drawn == kept, "the picture has changed; run: {}", command.unwrap());
}
