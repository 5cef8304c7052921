//! Handlebars for packages of our own newer form (`app.json.hbs`): a missing option is an error
//! instead of nothing, and `{{json x}}` prints any option as JSON.

use crate::template::{RENDERED_BYTES_MAX, TemplateError};
use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderErrorReason};
use serde_json::{Map, Value};
use std::io::Write;

/// Longest strict template accepted, in bytes.
pub const STRICT_TEMPLATE_BYTES_MAX: usize = 64 << 10;

/// Most blocks, `else` branches and subexpressions together in one strict template. The engine
/// recurses with their nesting and would overflow the stack at some 300 levels; counting them
/// all needs no second parser.
pub const STRICT_BLOCKS_MAX: usize = 100;

/// The only template in each registry.
const NAME: &str = "app.json.hbs";

/// A strict template, ready to render.
#[derive(Debug)]
pub(crate) struct StrictTemplate {
    registry: Handlebars<'static>,
}

impl StrictTemplate {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > STRICT_TEMPLATE_BYTES_MAX {
            let reason = format!("it is longer than {STRICT_TEMPLATE_BYTES_MAX} bytes");
            return Err(TemplateError::Strict { reason });
        }
        if blocks(text) > STRICT_BLOCKS_MAX {
            let reason = format!("it has more than {STRICT_BLOCKS_MAX} blocks and subexpressions");
            return Err(TemplateError::Strict { reason });
        }
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        registry.register_escape_fn(handlebars::no_escape);
        registry.register_helper("json", Box::new(json));
        registry.register_template_string(NAME, text).map_err(|error| TemplateError::Strict { reason: error.to_string() })?;
        Ok(Self { registry })
    }

    pub(crate) fn render(&self, context: &Map<String, Value>) -> Result<String, TemplateError> {
        let mut out = Bounded(Vec::new());
        self.registry.render_to_write(NAME, context, &mut out).map_err(refused)?;
        String::from_utf8(out.0).map_err(refused)
    }
}

fn refused(error: impl std::fmt::Display) -> TemplateError {
    TemplateError::Strict { reason: error.to_string() }
}

/// Everything that may nest, wherever it stands.
fn blocks(text: &str) -> usize {
    let tags = text.match_indices("{{").filter(|(at, _)| {
        let inside = text[at + 2..].trim_start_matches(['~', ' ', '\t', '\r', '\n']);
        inside.starts_with(['#', '^', '{']) || inside.starts_with("else")
    });
    tags.count() + text.matches('(').count()
}

/// `{{json x}}`: the value as JSON, quotes and all.
fn json(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("json", 0))?;
    if value.is_value_missing() {
        let name = value.relative_path().cloned();
        return Err(RenderErrorReason::MissingVariable(name).into());
    }
    out.write(&value.value().to_string())?;
    Ok(())
}

/// Output that ends at the limit.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > RENDERED_BYTES_MAX {
            return Err(std::io::Error::other("the rendered text is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
