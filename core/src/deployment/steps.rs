//! Order of the actions of a deployment (marathon.md 1.11): first all stops, then one step per
//! dependency level.

use crate::{App, AppId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a deployment does to an app, in Marathon's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ActionKind {
    StartApplication,
    StopApplication,
    ScaleApplication,
    RestartApplication,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a plain pair")]
pub struct Action {
    pub action: ActionKind,
    pub app: AppId,
}

/// Orders `actions` into steps: stops first, then by depth of the dependency graph given by
/// `app_of`. What stands in a cycle waits for what is outside of it only.
pub fn order<'a>(actions: Vec<Action>, app_of: impl Fn(&AppId) -> Option<&'a App>) -> Vec<Vec<Action>> {
    let (stops, others): (Vec<_>, Vec<_>) = actions.into_iter().partition(|action| action.action == ActionKind::StopApplication);
    let levels = levels(&others, app_of);
    let mut by_level: BTreeMap<usize, Vec<Action>> = BTreeMap::new();
    for (action, level) in others.into_iter().zip(levels) {
        by_level.entry(level).or_default().push(action);
    }
    let mut steps = Vec::new();
    if !stops.is_empty() {
        steps.push(stops);
    }
    steps.extend(by_level.into_values());
    steps
}

/// For each action, the longest way of dependencies below its app. Each dependency is followed once
/// (Kahn), whatever the shape of the graph; apps that depend on each other in a circle wait for those
/// outside of it only.
fn levels<'a>(actions: &[Action], app_of: impl Fn(&AppId) -> Option<&'a App>) -> Vec<usize> {
    let places: BTreeMap<&str, usize> = actions.iter().enumerate().map(|(place, action)| (action.app.as_str(), place)).collect();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); actions.len()];
    let mut missing = vec![0_usize; actions.len()];
    for (place, action) in actions.iter().enumerate() {
        for dependency in app_of(&action.app).iter().flat_map(|app| &app.dependencies) {
            let below = format!("{}/", dependency.as_str());
            let exact = places.get(dependency.as_str()).copied();
            let inside = places.range(below.as_str()..).take_while(|(id, _)| id.starts_with(&below)).map(|(_, place)| *place);
            for other in exact.into_iter().chain(inside).filter(|other| *other != place) {
                dependents[other].push(place);
                missing[place] += 1;
            }
        }
    }
    let mut levels = vec![0; actions.len()];
    let mut ready: Vec<usize> = (0..actions.len()).filter(|place| missing[*place] == 0).collect();
    while let Some(place) = ready.pop() {
        for &dependent in &dependents[place] {
            levels[dependent] = levels[dependent].max(levels[place] + 1);
            missing[dependent] -= 1;
            if missing[dependent] == 0 {
                ready.push(dependent);
            }
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_come_first_and_dependencies_before_dependants() {
        let id = |text: &str| AppId::parse(text).unwrap();
        let mut apps = BTreeMap::new();
        for (name, needs) in [("/db", vec![]), ("/g/web", vec!["/db"]), ("/edge", vec!["/g"])] {
            let mut app = App::new(id(name));
            app.dependencies = needs.into_iter().map(id).collect();
            apps.insert(app.id.clone(), app);
        }
        let start = |name: &str| Action { action: ActionKind::ScaleApplication, app: id(name) };
        let stop = Action { action: ActionKind::StopApplication, app: id("/old") };
        let steps = order(vec![start("/edge"), start("/g/web"), start("/db"), stop.clone()], |id| apps.get(id));
        assert_eq!(steps, vec![vec![stop], vec![start("/db")], vec![start("/g/web")], vec![start("/edge")]]);
    }

    #[test]
    fn dense_graphs_and_cycles_cost_no_more_than_their_edges() {
        let id = |text: String| AppId::parse(&text).unwrap();
        let name = |layer: u32, place: u32| id(format!("/l{layer}/a{place}"));
        let mut apps = BTreeMap::new();
        for (layer, place) in (0..30).flat_map(|layer| (0..10).map(move |place| (layer, place))) {
            let mut app = App::new(name(layer, place));
            app.dependencies = (0..10).filter(|_| layer > 0).map(|other| name(layer - 1, other)).collect();
            apps.insert(app.id.clone(), app);
        }
        for place in 0..30 {
            let mut app = App::new(id(format!("/circle/a{place}")));
            app.dependencies = (0..30).filter(|other| *other != place).map(|other| id(format!("/circle/a{other}"))).collect();
            apps.insert(app.id.clone(), app);
        }
        let actions = apps.keys().map(|app| Action { action: ActionKind::StartApplication, app: app.clone() }).collect();
        let steps = order(actions, |id| apps.get(id));
        assert_eq!(steps.iter().map(Vec::len).collect::<Vec<_>>(), [vec![40], vec![10; 29]].concat());
    }
}
