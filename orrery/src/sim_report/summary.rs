//! The report in words.

use super::View;
use super::figure::{amount, count, of, percent, shape, things};
use orrery_core::placement::Reason;
use orrery_core::report::{AppOutcome, RESOURCES, Report, Standing};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Shapes that are told one by one.
const SHAPES_TOLD: usize = 10;
/// Waiting apps that are told one by one.
const WAITING_TOLD: usize = 5;
/// Roles that are told.
const ROLES_TOLD: usize = 20;
/// Column in which the text begins.
const MARGIN: usize = 15;

/// Facts about the placement, for people.
pub(super) fn summary(view: &View) -> String {
    let mut text = String::new();
    let mut line = |name: &str, rest: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<MARGIN$}{rest}");
    };
    let report = &view.report;
    line("Placement", view.source.clone());
    line("Nodes", nodes(report));
    line("Tasks", format!("{} placed, {} waiting", count(report.tasks), count(view.waiting())));
    line("Nodes used", used(report));
    for column in (0..4).filter(|column| report.capacity[*column] > 0) {
        let name = if column == 0 { "Taken" } else { "" };
        let (taken, all) = (report.taken[column], report.capacity[column]);
        line(name, format!("{:<5}{} ({})", RESOURCES[column], of(column, taken, all), percent(report.share(column))));
    }
    let balance = &report.balance;
    line(
        "Balance",
        format!(
            "dominant share of open nodes: mean {}, deviation {}; least {}, median {}, most {}",
            percent(balance.mean),
            percent(balance.deviation),
            percent(balance.least),
            percent(balance.median),
            percent(balance.most)
        ),
    );
    fragmentation(view, &mut line);
    roles(view, &mut line);
    waiting(view, &mut line);
    text
}

fn nodes(report: &Report) -> String {
    let counted = Standing::ALL.map(|standing| (standing, report.nodes.iter().filter(|node| node.standing == standing).count()));
    let parts: Vec<String> = counted
        .into_iter()
        .filter(|(_, number)| *number > 0)
        .map(|(standing, number)| format!("{} {}", count(number), standing.as_str()))
        .collect();
    if parts.is_empty() { "none".into() } else { format!("{}: {}", count(report.nodes.len()), parts.join(", ")) }
}

fn used(report: &Report) -> String {
    let (column, taken) = (report.deciding, report.packed);
    let bound = report.lower_bound;
    let mut text = format!("{}; no placement could do with fewer than {}", count(report.used), count(bound));
    if taken > 0 {
        let _ = write!(text, "; tasks take {} of their {}, the resource that decides", percent(taken), RESOURCES[column]);
    }
    text
}

fn fragmentation(view: &View, line: &mut impl FnMut(&str, String)) {
    let (report, fragmentation) = (&view.report, &view.report.fragmentation);
    let mut name = "Fragmentation";
    for column in (0..4).filter(|column| report.capacity[*column] > 0) {
        let (stranded, free) = (fragmentation.stranded[column], fragmentation.free[column]);
        line(
            name,
            format!(
                "{:<5}{} free stranded ({})",
                RESOURCES[column],
                of(column, stranded, free),
                percent(fragmentation.share(column))
            ),
        );
        name = "";
    }
    line("", format!("{} of the tasks for which there is room in all fit where the room is", percent(fragmentation.usable())));
    let all: u64 = view.outcome.shapes.iter().map(|shape| shape.weight).sum();
    if all == 0 {
        return;
    }
    line("More tasks", format!("{:<36}{:>8}{:>12}{:>14}", "shape", "mix", "fit now", "in one piece"));
    for room in fragmentation.shapes.iter().take(SHAPES_TOLD) {
        let share = i128::from(room.shape.weight) * 1000 / i128::from(all);
        let shape = shape(room.shape.need, &room.shape.roles);
        line("", format!("{shape:<36}{:>8}{:>12}{:>14}", percent(share as i64), count(room.fits), count(room.pooled)));
    }
    let rest = fragmentation.shapes.len().saturating_sub(SHAPES_TOLD);
    if rest > 0 {
        line("", format!("and {rest} rarer shapes"));
    }
}

fn roles(view: &View, line: &mut impl FnMut(&str, String)) {
    let mut name = "Roles";
    for role in view.roles.iter().take(ROLES_TOLD) {
        let parts = (0..4).filter(|column| role.taken[*column] > 0).map(|column| amount(column, role.taken[column]));
        let parts: Vec<String> = parts.collect();
        line(
            name,
            format!(
                "{:<12}{:>8} of the cluster: {}, {}",
                role.role,
                percent(role.dominant),
                things(role.tasks as usize, "task"),
                parts.join(", ")
            ),
        );
        name = "";
    }
    let rest = view.roles.len().saturating_sub(ROLES_TOLD);
    if rest > 0 {
        line("", format!("and {rest} smaller ones"));
    }
}

/// The reason that most of the nodes gave that are meant for such tasks and open.
fn main_reason(app: &AppOutcome) -> Option<Reason> {
    let reasons = &app.refusals.as_ref()?.by_reason;
    let meant = |reason: &Reason| !matches!(reason, Reason::UnfulfilledRole | Reason::AgentMaintenance);
    reasons.iter().max_by_key(|(reason, count)| (meant(reason), **count, Reverse(**reason))).map(|(reason, _)| *reason)
}

fn waiting(view: &View, line: &mut impl FnMut(&str, String)) {
    let mut waiting: Vec<&AppOutcome> = view.outcome.apps.iter().filter(|app| app.waiting > 0).collect();
    if waiting.is_empty() {
        return;
    }
    let mut reasons: BTreeMap<Option<Reason>, usize> = BTreeMap::new();
    for app in &waiting {
        *reasons.entry(main_reason(app)).or_default() += app.waiting;
    }
    let word = |reason: &Option<Reason>| reason.map_or_else(|| "there is no node".to_owned(), |reason| format!("{reason:?}"));
    let parts: Vec<String> = reasons.iter().map(|(reason, tasks)| format!("{} by {}", count(*tasks), word(reason))).collect();
    line(
        "Waiting",
        format!(
            "{} of {}, by what most nodes said that could be asked: {}",
            things(view.waiting(), "task"),
            things(waiting.len(), "app"),
            parts.join(", ")
        ),
    );
    waiting.sort_by_key(|app| Reverse(app.waiting));
    for app in waiting.iter().take(WAITING_TOLD) {
        let sentence = app.refusals.as_ref().map(orrery_core::placement::Refusals::sentence).unwrap_or_default();
        line("", format!("{}: {} wait; {sentence}", app.app.id, count(app.waiting)));
    }
    let rest = waiting.len().saturating_sub(WAITING_TOLD);
    if rest > 0 {
        line("", format!("and {rest} more apps"));
    }
}
