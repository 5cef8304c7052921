//! Template text to nodes, with the whitespace rules of mustache.java 0.9.6.
//!
//! Those rules are not the Mustache specification's: a line that holds nothing but section tags
//! loses its newline and sometimes its indentation, decided by what has been seen on the line
//! before and after the tag. Inside JSON this only matters within strings, where it does matter.

use super::{Node, SECTION_DEPTH_MAX, TemplateError};

/// Longest part of a tag that is repeated in an error, in characters.
const TAG_SHOWN_CHARACTERS: usize = 60;

pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { bytes: text.as_bytes(), text, position: 0, line: 1 };
    parser.block(None, true, 0)
}

struct Parser<'a> {
    bytes: &'a [u8],
    text: &'a str,
    position: usize,
    line: usize,
}

/// The section being parsed.
#[derive(Clone, Copy)]
struct Open<'a> {
    name: &'a str,
    line: usize,
}

/// What a block has produced so far.
#[derive(Default)]
struct Produced {
    nodes: Vec<Node>,
    /// Text after the last node.
    text: String,
    /// How much of it stays; the rest belongs to a line that may yet turn out to hold nothing
    /// but tags.
    kept: usize,
}

impl Produced {
    fn keep(&mut self) {
        self.kept = self.text.len();
    }

    /// Forgets the text that is not kept.
    fn forget(&mut self) {
        self.text.truncate(self.kept);
    }

    /// Adds a node after the text, all of which stays.
    fn push(&mut self, node: Node) {
        self.end_text();
        self.nodes.push(node);
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.nodes.push(Node::Text(self.text.as_str().into()));
            self.text.clear();
        }
        self.kept = 0;
    }

    fn into_nodes(mut self) -> Vec<Node> {
        self.end_text();
        self.nodes
    }
}

/// What is known of the current line.
struct Line {
    /// Whether no tag has yet been seen on it (for a nested block: nor before the block).
    at_start: bool,
    /// Whether the block has only spaces and tabs on it so far, besides tags.
    blank: bool,
    /// Whether a section that spans lines opened or closed on it.
    after_section: bool,
}

impl<'a> Parser<'a> {
    fn block(&mut self, open: Option<Open<'a>>, at_start: bool, depth: usize) -> Result<Vec<Node>, TemplateError> {
        if depth > SECTION_DEPTH_MAX {
            return Err(TemplateError::TooDeep { line: self.line });
        }
        let mut out = Produced::default();
        let mut line = Line { at_start, blank: true, after_section: open.is_some() };
        let mut carriage_return = false;
        while let Some(&byte) = self.bytes.get(self.position) {
            match byte {
                // Kept only as a part of a line ending.
                b'\r' => {
                    carriage_return = true;
                    self.position += 1;
                }
                b'\n' => {
                    self.position += 1;
                    self.line += 1;
                    if !line.after_section || !line.blank {
                        if carriage_return {
                            out.text.push('\r');
                        }
                        out.text.push('\n');
                    }
                    out.keep();
                    line = Line { at_start: true, blank: true, after_section: false };
                }
                b'{' if self.bytes.get(self.position + 1) == Some(&b'{') => {
                    carriage_return = false;
                    if self.tag(open, &mut out, &mut line, depth)? {
                        return Ok(out.into_nodes());
                    }
                    line.at_start = false;
                }
                _ => {
                    carriage_return = false;
                    let start = self.position;
                    self.position += 1;
                    while let Some(&next) = self.bytes.get(self.position) {
                        if matches!(next, b'\r' | b'\n' | b'{') {
                            break;
                        }
                        self.position += 1;
                    }
                    let run = &self.text[start..self.position];
                    line.blank = line.blank && run.bytes().all(|b| b == b' ' || b == b'\t');
                    out.text.push_str(run);
                }
            }
        }
        match open {
            None => Ok(out.into_nodes()),
            Some(open) => Err(TemplateError::UnclosedSection { line: open.line, name: open.name.to_owned() }),
        }
    }

    /// Reads one tag; true when it closes the block.
    fn tag(&mut self, open: Option<Open<'a>>, out: &mut Produced, line: &mut Line, depth: usize) -> Result<bool, TemplateError> {
        let start = self.position + 2;
        // An unclosed tag reaches to the end of the text.
        let (end, unclosed) = match self.text[start..].find("}}") {
            Some(length) => (start + length, false),
            None => (self.text.len(), true),
        };
        self.position = if unclosed { end } else { end + 2 };
        let command = &self.text[start..end];
        let Some(&sigil) = command.as_bytes().first() else {
            return Err(TemplateError::EmptyTag { line: self.line });
        };
        let argument = || trim(&command[1..]);
        match sigil {
            b'#' | b'^' => {
                let name = argument();
                let before = self.line;
                line.at_start = line.at_start && line.blank;
                let opened = Open { name, line: before };
                let body = self.block(Some(opened), line.at_start, depth + 1)?;
                let spans_lines = self.line != before;
                if line.blank && spans_lines {
                    out.forget();
                }
                let (name, body) = (name.into(), body.into_boxed_slice());
                out.push(if sigil == b'#' { Node::Section(name, body) } else { Node::Inverted(name, body) });
                line.after_section = spans_lines;
            }
            b'/' => {
                if line.at_start && line.blank {
                    out.forget();
                }
                let found = argument();
                if open.map(|open| open.name) != Some(found) {
                    return Err(TemplateError::MismatchedSection {
                        line: self.line,
                        found: found.to_owned(),
                        open: open.map(|open| open.name.to_owned()),
                    });
                }
                return Ok(true);
            }
            b'{' => {
                if self.bytes.get(self.position) != Some(&b'}') {
                    return Err(TemplateError::UnclosedTag { line: self.line });
                }
                self.position += 1;
                out.push(Node::Value(argument().into()));
            }
            b'&' => {
                out.push(Node::Value(argument().into()));
            }
            // Comments, and pragmas, none of which mean anything here.
            b'!' | b'%' => out.keep(),
            b'>' => return Err(self.unsupported("partials", command)),
            b'<' | b'$' => return Err(self.unsupported("inheritance tags", command)),
            b'=' => return Err(self.unsupported("changed delimiters", command)),
            _ if unclosed => return Err(TemplateError::UnclosedTag { line: self.line }),
            _ => {
                out.push(Node::Value(trim(command).into()));
            }
        }
        Ok(false)
    }

    fn unsupported(&self, what: &'static str, command: &str) -> TemplateError {
        let shown: String = command.chars().take(TAG_SHOWN_CHARACTERS).collect();
        TemplateError::Unsupported { line: self.line, what, tag: format!("{{{{{shown}}}}}") }
    }
}

/// Java's `String.trim`: everything up to U+0020, at both ends.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}
