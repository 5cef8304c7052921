//! Apps that depend on each other in a circle could never start.

use crate::AppId;
use std::collections::BTreeSet;

/// The first circle that can be reached from `starts`, as the apps on it in order; `needs` gives
/// the apps an app depends on directly. Every app is looked at once.
pub fn circle<'a>(starts: impl IntoIterator<Item = &'a AppId>, needs: impl Fn(&AppId) -> Vec<AppId>) -> Option<Vec<AppId>> {
    let mut done: BTreeSet<AppId> = BTreeSet::new();
    for start in starts {
        if done.contains(start) {
            continue;
        }
        let mut path: Vec<(AppId, Vec<AppId>)> = vec![(start.clone(), needs(start))];
        let mut on_path: BTreeSet<AppId> = BTreeSet::from([start.clone()]);
        while let Some((_, left)) = path.last_mut() {
            let Some(next) = left.pop() else {
                if let Some((finished, _)) = path.pop() {
                    on_path.remove(&finished);
                    done.insert(finished);
                }
                continue;
            };
            if on_path.contains(&next) {
                let from = path.iter().position(|(id, _)| *id == next).unwrap_or(0);
                return Some(path[from..].iter().map(|(id, _)| id.clone()).collect());
            }
            if !done.contains(&next) {
                on_path.insert(next.clone());
                let left = needs(&next);
                path.push((next, left));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_diamonds_are_none() {
        let id = |text: &str| AppId::parse(text).unwrap();
        let table = |edges: &'static [(&'static str, &'static str)]| {
            move |of: &AppId| {
                edges.iter().filter(|(from, _)| *from == of.as_str()).map(|(_, to)| AppId::parse(to).unwrap()).collect()
            }
        };
        let diamond = table(&[("/a", "/b"), ("/a", "/c"), ("/b", "/d"), ("/c", "/d")]);
        assert_eq!(circle([&id("/a")], diamond), None);
        let ring = table(&[("/x", "/a"), ("/a", "/b"), ("/b", "/c"), ("/c", "/a")]);
        assert_eq!(circle([&id("/x")], ring), Some(vec![id("/a"), id("/b"), id("/c")]));
        assert_eq!(circle([&id("/s")], table(&[("/s", "/s")])), Some(vec![id("/s")]));
    }
}
