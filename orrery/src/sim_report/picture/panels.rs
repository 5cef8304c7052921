//! Figures above the map; below it the histogram, the legend and the room that is left.

use super::super::View;
use super::super::figure::{count, of, percent, shape, things};
use super::colour::{STEPS, step};
use super::markup::{Svg, escape, shorten};
use super::{MARGIN, WIDTH, cells};
use orrery_core::report::{NodeShare, Standing};

/// Height of what is below the map.
pub(super) const HEIGHT: u32 = 222;
/// Where the tiles stand, and how high they are.
const TILES_TOP: u32 = 96;
const TILE_HEIGHT: u32 = 72;
const TILE_GAP: u32 = 12;
/// Height of the tallest bar.
const BAR_MAX: u32 = 140;
/// Shapes whose room is drawn.
const SHAPES_DRAWN: usize = 6;

/// The figures that matter most.
pub(super) fn tiles(svg: &mut Svg, view: &View) {
    let report = &view.report;
    let fragmentation = &report.fragmentation;
    let taken = |column: usize| of(column, report.taken[column], report.capacity[column]);
    let waiting = view.waiting();
    let tiles = [
        ("Nodes used", count(report.used), format!("of {}, {} at least", count(report.nodes.len()), count(report.lower_bound))),
        (
            "Tasks placed",
            count(report.tasks),
            if waiting == 0 { "none waits".into() } else { format!("{} wait", count(waiting)) },
        ),
        ("Cpus taken", percent(report.share(0)), taken(0)),
        ("Memory taken", percent(report.share(1)), taken(1)),
        (
            "Free but stranded",
            format!("{} of cpus", percent(fragmentation.share(0) / 10 * 10)),
            format!("{} of memory", percent(fragmentation.share(1) / 10 * 10)),
        ),
        (
            "Spread of load",
            format!("± {}", percent(report.balance.deviation)),
            format!("around {}", percent(report.balance.mean)),
        ),
    ];
    let width = (WIDTH - 2 * MARGIN - 5 * TILE_GAP) / 6;
    for (at, (label, value, note)) in (0..).zip(&tiles) {
        let x = MARGIN + at * (width + TILE_GAP);
        svg.write(format_args!(
            "<rect class=\"tile\" x=\"{x}\" y=\"{TILES_TOP}\" width=\"{width}\" height=\"{TILE_HEIGHT}\" rx=\"6\"/>"
        ));
        svg.text(x + 12, TILES_TOP + 20, "label", label);
        svg.text(x + 12, TILES_TOP + 44, "value", value);
        svg.text(x + 12, TILES_TOP + 62, "small", &shorten(note, 28));
    }
}

pub(super) fn bottom(svg: &mut Svg, view: &View, top: u32) {
    svg.write(format_args!("<path class=\"axis\" d=\"M{MARGIN} {}H{}\"/>", top - 14, WIDTH - MARGIN));
    svg.write(format_args!("<g transform=\"translate({MARGIN},{})\">", top + 10));
    histogram(svg, view);
    svg.line("</g>");
    svg.write(format_args!("<g transform=\"translate({},{})\">", MARGIN + 452, top + 10));
    legend(svg, view);
    svg.line("</g>");
    svg.write(format_args!("<g transform=\"translate({},{})\">", MARGIN + 660, top + 10));
    room(svg, view);
    svg.line("</g>");
}

/// Open nodes by how full they are; the axis is the colour scale.
fn histogram(svg: &mut Svg, view: &View) {
    const BAR: u32 = 20;
    let mut bars = [0_usize; STEPS];
    for (node, share) in view.outcome.nodes.iter().zip(&view.report.nodes) {
        if node.is_open() {
            bars[step(share.dominant)] += 1;
        }
    }
    let most = bars.iter().copied().max().unwrap_or(0).max(1);
    svg.text(0, 8, "head", "Open nodes by their dominant share");
    let base = 40 + BAR_MAX;
    for (at, nodes) in (0..).zip(bars) {
        let x = at * BAR;
        let height = (nodes * BAR_MAX as usize / most) as u32;
        // What is there is seen.
        let height = if nodes > 0 { height.max(2) } else { 0 };
        let words = format!("{} from {} to {} %", things(nodes, "node"), at * 5, at * 5 + 5);
        svg.write(format_args!(
            "<rect class=\"c{at}\" x=\"{x}\" y=\"{}\" width=\"{}\" height=\"{height}\"><title>{}</title></rect>",
            base - height,
            BAR - 2,
            escape(&words)
        ));
        if nodes > 0 {
            svg.text(x + BAR / 2 - 1, base - height - 4, "rack mid", &brief(nodes));
        }
        svg.write(format_args!("<rect class=\"c{at}\" x=\"{x}\" y=\"{}\" width=\"{BAR}\" height=\"10\"/>", base + 4));
    }
    for at in 0..=4 {
        let class = match at {
            0 => "small",
            4 => "small end",
            _ => "small mid",
        };
        svg.text(at * 5 * BAR, base + 30, class, &format!("{} %", at * 25));
    }
}

/// A count that is as narrow as a bar.
fn brief(nodes: usize) -> String {
    match nodes {
        0..1_000 => nodes.to_string(),
        1_000..10_000 => format!("{}.{}k", nodes / 1_000, nodes / 100 % 10),
        _ => format!("{}k", nodes / 1_000),
    }
}

/// What the marks mean, and how many there are.
fn legend(svg: &mut Svg, view: &View) {
    svg.text(0, 8, "head", "Nodes");
    for (at, standing) in (0..).zip(Standing::ALL) {
        let number = view.report.nodes.iter().filter(|node| node.standing == standing).count();
        let y = 28 + at * 30;
        let sample = NodeShare { shares: [0; 4], dominant: 650, standing };
        svg.write(format_args!("{}{}", cells::cell(0, y, 18, &sample, ""), cells::mark(0, y, 18, standing)));
        svg.text(28, y + 14, "sub", &format!("{} {}", count(number), standing.as_str()));
    }
}

/// How many more tasks of the common shapes fit, beside how many would if the room were in one piece.
fn room(svg: &mut Svg, view: &View) {
    const LABEL: u32 = 200;
    const BAR: u32 = 130;
    svg.text(0, 8, "head", "More tasks that fit, of those for which there is room in all");
    for (at, room) in (0..).zip(view.report.fragmentation.shapes.iter().take(SHAPES_DRAWN)) {
        let y = 28 + at * 30;
        let name = shape(room.shape.need, &room.shape.roles);
        let filled =
            if room.pooled == 0 { 0 } else { (u128::from(room.fits) * u128::from(BAR) / u128::from(room.pooled)) as u32 };
        svg.text(0, y + 14, "small", &shorten(&name, 30));
        svg.write(format_args!("<rect class=\"rest\" x=\"{LABEL}\" y=\"{}\" width=\"{BAR}\" height=\"12\" rx=\"2\"/>", y + 3));
        svg.write(format_args!("<rect class=\"c13\" x=\"{LABEL}\" y=\"{}\" width=\"{filled}\" height=\"12\" rx=\"2\"/>", y + 3));
        let words = format!("{} of {}", count(room.fits), count(room.pooled));
        svg.text(LABEL + BAR + 12, y + 14, "small", &words);
    }
}
