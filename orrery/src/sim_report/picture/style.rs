//! The style sheet, for light and dark.

use super::colour::{DARK, LIGHT};
use std::fmt::Write as _;

/// What holds in both schemes.
const COMMON: &str = "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\
.h1{font-size:26px;font-weight:600}.sub{font-size:14px}.zone{font-size:14px;font-weight:600}.rack{font-size:10px}\
.label{font-size:12px}.value{font-size:22px;font-weight:600}.head{font-size:14px;font-weight:600}.small{font-size:12px}\
.end{text-anchor:end}.mid{text-anchor:middle}.mark{pointer-events:none}.line{fill:none;stroke-linecap:round}.away{fill-opacity:.55}";

/// Background, tiles, words, quieter words, edges, closed cells, stranded, lost, lines over closed cells.
type Scheme = [&'static str; 9];
const ON_LIGHT: Scheme = ["#ffffff", "#f3f5f8", "#1c2430", "#596373", "#c9d0d9", "#dfe3e8", "#e0218a", "#c62828", "#6b7585"];
const ON_DARK: Scheme = ["#11161d", "#1a212b", "#e6ebf2", "#9aa6b6", "#3c4756", "#2b333e", "#ff6fb0", "#ff7b72", "#97a3b3"];

pub(super) fn sheet() -> String {
    format!(
        "<style>{COMMON}{}@media (prefers-color-scheme:dark){{{}}}</style>",
        scheme(&ON_LIGHT, &LIGHT),
        scheme(&ON_DARK, &DARK)
    )
}

fn scheme([background, tile, words, quiet, edge, closed, stranded, lost, over]: &Scheme, scale: &[&str]) -> String {
    let mut sheet = format!(
        ".bg{{fill:{background}}}.tile{{fill:{tile}}}text{{fill:{words}}}.sub,.label,.rack,.small{{fill:{quiet}}}\
         .axis{{stroke:{edge}}}.none{{fill:none;stroke:{edge}}}.shut{{fill:{closed}}}.rest{{fill:{edge}}}\
         .stuck{{fill:{stranded};stroke:{background}}}.dead{{stroke:{lost}}}.over{{stroke:{over}}}"
    );
    for (step, colour) in scale.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(sheet, ".c{step}{{fill:{colour}}}");
    }
    sheet
}
