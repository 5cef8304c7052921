//! The cells of the map, each with its marks and with what it means in words.

use super::super::View;
use super::super::figure::{of, percent, things};
use super::colour::step;
use super::layout::{Layout, Rack, Zone};
use super::markup::{Svg, escape, shorten};
use orrery_core::report::{NodeShare, NodeUse, RESOURCES, Standing};
use std::fmt::Write as _;

/// Longest name in a tooltip, characters.
const NAME_CHARS_MAX: usize = 80;
/// Width of a letter of a rack's name, pixels.
const LETTER: u32 = 6;

pub(super) fn draw(svg: &mut Svg, view: &View, layout: &Layout) {
    for zone in &layout.zones {
        if !zone.name.is_empty() {
            svg.text(0, zone.y + 12, "zone", &shorten(&zone.name, NAME_CHARS_MAX));
            let words = zone_words(zone, view);
            svg.text(super::WIDTH - 2 * super::MARGIN, zone.y + 12, "small end", &words);
        }
        for rack in &zone.racks {
            draw_rack(svg, view, layout, rack);
        }
    }
}

/// How many nodes a zone has, and how full the open ones are.
fn zone_words(zone: &Zone, view: &View) -> String {
    let numbers = || zone.racks.iter().flat_map(|rack| &rack.nodes);
    let open: Vec<i64> = numbers()
        .filter(|number| view.outcome.nodes[**number].is_open())
        .map(|number| view.report.nodes[*number].dominant)
        .collect();
    let mean = open.iter().sum::<i64>() / (open.len() as i64).max(1);
    format!("{}, {} full", things(numbers().count(), "node"), percent(mean / 10 * 10))
}

fn draw_rack(svg: &mut Svg, view: &View, layout: &Layout, rack: &Rack) {
    let letters = rack.columns * layout.pitch / LETTER;
    if layout.named && !rack.name.is_empty() {
        svg.text(rack.x, rack.y - 5, "rack", &shorten(&rack.name, letters as usize));
    }
    svg.write(format_args!("<g transform=\"translate({},{})\">", rack.x, rack.y));
    let mut marks = String::new();
    for (at, number) in (0..).zip(&rack.nodes) {
        let (node, share) = (&view.outcome.nodes[*number], &view.report.nodes[*number]);
        let (x, y) = (at % rack.columns * layout.pitch, at / rack.columns * layout.pitch);
        svg.write(format_args!("{}", cell(x, y, layout.cell, share, &words(node, share))));
        marks.push_str(&mark(x, y, layout.cell, share.standing));
    }
    if !marks.is_empty() {
        svg.write(format_args!("<g class=\"mark\">{marks}</g>"));
    }
    svg.line("</g>");
}

/// A cell with a tooltip.
pub(super) fn cell(x: u32, y: u32, side: u32, share: &NodeShare, words: &str) -> String {
    let class = match share.standing {
        Standing::Empty => "none".to_owned(),
        Standing::Lost | Standing::Closed => "shut".to_owned(),
        Standing::Draining => format!("c{} away", step(share.dominant)),
        Standing::InUse | Standing::Stranded => format!("c{}", step(share.dominant)),
    };
    // The edge of an empty cell must not reach into its neighbour.
    let (x, y, side, half) = if share.standing == Standing::Empty { (x, y, side - 1, ".5") } else { (x, y, side, "") };
    let round = if side >= 12 { " rx=\"2\"" } else { "" };
    let tooltip = if words.is_empty() { String::new() } else { format!("<title>{}</title>", escape(words)) };
    format!("<rect class=\"{class}\" x=\"{x}{half}\" y=\"{y}{half}\" width=\"{side}\" height=\"{side}\"{round}>{tooltip}</rect>")
}

/// What is drawn over a cell.
pub(super) fn mark(x: u32, y: u32, side: u32, standing: Standing) -> String {
    let inset = (side / 4).max(1);
    let (left, top, right, bottom) = (x + inset, y + inset, x + side - inset, y + side - inset);
    let thick = if side >= 12 { "2" } else { "1.2" };
    match standing {
        Standing::InUse | Standing::Empty => String::new(),
        Standing::Stranded => {
            let (corner, length) = (x + side, (side * 6 / 11).max(3));
            // In a small cell an edge would leave nothing of the corner.
            let edge = if side >= 12 { "1" } else { ".3" };
            format!("<path class=\"stuck\" stroke-width=\"{edge}\" d=\"M{corner} {y}v{length}l-{length} -{length}z\"/>")
        }
        Standing::Draining | Standing::Closed => {
            format!("<path class=\"line over\" stroke-width=\"{thick}\" d=\"M{left} {bottom}L{right} {top}\"/>")
        }
        Standing::Lost => format!(
            "<path class=\"line dead\" stroke-width=\"{thick}\" d=\"M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}\"/>"
        ),
    }
}

/// What a cell says when it is pointed at.
fn words(node: &NodeUse, share: &NodeShare) -> String {
    let facts = &node.node.facts;
    let mut text = shorten(&facts.hostname, NAME_CHARS_MAX).into_owned();
    if facts.role != "*" {
        // Writing to a string cannot fail.
        let _ = write!(text, " (role {})", shorten(&facts.role, NAME_CHARS_MAX));
    }
    let _ = write!(text, ": {}, {}", share.standing.as_str(), things(node.tasks as usize, "task"));
    let capacity = node.capacity();
    for column in (0..4).filter(|column| capacity[*column] > 0) {
        let words = of(column, node.taken[column].into(), capacity[column].into());
        let _ = write!(text, "\n{} {words} ({})", RESOURCES[column], percent(share.shares[column]));
    }
    text
}
