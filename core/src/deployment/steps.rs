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
/// `app_of`. Cycles, which validation refuses, end the walk instead of looping.
pub fn order<'a>(actions: Vec<Action>, app_of: impl Fn(&AppId) -> Option<&'a App>) -> Vec<Vec<Action>> {
    let (stops, others): (Vec<_>, Vec<_>) = actions.into_iter().partition(|action| action.action == ActionKind::StopApplication);
    let changing: Vec<AppId> = others.iter().map(|action| action.app.clone()).collect();
    let mut levels: BTreeMap<usize, Vec<Action>> = BTreeMap::new();
    for action in others {
        let level = depth(&action.app, &changing, &app_of, changing.len());
        levels.entry(level).or_default().push(action);
    }
    let mut steps = Vec::new();
    if !stops.is_empty() {
        steps.push(stops);
    }
    steps.extend(levels.into_values());
    steps
}

fn depth<'a>(id: &AppId, changing: &[AppId], app_of: &impl Fn(&AppId) -> Option<&'a App>, fuel: usize) -> usize {
    let Some(app) = app_of(id).filter(|_| fuel > 0) else { return 0 };
    let needs = |dependency: &AppId, other: &AppId| other != id && (other == dependency || other.is_below(dependency.as_str()));
    app.dependencies
        .iter()
        .flat_map(|dependency| changing.iter().filter(move |other| needs(dependency, other)))
        .map(|other| depth(other, changing, app_of, fuel - 1) + 1)
        .max()
        .unwrap_or(0)
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
}
