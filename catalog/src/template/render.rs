//! Nodes and options to text.

use super::member::{is_member_of_string, member};
use super::value::Seen;
use super::{Node, TemplateError};
use serde_json::{Map, Value};
use std::cell::Cell;

/// Longest text that a template may render to, in bytes.
pub const RENDERED_BYTES_MAX: usize = 4 << 20;

/// Most steps that one rendering may take; lists inside lists multiply. A step is a tag, a scope
/// that a name is tried in, or [`BYTES_PER_STEP`] bytes of text that one of them looks at.
pub const RENDER_STEPS_MAX: usize = 2_000_000;

/// Bytes of text whose handling counts as one step.
const BYTES_PER_STEP: usize = 64;

/// Deepest nesting of options that is rendered. `serde_json` itself reads 127 levels.
pub const CONTEXT_DEPTH_MAX: usize = 128;

/// Cosmos' name for the function that inserts a top-level string option as JSON.
const AS_JSON: &str = "asJson";

pub(super) fn render(nodes: &[Node], context: &Map<String, Value>) -> Result<String, TemplateError> {
    if !crate::depth::map_within(context, CONTEXT_DEPTH_MAX) {
        return Err(TemplateError::ContextTooDeep);
    }
    let mut renderer = Renderer { context, scopes: vec![Seen::Map(context)], steps: Cell::new(0) };
    let mut out = String::new();
    renderer.nodes(nodes, &mut out)?;
    Ok(out)
}

struct Renderer<'a> {
    context: &'a Map<String, Value>,
    scopes: Vec<Seen<'a>>,
    steps: Cell<usize>,
}

impl Renderer<'_> {
    fn nodes(&mut self, nodes: &[Node], out: &mut String) -> Result<(), TemplateError> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Value(name) => {
                    self.find(name)?.print(out, RENDERED_BYTES_MAX);
                }
                Node::Section(name, body) => self.section(name, body, out)?,
                Node::Inverted(name, body) => {
                    if self.find(name)?.is_false() {
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
        match self.find(name)? {
            Seen::List(list) => {
                for value in list {
                    self.charge(0);
                    if self.is_exhausted() {
                        return Err(TemplateError::TooManySteps);
                    }
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

    /// Counts a step, and those for the text that it handles.
    fn charge(&self, bytes: usize) {
        self.steps.set(self.steps.get().saturating_add(1 + bytes / BYTES_PER_STEP));
    }

    fn is_json(&self, text: &str) -> bool {
        self.charge(text.len());
        serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    }

    /// The text of a top-level string option that holds JSON; anything else is `null`.
    fn as_json(&self, key: &str) -> &str {
        match self.context.get(key.trim()) {
            Some(Value::String(text)) if self.is_json(text) => text,
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
    fn find(&self, name: &str) -> Result<Seen<'a>, TemplateError> {
        let found = self.look_up(name);
        if self.is_exhausted() { Err(TemplateError::TooManySteps) } else { Ok(found) }
    }

    fn look_up(&self, name: &str) -> Seen<'a> {
        if name == "." {
            self.charge(0);
            return self.scopes.last().cloned().unwrap_or(Seen::Null);
        }
        let dotted = name.rsplit_once('.');
        for scope in self.scopes.iter().rev() {
            if let Some(found) = self.get(scope, name) {
                return found;
            }
            if let Some((earlier, last)) = dotted
                && let Some(holder) = self.walk(scope, earlier)
            {
                // Only the last part is missing: that ends the search, outer scopes or not.
                return self.get(&holder, last).unwrap_or(Seen::Null);
            }
        }
        if name == AS_JSON { Seen::AsJson } else { Seen::Null }
    }

    /// Follows the parts of `path`; none when one of them is missing. A null on the way ends the
    /// walk early, and everything below null is missing.
    fn walk(&self, scope: &Seen<'a>, path: &str) -> Option<Seen<'a>> {
        let mut current = scope.clone();
        for part in path.split('.') {
            current = self.get(&current, part)?;
            if matches!(current, Seen::Null) {
                break;
            }
        }
        Some(current)
    }

    /// One name in one scope. Maps have no members besides their keys.
    fn get(&self, scope: &Seen<'a>, name: &str) -> Option<Seen<'a>> {
        self.charge(name.len());
        if self.is_exhausted() {
            return None;
        }
        match scope {
            Seen::Map(map) => map.get(name).map(Seen::of),
            Seen::String { text, .. } if is_member_of_string(name) => {
                self.charge(text.len());
                member(scope, name)
            }
            Seen::Printed(text) if is_member_of_string(name) => {
                self.charge(text.len());
                member(scope, name)
            }
            Seen::String { .. } | Seen::Printed(_) => None,
            other => member(other, name),
        }
    }

    fn is_exhausted(&self) -> bool {
        self.steps.get() > RENDER_STEPS_MAX
    }
}
