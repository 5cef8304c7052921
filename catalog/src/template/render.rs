//! Nodes and options to text.

use super::member::member;
use super::value::Seen;
use super::{Node, TemplateError};
use serde_json::{Map, Value};

/// Longest text that a template may render to, in bytes.
pub const RENDERED_BYTES_MAX: usize = 4 << 20;

/// Most tags that one rendering may execute; lists inside lists multiply.
pub const RENDER_STEPS_MAX: usize = 1_000_000;

/// Deepest nesting of options that is rendered. `serde_json` itself reads 127 levels.
pub const CONTEXT_DEPTH_MAX: usize = 128;

/// Cosmos' name for the function that inserts a top-level string option as JSON.
const AS_JSON: &str = "asJson";

pub(super) fn render(nodes: &[Node], context: &Map<String, Value>) -> Result<String, TemplateError> {
    if !crate::depth::map_within(context, CONTEXT_DEPTH_MAX) {
        return Err(TemplateError::ContextTooDeep);
    }
    let mut renderer = Renderer { context, scopes: vec![Seen::Map(context)], steps: 0 };
    let mut out = String::new();
    renderer.nodes(nodes, &mut out)?;
    Ok(out)
}

struct Renderer<'a> {
    context: &'a Map<String, Value>,
    scopes: Vec<Seen<'a>>,
    steps: usize,
}

impl Renderer<'_> {
    fn nodes(&mut self, nodes: &[Node], out: &mut String) -> Result<(), TemplateError> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Value(name) => {
                    self.step()?;
                    self.find(name).print(out);
                }
                Node::Section(name, body) => self.section(name, body, out)?,
                Node::Inverted(name, body) => {
                    self.step()?;
                    if self.find(name).is_false() {
                        self.nodes(body, out)?;
                    }
                }
            }
            if out.len() > RENDERED_BYTES_MAX {
                return Err(TemplateError::OutputTooLong);
            }
        }
        Ok(())
    }

    fn section(&mut self, name: &str, body: &[Node], out: &mut String) -> Result<(), TemplateError> {
        self.step()?;
        match self.find(name) {
            Seen::List(list) => {
                for value in list {
                    self.step()?;
                    // A null element runs the body in the scope outside.
                    if value.is_null() {
                        self.nodes(body, out)?;
                    } else {
                        self.within(Seen::element(value), body, out)?;
                    }
                }
                Ok(())
            }
            Seen::AsJson => {
                let mut key = String::new();
                self.nodes(body, &mut key)?;
                out.push_str(self.as_json(&key));
                Ok(())
            }
            value if value.is_false() => Ok(()),
            value => self.within(value, body, out),
        }
    }

    fn step(&mut self) -> Result<(), TemplateError> {
        self.steps += 1;
        if self.steps > RENDER_STEPS_MAX {
            return Err(TemplateError::TooManySteps);
        }
        Ok(())
    }

    /// The text of a top-level string option that holds JSON; anything else is `null`.
    fn as_json(&self, key: &str) -> &str {
        match self.context.get(key.trim()) {
            Some(Value::String(text)) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => text,
            _ => "null",
        }
    }
}

impl<'a> Renderer<'a> {
    fn within(&mut self, scope: Seen<'a>, body: &[Node], out: &mut String) -> Result<(), TemplateError> {
        self.scopes.push(scope);
        let result = self.nodes(body, out);
        self.scopes.pop();
        result
    }

    /// Looks a name up from the innermost scope outwards.
    fn find(&self, name: &str) -> Seen<'a> {
        if name == "." {
            return self.scopes.last().cloned().unwrap_or(Seen::Null);
        }
        let dotted = name.rsplit_once('.');
        for scope in self.scopes.iter().rev() {
            if let Some(found) = get(scope, name) {
                return found;
            }
            if let Some((earlier, last)) = dotted
                && let Some(holder) = walk(scope, earlier)
            {
                // Only the last part is missing: that ends the search, outer scopes or not.
                return get(&holder, last).unwrap_or(Seen::Null);
            }
        }
        if name == AS_JSON { Seen::AsJson } else { Seen::Null }
    }
}

/// Follows the parts of `path`; none when one of them is missing. A null on the way ends the
/// walk early, and everything below null is missing.
fn walk<'a>(scope: &Seen<'a>, path: &str) -> Option<Seen<'a>> {
    let mut current = scope.clone();
    for part in path.split('.') {
        current = get(&current, part)?;
        if matches!(current, Seen::Null) {
            break;
        }
    }
    Some(current)
}

/// One name in one scope. Maps have no members besides their keys.
fn get<'a>(scope: &Seen<'a>, name: &str) -> Option<Seen<'a>> {
    match scope {
        Seen::Map(map) => map.get(name).map(Seen::of),
        other => member(other, name),
    }
}
