//! Mustache as Cosmos drove mustache.java 0.9.6.
//!
//! What differs from any stock engine, and why packages depend on it:
//! * nothing is HTML-escaped, so `{{x}}`, `{{{x}}}` and `{{&x}}` are one thing;
//! * strings are JSON-escaped without their quotes, except directly inside an array;
//! * arrays print as Java lists (`["a", "b"]`), integral numbers print all their digits;
//! * `0` and `{}` are true; `false`, `null`, missing, `""` and `[]` are false;
//! * a name is tried in every scope from the innermost, first as one literal key;
//! * a few members of Java's `List` and `String` can be named (`list.isEmpty`).
//!
//! Partials, template inheritance and changed delimiters are refused: the first two would read
//! files, and no known package uses any of them.

mod member;
mod number;
mod parse;
mod render;
mod value;

pub use number::{INTEGER_DIGITS_MAX, number_text};
pub use render::{CONTEXT_DEPTH_MAX, RENDER_STEPS_MAX, RENDERED_BYTES_MAX};

/// Longest template accepted, in bytes. The longest known one has 51 kB.
pub const TEMPLATE_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of sections accepted. The deepest known template has 4.
pub const SECTION_DEPTH_MAX: usize = 64;

/// A parsed template. Cheap to render many times; holds no reference to its text.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Box<[Node]>,
}

/// Why a template cannot be parsed or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Longer than [`TEMPLATE_BYTES_MAX`].
    #[error("the template has {bytes} bytes; at most {TEMPLATE_BYTES_MAX} are accepted")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Sections nest deeper than [`SECTION_DEPTH_MAX`].
    #[error("line {line}: sections nest deeper than {SECTION_DEPTH_MAX}")]
    TooDeep {
        /// Line of the section that is one too many, from 1.
        line: usize,
    },
    /// `{{}}`.
    #[error("line {line}: a tag is empty; write a name between {{{{ and }}}}")]
    EmptyTag {
        /// Line of the tag, from 1.
        line: usize,
    },
    /// A tag has no closing braces.
    #[error("line {line}: a tag is not closed; add the missing }}}}")]
    UnclosedTag {
        /// Line of the tag, from 1.
        line: usize,
    },
    /// `{{#a}}` without `{{/a}}`.
    #[error("line {line}: section '{name}' is not closed; add {{{{/{name}}}}}")]
    UnclosedSection {
        /// Line where the section opens, from 1.
        line: usize,
        /// Name of the section.
        name: String,
    },
    /// `{{/b}}` where another or no section is open.
    #[error("line {line}: {{{{/{found}}}}} closes nothing here; {}", match .open {
        Some(name) => format!("the open section is '{name}'"),
        None => "no section is open".to_owned(),
    })]
    MismatchedSection {
        /// Line of the closing tag, from 1.
        line: usize,
        /// Name in the closing tag.
        found: String,
        /// Name of the innermost open section.
        open: Option<String>,
    },
    /// A partial, an inheritance tag, or changed delimiters.
    #[error("line {line}: {what} are not supported in package templates ({tag})")]
    Unsupported {
        /// Line of the tag, from 1.
        line: usize,
        /// The construct, in plural.
        what: &'static str,
        /// The tag as written, shortened.
        tag: String,
    },
    /// The handlebars engine refuses the template or the options.
    #[error("{reason}")]
    Strict {
        /// What it says.
        reason: String,
    },
    /// The output grew beyond [`RENDERED_BYTES_MAX`].
    #[error("the rendered text grows beyond {RENDERED_BYTES_MAX} bytes; use smaller options")]
    OutputTooLong,
    /// More than [`RENDER_STEPS_MAX`] tags were executed.
    #[error("rendering takes more than {RENDER_STEPS_MAX} steps; use shorter lists")]
    TooManySteps,
    /// The options nest deeper than [`CONTEXT_DEPTH_MAX`].
    #[error("the options nest deeper than {CONTEXT_DEPTH_MAX} levels")]
    ContextTooDeep,
}

/// One piece of a template.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Text that is copied.
    Text(Box<str>),
    /// `{{x}}`, `{{{x}}}` or `{{&x}}`.
    Value(Name),
    /// `{{#x}}…{{/x}}`.
    Section(Name, Box<[Node]>),
    /// `{{^x}}…{{/x}}`.
    Inverted(Name, Box<[Node]>),
}

/// A name in a tag, as written, trimmed.
pub(crate) type Name = Box<str>;

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The first fault found, with its line.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong { bytes: text.len() });
        }
        Ok(Self { nodes: parse::parse(text)?.into() })
    }

    /// Renders with `context` as the outermost scope.
    ///
    /// # Errors
    /// Only when a limit is reached: missing names render as nothing.
    pub fn render(&self, context: &serde_json::Map<String, serde_json::Value>) -> Result<String, TemplateError> {
        render::render(&self.nodes, context)
    }

    /// Every name the template mentions, in order of first appearance, without repeats.
    pub fn names(&self) -> Vec<&str> {
        fn walk<'a>(nodes: &'a [Node], names: &mut Vec<&'a str>) {
            for node in nodes {
                let (name, body): (&Name, &[Node]) = match node {
                    Node::Text(_) => continue,
                    Node::Value(name) => (name, &[]),
                    Node::Section(name, body) | Node::Inverted(name, body) => (name, body),
                };
                names.push(name);
                walk(body, names);
            }
        }
        let mut names = Vec::new();
        walk(&self.nodes, &mut names);
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(*name));
        names
    }
}
