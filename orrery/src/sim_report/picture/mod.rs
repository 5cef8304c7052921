//! The heat map: one cell per node, in racks and zones, with what must be known to read it.
//!
//! An SVG without scripts and without anything from elsewhere. It brings a background of its own and
//! follows the colour scheme of the reader.

mod cells;
mod colour;
mod layout;
mod markup;
mod panels;
mod style;

use super::View;
use super::figure::count;
use layout::Layout;
use markup::{Svg, escape, shorten};

/// Width of the picture, pixels.
const WIDTH: u32 = 1200;
/// Empty space at its edges.
const MARGIN: u32 = 32;
/// Where the cells begin.
const MAP_TOP: u32 = 192;
/// Longest line below the title, characters.
const SOURCE_CHARS_MAX: usize = 150;

/// The picture; the same bytes for the same view.
pub(super) fn svg(view: &View) -> String {
    let layout = Layout::of(&view.outcome.nodes, WIDTH - 2 * MARGIN);
    let panels_top = MAP_TOP + layout.height + 36;
    let height = panels_top + panels::HEIGHT + MARGIN;
    let title = format!("{} tasks on {} nodes", count(view.report.tasks), count(view.report.nodes.len()));
    let mut svg = Svg::default();
    svg.line(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"t d\">"
    ));
    svg.line(&format!("<title id=\"t\">{}</title>", escape(&title)));
    svg.line(&format!(
        "<desc id=\"d\">One cell for each node, grouped by rack and zone. The further its colour is from the background, the larger the share taken of the resource of which most is taken. {}</desc>",
        escape(&view.source)
    ));
    svg.line(&style::sheet());
    svg.line(&format!("<rect class=\"bg\" width=\"{WIDTH}\" height=\"{height}\"/>"));
    svg.text(MARGIN, 52, "h1", &title);
    svg.text(MARGIN, 76, "sub", &shorten(&view.source, SOURCE_CHARS_MAX));
    panels::tiles(&mut svg, view);
    svg.line(&format!("<g transform=\"translate({MARGIN},{MAP_TOP})\">"));
    cells::draw(&mut svg, view, &layout);
    svg.line("</g>");
    panels::bottom(&mut svg, view, panels_top);
    svg.line("</svg>");
    svg.done()
}

/// A page with the picture and the words.
pub(super) fn html(view: &View, summary: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>{} tasks on {} nodes</title>\n<style>\nbody{{margin:0;background:#fff;color:#1c2430}}\nmain{{max-width:{WIDTH}px;margin:0 auto}}\nsvg{{width:100%;height:auto;display:block}}\npre{{margin:0;padding:8px {MARGIN}px 48px;font:13px/1.5 ui-monospace,monospace;overflow-x:auto}}\n@media (prefers-color-scheme:dark){{body{{background:#11161d;color:#e6ebf2}}}}\n</style>\n</head>\n<body>\n<main>\n{}<pre>{}</pre>\n</main>\n</body>\n</html>\n",
        count(view.report.tasks),
        count(view.report.nodes.len()),
        svg(view),
        escape(summary)
    )
}
